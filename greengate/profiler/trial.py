"""Measuring one model, or two side by side: launches until every interval is narrow enough, or time is up.

The protocol: each launch is a fresh process that holds the baseline, the candidate and the baseline a second time (the
control), and runs single calls of them in balanced order; the launch is the unit of resampling. Stopping looks at
precision only, never at which side of a limit an interval is; a failure is confirmed by a second look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from greengate import estimate
from greengate.budget import WorkerLimits
from greengate.profile import Ended, Input, Launch, Missing, Profile, Role, Trial
from greengate.profiler import lock
from greengate.profiler.backends import format_of
from greengate.profiler.exact import Subject, refused, unrun, untimed
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.launching import LAUNCHES, launch
from greengate.profiler.steady import remarks

#: The launches after which precision is looked at: few looks, so that stopping early costs little coverage.
LOOKS = (LAUNCHES, 8, 11, 15, 20, 27, 36, 48, 64)


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

    The first look takes at most estimate.FIRST_SHARE of the time, as in a trial.
    Raises ModelError when the model is at fault.
    """
    if unrun(counted) is not None:
        return counted, 0.0
    run = _launch_until_precise({"candidate": subject}, _first_look(effort), limits, progress)
    measured = _with_noisy(counted, "candidate", run.launches, run.failure, effort)
    kept = (run.launches, (len(run.launches),)) if run.launches else ((), ())
    return replace(measured, notes=(*measured.notes, *run.notes), launches=kept[0], looks=kept[1]), run.seconds


def trial(
    subjects: Mapping[Role, Subject],
    counted: Mapping[Role, Profile],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress = silent,
) -> Trial:
    """Measure baseline and candidate together, with the baseline a second time as the control.

    The first look takes at most estimate.FIRST_SHARE of the time. A role that cannot run here, or whose worker broke
    while counting, is left out: its numbers are Missing, and so is every change. Raises ModelError when a model is at
    fault.
    """
    sound = {role: subject for role, subject in subjects.items() if unrun(counted[role]) is None}
    if "candidate" not in sound:  # nobody judges a baseline by itself
        return Trial(untimed(counted["baseline"]), counted["candidate"], (), "none", 0.0)
    run = _launch_until_precise(_with_control(sound), _first_look(effort), limits, progress)
    before, after = (
        _with_noisy(counted[role], role, run.launches, run.failure, effort) if role in sound else counted[role]
        for role in ("baseline", "candidate")
    )
    notes = (*_input_notes(before, after), *run.notes)
    return Trial(before, after, run.launches, run.ended_by, run.seconds, notes, (len(run.launches),))


def _with_control(roles: Mapping[Role, Subject]) -> dict[Role, Subject]:
    """Add the baseline a second time, where it runs beside the candidate."""
    return {**roles, "control": roles["baseline"]} if len(roles) == 2 else dict(roles)


def _first_look(effort: Effort) -> Effort:
    return replace(effort, max_seconds=effort.max_seconds * estimate.FIRST_SHARE)


def confirm(
    found: Trial, subjects: Mapping[Role, Subject], effort: Effort, limits: WorkerLimits, progress: Progress = silent
) -> Trial:
    """Take a second look at the metrics of `effort` with fresh launches: as many as the first had, if time allows.

    Returns the trial with both looks; the same trial where not one more launch fits into the time. A role that the
    first look left out is left out again.
    """
    ran = {role: subject for role, subject in subjects.items() if role in found.launches[0].samples}
    run = _again(found.launches, _with_control(ran), _left(effort, found.seconds), limits, progress)
    if not run.launches:
        return replace(found, notes=_notes(found.notes, run))
    launches = (*found.launches, *run.launches)
    before, after = (
        _with_noisy(one, role, launches, run.failure, effort) if role in ran else one
        for role, one in (("baseline", found.baseline), ("candidate", found.candidate))
    )
    return replace(
        found,
        baseline=before,
        candidate=after,
        launches=launches,
        seconds=round(found.seconds + run.seconds, 3),
        notes=_notes(found.notes, run),
        looks=(*found.looks, len(launches)),
    )


def confirm_alone(
    found: Profile,
    seconds: float,
    subject: Subject,
    effort: Effort,
    limits: WorkerLimits,
    *,
    progress: Progress = silent,
) -> tuple[Profile, float]:
    """Take a second look at one model measured by itself, as `confirm` does; `seconds` were spent on the first.

    Returns the profile with both looks and the seconds of both.
    """
    run = _again(found.launches, {"candidate": subject}, _left(effort, seconds), limits, progress)
    if not run.launches:
        return replace(found, notes=_notes(found.notes, run)), seconds
    launches = (*found.launches, *run.launches)
    both = _with_noisy(found, "candidate", launches, run.failure, effort)
    looks = (*found.looks, len(launches))
    both = replace(both, launches=launches, looks=looks, notes=_notes(found.notes, run))
    return both, round(seconds + run.seconds, 3)


def _left(effort: Effort, spent: float) -> Effort:
    return replace(effort, max_seconds=effort.max_seconds - spent)


