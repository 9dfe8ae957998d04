from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from greengate import stats

finite = st.floats(-1e9, 1e9)
NORMAL = statistics.NormalDist()


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 12, 30, 200])
@pytest.mark.parametrize("share", [0.55, 0.9, 0.95, 0.975, 0.995, 0.9995])
def test_student_t_agrees_with_scipy(share: float, freedom: int) -> None:
    assert stats.student_t(share, freedom) == pytest.approx(scipy.stats.t.ppf(share, freedom), rel=1e-9)


@pytest.mark.parametrize(("share", "freedom"), [(0.5, 3), (1.0, 3), (0.2, 3), (0.9, 0)])
def test_student_t_refuses_what_it_cannot_answer(share: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="student_t needs"):
        stats.student_t(share, freedom)


@given(st.lists(finite, min_size=1, max_size=50), st.floats(0, 1))
def test_percentile_agrees_with_numpy(values: list[float], share: float) -> None:
    assert stats.percentile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


@given(st.lists(finite, min_size=1, max_size=50))
def test_median_agrees_with_the_standard_library(values: list[float]) -> None:
    assert stats.median(values) == pytest.approx(statistics.median(values), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_percentile_refuses_nonsense(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile needs"):
        stats.percentile(values, share)


@given(st.lists(finite, min_size=3, max_size=20), st.floats(0.5, 0.999))
def test_interval_agrees_with_scipy(values: list[float], confidence: float) -> None:
    found = stats.across_launches(values, confidence)
    assert found.low <= found.value <= found.high
    assert found.launches == len(values)
    spread = scipy.stats.sem(values)
    if spread > 1e-6:
        low, high = scipy.stats.t.interval(confidence, len(values) - 1, np.mean(values), spread)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_two_launches_are_no_interval(count: int) -> None:
    with pytest.raises(ValueError, match="at least 3 launches"):
        stats.across_launches([1.0] * count)


@pytest.mark.parametrize("count", [3, 5, 12])
def test_coverage_is_nominal_at_small_samples(count: int) -> None:
    rng = random.Random(count)
    rounds = 4000
    covered = 0
    for _ in range(rounds):
        found = stats.across_launches([rng.gauss(0.03, 0.02) for _ in range(count)])
        covered += found.low <= 0.03 <= found.high
    # Three standard errors of a share of 0.95 over 4,000 rounds.
    assert abs(covered / rounds - 0.95) < 3 * math.sqrt(0.95 * 0.05 / rounds)


# --- quantiles of calls that come in launches -------------------------------------------------------------------------

Kind = Callable[[random.Random], float]


def smooth(rng: random.Random) -> float:
    return rng.lognormvariate(0, 0.03)


def two_speeds(rng: random.Random) -> float:
    """Eight calls in a hundred are 56 % slower: the 95th percentile is theirs."""
    return (1.56 if rng.random() < 0.08 else 1.0) * rng.lognormvariate(0, 0.02)


def long_tail(rng: random.Random) -> float:
    return 1 + rng.expovariate(10)


#: ln of the 95th percentile in a launch of the usual level: of a normal, of the slow 8 %, of an exponential tail.
TRUE = {
    smooth: 0.03 * NORMAL.inv_cdf(0.95),
    two_speeds: math.log(1.56) + 0.02 * NORMAL.inv_cdf(1 - 0.05 / 0.08),
    long_tail: math.log(1 + math.log(20) / 10),
}


def launches(kind: Kind, calls: int, count: int, rng: random.Random, spread: float = 0.03) -> list[list[float]]:
    levels = [rng.lognormvariate(0, spread) for _ in range(count)]
    return [[level * kind(rng) for _ in range(calls)] for level in levels]


@pytest.mark.parametrize(("calls", "count"), [(12, 36), (50, 6), (50, 15)])
@pytest.mark.parametrize("kind", TRUE)
def test_a_quantile_is_told_from_few_calls_a_launch(kind: Kind, calls: int, count: int) -> None:
    """Not so by the mean of the launches' own: two speeds and a dozen calls are told 22 % too fast, for good."""
    rng = random.Random(f"{kind.__name__} {calls} {count}")
    rounds = 150
    found = [stats.quantile(launches(kind, calls, count, rng), 0.95, 0.97, levelled=True) for _ in range(rounds)]
    covered = sum(one.low <= TRUE[kind] <= one.high for one in found) / rounds
    assert covered > 0.95 - 2 * math.sqrt(0.95 * 0.05 / rounds)
    assert abs(statistics.fmean(one.value for one in found) - TRUE[kind]) < 0.025


def test_the_mean_of_launches_of_a_dozen_calls_would_be_wrong_for_good() -> None:
    """The negative control: what the estimate above is there for."""
    rng = random.Random(2)
    own = [[math.log(stats.percentile(one, 0.95)) for one in launches(two_speeds, 12, 36, rng)] for _ in range(50)]
    assert all(stats.across_launches(values, 0.97).high < TRUE[two_speeds] for values in own)


calls_of = st.lists(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=20), min_size=3, max_size=8)


@given(calls_of, st.booleans(), st.floats(1e-3, 1e3))
def test_quantiles_follow_the_scale_and_their_order(made: list[list[float]], levelled: bool, factor: float) -> None:
    found = [stats.quantile(made, share, 0.97, levelled=levelled) for share in (0.5, 0.95, 0.99)]
    for one in found:
        assert one.low <= one.value <= one.high
        assert one.launches == len(made)
    assert found[0].value <= found[1].value + 1e-9
    assert found[1].value <= found[2].value + 1e-9
    scaled = stats.quantile([[factor * call for call in one] for one in made], 0.95, 0.97, levelled=levelled)
    assert scaled.value == pytest.approx(found[1].value + math.log(factor), abs=1e-6)


@given(calls_of)
def test_the_median_is_the_mean_of_the_launches_medians_where_they_are_alike(made: list[list[float]]) -> None:
    odd = [(one * 3)[: 2 * (len(made[0]) // 2) + 1] or one for one in made]
    odd = [one if len(one) % 2 else one[:-1] for one in odd]
    plain = stats.across_launches([math.log(stats.median(one)) for one in odd], 0.97)
    found = stats.quantile(odd, 0.5, 0.97, levelled=True)
    assert found.value == pytest.approx(plain.value, abs=1e-9)
    assert found.half_width >= plain.half_width - 1e-9


@pytest.mark.parametrize("made", [[], [[1.0]] * 2, [[0.0, 0.0]] * 3])
@pytest.mark.parametrize("levelled", [True, False])
def test_a_quantile_of_too_few_launches_or_of_nothing_is_refused(made: list[list[float]], levelled: bool) -> None:
    with pytest.raises(ValueError, match=r"launches|domain|positive"):
        stats.quantile(made, 0.95, 0.97, levelled=levelled)


def test_half_width_shrinks_with_launches() -> None:
    few, many = ([math.sin(i) for i in range(n)] for n in (4, 64))
    assert stats.across_launches(many).half_width < stats.across_launches(few).half_width
