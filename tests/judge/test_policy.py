"""Trade-offs, approvals, waivers, and two policies over one change: each rule of section "Judging", near misses too."""

from __future__ import annotations

import datetime
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nouns import SPAN, case, compared, exact, limit, noisy, rule

from greengate.bound import rules_for
from greengate.budget import Approvers, Limit, Override, Rule, SharedPolicy, TradeOff, Waiver
from greengate.comparison import Change, Comparison, FirstLook, Noise
from greengate.errors import Exit
from greengate.judge import approving, judge
from greengate.profile import Measurement, Missing
from greengate.verdict import Approval, BaselineRef, Case, Status, Verdict

P, T, D, V, W = Status.PASS, Status.TRADED, Status.DEFERRED, Status.WAIVED, Status.WARN
I, F = Status.INCONCLUSIVE, Status.FAIL  # noqa: E741
TODAY = datetime.date(2026, 11, 23)
DAY = datetime.timedelta(days=1)


def change(value: float, half: float = 0.0, relative: bool = True) -> Change:
    return Change(value, value - half, value + half, "paired" if half else "exact", relative)


def points(value: float, half: float = 0.0) -> Change:
    return change(value / 100, half / 100, relative=False)


def offer(**more: Any) -> TradeOff:
    gain = Limit("min_increase", 0.005, "0.5 pp", SPAN, relative=False)
    return replace(TradeOff("accuracy", gain, SPAN, limits=(limit("max_increase", 0.15),)), **more)


def approval(**more: Any) -> Approval:
    made = Approval(
        rule="size",
        model="m",
        candidate="sha256:c",
        baseline="sha256:b",
        ceiling=limit("max_increase", 0.12),
        reason="worth it",
        by="lead@example.org",
        granted=TODAY - DAY,
        expires=TODAY + DAY,
        source="a.json",
    )
    return replace(made, **more)


def waiver(**more: Any) -> Waiver:
    return replace(Waiver("size", "m", 120.0, "120 B", "ticket", "lead@example.org", TODAY + 30 * DAY, SPAN), **more)


def judged(
    the_rule: Rule,
    price: Change | Missing,
    gain: Change | Missing | None = None,
    *,
    approvals: Sequence[Approval] = (),
    method: str = "evaluated",
    candidate: Measurement | None = None,
    **policy: Any,
) -> Verdict:
    found: dict[str, Comparison] = {the_rule.metric: compared(the_rule.metric, price, candidate=candidate)}
    if gain is not None:
        shown = Measurement(0.9, method)  # type: ignore[arg-type]
        sides = (gain, gain) if isinstance(gain, Missing) else (shown, shown)
        found["accuracy"] = Comparison("accuracy", *sides, gain)
    made = prepared([the_rule], found, **policy)
    return judge(replace(made, approvals=tuple(approvals)))


def prepared(rules: Sequence[Rule], found: Mapping[str, Comparison], *, strict: bool = True, **policy: Any) -> Case:
    authors = policy.pop("authors", ())
    made = case(rules, found, strict=strict)
    baseline = BaselineRef("file:old.onnx", "the model file", "sha256:b")
    return replace(
        made,
        models=tuple(replace(model, baseline=baseline) for model in made.models),
        budget=replace(made.budget, **policy),
        context=replace(made.context, authors=authors),
    )


def status(*args: Any, **more: Any) -> Status:
    return judged(*args, **more).outcomes[0].status


# --- trade-offs -------------------------------------------------------------------------------------------------------

PRICED = rule("size", limit("max_increase", 0.05), unless=offer())


@pytest.mark.parametrize(
    ("price", "gain", "expected"),
    [
        (change(0.04), points(0.0), P),  # nothing to pay for
        (change(0.10), points(0.6), T),
        (change(0.10), points(0.5), T),  # a gain of exactly the ask
        (change(0.10), points(0.49), F),
        (change(0.15), points(0.6), T),  # a price of exactly the ceiling
        (change(0.151), points(0.6), F),
        (change(0.10), points(0.8, 0.29), T),
        (change(0.10), points(0.8, 0.31), I),  # the gain may be too small
        (change(0.10), points(0.1, 0.3), F),
        (change(0.14, 0.02), points(0.6), I),  # the price may be too high
        (change(0.05, 0.01), points(0.0), I),  # the rule's own limit is open, the gain is not
        (change(0.10), Missing("no labelled data", "failed"), I),  # a missing gain is unknown
        (Missing("no baseline", "incomparable"), points(0.6), I),
    ],
)
def test_a_gain_pays_when_it_is_real_and_the_wider_limit_holds(price: Any, gain: Any, expected: Status) -> None:
    assert status(PRICED, price, gain) is expected


def test_a_paid_rule_shows_price_and_gain() -> None:
    (outcome,) = judged(PRICED, change(0.10), points(0.6)).outcomes
    assert outcome.reason == "+10.0 % of size is paid for by accuracy: +0.6 pp reaches the gain asked for, +0.5 pp"
    assert [(step.depth, step.claim, step.status) for step in outcome.proof] == [
        (0, "one of these holds", T),
        (1, "every limit of the rule", F),
        (2, "max_increase: 0.05", F),
        (1, "a gain pays for it", P),
        (2, "accuracy gains 0.5 pp", P),
        (2, "max_increase: 0.15", P),
    ]


