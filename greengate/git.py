"""The only caller of git: no shell, no prompts, no user interface, no surprises from the environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from greengate.errors import Diagnostic, GreengateError

#: Seconds a local command, a command that copies a file, and one that asks a remote may take.
_LOCAL, _COPY, _REMOTE = 60.0, 600.0, 120.0

#: Repository and user settings that would run programs or change what is read.
_SETTINGS = (
    *("core.fsmonitor=false", "log.showSignature=false", "protocol.ext.allow=never"),
    *("gc.auto=0", "maintenance.auto=false"),
)

#: Variables git sets for its hooks; under them `-C folder` would not decide which repository is meant.
_FOREIGN = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
)

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\n")
LFS_LARGEST = 1024
_LINKS = 8


@dataclass(frozen=True)
class Entry:
    """One file of a tree: path from the repository's root, blob id, bytes, and whether it is a symlink."""

    path: str
    blob: str
    size: int
    link: bool = False


@dataclass(frozen=True)
class _Answer:
    code: int
    out: bytes
    err: str


def is_hash(text: str) -> bool:
    """Return whether the text is a full commit or blob id."""
    return _HASH.fullmatch(text) is not None


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


def is_shallow(folder: Path) -> bool:
    """Return whether history was cut off when the repository was cloned."""
    return _git(folder, "rev-parse", "--is-shallow-repository").out.strip() == b"true"


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


def find(folder: Path, commit: str, path: str) -> Entry | None:
    """Return the file at `path` (from the root, forward slashes) in a commit, through symlinks; None when absent."""
    for _ in range(_LINKS):
        if (path := _inside(path)) == "":
            return None
        entry = _entry(folder, commit, path)
        if entry is None or not entry.link:
            return entry
        target = os.fsdecode(_blob(folder, entry.blob))
        path = str(PurePosixPath(path).parent / target)
    return None


def show(folder: Path, commit: str, path: str) -> bytes | None:
    """Return the bytes of `path` (from the root) in a commit; None when it is not there."""
    entry = find(folder, commit, path)
    return None if entry is None else _blob(folder, entry.blob)


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


def added_in(folder: Path, path: Path) -> str | None:
    """Return the commit that brought a file of the work tree in; None when it is not committed."""
    answer = _git(folder, "log", "-1", "--diff-filter=A", "--format=%H", "--", str(path), fine=(0, 128))
    return answer.out.decode("ascii").strip() or None


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


def _entry(folder: Path, commit: str, path: str) -> Entry | None:
    answer = _git(folder, "ls-tree", "-z", "-l", "--full-tree", _hash(commit), "--", path)
    for line in filter(None, answer.out.split(b"\0")):
        fields, _, name = line.partition(b"\t")
        mode, kind, blob, size = fields.decode("ascii").split()
        if kind == "blob" and os.fsdecode(name) == path:
            if not size.isdecimal():
                raise _error(f"the content of {path!r} at {commit[:12]} is damaged", "run `git fsck`")
            return Entry(path, blob, int(size), link=mode == "120000")
    return None


def _blob(folder: Path, blob: str) -> bytes:
    return _git(folder, "cat-file", "blob", _hash(blob), timeout=_COPY).out


def _hash(text: str) -> str:
    """Let only full ids through, so that nothing a user wrote can be an option or another revision."""
    if not is_hash(text):
        raise ValueError(f"{text!r} is not a full object id")
    return text


def _git(
    folder: Path, *args: str, fine: tuple[int, ...] = (0,), out: IO[bytes] | None = None, timeout: float = _LOCAL
) -> _Answer:
    """Run git where it must be at hand; an exit code that is not `fine` raises `git-failed` with git's words."""
    try:
        answer = _run(folder, *args, out=out, timeout=timeout)
    except OSError as error:
        message = f"git could not be started in {str(folder)!r}: {error.strerror}"
        raise _error(message, "install git, and check that the folder is there") from error
    if answer.code not in fine:
        raise _failed(answer)
    return answer


def _run(folder: Path, *args: str, out: IO[bytes] | None = None, timeout: float = _LOCAL) -> _Answer:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    literal = () if args[0] == "check-ignore" else ("--literal-pathspecs",)
    command = ["git", "--no-pager", *literal, "--no-replace-objects", *settings, *args]
    environ = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    environ |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": ""}
    try:
        done = subprocess.run(  # noqa: S603 - a list of words, every one an option or checked
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _error(f"git {args[0]} took longer than {timeout:.0f} s", "try again, or check the connection") from error
    return _Answer(done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace"))


def _failed(answer: _Answer) -> GreengateError:
    lines = [line.strip() for line in answer.err.splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "")
    message = first.removeprefix("fatal: ").removeprefix("error: ") or f"git ended with code {answer.code}"
    fix = next((line for line in lines if line.startswith("git config ")), "")
    return _error(message, f"run `{fix}`" if fix else "run the same git command by hand to see why")


def _error(message: str, help: str) -> GreengateError:
    return GreengateError(Diagnostic("git-failed", message, help))
