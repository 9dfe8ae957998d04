from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nouns import case, compared, exact, limit, noisy, rule

from greengate.comparison import Change, Comparison, FirstLook, Noise
from greengate.errors import Exit
from greengate.judge import binds, judge, unconfirmed, undecided
from greengate.profile import Measurement, Missing
from greengate.verdict import Outcome, Status

P, D, W, I, F = Status.PASS, Status.DEFERRED, Status.WARN, Status.INCONCLUSIVE, Status.FAIL  # noqa: E741


def change(value: float, half: float = 0.0) -> Change:
    basis = "paired" if half else "exact"
    return Change(value, value - half, value + half, basis)


def only(*args: Any, **more: Any) -> Outcome:
    (outcome,) = judge(case(*args, **more)).outcomes
    return outcome


def judged(the_rule: Any, comparison: Comparison, **more: Any) -> Status:
    return only([the_rule], {comparison.metric: comparison}, **more).status


def confirmed(found: Comparison) -> Comparison:
    """Return a comparison whose first look said what all launches say."""
    return replace(found, first=FirstLook(found.candidate, found.change))


@pytest.mark.parametrize(
    ("kind", "value", "found", "status"),
    [
        # a change against an upper bound: the whole interval decides, reaching the bound is within it
        ("max_increase", 0.05, change(0.05), P),
        ("max_increase", 0.05, change(0.0500001), F),
        ("max_increase", 0.05, change(-0.9), P),
        ("max_increase", 0.05, change(0.04, 0.009), P),
        ("max_increase", 0.05, change(0.04, 0.011), I),
        ("max_increase", 0.05, change(0.06, 0.011), I),
        ("max_increase", 0.05, change(0.06, 0.009), F),
        ("max_increase", 0.0, change(0.0), P),
        # a change against a lower bound
        ("max_decrease", 0.05, change(-0.05), P),
        ("max_decrease", 0.05, change(-0.0500001), F),
        ("max_decrease", 0.05, change(0.9), P),
        ("max_decrease", 0.05, change(-0.06, 0.02), I),
        ("max_decrease", 0.05, change(-0.06, 0.009), F),
    ],
)
def test_a_change_is_judged_on_its_whole_interval(kind: str, value: float, found: Change, status: Status) -> None:
    assert judged(rule("throughput", limit(kind, value)), confirmed(compared("throughput", found))) is status


@pytest.mark.parametrize(
    ("kind", "value", "candidate", "status"),
    [
        ("max", 100, exact(100), P),
        ("max", 100, exact(100.5), F),
        ("max", 0.045, noisy(0.044, 0.0431, 0.0449), P),
        ("max", 0.045, noisy(0.044, 0.0431, 0.0451), I),
        ("max", 0.045, noisy(0.046, 0.0451, 0.047), F),
        ("min", 100, exact(100), P),
        ("min", 100, exact(99.5), F),
        ("min", 100, noisy(101, 99, 103), I),
        ("min", 100, noisy(98, 97, 99), F),
    ],
)
def test_an_absolute_limit_is_judged_on_the_candidate_alone(
    kind: str, value: float, candidate: Any, status: Status
) -> None:
    no_baseline = Missing("no baseline", "incomparable")
    metric = "latency_p95" if value < 1 else "size"
    found = confirmed(Comparison(metric, no_baseline, candidate, no_baseline))
    assert judged(rule(metric, limit(kind, value)), found) is status


