"""The only caller of git, reading: commits, files of commits, and where the repository stands."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from greengate.git.command import COPY as _COPY
from greengate.git.command import REMOTE as _REMOTE
from greengate.git.command import failed as _failed
from greengate.git.command import full as _hash
from greengate.git.command import git as _git
from greengate.git.command import is_hash as is_hash
from greengate.git.command import run as _run
from greengate.git.kept import kept as kept
from greengate.git.tree import Entry as Entry
from greengate.git.tree import exactly as exactly
from greengate.git.tree import find as find
from greengate.git.tree import followed as followed
from greengate.git.tree import show as show

_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\n")
LFS_LARGEST = 1024
_LONGEST_BRANCH = 255
_NOT_IN_A_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|\.$|/$|^[-/.]")


@dataclass(frozen=True)
class Edit:
    """A file that a commit (empty: the work tree) `changed` or `removed`."""

    commit: str
    path: str
    what: str


#: Trailers that forges write for those who wrote a commit together; git folds capital letters in their names.
_CO_AUTHORS = "%(trailers:key=co-authored-by,valueonly)"


def root(folder: Path) -> Path | None:
    """Return the top of the work tree `folder` is in; None outside of one, or where git is not installed.

    Raises GreengateError `git-failed` where git refuses the repository (for example: dubious ownership).
    """
    try:
        answer = _run(folder, "rev-parse", "--show-toplevel")
    except OSError:
        return None
    if answer.code == 0:
        return Path(os.fsdecode(answer.out.removesuffix(b"\n")))
    if "not a git repository" in answer.err or "must be run in a work tree" in answer.err:
        return None
    raise _failed(answer)


def superproject(folder: Path) -> Path | None:
    """Return the top of the repository that has the one of `folder` as a submodule; None where none has."""
    out = _git(folder, "rev-parse", "--show-superproject-working-tree").out.removesuffix(b"\n")
    return Path(os.fsdecode(out)) if out else None


def head(folder: Path) -> str | None:
    """Return the commit that is checked out; None before the first one and where `root` is None."""
    return None if root(folder) is None else commit(folder, "HEAD")


def commit(folder: Path, ref: str) -> str | None:
    """Return the id of the commit a ref names; None where it names none that is at hand."""
    if "\0" in ref:
        return None
    answer = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", fine=(0, 1, 128))
    found = answer.out.decode("ascii", "replace").strip()
    return found if answer.code == 0 and is_hash(found) else None


def is_branch(name: str) -> bool:
    """Return whether a branch can be called this, by the rules of `git check-ref-format`; never what an option is."""
    return len(name) <= _LONGEST_BRANCH and _NOT_IN_A_BRANCH.search(name) is None and name != ""


def parents(folder: Path, commit: str) -> tuple[str, ...]:
    """Return a commit's parents as it records them: in a shallow clone they need not be at hand."""
    answer = _git(folder, "cat-file", "commit", _hash(commit))
    header = answer.out.split(b"\n\n", 1)[0].decode("ascii", "replace")
    return tuple(line.removeprefix("parent ") for line in header.split("\n") if line.startswith("parent "))


def merge_base(folder: Path, left: str, right: str) -> str | None:
    """Return the best common ancestor of two refs; None where there is none at hand."""
    ends = commit(folder, left), commit(folder, right)
    if ends[0] is None or ends[1] is None:
        return None
    answer = _git(folder, "merge-base", ends[0], ends[1], fine=(0, 1))
    return answer.out.decode("ascii").strip() if answer.code == 0 else None


def authors(folder: Path, base: str, head: str) -> tuple[str, ...] | None:
    """Return the e-mails of who made what `head` has beyond `base`, co-authors too; None where that is cut off."""
    beyond = f"{_hash(base)}..{_hash(head)}"
    if merge_base(folder, base, head) is None or _is_cut(folder, beyond):
        return None
    words = ("log", "--no-mailmap", f"--format=%ae%n%ce%n{_CO_AUTHORS}", beyond)
    lines = _git(folder, *words).out.decode("utf-8", "replace").splitlines()
    found = (line.rpartition("<")[2].rpartition(">")[0] if line.endswith(">") else line for line in lines)
    return tuple(dict.fromkeys(line for line in found if line))


def is_shallow(folder: Path) -> bool:
    """Return whether history was cut off when the repository was cloned."""
    return _git(folder, "rev-parse", "--is-shallow-repository").out.strip() == b"true"


def _is_cut(folder: Path, commits: str) -> bool:
    """Return whether some of a range of commits may not be at hand: one of it is where a shallow clone ends."""
    if not is_shallow(folder):
        return False
    listed = _git(folder, "rev-parse", "--git-path", "shallow").out.removesuffix(b"\n")
    ends = Path(folder, os.fsdecode(listed)).read_bytes().split()
    return not set(ends).isdisjoint(_git(folder, "rev-list", commits).out.split())


def default_branch(folder: Path, remote: str = "origin") -> str | None:
    """Return the ref of the remote's default branch as known on disk, like `refs/remotes/origin/main`."""
    answer = _git(folder, "symbolic-ref", "--quiet", f"refs/remotes/{remote}/HEAD", fine=(0, 1, 128))
    return os.fsdecode(answer.out.removesuffix(b"\n")) if answer.code == 0 else None