def test_a_trade_off_without_a_ceiling_lifts_the_limit_on_the_change_only() -> None:
    free = rule("size", limit("max_increase", 0.05), limit("max", 150), unless=offer(limits=()))
    assert status(free, change(3.0), points(0.6)) is T
    assert status(free, change(3.0), points(0.6), candidate=exact(151)) is F


@pytest.mark.parametrize(
    ("price", "gain", "cap", "expected"),
    [
        (0.09, points(2), 0.15, T),  # 5 % + 2 x 2 %
        (0.0901, points(2), 0.15, F),
        (0.15, points(7), 0.15, T),  # the ceiling ends it
        (0.1501, points(7), 0.15, F),
        (0.19, points(7), None, T),
        (0.09, points(2, 0.5), 0.15, I),  # 1.5 to 2.5 points
        (0.08, points(2, 0.5), 0.15, T),
        (0.11, points(2, 0.5), 0.15, F),
        (0.06, points(0.4), 0.15, F),  # the ask itself is not reached
    ],
)
def test_each_point_gained_widens_the_limit(price: float, gain: Change, cap: float | None, expected: Status) -> None:
    wider = () if cap is None else (limit("max_increase", cap),)
    rate = limit("max_increase", 0.02)
    assert status(replace(PRICED, unless=offer(per_pp=rate, limits=wider)), change(price), gain) is expected


def test_a_rate_never_narrows_the_rules_own_limit() -> None:
    none_asked = Limit("min_increase", 0.0, "0 pp", SPAN, relative=False)
    priced = replace(PRICED, unless=offer(per_pp=limit("max_increase", 0.02), gain=none_asked, limits=()))
    # A loss of accuracy buys nothing, and takes nothing away.
    assert status(priced, change(0.05), points(-1)) is P
    assert status(priced, change(0.06), points(-1)) is F


@pytest.mark.parametrize(("method", "expected"), [("evaluated", T), ("declared", F)])
def test_a_rule_may_ask_for_a_gain_that_greengate_evaluated(method: str, expected: Status) -> None:
    assert status(replace(PRICED, unless=offer(evaluated=True)), change(0.1), points(1), method=method) is expected
    assert status(PRICED, change(0.1), points(1), method=method) is T


def test_any_metric_pays_for_any_other() -> None:
    faster = Limit("min_decrease", 0.2, "20%", SPAN)
    priced = replace(PRICED, unless=TradeOff("latency_p50", faster, SPAN, limits=(limit("max_increase", 0.15),)))
    for gain, expected in [(-0.2, T), (-0.19, F), (0.5, F)]:
        found = {"size": compared("size", change(0.1)), "latency_p50": compared("latency_p50", change(gain))}
        assert judge(prepared([priced], found)).outcomes[0].status is expected


def test_a_price_in_points_is_told_in_points() -> None:
    faster = TradeOff("latency_p50", Limit("min_decrease", 0.2, "20%", SPAN), SPAN)
    priced = rule("accuracy", limit("max_decrease", 0.001, relative=False), unless=faster)
    found = {"accuracy": compared("accuracy", points(-0.5)), "latency_p50": compared("latency_p50", change(-0.25))}
    (outcome,) = judge(prepared([priced], found)).outcomes
    assert outcome.status is T
    assert outcome.reason.startswith("-0.5 pp of accuracy is paid for by latency")


@pytest.mark.parametrize(
    ("gain", "noise", "expected"),
    [
        (change(-0.30, 0.01), Noise(0.0, -0.01, 0.01), T),
        (change(-0.30, 0.01), Noise(0.1, -0.1, 0.35), I),  # noise alone explains such a gain
        (change(-0.10, 0.01), Noise(0.0, -0.01, 0.01), F),
        (change(-0.10, 0.01), Noise(0.0, -0.25, 0.01), I),  # noise may hide it
        (change(-0.30, 0.01), Noise(0.01, 0.009, 0.011, broken=True), I),
    ],
)
def test_a_noisy_gain_must_stand_beyond_the_noise(gain: Change, noise: Noise, expected: Status) -> None:
    priced = replace(PRICED, unless=TradeOff("latency_p50", Limit("min_decrease", 0.2, "20%", SPAN), SPAN))
    found = {
        "size": compared("size", change(0.1)),
        "latency_p50": compared("latency_p50", replace(gain, noise=noise)),
    }
    assert judge(prepared([priced], found)).outcomes[0].status is expected


@pytest.mark.parametrize(("first", "expected"), [(-0.3, T), (-0.1, I), (-0.2, I)])
def test_looks_that_disagree_leave_a_gain_open(first: float, expected: Status) -> None:
    priced = replace(PRICED, unless=TradeOff("latency_p50", Limit("min_decrease", 0.2, "20%", SPAN), SPAN))
    looked = FirstLook(exact(100.0), change(first, 0.01))
    found = {
        "size": compared("size", change(0.1)),
        "latency_p50": replace(compared("latency_p50", change(-0.3, 0.01)), first=looked),
    }
    assert judge(prepared([priced], found)).outcomes[0].status is expected


