"""One commit of another repository, fetched once and kept on this machine."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from greengate.git.command import REMOTE, error, full, git


def kept(url: str, commit: str) -> Path:
    """Return a bare repository that has a commit, fetched without its history unless it was fetched before.

    Raises GreengateError `git-failed` where it cannot be fetched or kept.
    """
    place = _folder() / hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    found = place / f"{full(commit)}.git"
    if found.is_dir():
        return found
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix="fetching-", ignore_cleanup_errors=True) as scratch:
            draft = Path(scratch, "draft.git")
            _fetch(url, commit, draft)
            _settle(draft, found)
    except OSError as problem:
        help = "make the folder writable, or name another with XDG_CACHE_HOME"
        raise error(f"{place} cannot be written: {problem.strerror}", help) from problem
    return found


def _folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return Path(named or Path.home() / ".cache") / "greengate" / "policies"


def _fetch(url: str, commit: str, draft: Path) -> None:
    git(draft.parent, "init", "--quiet", "--bare", draft.name)
    words = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    git(draft, "fetch", *words, "--end-of-options", url, full(commit), timeout=REMOTE)
    git(draft, "update-ref", "refs/heads/kept", full(commit))


def _settle(draft: Path, found: Path) -> None:
    """Give a finished repository its name in one step; somebody who did so first is as good."""
    try:
        draft.rename(found)
    except OSError:
        if not found.is_dir():
            raise
