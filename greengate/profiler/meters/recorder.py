"""Reading counters while something else runs: one thread a meter, every change kept."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence

from greengate.power import Domain, Reading
from greengate.profiler.meters import DATED, Health, Meter, MeterError, said
from greengate.profiler.meters.ticks import Series

#: Seconds between two looks at a device's health, and how long a log may lag behind.
_HEALTH, _LAG = 1.0, 3.0


class Recorder:
    """Follows the domains of several meters from `start` to `stop`; `pause` is the least time between two reads.

    With a pause nothing is compared that looks at devices could disturb: those of a strict meter come as often.
    """

    def __init__(self, meters: Sequence[tuple[Meter, Sequence[Domain]]], pause: float = 0.0) -> None:
        self._meters, self._pause = meters, pause
        self._domains = {domain.id: domain for _, domains in meters for domain in domains}
        self.series = {name: Series(domain) for name, domain in self._domains.items()}
        self.health: dict[str, list[tuple[int, Health]]] = {name: [] for name in self._domains}
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Read every counter once, then go on in the background."""
        for meter, domains in self._meters:
            self._read(meter, domains)
            thread = threading.Thread(target=self._follow, args=(meter, domains), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Read every counter a last time, and let go of the meters."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for meter, domains in self._meters:
            self._read(meter, domains)
            with contextlib.suppress(Exception):  # what it counted is read
                meter.close()

    def readings(self, start: int, end: int) -> Mapping[str, Reading]:
        """Return what every domain counted between two moments; a domain without two ticks in between is left out."""
        deadline = time.monotonic() + _LAG
        found: dict[str, Reading] = {}
        for name, series in self.series.items():
            late = self._domains[name].method in DATED
            while late and series.last < end and time.monotonic() < deadline:
                time.sleep(0.02)
            # What a mean over the past says first is of the time before.
            settled = start + round(self._domains[name].span * 1e9)
            if (reading := series.reading(settled, end)) is not None:
                found[name] = reading
        return found

    def _follow(self, meter: Meter, domains: Sequence[Domain]) -> None:
        pause = max(self._pause, meter.every)
        looked, often = 0.0, self._pause if self._pause and meter.strict else _HEALTH
        while not self._stopped.wait(pause):
            self._read(meter, domains)
            if time.monotonic() - looked >= often:
                looked = time.monotonic()
                self._look(meter, domains)

    def _read(self, meter: Meter, domains: Sequence[Domain]) -> None:
        for domain in domains:
            series = self.series[domain.id]
            try:
                for tick in meter.read(domain):
                    series.add(tick)
            except Exception as error:  # noqa: BLE001 - foreign code: it ends a domain, never the thread
                for ns in (time.monotonic_ns(), error.since if isinstance(error, MeterError) else None):
                    if ns is not None:
                        series.mark(ns, _broken(domain, error))

    def _look(self, meter: Meter, domains: Sequence[Domain]) -> None:
        for domain in domains:
            try:
                health = meter.health(domain)
                self.health[domain.id].append((time.monotonic_ns(), health))
                if health.limit:
                    self.series[domain.id].limit(health.limit)
            except Exception as error:  # noqa: BLE001 - as above
                self.series[domain.id].mark(time.monotonic_ns(), _broken(domain, error))


def _broken(domain: Domain, error: Exception) -> str:
    return str(error) if isinstance(error, MeterError) else f"{domain.id} cannot be read any more: {said(error)}"
