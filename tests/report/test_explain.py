"""One rule spelled out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import verdicts
from verdicts import compared, exact, limit, model_case, outcome, rule, verdict

from greengate.comparison import Change
from greengate.errors import GreengateError
from greengate.profile import Missing
from greengate.report.explain import render
from greengate.verdict import Status, Step

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("story", "name"),
    [
        *(("fail", "size"), ("fail", "p50"), ("fail", "tail"), ("inconclusive", "compute")),
        *(("mild", "size"), ("mild", "quality"), ("two-models", "size")),
    ],
)
def test_every_step_of_the_arithmetic(story: str, name: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"explain-{story}-{name}.txt", render(verdicts.ALL[story], name))


def test_one_model_of_several() -> None:
    text = render(verdicts.two_models(), "size", "vision")
    assert "rule size for model vision" in text
    assert "sentiment-small" not in text


def test_facts_that_differ_name_their_model() -> None:
    assert "Apple M2, 8 cores, 8.23 GB, Darwin 24.1  (vision)" in render(verdicts.two_models(), "size")


@pytest.mark.parametrize(
    ("name", "model", "code", "help_"),
    [
        ("sise", None, "unknown-rule", "did you mean `size`?"),
        ("zzz", None, "unknown-rule", "the verdict judges `compute`, `p50`, `size`, `tail`"),
        ("size", "digit", "unknown-model", "did you mean `digits`?"),
    ],
)
def test_what_the_verdict_does_not_know(name: str, model: str | None, code: str, help_: str) -> None:
    with pytest.raises(GreengateError) as caught:
        render(verdicts.failing(), name, model)
    assert caught.value.diagnostics[0].code == code
    assert caught.value.diagnostics[0].help == help_


def test_an_unknown_rule_is_shown(golden: Callable[[Path, str], None]) -> None:
    with pytest.raises(GreengateError) as caught:
        render(verdicts.failing(), "sise")
    golden(GOLDEN / "unknown-rule.txt", str(caught.value))


def test_a_proof_is_shown_as_a_tree_with_the_policy_that_binds(golden: Callable[[Path, str], None]) -> None:
    failing = verdicts.failing()
    own = failing.outcomes[0]
    steps = (
        Step(0, "one of these holds", Status.TRADED),
        Step(1, "every limit of the rule", Status.FAIL, span=own.span),
        Step(1, "a gain pays for it", Status.PASS, "accuracy gains", own.span),
        Step(2, "it is approved", Status.PASS, "approved by lead@example.org"),
    )
    told = replace(failing, outcomes=(replace(own, status=Status.TRADED, under="base", proof=steps),))
    golden(GOLDEN / "explain-proof.txt", render(told, own.rule))


LINES = [
    # kind, limit, low and high of the change, the line that judges it
    ("max_increase", 0.05, (0.01, 0.03), "+3.0 % <= +5.0 %: the whole interval lies within the limit"),
    ("max_increase", 0.05, (0.06, 0.08), "+6.0 % > +5.0 %: the whole interval lies beyond the limit"),
    ("max_increase", 0.05, (0.04, 0.06), "+4.0 % <= +5.0 % < +6.0 %: the limit lies inside the interval"),
    ("max_increase", 0.05, (0.05, 0.05), "+5.0 % <= +5.0 %: the exact value lies within the limit"),
    ("max_decrease", 0.05, (-0.03, -0.01), "-3.0 % >= -5.0 %: the whole interval lies within the limit"),
    ("max_decrease", 0.05, (-0.08, -0.06), "-6.0 % < -5.0 %: the whole interval lies beyond the limit"),
    ("max_decrease", 0.05, (-0.06, -0.04), "-6.0 % < -5.0 % <= -4.0 %: the limit lies inside the interval"),
    ("max", 0.05, (0.04, 0.06), "95.0000 ms > 50.0000 ms: the whole interval lies beyond the limit"),
    ("max", 0.1, (0.04, 0.06), "95.0000 ms <= 100.000 ms < 105.000 ms: the limit lies inside the interval"),
    ("min", 0.05, (0.04, 0.06), "95.0000 ms >= 50.0000 ms: the whole interval lies within the limit"),
    ("min", 0.2, (0.04, 0.06), "105.000 ms < 200.000 ms: the whole interval lies beyond the limit"),
]


@pytest.mark.parametrize(("kind", "value", "ends", "line"), LINES)
def test_where_the_interval_lies(kind: str, value: float, ends: tuple[float, float], line: str) -> None:
    changed = compared(
        "latency_p50", verdicts.timed(0.1, 0.001), verdicts.timed(0.1, 0.005), (ends[0], *ends, "paired")
    )
    judged = rule("it", "latency_p50", [limit(kind, value, "as written", 4)])  # type: ignore[arg-type]
    made = verdict([model_case("m", [changed])], [judged], [outcome(judged, "m", Status.PASS, "so it is")])
    assert line in render(made, "it")


def test_a_paired_change_is_not_passed_off_as_the_ratio_of_two_values() -> None:
    text = render(verdicts.failing(), "tail")
    assert "+4.8 %, interval [+3.9, +5.6], from launches that ran both models side by side" in text
    assert "from the two values alone; no limit is judged by it" in text


def test_what_no_time_narrows_is_told_apart() -> None:
    told = verdicts.failing()
    (model,) = told.case.models
    tail = model.comparisons["latency_p95"]
    assert isinstance(tail.change, Change)
    fixed = replace(tail, change=replace(tail.change, irreducible=0.0123))
    changed = replace(model, comparisons={**model.comparisons, "latency_p95": fixed})
    line = "1.2 % to either side is what trials of a pair differ by; more time does not narrow it"
    assert line in render(replace(told, case=replace(told.case, models=(changed,))), "tail")
    assert line not in render(told, "tail")


def test_a_baseline_of_zero_divides_nothing() -> None:
    grown = compared("size", exact(0.0), exact(5.0), Missing("the baseline is 0", "incomparable"))
    judged = rule("it", "size", [limit("max_increase", 0.1, "10%", 4)])
    made = verdict(
        [model_case("m", [grown])], [judged], [outcome(judged, "m", Status.INCONCLUSIVE, "the baseline is 0")]
    )
    assert "change     missing: the baseline is 0" in render(made, "it")


def test_a_warning_says_what_it_would_have_been() -> None:
    made = verdicts.mild()
    size = made.outcomes[1]
    checks = tuple(replace(check, status=Status.FAIL) for check in size.checks)
    warned = replace(size, checks=checks)
    rules = tuple(replace(one, severity="warn") if one.id == "size" else one for one in made.case.budget.rules)
    case = replace(made.case, budget=replace(made.case.budget, rules=rules))
    assert "severity   warn caps FAIL at WARN" in render(replace(made, case=case, outcomes=(warned,)), "size")


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_text_stays_in_its_line(stranger: str) -> None:
    made = verdicts.hostile(stranger)
    harmless = render(verdicts.hostile("harmless"), "harmless")
    text = render(made, stranger)
    assert len(text.splitlines()) == len(harmless.splitlines())
    assert "\x1b" not in text
