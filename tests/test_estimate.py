from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from nouns import WORKLOAD, launches

from greengate import estimate, stats
from greengate.comparison import Change
from greengate.metrics import METRICS
from greengate.profile import Launch, Measurement, Missing, Workload


def one(wall: tuple[int, ...], cpu: tuple[int, ...] | None = None, role: str = "candidate") -> Launch:
    return Launch(0, ("candidate",), {role: {"wall": wall, "cpu": cpu or wall}}, 1.0)


def test_every_estimator_is_a_measured_noisy_metric_and_the_other_way_round() -> None:
    assert set(estimate.ESTIMATORS) == {name for name, row in METRICS.items() if row.kind == "noisy" and row.measured}


@pytest.mark.parametrize(
    ("metric", "batch", "expected"),
    [
        ("latency_p50", 1, 3e-6),  # median of 1, 2, 3, 4, 5 us
        ("latency_p50", 4, 3e-6),  # per batch call, not per item
        ("latency_p95", 1, 5e-6),  # of 15 calls, the last three of which take 5 us
        ("throughput", 1, 5 / 15e-6),  # 5 items in 15 us
        ("throughput", 4, 20 / 15e-6),
        ("cpu_time", 1, 3e-6),
        ("cpu_time", 4, 3e-6 / 4),  # per item
    ],
)
def test_values_by_hand(metric: str, batch: int, expected: float) -> None:
    found = estimate.measure([one((1000, 2000, 3000, 4000, 5000))] * 3, "candidate", metric, batch)
    assert isinstance(found, Measurement)
    assert found.value == pytest.approx(expected)
    assert found.samples == 15
    assert found.interval is not None


@pytest.mark.parametrize(("feeds", "expected"), [(5, 2.9938e-6), (100, 3.5e-6)])
def test_launches_that_saw_other_inputs_are_not_set_on_one_level(feeds: int, expected: float) -> None:
    """Six launches of 1 to 6 us: their levels' mean, or, where each saw but some of the inputs, the calls' median."""
    made = [replace(one((1000 * level,) * 12), feeds=feeds) for level in range(1, 7)]
    found = estimate.measure(made, "candidate", "latency_p50", 1)
    assert isinstance(found, Measurement)
    assert found.value == pytest.approx(expected, rel=1e-4)


def test_identical_launches_give_an_interval_of_no_width() -> None:
    found = estimate.measure([one((1000, 2000))] * 4, "candidate", "latency_p50", 1)
    assert isinstance(found, Measurement)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(found.value) == found.interval.high


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.03, 1.5])
@pytest.mark.parametrize("metric", ["latency_p50", "cpu_time", "latency_p95"])
def test_a_true_change_is_found(metric: str, ratio: float) -> None:
    found = estimate.change(launches(8, ratio, calls=80), metric, WORKLOAD)
    assert isinstance(found, Change)
    assert found.low < ratio - 1 < found.high
    assert abs(found.value - (ratio - 1)) < 0.02
    assert found.basis == "paired"


def test_more_throughput_is_a_positive_change() -> None:
    found = estimate.change(launches(5, 0.5), "throughput", WORKLOAD)
    assert isinstance(found, Change)
    assert found.value == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    "metric", sorted(set(estimate.ESTIMATORS) - estimate.METERED - estimate.GENERATED - {"load_time", "latency_p99"})
)
def test_swapping_the_roles_inverts_the_ratio(metric: str) -> None:
    forward = launches(5, 1.2)
    back = [
        Launch(x.seed, x.order, {"baseline": x.samples["candidate"], "candidate": x.samples["baseline"]}, x.seconds)
        for x in forward
    ]
    ahead, behind = estimate.log_ratio(forward, metric), estimate.log_ratio(back, metric)
    assert isinstance(ahead, stats.Estimate)
    assert isinstance(behind, stats.Estimate)
    assert (ahead.value, ahead.low, ahead.high) == pytest.approx((-behind.value, -behind.high, -behind.low))


def test_scaling_both_roles_leaves_the_ratio() -> None:
    before = launches(5, 1.1)
    after = [
        Launch(
            x.seed,
            x.order,
            {role: {k: tuple(7 * v for v in s) for k, s in series.items()} for role, series in x.samples.items()},
            x.seconds,
        )
        for x in before
    ]
    first, second = estimate.log_ratio(before, "latency_p50"), estimate.log_ratio(after, "latency_p50")
    assert isinstance(first, stats.Estimate)
    assert isinstance(second, stats.Estimate)
    assert first.value == pytest.approx(second.value)
    assert first.half_width == pytest.approx(second.half_width)


def test_alternating_order_cancels_drift_and_blocks_do_not() -> None:
    def bias(order: str) -> float:
        found = [
            estimate.log_ratio(launches(5, 1.0, drift=0.02, order=order, seed=seed, between=0.0), "latency_p50")
            for seed in range(20)
        ]
        return math.fsum(one.value for one in found if isinstance(one, stats.Estimate)) / len(found)

    assert abs(bias("ABBA")) < 0.001
    assert bias("AABB") > 0.008  # the negative control: the test can see a drift


