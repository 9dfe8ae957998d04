"""Where forges show an outcome: at a line of the change's own files, by a path from the repository's root."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import verdicts

from greengate.budget import CarbonBudget, Rule, SharedPolicy
from greengate.errors import Span
from greengate.ledger import RULE
from greengate.report import REPORTS
from greengate.report.lines import NOWHERE, Checkout, from_root, line_of
from greengate.verdict import Verdict

OWN, MAIN = Span("budgets.yaml", 12, 5), Span("main:services/a/budgets.yaml", 7, 5)
BESIDE, FAR = Span("../policy/team.yaml", 3, 3), Span("https://example.org/policy@0123456789ab:team.yaml", 4, 3)
SHARED = (SharedPolicy(BESIDE.file, "sha256:a", ()), SharedPolicy(FAR.file, "sha256:b", (), commit="a" * 40))


def judged(bound: Span, *own: tuple[str, Span], under: Any = "base") -> Verdict:
    """Return a failure of the rule `size` that stands at `bound`; the change's own policy has the rules `own`."""
    verdict = verdicts.failing()
    first = replace(verdict.outcomes[0], span=bound, under=under)
    rules = tuple(Rule(name, "size", (), at) for name, at in own)
    budget = replace(verdict.case.budget, rules=rules, shared=SHARED)
    return replace(verdict, outcomes=(first,), case=replace(verdict.case, budget=budget))


@pytest.mark.parametrize(
    ("bound", "own", "expected"),
    [
        (OWN, [("size", OWN)], OWN),
        (BESIDE, [("size", BESIDE)], BESIDE),  # a file of this repository that the budget extends
        (MAIN, [("compute", OWN), ("size", replace(OWN, line=20))], replace(OWN, line=20)),
        (MAIN, [("size", BESIDE)], BESIDE),
        (MAIN, [("compute", OWN)], Span("budgets.yaml", 1)),  # the change removed it
        (replace(MAIN, file="main:policy/team.yaml"), [("size", OWN)], OWN),
        (FAR, [("size", FAR)], Span("budgets.yaml", 1)),
        (MAIN, [("size", FAR)], Span("budgets.yaml", 1)),
    ],
)
def test_the_line_of_an_outcome(bound: Span, own: list[tuple[str, Span]], expected: Span) -> None:
    verdict = judged(bound, *own)
    assert line_of(verdict, verdict.outcomes[0], NOWHERE) == expected


def test_a_carbon_budget_of_the_target_is_shown_at_the_changes_own() -> None:
    verdict = judged(MAIN)
    limit = verdicts.limit("max", 1.0, "1 kg", 30)
    carbon = CarbonBudget(limit, "2026", replace(OWN, line=29), ())
    case = replace(verdict.case, budget=replace(verdict.case.budget, carbon_budget=carbon))
    outcome = replace(verdict.outcomes[0], rule=RULE)
    assert line_of(replace(verdict, case=case), outcome, NOWHERE) == limit.span


HERE = Checkout("/builds/group/name", "/builds/group/name/services/a")


@pytest.mark.parametrize(
    ("file", "checkout", "seen"),
    [
        ("budgets.yaml", HERE, "services/a/budgets.yaml"),
        ("./budgets.yaml", HERE, "services/a/budgets.yaml"),
        ("../policy/team.yaml", HERE, "services/policy/team.yaml"),
        ("/builds/group/name/other/budgets.yaml", HERE, "other/budgets.yaml"),
        ("../../../elsewhere/budgets.yaml", HERE, "../../../elsewhere/budgets.yaml"),  # no file of the repository
        ("budgets.yaml", replace(HERE, here=HERE.root), "budgets.yaml"),
        ("budgets.yaml", Checkout("/builds/group/name", "/tmp"), "budgets.yaml"),
        ("budgets.yaml", NOWHERE, "budgets.yaml"),
    ],
)
def test_a_path_from_the_root(file: str, checkout: Checkout, seen: str) -> None:
    assert from_root(file, checkout) == seen


def places(verdict: Verdict, checkout: Checkout) -> dict[str, tuple[str, str]]:
    """Return file and line of the first finding, as each forge reads them."""
    (place,) = re.findall(r"^::error file=([^,]+),line=(\d+),", REPORTS["github"](verdict, checkout))
    found = json.loads(REPORTS["codequality"](verdict, checkout))[0]["location"]
    case = ET.fromstring(REPORTS["junit"](verdict, checkout)).find(".//testcase")
    assert case is not None
    return {
        "github": place,
        "codequality": (found["path"], str(found["lines"]["begin"])),
        "junit": (case.get("file", ""), case.get("line", "")),
    }


def test_every_forge_is_told_the_same_place() -> None:
    """A rule of the target branch, judged in a folder of the repository."""
    found = places(judged(MAIN, ("size", OWN)), HERE)
    assert found == dict.fromkeys(found, ("services/a/budgets.yaml", "12"))


def test_a_place_that_binds_from_elsewhere_is_said() -> None:
    for name in ("github", "codequality", "junit"):
        assert "main%3A" not in (text := REPORTS[name](judged(MAIN, ("size", OWN))))
        assert re.search(r"(by|at) main:services/a/budgets\.yaml:7:5", text)
        own = judged(OWN, ("size", OWN), under="head")
        assert "by budgets.yaml" not in REPORTS[name](own)


def test_a_verdict_that_no_rule_carries_stands_at_the_budget() -> None:
    (found,) = json.loads(REPORTS["codequality"](verdicts.unbound(), HERE))
    assert found["location"] == {"path": "services/a/budgets.yaml", "lines": {"begin": 1}}


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_paths_stay_one_property(stranger: str) -> None:
    for line in REPORTS["github"](verdicts.hostile(stranger), HERE).splitlines()[:-1]:
        assert re.fullmatch(r"::error file=[^,:]*,line=\d+,col=\d+,title=[^,:]*::.*", line)
