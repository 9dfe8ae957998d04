"""Measuring one model, or two side by side: launches until every interval is narrow enough, or time is up.

The protocol: each launch is a fresh process that holds the baseline, the candidate and the baseline a second time (the
control), and runs single calls of them in balanced order; the launch is the unit of resampling. Stopping looks at
precision only, never at which side of a limit an interval is; a failure is confirmed by a second look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from greengate import estimate
from greengate.budget import WorkerLimits
from greengate.energy import idle_watts
from greengate.power import Power
from greengate.profile import Ended, Input, Launch, Missing, Profile, Role, Trial
from greengate.profiler import lock
from greengate.profiler.backends import format_of
from greengate.profiler.exact import UNASKED, Subject, unrun, untimed
from greengate.profiler.launching import launch
from greengate.profiler.metering import beyond_reach, doings, idle_notes, meter, needs_processor, unmetered
from greengate.profiler.stopping import Effort, Progress, Run, Step, launch_until_precise, silent

__all__ = ["Effort", "Progress", "Step", "confirm", "confirm_alone", "profile", "silent", "trial"]


def profile(
    subject: Subject, counted: Profile, effort: Effort, limits: WorkerLimits, progress: Progress = silent
) -> tuple[Profile, float]:
    """Add the noisy metrics of one model, measured by itself, to its counted profile; return the seconds it took.

    The first look takes estimate.FIRST_SHARE of the time, as in a trial.
    Raises ModelError when the model is at fault.
    """
    if unrun(counted) is not None:
        return counted, 0.0
    run = _measure({"candidate": subject}, replace(effort, part=estimate.FIRST_SHARE), limits, progress)
    measured = _with_noisy(counted, "candidate", run, effort)
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

    The first look takes estimate.FIRST_SHARE of the time, more where the fewest launches need it. A role that cannot
    run here, or whose worker broke while counting, is left out: its numbers are Missing, and so is every change. Raises
    ModelError when a model is at fault.
    """
    sound = {role: subject for role, subject in subjects.items() if unrun(counted[role]) is None}
    if "candidate" not in sound:  # nobody judges a baseline by itself
        return Trial(untimed(counted["baseline"]), counted["candidate"], (), "none", 0.0)
    run = _measure(_with_control(sound), replace(effort, part=estimate.FIRST_SHARE), limits, progress)
    before, after = (
        _with_noisy(counted[role], role, run, effort) if role in sound else counted[role]
        for role in ("baseline", "candidate")
    )
    notes = (*_input_notes(before, after), *run.notes)
    return Trial(before, after, run.launches, run.ended_by, run.seconds, notes, (len(run.launches),))


def _with_control(roles: Mapping[Role, Subject]) -> dict[Role, Subject]:
    """Add the baseline a second time, where it runs beside the candidate."""
    return {**roles, "control": roles["baseline"]} if len(roles) == 2 else dict(roles)


