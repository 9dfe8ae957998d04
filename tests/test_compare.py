from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from nouns import HARDWARE, WORKLOAD, exact, launches, noisy, profile, trial

from greengate.compare import compare_profiles, compare_trial, without_baseline
from greengate.comparison import Change
from greengate.differences import hardware_difference, workload_difference
from greengate.metrics import METRICS
from greengate.power import Trained
from greengate.profile import Input, Interval, Measurement, Missing, Profile


def found(metric: str, baseline: Profile, candidate: Profile) -> Change | Missing:
    return compare_profiles(baseline, candidate)[metric].change


def test_every_metric_gets_a_comparison() -> None:
    assert set(compare_profiles(profile({}), profile({}))) == set(METRICS)
    assert set(without_baseline(profile({}), Missing("none"))) == set(METRICS)


@given(st.floats(1, 1e15), st.floats(0, 1e15))
def test_an_exact_change_is_the_ratio_without_an_interval(before: float, after: float) -> None:
    change = found("size", profile({"size": exact(before)}), profile({"size": exact(after)}))
    assert isinstance(change, Change)
    assert change.value == change.low == change.high == after / before - 1
    assert change.basis == "exact"


@pytest.mark.parametrize(("before", "after", "expected"), [(0.0, 0.0, 0.0), (0.0, 5.0, Missing), (5.0, 0.0, -1.0)])
def test_nothing_as_a_baseline(before: float, after: float, expected: Any) -> None:
    change = found("params", profile({"params": exact(before)}), profile({"params": exact(after)}))
    if expected is Missing:
        assert isinstance(change, Missing)
        assert "0" in change.reason
    else:
        assert isinstance(change, Change)
        assert change.value == expected


OTHER_WORKLOADS: dict[str, Any] = {
    "batch_size was 1, is 8": replace(WORKLOAD, batch_size=8),
    "threads was 1, is 2": replace(WORKLOAD, threads=2),
    "precision was as stored, is fp16": replace(WORKLOAD, precision="fp16"),
    "inputs x was": replace(WORKLOAD, inputs=(Input("x", "float32", (1, 8), ""),)),
    "inputs y was absent": replace(WORKLOAD, inputs=(*WORKLOAD.inputs, Input("y", "int64", (1,), ""))),
    "feed was sha256:feed, is sha256:other": replace(WORKLOAD, feed="sha256:other"),
}


@pytest.mark.parametrize("words", OTHER_WORKLOADS)
def test_unlike_workloads_are_not_compared_and_the_first_difference_is_named(words: str) -> None:
    both = {"macs": exact(10), "size": exact(10)}
    other = profile(both, workload=OTHER_WORKLOADS[words])
    change = found("macs", profile(both), other)
    assert isinstance(change, Missing)
    assert change.kind == "incomparable"
    assert words in change.reason
    assert change.help
    # What belongs to the files alone does not care.
    assert isinstance(found("size", profile(both), other), Change)
    assert workload_difference(WORKLOAD, WORKLOAD) is None


@pytest.mark.parametrize(
    ("metric", "comparable"), [("size", True), ("macs", True), ("activation_memory", False), ("latency_p50", False)]
)
def test_another_runtime_matters_only_where_it_does_the_work(metric: str, comparable: bool) -> None:
    both = {metric: noisy(10, 9, 11) if metric.startswith("latency") else exact(10)}
    change = found(metric, profile(both), profile(both, runtime={"onnxruntime": "1.33.0"}))
    assert isinstance(change, Change) is comparable
    if isinstance(change, Missing):
        assert "runtime onnxruntime was 1.32.0, is 1.33.0" in change.reason


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cpu", "Other CPU", "cpu was Test CPU, is Other CPU"),
        ("architecture", "aarch64", "architecture was x86_64, is aarch64"),
        ("cores", 4, "cores was 2, is 4"),
        ("extensions", ("avx2", "avx512f"), "extensions was avx2, is avx2 avx512f"),
    ],
)
def test_noisy_numbers_of_other_hardware_are_not_compared(field: str, value: Any, words: str) -> None:
    other = replace(HARDWARE, **{field: value})
    assert hardware_difference(HARDWARE, other) == words
    both = {"latency_p50": noisy(10, 9, 11), "macs": exact(5)}
    change = found("latency_p50", profile(both), profile(both, hardware=other))
    assert isinstance(change, Missing)
    assert words in change.reason
    assert isinstance(found("macs", profile(both), profile(both, hardware=other)), Change)