@pytest.mark.parametrize(
    ("kind", "strict", "part", "status"),
    [
        ("failed", False, None, I),
        ("unsupported", False, None, I),
        ("unsettled", False, None, I),
        ("incomparable", False, None, I),
        ("unavailable", False, None, D),  # a laptop may leave it to CI
        ("skipped", False, None, D),
        ("unavailable", True, None, I),  # in CI nobody comes after
        ("skipped", True, None, I),
        ("unavailable", True, "gpu", D),  # a declared part is merged later
        ("failed", True, "gpu", I),  # what broke stays broken
        ("unchanged", False, None, D),  # left out by choice, here and in CI
        ("unchanged", True, None, D),
    ],
)
def test_what_was_not_measured_is_never_a_pass(kind: str, strict: bool, part: str | None, status: Status) -> None:
    missing = Missing("why it is missing", kind, "what to do")  # type: ignore[arg-type]
    found = Comparison("size", exact(1), missing, missing)
    for one in (limit("max", 5), limit("max_increase", 0.05)):
        outcome = only([rule("size", one)], {"size": found}, strict=strict, part=part)
        assert (outcome.status, outcome.reason, outcome.help) == (status, "why it is missing", "what to do")


def test_a_metric_that_nobody_compared_is_inconclusive_in_ci() -> None:
    outcome = only([rule("size", limit("max", 5))], {}, strict=True)
    assert outcome.status is I
    assert "nobody measured it" in outcome.reason


def test_several_limits_must_all_hold() -> None:
    both = rule("size", limit("max", 105), limit("max_increase", 0.05))
    for after, found, status in [
        (100.0, change(0.0), P),
        (110.0, change(0.0), F),
        (100.0, change(0.1), F),
        (100.0, change(0.05, 0.01), I),
        (110.0, change(0.05, 0.01), F),  # a fail is not softened by a doubt beside it
    ]:
        assert judged(both, compared("size", found, candidate=exact(after))) is status


@pytest.mark.parametrize(
    ("value", "half", "floor", "status"),
    [
        (0.20, 0.0, 20.0, P),  # 20 % of 100 is not above 20
        (0.21, 0.0, 20.0, F),
        (0.20, 0.02, 20.0, I),  # the difference may be 22
        (0.20, 0.02, 30.0, P),
        (0.05, 0.02, 1.0, I),  # neither side of the `or` is sure
        (0.04, 0.005, 0.0, P),  # the limit itself holds
    ],
)
def test_a_change_below_the_floor_is_ignored(value: float, half: float, floor: float, status: Status) -> None:
    the_rule = rule("size", limit("max_increase", 0.05), ignore_below=floor)
    assert judged(the_rule, compared("size", change(value, half))) is status


def test_the_floor_takes_the_baselines_own_doubt_into_account() -> None:
    the_rule = rule("latency_p50", limit("max_increase", 0.05), ignore_below=0.011)
    found = compared("latency_p50", change(0.1, 0.001), baseline=noisy(0.1, 0.05, 0.2))
    assert judged(the_rule, found) is I


@pytest.mark.parametrize(("found", "status"), [(change(0.0), P), (change(0.06), W), (change(0.05, 0.01), W)])
def test_a_warning_rule_never_blocks(found: Change, status: Status) -> None:
    verdict = judge(
        case([rule("size", limit("max_increase", 0.05), severity="warn")], {"size": compared("size", found)})
    )
    assert verdict.outcomes[0].status is status
    assert verdict.exit is Exit.PASS


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ((0.0, 0.0), P, 0),
        ((0.0, 0.1), F, 1),
        ((0.05, 0.0), P, 0),
    ],
)
def test_the_verdict_is_the_worst_outcome(changes: tuple[float, float], status: Status, code: int) -> None:
    rules = [rule("size", limit("max_increase", 0.05)), rule("params", limit("max_increase", 0.05))]
    found = {name: compared(name, change(value)) for name, value in zip(("size", "params"), changes, strict=True)}
    verdict = judge(case(rules, found))
    assert (verdict.status, verdict.exit) == (status, code)


def test_deferred_passes_and_inconclusive_exits_3() -> None:
    missing = Missing("not here", "unavailable")
    found = {"size": Comparison("size", missing, missing, missing)}
    rules = [rule("size", limit("max", 5))]
    assert judge(case(rules, found)).exit is Exit.PASS
    assert judge(case(rules, found, strict=True)).exit is Exit.INCONCLUSIVE


