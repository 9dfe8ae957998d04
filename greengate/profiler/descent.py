"""Which processes are below another one, and their end. Light to import, as what begins and ends workers is."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping

_PATIENCE, _PAUSE = 2.0, 0.005  # seconds for what was killed to be gone, and between two looks


def descendants(root: int, proc: str | os.PathLike[str] = "/proc") -> dict[int, list[str]]:
    """Return what `stat` says of every process below a root, from the state on. Raises OSError where there is no /proc.

    Those that ended and were not waited for are among them.
    """
    found: dict[int, list[str]] = {}
    for entry in os.listdir(proc):  # noqa: PTH208 - pathlib costs more than the reading
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                told = fields(os.path.join(proc, entry, "stat"))  # noqa: PTH118
                [int(one) for one in (told[1], *told[11:15])]
                found[int(entry)] = told
    return {pid: told for pid, told in found.items() if _is_below(pid, root, found)}


def fields(path: str | os.PathLike[str]) -> list[str]:
    """Return the fields of a stat file from the state on; the name before it can hold anything."""
    with open(path, encoding="utf-8", errors="replace") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()


def end_below(root: int) -> None:
    """Kill all that runs below a process, and what it starts meanwhile; nothing where there is no /proc."""
    _end(lambda: [pid for pid, told in descendants(root).items() if told[0] not in "ZX"])


def end_marked(variable: str) -> None:
    """Kill all that began with an environment in which `variable`, `NAME=value`, stands; nothing where /proc is not."""
    _end(lambda: _marked(variable.encode()))


def _marked(variable: bytes) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit() and int(entry) != os.getpid():
            # What ended, or is another user's, is not read.
            with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as told:  # noqa: PTH123
                if variable in told.read().split(b"\0"):
                    found.append(int(entry))
    return found


def _end(look: Callable[[], Collection[int]]) -> None:
    deadline = time.monotonic() + _PATIENCE
    with contextlib.suppress(OSError):
        while (left := look()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE)


def _is_below(pid: int, root: int, stats: Mapping[int, list[str]]) -> bool:
    above = pid
    while above > 1 and above in stats:
        above = int(stats[above][1])
        if above == root:
            return True
    return False
