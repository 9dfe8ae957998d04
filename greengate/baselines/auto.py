"""`auto`: in a pull request the model at the merge base, else the store's newest version, else none."""

from __future__ import annotations

from greengate.baselines import STORE, Found, Request, dir, ref, stored
from greengate.profile import Missing


def find(rest: str, request: Request) -> Found | Missing:  # noqa: ARG001 - one signature for every scheme
    """Return the first baseline in the order above. Raises BaselineError where the store is damaged."""
    if request.merge_base is not None and (found := ref.at_merge_base(request.merge_base, request)) is not None:
        return found
    if request.at(STORE.as_posix()).is_dir():
        return dir.find(STORE.as_posix(), request)
    return Missing("no baseline: none was named and none is stored", "incomparable", stored.accept_command(request))
