"""Measuring one model, or two side by side: launches until every interval is narrow enough, or time is up.

The protocol: each launch is a fresh process that holds the baseline, the candidate and the baseline a second time (the
control), and runs single calls of them in balanced order; the launch is the unit of resampling. Stopping looks at
precision only, never at which side of a limit an interval is. See looks.py for what comes after a first look.
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
from greengate.profiler.metering import (
    beyond_reach,
    doings,
    followed,
    idle_notes,
    meter,
    needs_processor,
    too_slow,
    unmetered,
)
from greengate.profiler.stopping import Effort, Progress, Run, Step, launch_until_precise, silent

__all__ = ["Effort", "Progress", "Step", "measure", "profile", "silent", "trial", "with_control", "with_noisy"]


def profile(
    subject: Subject, counted: Profile, effort: Effort, limits: WorkerLimits, progress: Progress = silent
) -> tuple[Profile, float]:
    """Add the noisy metrics of one model, measured by itself, to its counted profile; return the seconds it took.

    The first look takes estimate.FIRST_SHARE of the time, as in a trial.
    Raises ModelError when the model is at fault.
    """
    if unrun(counted) is not None:
        return counted, 0.0
    run = measure({"candidate": subject}, replace(effort, part=estimate.FIRST_SHARE), limits, progress)
    measured = with_noisy(counted, "candidate", run, effort)
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
    run = measure(with_control(sound), replace(effort, part=estimate.FIRST_SHARE), limits, progress)
    before, after = (
        with_noisy(counted[role], role, run, effort) if role in sound else counted[role]
        for role in ("baseline", "candidate")
    )
    notes = (*_input_notes(before, after), *run.notes)
    return Trial(before, after, run.launches, run.ended_by, run.seconds, notes, (len(run.launches),))


def with_control(roles: Mapping[Role, Subject]) -> dict[Role, Subject]:
    """Add the baseline a second time, where it runs beside the candidate."""
    return {**roles, "control": roles["baseline"]} if len(roles) == 2 else dict(roles)


def measure(
    subjects: Mapping[Role, Subject],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress,
    begun: Sequence[Launch] = (),
    *,
    again: bool = False,
) -> Run:
    """Time calls and weigh, then meter energy; each until precise or out of its own time.

    Goes on from the launches `begun`; `again`: as many as those.
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
            run = launch_until_precise(once, model, timed, progress, calls, splits=len(subjects) > 1, again=again)
    if not metered.precision or run.failure is not None or (begun and not windows):
        return run
    with _alone(model, progress), backend.meters(model.path, effort.energy) as bench:
        missing = unmetered(bench)
        metered = metered.without(beyond_reach(bench, metered.precision))
        if not metered.precision:
            return replace(run, unmetered=missing)
        kinds = doings(metered.precision)
        given = (len(subjects), metered.max_seconds, limits.timeout)
        slow = too_slow(followed(bench, model.workload), *given, kinds=len(kinds))
        if slow is not None and not windows:
            return replace(run, unmetered=slow)

        def window(wanted: frozenset[str], index: int, together: bool) -> tuple[Launch, tuple[str, ...]]:
            del wanted  # one launch gives all of a kind
            return meter(lambda job: backend.run(job, limits), bench, subjects, index, together, kinds=kinds)

        more = launch_until_precise(window, model, metered, progress, windows, splits=len(subjects) > 1, again=again)
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
        run.lost | more.lost,
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


def with_noisy(counted: Profile, role: Role, run: Run, effort: Effort) -> Profile:
    """Return a profile with what its launches say of every noisy metric, or why they say nothing."""
    if not effort.precision:
        return counted
    found = dict(counted.measurements)
    for metric in estimate.ESTIMATORS:
        if found.get(metric) == UNASKED:
            continue
        if metric in run.lost and run.failure is not None:
            found[metric] = Missing(run.failure.reason, "failed", run.failure.help)
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
