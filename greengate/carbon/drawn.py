"""What a machine drew while something ran: its counters, followed from a beginning to an end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from greengate.carbon.record import Spent, weakest
from greengate.power import Domain, EnergyMethod
from greengate.profiler.meters import Absent, Meter
from greengate.profiler.meters.calibration import beside_power
from greengate.profiler.meters.recorder import Recorder

#: Seconds between two reads: no counter wraps twice in this.
_PAUSE = 0.25


@dataclass(frozen=True)
class Drawn:
    """Joules by counter, and what was not counted.

    `joules` is None unless the processor and every board that is there were counted to the end: a part is never left
    out of a sum; `lost` says which would be. An external meter stands for all.
    """

    domains: tuple[Spent, ...] = ()
    absent: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Spent, ...]:
        """What the sum is made of; empty where it would leave something out."""
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
    """Follows meters from `start` to `stop`."""

    def __init__(self, meters: Sequence[tuple[Meter, Sequence[Domain]]], absent: Sequence[Absent]) -> None:
        self._meters, self._absent = meters, absent
        self._recorder = Recorder(meters, pause=_PAUSE)
        self._recorder.start()
        self._since = time.monotonic_ns()
        # A log tells of the time before, too.
        self._begun = {name: (len(series), series.total) for name, series in self._recorder.series.items()}

    def stop(self, beside: Sequence[str] = ()) -> Drawn:
        """Read every counter a last time and return what they counted; `beside` is what drew and was not counted."""
        self._recorder.stop()
        seconds = (time.monotonic_ns() - self._since) * 1e-9
        spent: list[Spent] = []
        lost = [*beside, *(f"{one.what}: {one.reason}" for one in self._absent if one.kind is not None)]
        absent = [*lost, *(f"{one.what}: {one.reason}" for one in self._absent if one.kind is None)]
        for meter, domain in ((meter, domain) for meter, domains in self._meters for domain in domains):
            found = self._spent(domain)
            if isinstance(found, Spent) and meter.strict:
                found = self._held(domain, found, seconds)
            if isinstance(found, Spent):
                spent.append(found)
            else:
                absent.append(found)
                # Memory that draws nothing is not told by its zone on many machines; a processor or a board draws.
                lost += [] if domain.kind == "dram" and "did not change" in found else [found]
        return Drawn(tuple(spent), tuple(absent), tuple(lost))

    def _held(self, domain: Domain, spent: Spent, seconds: float) -> Spent | str:
        """Return what a strict meter counted where it agrees with the device's own power, else why not."""
        told = [health.watts for _, health in self._recorder.health[domain.id] if health.watts is not None]
        why, _ = beside_power(replace(domain, watts=spent.joules / seconds), told, strict=True)
        return f"{domain.id}: {why}" if why else spent

    def _spent(self, domain: Domain) -> Spent | str:
        series = self._recorder.series[domain.id]
        if why := series.fault(0, time.monotonic_ns()):
            return why
        ticks, before = self._begun[domain.id]
        counts = series.total - before
        if not counts:
            return f"{domain.id}: it did not change meanwhile"
        peak = series.peak(1.0, max(0, ticks - 1)) * domain.joules
        return Spent(domain.id, domain.kind, domain.method, domain.about, counts * domain.joules, peak)
