"""The last resort: processor time of everything this process started x the watts of a busy thread.

It is a model, and a plain one: a change of it is a change of processor time. It knows nothing of memory, of vector
units, of frequency. Watts of a busy thread: 4, what codecarbon takes for a processor it does not know.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from greengate.power import Domain
from greengate.profiler.descent import descendants, fields
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick

#: Watts of one busy hardware thread.
WATTS = 4.0


def make() -> CpuTime:
    """Return the meter of what this process starts."""
    return CpuTime(os.getpid())


class CpuTime:
    """Sums processor time of the descendants of `root`, those that ended included."""

    every = 0.05
    strict = False

    def __init__(self, root: int, proc: Path = Path("/proc")) -> None:
        self._root, self._proc = root, proc
        self._most = 0

    def discover(self) -> Found:
        """Return the one domain, where the system tells processor time."""
        if not (self._proc / str(self._root) / "stat").exists():
            return Found(absent=(Absent("cpu-time", "this system has no /proc"),))
        about = f"processor time x {WATTS:g} W a busy thread"
        return Found((Domain("cpu-time", "cpu", "estimated", about, WATTS / os.sysconf("SC_CLK_TCK")),))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return the clock ticks of processor time so far. Raises MeterError."""
        try:
            below = descendants(self._root, self._proc)
            total = self._ended() + sum(sum(int(one) for one in told[11:15]) for told in below.values())
        except (OSError, ValueError, IndexError) as error:
            raise MeterError(f"{domain.id} cannot be read any more: {error}") from error
        for pid in below:
            if self._forgets(pid):
                raise MeterError(f"{domain.id}: process {pid} ignores SIGCHLD: what its children spent ends with them")
        # Between a process's end and its parent's notice its time is nowhere; time never runs backwards.
        self._most = max(self._most, total)
        return (Tick(time.monotonic_ns(), self._most),)

    def health(self, domain: Domain) -> Health:
        """Return nothing known."""
        del domain
        return Health()

    def close(self) -> None:
        """Nothing is held."""

    def _ended(self) -> int:
        told = fields(self._proc / str(self._root) / "stat")
        return int(told[13]) + int(told[14])  # cutime and cstime: children that were waited for

    def _forgets(self, pid: int) -> bool:
        """Tell whether the system drops the processor time of a process's children when they end, waited for or not."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = (self._proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
            ignored = int(status.partition("\nSigIgn:")[2].split(maxsplit=1)[0], 16)
            return bool(ignored >> (signal.SIGCHLD - 1) & 1)
        return False