# --- approvals --------------------------------------------------------------------------------------------------------

ASKED = replace(PRICED, unless=offer(approved=True))


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        ({}, T, "approved by lead@example.org"),
        ({"candidate": "sha256:old"}, F, "it approves the candidate sha256:old, not this one"),
        ({"baseline": "sha256:older"}, F, "a change from the baseline sha256:older"),
        ({"rule": "params"}, F, "nobody approved it"),
        ({"model": "n"}, F, "nobody approved it"),
        ({"expires": TODAY}, T, "approved by"),
        ({"expires": TODAY - DAY}, F, "it expired on 2026-11-22"),
        ({"granted": TODAY}, T, "approved by"),
        ({"granted": TODAY + DAY}, F, "in the future: check the clocks"),
        ({"flaw": "its signature does not verify"}, F, "its signature does not verify"),
        ({"ceiling": limit("max_increase", 0.1)}, T, "approved by"),
        ({"ceiling": limit("max_increase", 0.09)}, F, "is beyond the limit of +9.0 %"),
        ({"ceiling": limit("max", 100)}, T, "approved by"),
        ({"ceiling": limit("max", 99)}, F, "is beyond the limit of 99"),
        ({"ceiling": limit("min", 1)}, F, "does not bound size"),
        ({"ceiling": limit("max_decrease", 0.5)}, F, "does not bound size"),
        ({"ceiling": limit("min_increase", 0.01)}, F, "does not bound size"),
        ({"ceiling": limit("suspicious_decrease", 0.9)}, F, "nobody approved it"),
    ],
)
def test_an_approval_counts_for_one_candidate_within_its_ceiling(given: Any, expected: Status, words: str) -> None:
    (outcome,) = judged(ASKED, change(0.1), points(1), approvals=[approval(**given)]).outcomes
    assert outcome.status is expected
    told = [outcome.reason, *(step.reason for step in outcome.proof)]
    assert any(words in one for one in told), told


def test_an_approval_alone_pays_for_nothing() -> None:
    assert status(ASKED, change(0.1), points(0), approvals=[approval()]) is F
    assert status(ASKED, change(0.1), points(0.5, 0.2), approvals=[approval()]) is I
    assert status(PRICED, change(0.1), points(0), approvals=[approval()]) is F


def test_a_ceiling_that_may_hold_leaves_the_approval_open() -> None:
    assert status(ASKED, change(0.12, 0.01), points(1), approvals=[approval()]) is I


def test_no_baseline_no_candidate_no_approval() -> None:
    made = prepared([ASKED], {"size": compared("size", change(0.1)), "accuracy": compared("accuracy", points(1))})
    for without in ({"baseline": None}, {"candidate": None}, {"baseline": BaselineRef("none", "")}):
        models = tuple(replace(model, **without) for model in made.models)  # type: ignore[arg-type]
        found = judge(replace(made, models=models, approvals=(approval(),)))
        assert found.outcomes[0].status is F


def seat(*who: str, **more: Any) -> Approvers:
    return replace(Approvers((), who, SPAN), **more)


LEAD, OTHER = "lead@example.org", "other@example.org"


@pytest.mark.parametrize(
    ("seats", "by", "authors", "expected"),
    [
        ([seat(LEAD)], [LEAD], [], T),
        ([seat(LEAD)], ["LEAD@Example.org"], [], T),
        ([seat("*@example.org")], [OTHER], [], T),
        ([seat(LEAD)], [OTHER], [], F),
        ([seat(LEAD, rules=("s*",))], [LEAD], [], T),
        ([seat(LEAD, rules=("params",))], [LEAD], [], F),  # no line names the rule: nobody may
        ([seat(LEAD, OTHER, needed=2)], [LEAD], [], F),
        ([seat(LEAD, OTHER, needed=2)], [LEAD, LEAD.upper()], [], F),  # one person twice
        ([seat(LEAD, OTHER, needed=2)], [LEAD, OTHER], [], T),
        ([seat(LEAD), seat(OTHER)], [LEAD], [], F),  # every line that names the rule
        ([seat(LEAD), seat(OTHER)], [LEAD, OTHER], [], T),
        ([seat(LEAD, four_eyes=True)], [LEAD], [OTHER], T),
        ([seat(LEAD, four_eyes=True)], [LEAD], [LEAD.upper()], F),
        ([seat(LEAD, OTHER, four_eyes=True)], [LEAD, OTHER], [LEAD], T),
        ([seat(LEAD, OTHER, needed=2, four_eyes=True)], [LEAD, OTHER], [LEAD], F),
        ([seat(LEAD, four_eyes=True)], [LEAD], [], I),  # who wrote it is not known
        ([seat(LEAD, four_eyes=True)], [], [], F),
    ],
)
def test_the_policy_says_who_may_approve(seats: Any, by: list[str], authors: list[str], expected: Status) -> None:
    approvals = [approval(by=one, source=f"{index}.json") for index, one in enumerate(by)]
    found = judged(ASKED, change(0.1), points(1), approvals=approvals, approvers=tuple(seats), authors=tuple(authors))
    assert found.outcomes[0].status is expected


