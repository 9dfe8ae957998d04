"""Rules that a shared file locks: tightened by whoever extends it, never loosened."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nouns import SPAN, case, compared, exact, limit, rule

from greengate.budget import Approvers, Budget, Limit, Override, Rule, SharedPolicy, TradeOff, Waiver
from greengate.comparison import Change
from greengate.errors import Span
from greengate.gate.precision import precision_for
from greengate.judge import judge, unconfirmed
from greengate.profile import Gpu, Missing
from greengate.reference import Reference
from greengate.report.facts import rule_of
from greengate.verdict import Approval, BaselineRef, Case, Status
from greengate.verdict_file import dump, load

P, T, V, W = Status.PASS, Status.TRADED, Status.WAIVED, Status.WARN
I, F = Status.INCONCLUSIVE, Status.FAIL  # noqa: E741
TODAY = datetime.date(2026, 11, 23)
ORG, MID = Span("org.yaml", 3, 5), Span("mid.yaml", 4, 5)
LOCKED = replace(rule("size", limit("max_increase", 0.05)), span=ORG, locked=True)
WAIVER = Waiver("size", "m", 1e9, "1 GB", "r", "team", TODAY, SPAN)


def shared(*rules: Rule, file: str = "org.yaml", **more: Any) -> SharedPolicy:
    return SharedPolicy(file, f"sha256:{file}", rules, **more)


def built(own: tuple[Rule, ...], *layers: SharedPolicy, price: Change | Missing, **policy: Any) -> Case:
    """Return a case whose budget has `own` rules and extends `layers`, strict; accuracy gained a point."""
    gain = Change(0.01, 0.01, 0.01, "exact", relative=False)
    found = {"size": compared("size", price), "accuracy": compared("accuracy", gain)}
    held = {one.id: one for one in own}
    for layer in layers:
        for one in layer.rules:
            held.setdefault(one.id, one)
    made = case(tuple(held.values()), found, strict=True)
    baseline = BaselineRef("file:old.onnx", "the model file", "sha256:b")
    return replace(
        made,
        models=tuple(replace(model, baseline=baseline) for model in made.models),
        budget=replace(made.budget, shared=layers, **policy),
    )


def moved(value: float, half: float = 0.0) -> Change:
    return Change(value, value - half, value + half, "exact")


def status(made: Case) -> Status:
    (outcome,) = judge(made).outcomes
    return outcome.status


GAIN = Limit("min_increase", 0.005, "0.5 pp", SPAN, relative=False)


@pytest.mark.parametrize(
    "softer",
    [
        rule("size", limit("max_increase", 0.5)),
        rule("size", limit("max", 1e9)),
        rule("size", limit("max_increase", 0.05), severity="warn"),
        rule("size", limit("max_increase", 0.05), severity="off"),
        rule("size", limit("max_increase", 0.05), models=("other",)),
        rule("size", limit("max_increase", 0.05), ignore_below=1e9),
        rule("size", limit("max_increase", 0.05), unless=TradeOff("accuracy", GAIN, SPAN)),
        rule("size", limit("max_increase", 0.05), overrides=(Override(("m",), (limit("max_increase", 0.5),), SPAN),)),
        rule("size", limit("max_increase", 0.05), overrides=(Override(("m",), (), SPAN, severity="off"),)),
    ],
    ids=["limit", "kind", "warn", "off", "models", "floor", "trade-off", "override", "override-off"],
)
def test_nothing_a_nearer_file_says_loosens_a_locked_rule(softer: Rule) -> None:
    verdict = judge(built((softer,), shared(LOCKED), price=moved(0.1)))
    (outcome,) = verdict.outcomes
    assert (outcome.status, outcome.span, outcome.under) == (F, ORG, "")
    # Without the lock it would have been enough.
    assert judge(built((softer,), shared(replace(LOCKED, locked=False)), price=moved(0.1))).status < F or (
        softer.severity == "off" or softer.models or softer.overrides
    )


def test_a_nearer_file_may_tighten_a_locked_rule() -> None:
    tight = rule("size", limit("max_increase", 0.01))
    for value, expected, place in [(0.005, P, SPAN), (0.03, F, SPAN), (0.1, F, SPAN)]:
        (outcome,) = judge(built((tight,), shared(LOCKED), price=moved(value))).outcomes
        assert (outcome.status, outcome.span) == (expected, place)


def test_a_rule_that_is_not_locked_is_replaced_whole() -> None:
    loose = rule("size", limit("max_increase", 0.5))
    assert status(built((loose,), shared(replace(LOCKED, locked=False)), price=moved(0.1))) is P


def test_a_locked_rule_that_nobody_replaced_is_one_outcome() -> None:
    assert status(built((), shared(LOCKED), price=moved(0.01))) is P
    assert status(built((), shared(LOCKED), price=moved(0.1))) is F


def test_a_waiver_of_a_nearer_file_does_not_help_and_says_so() -> None:
    verdict = judge(built((), shared(LOCKED), price=moved(0.1), waivers=(WAIVER,)))
    assert verdict.status is F
    assert [one.text for one in verdict.notices] == [
        "the waiver of 'size' for 'm' does not count: org.yaml locks the rule"
    ]
    assert status(built((), shared(replace(LOCKED, locked=False)), price=moved(0.1), waivers=(WAIVER,))) is V


def test_a_file_that_locks_another_rule_does_not_void_a_waiver() -> None:
    other = replace(LOCKED, id="params", metric="params")
    layers = (shared(replace(LOCKED, locked=False), other), shared(other, file="far.yaml"))
    verdict = judge(built((), *layers, price=moved(0.1), waivers=(WAIVER,)))
    assert [one.status for one in verdict.outcomes if one.rule == "size"] == [V]
    assert not [one for one in verdict.notices if "does not count" in one.text]


def test_a_waiver_of_the_file_that_locks_counts() -> None:
    theirs = replace(WAIVER, span=Span("org.yaml", 9))
    made = built((), shared(LOCKED, waivers=(theirs,)), price=moved(0.1), waivers=(theirs,))
    assert status(made) is V
    assert not [one for one in judge(made).notices if "does not count" in one.text]


@pytest.mark.parametrize(
    ("of_org", "of_budget", "expected"),
    [
        (None, None, I),
        (None, "warn", I),
        ("warn", None, I),
        ("warn", "warn", W),
        ("fail", "warn", F),
        ("warn", "fail", F),
    ],
)
def test_what_is_undecided_is_as_the_stricter_file_says(of_org: Any, of_budget: Any, expected: Status) -> None:
    layer = shared(LOCKED, on_inconclusive=of_org)
    assert status(built((), layer, price=moved(0.05, 0.01), on_inconclusive=of_budget)) is expected


def yes(by: str) -> Approval:
    ceiling = limit("max_increase", 0.15)
    return Approval("size", "m", "sha256:c", "sha256:b", ceiling, "r", by, TODAY, TODAY, "a.json")


def test_who_may_approve_under_a_locked_rule_is_said_by_the_file_that_locks() -> None:
    asked = replace(
        LOCKED, unless=TradeOff("accuracy", GAIN, SPAN, approved=True, limits=(limit("max_increase", 0.15),))
    )
    org, team = (Approvers((), (f"{name}@example.org",), SPAN) for name in ("org", "team"))
    layer = shared(asked, approvers=(org,))
    made = built((), layer, price=moved(0.1), approvers=(team,))
    for people, expected in [(("team",), F), (("org",), F), (("org", "team"), T)]:
        given_ = tuple(yes(f"{name}@example.org") for name in people)
        assert status(replace(made, approvals=given_)) is expected


def test_another_reference_machine_does_not_take_a_locked_rule_away() -> None:
    theirs, own = Reference(SPAN, "NVIDIA H200*"), Reference(SPAN, "Test CPU")
    locked = replace(rule("latency_p50", limit("max_increase", 0.05)), span=ORG, locked=True)
    made = built((), shared(locked, reference=theirs), price=moved(0.1), reference=own)
    found = {"latency_p50": compared("latency_p50", moved(0.01))}
    made = replace(made, models=tuple(replace(model, comparisons=found) for model in made.models))
    (outcome,) = judge(made).outcomes
    assert (outcome.status, "NVIDIA H200" in outcome.reason) == (I, True)
    board = Gpu("NVIDIA H200", 151_000_000_000)
    there = tuple(
        replace(model, hardware=replace(model.hardware, gpus=(board,))) for model in made.models if model.hardware
    )
    assert judge(replace(made, models=there)).status is P


def test_every_file_that_locks_is_heard() -> None:
    nearer = replace(LOCKED, span=MID, limits=(limit("max_increase", 0.03),))
    files = (shared(nearer, file="mid.yaml"), shared(LOCKED))
    loose = rule("size", limit("max_increase", 0.5))
    for value, expected, place in [(0.02, P, SPAN), (0.04, F, MID), (0.06, F, MID)]:
        (outcome,) = judge(built((loose,), *files, price=moved(value))).outcomes
        assert (outcome.status, outcome.span) == (expected, place)
    looser_between = (shared(replace(nearer, limits=(limit("max_increase", 0.2),)), file="mid.yaml"), shared(LOCKED))
    (outcome,) = judge(built((loose,), *looser_between, price=moved(0.1))).outcomes
    assert (outcome.status, outcome.span) == (F, ORG)


def test_a_change_is_bound_by_what_the_target_branchs_files_lock() -> None:
    base = built((), shared(LOCKED), price=moved(0.1)).budget
    own = built((rule("size", limit("max_increase", 0.5)),), price=moved(0.1))
    verdict = judge(replace(own, base=base))
    (outcome,) = verdict.outcomes
    assert (outcome.status, outcome.span, outcome.under) == (F, ORG, "base")
    assert "the change alters what the budget extends, from org.yaml to nothing; both bind" in [
        one.text for one in verdict.notices
    ]
    same = judge(replace(own, budget=replace(own.budget, shared=base.shared, rules=base.rules), base=base))
    assert not [one.text for one in same.notices if "extends" in one.text]
    assert same.outcomes[0].under == "both"


def test_what_a_file_tries_to_loosen_is_told_with_both_numbers() -> None:
    loose = rule("size", limit("max_increase", 0.5), limit("max", 10.0), severity="warn")
    told = [one.text for one in judge(built((loose,), shared(LOCKED), price=moved(0))).notices]
    assert told == [
        "the rule 'size' loosens `max_increase` from 0.05 to 0.5, which org.yaml:3:5 locks: the locked rule binds",
        "the rule 'size' loosens `severity` from fail to warn, which org.yaml:3:5 locks: the locked rule binds",
    ]
    tight = rule("size", limit("max_increase", 0.01), limit("max", 10.0))
    assert judge(built((tight,), shared(LOCKED), price=moved(0))).notices == ()


def test_a_failure_under_a_locked_rule_asks_for_a_second_look() -> None:
    locked = replace(rule("latency_p50", limit("max_increase", 0.05)), span=ORG, locked=True)
    loose = rule("latency_p50", limit("max_increase", 0.5))
    made = built((loose,), shared(locked), price=moved(0))
    (model,) = made.models
    slow = replace(
        model, comparisons={"latency_p50": compared("latency_p50", moved(0.2, 0.01), exact(1.0), exact(1.2))}
    )
    assert unconfirmed((made.budget,), slow, TODAY) == {"latency_p50"}
    assert unconfirmed((replace(made.budget, shared=()),), slow, TODAY) == frozenset()


def test_the_rule_that_is_shown_is_the_one_that_judged() -> None:
    loose = rule("size", limit("max_increase", 0.5), severity="warn")
    verdict = judge(built((loose,), shared(LOCKED), price=moved(0.1)))
    assert rule_of(verdict, verdict.outcomes[0]) == LOCKED
    verdict = judge(built((replace(loose, severity="fail"),), shared(LOCKED), price=moved(0.0)))
    assert rule_of(verdict, verdict.outcomes[0]) == replace(loose, severity="fail")


def test_what_is_measured_is_precise_enough_for_a_locked_rule() -> None:
    locked = replace(rule("latency_p50", limit("max_increase", 0.05)), span=ORG, locked=True)
    off = rule("latency_p50", limit("max_increase", 0.05), severity="off")
    budget = built((off,), shared(locked), price=moved(0)).budget
    alone = built((locked,), price=moved(0)).budget
    assert precision_for((budget,), "m") == precision_for((alone,), "m") != {}
    assert precision_for((replace(budget, shared=()),), "m") == {}


# --- properties -------------------------------------------------------------------------------------------------------

bounds = st.floats(0, 0.3)
mine = st.builds(
    lambda bound, severity, off, floor, undecided: rule(
        "size",
        limit("max_increase", bound),
        severity=severity,
        models=("other",) if off else (),
        ignore_below=floor,
        on_inconclusive=undecided,
    ),
    bounds,
    st.sampled_from(["fail", "warn", "off"]),
    st.booleans(),
    st.sampled_from([None, 5.0, 50.0]),
    st.sampled_from([None, "warn", "fail"]),
)
prices = st.builds(moved, st.floats(-0.1, 0.4), st.sampled_from([0.0, 0.0, 0.03]))


@given(mine, bounds, prices, st.lists(st.just(WAIVER), max_size=1).map(tuple), st.sampled_from([None, "warn"]))
def test_no_file_makes_a_locked_rule_pass_that_does_not_pass_by_itself(
    own: Rule, bound: float, price: Change, waivers: tuple[Waiver, ...], undecided: Any
) -> None:
    locked = replace(LOCKED, limits=(limit("max_increase", bound),))
    alone = status(built((), shared(locked), price=price))
    assert status(built((own,), shared(locked), price=price, waivers=waivers, on_inconclusive=undecided)) >= alone


@given(mine, bounds, prices)
def test_a_verdict_with_shared_files_is_read_back_and_judged_the_same(own: Rule, bound: float, price: Change) -> None:
    layer = shared(replace(LOCKED, limits=(limit("max_increase", bound),)), commit="a" * 40)
    verdict = judge(built((own,), layer, price=price))
    text = dump(verdict)
    assert dump(judge(load(text, "v.json").case)) == text


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True), mine, bounds, prices, st.randoms()
)
def test_the_order_of_models_never_matters(names: list[str], own: Rule, bound: float, price: Change, rng: Any) -> None:
    made = built((own,), shared(replace(LOCKED, limits=(limit("max_increase", bound),))), price=price)
    (model,) = made.models
    models = [replace(model, name=name) for name in names]
    entries: list[Any] = [replace(made.budget.models[0], name=name) for name in names]

    def judged() -> dict[tuple[str, str], tuple[Status, str]]:
        budget: Budget = replace(made.budget, models=tuple(entries))
        found = judge(replace(made, models=tuple(models), budget=budget, base=budget))
        return {(one.model, one.rule): (one.status, one.reason) for one in found.outcomes} | {
            ("", ""): (found.status, "")
        }

    before = judged()
    rng.shuffle(models)
    rng.shuffle(entries)
    assert judged() == before