def _again(
    begun: Sequence[Launch],
    roles: Mapping[Role, Subject],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress,
) -> _Run:
    """Launch as often again as `begun`, in the time of `effort`."""
    again = replace(effort, precision=dict.fromkeys(effort.precision, 0.0))
    return _launch_until_precise(roles, again, limits, progress, begun=begun)


def _notes(found: Sequence[str], run: _Run) -> tuple[str, ...]:
    broke = [f"the second look ended early: {run.failure.reason}"] if run.failure is not None else []
    return tuple(dict.fromkeys((*found, *run.notes, *broke)))


@dataclass(frozen=True)
class _Run:
    launches: tuple[Launch, ...]
    ended_by: Ended
    seconds: float
    failure: WorkerFailed | None = None
    notes: tuple[str, ...] = ()


def _launch_until_precise(
    subjects: Mapping[Role, Subject],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress,
    begun: Sequence[Launch] = (),
) -> _Run:
    """Launch until precise or out of time; after the launches of a first look, `begun`, as many again."""
    if not subjects or not effort.precision:
        return _Run((), "none", 0.0)
    model = subjects.get("candidate", next(iter(subjects.values())))
    backend = format_of(model.path).load()
    with _alone(model, progress):
        started = backend.clock()
        launches: list[Launch] = []
        notes: dict[str, None] = {}  # in order, once each
        together = all(launch.together for launch in begun)

        def ended(by: Ended, failure: WorkerFailed | None = None) -> _Run:
            notes.update(dict.fromkeys(remarks(launches)))
            return _Run(tuple(launches), by, round(backend.clock() - started, 3), failure, tuple(notes))

        while wanted := _wanted(launches, effort, begun):
            spent = backend.clock() - started
            longest = max((launch.took for launch in (*begun, *launches)), default=0.0)
            # A launch that would overrun is not begun; the very first is, so that it can be said how long one takes.
            if (launches or begun) and spent + longest > effort.max_seconds:
                return ended("time")
            progress(Step(model.name, f"launch {len(launches) + 1}", spent, max(0.0, effort.max_seconds - spent)))
            try:
                made, found = launch(
                    lambda job: backend.run(job, limits), subjects, wanted, len(begun) + len(launches), together
                )
            except WorkerFailed as failed:
                if not (together and failed.out_of_memory and len(subjects) > 1):
                    return ended("failure", failed)
                together = False
                notes["the models did not fit into memory together: each ran in processes of its own"] = None
                continue
            except Refused as refusal:
                raise refused(refusal, model) from refusal
            launches.append(replace(made, took=round(backend.clock() - started - spent, 3)))
            notes.update(dict.fromkeys(found))
        return ended("precision")


@contextmanager
def _alone(model: Subject, progress: Progress) -> Iterator[None]:
    """Hold the machine for measuring, where measuring is real."""
    if not format_of(model.path).timed:
        yield
        return
    with lock.held(lambda holder: progress(Step(model.name, f"waiting for {holder}", 0.0, 0.0))):
        yield


def _wanted(launches: Sequence[Launch], effort: Effort, begun: Sequence[Launch]) -> frozenset[str]:
    """Return the metrics that want another launch; only precision is looked at, and only at LOOKS."""
    count = len(launches)
    if begun:
        return frozenset(effort.precision) if count < len(begun) else frozenset()
    look = max((one for one in LOOKS if one <= count), default=0)
    if not look:
        return frozenset(effort.precision)
    if count >= LOOKS[-1]:
        return frozenset()
    return imprecise(launches[:look], effort)


def imprecise(launches: Sequence[Launch], effort: Effort) -> frozenset[str]:
    """Return the metrics whose interval, of the change or of the control, is still wider than needed."""
    return frozenset(metric for metric, need in effort.precision.items() if _half_width(launches, metric) > need)


def _half_width(launches: Sequence[Launch], metric: str) -> float:
    if any("baseline" in launch.samples for launch in launches):
        found = [estimate.log_ratio(launches, metric), estimate.log_ratio(launches, metric, "control")]
        return max(math.inf if isinstance(one, Missing) else one.half_width for one in found)
    alone = estimate.measure(launches, "candidate", metric, 1)
    if isinstance(alone, Missing) or alone.interval is None:
        return math.inf
    return math.log(alone.interval.high / alone.interval.low) / 2


def _with_noisy(
    counted: Profile, role: Role, launches: Sequence[Launch], failure: WorkerFailed | None, effort: Effort
) -> Profile:
    if not effort.precision:
        return counted
    found = dict(counted.measurements)
    for metric in estimate.ESTIMATORS:
        value = estimate.measure(launches, role, metric, counted.workload.batch_size)
        # What nobody asked for is still told where the same launches give it.
        if metric not in effort.precision and isinstance(value, Missing):
            value = Missing("no rule names it", "skipped")
        # A failure of the worker explains a gap better than the gap itself.
        elif isinstance(value, Missing) and failure is not None:
            value = Missing(failure.reason, "failed", failure.help)
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