@pytest.mark.parametrize(
    ("seats", "by", "told"),
    [
        ([seat(LEAD)], OTHER, f"{OTHER} may not approve 'size'"),
        ([seat(LEAD), seat(OTHER, rules=("params",))], OTHER, f"{OTHER} may not approve 'size'"),
        ([seat(LEAD, rules=("params",))], LEAD, f"{LEAD} may not approve 'size'"),
    ],
)
def test_who_may_not_approve_is_told_so(seats: Any, by: str, told: str) -> None:
    (outcome,) = judged(ASKED, change(0.1), points(1), approvals=[approval(by=by)], approvers=tuple(seats)).outcomes
    assert outcome.reason.endswith(f"; the approval of {by} does not count: {told}")
    assert outcome.help == "ask for `greengate approve size --model m`"


def test_an_open_approval_does_not_count_for_a_second_person() -> None:
    both = [approval(), approval(by=OTHER, ceiling=limit("max_increase", 0.1))]
    two = (seat(LEAD, OTHER, needed=2),)
    for price, expected in [(change(0.09), T), (change(0.095, 0.01), I), (change(0.11, 0.005), F)]:
        assert status(ASKED, price, points(1), approvals=both, approvers=two) is expected


@pytest.mark.parametrize(
    ("needed", "held", "expected"),
    [
        # one letter a person: y their approval counts, m it may or may not, each of somebody else
        (1, "", F),
        (1, "y", P),
        (1, "m", I),
        (1, "ym", P),
        (2, "y", F),
        (2, "m", F),
        (2, "ym", I),
        (2, "mm", I),
        (2, "yy", P),
        (2, "yym", P),
        (3, "yym", I),
        (3, "ymm", I),
        (3, "yy", F),
        (3, "ym", F),
        (3, "mm", F),
    ],
)
def test_enough_people_are_enough_and_open_ones_leave_it_open(needed: int, held: str, expected: Status) -> None:
    counted = [(approval(by=f"{index}@example.org"), P if letter == "y" else I) for index, letter in enumerate(held)]
    assert approving._enough(needed, counted) is expected


def test_one_person_who_is_sure_and_unsure_is_one_person() -> None:
    twice = [(approval(by=LEAD), P), (approval(by=LEAD.upper()), I)]
    assert approving._enough(2, twice) is F
    assert approving._enough(1, twice) is P


def test_an_approval_for_no_rule_is_named() -> None:
    found = judged(ASKED, change(0.1), points(1), approvals=[approval(rule="sise")])
    assert [(one.kind, one.text) for one in found.notices] == [
        ("approval", "the approval of lead@example.org in a.json is for no rule: 'sise'")
    ]


# --- what is too good -------------------------------------------------------------------------------------------------

LOOK = rule("size", limit("max_increase", 0.05), limit("suspicious_decrease", 0.6), unless=offer())


@pytest.mark.parametrize(
    ("found", "ceiling", "expected"),
    [
        (change(-0.6), None, P),
        (change(-0.61), None, I),
        (change(-0.6, 0.1), None, I),
        (change(-0.7), 0.7, V),
        (change(-0.71), 0.7, I),
        (change(0.1), 0.7, F),  # a look at what is too good excuses nothing that is too bad
    ],
)
def test_what_is_too_good_asks_for_a_look(found: Change, ceiling: float | None, expected: Status) -> None:
    looked = [] if ceiling is None else [approval(ceiling=limit("suspicious_decrease", ceiling))]
    assert status(LOOK, found, points(0), approvals=looked) is expected


@pytest.mark.parametrize(
    ("found", "kind", "ceiling", "expected"),
    [
        (3.0, "suspicious_increase", None, P),
        (3.01, "suspicious_increase", None, I),
        (-0.9, "suspicious_increase", None, P),
        (3.5, "suspicious_increase", 3.5, V),
        (3.51, "suspicious_increase", 3.5, I),
        (3.5, "suspicious_decrease", 3.5, I),  # that is the side on which it gets worse
    ],
)
def test_where_more_is_better_a_great_increase_asks_for_a_look(
    found: float, kind: str, ceiling: float | None, expected: Status
) -> None:
    faster = rule("quantized_share", limit("suspicious_increase", 3.0))
    looked = [] if ceiling is None else [approval(rule=faster.id, ceiling=limit(kind, ceiling))]
    assert status(faster, change(found), approvals=looked) is expected


def test_a_gain_does_not_pay_for_what_is_too_good() -> None:
    assert status(LOOK, change(-0.7), points(5)) is I
    assert status(LOOK, change(-0.7), points(5), approvals=[approval()]) is I


# --- waivers ----------------------------------------------------------------------------------------------------------

PLAIN = rule("size", limit("max_increase", 0.05))


