"""Instructions per inference: the same call counted in processes apart, until two counts agree.

Counting is exact but not quite repeatable: addresses differ from process to process, and with them how buffers are
aligned. So the range of the counts is the measurement's interval, and counts that do not agree are none.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace

from greengate.budget import WorkerLimits
from greengate.metrics import SIMULATED
from greengate.profile import Interval, Measurement, Missing, Profile
from greengate.profiler import isolation
from greengate.profiler.backends import format_of
from greengate.profiler.exact import Subject, refused, unrun
from greengate.profiler.instructions.callgrind import Simulated
from greengate.profiler.jobs import Refused, SimulateJob, WorkerFailed
from greengate.profiler.stopping import Progress, Step
from greengate.units import format_change

#: How far two counts may be apart to be one number.
AGREE: Mapping[str, float] = {"instructions": 0.001, "data_traffic": 0.01}

#: By how many instructions the interpreter's own share of a call differs from feed to feed.
INTERPRETER = 1000

#: Processes that count one model at most: two side by side, then one at a time.
MOST = 5


def simulate(
    subject: Subject,
    counted: Profile,
    asked: frozenset[str],
    seconds: float,
    limits: WorkerLimits,
    *,
    progress: Progress,
) -> Profile:
    """Add the metrics of a simulated processor that are asked for to a counted profile; what fails is Missing.

    Takes `seconds` at most. Raises ModelError when the model is at fault.
    """
    cannot = unrun(counted) or _elsewhere(subject)
    if cannot is not None:
        return _without(counted, asked, cannot)
    try:
        found = _counts(subject, asked, seconds, limits, progress)
    except Refused as refusal:
        raise refused(refusal, subject) from refusal
    except WorkerFailed as failure:
        return _without(counted, asked, Missing(failure.reason, "failed", failure.help))
    if isinstance(found, Missing):
        return _without(counted, asked, found)
    batch = subject.workload.batch_size
    measured = {metric: _measured(metric, found, batch) for metric in SIMULATED if metric in asked}
    return replace(
        counted,
        measurements={**counted.measurements, **measured},
        simulation=found[0].simulation,
        notes=(*counted.notes, *_data_dependent(found)),
    )


def _elsewhere(subject: Subject) -> Missing | None:
    if subject.workload.device == "cpu":
        return None
    return Missing(f"instructions are those of the CPU, and the model runs on {subject.workload.device}", "unsupported")


def _without(counted: Profile, asked: frozenset[str], missing: Missing) -> Profile:
    return replace(counted, measurements={**counted.measurements, **dict.fromkeys(asked, missing)})


def _counts(
    subject: Subject, asked: frozenset[str], seconds: float, limits: WorkerLimits, progress: Progress
) -> list[Simulated] | Missing:
    """Count in two processes side by side, then in one more until two agree in all that is asked or time is up."""
    backend = format_of(subject.path).load()
    begun = time.monotonic()
    numbers = itertools.count()

    def once() -> Simulated | Missing:
        number = next(numbers)
        job = SimulateJob(
            subject.path,
            subject.workload,
            seed=number,
            begun=time.monotonic(),
            deadline=begun + seconds,
            cache="data_traffic" in asked,
            other=number == 0,
            recipe=subject.recipe,
        )
        return backend.simulate(job, limits)

    found: list[Simulated] = []
    while len(found) < MOST and not all(_agree(metric, found) for metric in asked):
        left = begun + seconds - time.monotonic()
        if found and left < max(one.seconds for one in found):
            break
        with _shown(subject.name, begun, seconds, progress) as show:
            fresh = _side_by_side([once] * (1 if found else 2), show)
        if (missing := next((one for one in fresh if isinstance(one, Missing)), None)) is not None:
            return missing
        found += [one for one in fresh if isinstance(one, Simulated)]
    return found


def _side_by_side(
    work: Sequence[Callable[[], Simulated | Missing]], show: Callable[[], None]
) -> list[Simulated | Missing]:
    """Do all at once: exact counts do not mind a neighbour."""
    try:
        with ThreadPoolExecutor(len(work)) as pool, isolation.all_or_nothing():
            running: list[Future[Simulated | Missing]] = [pool.submit(one) for one in work]
            while wait(running, timeout=1.0).not_done:
                show()
            return [one.result() for one in running]
    finally:
        isolation.go_on()


@contextmanager
def _shown(model: str, begun: float, seconds: float, progress: Progress) -> Iterator[Callable[[], None]]:
    def show() -> None:
        spent = time.monotonic() - begun
        progress(Step(model, "counting instructions under valgrind", spent, max(0.0, seconds - spent)))

    show()
    yield show


def _values(metric: str, found: Sequence[Simulated]) -> list[float]:
    """Return a metric of every process's first call; what was not simulated is left out."""
    values = [one.counts[0].instructions if metric == "instructions" else one.counts[0].traffic for one in found]
    return [float(value) for value in values if value is not None]


def _closest(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return min(itertools.pairwise(ordered), key=lambda pair: pair[1] - pair[0])


def _agree(metric: str, found: Sequence[Simulated]) -> bool:
    values = _values(metric, found)
    if len(values) < 2:
        return False
    low, high = _closest(values)
    return high - low <= AGREE[metric] * low


def _measured(metric: str, found: Sequence[Simulated], batch: int) -> Measurement | Missing:
    """Return the mean of the two counts that agree best, with the range of all as interval, per item."""
    values = _values(metric, found)
    apart = f"{max(values) / min(values) - 1:.3%}".replace("%", " %")
    if not _agree(metric, found):
        reason = f"{len(values)} counts in processes apart differ by up to {apart}, "
        reason += f"no two by {100 * AGREE[metric]:g} % or less"
        return Missing(reason, "unsettled", "find what in the model depends on time, chance or addresses")
    low, high = _closest(values)
    what = found[0].simulation
    detail = f"callgrind {what.valgrind}"
    detail += f", {what.cache}" if metric == "data_traffic" else ""
    detail += f"; {len(values)} processes, counts within {apart}"
    return Measurement(
        (low + high) / 2 / batch,
        "simulated",
        Interval(min(values) / batch, max(values) / batch),
        samples=len(values),
        detail=detail,
    )


def _data_dependent(found: Sequence[Simulated]) -> Iterator[str]:
    """Say that other values took other work, where they did."""
    first, *others = found[0].counts
    values = _values("instructions", found)
    chance = max(AGREE["instructions"] * first.instructions, 2 * (max(values) - min(values)), INTERPRETER)
    for other in others:
        if abs(other.instructions - first.instructions) > chance:
            told = format_change(other.instructions / first.instructions - 1)
            yield f"the work depends on the values fed: other values took {told} instructions, so they are part of it"
