"""What a hook needs of git: where hooks lie, what a push brings, and a commit checked out beside the work tree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greengate.git.command import COPY, full, git


def folder_of(top: Path) -> Path:
    """Return where the hooks of a repository lie: `core.hooksPath`, else the one folder all its work trees share."""
    out = git(top, "rev-parse", "--path-format=absolute", "--git-path", "hooks").out
    return Path(os.fsdecode(out.removesuffix(b"\n")))


def is_of_repository(top: Path, hooks: Path) -> bool:
    """Return whether hooks that lie there run for this repository alone."""
    out = git(top, "rev-parse", "--path-format=absolute", "--git-common-dir").out
    own = (top.resolve(), Path(os.fsdecode(out.removesuffix(b"\n"))).resolve())
    return any(hooks.resolve().is_relative_to(place) for place in own)


def is_new(top: Path, commit: str, remote: str) -> bool:
    """Return whether a remote lacks a commit, as far as its branches are known here."""
    return git(top, "rev-list", "-n1", full(commit), "--not", f"--remotes={remote}").out.strip() != b""


def was_in(top: Path, commit: str, path: str) -> bool:
    """Return whether the history of a commit ever had a file (path from the root)."""
    return git(top, "rev-list", "-n1", full(commit), "--", path).out.strip() != b""


def is_clean(top: Path) -> bool:
    """Return whether the work tree's tracked files are those of HEAD."""
    return git(top, "status", "--porcelain", "--untracked-files=no").out.strip() == b""


@contextmanager
def checked_out(top: Path, commit: str) -> Iterator[Path]:
    """Check a commit out into a folder of its own, which is removed at the end; no hook of the user runs."""
    with tempfile.TemporaryDirectory(prefix="greengate-", ignore_cleanup_errors=True) as scratch:
        place = Path(scratch, "commit")
        count = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
        quiet = {
            "GIT_CONFIG_COUNT": str(count + 1),
            f"GIT_CONFIG_KEY_{count}": "core.hooksPath",
            f"GIT_CONFIG_VALUE_{count}": os.devnull,
        }
        words = ("worktree", "add", "--quiet", "--detach", str(place), full(commit))
        git(top, *words, timeout=COPY, environ=quiet)
        try:
            yield place
        finally:
            git(top, "worktree", "remove", "--force", str(place), fine=(0, 128))
