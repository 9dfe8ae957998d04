"""Writing files so that a reader finds the old text, the new text, or nothing; never half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from greengate.errors import Diagnostic, ReportError

_CHUNK = 1 << 20


def write_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text to a file in one step, creating its folder; an existing file keeps its mode.

    A symlink stays one: the file it names is replaced. What is no regular file (a terminal, a pipe, /dev/null)
    is written to as it is. Raises ReportError `cannot-write`, with the target untouched and nothing left behind.
    """
    data = text.encode("utf-8", "backslashreplace")
    with cannot_write(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with _draft(target.parent, data) as draft:
            with contextlib.suppress(FileNotFoundError):
                draft.chmod(stat.S_IMODE(target.stat().st_mode))
            draft.replace(target)
            _sync_folder(target.parent)


def try_out(path: Path) -> None:
    """Make sure that `write_atomic` can write a file, creating its folder. Raises ReportError `cannot-write`."""
    with cannot_write(path):
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not target.exists() or target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with _draft(target.parent, b""):
                pass


def create_exclusive(path: Path, text: str) -> bool:
    """Write UTF-8 text to a new file in one step; return False, writing nothing, when the name is taken.

    Of several writers at once exactly one gets the name. Raises ReportError `cannot-write`.
    """
    data = text.encode("utf-8", "backslashreplace")
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _draft(path.parent, data) as draft:
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
    return True


def read_small(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file of so many at most. Raises OSError, which says why in words."""
    # A pipe would be waited for, a device never end.
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        about = os.fstat(file.fileno())
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "It is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"It is larger than {most >> 20} MiB")
    return content


def sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes, read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def cannot_write(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` into ReportError `cannot-write`."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a name no file can have
        message = f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}"
        help = "free some space, or name a file in a folder that can be written to"
        raise ReportError(Diagnostic("cannot-write", message, help)) from error


@contextlib.contextmanager
def _draft(folder: Path, data: bytes) -> Iterator[Path]:
    """Yield a synced file with `data` in `folder`; it is gone afterwards, whatever happened."""
    draft = folder / f".greengate-{secrets.token_hex(8)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut; systems that cannot sync a folder do not need to."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
