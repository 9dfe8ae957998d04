"""What a reader should know of how a model's calls behave: two speeds, or a speed that follows the data."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from greengate import stats
from greengate.profile import Launch
from greengate.profiler.pairing import feed_of, first_feed

#: Calls below which a shape cannot be told.
_CALLS = 40
#: Two clusters are two speeds where they explain this share of the variance, stand this far apart, and both are common.
_EXPLAINED, _APART, _COMMON = 0.9, 0.1, 0.15
#: A speed follows the data where the inputs explain this share of the variance of the ranks, and stand _APART.
_FOLLOWS = 0.5


def remarks(launches: Sequence[Launch]) -> Iterator[str]:
    """Yield one sentence for each role whose speed follows its inputs, or has two speeds in most launches."""
    for role in ("baseline", "candidate"):
        timed = [launch for launch in launches if "wall" in launch.samples.get(role, {})]
        series: list[Sequence[int]] = [launch.samples[role]["wall"] for launch in timed]
        feeds = max((launch.feeds for launch in timed), default=1)
        fed = [launch for launch in timed if launch.feeds == feeds]
        firsts = [first_feed(launch.seed, feeds) for launch in fed]
        if (found := by_input([launch.samples[role]["wall"] for launch in fed], feeds, firsts)) is not None:
            slower, explained = found
            yield (
                f"the {role}'s time follows its inputs: the slowest of {feeds:,} takes {slower:+.0%} longer than the "
                f"fastest, and which input it is explains {explained:.0%} of how calls differ; "
                "its percentiles are those of these inputs"
            )
            continue
        if all(len(one) < _CALLS for one in series):  # slow calls, few a launch
            series = [[wall for one in series for wall in one]] if series else []
        split = [found for one in series if (found := two_speeds(one)) is not None]
        if series and len(split) > len(series) / 2:
            slow, share = stats.median([one[0] for one in split]), stats.median([one[1] for one in split])
            yield (
                f"the {role}'s calls have two speeds: {share:.0%} of them take about {slow:+.0%} longer; "
                "its median can jump between the two"
            )


def two_speeds(walls: Sequence[int]) -> tuple[float, float] | None:
    """Return how much slower the slow calls are, and their share, where a series falls into two clear clusters.

    The split that explains most variance of the logarithm (Otsu's threshold, 1979) is judged by what it explains.
    """
    if len(walls) < _CALLS or min(walls) <= 0:
        return None
    ordered = sorted(math.log(wall) for wall in walls)
    # The slowest few are interruptions, not a second speed.
    ordered = ordered[: len(ordered) - len(ordered) // 20]
    count, total = len(ordered), math.fsum(ordered)
    mean = total / count
    spread = math.fsum((value - mean) ** 2 for value in ordered)
    best, at, below = 0.0, 0, 0.0
    for index in range(1, count):
        below += ordered[index - 1]
        gap = below / index - (total - below) / (count - index)
        between = gap * gap * index * (count - index) / count
        if between > best:
            best, at = between, index
    if at == 0 or spread == 0:
        return None
    fast, slow = math.fsum(ordered[:at]) / at, math.fsum(ordered[at:]) / (count - at)
    share = (count - at) / count
    clear = best / spread >= _EXPLAINED and slow - fast >= math.log1p(_APART) and _COMMON <= share <= 1 - _COMMON
    return (math.expm1(slow - fast), share) if clear else None


def by_input(series: Sequence[Sequence[int]], feeds: int, firsts: Sequence[int] = ()) -> tuple[float, float] | None:
    """Return how much slower the slowest input is than the fastest, and the share of the variance inputs explain.

    `series` holds the wall times of each launch, whose call i got input feed_of(i, feeds, first). The share is that of
    the ranks within a launch, or among all calls where a launch has too few or not all inputs, adjusted for the number
    of inputs (epsilon squared, Kelley 1935): 0 on average where inputs do not matter. None where they do not, or where
    there are too few calls to tell.
    """
    ranks: dict[int, list[float]] = defaultdict(list)
    logs: dict[int, list[float]] = defaultdict(list)
    launches = [
        [(wall, feed_of(turn, feeds, first)) for turn, wall in enumerate(walls)]
        for walls, first in zip(series, firsts or [0] * len(series), strict=True)
        if feeds > 1
    ]
    if any(len(calls) < max(_CALLS, 2 * feeds) for calls in launches):
        launches = [[call for calls in launches for call in calls]]
    for calls in launches:
        walls = [wall for wall, _ in calls]
        if len(walls) < _CALLS or min(walls) <= 0:
            continue
        middle = math.log(stats.median(walls))
        for (wall, feed), rank in zip(calls, _ranks(walls), strict=True):
            ranks[feed].append(rank)
            logs[feed].append(math.log(wall) - middle)
    explained = _explained(ranks)
    if explained < _FOLLOWS:
        return None
    medians = [stats.median(found) for found in logs.values()]
    slower = math.expm1(max(medians) - min(medians))
    return (slower, explained) if slower >= _APART else None


def _ranks(values: Sequence[int]) -> list[float]:
    """Return the rank of each value, 0..1, equal values sharing one; so that a few stray calls weigh little."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, value in enumerate(sorted(values)):
        places[value].append(place)
    shared = {value: math.fsum(found) / len(found) / len(values) for value, found in places.items()}
    return [shared[value] for value in values]


def _explained(groups: Mapping[int, Sequence[float]]) -> float:
    count = sum(map(len, groups.values()))
    if len(groups) < 2 or count <= len(groups):
        return 0.0
    mean = math.fsum(map(math.fsum, groups.values())) / count
    within = math.fsum((x - math.fsum(group) / len(group)) ** 2 for group in groups.values() for x in group)
    total = math.fsum((x - mean) ** 2 for group in groups.values() for x in group)
    return 1 - (within / (count - len(groups))) / (total / (count - 1)) if total else 0.0