@pytest.mark.parametrize(
    ("given", "candidate", "expected", "words"),
    [
        ({}, 120, V, ""),
        ({}, 120.1, F, ""),
        ({"expires": TODAY}, 120, V, "ends today, on 2026-11-23"),
        ({"expires": TODAY + DAY}, 120, V, "ends tomorrow"),
        ({"expires": TODAY + 14 * DAY}, 120, V, "ends in 14 days"),
        ({"expires": TODAY + 15 * DAY}, 120, V, ""),
        ({"expires": TODAY - DAY}, 120, F, "counts as absent: it expired on 2026-11-22"),
        ({"granted": TODAY}, 120, V, ""),
        ({"granted": TODAY + DAY}, 120, F, "counts as absent: it begins on 2026-11-24"),
        ({"rule": "sise", "ceiling": None}, 120, F, "counts as absent: there is no such rule"),
        ({"model": "n"}, 120, F, "counts as absent: there is no such model"),
    ],
)
def test_a_waiver_holds_until_its_day_within_its_ceiling(given: Any, candidate: Any, expected: Any, words: str) -> None:
    found = judged(PLAIN, change(0.2), candidate=exact(candidate), waivers=(waiver(**given),))
    assert found.outcomes[0].status is expected
    assert [words in one.text for one in found.notices] == ([True] if words else [])
    assert all(one.span == SPAN for one in found.notices)


def test_a_waiver_that_nothing_needs_can_be_removed() -> None:
    found = judged(PLAIN, change(0.01), waivers=(waiver(),))
    assert found.outcomes[0].status is P
    assert "can be removed" in found.notices[0].text
    paid = judged(PRICED, change(0.1), points(1), waivers=(waiver(),))
    assert (paid.outcomes[0].status, "can be removed" in paid.notices[0].text) == (T, True)
    open_ = judged(PLAIN, change(0.05, 0.01), waivers=(waiver(),))
    assert (open_.outcomes[0].status, open_.notices) == (V, ())


def test_a_waiver_of_a_metric_where_more_is_better_holds_from_its_ceiling_up() -> None:
    floor = rule("accuracy", limit("max_decrease", 0.002, relative=False))
    granted = waiver(rule="accuracy", ceiling=0.8)
    for value, expected in [(0.8, V), (0.79, F)]:
        found = {"accuracy": compared("accuracy", points(-5), candidate=exact(value))}
        assert judge(prepared([floor], found, waivers=(granted,))).outcomes[0].status is expected


def test_a_waiver_whose_ceiling_may_hold_leaves_it_open() -> None:
    assert status(PLAIN, change(0.2), candidate=noisy(119, 118, 121), waivers=(waiver(),)) is I


def test_a_rule_that_is_off_judges_nothing_and_is_named() -> None:
    found = judged(replace(PLAIN, severity="off"), change(0.9))
    assert (found.outcomes, found.status, found.exit) == ((), I, Exit.INCONCLUSIVE)
    assert [one.text for one in found.notices] == ["the rule 'size' is off: it judges nothing"]


@pytest.mark.parametrize(
    ("own", "file", "severity", "expected"),
    [
        (None, None, "fail", I),
        ("fail", None, "fail", F),
        ("warn", None, "fail", W),
        (None, "fail", "fail", F),
        ("warn", "fail", "fail", W),
        ("fail", None, "warn", W),
    ],
)
def test_what_an_undecided_rule_does(own: Any, file: Any, severity: Any, expected: Status) -> None:
    undecided = replace(PLAIN, on_inconclusive=own, severity=severity)
    assert status(undecided, change(0.05, 0.01), on_inconclusive=file) is expected


def test_overrides_replace_limits_in_their_order() -> None:
    wide = Override(("m*",), (limit("max_increase", 0.5), limit("max", 200)), SPAN)
    late = Override(("m",), (limit("max_increase", 0.3),), SPAN, 9.0, "warn", "fail")
    budget = prepared([replace(PLAIN, overrides=(wide, late))], {}).budget
    (held,) = rules_for(budget, "m")
    assert [(one.kind, one.value) for one in held.limits] == [("max_increase", 0.3), ("max", 200)]
    assert (held.ignore_below, held.severity, held.on_inconclusive) == (9.0, "warn", "fail")
    (other,) = rules_for(budget, "mm")
    assert [(one.kind, one.value) for one in other.limits] == [("max_increase", 0.5), ("max", 200)]
    assert rules_for(budget, "n")[0].limits == PLAIN.limits


# --- two policies -----------------------------------------------------------------------------------------------------


def both(base: Sequence[Rule], head: Sequence[Rule], found: Change, **more: Any) -> Verdict:
    made = prepared(head, {"size": compared("size", found, candidate=exact(110))})
    target = replace(made.budget, rules=tuple(base), **more)
    return judge(replace(made, base=target))


def said(verdict: Verdict) -> list[tuple[str, Status, str]]:
    return [(one.rule, one.status, one.under) for one in verdict.outcomes]


LOOSE, TIGHT = rule("size", limit("max_increase", 0.2)), rule("size", limit("max_increase", 0.05))


def test_the_worse_of_two_policies_binds() -> None:
    assert said(both([TIGHT], [LOOSE], change(0.1))) == [("size", F, "base")]
    assert said(both([LOOSE], [TIGHT], change(0.1))) == [("size", F, "head")]
    assert said(both([TIGHT], [LOOSE], change(0.01))) == [("size", P, "both")]


