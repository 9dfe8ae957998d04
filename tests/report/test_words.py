"""Names made to fit, and the headline."""

from __future__ import annotations

from dataclasses import replace

import pytest
import verdicts

from greengate.report.words import clip, grouped, headline, listed, plural, short_digest, worst_first
from greengate.verdict import Status


@pytest.mark.parametrize(
    ("text", "width", "clipped"),
    [("short", 5, "short"), ("abcdefghij", 9, "abcd…ghij"), ("abcdefghij", 4, "ab…j"), ("a\nb", 3, "a b")],
)
def test_clip(text: str, width: int, clipped: str) -> None:
    assert clip(text, width) == clipped
    assert len(clip(text, width)) <= width


@pytest.mark.parametrize(
    ("count", "noun", "written"),
    [(0, "rule", "0 rules"), (1, "rule", "1 rule"), (7, "launch", "7 launches"), (1_200, "rule", "1,200 rules")],
)
def test_plural(count: int, noun: str, written: str) -> None:
    assert plural(count, noun) == written


def test_listed_names_the_first_and_counts_the_rest() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("digest", "short"), [("sha256:" + "a" * 64, "sha256:aaaaaaaaaaaa"), ("b" * 40, "b" * 12), ("", "")]
)
def test_short_digest(digest: str, short: str) -> None:
    assert short_digest(digest) == short


HEADLINES = {
    "pass": "all 3 rules within budget",
    "fail": "2 of 4 rules over budget: size, tail; 1 could not be decided",
    "inconclusive": "1 of 3 rules could not be decided: compute",
    "mild": "within budget, 1 of 5 rules with a warning: size",
    "two-models": "1 of 4 rules over budget: size (sentiment-small); 3 could not be decided",
    "unchanged": "the only rule judged is within budget; vision not measured, as unchanged",
    "unbound": "no rule judges digits",
}


@pytest.mark.parametrize("story", verdicts.ALL)
def test_headline(story: str) -> None:
    assert headline(verdicts.ALL[story]) == HEADLINES[story]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (Status.TRADED, "within budget, the only rule is paid for by a gain: tail"),
        (Status.DEFERRED, "within budget so far, the only rule is to be judged elsewhere: tail"),
        (Status.WAIVED, "within budget, the only rule is waived: tail"),
        (Status.WARN, "within budget, the only rule with a warning: tail"),
        (Status.INCONCLUSIVE, "the only rule could not be decided: tail"),
        (Status.FAIL, "the only rule is over budget: tail"),
        (Status.PASS, "the only rule is within budget"),
    ],
)
def test_headline_of_one_rule(status: Status, line: str) -> None:
    verdict = verdicts.mild()
    outcome = replace(verdict.outcomes[3], status=status)
    assert headline(replace(verdict, outcomes=(outcome,), status=status)) == line


def test_headline_of_a_change_that_touches_no_model() -> None:
    verdict = verdicts.unchanged()
    idle = replace(verdict, outcomes=verdict.outcomes[1:])
    assert headline(idle) == "nothing was measured, as the change does not touch vision"
    more = replace(verdict, outcomes=(verdict.outcomes[0], *verdict.outcomes))
    assert headline(more) == "all 2 rules judged within budget; vision not measured, as unchanged"


def test_an_unjudged_model_is_not_hidden_by_rules_that_pass() -> None:
    verdict = verdicts.passing()
    models = (*verdict.case.models, replace(verdict.case.models[0], name="idle"))
    inconclusive = replace(verdict, case=replace(verdict.case, models=models), status=Status.INCONCLUSIVE)
    assert headline(inconclusive) == "no rule judges idle"


def test_an_empty_verdict_says_so() -> None:
    verdict = verdicts.unbound()
    assert headline(replace(verdict, case=replace(verdict.case, models=()))) == "no rule was judged"


def test_worst_first_keeps_the_order_of_the_budget_within_a_status() -> None:
    assert [one.rule for one in worst_first(verdicts.failing())] == ["size", "tail", "p50", "compute"]


def test_outcomes_that_say_the_same_are_told_once() -> None:
    groups = grouped(worst_first(verdicts.two_models()))
    assert [[one.rule for one in group] for group in groups] == [["size"], ["p50"], ["size", "p50"]]
