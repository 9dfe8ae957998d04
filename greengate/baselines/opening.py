"""Which store a command means, opened."""

from __future__ import annotations

from pathlib import Path

from greengate.baselines import STORE, branch
from greengate.baselines.place import Directory, Place
from greengate.errors import BaselineError, Diagnostic

#: Schemes that versions can be added to.
STORES = ("dir", "git")


def uri_of(*written: str | None) -> str:
    """Return the first URI that names a store; without one, the folder that `auto` looks into."""
    return next((uri for uri in written if uri and uri.partition(":")[0] in STORES), f"dir:{STORE.as_posix()}")


def open_(uri: str, folder: Path) -> Place:
    """Open a store, to be read or added to; it need not exist yet. Relative paths start at `folder`.

    Raises BaselineError `baseline-scheme` for a URI that names no store, `baseline-missing` for a branch that cannot
    be had.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "dir" and rest:
        return Directory(folder / rest)
    if scheme == "git" and rest:
        return branch.at_hand(rest, folder)
    message = f"{uri!r} is no store that versions are kept in"
    raise BaselineError(Diagnostic("baseline-scheme", message, "write dir:PATH or git:BRANCH"))
