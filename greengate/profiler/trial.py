"""Measuring one model, or two side by side: exact metrics once, noisy ones over launches until precise enough.

The protocol: each launch is a fresh process that holds both models and alternates single calls in balanced order;
the launch is the unit of resampling. Launches go on until every interval is as narrow as the rules need, or time is
up: stopping looks at precision only, never at which side of a limit the interval is.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from greengate import estimate
from greengate.budget import WorkerLimits
from greengate.profile import (
    Ended,
    Input,
    Launch,
    Missing,
    Profile,
    Role,
    Trial,
)
from greengate.profiler.backends import format_of
from greengate.profiler.exact import Subject, refused
from greengate.profiler.jobs import FootprintJob, LaunchJob, Refused, Sampled, WorkerFailed

#: Launches before the first look at precision, and the most a trial makes.
FIRST_LAUNCHES, MOST_LAUNCHES = 5, 60
#: Calls of each role in one launch.
FEWEST_CALLS, MOST_CALLS = 10, 5000
#: The share of the time budget one launch may spend inside calls, and its bounds in seconds.
LAUNCH_SHARE, LAUNCH_SECONDS = 1 / 40, (0.25, 1.0)

CALL_METRICS = frozenset(name for name, how in estimate.ESTIMATORS.items() if how.per_call)
FOOTPRINT_METRICS = frozenset(estimate.ESTIMATORS) - CALL_METRICS


@dataclass(frozen=True)
class Effort:
    """How much to measure: noisy metrics with the half-width of ln(change) each needs, and seconds to spend."""

    precision: Mapping[str, float]
    max_seconds: float = 60.0


@dataclass(frozen=True)
class Step:
    """What is being measured now, with seconds spent and seconds left at most."""

    model: str
    doing: str
    spent: float
    left: float


Progress = Callable[[Step], None]


def silent(_: Step) -> None:
    """Ignore progress."""


def profile(
    subject: Subject, counted: Profile, effort: Effort, limits: WorkerLimits, progress: Progress = silent
) -> tuple[Profile, float]:
    """Add the noisy metrics of one model, measured by itself, to its counted profile; return the seconds it took.

    Raises ModelError when the model is at fault.
    """
    sound: dict[Role, Subject] = {"candidate": subject} if counted.model.files else {}
    run = _launch_until_precise(sound, effort, limits, progress)
    return (_with_noisy(counted, "candidate", run, effort) if sound else counted), run.seconds


def trial(
    subjects: Mapping[Role, Subject],
    counted: Mapping[Role, Profile],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress = silent,
) -> Trial:
    """Measure baseline and candidate together.

    A role whose worker broke while counting is left out: its numbers are Missing, and so is every change.
    Raises ModelError when a model is at fault.
    """
    sound = {role: subject for role, subject in subjects.items() if counted[role].model.files}
    run = _launch_until_precise(sound, effort, limits, progress)
    before, after = (
        _with_noisy(counted[role], role, run, effort) if role in sound else counted[role]
        for role in ("baseline", "candidate")
    )
    notes = (*_input_notes(before, after), *run.notes)
    return Trial(before, after, run.launches, run.ended_by, run.seconds, notes)


@dataclass(frozen=True)
class _Run:
    launches: tuple[Launch, ...]
    ended_by: Ended
    seconds: float
    failure: WorkerFailed | None
    notes: tuple[str, ...]


def _launch_until_precise(
    subjects: Mapping[Role, Subject], effort: Effort, limits: WorkerLimits, progress: Progress
) -> _Run:
    if not subjects or not effort.precision:
        return _Run((), "none", 0.0, None, ())
    model = subjects.get("candidate", next(iter(subjects.values())))
    backend = format_of(model.path).load()
    started, longest = backend.clock(), 0.0
    launches: list[Launch] = []
    notes: dict[str, None] = {}  # in order, once each

    def ended(by: Ended, failure: WorkerFailed | None = None) -> _Run:
        return _Run(tuple(launches), by, round(backend.clock() - started, 3), failure, tuple(notes))

    for index in range(MOST_LAUNCHES):
        spent = backend.clock() - started
        wanted = imprecise(launches, effort) if index >= FIRST_LAUNCHES else frozenset(effort.precision)
        if not wanted:
            return ended("precision")
        # A launch that would overrun is not begun; the first is, so that there is something to say how long it takes.
        if launches and spent + longest > effort.max_seconds:
            return ended("time")
        progress(Step(model.name, f"launch {index + 1}", spent, max(0.0, effort.max_seconds - spent)))
        try:
            launch, found = _launch(lambda job: backend.run(job, limits), subjects, wanted, effort, index)
        except WorkerFailed as failure:
            return ended("failure", failure)
        except Refused as refusal:
            raise refused(refusal, model) from refusal
        launches.append(launch)
        notes.update(dict.fromkeys(found))
        longest = max(longest, backend.clock() - started - spent)
    return ended("time")


def imprecise(launches: Sequence[Launch], effort: Effort) -> frozenset[str]:
    """Return the metrics whose interval is still wider than needed; only precision is looked at."""
    return frozenset(metric for metric, need in effort.precision.items() if _half_width(launches, metric) > need)


def _half_width(launches: Sequence[Launch], metric: str) -> float:
    if any("baseline" in launch.samples for launch in launches):
        found = estimate.log_ratio(launches, metric)
        return math.inf if isinstance(found, Missing) else found.half_width
    alone = estimate.measure(launches, "candidate", metric, 1)
    if isinstance(alone, Missing) or alone.interval is None:
        return math.inf
    return math.log(alone.interval.high / alone.interval.low) / 2


def _launch(
    run: Callable[[LaunchJob | FootprintJob], Sampled],
    subjects: Mapping[Role, Subject],
    wanted: frozenset[str],
    effort: Effort,
    index: int,
) -> tuple[Launch, tuple[str, ...]]:
    spec = next(iter(subjects.values())).workload
    order = list(subjects)
    # The order of loading decides where buffers land; seeded, so that a trial can be repeated.
    random.Random(f"{spec.seed} {index}").shuffle(order)  # noqa: S311 - not a secret
    seed = spec.seed * MOST_LAUNCHES + index
    cpus = _pinned(spec.threads)
    jobs: list[tuple[LaunchJob | FootprintJob, Role | None]] = []
    if wanted & CALL_METRICS:
        low, high = LAUNCH_SECONDS
        seconds = min(max(effort.max_seconds * LAUNCH_SHARE, low), high)
        fewest = estimate.P99_CALLS // FIRST_LAUNCHES if "latency_p99" in wanted else FEWEST_CALLS
        paths = {role: subjects[role].path for role in order}
        jobs.append((LaunchJob(paths, tuple(order), spec, seed, seconds, fewest, MOST_CALLS, cpus), None))
    if wanted & FOOTPRINT_METRICS:
        jobs += [(FootprintJob(subjects[role].path, spec, seed, cpus), role) for role in order]
    samples: dict[str, dict[str, tuple[int, ...]]] = {role: {} for role in order}
    answers = [(run(job), role) for job, role in jobs]
    for answer, only in answers:
        for role, series in answer.samples.items():
            samples[only or role] |= series
    notes = tuple(note for answer, _ in answers for note in answer.notes)
    return Launch(seed, tuple(order), samples, sum(answer.seconds for answer, _ in answers)), notes


def _pinned(threads: int) -> tuple[int, ...]:
    """Choose the cores a launch is pinned to: the last ones, since interrupts favour the first."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))
    return tuple(cores[-threads:]) if threads <= len(cores) else ()


def _with_noisy(counted: Profile, role: Role, run: _Run, effort: Effort) -> Profile:
    if not effort.precision:
        return counted
    found = dict(counted.measurements)
    for metric in estimate.ESTIMATORS:
        value = estimate.measure(run.launches, role, metric, counted.workload.batch_size)
        # What nobody asked for is still told where the same launches give it.
        if metric not in effort.precision and isinstance(value, Missing):
            value = Missing("no rule names it", "skipped")
        # A failure of the worker explains a gap better than the gap itself.
        if isinstance(value, Missing) and run.failure is not None:
            value = Missing(run.failure.reason, "failed", run.failure.help)
        found[metric] = value
    return replace(counted, measurements=found)


def _input_notes(before: Profile, after: Profile) -> tuple[str, ...]:
    def written(inputs: tuple[Input, ...]) -> str:
        return ", ".join(f"{item.name} {item.dtype}{list(item.shape)}" for item in inputs)

    if not before.workload.inputs or not after.workload.inputs:
        return ()
    if (old := written(before.workload.inputs)) == (new := written(after.workload.inputs)):
        return ()
    return (f"the models take different inputs: baseline {old}; candidate {new}",)
