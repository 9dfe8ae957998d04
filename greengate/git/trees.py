"""Commits as trees, and files of the work tree beside them: compared by content, whatever settings and filters say."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from greengate import git
from greengate.git.branch import read_blobs
from greengate.git.command import COPY, full
from greengate.git.command import git as _git

_PIECE = 1 << 20


@dataclass(frozen=True)
class Leaf:
    """What stands at a path of a commit: a file, a symbolic link or a submodule, by git's mode and id."""

    mode: str
    id: str

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, executable or not."""
        return self.mode in ("100644", "100755")

    @property
    def is_module(self) -> bool:
        """Whether it is a submodule, of which a commit holds nothing but the id of another repository's commit."""
        return self.mode == "160000"


def leaves(folder: Path, commit: str) -> dict[str, Leaf]:
    """Return everything that a commit holds, path from the root -> leaf; submodules are leaves too."""
    found = {}
    for line in filter(None, _git(folder, "ls-tree", "-r", "-z", "--full-tree", full(commit)).out.split(b"\0")):
        fields, _, name = line.partition(b"\t")
        mode, _, id_ = fields.decode("ascii").split()
        found[os.fsdecode(name)] = Leaf(mode, id_)
    return found


def differing(old: Mapping[str, Leaf], new: Mapping[str, Leaf]) -> tuple[str, ...]:
    """Return the paths at which two commits hold something else; a file that moved is two of them."""
    return tuple(path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path))


def stands(top: Path, path: str, leaf: Leaf) -> bool:
    """Tell whether the work tree has a regular file there with a leaf's content, or what its Git LFS pointer names.

    The index is not asked: it can be told to look away.
    """
    file = top / path
    if not leaf.is_file or os.path.realpath(file) != str(file) or not file.is_file():
        return False
    try:
        if _digest(file, "sha256" if len(leaf.id) == 64 else "sha1", header=True) == leaf.id:
            return True
        size = int(_git(top, "cat-file", "-s", full(leaf.id)).out)
        pointer = read_blobs(top, [leaf.id])[0] if size <= git.LFS_LARGEST else b""
        return (named := git.lfs_digest(pointer)) is not None and _digest(file, "sha256") == named
    except OSError:
        return False


def checked_out(top: Path, path: str, module: Leaf) -> bool:
    """Tell whether a submodule lies in the work tree as its commit has it, but for files that it does not know."""
    place = Path(os.path.realpath(top), path)
    # Where it was not checked out, its folder is one of the repository that it is in, or of none.
    if os.path.realpath(place) != str(place) or git.root(place) != place or git.head(place) != module.id:
        return False
    words = ("--porcelain", "--untracked-files=no", "--ignore-submodules=none")
    return not _git(place, "status", *words, timeout=COPY).out


def below(top: Path, folder: str) -> Iterator[str]:
    """Yield the path, from the root, of everything in a folder of the work tree but folders; links as themselves."""
    for place, folders, names in os.walk(top / folder):
        for name in (*names, *(one for one in folders if Path(place, one).is_symlink())):
            yield Path(place, name).relative_to(top).as_posix()


def _digest(file: Path, algorithm: str, *, header: bool = False) -> str:
    """Return the digest of a file's bytes as they are; with the `header` that git adds, the id of its blob."""
    made = hashlib.new(algorithm, usedforsecurity=False)
    with file.open("rb") as stream:
        if header:
            made.update(f"blob {os.fstat(stream.fileno()).st_size}\0".encode())
        while piece := stream.read(_PIECE):
            made.update(piece)
    return made.hexdigest()