@pytest.mark.parametrize(
    ("field", "value", "comparable"),
    [("extensions", ("avx2", "avx512f"), False), ("architecture", "aarch64", False), ("cpu", "Other CPU", True)],
)
def test_activation_memory_follows_the_kernels_that_the_processor_allows(
    field: str, value: Any, comparable: bool
) -> None:
    both = {"activation_memory": exact(5)}
    other = profile(both, hardware=replace(HARDWARE, **{field: value}))
    assert isinstance(found("activation_memory", profile(both), other), Change) is comparable


def test_memory_and_kernel_do_not_make_another_machine() -> None:
    other = replace(HARDWARE, memory=1, system="Linux 6.9", notes=("in a container",))
    assert hardware_difference(HARDWARE, other) is None
    assert other.id == HARDWARE.id


def stored(value: float, low: float, high: float, between: float, trials: int = 3) -> Measurement:
    return replace(noisy(value, low, high), between=between, trials=trials)


def test_stored_noisy_numbers_are_compared_with_both_doubts() -> None:
    before, after = profile({"latency_p50": stored(10, 9, 11, 0.0)}), profile({"latency_p50": noisy(12, 11, 13)})
    change = found("latency_p50", before, after)
    assert isinstance(change, Change)
    assert change.basis == "stored"
    assert change.value == pytest.approx(0.2)
    assert (change.low, change.high) == pytest.approx((11 / 11 - 1, 13 / 9 - 1))


@given(st.floats(0, 0.1), st.floats(0, 0.1), st.integers(2, 10))
def test_a_wider_spread_between_trials_widens_a_stored_comparison(less: float, more: float, trials: int) -> None:
    after = profile({"latency_p50": noisy(12, 11.9, 12.1)})
    narrow, wide = (
        found("latency_p50", profile({"latency_p50": stored(10, 9.9, 10.1, between, trials)}), after)
        for between in (less, less + more)
    )
    assert isinstance(narrow, Change)
    assert isinstance(wide, Change)
    assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high


def test_the_spread_between_trials_by_hand() -> None:
    # Three trials, 1 % apart: t(0.985, 2) = 5.643 (scipy), times the root of two sides.
    change = found(
        "latency_p50",
        profile({"latency_p50": stored(10, 10, 10, 0.01)}),
        profile({"latency_p50": noisy(10, 10, 10)}),
    )
    assert isinstance(change, Change)
    half = scipy.stats.t.ppf(0.985, 2) * 0.01 * math.sqrt(2)
    assert (change.low, change.high) == pytest.approx((math.expm1(-half), math.expm1(half)))


def test_a_stored_number_of_one_trial_judges_nothing() -> None:
    both = {"latency_p50": noisy(10, 9, 11)}
    change = found("latency_p50", profile(both), profile(both))
    assert isinstance(change, Missing)
    assert "from trial to trial" in change.reason
    assert "baseline accept" in change.help


def test_ratios_change_by_difference() -> None:
    declared = (profile({"accuracy.f1": Measurement(value, "declared")}) for value in (0.91, 0.905))
    change = found("accuracy.f1", *declared)
    assert isinstance(change, Change)
    assert (change.relative, change.basis) == (False, "exact")
    assert change.value == change.low == change.high == pytest.approx(-0.005)


def test_shares_of_samples_change_by_no_less_than_their_intervals_apart() -> None:
    told = (Measurement(one, "evaluated", Interval(one - 0.01, one + 0.02)) for one in (0.9, 0.8))
    change = found("error_rate.wer", *(profile({"error_rate.wer": one}) for one in told))
    assert isinstance(change, Change)
    assert (change.relative, change.basis) == (False, "stored")
    assert (change.low, change.value, change.high) == pytest.approx((-0.13, -0.1, -0.07))


@pytest.mark.parametrize(("metric", "basis"), [("score.psnr", "exact"), ("error", "exact")])
def test_declared_numbers_change_by_their_ratio(metric: str, basis: str) -> None:
    change = found(metric, *(profile({metric: Measurement(value, "declared")}) for value in (20, 22)))
    assert isinstance(change, Change)
    assert (change.relative, change.basis, change.value) == (True, basis, pytest.approx(0.1))


