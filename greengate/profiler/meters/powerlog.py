"""An external meter's log: lines `t,watts`, t in seconds since 1970, written while the gate measures.

The meter's clock and this machine's differ: `offset` seconds are added to its times. Power between two lines is
taken as the mean of both. Nothing is known of what was drawn where the log begins anew: under another heading, after
a long silence, or where its clock was set back.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

from greengate.power import METER, Domain
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick

#: Bytes at a log's end that are read for a start: they tell how often it ticks, however long it has been written.
_TAIL = 1 << 16
#: Seconds without a line after which a log begins anew.
_SILENT = 120.0
#: What is a time at all, this machine's clock being right: from the year 2000 on, and a day ahead at most.
_OLDEST, _NEWEST = 946_684_800.0, 86_400.0
#: Seconds that a line may lie ahead: by so much two clocks differ. What lies beyond was written before it was measured.
_AHEAD = 5.0
_IN_SECONDS = "write t in seconds since 1970, or set `clock_offset`"
#: Watts beyond which a line is none of a meter.
_MOST = 1e6


class PowerLog:
    """Follows the end of the file `path`."""

    every = 0.1
    strict = False

    def __init__(self, path: Path, offset: float = 0.0) -> None:
        self._path, self._offset = path, offset
        self._at = 0
        self._heading: str | None = None
        self._last: tuple[float, float] | None = None
        self._microjoules = 0.0
        # Wall clocks can be set; the distance is taken once.
        self._epoch = time.time() - time.monotonic()

    def discover(self) -> Found:
        """Return the one domain, where the file is there and its lines can be read."""
        try:
            lines = self._tail()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            return _absent(f"{self._path} cannot be read: {why}", "start the meter's log")
        before: float | None = None
        for begin, line in lines:
            numbers = _numbers(line)
            if numbers is None and line != self._heading:
                return _absent(f"{self._path} has a line that is not `t,watts`", "mend it")
            if numbers is None or before is None or not before <= numbers[0] <= before + _SILENT:
                self._at = begin
            before = None if numbers is None else numbers[0]
        if before is not None and (wrong := self._misdated(before)):
            help_ = "set the meter's clock, or `clock_offset`" if self._is_time(before) else _IN_SECONDS
            return _absent(f"{self._path} {wrong}", help_)
        about = f"external meter, {self._path.name}"
        return Found((Domain(METER, "system", "metered", about, 1e-6),))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return a tick for every line that was added since the last read. Raises MeterError."""
        try:
            with self._path.open("rb") as file:
                anew = file.seek(0, os.SEEK_END) < self._at
                self._at = 0 if anew else self._at
                file.seek(self._at)
                added = file.read()
        except OSError as error:
            raise MeterError(f"{domain.id} cannot be read any more: {error.strerror}") from error
        whole = added[: added.rfind(b"\n") + 1]
        self._at += len(whole)
        ticks: list[Tick] = []
        faults = ["its file was begun anew"] if anew else []
        for line in whole.decode("utf-8", errors="replace").splitlines():
            found = self._next(line)
            if isinstance(found, Tick):
                ticks.append(found)
            elif found:
                faults.append(found)
        if faults:  # the ticks beside it are cumulative: those that follow tell of them
            raise MeterError(f"{domain.id}: {faults[0]}")
        return ticks

    def health(self, domain: Domain) -> Health:
        """Return nothing known."""
        del domain
        return Health()

    def close(self) -> None:
        """Nothing is held."""

    def _tail(self) -> list[tuple[int, str]]:
        """Return the whole lines at the end, each with where it begins. Raises OSError and UnicodeDecodeError."""
        with self._path.open("rb") as file:
            first = file.readline().decode("utf-8").strip()
            self._heading = first if _numbers(first) is None else None
            if file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL)):
                file.readline()  # it begins before the tail
            self._at = begin = file.tell()
            found = []
            for line in file:
                if line.endswith(b"\n"):
                    found.append((begin, line.decode("utf-8").strip()))
                begin += len(line)
        return found

    def _next(self, line: str) -> Tick | str:
        """Return the tick of the next line, or why it does not follow; empty for one that says nothing."""
        numbers = _numbers(line)
        if numbers is None:
            return "its log was begun anew" if line.strip() == self._heading and self._last is not None else ""
        (seconds, watts), last = numbers, self._last
        if wrong := self._misdated(seconds):
            return f"its log {wrong}"
        if last is not None and seconds < last[0]:
            return f"its clock went back by {last[0] - seconds:.3g} s"
        self._last = (seconds, watts)
        if last is not None and seconds - last[0] > _SILENT:
            return f"its log was silent for {seconds - last[0]:.0f} s"
        if last is not None:
            self._microjoules += (watts + last[1]) / 2 * (seconds - last[0]) * 1e6
        return Tick(round((seconds + self._offset - self._epoch) * 1e9), round(self._microjoules))

    def _misdated(self, seconds: float) -> str:
        """Say what is wrong with the time of a line; empty for nothing."""
        if not self._is_time(seconds):
            guess = ": are these milliseconds?" if seconds > _OLDEST else ""
            return f"has a line at t = {seconds:.15g}, which is no time in seconds since 1970{guess}"
        ahead = seconds + self._offset - self._now()
        return f"has a line {ahead:.1f} s ahead of this machine's clock" if ahead > _AHEAD else ""

    def _is_time(self, seconds: float) -> bool:
        return _OLDEST <= seconds + self._offset <= self._now() + _NEWEST

    def _now(self) -> float:
        return time.monotonic() + self._epoch


def _absent(reason: str, help_: str) -> Found:
    return Found(absent=(Absent("power log", reason, help_, "system"),))


def _numbers(line: str) -> tuple[float, float] | None:
    """Return time and watts of a line; None for a heading or anything else."""
    try:
        seconds, watts = (float(one) for one in line.split(",")[:2])
    except ValueError:
        return None
    return (seconds, watts) if math.isfinite(seconds) and 0 <= watts <= _MOST else None
