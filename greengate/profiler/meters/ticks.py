"""The ticks of one cumulative counter: unwrapped, dated, and read from tick to tick. Pure.

A counter that ticks every tau seconds, read at the ends of a window W, is off by tau / (W sqrt 6) in the root mean
square. Read from its first tick inside to its last, it is off by the pause between two reads at most.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import pairwise

from greengate.power import Domain, Reading
from greengate.profiler.meters import DATED, Tick

#: More than any domain draws, in watts: bounds how soon a counter can have wrapped, and what it can have counted.
CEILINGS = {"cpu": 1000.0, "dram": 500.0, "gpu": 2500.0, "system": 50_000.0}
#: What a device may draw beyond its limit and still be believed.
BEYOND = 1.2
#: Seconds at the most possible watts that may be told at once: a counter that ticks seldom, a reader that is held up.
SLACK = 1.0

#: How far from its outermost ticks those may lie that a window is read at, as a share of what lies between them.
_NEAR = 0.05


class Series:
    """What a counter said, as counts since the first read; `fault` says why it cannot be trusted, once it cannot."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._dated = domain.method in DATED
        self._count: int | None = None
        self._read = 0
        self._total = 0
        # Like a bucket that fills by the most possible watts and holds a second of them: what is counted is taken out.
        self._most, self._limit = CEILINGS[domain.kind], 0.0
        self._left, self._changed, self._still = SLACK, 0, 0
        self._ns, self._totals, self._doubts = array("q"), array("q"), array("q")
        # From a moment to a moment, why, and after how many reads: what fails for days is one fault.
        self._faults: list[tuple[int, int, str, int]] = []
        self._reads = 0

    def __len__(self) -> int:
        return len(self._totals)

    @property
    def last(self) -> int:
        """The moment of the newest tick, in ns; 0 before the first."""
        return self._ns[-1] if self._ns else 0

    @property
    def total(self) -> int:
        """The counts since the first read."""
        return self._total

    @property
    def still(self) -> float:
        """The longest seconds that reads found it unchanged; what nobody read for a while did not stand still."""
        return self._still * 1e-9

    def limit(self, watts: float) -> None:
        """Take what the device says that it may draw; the highest counts, for limits can be set while it runs."""
        self._limit = max(self._limit, watts)
        self._most = self._limit * BEYOND

    def peak(self, seconds: float, begin: int = 0) -> float:
        """Return the highest mean counts a second over any stretch of about `seconds`, from the tick `begin` on."""
        least, highest, first = round(seconds * 1e9), 0.0, begin
        for last in range(begin + 1, len(self._totals)):
            while first + 1 < last and self._ns[last] - self._ns[first + 1] >= least:
                first += 1
            span = self._ns[last] - self._ns[first]
            if span >= min(least, self._ns[-1] - self._ns[begin]) and span > 0:
                highest = max(highest, (self._totals[last] - self._totals[first]) / span * 1e9)
        return highest

    def add(self, tick: Tick) -> None:
        """Take what was read. A change that was seen between two reads is dated half-way between them."""
        self._reads += 1
        if self._count is None:
            self._count, self._read, self._changed = tick.count, tick.ns, tick.ns
            if self._dated:
                self._append(tick.ns)
            return
        changed = tick.count != self._count
        step = self._step(tick)
        step = self._possible(step, tick.ns) if changed else step
        when = tick.ns if self._dated else (self._read + tick.ns) // 2
        doubt = 0 if self._dated else tick.ns - self._read
        self._count, self._read = tick.count, tick.ns
        if not changed and not self._dated:
            self._still = max(self._still, tick.ns - self._changed)
        if changed or self._dated:
            self._total += step
            self._append(when, doubt)

    def mark(self, ns: int, fault: str) -> None:
        """Note why what was read around a moment cannot be used."""
        since, until, why, reads = self._faults[-1] if self._faults else (0, 0, "", -1)
        if (why, reads) == (fault, self._reads):
            self._faults[-1] = (min(since, ns), max(until, ns), fault, reads)
        else:
            self._faults.append((ns, ns, fault, self._reads))

    def reading(self, start: int, end: int) -> Reading | None:
        """Return what was counted from the first tick inside to the last; None where there are not two.

        A reader that was held up dates a tick badly: near either end, the tick that is dated best is taken.
        """
        size = len(self._totals)
        first = bisect_left(self._ns, start, 0, size)
        last = bisect_right(self._ns, end, 0, size) - 1
        if last <= first:
            return None
        near = round((self._ns[last] - self._ns[first]) * _NEAR)
        early = bisect_right(self._ns, self._ns[first] + near, first, last)
        late = bisect_left(self._ns, self._ns[last] - near, early, last + 1)
        first = min(range(first, max(early, first + 1)), key=self._doubts.__getitem__)
        last = min(range(last, min(late, last) - 1, -1), key=self._doubts.__getitem__)
        counts = self._totals[last] - self._totals[first]
        return Reading(counts, self._ns[last] - self._ns[first], last - first)

    def fault(self, start: int, end: int) -> str:
        """Return why readings between two moments cannot be used; empty where they can."""
        return next((why for since, until, why, _ in self._faults if since <= end and start <= until), "")

    def longest(self, start: int, end: int) -> int:
        """Return the longest ns between successive ticks that lie between two moments."""
        size = len(self._totals)
        inside = self._ns[bisect_left(self._ns, start, 0, size) : bisect_right(self._ns, end, 0, size)]
        return max((later - earlier for earlier, later in pairwise(inside)), default=0)

    def gaps(self) -> list[int]:
        """Return the ns between successive ticks."""
        return [later - earlier for earlier, later in zip(self._ns, self._ns[1:], strict=False)]

    def _append(self, ns: int, doubt: int = 0) -> None:
        # The totals last: a reader in another thread goes by their number.
        self._ns.append(ns)
        self._doubts.append(doubt)
        self._totals.append(self._total)

    def _possible(self, step: int, now: int) -> int:
        """Return the counts since the last change; none, and a fault, where no domain of its kind draws so much.

        A counter that began anew in the upper half of its range looks as if it had wrapped, and one can leap.
        """
        seconds, joules = (now - self._changed) * 1e-9, step * self._domain.joules
        self._changed = now
        if self._domain.method == "estimated":  # a model's watts are its own: of 1,000 threads more than any package's
            return step
        left = self._left + seconds - joules / self._most
        self._left = min(max(left, 0.0), SLACK)
        if left >= 0:
            return step
        said = f"{self._domain.id} counted {joules:.4g} J in {seconds:.2g} s"
        self.mark(now, f"{said}: that cannot be, at most {self._most:.4g} W are possible; did it begin anew?")
        return 0

    def _step(self, tick: Tick) -> int:
        """Return the counts since the last read; over a wrap, modulo the range."""
        domain, step = self._domain, tick.count - (self._count or 0)
        if domain.range:
            seconds = (tick.ns - self._read) * 1e-9
            if seconds * CEILINGS[domain.kind] > domain.range * domain.joules:
                self.mark(tick.ns, f"{domain.id} was not read for {seconds:.0f} s: it can have wrapped more than once")
                return max(0, step)
        if step >= 0:
            return step
        wrapped = step % (domain.range + 1) if domain.range else 0
        # A wrap goes from near the range to near zero; anything else is a counter that ran backwards or began anew.
        if not domain.range or wrapped > domain.range // 2:
            self.mark(tick.ns, f"{domain.id} ran backwards")
            return 0
        return wrapped
