"""One measuring trial at a time on a machine: a lock that waits, and says who holds it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: How often a waiting process looks again, in seconds.
_EVERY = 0.2


def path() -> Path:
    """Return the file that is locked; one for the machine, whoever measures."""
    return Path(tempfile.gettempdir(), "greengate.lock")


@contextmanager
def held(waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the machine; while another process does, call `waiting` with who it is.

    The system gives the lock back when a process ends, however it ends. Where there are no file locks, or the file
    cannot be opened, nothing is held: a measurement disturbed by another widens its own interval.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    descriptor = _open(path())
    if descriptor is None:
        yield
        return
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting(holder(path()))
                time.sleep(_EVERY)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def holder(file: Path) -> str:
    """Say who holds the lock, as far as the file tells."""
    try:
        said = json.loads(file.read_text("utf-8"))
        return f"process {int(said['pid'])} in {str(said['folder'])[:200]!r}, measuring since {str(said['since'])[:40]}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process that measures"


def _open(file: Path) -> int | None:
    # Another user's file in a shared folder can be locked, but not written.
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(OSError):
            return os.open(file, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    return None


def _sign(descriptor: int) -> None:
    text = json.dumps({"pid": os.getpid(), "folder": os.getcwd(), "since": time.strftime("%H:%M:%S")})  # noqa: PTH109
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
