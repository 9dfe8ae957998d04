"""An external meter's log: lines `t,watts`, t in seconds since 1970, written while the gate measures.

The meter's clock and this machine's differ: `offset` seconds are added to its times. Power between two lines is
taken as the mean of both.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

from greengate.power import Domain
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick

#: Bytes at a log's end that are read for a start: they tell how often it ticks, however long it has been written.
_TAIL = 1 << 16


class PowerLog:
    """Follows the end of the file `path`."""

    every = 0.1
    strict = False

    def __init__(self, path: Path, offset: float = 0.0) -> None:
        self._path, self._offset = path, offset
        self._at = 0
        self._last: tuple[float, float] | None = None
        self._microjoules = 0.0
        # Wall clocks can be set; the distance is taken once.
        self._epoch = time.time() - time.monotonic()

    def discover(self) -> Found:
        """Return the one domain, where the file is there and its lines can be read."""
        try:
            with self._path.open("rb") as file:
                if file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL)):
                    file.readline()  # it begins before the tail
                self._at = file.tell()
                lines = file.read().decode("utf-8").splitlines()
            numbers = [_numbers(line) for line in lines[1:-1]]
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            return Found(absent=(Absent("power log", f"{self._path} cannot be read: {why}", "start the meter's log"),))
        if any(one is None for one in numbers):
            return Found(absent=(Absent("power log", f"{self._path} has a line that is not `t,watts`", "mend it"),))
        about = f"external meter, {self._path.name}"
        return Found((Domain("meter", "system", "metered", about, 1e-6),))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return a tick for every line that was added since the last read. Raises MeterError."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                added = file.read()
        except OSError as error:
            raise MeterError(f"{domain.id} cannot be read any more: {error.strerror}") from error
        whole = added[: added.rfind(b"\n") + 1]
        self._at += len(whole)
        return tuple(
            self._tick(*numbers)
            for line in whole.decode("utf-8", errors="replace").splitlines()
            if (numbers := _numbers(line)) is not None
        )

    def health(self, domain: Domain) -> Health:
        """Return nothing known."""
        del domain
        return Health()

    def close(self) -> None:
        """Nothing is held."""

    def _tick(self, seconds: float, watts: float) -> Tick:
        if self._last is not None and seconds > self._last[0]:
            self._microjoules += (watts + self._last[1]) / 2 * (seconds - self._last[0]) * 1e6
        self._last = (seconds, watts)
        return Tick(round((seconds + self._offset - self._epoch) * 1e9), round(self._microjoules))


def _numbers(line: str) -> tuple[float, float] | None:
    """Return time and watts of a line; None for a heading or anything else."""
    try:
        seconds, watts = (float(one) for one in line.split(",")[:2])
    except ValueError:
        return None
    return (seconds, watts) if math.isfinite(seconds) and math.isfinite(watts) and watts >= 0 else None
