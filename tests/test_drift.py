"""Drift: which version it is counted from, in which direction, and that small steps add up."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace

import nouns
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate.budget import Limit
from greengate.comparison import Change, FirstLook
from greengate.judge import judge, unconfirmed
from greengate.judge.drift import since
from greengate.profile import Missing
from greengate.verdict import Case, ModelCase, Outcome, Past, Status

TODAY = nouns.case([], {}).today


def ago(days: int) -> datetime.date:
    return TODAY - datetime.timedelta(days=days)


def drift(value: float = 0.12, over: int = 90) -> Limit:
    return Limit("max_drift", value, f"{abs(value):.0%} in {over} d", nouns.SPAN, True, over)


def exactly(change: float) -> Change:
    return Change(change, change, change, "exact")


def past(
    days: Sequence[int], changes: Sequence[Change | Missing], granted: Sequence[int] = (), metric: str = "flops"
) -> tuple[Past, ...]:
    return tuple(
        Past(number, ago(day), number in granted, {metric: nouns.exact(100.0)}, {metric: change})
        for number, (day, change) in enumerate(zip(days, changes, strict=True), 1)
    )


def judged(versions: tuple[Past, ...], limit: Limit | None = None, metric: str = "flops", **more: object) -> Outcome:
    case = nouns.case([nouns.rule(metric, limit or drift(), **more)], {metric: nouns.compared(metric, exactly(0.0))})
    models: tuple[ModelCase, ...] = tuple(replace(model, past=versions) for model in case.models)
    (outcome,) = judge(replace(case, models=models)).outcomes
    return outcome


def test_twenty_small_steps_do_not_slip_through() -> None:
    """Each version is 0.9 % above the one before, one every four days; the candidate is one step further."""
    steps = [1.009 ** (20 - number) - 1 for number in range(20)]
    versions = past([4 * (20 - number) for number in range(20)], [exactly(step) for step in steps])
    step = judged(versions[-1:], nouns.limit("max_increase", 0.01))
    assert step.status is Status.PASS
    outcome = judged(versions)
    assert outcome.status is Status.FAIL
    assert outcome.reason == f"+19.6 % is beyond the limit of +12.0 % since version 1 of {ago(80)}"


@pytest.mark.parametrize(
    ("days", "granted", "from_version"),
    [
        ([200, 100, 50], (), 2),  # in force 90 days ago
        ([200, 90, 50], (), 2),  # the very day counts
        ([200, 89, 50], (), 1),
        ([80, 50, 10], (), 1),  # younger than the time: the first
        ([200, 100, 50], (3,), 3),  # a person granted it
        ([200, 100, 50], (1,), 2),  # granted before the time began
        ([50], (), 1),
        ([0], (), 1),
    ],
)
def test_it_is_counted_from(days: list[int], granted: tuple[int, ...], from_version: int) -> None:
    versions = past(days, [exactly(0.2) for _ in days], granted)
    model = replace(nouns.case([], {}).models[0], past=versions)
    assert since(drift(), model, TODAY)[0].version == from_version
    assert f"since version {from_version} of" in judged(versions).reason


def test_without_versions_it_is_inconclusive_with_the_command() -> None:
    outcome = judged(())
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.help == "accept one with `greengate baseline accept`"


def test_a_version_that_does_not_compare_is_passed_over_and_said() -> None:
    other = Missing("cpu was A, is B", "incomparable", "measure it here")
    outcome = judged(past([100, 60, 30], [other, exactly(0.2), exactly(0.0)]))
    assert outcome.status is Status.FAIL
    assert outcome.reason.endswith(f"since version 2 of {ago(60)} (1 before it does not compare)")
    nothing = judged(past([100, 60], [other, other]))
    assert (nothing.status, nothing.reason, nothing.help) == (Status.INCONCLUSIVE, "cpu was A, is B", "measure it here")


@pytest.mark.parametrize(
    ("metric", "change", "status"),
    [
        ("flops", 0.12, Status.PASS),
        ("flops", 0.1201, Status.FAIL),
        ("flops", -0.5, Status.PASS),
        ("throughput", -0.13, Status.INCONCLUSIVE),  # noisy: nobody looked twice
        ("throughput", -0.11, Status.PASS),
        ("throughput", 0.5, Status.PASS),
    ],
)
def test_it_is_counted_where_the_metric_gets_worse(metric: str, change: float, status: Status) -> None:
    limit = drift(0.12 if metric == "flops" else -0.12)
    assert judged(past([100], [exactly(change)], metric=metric), limit, metric).status is status


@pytest.mark.parametrize(
    ("first", "both", "status"),
    [
        (exactly(-0.13), exactly(-0.13), Status.FAIL),
        (exactly(-0.13), exactly(-0.11), Status.INCONCLUSIVE),  # confirming never makes a pass
        (Change(-0.11, -0.14, -0.08, "stored"), exactly(-0.13), Status.INCONCLUSIVE),  # nor a failure of a look alone
        (exactly(-0.11), exactly(-0.11), Status.PASS),
        (None, exactly(-0.13), Status.INCONCLUSIVE),
        (None, exactly(-0.11), Status.INCONCLUSIVE),
    ],
)
def test_a_noisy_drift_is_judged_at_both_looks(first: Change | None, both: Change, status: Status) -> None:
    looked = nouns.compared("throughput", exactly(0.0))
    looked = replace(looked, first=FirstLook(looked.candidate, looked.change))
    case = nouns.case([nouns.rule("throughput", drift(-0.12))], {"throughput": looked})
    (version,) = past([100], [both], metric="throughput")
    version = replace(version, first={} if first is None else {"throughput": first})
    (outcome,) = judge(replace(case, models=(replace(case.models[0], past=(version,)),))).outcomes
    assert outcome.status is status


@pytest.mark.parametrize(("change", "asked"), [(-0.13, {"throughput"}), (-0.11, set())])
def test_a_noisy_drift_that_fails_at_a_first_look_asks_for_a_second(change: float, asked: set[str]) -> None:
    case = nouns.case(
        [nouns.rule("throughput", drift(-0.12))], {"throughput": nouns.compared("throughput", exactly(0))}
    )
    model = replace(case.models[0], past=past([100], [exactly(change)], metric="throughput"))
    assert unconfirmed((case.budget,), model, TODAY) == asked


def test_a_derived_failure_asks_for_a_second_look_at_what_it_comes_from() -> None:
    heavier = {"co2e_per_1k": nouns.compared("co2e_per_1k", exactly(0.2))}
    case = nouns.case([nouns.rule("co2e_per_1k", nouns.limit("max_increase", 0.05))], heavier)
    assert unconfirmed((case.budget,), case.models[0], TODAY) == {"energy_per_1k"}


def test_more_time_for_emissions_is_more_time_for_energy() -> None:
    open_ = Change(0.05, 0.03, 0.07, "paired", launches=5, seconds=10.0)
    found = {"co2e_per_1k": nouns.compared("co2e_per_1k", open_)}
    (outcome,) = judge(nouns.case([nouns.rule("co2e_per_1k", nouns.limit("max_increase", 0.04))], found)).outcomes
    assert outcome.status is Status.INCONCLUSIVE
    assert "--energy-seconds" in outcome.help
    assert "--max-seconds" not in outcome.help


def test_a_drift_below_the_floor_is_ignored() -> None:
    assert judged(past([100], [exactly(0.2)]), ignore_below=25.0).status is Status.PASS
    assert judged(past([100], [exactly(0.2)]), ignore_below=15.0).status is Status.FAIL


def test_all_limits_of_a_rule_hold_together() -> None:
    limits = (nouns.limit("max_increase", 0.01), drift())
    case = nouns.case([nouns.rule("flops", *limits)], {"flops": nouns.compared("flops", exactly(0.009))})
    for change, status in ((0.1, Status.PASS), (0.2, Status.FAIL)):
        models = tuple(replace(model, past=past([100], [exactly(change)])) for model in case.models)
        verdict = judge(replace(case, models=models))
        assert verdict.status is status
        assert [check.limit.kind for check in verdict.outcomes[0].checks] == ["max_increase", "max_drift"]


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=8).map(lambda days: sorted(days, reverse=True)),
    st.lists(st.floats(-0.5, 1.0), min_size=8, max_size=8),
    st.integers(1, 200),
    st.integers(0, 8),
)
def test_a_shorter_time_or_a_grant_never_looks_further_back(
    days: list[int], changes: list[float], over: int, granted: int
) -> None:
    versions = past(days, [exactly(change) for change in changes[: len(days)]], (granted,))
    plain = past(days, [exactly(change) for change in changes[: len(days)]])
    case: Case = nouns.case([], {})
    model = replace(case.models[0], past=versions)
    first = since(drift(over=over), model, TODAY)[0]
    assert since(drift(over=over + 50), model, TODAY)[0].version <= first.version
    assert since(drift(over=over), replace(model, past=plain), TODAY)[0].version <= first.version
    assert first.accepted <= ago(over) or first.version == 1 or first.granted
