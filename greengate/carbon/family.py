"""What a command started, followed although it left the command: adopted, waited for, and named where it stays."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from greengate.harmless import clean
from greengate.profiler.descent import descendants

#: prctl's number for whom processes are handed to that lose their parent.
_SUBREAPER = 36
_PAUSE = 0.05


@contextmanager
def adopting() -> Iterator[str]:
    """Have processes that lose their parent become this one's children; yields why they do not, empty where they do.

    Nothing is known of a process that ends while its parent ignores SIGCHLD, not even its exit code: it is not
    ignored in here, nor by the command, unless it says so itself.
    """
    if sys.platform != "linux":
        yield ""
        return
    why = _adopt(True)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield why and f"what leaves the command is not followed: {why}"
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
        _adopt(False)


def running() -> frozenset[int]:
    """Return the processes below this one."""
    return frozenset(_below())


def bury(known: Collection[int]) -> None:
    """Wait for the adopted that ended, all but `known`: their processor time is this process's then."""
    for pid, fields in _below().items():
        if pid not in known and fields[0] == "Z" and int(fields[1]) == os.getpid():
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)


def stay(known: Collection[int], seconds: float, asked: Sequence[object] = ()) -> tuple[str, ...]:
    """Wait so long for all that was started since `known` was looked at; return the names of what runs all the same.

    Once there is anything in `asked`, no longer.
    """
    deadline = time.monotonic() + seconds
    # Looked at twice: one whose parent ends while the processes are listed is below nobody for a moment.
    while left := _left(known) or _left(known):
        if asked or time.monotonic() >= deadline:
            names = {pid: _name(pid) for pid in sorted(left)}
            return tuple(f"{name} (process {pid})" for pid, name in names.items() if name)
        time.sleep(_PAUSE)
        bury(known)
    return ()


def _below() -> dict[int, list[str]]:
    try:
        return descendants(os.getpid())
    except OSError:  # a system without /proc
        return {}


def _left(known: Collection[int]) -> list[int]:
    return [pid for pid, fields in _below().items() if pid not in known and fields[0] not in "ZX"]


def _name(pid: int) -> str:
    """Return what a process is called; empty where it just ended."""
    try:
        return clean(Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def _adopt(whether: bool) -> str:
    """Be who orphans are handed to, or not any more; return why not."""
    try:
        done = ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, ctypes.c_ulong(whether), 0, 0, 0)
    except (OSError, AttributeError) as error:
        return str(error)
    return os.strerror(ctypes.get_errno()) if done else ""