@pytest.mark.parametrize("names", [[], ["audio"]])
def test_a_verdict_on_nothing_is_inconclusive(names: list[str]) -> None:
    bound = rule("size", limit("max", 5), models=("vision-*",))
    verdict = judge(case([bound], {"size": compared("size", change(0.0))}, names=names))
    assert verdict.outcomes == ()
    assert verdict.exit is Exit.INCONCLUSIVE


@pytest.mark.parametrize(
    ("patterns", "model", "bound"),
    [((), "any", True), (("vision-*",), "vision-a", True), (("vision-*",), "Vision-a", False), (("a", "b"), "b", True)],
)
def test_selectors(patterns: tuple[str, ...], model: str, bound: bool) -> None:
    assert binds(rule("size", limit("max", 1), models=patterns), model) is bound


def test_outcomes_name_rule_model_and_place() -> None:
    outcome = only([rule("size", limit("max_increase", 0.05), id="weight")], {"size": compared("size", change(0.06))})
    assert (outcome.rule, outcome.model, outcome.metric) == ("weight", "m", "size")
    assert str(outcome.span) == "budgets.yaml:3:5"
    assert outcome.reason == "+6.0 % is beyond the limit of +5.0 %"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (change(0.0500001), "+5.00001 % is beyond the limit of +5.00000 %"),
        (change(0.05, 0.01), "+5.0 % [+4.0, +6.0] may be on either side of the limit of +5.0 %"),
        (change(0.0), "0.0 % is within the limit of +5.0 %"),
    ],
)
def test_reasons_are_true_to_the_last_digit(found: Change, words: str) -> None:
    assert only([rule("size", limit("max_increase", 0.05))], {"size": compared("size", found)}).reason == words


def test_an_absolute_reason_never_says_that_a_number_exceeds_itself() -> None:
    missing = Missing("no baseline", "incomparable")
    found = Comparison("size", missing, exact(120_000_001), missing)
    reason = only([rule("size", limit("max", 120_000_000))], {"size": found}).reason
    assert reason == "120.000001 MB is beyond the limit of 120.000000 MB"


# --- the trial's own noise, and second looks --------------------------------------------------------------------------


def paired(
    value: float, half: float, noise: Noise | None = None, seconds: float = 10.0, irreducible: float = 0.0
) -> Change:
    return Change(value, value - half, value + half, "paired", True, noise, 6, seconds, irreducible)