def confirm(
    found: Trial, subjects: Mapping[Role, Subject], effort: Effort, limits: WorkerLimits, progress: Progress = silent
) -> Trial:
    """Take a second look at the metrics of `effort` with fresh launches: as many as the first had, if time allows.

    Returns the trial with both looks; the same trial where not one more launch fits into the time. A role that the
    first look left out is left out again.
    """
    ran = {role: subject for role, subject in subjects.items() if role in found.launches[0].order}
    run = _again(found.launches, _with_control(ran), effort, limits, progress)
    if not run.launches:
        return replace(found, notes=_notes(found.notes, run))
    launches = (*found.launches, *run.launches)
    both = replace(run, launches=launches)
    before, after = (
        _with_noisy(one, role, both, effort) if role in ran else one
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
    run = _again(found.launches, {"candidate": subject}, effort, limits, progress)
    if not run.launches:
        return replace(found, notes=_notes(found.notes, run)), seconds
    launches = (*found.launches, *run.launches)
    both = _with_noisy(found, "candidate", replace(run, launches=launches), effort)
    looks = (*found.looks, len(launches))
    both = replace(both, launches=launches, looks=looks, notes=_notes(found.notes, run))
    return both, round(seconds + run.seconds, 3)


def _again(
    begun: Sequence[Launch],
    roles: Mapping[Role, Subject],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress,
) -> Run:
    """Launch as often again as `begun`, in what is left of the time."""
    again = replace(effort, precision=dict.fromkeys(effort.precision, 0.0))
    return _measure(roles, again, limits, progress, begun=begun)


def _notes(found: Sequence[str], run: Run) -> tuple[str, ...]:
    broke = [f"the second look ended early: {run.failure.reason}"] if run.failure is not None else []
    return tuple(dict.fromkeys((*found, *run.notes, *broke)))


def _measure(
    subjects: Mapping[Role, Subject],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress,
    begun: Sequence[Launch] = (),
) -> Run:
    """Time calls and weigh, then meter energy; each until precise or out of its own time.

    After the launches of a first look, `begun`, as many again.
    """
    if not subjects:
        return Run((), "none", 0.0)
    model = subjects.get("candidate", next(iter(subjects.values())))
    if model.workload.generate is None:
        effort = effort.without(estimate.GENERATED)
    timed, metered = effort.only(metered=False), effort.only(metered=True)
    backend = format_of(model.path).load()

    def once(wanted: frozenset[str], index: int, together: bool) -> tuple[Launch, tuple[str, ...]]:
        return launch(lambda job: backend.run(job, limits), subjects, wanted, index, together)

    calls, windows = ([one for one in begun if bool(one.windows) == kind] for kind in (False, True))
    run = Run((), "none", 0.0)
    if calls or not begun:
        with _alone(model, progress):
            run = launch_until_precise(once, model, timed, progress, calls, splits=len(subjects) > 1)
    if not metered.precision or run.failure is not None or (begun and not windows):
        return run
    with _alone(model, progress), backend.meters(model.path, effort.energy) as bench:
        missing = unmetered(bench)
        metered = metered.without(beyond_reach(bench, metered.precision))
        if not metered.precision:
            return replace(run, unmetered=missing)

        def window(wanted: frozenset[str], index: int, together: bool) -> tuple[Launch, tuple[str, ...]]:
            del wanted  # one launch gives all of a kind
            kinds = doings(metered.precision)
            return meter(lambda job: backend.run(job, limits), bench, subjects, index, together, kinds=kinds)

        more = launch_until_precise(window, model, metered, progress, windows, splits=len(subjects) > 1)
        found = _joined(run, replace(more, notes=(*bench.notes, *more.notes, *idle_notes(more.launches))))
        return replace(found, unmetered=missing)


def _joined(run: Run, more: Run) -> Run:
    ended = [one.ended_by for one in (run, more)]
    worst: Ended = next((by for by in ("failure", "time", "precision") if by in ended), "none")
    return Run(
        (*run.launches, *more.launches),
        worst,
        round(run.seconds + more.seconds, 3),
        run.failure or more.failure,
        tuple(dict.fromkeys((*run.notes, *more.notes))),
    )


@contextmanager
def _alone(model: Subject, progress: Progress) -> Iterator[None]:
    """Hold the machine for measuring, where measuring is real."""
    if not format_of(model.path).timed:
        yield
        return
    with lock.held(lambda holder: progress(Step(model.name, f"waiting for {holder}", 0.0, 0.0))):
        yield


def _with_noisy(counted: Profile, role: Role, run: Run, effort: Effort) -> Profile:
    if not effort.precision:
        return counted
    found = dict(counted.measurements)
    for metric in estimate.ESTIMATORS:
        if found.get(metric) == UNASKED:
            continue
        value = estimate.measure(run.launches, role, metric, counted.workload.batch_size)
        # What nobody asked for is still told where the same launches give it.
        if metric not in effort.precision and isinstance(value, Missing):
            before = found.get(metric)
            # A first look that was asked for it knows better why it is missing.
            if not (isinstance(before, Missing) and before.kind != "skipped"):
                before = Missing("no rule names it", "skipped")
            value = before
        # A failure of the worker explains a gap better than the gap itself.
        elif isinstance(value, Missing) and run.failure is not None:
            value = Missing(run.failure.reason, "failed", run.failure.help)
        elif isinstance(value, Missing) and run.unmetered is not None and _untold(metric, run):
            value = run.unmetered
        found[metric] = value
    metered = [one for one in run.launches if one.windows]
    power = Power(metered[0].domains, idle_watts(metered)) if metered else counted.power
    return replace(counted, measurements=found, power=power)


def _untold(metric: str, run: Run) -> bool:
    """Tell whether a metric is missing for want of the processor's counter, or of any."""
    return metric in estimate.METERED and (needs_processor(metric) or not any(one.windows for one in run.launches))


def _input_notes(before: Profile, after: Profile) -> tuple[str, ...]:
    def written(inputs: tuple[Input, ...]) -> str:
        return ", ".join(f"{item.name} {item.dtype}{list(item.shape)}" for item in inputs)

    if not before.workload.inputs or not after.workload.inputs:
        return ()
    if (old := written(before.workload.inputs)) == (new := written(after.workload.inputs)):
        return ()
    return (f"the models take different inputs: baseline {old}; candidate {new}",)
