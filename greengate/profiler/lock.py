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
    cannot be opened or locked, nothing is held: a measurement disturbed by another widens its own interval.
    """
    descriptor = _open(path())
    if descriptor is None:
        yield
        return
    try:
        if _locked(descriptor, waiting):
            _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, waiting: Callable[[str], None]) -> bool:
    """Wait for the lock; False where the system or the file's place knows none."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            waiting(holder(path()))
            time.sleep(_EVERY)
        except OSError:
            return False


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
            descriptor = os.open(file, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            with contextlib.suppress(OSError):  # it is not ours
                os.fchmod(descriptor, 0o644)  # whatever the umask: others have to open it
            return descriptor
    return None


def _sign(descriptor: int) -> None:
    text = json.dumps({"pid": os.getpid(), "folder": os.getcwd(), "since": time.strftime("%H:%M:%S")})  # noqa: PTH109
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
