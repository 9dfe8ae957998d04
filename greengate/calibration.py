"""Joules fitted to what can be counted anywhere: on a machine with counters, for machines without. Pure.

An inference of a model is taken to draw

    joules = per instruction x instructions + per byte x traffic + watts x seconds,

none of the three below zero. Seconds are those of the calibrated machine; elsewhere they are not known, so they are
fitted too, from instructions and traffic, and the error that is told is that of both together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

#: Models that a calibration needs.
FEWEST = 20
#: Numbers of a model beyond this, or below one by it, are no measurement; their squares would overflow.
_MOST = 1e30
#: By which share, or how much, a fit and an error may differ from what another version of numpy finds again.
_ROUNDING, _LEAST = 1e-6, 1e-9


@dataclass(frozen=True)
class Gauged:
    """What one inference of a model took on the calibrated machine; models of one `family` are alike in build."""

    model: str
    family: str
    instructions: float
    traffic: float
    seconds: float
    joules: float


@dataclass(frozen=True)
class Fit:
    """What an inference draws: joules an instruction, joules a byte of traffic, watts; and the seconds it takes."""

    instruction_joules: float
    byte_joules: float
    watts: float
    instruction_seconds: float = 0.0
    byte_seconds: float = 0.0

    def joules(self, instructions: float, traffic: float, seconds: float | None = None) -> float:
        """Return the joules of an inference; without its seconds, those that the machine would take."""
        if seconds is None:
            seconds = self.instruction_seconds * instructions + self.byte_seconds * traffic
        return self.instruction_joules * instructions + self.byte_joules * traffic + self.watts * seconds


@dataclass(frozen=True)
class Calibration:
    """A fit with the machine it is of, and the processor on which instructions must be counted to be put into it.

    `error` is how far a model that took no part may be off, as a share, at 95 %. `models` are what it was fitted to.
    """

    machine: str
    hardware: str
    created: str
    counters: tuple[str, ...]
    runtime: Mapping[str, str]
    valgrind: str
    instruction_set: str
    cache: str
    threads: int
    fit: Fit
    error: float
    models: tuple[Gauged, ...] = field(default=())

    @property
    def about(self) -> str:
        """Say what an estimate by it rests on."""
        return (
            f"calibrated on {self.machine} ({self.hardware}), {self.created[:10]}, "
            f"{len(self.models)} models, ±{100 * self.error:.2g} %"
        )


@dataclass(frozen=True)
class Calibrated:
    """What the estimates of a profile rest on, in words, and how far off they may be, as a share."""

    about: str
    error: float


def fitted(points: Sequence[Gauged]) -> Fit:
    """Return the fit with the least squares of relative errors, no coefficient below zero.

    Raises ValueError without points.
    """
    counted = [(one.instructions, one.traffic) for one in points]
    timed = [(*pair, one.seconds) for pair, one in zip(counted, points, strict=True)]
    joules = _least_squares(timed, [one.joules for one in points])
    seconds = _least_squares(counted, [one.seconds for one in points])
    return Fit(*joules, *seconds)


def held_out(points: Sequence[Gauged]) -> tuple[float, ...]:
    """Return by which share each point's joules are missed by a fit that never saw a model of its family."""
    found = []
    for point in points:
        others = [one for one in points if one.family != point.family]
        found.append(fitted(others).joules(point.instructions, point.traffic) / point.joules - 1)
    return tuple(found)


def error_of(misses: Sequence[float]) -> float:
    """Return what the next miss does not exceed in 95 of 100 cases, by those at hand.

    The (n + 1) x 95 % smallest of n, the largest where that is beyond them (split conformal prediction, Vovk 2005).
    """
    sizes = sorted(map(abs, misses))
    return sizes[min(len(sizes), math.ceil(0.95 * (len(sizes) + 1))) - 1]


def flaw(found: Calibration) -> str:
    """Say what of a calibration cannot be, or does not follow from its own models; empty where all does."""
    fit, points = found.fit, found.models
    if len(points) < FEWEST or len({one.family for one in points}) < 2:
        return f"it has {len(points)} models, and {FEWEST} of two families or more are needed"
    if not found.counters:
        return "it names no counter that it was measured with"
    for one in points:
        if not all(1 / _MOST < number < _MOST for number in (one.instructions, one.traffic, one.seconds, one.joules)):
            return f"instructions, traffic, seconds or joules of {one.model} cannot be"
    if min(fit.instruction_joules, fit.byte_joules, fit.watts, fit.instruction_seconds, fit.byte_seconds) < 0:
        return "a coefficient of its fit is below zero"
    expected = fitted(points)
    for one in points:
        for seconds in (None, one.seconds):
            own, told = (each.joules(one.instructions, one.traffic, seconds) for each in (fit, expected))
            if not (own > 0 and math.isclose(own, told, rel_tol=_ROUNDING)):
                return (
                    f"its fit is not that of its models: {own:.6g} J for {one.model}, where theirs gives {told:.6g} J"
                )
    error = error_of(held_out(points))
    if not math.isclose(error, found.error, rel_tol=_ROUNDING, abs_tol=_LEAST):
        return f"its error is not that of its models: {found.error:.6g}, where families held out give {error:.6g}"
    return "" if found.error > 0 else "an error of 0 cannot be"


def outside(points: Sequence[Gauged], instructions: float, traffic: float) -> str:
    """Say in what a model lies outside of what was calibrated; empty where it does not."""
    asked: tuple[tuple[str, Callable[[float, float], float], float], ...] = (
        ("instructions an inference", lambda own, _: own, instructions),
        ("bytes of traffic an inference", lambda _, own: own, traffic),
        ("bytes an instruction", lambda own, other: other / own, traffic / instructions),
    )
    for name, of, value in asked:
        known = [of(one.instructions, one.traffic) for one in points]
        if not min(known) <= value <= max(known):
            return f"{value:,.4g} {name}, and the models that were measured had {min(known):,.4g} to {max(known):,.4g}"
    return ""


def _least_squares(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """Return non-negative coefficients with the least sum of squared relative errors.

    With so few unknowns every choice of those that are zero can be tried: the best that has none below zero is the
    solution (Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23).
    """
    import numpy

    target = numpy.array(wanted, dtype=float)
    table = numpy.array(rows, dtype=float) / target[:, None]
    unknowns = table.shape[1]
    best, least = [0.0] * unknowns, math.inf
    for kept in itertools.chain.from_iterable(
        itertools.combinations(range(unknowns), count) for count in range(1, unknowns + 1)
    ):
        scale = numpy.linalg.norm(table[:, kept], axis=0)
        if not scale.all():
            continue
        found = numpy.linalg.lstsq(table[:, kept] / scale, numpy.ones(len(target)), rcond=None)[0] / scale
        missed = float(((table[:, kept] @ found - 1) ** 2).sum())
        if (found >= 0).all() and missed < least:
            best, least = [0.0] * unknowns, missed
            for place, value in zip(kept, found, strict=True):
                best[place] = float(value)
    return best
