from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nouns import exact, noisy, profile

from greengate.gate.rounds import merge
from greengate.profile import Measurement, Missing

values = st.floats(1e-6, 1e6)


@given(st.lists(values, min_size=2, max_size=6))
def test_the_value_is_the_geometric_mean_and_the_interval_spans_all(found: list[float]) -> None:
    rounds = [profile({"latency_p50": noisy(one, one * 0.9, one * 1.1)}) for one in found]
    merged = merge(rounds).measurements["latency_p50"]
    assert isinstance(merged, Measurement)
    assert merged.value == pytest.approx(math.exp(math.fsum(map(math.log, found)) / len(found)))
    assert merged.interval is not None
    assert (merged.interval.low, merged.interval.high) == pytest.approx((min(found) * 0.9, max(found) * 1.1))
    assert merged.trials == len(found)
    assert merged.between is not None
    assert merged.between >= 0


def test_the_spread_by_hand() -> None:
    rounds = [profile({"latency_p50": noisy(math.exp(one), 0.1, 9.0)}) for one in (0.0, 0.1, 0.2)]
    merged = merge(rounds).measurements["latency_p50"]
    assert isinstance(merged, Measurement)
    assert merged.between == pytest.approx(0.1)  # of 0, 0.1 and 0.2
    assert merged.samples == 1500
    assert merged.detail == "3 trials apart, each 5 launches x 100 calls"


def test_exact_values_stay_as_they_are() -> None:
    merged = merge([profile({"size": exact(5)})] * 3).measurements["size"]
    assert merged == exact(5)


def test_what_one_round_lacks_is_missing() -> None:
    gone = Missing("the worker crashed")
    rounds = [profile({"latency_p50": noisy(1, 1, 1)}), profile({"latency_p50": gone})]
    assert merge(rounds).measurements["latency_p50"] is gone


def test_one_round_says_nothing_of_the_next() -> None:
    merged = merge([profile({"latency_p50": noisy(1, 1, 1)})]).measurements["latency_p50"]
    assert isinstance(merged, Measurement)
    assert merged.between is None
