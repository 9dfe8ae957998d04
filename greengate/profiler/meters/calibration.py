"""Calibration of a counter before it is used: does it tick, how often, are its watts possible, is the device alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from greengate import stats
from greengate.power import Domain
from greengate.profiler.meters import Absent, Health, Meter
from greengate.profiler.meters.recorder import Recorder
from greengate.profiler.meters.remedies import remedy
from greengate.profiler.meters.ticks import BEYOND, CEILINGS

#: Ticks that are enough, and seconds after which there must be some.
ENOUGH, LONGEST = 20, 2.2
#: How far a counter and the device's own power may lie apart before it is said, and before a strict meter is dropped.
APART, TOO_FAR = 0.05, 0.10
#: Times that a device must tell its power before its counter can be held beside it.
_TOLD = 3
_PAUSE = 0.02
_FROZEN = "it is frozen"


@dataclass(frozen=True)
class Calibrated:
    """The domains that can be used, with tick and watts; those that cannot, with the reason; and what to know."""

    domains: tuple[Domain, ...]
    absent: tuple[Absent, ...]
    notes: tuple[str, ...]


def calibrate(recorder: Recorder, meters: Sequence[tuple[Meter, Sequence[Domain]]]) -> Calibrated:
    """Watch the counters of a recorder that was started until they have ticked often enough.

    A model of energy is not watched: it counts only while something runs.
    """
    begun = time.monotonic_ns()
    health = {domain.id: _health(meter, domain) for meter, domains in meters for domain in domains}
    power = _watch(recorder, meters)
    ended = time.monotonic_ns()
    domains: list[Domain] = []
    absent: list[Absent] = []
    notes: list[str] = []
    for meter, each in meters:
        for domain in each:
            if domain.method == "estimated":
                domains.append(domain)
                continue
            found = _ticking(recorder, domain, begun, ended)
            why = found if isinstance(found, str) else _unusable(found, health[domain.id])
            if not why and not isinstance(found, str):
                why, said = beside_power(found, power[domain.id], strict=meter.strict)
                notes += [*said, *_state(found, health[domain.id])]
            if why or isinstance(found, str):
                # Memory that draws nothing is not told by its zone on many machines; a processor or a board draws.
                silent = domain.kind == "dram" and why.startswith(_FROZEN)
                left_out = Absent(domain.id, why, kind=None if silent else domain.kind)
                absent.append(replace(left_out, help=remedy(left_out)))
            else:
                domains.append(found)
    return Calibrated(tuple(domains), tuple(absent), tuple(notes))


def _watch(recorder: Recorder, meters: Sequence[tuple[Meter, Sequence[Domain]]]) -> dict[str, list[float]]:
    """Wait for ticks; meanwhile sample the power that devices tell, in watts."""
    power: dict[str, list[float]] = {name: [] for name in recorder.series}
    counted = [domain.id for _, domains in meters for domain in domains if domain.method != "estimated"]
    held = [domain.id for meter, domains in meters for domain in domains if meter.strict]
    # Ticks of a log are there from before; when its lines come shows only now.
    logged = any(domain.method == "metered" for _, domains in meters for domain in domains)
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline and (
        logged
        or any(len(recorder.series[name]) <= ENOUGH for name in counted)
        or any(len(power[name]) < _TOLD for name in held)
    ):
        time.sleep(_PAUSE)
        for meter, domains in meters:
            for domain in domains:
                if domain.kind == "gpu" and domain.method == "counter":
                    watts = _health(meter, domain).watts
                    power[domain.id] += [] if watts is None else [watts]
    return power


def _health(meter: Meter, domain: Domain) -> Health:
    try:
        return meter.health(domain)
    except Exception:  # noqa: BLE001 - foreign code; the recorder's own look says it
        return Health(processes=None)


def _ticking(recorder: Recorder, domain: Domain, begun: int, ended: int) -> Domain | str:
    """Return the domain with its tick and watts, or why it cannot be used."""
    series = recorder.series[domain.id]
    if why := series.fault(0, ended):
        return why
    reading = series.reading(begun, ended) or series.reading(0, ended)
    if reading is None or not reading.ns:
        return f"{_FROZEN}: it did not change twice in {(ended - begun) * 1e-9:.1f} s"
    watts = reading.counts * domain.joules / (reading.ns * 1e-9)
    return replace(domain, tick=stats.median(series.gaps()) * 1e-9, watts=watts)


def _unusable(domain: Domain, health: Health) -> str:
    limit = health.limit * BEYOND if health.limit else CEILINGS[domain.kind]
    if not 0 < domain.watts <= limit:
        return f"its {domain.watts:.4g} W cannot be: at most {limit:.4g} W are possible"
    if health.mig:
        return "the board is split by MIG: its counter is the whole board's"
    if health.processes:
        return f"{health.processes} other process computes on it" + " already" * (health.processes == 1)
    return ""


def beside_power(domain: Domain, power: Sequence[float], strict: bool) -> tuple[str, list[str]]:
    """Hold the counter beside the device's own power: why it is dropped, and what is said."""
    if len(power) < _TOLD:
        why = f"its counter cannot be held beside its own power, which was told {len(power)} times"
        return why if strict else "", []
    mean = sum(power) / len(power)
    apart = domain.watts / mean - 1 if mean > 0 else 0.0
    if strict and abs(apart) > TOO_FAR:
        return f"its counter says {domain.watts:.4g} W where its power sensor says {mean:.4g} W", []
    if abs(apart) <= APART:
        return "", []
    return "", [
        f"{domain.id}: the counter says {domain.watts:.4g} W, its own power sensor, integrated, {mean:.4g} W "
        f"({apart * 100:+.0f} %)"
    ]


def _state(domain: Domain, health: Health) -> list[str]:
    said = [f"{domain.id}: its clocks are slowed by {', '.join(health.throttled)}"] if health.throttled else []
    if health.temperature is not None:
        said.append(f"{domain.id}: {health.temperature:.0f} degrees Celsius before the trial")
    if health.processes is None:
        said.append(f"{domain.id}: it does not tell who computes on it: whether it is alone is not known")
    return said
