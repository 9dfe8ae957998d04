"""Statistics of verdicts: percentiles and intervals across launches. Pure; no clock, no randomness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

#: Fewer launches than this give no interval worth the name.
MIN_LAUNCHES = 3


@dataclass(frozen=True)
class Estimate:
    """A location on the log scale with its interval and the number of launches behind it."""

    value: float
    low: float
    high: float
    launches: int

    @property
    def half_width(self) -> float:
        """Half the interval, in the unit of the estimate."""
        return (self.high - self.low) / 2


def percentile(values: Sequence[float], share: float) -> float:
    """Return the `share` quantile (0..1) by linear interpolation between order statistics.

    The definition is type 7 of Hyndman & Fan, "Sample Quantiles in Statistical Packages", 1996.
    Raises ValueError for no values or a share outside 0..1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError("percentile needs values and a share within 0..1")
    return _at(sorted(values), share)


def _at(ordered: Sequence[float], share: float) -> float:
    position = (len(ordered) - 1) * share
    index = math.floor(position)
    fraction = position - index
    if fraction == 0:
        return float(ordered[index])
    return ordered[index] + (ordered[index + 1] - ordered[index]) * fraction


def median(values: Sequence[float]) -> float:
    """Return the median. Raises ValueError for no values."""
    return percentile(values, 0.5)


def across_launches(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Estimate the mean of one value per launch, with Student's t interval: the launch is the unit of resampling.

    Raises ValueError for fewer than MIN_LAUNCHES values.
    """
    count = len(values)
    if count < MIN_LAUNCHES:
        raise ValueError(f"an interval needs at least {MIN_LAUNCHES} launches, got {count}")
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = student_t(1 - (1 - confidence) / 2, count - 1) * math.sqrt(variance / count)
    return Estimate(mean, mean - half, mean + half, count)


def quantile(launches: Sequence[Sequence[float]], share: float, confidence: float, *, levelled: bool) -> Estimate:
    """Estimate ln of the `share` quantile of positive values that come in launches; its interval need not be even.

    A dozen calls of one launch have no 95th percentile of their own, and the mean of many such would be too low for
    good. So all launches hold it together: where `levelled`, each relative to its own median, whose mean is estimated
    apart. The interval is Woodruff's ("Confidence intervals for medians and other position measures", 1952), with the
    launch as the cluster: from the quantile at the low end of the interval of the share below it to the one at the
    high end, or to the largest value where that is beyond 1. Raises ValueError for fewer than MIN_LAUNCHES launches,
    and for a quantile of 0.
    """
    levels = [math.log(median(one)) if levelled else 0.0 for one in launches]
    level = across_launches(levels, confidence)
    relative = [[value / math.exp(own) for value in one] for one, own in zip(launches, levels, strict=True)]
    ordered = sorted(value for one in relative for value in one)
    found = _at(ordered, share)
    beside = across_launches([sum(value <= found for value in one) / len(one) for one in relative], confidence)
    ends = (_at(ordered, min(max(share + end * beside.half_width, 0), 1)) for end in (-1, 1))
    place = math.log(found)
    low, high = (abs(math.log(end) - place) for end in ends)
    value = level.value + place
    below, above = (math.hypot(level.half_width, part) for part in (low, high))
    return Estimate(value, value - below, value + above, level.launches)


def change_points(values: Sequence[float]) -> tuple[int, ...]:
    """Return where a series changes its level: the places at which a new level begins.

    The segmentation that minimises squared distance to the segments' means plus a penalty for each of them, found
    exactly (optimal partitioning: Jackson et al. 2005). The penalty is 3 sigma^2 ln(n), with sigma from the median
    absolute difference of neighbours (the lower of two), which a few jumps do not move; without noise all changes are.
    """
    count = len(values)
    steps = [abs(after - before) for before, after in pairwise(values)]
    if not any(steps):
        return ()
    # For independent normal noise, differences have sqrt(2) its deviation, and a median of 0.6745 of theirs.
    sigma = sorted(steps)[(len(steps) - 1) // 2] / (0.6745 * math.sqrt(2))
    penalty = max(3 * sigma * sigma * math.log(count), 1e-18 * max(map(abs, values)) ** 2)
    sums, squares = [0.0], [0.0]
    for value in values:
        sums.append(sums[-1] + value - values[0])
        squares.append(squares[-1] + (value - values[0]) ** 2)
    best, begins = [-penalty], [0]
    for end in range(1, count + 1):
        costs = (
            (best[begin] + squares[end] - squares[begin] - (sums[end] - sums[begin]) ** 2 / (end - begin), begin)
            for begin in range(end)
        )
        cost, begin = min(costs)
        best.append(cost + penalty)
        begins.append(begin)
    found = []
    end = count
    while (end := begins[end]) > 0:
        found.append(end)
    return tuple(reversed(found))


@cache
def student_t(share: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution for `share` in (0.5, 1).

    Solves the regularised incomplete beta function by bisection; good to 1e-10 relative.
    """
    if not 0.5 < share < 1 or freedom < 1:
        raise ValueError("student_t needs a share within (0.5, 1) and at least one degree of freedom")
    tail = 2 * (1 - share)
    low, high = 0.0, 1.0
    while _two_tails(high, freedom) > tail:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if _two_tails(middle, freedom) > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _two_tails(t: float, freedom: int) -> float:
    """P(|T| > t), by I_x(freedom / 2, 1 / 2) with x = freedom / (freedom + t^2)."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function, DLMF 8.17.22 continued fraction (modified Lentz)."""
    if x in (0, 1):
        return float(x)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / max(tiny, 1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction / a
