"""Launching until every interval is narrow enough, or time is up.

Stopping looks at precision only, never at which side of a limit an interval is, and only at LOOKS. What time was kept
back is spent by whoever judges: to confirm what fails, or to go on with what is open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from greengate import estimate, stats
from greengate.profile import Ended, Launch, Missing
from greengate.profiler.backends import format_of
from greengate.profiler.exact import Subject, refused
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.launching import LAUNCHES
from greengate.profiler.meters.bench import Energy
from greengate.profiler.steady import remarks

#: The launches after which precision is looked at: few looks, so that stopping early costs little coverage.
LOOKS = (LAUNCHES, 8, 11, 15, 20, 27, 36, 48, estimate.MOST_LAUNCHES)


@dataclass(frozen=True)
class Effort:
    """How much to measure: noisy metrics with the half-width of ln(change) each needs, and seconds to spend.

    Energy has seconds of its own. Of the seconds, `part` may be spent; more only on the fewest launches that can be
    judged, since what is kept back is of no use without them.
    """

    precision: Mapping[str, float]
    max_seconds: float = 60.0
    energy: Energy = field(default_factory=Energy)
    part: float = 1.0

    def only(self, metered: bool) -> Effort:
        """Return the part of the effort that meters energy, with its own seconds, or the other."""
        mine = {name: need for name, need in self.precision.items() if (name in estimate.METERED) == metered}
        return replace(self, precision=mine, max_seconds=self.energy.seconds if metered else self.max_seconds)

    def without(self, metrics: Collection[str]) -> Effort:
        """Return the same for the other metrics only."""
        return replace(self, precision={name: need for name, need in self.precision.items() if name not in metrics})

    def seconds(self, launches: int) -> float:
        """Return the seconds by whose end another launch must be over, after so many."""
        return self.max_seconds * (self.part if launches >= stats.MIN_LAUNCHES else 1.0)


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


@dataclass(frozen=True)
class Run:
    """What launching came to; `unmetered` says why no energy could be metered.

    A `failure` leaves nothing of the metrics in `lost`, however many launches went well: what they say is not known of
    a model that breaks.
    """

    launches: tuple[Launch, ...]
    ended_by: Ended
    seconds: float
    failure: WorkerFailed | None = None
    lost: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    unmetered: Missing | None = None


#: Makes a launch for the wanted metrics: its index, and whether all models share one process.
Launcher = Callable[[frozenset[str], int, bool], tuple[Launch, tuple[str, ...]]]


def launch_until_precise(
    once: Launcher,
    model: Subject,
    effort: Effort,
    progress: Progress,
    begun: Sequence[Launch],
    *,
    splits: bool,
    again: bool = False,
) -> Run:
    """Launch until precise or out of time, going on from the launches `begun`; `again`: as many as those, unasked.

    `splits`: models that do not fit into memory together go on apart.
    """
    if not effort.precision:
        return Run((), "none", 0.0)
    backend = format_of(model.path).load()
    before = math.fsum(launch.took for launch in begun)
    started = backend.clock() - before
    launches: list[Launch] = []
    notes: dict[str, None] = {}  # in order, once each
    together = all(launch.together for launch in begun)

    def ended(by: Ended, failure: WorkerFailed | None = None) -> Run:
        notes.update(dict.fromkeys(remarks(launches)))
        lost = frozenset(effort.precision) if failure is not None else frozenset()
        return Run(tuple(launches), by, round(backend.clock() - started - before, 3), failure, lost, tuple(notes))

    while wanted := _wanted(launches, effort, begun, again):
        spent = backend.clock() - started
        longest = max((launch.took for launch in (*begun, *launches)), default=0.0)
        # A launch that would overrun is not begun; the very first is, so that it can be said how long one takes.
        if (launches or begun) and spent + longest > effort.seconds(_usable((*begun, *launches), effort.precision)):
            return ended("time")
        left = max(0.0, effort.seconds(stats.MIN_LAUNCHES) - spent)
        progress(Step(model.name, f"launch {len(launches) + 1}", spent, left))
        try:
            made, found = once(wanted, len(begun) + len(launches), together)
        except WorkerFailed as failed:
            if not (together and failed.out_of_memory and splits):
                return ended("failure", failed)
            together = False
            notes["the models did not fit into memory together: each ran in processes of its own"] = None
            continue
        except Refused as refusal:
            raise refused(refusal, model) from refusal
        launches.append(replace(made, took=round(backend.clock() - started - spent, 3)))
        notes.update(dict.fromkeys(found))
    return ended("precision")


def _usable(launches: Sequence[Launch], metrics: Iterable[str]) -> int:
    """Return how many launches tell something of the metric that most of them tell: a spoiled one judges nothing."""
    told = (sum(bool(estimate.series_of(one, "candidate", metric)) for one in launches) for metric in metrics)
    return max(told, default=0)


def _wanted(launches: Sequence[Launch], effort: Effort, begun: Sequence[Launch], again: bool) -> frozenset[str]:
    """Return the metrics that want another launch; only precision is looked at, and only at LOOKS."""
    if again:
        return frozenset(effort.precision) if len(launches) < len(begun) else frozenset()
    made = (*begun, *launches)
    look = max((one for one in LOOKS if one <= len(made)), default=0)
    if not look:
        return frozenset(effort.precision)
    if len(made) >= LOOKS[-1]:
        return frozenset()
    return imprecise(made[:look], effort)


def imprecise(launches: Sequence[Launch], effort: Effort) -> frozenset[str]:
    """Return the metrics whose interval, of the change or of the control, is still wider than needed."""
    return frozenset(metric for metric, need in effort.precision.items() if _half_width(launches, metric) > need)


def _half_width(launches: Sequence[Launch], metric: str) -> float:
    if any("baseline" in launch.order for launch in launches):
        found = [estimate.log_ratio(launches, metric), estimate.log_ratio(launches, metric, "control")]
        return max(math.inf if isinstance(one, Missing) else one.half_width for one in found)
    alone = estimate.measure(launches, "candidate", metric, 1)
    if isinstance(alone, Missing) or alone.interval is None:
        return math.inf
    return math.log(alone.interval.high / alone.interval.low) / 2