def test_coverage_across_launches_is_honest() -> None:
    covered = 0
    for seed in range(400):
        found = estimate.log_ratio(launches(5, 1.05, calls=10, seed=seed), "latency_p50")
        assert isinstance(found, stats.Estimate)
        covered += found.low <= math.log(1.05) <= found.high
    assert covered >= 0.92 * 400


ON_BOARD = replace(WORKLOAD, settings={"device": "cuda:0"})
TWO_THREADS = replace(WORKLOAD, threads=2)


@pytest.mark.parametrize(("workload", "share"), [(WORKLOAD, 0.03), (TWO_THREADS, 0.12), (ON_BOARD, 0.12)])
def test_an_interval_holds_what_trials_of_a_pair_differ_by(workload: Workload, share: float) -> None:
    """A trial of the same pair is off by a share of the change, and every launch of it is off alike."""
    chance = random.Random(share)
    covered, narrow, rounds = 0, 0, 400
    for seed in range(rounds):
        moved = 2 ** chance.gauss(1, share)
        found = estimate.change(launches(5, moved, calls=10, seed=seed, between=0.001), "latency_p50", workload)
        assert isinstance(found, Change)
        covered += found.low <= 1 <= found.high
        alone = estimate.log_ratio(launches(5, moved, calls=10, seed=seed, between=0.001), "latency_p50")
        assert isinstance(alone, stats.Estimate)
        narrow += alone.low <= math.log(2) <= alone.high
    assert covered >= 0.93 * rounds
    assert narrow < 0.75 * rounds  # the launches of one trial cannot know


def test_equal_models_and_what_is_not_timed_are_not_widened() -> None:
    same = [one((100, 200), role="baseline")] * 4
    same = [replace(launch, samples={**launch.samples, "candidate": launch.samples["baseline"]}) for launch in same]
    found = estimate.change(same, "latency_p50", TWO_THREADS)
    assert isinstance(found, Change)
    assert (found.low, found.high, found.irreducible) == (0.0, 0.0, 0.0)
    weights = {"baseline": {"peak": (100,)}, "candidate": {"peak": (200,)}}
    weighed = estimate.change([Launch(0, (), weights, 1.0)] * 4, "peak_memory", TWO_THREADS)
    assert isinstance(weighed, Change)
    assert weighed.low == weighed.high == pytest.approx(1.0)
    assert weighed.irreducible == 0.0


def test_what_trials_differ_by_is_told_apart_from_what_more_launches_narrow() -> None:
    few, many = (estimate.change(launches(count, 1.5, calls=10), "latency_p50", TWO_THREADS) for count in (6, 200))
    assert isinstance(few, Change)
    assert isinstance(many, Change)
    assert few.irreducible == pytest.approx(many.irreducible, rel=0.05)
    assert 1.5 * math.expm1(-1.96 * 0.12 * math.log(1.5)) == pytest.approx(many.low - 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("found", "metric", "kind", "words"),
    [
        (launches(2, 1.0), "latency_p50", "unsettled", "2 launches fit"),
        (launches(5, 1.0, calls=199), "latency_p99", "unsettled", "p99 needs 1,000 calls, 995 fit"),
        (launches(5, 1.0), "load_time", "unsettled", "0 launches fit"),
    ],
)
def test_too_little_is_missing_not_a_number(found: tuple[Launch, ...], metric: str, kind: str, words: str) -> None:
    missing = estimate.change(found, metric, WORKLOAD)
    assert isinstance(missing, Missing)
    assert missing.kind == kind
    assert words in missing.reason
    assert "--max-seconds" in missing.help


def test_p99_from_a_thousand_calls_on() -> None:
    assert isinstance(estimate.change(launches(5, 1.0, calls=200), "latency_p99", WORKLOAD), Change)


def test_a_clock_that_reads_zero_is_missing() -> None:
    zero = [one((0, 0, 0))] * 3
    assert isinstance(estimate.measure(zero, "candidate", "cpu_time", 1), Missing)
    both = [Launch(0, (), {"baseline": {"cpu": (0, 0)}, "candidate": {"cpu": (0, 0)}}, 1.0)] * 3
    assert isinstance(estimate.change(both, "cpu_time", WORKLOAD), Missing)


def test_a_role_that_never_ran_is_missing() -> None:
    found = estimate.measure(launches(5, 1.0), "candidate", "load_time", 1)
    assert isinstance(found, Missing)
    assert found.kind == "skipped"


def test_measure_all_answers_for_every_noisy_metric() -> None:
    assert set(estimate.measure_all(launches(5, 1.0), "baseline", 1)) == set(estimate.ESTIMATORS)
