"""A carbon budget in a shared policy file: the nearest one holds, and a locked one binds beside it."""

from __future__ import annotations

from dataclasses import replace

import nouns
import pytest
from test_ledger import budget, case, entry

from greengate.budget import CarbonBudget, SharedPolicy
from greengate.errors import Span
from greengate.judge import judge
from greengate.ledger import Entry, Ledger
from greengate.profile import Measurement
from greengate.report import explain
from greengate.report.facts import carbon_texts
from greengate.verdict import Case, Status
from greengate.verdict_file import comparison_of, dump, load

ORG = Span("org.yaml", 7)


def shared(
    limit: float, period: str = "2026-Q4", *, locked: bool = True, allow_estimated: bool = False
) -> CarbonBudget:
    made = budget(limit, period, allow_estimated=allow_estimated)
    return replace(made, limit=replace(made.limit, span=ORG), span=ORG, locked=locked)


def extending(own: CarbonBudget | None, org: CarbonBudget, kept: list[Entry], counted: list[Entry]) -> Case:
    """A budget that extends org.yaml; what its own patterns find, and what those of org.yaml find."""
    made = case(own or org, kept)
    beneath = SharedPolicy("org.yaml", "sha256:org", (), carbon_budget=org)
    ledgers = (Ledger("head", tuple(kept), nouns.SPAN.file), Ledger("head", tuple(counted), "org.yaml"))
    return replace(made, budget=replace(made.budget, shared=(beneath,)), ledgers=ledgers)


@pytest.mark.parametrize(
    ("own", "org", "statuses"),
    [
        (budget(100.0), shared(20.0), {"period 2026-Q4": Status.FAIL}),  # loosened
        (None, shared(20.0), {"period 2026-Q4": Status.FAIL}),  # only shared
        (budget(20.0), shared(100.0), {"period 2026-Q4": Status.FAIL}),  # tightened
        (budget(100.0), shared(20.0, locked=False), {"period 2026-Q4": Status.PASS}),  # not locked: replaced
        (budget(40.0), shared(50.0), {"period 2026-Q4": Status.PASS}),
        (
            budget(100.0, "2026"),
            shared(20.0),
            {"period 2026": Status.PASS, "period 2026-Q4": Status.FAIL},
        ),  # another period
    ],
)
def test_what_a_shared_file_locks_binds_beside_the_nearest(
    own: CarbonBudget | None, org: CarbonBudget, statuses: dict[str, Status]
) -> None:
    verdict = judge(extending(own, org, [entry(30.0)], [entry(30.0)]))
    assert {one.model: one.status for one in verdict.outcomes} == statuses
    for one in verdict.outcomes:
        compared = comparison_of(verdict, one).candidate
        assert isinstance(compared, Measurement)
        assert compared.value == 30.0
    assert load(dump(verdict), "v.json") == verdict


def test_a_locked_carbon_budget_counts_what_its_own_patterns_find() -> None:
    """A nearer file that looks elsewhere, or counts estimates as known, changes nothing of what the other finds."""
    made = extending(
        budget(20.0, allow_estimated=True), shared(20.0), [entry(1.0)], [entry(1.0), entry(30.0, name="b")]
    )
    (found,) = judge(made).outcomes
    assert (found.status, found.span) == (Status.FAIL, ORG)
    said = "\n".join(carbon_texts(made))
    assert "at most 20.0 CO2e: 1 training measured, 1.00 kg; 19.0 kg left" in said
    assert "at most 20.0 CO2e, locked by org.yaml: 2 trainings measured, 31.0 kg; 11.0 kg too much" in said
    (told,) = [one.text for one in judge(made).notices]
    assert told == "the carbon budget counts estimates; org.yaml:7:1 locks its own, which binds too"


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (budget(21.0), "loosens `max` to 21.0"),
        (budget(20.0, "2026"), "alters `period`"),
        (replace(budget(19.0), records=("*.csv",)), "alters `records`"),
        (budget(19.0), ""),
        (None, ""),
    ],
)
def test_what_is_looser_than_a_lock_is_named(own: CarbonBudget | None, said: str) -> None:
    told = [one.text for one in judge(extending(own, shared(20.0), [entry(1.0)], [entry(1.0)])).notices]
    assert told == ([f"the carbon budget {said}; org.yaml:7:1 locks its own, which binds too"] if said else [])


@pytest.mark.parametrize("nearer", [None, shared(90.0, locked=False)])
def test_a_lock_is_found_behind_files_that_lock_nothing(nearer: CarbonBudget | None) -> None:
    made = extending(budget(100.0), shared(20.0), [entry(30.0)], [entry(30.0)])
    (org,) = made.budget.shared
    team = SharedPolicy("team.yaml", "sha256:team", (), carbon_budget=nearer)
    verdict = judge(replace(made, budget=replace(made.budget, shared=(team, org))))
    assert [one.status for one in verdict.outcomes] == [Status.FAIL]
    (told,) = [one.text for one in verdict.notices]
    assert told == "the carbon budget loosens `max` to 100.0; org.yaml:7:1 locks its own, which binds too"


def test_explain_says_what_other_files_say_of_a_carbon_budget() -> None:
    text = explain.render(judge(extending(budget(25.0), shared(40.0), [entry(30.0)], [entry(30.0)])), "carbon_budget")
    assert f"at         {nouns.SPAN}" in text
    assert "shared     org.yaml:7:1: max: 40.0 in 2026-Q4 (locked: it is judged too, and the worse binds)" in text
