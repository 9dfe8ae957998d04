"""What a reader should know of how a model's calls behave: two speeds, or a speed that follows the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from greengate import stats
from greengate.profile import Launch

#: Calls below which a shape cannot be told.
_CALLS = 40
#: Two clusters are two speeds where they explain this share of the variance, stand this far apart, and both are common.
_EXPLAINED, _APART, _COMMON = 0.9, 0.1, 0.15


def remarks(launches: Sequence[Launch]) -> Iterator[str]:
    """Yield one sentence for each role whose calls have two speeds in most launches."""
    for role in ("baseline", "candidate"):
        series = [samples["wall"] for launch in launches if "wall" in (samples := launch.samples.get(role, {}))]
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
