"""One rule of a verdict, spelled out: where it stands, its numbers, and the arithmetic that judged it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import get_close_matches

from greengate.comparison import Change, Comparison
from greengate.errors import Diagnostic, GreengateError
from greengate.harmless import clean
from greengate.ledger import RULE
from greengate.metrics import METRICS
from greengate.profile import Interval, Measurement, Missing
from greengate.report.facts import facts, place_text, rule_of, titled
from greengate.report.numbers import how, write_change
from greengate.report.steps import addressed
from greengate.report.where import places
from greengate.units import Dimension, format_apart, format_change, format_quantity, shown_unit
from greengate.verdict import Check, Outcome, Status, Verdict
from greengate.verdict_file import comparison_of

_ALONE = {
    "max": "the limit is the most it may be",
    "min": "the limit is the least it may be",
    "max_increase": "the limit is the most it may grow",
    "max_decrease": "the limit is the most it may fall",
    "max_drift": "the limit is the most it may have got worse since the version in force back then",
    "suspicious_increase": "growing by more than this is too good to be believed unseen",
    "suspicious_decrease": "falling by more than this is too good to be believed unseen",
}

_UNDER = {
    "base": "the target branch's policy binds: it judges worse than the change's own, or has the rule alone",
    "head": "the change's own policy binds: it judges worse than the target branch's, or has the rule alone",
    "both": "the target branch's policy and the change's own agree",
}

#: What a shared file's word counts for, by whether it is what judges and whether it is locked.
_COUNTS = {
    (True, True): "this is what judges",
    (True, False): "this is what judges",
    (False, True): "locked: it is judged too, and the worse binds",
    (False, False): "not locked: replaced",
}


def render(verdict: Verdict, rule: str, model: str | None = None) -> str:
    """Explain a rule's outcome for one model, or for every model it binds.

    Raises GreengateError (`unknown-rule`, `unknown-model`) when the verdict has no such outcome.
    """
    verdict = addressed(verdict)
    found = [outcome for outcome in verdict.outcomes if outcome.rule == rule]
    if not found:
        raise _unknown("rule", rule, {outcome.rule for outcome in verdict.outcomes})
    chosen = [outcome for outcome in found if model in (None, outcome.model)]
    if not chosen:
        raise _unknown("model", str(model), {outcome.model for outcome in found})
    sections = ["\n".join(_explain(verdict, outcome)) for outcome in chosen]
    return "\n\n".join([*sections, "\n".join(_foot(verdict, chosen))]) + "\n"


def _unknown(kind: str, name: str, known: set[str]) -> GreengateError:
    near = get_close_matches(name, sorted(known), n=1)
    names = ", ".join(f"`{clean(one)}`" for one in sorted(known)) or "none"
    step = f"did you mean `{clean(near[0])}`?" if near else f"the verdict judges {names}"
    return GreengateError(Diagnostic(f"unknown-{kind}", f"the verdict has no {kind} {clean(name)!r}", step))


def _explain(verdict: Verdict, outcome: Outcome) -> Iterator[str]:
    compared = comparison_of(verdict, outcome)
    yield f"{outcome.status.name}  rule {clean(outcome.rule)} for model {clean(outcome.model)}"
    yield f"  metric     {titled(outcome.metric)} ({outcome.metric}): {METRICS[outcome.metric].about}"
    yield f"  at         {place_text(verdict.case, outcome.span)}"
    if outcome.span.source:
        yield f"             {clean(outcome.span.source)}"
    unit = _unit(compared)
    yield f"  baseline   {_number(compared.baseline, outcome.metric, unit)}"
    yield f"  candidate  {_number(compared.candidate, outcome.metric, unit)}"
    edges = [check.limit.edge for check in outcome.checks if not check.limit.absolute and not check.limit.over]
    yield from _arithmetic(compared, unit, edges)
    for where in places([compared]):
        yield f"  where      {where.text}"
    for check in outcome.checks:
        yield from _check(check, place_text(verdict.case, check.limit.span), compared, unit)
    yield from _elsewhere(verdict, outcome)
    yield from _combined(verdict, outcome)
    if outcome.help:
        yield f"  next       {clean(outcome.help)}"


def _unit(compared: Comparison) -> str:
    sides = (compared.baseline, compared.candidate)
    return shown_unit([one.value for one in sides if isinstance(one, Measurement)], METRICS[compared.metric].dimension)


def _exactly(value: float, dimension: Dimension, unit: str) -> str:
    """Write enough digits to follow the arithmetic with a pocket calculator."""
    return format_quantity(value, dimension, unit, 6)


def _number(found: Measurement | Missing, metric: str, unit: str) -> str:
    if isinstance(found, Missing):
        return f"missing: {clean(found.reason)}"
    dimension = METRICS[metric].dimension
    text = _exactly(found.value, dimension, unit)
    if found.interval is not None:
        text += f", {_interval(found.interval, dimension, unit)}"
    return f"{text} ({clean(how(found))})"


def _interval(interval: Interval, dimension: Dimension, unit: str) -> str:
    low, high = (_exactly(end, dimension, unit) for end in (interval.low, interval.high))
    return f"{interval.confidence * 100:g} % interval [{low}, {high}]"


def _arithmetic(compared: Comparison, unit: str, edges: list[float]) -> Iterator[str]:
    before, after, change = compared.baseline, compared.candidate, compared.change
    if isinstance(change, Missing):
        yield f"  change     missing: {clean(change.reason)}"
        return
    value, spread = write_change(change, edges)
    if isinstance(before, Missing) or isinstance(after, Missing):
        yield f"  change     {value} {spread}".rstrip()
        return
    dimension = METRICS[compared.metric].dimension
    old, new = (_exactly(side.value, dimension, unit) for side in (before, after))
    formula = f"candidate {new} / baseline {old} - 1" if change.relative else f"candidate {new} - baseline {old}"
    plain = (
        (after.value / before.value - 1 if before.value else math.nan)
        if change.relative
        else (after.value - before.value)
    )
    ends = f", interval {spread}" if spread else ""
    if change.basis == "paired":
        yield f"  change     {value}{ends}, from launches that ran both models side by side"
        if change.irreducible:
            by = format_change(change.irreducible)[1:]
            yield f"             ({by} to either side is what trials of a pair differ by; more time does not narrow it)"
        if math.isfinite(plain):
            alone = format_change(plain, change.relative)
            yield f"             ({formula} = {alone} from the two values alone; no limit is judged by it)"
    else:
        yield f"  change     {formula} = {value}{ends} ({change.basis})"


def _check(check: Check, at: str, compared: Comparison, unit: str) -> Iterator[str]:
    limit = check.limit
    yield f"  limit      {limit.kind}: {clean(limit.text)} ({_ALONE[limit.kind]}), at {at}"
    side = compared.candidate if limit.absolute else compared.change
    if limit.over is None and not isinstance(side, Missing):
        yield f"             {_position(check, side, METRICS[compared.metric].dimension, unit)}"
    yield f"             {check.status.name}: {clean(check.reason)}"


def _position(check: Check, judged: Measurement | Change, dimension: Dimension, unit: str) -> str:
    """Say where the whole interval lies, the one question a limit asks."""
    limit = check.limit
    bound = limit.edge
    if isinstance(judged, Change):
        low, high = judged.low, judged.high
        below, edge = format_apart(low, bound, judged.relative)
        above, _ = format_apart(high, bound, judged.relative)
    else:
        ends = judged.interval or Interval(judged.value, judged.value)
        low, high = ends.low, ends.high
        below, above, edge = (_exactly(one, dimension, unit) for one in (low, high, bound))
    what = "the exact value" if low == high else "the whole interval"
    if limit.upper:
        if high <= bound:
            return f"{above} <= {edge}: {what} lies within the limit"
        if low > bound:
            return f"{below} > {edge}: {what} lies beyond the limit"
        return f"{below} <= {edge} < {above}: the limit lies inside the interval, so the truth may be on either side"
    if low >= bound:
        return f"{below} >= {edge}: {what} lies within the limit"
    if high < bound:
        return f"{above} < {edge}: {what} lies beyond the limit"
    return f"{below} < {edge} <= {above}: the limit lies inside the interval, so the truth may be on either side"


def _elsewhere(verdict: Verdict, outcome: Outcome) -> Iterator[str]:
    """Say what other files of the policy have to say of a rule, and whether that counts."""
    policy = verdict.case.base if outcome.under == "base" and verdict.case.base is not None else verdict.case.budget
    for rule in (rule for one in policy.shared for rule in one.rules if rule.id == outcome.rule):
        numbers = ", ".join(f"{limit.kind}: {limit.text}" for limit in rule.limits)
        counts = _COUNTS[rule.span == outcome.span, rule.locked]
        yield f"  shared     {place_text(verdict.case, rule.span)}: {clean(numbers)} ({counts})"
    for budget in (one.carbon_budget for one in policy.shared if outcome.rule == RULE):
        if budget is not None:
            counts = _COUNTS[budget.limit.span == outcome.span, budget.locked]
            at = place_text(verdict.case, budget.span)
            yield f"  shared     {at}: max: {clean(budget.limit.text)} in {clean(budget.period)} ({counts})"


def _combined(verdict: Verdict, outcome: Outcome) -> Iterator[str]:
    rule = rule_of(verdict, outcome)
    statuses = [check.status for check in outcome.checks]
    worst = max(statuses, default=outcome.status)
    if len(statuses) > 1:
        parts = " and ".join(status.name for status in statuses)
        yield f"  together   every limit must hold: {parts} = {worst.name} (of FAIL < INCONCLUSIVE < PASS the lower)"
    if rule is not None and rule.ignore_below is not None:
        floor = format_quantity(rule.ignore_below, METRICS[rule.metric].dimension)
        yield f"  floor      ignore_below: {floor}; a difference below it passes whatever its percentage"
    if rule is not None and rule.severity == "warn" and worst > Status.WARN:
        yield f"  severity   warn caps {worst.name} at {outcome.status.name}"
    for index, step in enumerate(outcome.proof):
        at = f", at {place_text(verdict.case, step.span)}" if step.span is not None else ""
        why = f": {clean(step.reason)}" if step.reason else ""
        lead = "proof" if index == 0 else ""
        yield f"  {lead:<9}  {'  ' * step.depth}{step.status.name} {clean(step.claim)}{why}{at}"
    if outcome.under:
        yield f"  policy     {_UNDER[outcome.under]}"
    yield f"  outcome    {outcome.status.name}: {clean(outcome.reason)}"


def _foot(verdict: Verdict, outcomes: list[Outcome]) -> Iterator[str]:
    models = {outcome.model for outcome in outcomes}
    for fact in facts(verdict, whole=True):
        held = models & set(fact.models)
        if held or not fact.models:
            where = f"  ({', '.join(clean(name) for name in fact.models)})" if held and len(models) > 1 else ""
            yield f"{fact.label.lower():<9}  {fact.text}{where}"