QUIET, LOUD = Noise(0.0, -0.004, 0.005), Noise(0.01, -0.07, 0.09)


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        (paired(0.0, 0.01, QUIET), P, "is within the limit"),
        (paired(0.1, 0.01, QUIET), F, "is beyond the limit"),
        # a pass needs noise no wider than the limit, or room for it
        (paired(0.0, 0.01, LOUD), I, "noise alone explains 9.0 %"),
        (paired(-0.5, 0.01, LOUD), P, "is within the limit"),
        # a failure must stand beyond the noise too
        (paired(0.08, 0.01, LOUD), I, "noise alone explains 9.0 %"),
        (paired(0.2, 0.01, LOUD), F, "is beyond the limit"),
        (paired(0.5, 0.25, Noise(0.0, -0.25, 0.25)), I, "noise alone explains 25.0 %"),  # exactly as far as noise goes
        # two copies of one model that differ for sure
        (paired(0.2, 0.01, Noise(0.03, 0.02, 0.04, broken=True)), I, "two copies of the baseline differ by +3.0 %"),
        (paired(0.0, 0.01, Noise(0.03, 0.02, 0.04, broken=True)), I, "something disturbs this trial"),
        (paired(0.2, 0.01, Noise(0.011, 0.01, 0.012, broken=True)), I, "something disturbs this trial"),
    ],
)
def test_noise_forbids_what_it_could_explain(found: Change, status: Status, words: str) -> None:
    found_twice = {"latency_p50": confirmed(compared("latency_p50", found))}
    outcome = only([rule("latency_p50", limit("max_increase", 0.05))], found_twice)
    assert outcome.status is status
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        # 10 ms: 0.5 ms are 5 %. Noise within the floor, or room for it, lets it pass; what noise explains does not.
        (paired(0.04, 0.005, QUIET), P, "below which the rule does not care"),
        (paired(0.04, 0.005, Noise(0.0, -0.045, 0.045)), P, "below which the rule does not care"),
        (paired(0.04, 0.005, Noise(0.0, -0.09, 0.09)), I, "noise alone explains"),
        (paired(-0.09, 0.005, Noise(0.0, -0.09, 0.09)), P, "is within the limit"),
        (paired(0.04, 0.005, Noise(0.03, 0.02, 0.04, broken=True)), I, "something disturbs this trial"),
        (paired(0.2, 0.01, QUIET), F, "is beyond the limit"),
        (paired(0.05, 0.02, QUIET), I, "may be on either side"),
    ],
)
def test_noise_forbids_under_a_floor_as_well(found: Change, status: Status, words: str) -> None:
    twice = confirmed(Comparison("latency_p50", noisy(0.01, 0.00999, 0.01001), noisy(0.0104, 0.0103, 0.0105), found))
    asked = replace(rule("latency_p50", limit("max_increase", 0.01)), ignore_below=0.0005)
    outcome = only([asked], {"latency_p50": twice})
    assert outcome.status is status
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("low", "high", "status", "words"),
    [
        (0.040, 0.042, P, "is within the limit"),  # with room for the 4 % of noise
        (0.043, 0.0445, I, "something disturbs this trial"),
        (0.0451, 0.046, I, "something disturbs this trial"),
        (0.048, 0.049, F, "is beyond the limit"),
    ],
)
def test_an_absolute_limit_leaves_room_for_what_tells_two_copies_apart(
    low: float, high: float, status: Status, words: str
) -> None:
    told_apart = paired(0.0, 0.01, Noise(0.03, 0.02, 0.04, broken=True))
    found = Comparison("latency_p50", noisy(0.04, 0.039, 0.041), noisy((low + high) / 2, low, high), told_apart)
    outcome = only([rule("latency_p50", limit("max", 0.045))], {"latency_p50": confirmed(found)})
    assert outcome.status is status
    assert words in outcome.reason


def test_a_counted_estimate_says_how_far_off_it_may_be() -> None:
    made = Measurement(0.5, "estimated", None, 1, "calibrated elsewhere")
    found = Comparison("energy_per_1k", made, made, Change(0.1, 0.02, 0.18, "counted", irreducible=0.08))
    asked = replace(rule("energy_per_1k", limit("max_increase", 0.05)), allow_estimated=True)
    outcome = only([asked], {"energy_per_1k": found})
    assert outcome.status is I
    assert outcome.reason.endswith("judges no limit tighter than twice what it may be off, 8.0 %")
    wide = replace(rule("energy_per_1k", limit("max_increase", 0.2)), allow_estimated=True)
    assert only([wide], {"energy_per_1k": found}).status is P


def test_noise_forbids_on_the_other_side_too() -> None:
    the_rule = rule("throughput", limit("max_decrease", 0.05))
    for value, status in ((-0.08, I), (-0.2, F), (0.0, I), (0.5, P)):
        assert judged(the_rule, confirmed(compared("throughput", paired(value, 0.01, LOUD)))) is status


