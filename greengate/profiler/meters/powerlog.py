"""An external meter's log: lines `t,watts`, t in seconds since 1970, written while the gate measures.

The meter's clock and this machine's differ: `offset` seconds are added to its times. Power between two lines is
taken as the mean of both. Nothing is known of what was drawn where the log begins anew: under another heading, after
a long silence, or where its clock was set back.

When a line comes tells of the meter's clock: one that is ahead says what is not yet, and one whose lines all come late
is behind, or keeps them back for so long that nobody can tell.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from greengate import stats
from greengate.power import METER, Domain
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick
from greengate.profiler.meters.logline import is_heading, misnamed, numbers

#: Bytes at a log's end that are read for a start: they tell how often it ticks, however long it has been written.
_TAIL = 1 << 16
#: Bytes of a line at most, and of what is read at once: what is no log is not read to its end.
_LONGEST, _AT_ONCE = 4096, 1 << 20
_UNBROKEN = f"has a line of more than {_LONGEST} bytes"
#: Seconds without a line after which a log begins anew.
_SILENT = 120.0
#: What is a time at all, this machine's clock being right: from the year 2000 on, and a day ahead at most.
_OLDEST, _NEWEST = 946_684_800.0, 86_400.0
#: Seconds that a line may lie ahead: by so much clocks differ, and times are rounded. A reader that is held up sees a
#: line later, never sooner.
_AHEAD = 0.5
#: Seconds, and ticks, that the newest line may be old when it comes: a mean is dated at its beginning by some meters.
_PROMPT, _PROMPT_TICKS = 0.5, 1.0
#: Times in a row, and seconds, after which nothing but late lines is no hiccup of a busy machine.
_LATE_READS, _LATE_SECONDS = 2, 1.5
#: Lines that tell how often the log ticks.
_RECENT = 21
#: Seconds by which this machine's clock may move against the one that windows are timed with; beyond, it was set.
_SET = 0.2
_NUMBERS = "let the meter write lines of two numbers, seconds and watts, with decimal points, under `t,watts`"
_IN_SECONDS = "write t in seconds since 1970, or set `clock_offset`"
#: Characters of a line that are shown.
_SHOWN = 40


class PowerLog:
    """Follows the end of the file `path`."""

    every = 0.1
    strict = False

    def __init__(self, path: Path, offset: float = 0.0) -> None:
        self._path, self._offset = path, offset
        self._at = 0
        self._heading: str | None = None
        self._columns = 2
        self._last: tuple[float, float] | None = None
        self._gaps: deque[float] = deque(maxlen=_RECENT)
        self._microjoules = 0.0
        # Wall clocks can be set: the distance is kept, and looked after.
        self._epoch = _distance()
        self._asked: float | None = None  # when the log was read last; what is new has come since
        self._fresh, self._late = 0.0, 0  # when a line last came in time, and how often none has since

    def discover(self) -> Found:
        """Return the one domain, where the file is there and its lines can be read."""
        try:
            lines = self._tail()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            return _absent(f"{self._path} cannot be read: {why}", "start the meter's log")
        except MeterError as error:
            return _absent(f"{self._path} {error}", _NUMBERS)
        before: float | None = None
        for begin, line in lines:
            found = numbers(line, self._columns)
            if found is None or before is None or not before <= found[0] <= before + _SILENT:
                self._at = begin
            before = None if found is None else found[0]
        if lines and before is None and (last := lines[-1][1]) != self._heading:
            why = f"{self._path} has a line that is not `t,watts`: {last[:_SHOWN]!r}"
            return _absent(why, _NUMBERS)
        if before is not None and (wrong := self._misdated(before)):
            help_ = "set the meter's clock, or `clock_offset`" if self._is_time(before) else _IN_SECONDS
            return _absent(f"{self._path} {wrong}", help_)
        about = f"external meter, {self._path.name}"
        return Found((Domain(METER, "system", "metered", about, 1e-6),))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return a tick for every line that was added since the last read. Raises MeterError."""
        before, self._asked = self._asked, time.monotonic()
        self._fresh = self._asked if before is None else self._fresh
        since = self._moment()
        faults = self._set(before)
        try:
            with self._path.open("rb") as file:
                anew = file.seek(0, os.SEEK_END) < self._at
                self._at = 0 if anew else self._at
                file.seek(self._at)
                added = file.read(_AT_ONCE)
        except OSError as error:
            raise MeterError(f"{domain.id} cannot be read any more: {error.strerror}", since) from error
        whole = added[: added.rfind(b"\n") + 1]
        if not self._at and whole and (wrong := self._begin(whole[: whole.find(b"\n") + 1])):
            raise MeterError(f"{domain.id}: its log {wrong}", since)  # time and again
        self._at += len(whole)
        ticks: list[Tick] = []
        faults += ["its file was begun anew"] if anew else []
        faults += [f"its log {_UNBROKEN}"] if len(added) - len(whole) > _LONGEST else []
        for line in whole.decode("utf-8", errors="replace").splitlines():
            found = self._next(line)
            if isinstance(found, Tick):
                ticks.append(found)
            elif found:
                faults.append(found)
        faults += self._held_back(before) if ticks else []
        if faults:  # the ticks beside it are cumulative: those that follow tell of them
            raise MeterError(f"{domain.id}: {faults[0]}", since)
        return ticks

    def health(self, domain: Domain) -> Health:
        """Return nothing known."""
        del domain
        return Health()

    def close(self) -> None:
        """Nothing is held."""

    def _tail(self) -> list[tuple[int, str]]:
        """Return the whole lines at the end, each with where it begins.

        Raises OSError, UnicodeDecodeError, and MeterError for what is no log of lines.
        """
        if not stat.S_ISREG(self._path.stat().st_mode):
            raise MeterError("is no ordinary file")
        with self._path.open("rb") as file:
            first = file.readline(_LONGEST + 1)
            wrong = self._begin(first)
            begin = file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            *lines, half = file.read(_TAIL).split(b"\n")
        if max(map(len, (first, *lines, half))) > _LONGEST:
            raise MeterError(_UNBROKEN)
        if wrong:
            raise MeterError(wrong)
        if begin and lines:  # it begins before the tail
            begin += len(lines.pop(0)) + 1
        self._at, found = begin, []
        for line in lines:
            found.append((begin, line.decode("utf-8").strip()))
            begin += len(line) + 1
        return found

    def _begin(self, first: bytes) -> str:
        """Take the first line of the file for its heading, if it is a whole one; say what is wrong with it."""
        line = first.decode("utf-8", errors="replace").strip()
        named = first.endswith(b"\n") and is_heading(line)
        self._heading, self._columns = (line, line.count(",") + 1) if named else (None, 2)
        wrong = misnamed(line) if named else ""
        return f"has the heading {line[:_SHOWN]!r}, {wrong}" if wrong else ""

    def _next(self, line: str) -> Tick | str:
        """Return the tick of the next line, or why it does not follow; empty for the heading."""
        found = numbers(line, self._columns)
        if found is None and line.strip() == self._heading:
            return "its log was begun anew" if self._last is not None else ""
        if found is None:  # what a meter writes beyond its range, or without a reading: it draws, nobody knows what
            return f"its log has a line that is not `t,watts`: {line.strip()[:_SHOWN]!r}"
        (seconds, watts), last = found, self._last
        if wrong := self._misdated(seconds):
            return f"its log {wrong}"
        if last is not None and seconds < last[0]:
            return f"its clock went back by {last[0] - seconds:.3g} s"
        self._last = (seconds, watts)
        if last is not None and seconds - last[0] > _SILENT:
            return f"its log was silent for {seconds - last[0]:.0f} s"
        if last is not None:
            self._gaps.append(seconds - last[0])
            self._microjoules += (watts + last[1]) / 2 * (seconds - last[0]) * 1e6
        return Tick(self._ns(seconds), round(self._microjoules))

    def _ns(self, seconds: float) -> int:
        return round((seconds + self._offset - self._epoch) * 1e9)

    def _moment(self) -> int | None:
        """Return the moment of the newest line that counts."""
        return None if self._last is None else self._ns(self._last[0])

    def _set(self, before: float | None) -> list[str]:
        """Say that this machine's clock was set since the log was read; go on by the new one."""
        distance = _distance()
        moved = distance - self._epoch
        if abs(moved) <= _SET:
            return []
        self._epoch = distance
        if self._last is not None:  # by a clock that was set along with it, the next line follows
            self._last = (self._last[0] + moved, self._last[1])
        return [] if before is None else [f"this machine's clock was set by {moved:+.3g} s"]

    def _held_back(self, before: float | None) -> list[str]:
        """Say that the newest lines come late, again and again; what has just come was not there `before`."""
        if before is None or self._last is None or self._asked is None:
            return []
        late = before + self._epoch - self._offset - self._last[0]
        if late <= _PROMPT + _PROMPT_TICKS * (stats.median(self._gaps) if self._gaps else 0.0):
            self._fresh, self._late = self._asked, 0
            return []
        self._late += 1
        if self._late < _LATE_READS or self._asked - self._fresh < _LATE_SECONDS:
            return []
        return [f"its newest lines are {late:.1f} s old when they come: its clock is behind, or they are held back"]

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


def _distance() -> float:
    """Return the time of this machine's clock less that of the one that windows are timed with.

    Of several looks the quickest: a thread can be held up between the two.
    """
    looks = []
    for _ in range(3):
        begun = time.monotonic()
        wall = time.time()
        ended = time.monotonic()
        looks.append((ended - begun, wall - (begun + ended) / 2))
    return min(looks)[1]


def _absent(reason: str, help_: str) -> Found:
    return Found(absent=(Absent("power log", reason, help_, "system"),))
