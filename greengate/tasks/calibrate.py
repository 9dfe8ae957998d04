"""`greengate calibrate`: measure models of many sizes on a machine with counters, and fit joules to instructions."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from greengate import gate
from greengate.calibration import FEWEST, Calibration, Gauged, error_of, fitted, held_out
from greengate.compare import CALIBRATED
from greengate.differences import simulation_difference
from greengate.errors import Diagnostic, GreengateError
from greengate.metrics import METRICS, SIMULATED
from greengate.profile import Missing, Profile
from greengate.profiler import calibration_models
from greengate.profiler.meters import METERS
from greengate.profiler.trial import Progress
from greengate.units import format_change, format_quantity

#: What a point is made of: energy of 1,000 inferences, seconds of a call, and what was counted.
_NEEDED = (CALIBRATED, "latency_p50", *SIMULATED)


@dataclass(frozen=True)
class Done:
    """A calibration, by which share each point is missed by a fit without its family, and what was left out, why."""

    calibration: Calibration
    misses: tuple[float, ...]
    left_out: tuple[str, ...]


def calibrate(request: gate.Request, now: datetime.datetime, progress: Progress) -> Done:
    """Measure the models that `request` names, or this version's own, one after the other, and fit.

    Raises GreengateError `cannot-calibrate` where nothing counts energy here, or too few models can be used.
    """
    if 0 < len(request.models) < FEWEST:
        raise _cannot(f"{len(request.models)} models were named, {FEWEST} are needed", "name more, or none at all")
    if not request.models and (lacking := _uncounted()):
        raise _cannot(f"nothing counts energy here: {lacking}", "see `greengate doctor`")
    with tempfile.TemporaryDirectory(prefix="greengate-") as folder:
        families = {path: path for path in request.models} or calibration_models.write(Path(folder))
        return _done(families, request, now, progress)


def _uncounted() -> str:
    """Say why no counter of energy can be read, before minutes are spent; empty where one can."""
    lacking = []
    for row in METERS.values():
        if row.estimates:
            continue
        meter = row.make()
        try:
            found = row.discover(meter)
        finally:
            meter.close()
        if found.domains:
            return ""
        lacking += [f"{one.what}: {one.reason}" for one in found.absent]
    return "; ".join(lacking) or "no meter is known"


def _done(families: Mapping[str, str], request: gate.Request, now: datetime.datetime, progress: Progress) -> Done:
    asked = replace(request, budget=None, against="none", energy=True, simulated=SIMULATED)
    first: Profile | None = None
    points: list[Gauged] = []
    left_out: list[str] = []
    for path, family in families.items():
        found = gate.profile(replace(asked, models=(path,)), now, progress, twice=False)
        if not isinstance(found, Profile):
            raise TypeError("a model by itself gives a profile")
        point = _point(found, family, first)
        if isinstance(point, Missing):
            left_out.append(f"{Path(path).name}: {point.reason}")
            if not points and point.kind == "unavailable":  # nor will it be for the others
                raise _cannot(f"this machine cannot: {point.reason}", point.help or "see `greengate doctor`")
        else:
            points.append(point)
            first = first or found
    if first is None or len(points) < FEWEST:
        lost = "; ".join(left_out[:3])
        raise _cannot(f"{len(points)} of {len(families)} models can be used, {FEWEST} are needed: {lost}", "name more")
    misses = held_out(points)
    return Done(_calibration(first, points, error_of(misses)), misses, tuple(left_out))


def _point(found: Profile, family: str, first: Profile | None) -> Gauged | Missing:
    """Return a model's point, or why it has none; `first` is the profile that it must be alike."""
    values = []
    for metric in _NEEDED:
        said = found.measurements[metric]
        if isinstance(said, Missing):
            return replace(said, reason=f"no {metric}: {said.reason}")
        if said.method == "estimated":
            return Missing(f"{metric} is only estimated here ({said.detail})", "unavailable", "see `greengate doctor`")
        values.append(said.value)
    if first is not None and (unlike := _unlike(first, found)):
        return Missing(f"it was counted otherwise than the first model: {unlike}", "incomparable")
    joules, seconds, instructions, traffic = values
    return Gauged(found.model.name, family, instructions, traffic, seconds, joules / 1000)


def _unlike(first: Profile, other: Profile) -> str:
    if dict(first.runtime) != dict(other.runtime):
        return "another runtime"
    if first.workload.threads != other.workload.threads:
        return "another number of threads"
    return simulation_difference(first.simulation, other.simulation, cache=True) or ""


def _calibration(first: Profile, points: list[Gauged], error: float) -> Calibration:
    what, power = first.simulation, first.power
    if what is None or power is None:
        raise ValueError("a point is counted and metered")
    return Calibration(
        machine=first.hardware.cpu,
        hardware=first.hardware.id,
        created=first.created,
        counters=tuple(domain.id for domain in power.domains),
        runtime=first.runtime,
        valgrind=what.valgrind,
        instruction_set=what.instruction_set,
        cache=what.cache,
        threads=first.workload.threads,
        fit=fitted(points),
        error=error,
        models=tuple(points),
    )


def _cannot(message: str, help: str) -> GreengateError:
    return GreengateError(Diagnostic("cannot-calibrate", message, help))


def render(done: Done) -> str:
    """Say what was found, in lines."""
    return "\n".join(_lines(done))


def _lines(done: Done) -> Iterator[str]:
    known, fit = done.calibration, done.calibration.fit
    yield known.about
    yield f"counters  {', '.join(known.counters)}"
    yield (
        f"fit       {fit.instruction_joules * 1e9:.3g} nJ an instruction, {fit.byte_joules * 1e9:.3g} nJ a byte of "
        f"traffic, {fit.watts:.3g} W; a second is {1 / _or_nan(fit.instruction_seconds):.3g} instructions"
    )
    for name, values in (
        ("instructions", [one.instructions for one in known.models]),
        ("data_traffic", [one.traffic for one in known.models]),
    ):
        low, high = (format_quantity(one, METRICS[name].dimension) for one in (min(values), max(values)))
        yield f"holds for {low} to {high} of {name}"
    yield "missed    by a fit that saw no model of the same family:"
    for point, miss in zip(known.models, done.misses, strict=True):
        yield f"  {point.model:24} {format_quantity(point.joules, 'energy'):>12} {format_change(miss):>9}"
    for lost in done.left_out:
        yield f"left out  {lost}"
    yield f"a rule must leave room for {format_change(2 * known.error)[1:]} or more to be judged by it"


def _or_nan(value: float) -> float:
    return value or float("nan")