def test_a_rule_that_the_change_removes_still_binds() -> None:
    found = both([TIGHT], [rule("size", limit("max", 500), id="other")], change(0.1))
    assert said(found) == [("other", P, "head"), ("size", F, "base")]
    assert [one.text for one in found.notices] == [
        "the change removes the rule 'size' (max_increase: 0.05); it still binds",
        "the change adds the rule 'other'",
    ]


@pytest.mark.parametrize(
    "softer",
    [
        replace(TIGHT, severity="warn"),
        replace(TIGHT, severity="off"),
        replace(TIGHT, ignore_below=1e9),
        replace(TIGHT, models=("nobody",)),
        replace(TIGHT, unless=TradeOff("size", Limit("min_decrease", 0.0, "0%", SPAN), SPAN)),
        replace(TIGHT, overrides=(Override(("m",), (limit("max_increase", 9.0),), SPAN),)),
        replace(TIGHT, metric="params"),
    ],
)
def test_no_key_of_the_change_softens_a_rule_of_the_base(softer: Rule) -> None:
    found = both([TIGHT], [softer], change(0.1))
    assert F in {one.status for one in found.outcomes if one.rule == "size"}
    assert any(one.kind == "policy" and "'size'" in one.text for one in found.notices)


def test_a_waiver_of_the_change_counts_once_it_is_on_the_base() -> None:
    made = prepared([TIGHT], {"size": compared("size", change(0.1), candidate=exact(110))}, waivers=(waiver(),))
    found = judge(replace(made, base=replace(made.budget, waivers=())))
    assert said(found) == [("size", F, "base")]
    assert "counts once it is on the target branch" in found.notices[-1].text
    assert said(judge(replace(made, base=made.budget))) == [("size", V, "both")]


def test_a_waiver_that_the_change_removes_is_gone() -> None:
    made = prepared([TIGHT], {"size": compared("size", change(0.1), candidate=exact(110))})
    found = judge(replace(made, base=replace(made.budget, waivers=(waiver(),))))
    assert said(found) == [("size", F, "head")]


def test_approvers_of_the_base_decide() -> None:
    found = {"size": compared("size", change(0.1)), "accuracy": compared("accuracy", points(1))}
    made = replace(prepared([ASKED], found), approvals=(approval(by="me@example.org"),))
    base = replace(made.budget, approvers=(seat(LEAD),))
    assert said(judge(replace(made, base=base))) == [("size", F, "base")]
    assert said(judge(made)) == [("size", T, "")]


def test_undecided_is_as_strict_as_the_stricter_says() -> None:
    made = prepared([TIGHT], {"size": compared("size", change(0.05, 0.01))}, on_inconclusive="warn")
    assert said(judge(made)) == [("size", W, "")]
    assert said(judge(replace(made, base=replace(made.budget, on_inconclusive=None)))) == [("size", I, "base")]


@pytest.mark.parametrize(
    ("base", "head", "words"),
    [
        (LOOSE, TIGHT, "tightens `max_increase` from 0.2 to 0.05"),
        (TIGHT, LOOSE, "loosens `max_increase` from 0.05 to 0.2"),
        (replace(TIGHT, severity="warn"), TIGHT, "tightens `severity` from warn to fail"),
        (TIGHT, replace(TIGHT, ignore_below=5.0), "loosens `ignore_below` from none to 5.0"),
        (replace(TIGHT, ignore_below=5.0), TIGHT, "tightens `ignore_below` from 5.0 to none"),
        (replace(TIGHT, ignore_below=0.5), TIGHT, "tightens `ignore_below` from 0.5 to none"),
        (TIGHT, replace(TIGHT, ignore_below=0.5), "loosens `ignore_below` from none to 0.5"),
        (TIGHT, rule("size", limit("max", 9)), "removes `max_increase: 0.05`"),
        (TIGHT, rule("size", *TIGHT.limits, limit("max", 9)), "adds `max: 9`"),
        (TIGHT, replace(TIGHT, on_inconclusive="warn"), "alters `on_inconclusive`"),
        (TIGHT, replace(TIGHT, unless=offer()), "alters `unless`"),
        (TIGHT, replace(TIGHT, metric="params"), "replaces the metric size by params"),
        (rule("throughput", limit("min", 9)), rule("throughput", limit("min", 5)), "loosens `min` from 9 to 5"),
    ],
)
def test_what_the_change_does_to_a_rule_is_told_with_both_numbers(base: Rule, head: Rule, words: str) -> None:
    found = [one.text for one in both([base], [head], change(0.0)).notices]
    assert any(words in one for one in found), found


def test_the_same_policy_on_other_lines_is_no_change() -> None:
    moved = replace(SPAN, line=99)
    head = replace(TIGHT, span=moved, limits=tuple(replace(one, span=moved) for one in TIGHT.limits))
    assert both([TIGHT], [head], change(0.0)).notices == ()
    priced = replace(PRICED, unless=offer(span=moved))
    assert both([PRICED], [priced], change(0.0)).notices == ()