@pytest.mark.parametrize(
    ("found", "words"),
    [
        # 14 launches are 1.8 times as narrow as these 6; a fifth more to be sure, and time to confirm
        (paired(0.0, 0.01, LOUD), "limits above 9.0 % can be decided here now; this one needs about 60 s"),
        (paired(0.035, 0.03, QUIET, 20.0), "limits above 6.0 % can be decided here now; this one needs about 120 s"),
        (paired(0.045, 0.01, QUIET, 20.0), "the change is near the limit; this one needs about 120 s"),
        (paired(0.05, 0.03, QUIET), "this one is too near for more time to tell"),
        (paired(0.0425, 0.03, QUIET, 1.0), "this one is too near for more time to tell"),  # it would take 80 launches
        # 2 % of room, of which trials differ by 0.6 %: the other 2.94 % must shrink to 1.91 %, by 11 launches
        (paired(0.03, 0.03, QUIET, 20.0, irreducible=0.006), "this one needs about 90 s"),
        (paired(0.0, 0.01, Noise(0.03, 0.02, 0.04, broken=True)), "stop what else runs on this machine"),
        (paired(0.04, 0.03, QUIET, 10.0, irreducible=0.011), "too near for more time"),  # no time is enough
        (paired(0.049, 0.01, QUIET, 10.0), "too near the limit to be told from it here, however long it takes"),
        # what stored trials differed by stays as wide as it is, however long today's takes
        (Change(0.04, 0.01, 0.07, "stored"), "have the baseline's model file at hand"),
    ],
)
def test_an_inconclusive_noisy_rule_says_what_would_decide_it(found: Change, words: str) -> None:
    outcome = only([rule("latency_p50", limit("max_increase", 0.05))], {"latency_p50": compared("latency_p50", found)})
    assert outcome.status is I
    assert words in outcome.help


def test_few_launches_are_wide_for_want_of_launches() -> None:
    """Three launches of 41 s that tell 10 % to either side: ten are a quarter as wide, not 48."""
    found = replace(paired(0.0, 0.10, Noise(0.0, -0.1, 0.1), 123.0), launches=3)
    outcome = only([rule("latency_p50", limit("max_increase", 0.05))], {"latency_p50": compared("latency_p50", found)})
    assert "this one needs about 840 s" in outcome.help


@pytest.mark.parametrize(
    ("first", "both", "status"),
    [
        (0.1, 0.1, F),
        (0.1, 0.0, I),  # not confirmed: never a pass
        (0.0, 0.1, I),
        (0.0, 0.0, P),
        (0.05, 0.1, I),
        (0.05, 0.0, I),  # what was inconclusive at first is not passed by looking again
    ],
)
def test_a_second_look_confirms_or_leaves_open(first: float, both: float, status: Status) -> None:
    looked = FirstLook(exact(100.0), paired(first, 0.01, QUIET))
    again = replace(compared("latency_p50", paired(both, 0.01, QUIET)), first=looked)
    outcome = only([rule("latency_p50", limit("max_increase", 0.05))], {"latency_p50": again})
    assert outcome.status is status
    assert ("confirmed by a second look" in outcome.reason) is (status is F)


@pytest.mark.parametrize(
    ("first", "both", "noise", "status"),
    [
        (0.055, 0.1, QUIET, F),
        (0.045, 0.1, QUIET, I),  # it did not seem to be beyond
        (0.055, 0.062, QUIET, I),  # beyond at 95 %, not at 99 %
        (0.055, 0.0, QUIET, I),
        (0.055, 0.1, LOUD, I),  # no more than noise explains
    ],
)
def test_what_a_first_look_left_open_beyond_its_limit_fails_only_where_all_launches_are_surely_beyond(
    first: float, both: float, noise: Noise, status: Status
) -> None:
    looked = FirstLook(exact(100.0), paired(first, 0.01, noise))
    again = replace(compared("latency_p50", paired(both, 0.01, noise)), first=looked)
    outcome = only([rule("latency_p50", limit("max_increase", 0.05))], {"latency_p50": again})
    assert outcome.status is status
    assert outcome.reason.endswith("at 99 % by both looks together") is (status is F)


def test_what_has_no_launches_is_not_surely_beyond() -> None:
    """An absolute limit, or a change that no trial measured: how wide either would be at 99 % is not known."""
    open_, over = noisy(0.046, 0.044, 0.048), noisy(0.06, 0.059, 0.061)
    none = Missing("no baseline", "incomparable")
    found = Comparison("latency_p95", none, over, none, first=FirstLook(open_, none))
    assert judged(rule("latency_p95", limit("max", 0.045)), found) is I
    stored = replace(compared("latency_p50", change(0.1, 0.01)), first=FirstLook(exact(100.0), change(0.055, 0.01)))
    assert judged(rule("latency_p50", limit("max_increase", 0.05)), stored) is I