def test_an_evaluated_error_changes_by_no_less_than_its_intervals_apart() -> None:
    told = (Measurement(one, "evaluated", Interval(0.9 * one, 1.1 * one)) for one in (10, 20))
    change = found("error.mse", *(profile({"error.mse": one}) for one in told))
    assert isinstance(change, Change)
    assert (change.low, change.value, change.high) == pytest.approx((18 / 11 - 1, 1, 22 / 9 - 1))
    assert change.basis == "stored"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"size": Missing("it broke", "failed", "mend it")}, {"size": exact(1)}, "the baseline has no size: it broke"),
        ({"size": exact(1)}, {"size": Missing("it broke", "failed")}, "it broke"),
        ({}, {"size": exact(1)}, "the baseline has no size: it was not measured"),
        ({}, {}, "it was not measured"),
    ],
)
def test_a_gap_on_either_side_is_told(before: Any, after: Any, words: str) -> None:
    change = found("size", profile(before), profile(after))
    assert isinstance(change, Missing)
    assert change.reason == words


@pytest.mark.parametrize("metric", [name for name, row in METRICS.items() if not row.measured])
def test_an_accuracy_without_a_source_says_so(metric: str) -> None:
    comparison = without_baseline(profile({}), Missing("none"))[metric]
    assert isinstance(comparison.candidate, Missing)
    assert comparison.candidate.kind == "unsupported"
    assert comparison.candidate.reason == f"the budget names no source of {metric}"


def test_without_a_baseline_the_candidate_still_counts() -> None:
    why = Missing("no baseline", "incomparable", "accept one")
    comparison = without_baseline(profile({"size": exact(7)}), why)["size"]
    assert comparison.candidate == exact(7)
    assert comparison.change is comparison.baseline is why


def test_a_trial_compares_noisy_metrics_by_their_pairs() -> None:
    # The profiles alone say nothing (their intervals overlap); the pairs do.
    wide = {"latency_p50": noisy(10, 5, 20), "size": exact(100)}
    made = trial(launches(6, 1.1), profile(wide), profile({**wide, "size": exact(105)}))
    compared = compare_trial(made)
    change = compared["latency_p50"].change
    assert isinstance(change, Change)
    assert change.basis == "paired"
    assert 0.08 < change.low < 0.1 < change.high < 0.12
    size = compared["size"].change
    assert isinstance(size, Change)
    assert size.value == pytest.approx(0.05)


def test_a_trial_compares_models_that_take_different_inputs() -> None:
    wider = replace(WORKLOAD, inputs=(Input("x", "float32", (1, 8), ""),), feed="sha256:wider")
    made = trial((), profile({"macs": exact(100)}), profile({"macs": exact(200)}, workload=wider))
    change = compare_trial(made)["macs"].change
    assert isinstance(change, Change)
    assert change.value == 1.0


def test_a_trial_whose_candidate_broke_has_no_change() -> None:
    broken = Missing("the worker crashed", "failed")
    both = {"latency_p50": noisy(10, 9, 11)}
    compared = compare_trial(trial(launches(6, 1.0), profile(both), profile({"latency_p50": broken})))
    assert compared["latency_p50"].change is broken


def test_both_looks_hold_what_trials_of_their_workload_differ_by() -> None:
    threads = replace(WORKLOAD, threads=2)
    sides = [replace(profile({"latency_p50": noisy(1e-3, 0.9e-3, 1.1e-3)}), workload=threads) for _ in range(2)]
    found = compare_trial(replace(trial(launches(12, 2.0), *sides), looks=(6, 12)))["latency_p50"]
    assert found.first is not None
    for change in (found.change, found.first.change):
        assert isinstance(change, Change)
        assert change.irreducible == pytest.approx(2 ** (1.96 * 0.12) - 1, rel=0.05)


@pytest.mark.parametrize("metric", ["training_energy", "training_co2e"])
def test_a_training_that_does_not_say_how_it_was_counted_is_compared_with_none(metric: str) -> None:
    """As in a version that was accepted before records were kept with it; also within one trial."""
    known = Trained({"cpu": "counter"}, 1e-8)
    told = {metric: Measurement(20.0, "counter")}
    before, after = profile(told), replace(profile(told), trained=known)
    for one, other, side in ((before, after, "baseline"), (after, before, "candidate")):
        change = found(metric, one, other)
        assert isinstance(change, Missing)
        assert change.kind == "incomparable"
        assert f"the {side} does not say how its training was counted" in change.reason
    both = found(metric, after, after)
    assert isinstance(both, Change)
    assert both.value == 0
    within = compare_trial(trial([], before, after))[metric].change
    assert isinstance(within, Missing)