def test_models_and_keys_that_the_change_alters_are_told() -> None:
    made = prepared([TIGHT], {"size": compared("size", change(0.0))})
    entry = made.budget.models[0]
    base = replace(made.budget, models=(replace(entry, path="old.onnx"), replace(entry, name="gone")), baseline="none")
    told = [one.text for one in judge(replace(made, base=base)).notices]
    assert told == [
        "the change alters `path` of the model 'm'",
        "the change removes the model 'gone' from the budget",
        "the change alters `baseline`; the target branch's binds",
    ]


def test_a_model_judged_under_another_name_is_bound_by_that_names_rules() -> None:
    made = prepared([replace(TIGHT, models=("m",))], {"size": compared("size", change(0.1))}, waivers=(waiver(),))
    twin = replace(made.models[0], name="m (old file)", rules_of="m")
    found = judge(replace(made, models=(*made.models, twin)))
    assert [(one.model, one.status) for one in found.outcomes] == [("m", V), ("m (old file)", V)]


# --- properties -------------------------------------------------------------------------------------------------------

prices = st.builds(change, st.floats(-0.9, 0.5), st.sampled_from([0.0, 0.0, 0.01, 0.1]))
gains = st.builds(points, st.floats(-3, 3), st.sampled_from([0.0, 0.0, 0.1, 1.0]))
offers = st.none() | st.builds(
    offer,
    approved=st.booleans(),
    limits=st.sampled_from([(), (limit("max_increase", 0.15),)]),
    per_pp=st.none() | st.just(limit("max_increase", 0.03)),
)
yeses = st.lists(
    st.builds(
        approval,
        by=st.sampled_from([LEAD, OTHER]),
        ceiling=st.builds(limit, st.sampled_from(["max_increase", "suspicious_decrease"]), st.floats(0, 1)),
        candidate=st.sampled_from(["sha256:c", "sha256:c", "sha256:d"]),
    ),
    max_size=3,
)
live = st.builds(waiver, ceiling=st.floats(50, 200))
exceptions = st.fixed_dictionaries(
    {
        "approvals": yeses,
        "waivers": st.lists(
            st.builds(waiver, ceiling=st.floats(50, 200), expires=st.sampled_from([TODAY, TODAY - DAY])), max_size=1
        ).map(tuple),
    }
)
rules = st.builds(
    lambda bound, unless, severity, undecided, look: rule(
        "size",
        limit("max_increase", bound),
        *([limit("suspicious_decrease", 0.5)] if look else []),
        unless=unless,
        severity=severity,
        on_inconclusive=undecided,
    ),
    st.floats(0, 0.3),
    offers,
    st.sampled_from(["fail", "fail", "warn"]),
    st.sampled_from([None, None, "fail", "warn"]),
    st.booleans(),
)


@given(rules, prices, gains, exceptions, st.floats(0, 1))
def test_tightening_a_limit_never_turns_fail_into_pass(
    one: Rule, price: Change, gain: Change, more: Any, share: float
) -> None:
    tight = replace(one, limits=tuple(replace(own, value=own.value * share) for own in one.limits))
    assert weight(status(tight, price, gain, **more)) >= weight(status(one, price, gain, **more))


def weight(found: Status) -> int:
    """Order outcomes by what they do: let pass, stay open, fail."""
    return {I: 1, F: 2}.get(found, 0)


@given(rules, prices, gains, yeses, live)
def test_adding_a_waiver_never_makes_it_worse(one: Rule, price: Change, gain: Change, yes: Any, more: Waiver) -> None:
    without = weight(status(one, price, gain, approvals=yes))
    assert weight(status(one, price, gain, approvals=yes, waivers=(more,))) <= without


@given(rules, prices, gains, exceptions, st.tuples(st.floats(0, 0.2), st.floats(0, 0.02)))
def test_a_wider_interval_never_decides_what_was_open(
    one: Rule, price: Change, gain: Change, more: Any, wider: tuple[float, float]
) -> None:
    one = replace(one, on_inconclusive=None, severity="fail")
    blurred = replace(price, low=price.low - wider[0], high=price.high + wider[0])
    dimmer = replace(gain, low=gain.low - wider[1], high=gain.high + wider[1])
    if status(one, price, gain, **more) is I:
        assert status(one, blurred, dimmer, **more) is I


@given(st.lists(rules, min_size=1, max_size=4), prices, gains, exceptions, st.randoms())
def test_neither_the_order_of_rules_nor_of_approvals_matters(
    several: list[Rule], price: Change, gain: Change, more: Any, rng: Any
) -> None:
    named = [replace(one, id=f"r{index}") for index, one in enumerate(several)]
    mine = [replace(one, rule=f"r{index % len(named)}") for index, one in enumerate(more["approvals"])]
    found = {"size": compared("size", price), "accuracy": compared("accuracy", gain)}
    forward = replace(prepared(named, found, waivers=more["waivers"]), approvals=tuple(mine))
    rng.shuffle(named)
    rng.shuffle(mine)
    back = replace(forward, budget=replace(forward.budget, rules=tuple(named)), approvals=tuple(mine))
    one, other = judge(forward), judge(back)
    assert one.status is other.status
    assert {(o.rule, o.status) for o in one.outcomes} == {(o.rule, o.status) for o in other.outcomes}