@pytest.mark.parametrize(
    ("the_rule", "found"),
    [
        (rule("latency_p50", limit("max_increase", 0.05)), compared("latency_p50", paired(0.3, 0.01, QUIET))),
        (rule("latency_p50", limit("max_increase", 0.05)), compared("latency_p50", change(0.3, 0.01))),
        (rule("throughput", limit("max_decrease", 0.05)), compared("throughput", paired(-0.3, 0.01, QUIET))),
        (
            rule("latency_p95", limit("max", 0.045)),
            Comparison("latency_p95", Missing("none", "skipped"), noisy(0.09, 0.08, 0.1), Missing("none", "skipped")),
        ),
    ],
)
def test_one_look_never_fails_a_noisy_rule(the_rule: Any, found: Comparison) -> None:
    outcome = only([the_rule], {found.metric: found})
    assert outcome.status is I
    assert outcome.reason.endswith(", and no second look confirmed it")
    assert "a second look" in outcome.help
    twice = only([the_rule], {found.metric: confirmed(found)})
    assert (twice.status, twice.help) == (F, "")


def test_one_look_is_enough_for_what_is_exact() -> None:
    assert judged(rule("size", limit("max_increase", 0.05)), compared("size", change(0.06))) is F


def test_an_absolute_limit_is_confirmed_too() -> None:
    over, under = noisy(0.05, 0.049, 0.051), noisy(0.04, 0.039, 0.041)
    the_rule = rule("latency_p95", limit("max", 0.045))
    none = Missing("no baseline", "incomparable")
    for first, both, status in ((over, over, F), (over, under, I), (under, under, P)):
        found = Comparison("latency_p95", none, both, none, first=FirstLook(first, none))
        assert judged(the_rule, found) is status


def test_only_failing_noisy_metrics_ask_for_a_second_look() -> None:
    rules = [
        rule("latency_p50", limit("max_increase", 0.05)),
        rule("cpu_time", limit("max_increase", 0.05), severity="warn"),
        rule("throughput", limit("max_decrease", 0.05)),
        rule("size", limit("max_increase", 0.05)),
        rule("latency_p95", limit("max_increase", 0.05), models=("other",)),
    ]
    found = {
        "latency_p50": compared("latency_p50", paired(0.1, 0.01)),
        "cpu_time": compared("cpu_time", paired(0.1, 0.01)),
        "throughput": compared("throughput", paired(-0.05, 0.01)),
        "size": compared("size", change(0.5)),
        "latency_p95": compared("latency_p95", paired(0.5, 0.01)),
    }
    judged = case(rules, found)
    (model,) = judged.models
    assert unconfirmed((judged.budget,), model, judged.today) == {"latency_p50", "cpu_time"}


