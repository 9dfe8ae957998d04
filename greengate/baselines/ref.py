"""The model as it was in the commit a pull request grew from; used by `auto`."""

from __future__ import annotations

from greengate import git
from greengate.baselines import Found, MergeBase, Request, extract
from greengate.profile import Missing
from greengate.verdict import BaselineRef


def find(base: MergeBase, request: Request) -> Found | Missing | None:
    """Return the model at the merge base; None when it was not there yet, Missing when it cannot be had."""
    if base.commit is None:
        return Missing(f"no baseline: {base.reason}", "incomparable", base.help)
    if (top := git.root(request.folder)) is None or (path := extract.inside(top, request.path)) is None:
        return None
    try:
        artifact = extract.model(top, base.commit, path, request.scratch)
    except extract.NotAtHand as lack:
        return Missing(f"no baseline: {lack}", "incomparable", lack.help)
    if artifact is None:
        return None
    short = base.commit[:12]
    return Found(BaselineRef(f"ref:{short}", f"{path} at the merge base {short}", commit=base.commit), artifact)