@given(rules, rules, prices, gains, exceptions)
def test_two_policies_are_as_strict_as_the_stricter(
    base: Rule, head: Rule, price: Change, gain: Change, more: Any
) -> None:
    found = {"size": compared("size", price), "accuracy": compared("accuracy", gain)}
    made = replace(prepared([head], found, waivers=more["waivers"]), approvals=tuple(more["approvals"]))
    target = replace(made.budget, rules=(base,))
    (joined,) = judge(replace(made, base=target)).outcomes
    alone = [judge(replace(made, budget=policy)).outcomes[0].status for policy in (made.budget, target)]
    assert joined.status is max(alone)


@given(rules, prices, gains, exceptions)
def test_judging_again_is_the_identity(one: Rule, price: Change, gain: Change, more: Any) -> None:
    found = judged(one, price, gain, **more)
    assert judge(found.case) == found


@pytest.mark.parametrize(("first", "expected"), [(TODAY, V), (TODAY - DAY, F)])
def test_of_two_waivers_the_nearer_files_counts(first: datetime.date, expected: Status) -> None:
    """A file may write anew the waiver of one that it extends; the farther one stands behind it."""
    two = (waiver(expires=first), waiver(expires=TODAY if first < TODAY else TODAY - DAY))
    assert status(rule("size", limit("max_increase", 0.05)), change(0.1), waivers=two) is expected


def priced(count: int) -> Case:
    """A change under two policies of so many rules, all of them paid for."""
    many = [replace(PRICED, id=f"r{index}") for index in range(count)]
    made = prepared(many, {"size": compared("size", change(0.1)), "accuracy": compared("accuracy", points(1))})
    return replace(made, base=made.budget)


def excused(count: int) -> Case:
    """The same without a gain: every rule has a waiver that holds, one that is for no model, and an approval."""
    many = [replace(PRICED, unless=offer(approved=True), id=f"r{index}") for index in range(count)]
    kept = [waiver(rule=one.id, ceiling=200.0) for one in many]
    idle = [waiver(rule=one.id, model=f"m{index}", ceiling=200.0) for index, one in enumerate(many)]
    made = prepared(many, {"size": compared("size", change(0.1))}, waivers=(*kept, *idle))
    made = replace(made, approvals=tuple(approval(rule=one.id) for one in many))
    return replace(made, base=made.budget)


def shared(count: int) -> Case:
    """Rules and waivers of a file that is extended, half of the rules locked."""
    made = excused(count)
    halves = tuple(replace(one, locked=index % 2 == 0) for index, one in enumerate(made.budget.rules))
    policy = SharedPolicy("org.yaml", "sha256:o", halves, waivers=made.budget.waivers)
    return replace(made, budget=replace(made.budget, shared=(policy,)), base=None)


@pytest.mark.parametrize("made", [priced, excused, shared])
def test_what_judging_one_rule_costs_does_not_grow_with_their_number(made: Callable[[int], Case]) -> None:
    """Lines that run, so that a loop without a call counts too: looking through all waivers for each rule did not."""

    def lines(case: Case, count: int) -> float:
        ran = 0

        def trace(_frame: object, event: str, _what: object) -> Any:
            nonlocal ran
            ran += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert len(judge(case).outcomes) == count
        finally:
            sys.settrace(before)
        return ran / count

    few, many = lines(made(50), 50), lines(made(200), 200)
    assert many < 1.05 * few


def test_judging_looks_for_no_garbage_and_leaves_the_collector_as_it_was() -> None:
    """All that judging makes is kept; looking through it was a third of the time."""
    looks: list[str] = []

    def look(phase: str, _info: object) -> None:
        looks.append(phase)

    case, was = priced(1_000), gc.isenabled()
    gc.collect()
    gc.callbacks.append(look)
    try:
        gc.enable()
        judge(case)
        assert gc.isenabled()
        assert looks.count("start") <= 1, "one as the collector is let go, none before"
        gc.disable()
        judge(case)
        assert not gc.isenabled()
        gc.enable()
        with pytest.raises(AttributeError):
            judge(None)  # type: ignore[arg-type]
        assert gc.isenabled()
    finally:
        gc.callbacks.remove(look)
        (gc.enable if was else gc.disable)()


def test_what_judging_one_rule_costs_does_not_grow_and_is_bounded() -> None:
    def calls(count: int) -> float:
        many = [replace(PRICED, id=f"r{index}") for index in range(count)]
        found = {"size": compared("size", change(0.1)), "accuracy": compared("accuracy", points(1))}
        made = prepared(many, found)
        made = replace(made, base=made.budget)
        counted = 0

        def count_one(_frame: object, event: str, _what: object) -> None:
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(count_one)
        try:
            judge(made)
        finally:
            sys.setprofile(None)
        return counted / count

    few, many = calls(100), calls(1_000)
    assert many < 1.05 * few
    assert many < 450  # 407 when this was written, 784 once
