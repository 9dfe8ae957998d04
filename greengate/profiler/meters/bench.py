"""All meters of a machine, opened, calibrated and followed while models run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from greengate.power import Domain, Reading
from greengate.profiler.meters import METERS, Absent, Found, Meter
from greengate.profiler.meters.calibration import calibrate
from greengate.profiler.meters.powerlog import PowerLog
from greengate.profiler.meters.recorder import Recorder

#: Processes that compute on a board while a launch runs: its worker.
_OURS = 1
#: Seconds, and ticks, without a line of a log, after which nothing is known of what was drawn meanwhile. A log of whole
#: seconds is silent for one.
_SILENT, _SILENT_TICKS = 1.1, 5.0
#: Degrees Celsius between the coolest and the hottest moment of a launch that a reader should know of.
_WARMED = 5.0


@dataclass(frozen=True)
class Energy:
    """How energy is metered: seconds for a comparison, whether models of it may stand in, and an external log.

    `refused` is a log that is named and must not be read.
    """

    seconds: float = 240.0
    estimates: bool = False
    log: str | None = None
    offset: float = 0.0
    refused: Absent | None = None


class Bench(Protocol):
    """Counters that are being followed; moments are ns on the clock that windows are timed with."""

    @property
    def domains(self) -> tuple[Domain, ...]:
        """What can be read."""
        ...

    @property
    def absent(self) -> tuple[Absent, ...]:
        """What cannot, with its reason."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What calibration found."""
        ...

    def readings(self, start: int, end: int) -> Mapping[str, Reading]:
        """Return what every domain counted between two moments."""
        ...

    def faults(self, start: int, end: int) -> Mapping[str, str]:
        """Return why readings of a domain between two moments cannot be used."""
        ...

    def remarks(self, start: int, end: int) -> tuple[str, ...]:
        """Return what a reader should know of the devices between two moments."""
        ...


@dataclass(frozen=True)
class Meters:
    """The bench of this machine."""

    domains: tuple[Domain, ...]
    absent: tuple[Absent, ...]
    notes: tuple[str, ...]
    recorder: Recorder = field(repr=False)

    def readings(self, start: int, end: int) -> Mapping[str, Reading]:
        """Return what every domain counted between two moments, from tick to tick."""
        return self.recorder.readings(start, end)

    def faults(self, start: int, end: int) -> Mapping[str, str]:
        """Return why a domain's readings cannot be used: it broke, or its device was not alone or not itself."""
        found: dict[str, str] = {}
        for domain in self.domains:
            why = self.recorder.series[domain.id].fault(start, end) or self._silent(domain, start, end)
            for ns, health in self.recorder.health[domain.id]:
                if why or not start <= ns <= end:
                    continue
                if health.processes is not None and health.processes > _OURS:
                    why = f"{health.processes - _OURS} other process computed on {domain.id}"
                elif health.throttled:
                    why = f"the clocks of {domain.id} were slowed by {', '.join(health.throttled)}"
            if why:
                found[domain.id] = why
        return found

    def _silent(self, domain: Domain, start: int, end: int) -> str:
        """Say that a log said nothing for a while; what it is read from bridges that as if it were nothing."""
        if domain.method != "metered":
            return ""
        seconds = self.recorder.series[domain.id].longest(start, end) * 1e-9
        if seconds <= max(_SILENT, _SILENT_TICKS * domain.tick):
            return ""
        return f"{domain.id} said nothing for {seconds:.1f} s, where it says something every {domain.tick:.2g} s"

    def remarks(self, start: int, end: int) -> tuple[str, ...]:
        """Return which devices warmed up or cooled down by more than a few degrees."""
        said = []
        for domain in self.domains:
            seen = [
                health.temperature
                for ns, health in self.recorder.health[domain.id]
                if start <= ns <= end and health.temperature is not None
            ]
            if seen and max(seen) - min(seen) > _WARMED:
                said.append(f"{domain.id} went from {min(seen):.0f} to {max(seen):.0f} degrees Celsius in one launch")
        return tuple(said)


def discover(energy: Energy) -> tuple[list[tuple[Meter, Sequence[Domain]]], list[Absent]]:
    """Find the domains of this machine, and what is absent with its reason.

    A model stands in for the processor only where nothing counts its energy and the caller allows it.
    """
    meters: list[tuple[Meter, Sequence[Domain]]] = []
    absent: list[Absent] = []

    def take(meter: Meter, found: Found) -> Found:
        absent.extend(found.absent)
        if found.domains:
            meters.append((meter, found.domains))
        else:
            meter.close()
        return found

    if energy.refused is not None:
        absent.append(energy.refused)
    elif energy.log is not None:
        log = PowerLog(Path(energy.log), energy.offset)
        take(log, log.discover())
    for row in METERS.values():
        if not row.estimates:
            take(meter := row.make(), row.discover(meter))
    if energy.estimates and not any(domain.kind in ("cpu", "system") for _, each in meters for domain in each):
        for row in METERS.values():
            if row.estimates and take(meter := row.make(), row.discover(meter)).domains:
                return meters, stood_for(absent)
    return meters, absent


def stood_for(absent: Sequence[Absent]) -> list[Absent]:
    """Return what is absent where a model stands for the processor: its own counters leave nothing out any more."""
    return [replace(one, kind=None) if one.kind in ("cpu", "dram") else one for one in absent]


@contextmanager
def opened(energy: Energy) -> Iterator[Meters]:
    """Open the meters of this machine, calibrate them, and follow them until the end."""
    meters, absent = discover(energy)
    recorder = Recorder(meters)
    recorder.start()
    try:
        found = calibrate(recorder, meters)
        yield Meters(found.domains, (*absent, *found.absent), found.notes, recorder)
    finally:
        recorder.stop()