def test_only_what_a_longer_look_may_decide_asks_for_it() -> None:
    wide, told_apart = paired(0.04, 0.03), Noise(0.03, 0.02, 0.04, broken=True)
    gone = Missing("2 launches fit in the time, 3 are needed", "unsettled")
    found = {
        "latency_p50": compared("latency_p50", wide),
        "throughput": compared("throughput", paired(0.0, 0.01, LOUD)),
        "latency_p95": Comparison("latency_p95", gone, noisy(0.045, 0.040, 0.050), gone),
        "cpu_time": compared("cpu_time", paired(0.1, 0.01)),  # fails
        "load_time": compared("load_time", paired(0.0, 0.01)),  # passes
        "time_to_first_token": confirmed(compared("time_to_first_token", wide)),
        "peak_memory": compared("peak_memory", paired(0.04, 0.03, told_apart)),
        "latency_p99": Comparison("latency_p99", gone, gone, gone),
        "size": compared("size", change(0.04)),
    }
    rules = [rule(name, limit("max_increase", 0.05)) for name in found if name not in ("throughput", "latency_p95")]
    rules += [rule("throughput", limit("max_decrease", 0.05)), rule("latency_p95", limit("max", 0.045))]
    judged = case(rules, found)
    (model,) = judged.models
    # What lies beyond its limit may come to fail, and that would have to be confirmed.
    asked = {"latency_p50": False, "throughput": False, "latency_p95": False}
    assert undecided((judged.budget,), model, judged.today) == asked
    nearer = replace(rules[0], limits=(limit("max_increase", 0.039),))
    wider = replace(rules[0], id="wider", limits=(limit("max_increase", 0.05),))
    floor = rule("latency_p95", limit("max", 0.0449))
    judged = case([nearer, wider, floor], found)
    assert undecided((judged.budget,), model, judged.today) == {"latency_p50": True, "latency_p95": True}
    assert unconfirmed((judged.budget,), model, judged.today) == frozenset()
    # What is surely too good is for a person; what may be goes on, and cannot come to fail.
    for value, half, good in ((-0.6, 0.03, {}), (-0.51, 0.03, {"latency_p50": False})):
        judged = case(
            [rule("latency_p50", limit("suspicious_decrease", 0.5))],
            {"latency_p50": compared("latency_p50", paired(value, half))},
        )
        assert undecided((judged.budget,), judged.models[0], judged.today) == good
    judged = case(rules, found)
    assert unconfirmed((judged.budget,), model, judged.today) == {"cpu_time"}


# --- properties -----------------------------------------------------------------------------------------------------

values = st.floats(-0.5, 0.5)
halves = st.floats(0, 0.3)
bounds = st.floats(0, 0.4)


@given(values, halves, bounds, st.floats(0, 0.2), st.sampled_from(["max_increase", "max_decrease"]))
def test_tightening_a_limit_never_makes_it_better(
    value: float, half: float, bound: float, less: float, kind: str
) -> None:
    found = compared("throughput", change(value, half))
    loose = judged(rule("throughput", limit(kind, bound)), found)
    tight = judged(rule("throughput", limit(kind, max(0.0, bound - less))), found)
    assert tight >= loose


@given(values, halves, st.floats(0, 0.2), bounds)
def test_a_wider_interval_never_decides_more(value: float, half: float, more: float, bound: float) -> None:
    narrow = judged(rule("size", limit("max_increase", bound)), compared("size", change(value, half)))
    wide = judged(rule("size", limit("max_increase", bound)), compared("size", change(value, half + more)))
    assert wide in (narrow, I)


@given(st.lists(st.tuples(values, halves), min_size=1, max_size=5), st.randoms())
def test_the_order_of_rules_never_matters(found: list[tuple[float, float]], rng: Any) -> None:
    names = ["size", "params", "flops", "macs", "latency_p50"][: len(found)]
    rules = [rule(name, limit("max_increase", 0.1)) for name in names]
    comparisons = {name: compared(name, change(*one)) for name, one in zip(names, found, strict=True)}
    shuffled = list(rules)
    rng.shuffle(shuffled)
    forward, back = judge(case(rules, comparisons)), judge(case(shuffled, comparisons))
    assert forward.status is back.status
    assert {(o.rule, o.status) for o in forward.outcomes} == {(o.rule, o.status) for o in back.outcomes}


@given(values, halves, bounds)
def test_judging_again_is_the_identity(value: float, half: float, bound: float) -> None:
    verdict = judge(case([rule("size", limit("max_increase", bound))], {"size": compared("size", change(value, half))}))
    assert judge(verdict.case) == replace(verdict)


def test_judging_reads_nothing_but_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins
    import time

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("judge must be pure")

    found: Mapping[str, Comparison] = {"size": compared("size", change(0.1))}
    prepared = case([rule("size", limit("max_increase", 0.05))], found)
    for where, name in ((builtins, "open"), (time, "time"), (time, "monotonic")):
        monkeypatch.setattr(where, name, forbidden)
    assert judge(prepared).status is F
