"""Where a policy file is read: on disk, in a commit, or in another repository at a fixed commit."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from greengate import git, yamlspan
from greengate.errors import GreengateError


class UnreadableError(Exception):
    """A policy file is not there, or is not what it must be; `help` is the next step."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True)
class OnDisk:
    """A file of the work tree; messages call it `shown`."""

    path: Path
    shown: str

    @property
    def commit(self) -> str | None:
        """The work tree is of no commit."""
        return None

    @property
    def identity(self) -> str:
        """What tells it from every other file."""
        return str(self.path.resolve())

    def beside(self, rest: str) -> OnDisk:
        """Return the file that a path from this one's folder names. Raises UnreadableError where a link stands."""
        here = self.path.parent
        for part in PurePosixPath(rest).parts:
            here /= part
            if here.is_symlink():
                raise _linked(posixpath.join(posixpath.dirname(self.shown), rest))
        return OnDisk(here, posixpath.normpath(posixpath.join(posixpath.dirname(self.shown), rest)))

    def read(self) -> bytes:
        """Return the file's bytes. Raises UnreadableError."""
        try:
            return yamlspan.read_bytes(self.path, self.shown)
        except GreengateError as error:
            first = error.diagnostics[0]
            gone = isinstance(error.__cause__, FileNotFoundError)
            raise UnreadableError(f"there is no {self.shown}" if gone else first.message, first.help) from error


@dataclass(frozen=True)
class InCommit:
    """A file of a commit, its path from the repository's root; messages call the commit `called`."""

    top: Path
    commit: str
    path: str
    called: str

    @property
    def shown(self) -> str:
        """What messages call it."""
        return f"{self.called}:{self.path}"

    @property
    def identity(self) -> str:
        """What tells it from every other file."""
        return f"{self.commit}:{self.path}"

    def beside(self, rest: str) -> InCommit:
        """Return the file that a path from this one's folder names. Raises UnreadableError for one outside."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), rest))
        if path.startswith("../"):
            raise UnreadableError(
                f"{rest} lies outside of the repository of {self.shown}",
                "name a file of the repository, or a `git` one",
            )
        return replace(self, path=path)

    def read(self) -> bytes:
        """Return the file's bytes. Raises UnreadableError, also for what git cannot read."""
        try:
            entry = git.exactly(self.top, self.commit, self.path)
            if entry is None:
                help = "commit the file, or mend the path; files of a submodule are not part of the commit"
                raise UnreadableError(f"there is no {self.shown} (commit {self.commit[:12]})", help)
            if entry.link:
                raise _linked(self.shown)
            if entry.size > yamlspan.MAX_BYTES:
                raise UnreadableError(f"{self.shown} is larger than {yamlspan.MAX_BYTES >> 20} MiB", _CHECK)
            return git.show(self.top, self.commit, self.path) or b""
        except GreengateError as error:
            first = error.diagnostics[0]
            raise UnreadableError(f"{self.shown} cannot be read: {first.message}", first.help) from error


Place = OnDisk | InCommit

_CHECK = "check that this is the file you meant"


def elsewhere(url: str, commit: str, path: str) -> InCommit:
    """Return a file of another repository at a commit, fetched where it is not at hand. Raises UnreadableError."""
    try:
        top = git.kept(url, commit)
    except GreengateError as error:
        first = error.diagnostics[0]
        message = f"commit {commit[:12]} of {url} is not at hand and cannot be fetched: {first.message}"
        raise UnreadableError(message, "check URL and commit, and that this machine may read them") from error
    return InCommit(top, commit, posixpath.normpath(path), f"{url}@{commit[:12]}")


def _linked(shown: str) -> UnreadableError:
    return UnreadableError(f"{shown} is a symbolic link, or behind one", "name the file itself")