def fetch(folder: Path, commit: str, remote: str = "origin") -> None:
    """Fetch one commit by its id, without history where the clone has none either.

    Raises GreengateError `git-failed` where the remote cannot be reached or does not have it.
    """
    depth = ("--depth=1",) if is_shallow(folder) else ()
    quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", *depth)
    _git(folder, "fetch", *quiet, "--end-of-options", remote, _hash(commit), timeout=_REMOTE)


def save_blob(folder: Path, blob: str, target: Path) -> None:
    """Write a blob to a new file without holding it in memory; for what Git LFS keeps elsewhere, its pointer.

    Raises OSError where the file cannot be created, GreengateError `git-failed` where git cannot read the blob.
    """
    with target.open("xb") as file:
        _git(folder, "cat-file", "blob", _hash(blob), out=file, timeout=_COPY)


def lfs_digest(data: bytes) -> str | None:
    """Return the sha256 a Git LFS pointer names; None for any other content."""
    match = _LFS.match(data) if len(data) <= LFS_LARGEST else None
    return None if match is None else match[1].decode()


def lfs_object(folder: Path, sha256: str) -> Path | None:
    """Return where Git LFS keeps a content on this machine; None where it was not downloaded."""
    common = _git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir").out.removesuffix(b"\n")
    path = Path(os.fsdecode(common), "lfs", "objects", sha256[:2], sha256[2:4], sha256)
    return path if path.is_file() else None


def lfs_smudge(folder: Path, pointer: bytes, target: Path) -> bool:
    """Write what a Git LFS pointer stands for, downloading it; return whether that worked. Needs `git lfs`.

    Raises OSError where the file cannot be created.
    """
    if _git(folder, "lfs", "version", fine=(0, 1)).code != 0:
        return False
    with target.open("wb") as file:
        answer = _git(folder, "lfs", "smudge", given=pointer, out=file, fine=tuple(range(256)), timeout=_COPY)
    return answer.code == 0


def renamed_from(folder: Path, commit: str, path: str, now: str | None = None) -> str | None:
    """Return what a file of `now` (None: the work tree) was called in a commit, by git's detection; None: not known."""
    words = ("--name-status", "-z", "--diff-filter=R", "--find-renames", "--no-ext-diff", "--ignore-submodules=all")
    sides = (_hash(commit), *([] if now is None else [_hash(now)]))
    parts = _git(folder, "diff", *words, *sides, "--", timeout=_COPY).out.split(b"\0")
    pairs = zip(parts[1::3], parts[2::3], strict=False)
    return next((os.fsdecode(old) for old, new in pairs if os.fsdecode(new) == path), None)


def submodule_at(folder: Path, commit: str, path: str) -> str | None:
    """Return the submodule of a commit that a path lies in; None where it lies in none."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        inner = "/".join(parts[:depth])
        if _git(folder, "ls-tree", "--full-tree", _hash(commit), "--", inner).out.startswith(b"160000 commit"):
            return inner
    return None


def added_in(folder: Path, path: Path, commit: str | None = None) -> str | None:
    """Return the commit that brought a path of the work tree in, by a commit's history; None when none there did.

    Without a `commit` it is the history of what is checked out.
    """
    history = "HEAD" if commit is None else _hash(commit)
    answer = _git(folder, "log", "-1", "--diff-filter=A", "--format=%H", history, "--", str(path), fine=(0, 128))
    return answer.out.decode("ascii").strip() or None


def edits(folder: Path, tip: str, path: str, *, uncommitted: bool) -> tuple[Edit, ...]:
    """Return every change and removal below a path (from the root) in the history of a commit, newest first.

    With `uncommitted`, those of the work tree come first. Files that only moved are no edits.
    """
    words = ("--name-status", "-z", "--diff-filter=MDT", "--find-renames=100%", "--no-ext-diff", "--no-textconv")
    found: list[Edit] = []
    below = path or "."
    top = root(folder) or folder
    if uncommitted:
        out = _git(top, "diff", *words, "HEAD", "--", below, timeout=_COPY).out
        found += _edits("", out)
    out = _git(
        top, "log", "-m", "--first-parent", *words, "--format=%x01%H", _hash(tip), "--", below, timeout=_COPY
    ).out
    for part in out.split(b"\1")[1:]:
        commit, _, changes = part.partition(b"\0")
        found += _edits(commit.decode("ascii").strip(), changes)
    return tuple(found)


def _edits(commit: str, out: bytes) -> list[Edit]:
    parts = [part.lstrip(b"\n") for part in out.split(b"\0")]
    words = {b"M": "changed", b"D": "removed", b"T": "changed"}
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return [Edit(commit, os.fsdecode(name), words[kind]) for kind, name in pairs if kind in words]


def is_ignored(folder: Path, path: Path) -> bool:
    """Return whether git would leave a path of the work tree out of a commit."""
    # check-ignore refuses literal pathspecs; an absolute path is one by itself.
    return _git(folder, "check-ignore", "--quiet", "--", str(Path.cwd() / folder / path), fine=(0, 1)).code == 0


def user(folder: Path) -> str | None:
    """Return the e-mail, else the name, that commits made here would carry; None where none is set, or no git is."""
    if shutil.which("git") is None:
        return None
    for key in ("user.email", "user.name"):
        answer = _git(folder, "config", "--get", key, fine=(0, 1))
        if text := answer.out.decode("utf-8", "replace").strip():
            return text
    return None
