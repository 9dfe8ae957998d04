"""One launch that meters energy: a fresh worker runs windows while the counters are followed beside it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

from greengate import stats
from greengate.energy import METRICS, OF_TOKENS, PROCESSOR, WHOLE, idle_watts
from greengate.estimate import FIRST_SHARE
from greengate.power import METER, Domain, Window
from greengate.profile import Launch, Missing, Role, WorkloadSpec
from greengate.profiler.exact import Subject
from greengate.profiler.jobs import Doing, EnergyJob, Ran, Stretch
from greengate.profiler.launching import pinned
from greengate.profiler.meters import Absent
from greengate.profiler.meters.bench import Bench
from greengate.profiler.windows import least_seconds

#: Ticks that a window holds at least, of a counter and of anything else; and inferences, on a board.
TICKS, OTHER_TICKS, BOARD_CALLS = 50, 10, 30
#: Seconds of a window at least, by what it is read with: quantisation is gone by then, what is left is noise.
LEAST = {"counter": 2.0, "integrated": 5.0, "metered": 5.0, "estimated": 2.0}
_BOARD = 5.0
#: A reading of fewer ticks than this, or of less than this share of its window, says too little.
_FEWEST, _OTHERS_FEWEST, _COVERED = 10, 3, 0.5
#: Seconds that the loaded models stay idle in the first launch, to know what the machine draws by itself.
IDLE = 2.0

Run = Callable[[EnergyJob], Ran]


def window_seconds(domains: Sequence[Domain]) -> float:
    """Return how long windows must be for the slowest counter of all."""
    return max((_needed(domain) for domain in domains), default=0.0)


def _needed(domain: Domain) -> float:
    least = _BOARD if domain.kind == "gpu" else LEAST[domain.method]
    return domain.span + max(least, (TICKS if domain.method == "counter" else OTHER_TICKS) * domain.tick)


def too_slow(
    domains: Sequence[Domain], roles: int, seconds: float, timeout: float, *, kinds: int = 1
) -> Missing | None:
    """Say that an external meter ticks too slowly for the seconds of a comparison, or of a worker's job, if it does.

    Launches would be made for minutes, and never be enough for a verdict. Counters tick often enough.
    """
    slow = next((domain for domain in domains if domain.kind == "system"), None)
    if slow is None:
        return None
    window = window_seconds(domains)
    job = least_seconds(roles, window) + IDLE
    launches = stats.MIN_LAUNCHES * kinds * least_seconds(roles, window)
    wanted = []
    if launches > seconds:
        wanted.append(f"--energy-seconds {math.ceil(1.1 * launches / FIRST_SHARE)}")
    if job > timeout:
        wanted.append(f"`worker: {{timeout: {math.ceil(1.5 * job)} s}}` in the budget")
    if not wanted:
        return None
    return Missing(
        f"{slow.id} says something every {slow.tick:.2g} s, so that windows are {window:.0f} s: {stats.MIN_LAUNCHES} "
        f"launches take at least {launches:.0f} s of {seconds:.0f} s, a worker's job {job:.0f} s of {timeout:.0f} s",
        "unsettled",
        f"give {' and '.join(wanted)}, or let the meter write more lines a second",
    )


def doings(wanted: Iterable[str]) -> tuple[Doing, ...]:
    """Return what has to run in windows for these metrics of energy: inferences, texts, or both."""
    kinds: tuple[Doing, ...] = ("inference", "generation")
    found = {kinds[metric in OF_TOKENS] for metric in wanted}
    return tuple(kind for kind in kinds if kind in found)


def meter(
    run: Run,
    bench: Bench,
    subjects: Mapping[Role, Subject],
    index: int,
    together: bool,
    *,
    kinds: Sequence[Doing] = ("inference",),
) -> tuple[Launch, tuple[str, ...]]:
    """Run every subject in windows; return the launch with what the counters said, and what is to be remarked.

    `together`: all models in one process, in turn and back; else each in a process of its own; each kind of window in
    processes of its own. Raises what `run` does.
    """
    spec = next(iter(subjects.values())).workload
    order = list(subjects)
    random.Random(f"{spec.seed} energy {index}").shuffle(order)  # noqa: S311 - not a secret
    domains = followed(bench, spec)
    seconds = window_seconds(domains)
    board = any(domain.kind == "gpu" for domain in domains)
    answers: list[Ran] = []
    windows: tuple[Window, ...] = ()
    groups = [tuple(order)] if together else [(role,) for role in order]
    for doing, group in product(kinds, groups):
        job = EnergyJob(
            paths={role: subjects[role].path for role in group},
            order=group,
            workload=spec,
            seed=1000 * spec.seed + index,
            seconds=seconds,
            min_calls=BOARD_CALLS if board and doing == "inference" else 1,
            idle=IDLE if index == 0 and not answers else 0.0,
            cpus=pinned(spec.threads),
            recipes={role: subjects[role].recipe for role in group},
            doing=doing,
        )
        answers.append(run(job))
        windows += tuple(_read(stretch, bench, spec, doing) for stretch in answers[-1].stretches)
    stretches = [stretch for answer in answers for stretch in answer.stretches]
    first, last = min(one.start for one in stretches), max(one.end for one in stretches)
    used = {domain.id for domain in domains}
    spoiled = {name: why for name, why in bench.faults(first, last).items() if name in used} | _thin(windows, domains)
    launch = Launch(
        seed=1000 * spec.seed + index,
        order=tuple(order),
        samples={},
        seconds=round(sum(one.end - one.start for one in stretches if one.calls) * 1e-9, 6),
        together=together,
        windows=windows,
        domains=bench.domains,
        devices=tuple(dict.fromkeys(device for answer in answers for device in answer.devices)),
        faults=_uncounted(bench.absent) | spoiled,
    )
    notes = [f"one launch is left out: {reason}" for reason in spoiled.values()]
    return launch, (*notes, *bench.remarks(first, last), *(note for answer in answers for note in answer.notes))


def followed(bench: Bench, spec: WorkloadSpec) -> list[Domain]:
    """Return what windows are read by: a board that no model runs on neither makes them longer nor spoils a launch."""
    return [domain for domain in bench.domains if domain.kind != "gpu" or spec.device != PROCESSOR]


def _read(stretch: Stretch, bench: Bench, spec: WorkloadSpec, doing: Doing) -> Window:
    readings = bench.readings(stretch.start, stretch.end)
    items = stretch.calls * spec.batch_size
    tokens = items * spec.generate.new_tokens if doing == "generation" and spec.generate is not None else 0
    return Window(stretch.role, stretch.end - stretch.start, items, readings, tokens)


def _thin(windows: Sequence[Window], domains: Sequence[Domain]) -> dict[str, str]:
    """Return why a domain's readings say too little, where they do."""
    found: dict[str, str] = {}
    for window in windows:
        for domain in domains:
            reading = window.readings.get(domain.id)
            ticks = 0 if reading is None else reading.ticks
            covered = 0.0 if reading is None else reading.ns / window.ns
            fewest = _FEWEST if domain.method == "counter" else _OTHERS_FEWEST
            if window.role != "idle" and (ticks < fewest or covered < _COVERED):
                found[domain.id] = f"{domain.id} ticked {ticks} times in a window of {window.ns * 1e-9:.1f} s"
    return found


