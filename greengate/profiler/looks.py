"""What comes after a first look: a second one that confirms a failure, or more of the first where rules are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from greengate.budget import WorkerLimits
from greengate.profile import Launch, Profile, Role, Trial
from greengate.profiler.exact import Subject
from greengate.profiler.stopping import Effort, Progress, Run, silent
from greengate.profiler.trial import measure, with_control, with_noisy


def confirm(
    found: Trial, subjects: Mapping[Role, Subject], effort: Effort, limits: WorkerLimits, progress: Progress = silent
) -> Trial:
    """Take a second look at the metrics of `effort` with fresh launches: as many as the first had, if time allows.

    Returns the trial with both looks; the same trial where not one more launch fits into the time. A role that the
    first look left out is left out again.
    """
    ran = _that_ran(found, subjects)
    run = _again(found.launches, with_control(ran), effort, limits, progress)
    if not run.launches:
        return replace(found, notes=_notes(found.notes, run))
    both = _with_more(found, run, ran, effort)
    return replace(both, looks=(*found.looks, len(both.launches)))


def go_on(
    found: Trial, subjects: Mapping[Role, Subject], effort: Effort, limits: WorkerLimits, progress: Progress = silent
) -> Trial:
    """Go on with a first look in the part of the time that `effort` gives, until it is as precise as that asks for.

    For a trial that leaves rules open and fails none, so that nothing is to be confirmed yet: one look, only longer.
    Returns the same trial where not one more launch fits into the time.
    """
    ran = _that_ran(found, subjects)
    run = measure(with_control(ran), effort, limits, progress, begun=found.launches)
    if not run.launches and run.failure is None:
        return found
    more = _with_more(found, run, ran, effort)
    return replace(more, looks=(len(more.launches),), ended_by=run.ended_by)


def _that_ran(found: Trial, subjects: Mapping[Role, Subject]) -> dict[Role, Subject]:
    return {role: subject for role, subject in subjects.items() if role in found.launches[0].order}


def _with_more(found: Trial, run: Run, ran: Mapping[Role, Subject], effort: Effort) -> Trial:
    """Return a trial with further launches, its looks as they were."""
    both = replace(run, launches=(*found.launches, *run.launches))
    sides: tuple[tuple[Role, Profile], ...] = (("baseline", found.baseline), ("candidate", found.candidate))
    before, after = (with_noisy(one, role, both, effort) if role in ran else one for role, one in sides)
    return replace(
        found,
        baseline=before,
        candidate=after,
        launches=both.launches,
        seconds=round(found.seconds + run.seconds, 3),
        notes=_notes(found.notes, run),
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
    both = with_noisy(found, "candidate", replace(run, launches=launches), effort)
    looks = (*found.looks, len(launches))
    both = replace(both, launches=launches, looks=looks, notes=_notes(found.notes, run))
    return both, round(seconds + run.seconds, 3)


def go_on_alone(
    found: Profile,
    seconds: float,
    subject: Subject,
    effort: Effort,
    limits: WorkerLimits,
    *,
    progress: Progress = silent,
) -> tuple[Profile, float]:
    """Go on with a first look at one model measured by itself, as `go_on` does; `seconds` were spent on it."""
    run = measure({"candidate": subject}, effort, limits, progress, begun=found.launches)
    if not run.launches and run.failure is None:
        return found, seconds
    launches = (*found.launches, *run.launches)
    more = with_noisy(found, "candidate", replace(run, launches=launches), effort)
    notes = _notes(found.notes, run)
    return replace(more, launches=launches, looks=(len(launches),), notes=notes), round(seconds + run.seconds, 3)


def _again(
    begun: Sequence[Launch],
    roles: Mapping[Role, Subject],
    effort: Effort,
    limits: WorkerLimits,
    progress: Progress,
) -> Run:
    """Launch as often again as `begun`, in what is left of the time."""
    again = replace(effort, precision=dict.fromkeys(effort.precision, 0.0))
    return measure(roles, again, limits, progress, begun=begun, again=True)


def _notes(found: Sequence[str], run: Run) -> tuple[str, ...]:
    broke = [f"a worker broke when it was looked at again: {run.failure.reason}"] if run.failure is not None else []
    return tuple(dict.fromkeys((*found, *run.notes, *broke)))
