"""The report people read in a terminal: the verdict first, one table a model, then what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from greengate.metrics import name_of
from greengate.report import steps
from greengate.report.facts import Fact, facts, gaps, rule_of, titled
from greengate.report.numbers import write_outcome
from greengate.report.terminal.paper import (
    NARROWEST,
    STYLES,
    Cell,
    Column,
    gap_lines,
    hanging,
    render_page,
    safe,
    table,
    text,
    where_lines,
)
from greengate.report.words import clip, grouped, headline, listed, worst_first
from greengate.verdict import ModelCase, Outcome, Status, Verdict
from greengate.verdict_file import comparison_of

if TYPE_CHECKING:
    from greengate.report.terminal.paper import Part

_COLUMNS = (
    Column("status"),
    Column("rule", folds=True),
    Column("baseline", number=True),
    Column("candidate", number=True),
    Column("change", number=True),
    Column("limit"),
)


def render(verdict: Verdict, *, colour: bool = False, width: int = 100, encoding: str = "utf-8") -> str:
    """Write the verdict for a terminal of `width` columns that can show `encoding`."""
    width = max(width, NARROWEST)
    return render_page(_parts(steps.addressed(verdict), width), colour, width, encoding)


def _parts(verdict: Verdict, width: int) -> Iterator[Part]:
    yield _headline(verdict)
    for model in verdict.case.models:
        yield ""
        yield from _model(verdict, model, width)
    models = {model.name for model in verdict.case.models}
    for other in dict.fromkeys(one.model for one in verdict.outcomes if one.model not in models):
        yield ""
        yield text(safe(clip(other)), "bold")
        yield table(_COLUMNS, [_row(verdict, one) for one in verdict.outcomes if one.model == other], width)
    findings = [outcome for outcome in worst_first(verdict) if outcome.status is not Status.PASS]
    for alike in grouped(findings):
        yield ""
        yield hanging(_finding(alike, verdict.case.budget.path))
    if verdict.notices:
        yield ""
        yield hanging(_notices(verdict))
    yield ""
    yield hanging(_footer(facts(verdict)))


def _headline(verdict: Verdict) -> Part:
    line = text(verdict.status.name, STYLES[verdict.status])
    return line.append("  " + safe(headline(verdict)), style="bold")


def _model(verdict: Verdict, model: ModelCase, width: int) -> Iterator[Part]:
    outcomes = [outcome for outcome in worst_first(verdict) if outcome.model == model.name]
    title = text("model ", "dim").append(safe(clip(model.name)), style="bold")
    if model.candidate is not None and model.candidate.path != model.name:
        title.append(f"  {safe(clip(model.candidate.path, 60))}", style="dim")
    yield title
    if not outcomes:
        yield text("no rule judges this model", STYLES[Status.INCONCLUSIVE])
    else:
        yield table(_COLUMNS, [_row(verdict, outcome) for outcome in outcomes], width)
    compared = [(clip(outcome.rule), comparison_of(verdict, outcome)) for outcome in outcomes]
    changed = {found.metric: found for _, found in compared}
    lines = [
        *where_lines(changed.values()),
        *gap_lines(gaps(compared)),
        *(("note", "dim", safe(note)) for note in model.notes),
    ]
    if lines:
        yield hanging(lines)


def _row(verdict: Verdict, outcome: Outcome) -> list[Cell]:
    written = write_outcome(comparison_of(verdict, outcome), outcome, rule_of(verdict, outcome))
    title = "" if outcome.rule == name_of(outcome.metric) else titled(outcome.metric)
    return [
        Cell(outcome.status.name, style=STYLES[outcome.status]),
        Cell(safe(clip(outcome.rule, 32)), title),
        Cell(written.baseline),
        Cell(written.candidate, written.candidate_interval),
        Cell(written.change, written.change_interval),
        Cell(written.limits[0] if written.limits else "", " ".join(written.limits[1:]), second_style=""),
    ]


def _finding(alike: list[Outcome], budget: str) -> Iterator[tuple[str, str, str]]:
    """Say what a status rests on, where the rule stands and what to do, once for outcomes that say the same."""
    one = alike[0]
    rules = [safe(clip(rule)) for rule in dict.fromkeys(outcome.rule for outcome in alike)]
    models = [safe(clip(model)) for model in dict.fromkeys(outcome.model for outcome in alike)]
    places = [safe(place) for place in dict.fromkeys(str(outcome.span) for outcome in alike)]
    who = f"{listed(rules, most=8)} of {listed(models, most=8)}"
    yield one.status.name, STYLES[one.status], f"{who}: {safe(one.reason)}"
    yield "at", "dim", listed(places, most=8)
    yield "next", "dim", safe(one.help or steps.of(budget, f"see the arithmetic with `greengate explain {rules[0]}`"))


def _notices(verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    for notice in verdict.notices:
        place = f", at {safe(str(notice.span))}" if notice.span else ""
        yield "notice", "yellow", f"{safe(notice.text)}{place}"


def _footer(found: list[Fact]) -> Iterator[tuple[str, str, str]]:
    for fact in found:
        where = f"  ({listed([safe(clip(name)) for name in fact.models])})" if fact.models else ""
        yield fact.label.lower(), "dim", safe(fact.text) + where
