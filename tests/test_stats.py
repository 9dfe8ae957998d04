from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from greengate import stats

finite = st.floats(-1e9, 1e9)


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


def test_half_width_shrinks_with_launches() -> None:
    few, many = ([math.sin(i) for i in range(n)] for n in (4, 64))
    assert stats.across_launches(many).half_width < stats.across_launches(few).half_width
