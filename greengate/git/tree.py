"""The files of a commit, found by path, through the symlinks that the commit has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from greengate.git.command import COPY, error, full, git

#: Symlinks that one path may lead through.
_LINKS = 8


@dataclass(frozen=True)
class Entry:
    """One file of a tree: path from the repository's root, blob id, bytes, and whether it is a symlink."""

    path: str
    blob: str
    size: int
    link: bool = False


def find(folder: Path, commit: str, path: str) -> Entry | None:
    """Return the file at `path` (from the root, forward slashes) in a commit, through symlinks; None when absent."""
    real = followed(folder, commit, path)
    return None if real == "" else _entries(folder, commit, [real]).get(real)


def followed(folder: Path, commit: str, path: str) -> str:
    """Return a path with the symlinks of the commit that it leads through replaced by what they name.

    It need not be there. Empty where it names the root, leaves the repository, or leads round in circles.
    """
    for _ in range(_LINKS):
        if (path := _inside(path)) == "":
            return ""
        steps = [path, *(above.as_posix() for above in PurePosixPath(path).parents)][:-1]
        found = _entries(folder, commit, steps)
        # One at most: below a link a commit has nothing.
        link = next((entry for entry in found.values() if entry.link), None)
        if link is None:
            return path
        target = os.fsdecode(_blob(folder, link.blob))
        if target.startswith("/"):
            return ""
        path = f"{PurePosixPath(link.path).parent}/{target}{path.removeprefix(link.path)}"
    return ""


def exactly(folder: Path, commit: str, path: str) -> Entry | None:
    """Return what stands at `path` (from the root) in a commit, a symlink as itself; None when absent."""
    inside = _inside(path)
    return None if inside == "" else _entries(folder, commit, [inside]).get(inside)


def show(folder: Path, commit: str, path: str) -> bytes | None:
    """Return the bytes of `path` (from the root) in a commit; None when it is not there."""
    entry = find(folder, commit, path)
    return None if entry is None else _blob(folder, entry.blob)


def _inside(path: str) -> str:
    """Return the path without `.` and `..`; empty for one that leaves the repository or names its root."""
    if path.startswith("/") or "\0" in path:
        return ""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _entries(folder: Path, commit: str, paths: list[str]) -> dict[str, Entry]:
    answer = git(folder, "ls-tree", "-z", "-l", "--full-tree", full(commit), "--", *paths)
    found = {}
    for line in filter(None, answer.out.split(b"\0")):
        fields, _, name = line.partition(b"\t")
        mode, kind, blob, size = fields.decode("ascii").split()
        path = os.fsdecode(name)
        if kind == "blob" and path in paths:
            if not size.isdecimal():
                raise error(f"the content of {path!r} at {commit[:12]} is damaged", "run `git fsck`")
            found[path] = Entry(path, blob, int(size), link=mode == "120000")
    return found


def _blob(folder: Path, blob: str) -> bytes:
    return git(folder, "cat-file", "blob", full(blob), timeout=COPY).out
