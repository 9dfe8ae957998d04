"""`dir:PATH`: the newest accepted version of a directory store."""

from __future__ import annotations

from greengate.baselines import Found, Request, stored
from greengate.baselines.place import Directory
from greengate.profile import Missing


def find(rest: str, request: Request) -> Found | Missing:
    """Return the newest version, with its model where that is still at hand. Raises BaselineError."""
    root = request.at(rest)
    if not root.is_dir():
        help = f"check the path, or {stored.accept_command(request)}"
        raise request.lacking(f"there is no baseline store in {rest!r}", help)
    return stored.newest(Directory(root, request.folder / rest), f"dir:{rest}", request)