def _uncounted(absent: Sequence[Absent]) -> dict[str, str]:
    """Return the external meter and the parts of the processor that are there and cannot be read, and why."""
    return {
        METER if one.kind == "system" else one.what: f"{one.what}: {one.reason}"
        for one in absent
        if one.kind in ("cpu", "dram", "system")
    }


def unmetered(bench: Bench) -> Missing | None:
    """Return why no whole energy can be metered here, or None where it can: the processor's, or an external meter's."""
    if any(domain.kind == "system" for domain in bench.domains):
        return None
    if any(domain.kind == "cpu" for domain in bench.domains) and not _uncounted(bench.absent):
        return None
    return none_here(bench.absent)


def beyond_reach(bench: Bench, wanted: Iterable[str]) -> frozenset[str]:
    """Return the metrics that cannot be had here: without the processor's energy, all but a board's own.

    Without the external meter that is named, those that it would have told.
    """
    if unmetered(bench) is None:
        return frozenset()
    kinds = {domain.kind for domain in bench.domains}
    if "cpu" in kinds and not _uncounted(bench.absent).keys() - {METER}:
        return WHOLE.intersection(wanted)
    return frozenset(metric for metric in wanted if "gpu" not in kinds or needs_processor(metric))


def needs_processor(metric: str) -> bool:
    """Tell whether the processor's energy is part of a metric."""
    return "cpu" in METRICS.get(metric, ())


def none_here(absent: Sequence[Absent]) -> Missing:
    """Say that nothing counts the processor's energy, or not all of it, and why: the reason that stands nearest to it.

    An external meter that is named and fails comes first: nothing else stands for it.
    """
    for one in absent:
        if one.kind == "system":
            return Missing(f"the external meter cannot be used: {one.reason}", "unavailable", one.help)
    for one in absent:
        if one.kind in ("cpu", "dram"):
            reason = f"the processor's energy cannot be counted whole here: {one.what}: {one.reason}"
            return Missing(reason, "unavailable", "see `greengate doctor`")
    near = [one for one in absent if one.what.startswith(("powercap", "package"))] or list(absent)
    why = f": {near[0].reason}" if near else ""
    return Missing(
        f"no counter of the processor's energy can be read here{why}", "unavailable", "see `greengate doctor`"
    )


def idle_notes(launches: Sequence[Launch]) -> tuple[str, ...]:
    """Say what the machine drew while the loaded models were idle; information, subtracted nowhere."""
    drawn = [f"{name} {watts:.3g} W" for name, watts in idle_watts(launches).items()]
    return (f"idle with both models loaded: {', '.join(drawn)}; energy is gross, this is part of it",) if drawn else ()
