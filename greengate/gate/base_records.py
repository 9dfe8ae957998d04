"""The training records of the target branch, as they stand in its commit: through its links, and out of Git LFS."""

from __future__ import annotations

import glob
import os
import posixpath
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath

from greengate import files, git
from greengate.carbon.record import LARGEST
from greengate.git import branch as plumbing
from greengate.git import trees
from greengate.profile import Missing

#: Symlinks that one path may lead through.
_LINKS = 8
#: A character that stands for itself in a pattern, as glob.escape writes it.
ESCAPED = re.compile(r"\[([*?[])\]")

_BY_LINK = "count it on the target branch first, or leave the link as it is there"
_BY_MODULE = "check submodules out, and leave the records' one as the target branch has it"
_BY_LFS = "install git-lfs and run `git lfs fetch --all`, or have the checkout do so (`lfs: true`)"


@dataclass(frozen=True)
class Tree:
    """A commit of a repository: all that it holds by path from the root, what its links name, its folders' names."""

    top: Path
    commit: str
    leaves: Mapping[str, trees.Leaf]
    links: Mapping[str, str]
    folders: Mapping[str, Collection[str]]


def read(top: Path, commit: str) -> Tree:
    """Return a commit as a tree in which links can be followed. Raises GreengateError `git-failed`."""
    leaves = trees.leaves(top, commit)
    named = [path for path, leaf in leaves.items() if leaf.mode == "120000"]
    targets = plumbing.read_blobs(top, [leaves[path].id for path in named])
    folders: dict[str, set[str]] = {}
    for path in leaves:
        for step in _steps(path):
            folders.setdefault(posixpath.dirname(step) or ".", set()).add(posixpath.basename(step))
    return Tree(top, commit, leaves, dict(zip(named, map(os.fsdecode, targets), strict=True)), folders)


def matching(tree: Tree, folder: Path, pattern: str) -> Iterator[str]:
    """Yield the paths, from the root, that a pattern means in a commit; also those of which nothing can be told."""
    if (wanted := _from_root(tree.top, folder, pattern)) is not None:
        yield from dict.fromkeys(_below(tree, ".", wanted, set()))


def contents(tree: Tree, paths: Sequence[str], counted: Collection[str]) -> Iterator[tuple[str, bytes | Missing]]:
    """Yield name and content of records, or why it is not known.

    Left out is what the work tree has as well: links that lead out of the commit to the same place, submodules checked
    out as they are there, and contents of Git LFS whose sha256 was `counted`.
    """
    known: dict[str, str] = {}
    for path in paths:
        real, link = _followed(tree, path)
        leaf = tree.leaves.get(real)
        if leaf is not None and leaf.is_file:
            known[path] = leaf.id
        elif leaf is not None and leaf.is_module:
            if not trees.checked_out(tree.top, real, leaf):
                reason = f"{real} is a submodule that is not checked out as the target branch has it"
                yield _named(tree, path), Missing(reason, "failed", _BY_MODULE)
        elif not _same_link(tree, link or _last_link(tree, path)):
            yield _named(tree, path), Missing(f"{path} leads out of the target branch's commit", "failed", _BY_LINK)
    for path, content in zip(known, plumbing.read_blobs(tree.top, list(known.values())), strict=True):
        sha256 = git.lfs_digest(content)
        if sha256 is None:
            yield _named(tree, path), content
        elif sha256 not in counted:
            yield _named(tree, path), _of_lfs(tree, path, content, sha256)


def _named(tree: Tree, path: str) -> str:
    return f"{tree.commit[:12]}:{path}"


def _of_lfs(tree: Tree, path: str, pointer: bytes, sha256: str) -> bytes | Missing:
    """Return what a pointer of Git LFS stands for: what is at hand, else what git-lfs downloads."""
    with tempfile.TemporaryDirectory(prefix="greengate-") as scratch:
        kept, target = git.lfs_object(tree.top, sha256), Path(scratch, "record")
        if kept is None and git.lfs_smudge(tree.top, pointer, target):
            kept = target
        try:
            if kept is not None and files.sha256(kept) == sha256:
                return files.read_small(kept, LARGEST)
        except OSError as error:
            return Missing(f"{path} is kept in Git LFS and cannot be read: {error.strerror}", "failed", _BY_LFS)
    return Missing(f"{path} is kept in Git LFS and was not downloaded", "failed", _BY_LFS)


def _from_root(top: Path, folder: Path, pattern: str) -> tuple[str, ...] | None:
    """Return the parts of a pattern from the repository's root; None where it lies outside.

    As the policy's own path, it is what git knows it as: a change may have made links of folders on the way.
    """
    place = PurePath(os.path.abspath(Path(glob.escape(os.path.abspath(folder)), pattern)))  # noqa: PTH100
    real = os.path.realpath(top)
    for above in reversed(place.parents):
        if os.path.realpath(ESCAPED.sub(r"\1", str(above))) == real:
            return place.relative_to(above).parts
    return None


def _below(tree: Tree, place: str, wanted: Sequence[str], seen: set[tuple[str, int]]) -> Iterator[str]:
    """Yield what a pattern, in its parts, means below a path; `**` stands for any folders.

    A folder that several links name is entered once: what is in it counts once.
    """
    real, link = _followed(tree, place)
    lost = bool(link) or (real in tree.leaves and tree.leaves[real].is_module) or not _there(tree, real)
    if lost or not wanted:
        if lost or real in tree.leaves:
            yield place
        return
    if (real, len(wanted)) in seen:
        return
    seen.add((real, len(wanted)))
    first, *rest = wanted
    if first == "**":
        yield from _below(tree, place, rest, seen)
    for name in sorted(tree.folders.get(real, ())):
        below = name if place == "." else f"{place}/{name}"
        if first == "**":
            yield from _below(tree, below, wanted, seen)
        elif fnmatchcase(name, first):
            yield from _below(tree, below, rest, seen)


def _there(tree: Tree, path: str) -> bool:
    return path in tree.leaves or path in tree.folders


def _followed(tree: Tree, path: str) -> tuple[str, str]:
    """Return what a path means through the commit's links, `.` for the root, else the link that leads out of it."""
    link = ""
    for _ in range(_LINKS):
        link = next((step for step in _steps(path) if step in tree.links), "")
        if not link:
            return path, ""
        target = tree.links[link]
        moved = posixpath.normpath(f"{posixpath.dirname(link) or '.'}/{target}")
        if target.startswith("/") or moved.split("/")[0] == "..":
            return "", link
        path = posixpath.normpath(moved + path.removeprefix(link))
    return "", link


def _last_link(tree: Tree, path: str) -> str:
    """Return the link of a path that leads to what is not there."""
    return next((step for step in _steps(path) if step in tree.links), "")


def _same_link(tree: Tree, link: str) -> bool:
    """Tell whether the work tree has a link as the commit has it, so that what it leads to is counted there."""
    try:
        return bool(link) and str(Path(tree.top, link).readlink()) == tree.links[link]
    except OSError:
        return False


def _steps(path: str) -> Iterator[str]:
    """Yield every folder that a path leads through, from the root on, and the path itself."""
    yield from (above.as_posix() for above in reversed(PurePosixPath(path).parents[:-1]))
    yield path
