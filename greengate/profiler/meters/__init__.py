"""Meters of energy: one interface, one table, one file each. What is absent is told with its reason, never raised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from greengate.power import Domain, DomainKind


@dataclass(frozen=True)
class Tick:
    """What a counter said at a moment, in ns of the monotonic clock."""

    ns: int
    count: int


@dataclass(frozen=True)
class Absent:
    """A domain, or a whole meter, that cannot be used: why, and the command or step that would make it usable.

    `kind` is of what is there and draws all the same; None where nothing is left out of a sum.
    """

    what: str
    reason: str
    help: str = ""
    kind: DomainKind | None = None


@dataclass(frozen=True)
class Found:
    """What a meter has on this machine, and what it has not."""

    domains: tuple[Domain, ...] = ()
    absent: tuple[Absent, ...] = ()


@dataclass(frozen=True)
class Health:
    """How a device is doing: degrees Celsius, reasons of throttling, processes that compute on it, watts and limit.

    `processes` is None where the device does not tell them: whether anyone else computes on it is then not known.
    """

    temperature: float | None = None
    throttled: tuple[str, ...] = ()
    processes: int | None = 0
    mig: bool = False
    watts: float | None = None
    limit: float | None = None


class MeterError(Exception):
    """A counter that was found cannot be read any more, now or from the moment `since` on, in ns; says why."""

    def __init__(self, why: str, since: int | None = None) -> None:
        super().__init__(why)
        self.since = since


class Meter(Protocol):
    """A kind of counter. `every` is the pause between two reads in seconds.

    A `strict` meter's counter is dropped where it disagrees with the device's own power, or where that is not told;
    of others it is told.

    Ticks of domains whose method is in DATED carry the time of their own; for the others, a reader sees the counter
    change between two reads.
    """

    every: float
    strict: bool

    def discover(self) -> Found:
        """Return the domains of this machine and the reasons for those that cannot be used; never raises."""
        ...

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return the newest ticks of a cumulative counter, at least one where it counts. Raises MeterError."""
        ...

    def health(self, domain: Domain) -> Health:
        """Return how the domain's device is doing, as far as it tells. Raises MeterError."""
        ...

    def close(self) -> None:
        """Let go of drivers and files."""
        ...


def said(error: Exception) -> str:
    """Return the words of an error that nobody foresaw, with its kind: `'N/A'` alone says little."""
    return f"{type(error).__name__}: {error}"


#: Methods whose ticks say when they were: sampled power, logs, and models that are asked.
DATED = frozenset({"integrated", "metered", "estimated"})


@dataclass(frozen=True)
class Row:
    """One row of the table: what the meter reads and of what kind, what makes it, whether its numbers are a model's."""

    name: str
    about: str
    make: Callable[[], Meter]
    estimates: bool = False
    kind: DomainKind = "cpu"

    def discover(self, meter: Meter) -> Found:
        """Return what its meter finds; where that breaks, as foreign code may, what it would meter can be there."""
        try:
            return meter.discover()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are metered
            kind = None if self.estimates else self.kind
            return Found(absent=(Absent(self.name, f"looking for it failed: {said(error)}", kind=kind),))


def _made(module: str) -> Callable[[], Meter]:
    def make() -> Meter:
        meter: Meter = import_module(f"greengate.profiler.meters.{module}").make()
        return meter

    return make


#: Every meter that finds its counters by itself, best first; the external power log is named by the user.
METERS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("nvml", "NVIDIA GPUs, through the driver's management library", _made("nvml"), kind="gpu"),
        Row("amdsmi", "AMD GPUs, through the system's amdsmi", _made("amd"), kind="gpu"),
        Row("powercap", "processor packages and memory, through Linux powercap (RAPL)", _made("powercap")),
        Row("codecarbon", "codecarbon's model of the processor", _made("carbon"), estimates=True),
        Row("cpu-time", "processor time x watts of a busy thread", _made("cputime"), estimates=True),
    )
}
