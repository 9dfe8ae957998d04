"""Next steps, for a budget that lies elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import verdicts

from greengate.report import REPORTS, explain, steps
from greengate.verdict import Verdict

ELSEWHERE = "services/a b/budgets.yaml"
TOLD = "-b 'services/a b/budgets.yaml'"


@pytest.mark.parametrize(
    ("budget", "written"),
    [
        ("budgets.yaml", ""),
        ("./budgets.yaml", ""),
        ("other.yaml", " -b other.yaml"),
        ("services/ocr/budgets.yaml", " -b services/ocr/budgets.yaml"),
        (ELSEWHERE, f" {TOLD}"),
        ("/srv/budgets.yaml", " -b /srv/budgets.yaml"),
    ],
)
def test_what_a_command_needs(budget: str, written: str) -> None:
    assert steps.option(budget) == written


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("run `greengate check` first", "run `greengate check -b x/y.yaml` first"),
        ('`greengate baseline accept a --reason "..."`', '`greengate baseline accept a --reason "..." -b x/y.yaml`'),
        (
            "`greengate explain a`, `greengate export`",
            "`greengate explain a -b x/y.yaml`, `greengate export -b x/y.yaml`",
        ),
        ("see `greengate doctor`", "see `greengate doctor`"),  # it reads no budget
        ("greengate check, in words", "greengate check, in words"),
        ("`greengate checks`", "`greengate checks`"),
        ("", ""),
    ],
)
def test_the_commands_in_a_text(text: str, told: str) -> None:
    assert steps.of("x/y.yaml", text) == told
    assert steps.of("budgets.yaml", text) == text


def elsewhere(verdict: Verdict) -> Verdict:
    return replace(verdict, case=replace(verdict.case, budget=replace(verdict.case.budget, path=ELSEWHERE)))


@pytest.mark.parametrize("name", ["terminal", "markdown", "summary", "junit", "github", "codequality"])
def test_every_report_names_the_budget_in_its_next_steps(name: str) -> None:
    """The one verdict advises in an outcome and beside a dash, the other by the terminal's own words."""
    text = " ".join(REPORTS[name](elsewhere(verdicts.undecided())).split())
    steps_told = re.findall(r"greengate baseline accept[^`]*`", text)
    assert steps_told
    assert all(TOLD in one.replace("&#x27;", "'").replace("&apos;", "'") for one in steps_told), steps_told
    assert TOLD not in REPORTS[name](verdicts.undecided())


def test_the_terminal_says_how_to_see_the_arithmetic() -> None:
    said = " ".join(REPORTS["terminal"](elsewhere(verdicts.failing())).split())
    assert f"see the arithmetic with `greengate explain size {TOLD}`" in said


def test_explain_names_the_budget_too() -> None:
    assert f"`greengate baseline accept {TOLD}`" in explain.render(elsewhere(verdicts.undecided()), "compute")


def test_what_a_verdict_rests_on_stays_as_it_is() -> None:
    for verdict in verdicts.ALL.values():
        assert steps.addressed(verdict) is verdict
        told = steps.addressed(elsewhere(verdict))
        assert [one.status for one in told.outcomes] == [one.status for one in verdict.outcomes]
        assert REPORTS["json"](elsewhere(verdict)).count(TOLD) == 0
