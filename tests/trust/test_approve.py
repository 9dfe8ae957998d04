"""What `greengate approve` writes of a verdict, without a key; test_approvals has it in a pull request."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nouns import SPAN, case, compared, limit, rule
from repository import Repository

from greengate import approval
from greengate.budget import CarbonBudget, Limit, Rule, TradeOff
from greengate.comparison import Change
from greengate.errors import GreengateError, Span
from greengate.judge import judge
from greengate.profile import Missing, Model
from greengate.tasks.approve import Yes, approve
from greengate.verdict import Approval, BaselineRef, Verdict

TODAY = datetime.date(2026, 11, 23)
GAIN = Limit("min_increase", 0.005, "0.5 pp", SPAN, relative=False)
GROWN = rule("size", limit("max_increase", 0.05))
TRADED = replace(GROWN, unless=TradeOff("accuracy", GAIN, SPAN, limits=(limit("max_increase", 0.15),)))
LIFTED = replace(GROWN, unless=TradeOff("accuracy", GAIN, SPAN))
WORSE = rule("accuracy", limit("max_decrease", 0.002, relative=False))
SHRUNK = rule("size", limit("suspicious_decrease", 0.5), unless=TRADED.unless)
FASTER = rule("throughput", limit("suspicious_increase", 1.0))


def verdict(
    folder: Path, rules: Sequence[Rule], price: Change | Missing, names: Sequence[str] = ("m",), **model: Any
) -> Verdict:
    made = case(rules, {one.metric: compared(one.metric, price) for one in rules}, names=names)
    known = {"baseline": BaselineRef("file:old.onnx", "the model file", "sha256:b"), **model}
    models = tuple(replace(one, **known) for one in made.models)
    return judge(replace(made, models=models, budget=replace(made.budget, path=str(folder / "budgets.yaml"))))


def yes(*rules: str, **more: Any) -> Yes:
    said: dict[str, Any] = {"model": None, "reason": " worth it ", "expires": TODAY, "by": "lead@example.org", **more}
    return Yes(rules, **said)


def written(folder: Path, the_rule: Rule, price: Change, **more: Any) -> Approval:
    (path,) = approve(verdict(folder, [the_rule], price), yes(the_rule.id, **more), TODAY)
    return approval.load(path.read_bytes(), "")


def change(value: float, half: float = 0.0, relative: bool = True) -> Change:
    return Change(value, value - half, value + half, "paired" if half else "exact", relative)


@pytest.mark.parametrize(
    ("the_rule", "price", "ceiling", "expected"),
    [
        (GROWN, change(0.25), None, ("max_increase", 0.25)),  # as far as was measured
        (GROWN, change(0.25, 0.125), None, ("max_increase", 0.375)),
        (TRADED, change(0.25), None, ("max_increase", 0.15)),  # as far as the trade-off goes
        (LIFTED, change(0.25), None, ("max_increase", 0.25)),
        (WORSE, change(-0.25, 0.125, relative=False), None, ("max_decrease", 0.375)),
        (SHRUNK, change(-0.75, 0.125), None, ("suspicious_decrease", 0.875)),  # a look, not a trade
        (FASTER, change(2.0), None, ("suspicious_increase", 2.0)),
        (TRADED, change(0.25), " 30% ", ("max_increase", 0.3)),
        (SHRUNK, change(-0.75), "90%", ("suspicious_decrease", 0.9)),
        (FASTER, change(2.0), "250%", ("suspicious_increase", 2.5)),
        (WORSE, change(-0.25, relative=False), "0.5 pp", ("max_decrease", 0.005)),
        (GROWN, change(0.25), "120 MB", ("max", 120e6)),
        (GROWN, change(0.25), "0%", ("max_increase", 0.0)),
        (FASTER, change(2.0), "10/s", ("min", 10.0)),
    ],
)
def test_an_approval_goes_as_far_as_is_said_or_offered_or_measured(
    tmp_path: Path, the_rule: Rule, price: Change, ceiling: str | None, expected: tuple[str, float]
) -> None:
    made = written(tmp_path, the_rule, price, ceiling=ceiling)
    assert (made.ceiling.kind, made.ceiling.value) == (expected[0], pytest.approx(expected[1], rel=1e-12))


def test_it_names_the_models_by_their_digests_and_who_said_yes_when(tmp_path: Path) -> None:
    made = written(tmp_path, GROWN, change(0.25), expires=TODAY + datetime.timedelta(days=3))
    assert replace(made, ceiling=limit("max", 1)) == Approval(
        rule="size",
        model="m",
        candidate="sha256:c",
        baseline="sha256:b",
        ceiling=limit("max", 1),
        reason="worth it",
        by="lead@example.org",
        granted=TODAY,
        expires=TODAY + datetime.timedelta(days=3),
        source="",
    )
    assert made.ceiling.span == Span("", 1)
    named = ".greengate/approvals/size-m-c-lead@example.org.json"
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")] == [named]


def test_a_model_that_left_the_budget_is_approved_as_the_target_calls_it(tmp_path: Path) -> None:
    found = verdict(tmp_path, [GROWN], change(0.25), rules_of="m", name="left")
    (path,) = approve(found, yes("size", model="left"), TODAY)
    assert approval.load(path.read_bytes(), "").model == "m"


def test_who_approves_is_the_user_of_git_where_nobody_is_named(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.git("config", "user.email", "me@example.org")
    assert written(tmp_path, GROWN, change(0.25), by=None).by == "me@example.org"
    assert written(tmp_path, GROWN, change(0.25), by=" you@example.org ").by == "you@example.org"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (yes("size", by="  "), [("bad-value", "who approves is not known", "name yourself with --by")]),
        (
            yes("size", reason=" \n"),
            [("bad-value", "an approval needs a reason", 'write --reason "why it is worth it"')],
        ),
        (
            yes("size", expires=TODAY - datetime.timedelta(days=1)),
            [("bad-value", "the approval would expire on 2026-11-22, in the past", "name a later day")],
        ),
        (yes("sise"), [("unknown-rule", "the verdict has no rule 'sise'", "it judges macs, size")]),
        (yes("size", model="n"), [("unknown-model", "the verdict has no model 'n'", "it judges m")]),
        *(
            (
                yes("size", ceiling=text),
                [("bad-value", f"the ceiling {text!r} is below zero", "write how far it may go, without a minus")],
            )
            for text in ("-5%", "-5 MB")
        ),
        (
            yes("size", ceiling="5 apples"),
            [("unknown-unit", "'apples' is not a unit of memory", "use one of B, kB, MB, GB, KiB, MiB, GiB")],
        ),
        (
            yes("sise", "sice", reason=""),  # all that is wrong is told at once
            [
                ("bad-value", "an approval needs a reason", 'write --reason "why it is worth it"'),
                ("unknown-rule", "the verdict has no rule 'sise'", "it judges macs, size"),
                ("unknown-rule", "the verdict has no rule 'sice'", "it judges macs, size"),
            ],
        ),
    ],
)
def test_what_cannot_be_approved_is_told_and_nothing_is_written(tmp_path: Path, said: Yes, told: Any) -> None:
    found = verdict(tmp_path, [GROWN, rule("macs", limit("max_increase", 0.05))], change(0.25))
    with pytest.raises(GreengateError) as caught:
        approve(found, said, TODAY)
    assert [(one.code, one.message, one.help) for one in caught.value.diagnostics] == told
    assert list(tmp_path.iterdir()) == []


def test_a_rule_of_several_models_wants_one_of_them_named(tmp_path: Path) -> None:
    found = verdict(tmp_path, [GROWN], change(0.25), names=("m", "n"))
    with pytest.raises(GreengateError) as caught:
        approve(found, yes("size"), TODAY)
    (told,) = caught.value.diagnostics
    assert (told.code, told.message, told.help) == ("bad-value", "'size' binds m, n", "name one of them with --model")
    (path,) = approve(found, yes("size", model="n"), TODAY)
    assert approval.load(path.read_bytes(), "").model == "n"


def test_several_rules_are_approved_at_once_each_in_a_file_of_its_own(tmp_path: Path) -> None:
    found = verdict(tmp_path, [GROWN, rule("macs", limit("max_increase", 0.05))], change(0.25))
    written = approve(found, yes("size", "macs"), TODAY)
    assert [approval.load(path.read_bytes(), "").rule for path in written] == ["size", "macs"]
    assert approve(found, yes("size"), TODAY) == written[:1]  # written anew in its place


@pytest.mark.parametrize(
    ("model", "lack"),
    [
        ({"candidate": None}, "candidate"),
        ({"candidate": Model("m", "own:make", "code", "", ())}, "candidate"),
        ({"baseline": None}, "baseline"),
        ({"baseline": BaselineRef("none", "")}, "baseline"),
    ],
)
def test_without_both_digests_there_is_no_approval(tmp_path: Path, model: dict[str, Any], lack: str) -> None:
    with pytest.raises(GreengateError) as caught:
        approve(verdict(tmp_path, [GROWN], change(0.25), **model), yes("size"), TODAY)
    (told,) = caught.value.diagnostics
    assert (told.code, told.message) == ("not-approvable", f"the verdict knows no digest of the {lack} of 'm'")
    assert told.help == "an approval names both models: check again with a baseline whose model file is at hand"


def test_what_trainings_emitted_is_nobodys_to_approve(tmp_path: Path) -> None:
    found = verdict(tmp_path, [GROWN], change(0.25))
    spent = CarbonBudget(limit("max", 1.0), "2026-Q4", SPAN, ())
    found = judge(replace(found.case, budget=replace(found.case.budget, carbon_budget=spent)))
    with pytest.raises(GreengateError) as caught:
        approve(found, yes("carbon_budget"), TODAY)
    (told,) = caught.value.diagnostics
    assert (told.code, told.message) == ("not-approvable", "'carbon_budget' is of a period and binds no model")
    assert told.help == "train no more in this period, or raise `max` on the target branch"


def test_what_was_not_measured_wants_a_ceiling(tmp_path: Path) -> None:
    found = verdict(tmp_path, [GROWN], Missing("it crashed", "failed"))
    with pytest.raises(GreengateError) as caught:
        approve(found, yes("size"), TODAY)
    (told,) = caught.value.diagnostics
    assert (told.code, told.help) == ("not-approvable", "say it, for example `--ceiling 15%`")
    assert told.message == "how far 'size' may go is not known: nothing was measured to go by"
    (path,) = approve(found, yes("size", ceiling="15%"), TODAY)
    assert approval.load(path.read_bytes(), "").ceiling.value == 0.15


def test_names_of_files_hold_no_more_than_files_may(tmp_path: Path) -> None:
    made = replace(GROWN, id="a.b_c-d")
    (path,) = approve(verdict(tmp_path, [made], change(0.25)), yes("a.b_c-d", by="Ann B/../c <a+b@x.y>"), TODAY)
    assert path == tmp_path / ".greengate" / "approvals" / "a.b_c-d-m-c-Ann_B_.._c_a_b@x.y_.json"
