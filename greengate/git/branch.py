"""A branch that is written without checking it out: objects and refs only, the work tree and the index untouched."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from greengate.git.command import COPY, REMOTE, Answer, error, failed, full, git, is_hash

#: Seconds that asking a remote where its branch stands may take: many times what an answer takes.
ASK = 20.0

#: What git says when somebody else moved the ref first; anything else is a failure.
_LOST = re.compile(
    r"but expected|reference already exists|reference is missing|\.lock': File exists"
    r"|\[rejected\]|cannot lock ref|failed to update ref|incorrect old value"
)
_WHO = ("greengate", "greengate@localhost")


def has_remote(folder: Path, remote: str = "origin") -> bool:
    """Return whether the repository knows a remote of this name."""
    return git(folder, "config", "--get", f"remote.{remote}.url", fine=(0, 1)).code == 0


def remote_tip(folder: Path, ref: str, remote: str = "origin") -> str | None:
    """Ask a remote where its ref (`refs/heads/x`) stands; None where it has none.

    Raises GreengateError `git-failed` where the remote cannot be reached.
    """
    answer = git(folder, "ls-remote", "--quiet", "--end-of-options", remote, ref, timeout=ASK)
    for line in answer.out.decode("utf-8", "replace").splitlines():
        commit, _, name = line.partition("\t")
        if name == ref and is_hash(commit):
            return commit
    return None


def contains(folder: Path, newer: str, older: str) -> bool:
    """Return whether a commit has another among its ancestors, as far as both are at hand."""
    return git(folder, "merge-base", "--is-ancestor", full(older), full(newer), fine=(0, 1, 128)).code == 0


def is_checked_out(folder: Path, ref: str) -> bool:
    """Return whether a work tree of the repository has a branch checked out."""
    lines = git(folder, "worktree", "list", "--porcelain").out.decode("utf-8", "replace").splitlines()
    return f"branch {ref}" in lines


def listing(folder: Path, commit: str) -> dict[str, str]:
    """Return every file of a commit, path from the root -> blob id."""
    found = {}
    for line in filter(None, git(folder, "ls-tree", "-r", "-z", "--full-tree", full(commit)).out.split(b"\0")):
        fields, _, name = line.partition(b"\t")
        _, kind, blob = fields.decode("ascii").split()
        if kind == "blob":
            found[os.fsdecode(name)] = blob
    return found


def read_blobs(folder: Path, blobs: Sequence[str]) -> list[bytes]:
    """Return the contents of blobs, in one call of git. Raises GreengateError `git-failed` where one is not at hand."""
    if not blobs:
        return []
    asked = "".join(f"{full(blob)}\n" for blob in blobs).encode()
    rest = git(folder, "cat-file", "--batch", given=asked, timeout=COPY).out
    found = []
    for blob in blobs:
        header, _, rest = rest.partition(b"\n")
        words = header.split()
        if len(words) != 3 or words[1] != b"blob":
            raise error(f"the content {blob[:12]} is not in this repository", "run `git fsck`")
        size = int(words[2])
        found.append(rest[:size])
        rest = rest[size + 1 :]
    return found


def commit_file(folder: Path, parent: str | None, path: str, content: bytes, message: str) -> str:
    """Write a commit that adds or replaces one file on top of `parent` (None: the first); return its id.

    Nothing refers to it yet. Raises GreengateError `git-failed` where the repository cannot be written.
    """
    blob = _id(git(folder, "hash-object", "-w", "--stdin", given=content))
    with tempfile.TemporaryDirectory(prefix="greengate-") as scratch:
        # An index of its own: the user's is neither read nor written.
        environ = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
        if parent is not None:
            git(folder, "read-tree", full(parent), environ=environ)
        git(folder, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", environ=environ)
        tree = _id(git(folder, "write-tree", environ=environ))
    parents = () if parent is None else ("-p", parent)
    return _id(git(folder, *_identity(folder), "commit-tree", tree, *parents, given=message.encode("utf-8", "replace")))


def move(folder: Path, ref: str, new: str, old: str | None) -> bool:
    """Let a ref name `new` if it still names `old` (None: nothing); return whether it did.

    Raises GreengateError `git-failed` where it cannot be written.
    """
    expected = old or "0" * len(new)
    return _won(git(folder, "update-ref", "--create-reflog", ref, full(new), expected, fine=(0, 1, 128)))


def push(folder: Path, ref: str, new: str, old: str | None, remote: str = "origin") -> bool:
    """Let a remote's ref name `new` if it still names `old` (None: nothing); return whether it did.

    Raises GreengateError `git-failed` where the remote cannot be reached or does not allow it.
    """
    lease = f"--force-with-lease={ref}:{old or ''}"
    words = ("push", "--quiet", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", lease)
    answer = git(folder, *words, remote, f"{full(new)}:{ref}", fine=(0, 1, 128), timeout=REMOTE)
    return _won(Answer(answer.code, answer.out, answer.out.decode("utf-8", "replace") + answer.err))


def remember(folder: Path, ref: str, commit: str) -> None:
    """Let a remote-tracking ref name a commit, as `git fetch` would; somebody doing the same is as good."""
    git(folder, "update-ref", ref, full(commit), fine=(0, 1, 128))


def _won(answer: Answer) -> bool:
    if answer.code == 0:
        return True
    if _LOST.search(answer.err):
        return False
    raise failed(answer)


def _identity(folder: Path) -> tuple[str, ...]:
    """Return who commits where git does not know: a runner of CI has no name, and needs none."""
    missing = [
        f"{key}={value}"
        for key, value in zip(("user.name", "user.email"), _WHO, strict=True)
        if git(folder, "config", "--get", key, fine=(0, 1)).code != 0
    ]
    return tuple(word for setting in missing for word in ("-c", setting))


def _id(answer: Answer) -> str:
    return full(answer.out.decode("ascii").strip())
