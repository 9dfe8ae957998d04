"""What a machine drew while something ran: its counters, followed from a beginning to an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from greengate import stats
from greengate.carbon.record import Spent, weakest
from greengate.power import Domain, EnergyMethod
from greengate.profiler.meters import Absent, Meter
from greengate.profiler.meters.calibration import beside_power
from greengate.profiler.meters.recorder import Recorder

#: Seconds between two reads: no counter wraps twice in this.
_PAUSE = 0.25
#: A counter that stands still for so many seconds, and so many times as long as it does in the median, is frozen.
_STILL, _TIMES = 10.0, 50
#: Of a short run it is half of it, but so many seconds at least.
_LEAST = 2.0

Discovered = tuple[Sequence[tuple[Meter, Sequence[Domain]]], Sequence[Absent]]


@dataclass(frozen=True)
class Drawn:
    """Joules by counter, and what was not counted.

    `joules` is None unless the processor and every board that is there were counted to the end: a part is never left
    out of a sum; `lost` says which would be. An external meter stands for all, but not for what `ran_on`.
    """

    domains: tuple[Spent, ...] = ()
    absent: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    ran_on: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Spent, ...]:
        """What the sum is made of; empty where it would leave something out."""
        if self.ran_on:
            return ()
        system = tuple(one for one in self.domains if one.kind == "system")
        whole = any(one.kind == "cpu" for one in self.domains) and not self.lost
        return system or (self.domains if whole else ())

    @property
    def joules(self) -> float | None:
        """The sum; None where it would leave something out."""
        return sum(one.joules for one in self.parts) if self.parts else None

    @property
    def method(self) -> EnergyMethod | None:
        """How the sum came about: the weakest of its parts; None where there is none."""
        return weakest(self.parts) if self.parts else None


class Watch:
    """Follows meters until `stop`; `again` discovers the machine's counters anew then, for what came meanwhile."""

    def __init__(
        self,
        meters: Sequence[tuple[Meter, Sequence[Domain]]],
        absent: Sequence[Absent],
        again: Callable[[], Discovered] | None = None,
    ) -> None:
        self._meters, self._absent, self._again = meters, absent, again
        self._recorder = Recorder(meters, pause=_PAUSE)
        self._recorder.start()
        self._since = time.monotonic_ns()
        # A log tells of the time before, too.
        self._begun = {name: (len(series), series.total) for name, series in self._recorder.series.items()}

    def stop(self, ran_on: Sequence[str] = ()) -> Drawn:
        """Read every counter a last time and return what they counted; `ran_on` is what drew on after that."""
        self._recorder.stop()
        seconds = (time.monotonic_ns() - self._since) * 1e-9
        spent: list[Spent] = []
        lost = [f"{one.what}: {one.reason}" for one in self._absent if one.kind is not None]
        lost += [] if self._again is None else self._appeared(*self._again())
        absent = [*ran_on, *lost, *(f"{one.what}: {one.reason}" for one in self._absent if one.kind is None)]
        for meter, domain in ((meter, domain) for meter, domains in self._meters for domain in domains):
            found = self._spent(domain, seconds)
            if isinstance(found, Spent) and meter.strict:
                found = self._held(domain, found, seconds)
            if isinstance(found, Spent):
                spent.append(found)
            else:
                absent.append(found)
                # Memory that draws nothing is not told by its zone on many machines; a processor or a board draws.
                lost += [] if domain.kind == "dram" and "did not change" in found else [found]
        return Drawn(tuple(spent), tuple(absent), tuple(lost), tuple(ran_on))

    def _held(self, domain: Domain, spent: Spent, seconds: float) -> Spent | str:
        """Return what a strict meter counted where it agrees with the device's own power, else why not."""
        told = [health.watts for _, health in self._recorder.health[domain.id] if health.watts is not None]
        why, _ = beside_power(replace(domain, watts=spent.joules / seconds), told, strict=True)
        return f"{domain.id}: {why}" if why else spent

    def _appeared(self, meters: Sequence[tuple[Meter, Sequence[Domain]]], absent: Sequence[Absent]) -> list[str]:
        """Return what is there now and was not when this began: a board, a package, a board that was split."""
        for meter, _ in meters:
            meter.close()
        before = [domain for _, domains in self._meters for domain in domains]
        known = {domain.id for domain in before} | {one.what for one in self._absent}
        told = {(one.what, one.kind) for one in self._absent}
        # A model of the processor stands for all of it.
        modelled = {"cpu", "dram"} if any(domain.method == "estimated" for domain in before) else set()
        found = [
            f"{domain.id}: it was not there, or not to be read, when this began"
            for _, domains in meters
            for domain in domains
            if domain.id not in known and domain.kind not in modelled
        ]
        return found + [
            f"{one.what}: {one.reason}, which it was not when this began"
            for one in absent
            if one.kind is not None and (one.what, one.kind) not in told and one.kind not in modelled
        ]

    def _spent(self, domain: Domain, seconds: float) -> Spent | str:
        series = self._recorder.series[domain.id]
        if why := series.fault(0, time.monotonic_ns()):
            return why
        ticks, before = self._begun[domain.id]
        counts = series.total - before
        if not counts:
            return f"{domain.id}: it did not change meanwhile"
        if series.still > _LEAST:
            usual = max(_STILL, _TIMES * stats.median(series.gaps() or [0]) * 1e-9)
            if series.still > max(_LEAST, min(usual, seconds / 2)):
                return f"{domain.id}: it stood still for {series.still:.0f} s, what was drawn in them is not counted"
        peak = series.peak(1.0, max(0, ticks - 1)) * domain.joules
        return Spent(domain.id, domain.kind, domain.method, domain.about, counts * domain.joules, peak)
