"""Where a store's files lie: a folder, or a branch that nobody checks out (branch.py). Paths are relative, with `/`."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from greengate import files
from greengate.errors import BaselineError, Diagnostic


class Place(Protocol):
    """Files that are added and never changed."""

    def names(self, folder: str) -> list[str]:
        """Return the names directly below a folder, sorted; none where it is not there. Raises BaselineError."""
        ...

    def folders(self, folder: str) -> list[str]:
        """Return those of the names that are folders. Raises BaselineError."""
        ...

    def read(self, paths: Sequence[str]) -> list[bytes]:
        """Return the bytes of files. Raises BaselineError `baseline-damaged` where one cannot be read."""
        ...

    def create(self, path: str, text: str, message: str) -> bool:
        """Add a file in one step; return False, adding nothing, when its name is taken.

        Of several writers at once exactly one gets a name, and none loses another's file. `message` tells people what
        was added, where the place keeps such words. Raises ReportError, BaselineError, GreengateError `git-failed`.
        """
        ...

    def shown(self, path: str) -> str:
        """Return what messages call a file."""
        ...

    def mend(self, path: str) -> str:
        """Return how a damaged file is restored."""
        ...


@dataclass(frozen=True)
class Directory:
    """A folder of the work tree, or anywhere; `named` is where it lies in the work tree, if `root` may be a copy."""

    root: Path
    named: Path | None = None

    def names(self, folder: str) -> list[str]:
        """See Place."""
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return []
            damaged(self, folder, f"cannot be read: {error.strerror}", "check the permissions of the store")

    def folders(self, folder: str) -> list[str]:
        """See Place."""
        return [name for name in self.names(folder) if (self.root / folder / name).is_dir()]

    def read(self, paths: Sequence[str]) -> list[bytes]:
        """See Place."""
        return [self._read(path) for path in paths]

    def _read(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            what = f"cannot be read: {error.strerror or error}"
            damaged(self, path, what, "check the permissions of the store")

    def create(self, path: str, text: str, message: str) -> bool:  # noqa: ARG002 - a folder keeps no messages
        """See Place."""
        return files.create_exclusive(self.root / path, text)

    def shown(self, path: str) -> str:
        """See Place."""
        return str(self.root / path)

    def mend(self, path: str) -> str:
        """See Place."""
        folder = (self.root / path).parent
        return f"restore it from history, for example `git checkout HEAD -- {folder}`; versions are never edited"


def damaged(place: Place, path: str, what: str, help: str = "") -> NoReturn:
    """Raise the error for a file of a store that cannot be used."""
    message = f"{place.shown(path)} {what}"
    raise BaselineError(Diagnostic("baseline-damaged", message, help or place.mend(path)))
