"""`greengate approve`: a person's yes to the candidate of the last verdict, written where the gate looks for it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greengate import approval, files, git
from greengate.budget import Limit, LimitKind, Rule
from greengate.comparison import Change
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.metrics import METRICS, Metric
from greengate.report.facts import rule_of
from greengate.units import QuantityError, format_change, parse_delta, parse_quantity
from greengate.verdict import Approval, ModelCase, Outcome, Verdict
from greengate.verdict_file import comparison_of


@dataclass(frozen=True)
class Yes:
    """What a person says: to which rules, for which model, why, until when, how far, under which name and key."""

    rules: Sequence[str]
    model: str | None
    reason: str
    expires: datetime.date
    ceiling: str | None = None
    by: str | None = None
    key: Path | None = None


def approve(verdict: Verdict, yes: Yes, today: datetime.date, folder: Path | None = None) -> list[Path]:
    """Write one approval a rule, below the budget's folder, signed where a key is named; return the files.

    `folder` is where the budget lies seen from here, if that is not where the check saw it.

    Raises GreengateError with every mistake found: `unknown-rule`, `unknown-model`, `not-approvable`, `bad-value`,
    `signing-failed`.
    """
    folder = Path(verdict.case.budget.path).parent if folder is None else folder
    by = (yes.by or git.user(folder) or "").strip()
    wrong: list[Diagnostic] = []
    if not by:
        wrong.append(Diagnostic("bad-value", "who approves is not known", "name yourself with --by"))
    elif not approval.is_name(by):
        help = "write plain text with --by: nothing invisible, no lookalikes, no dash before it"
        wrong.append(Diagnostic("bad-value", f"{by!r} cannot name who approves", help))
    if not yes.reason.strip():
        wrong.append(Diagnostic("bad-value", "an approval needs a reason", 'write --reason "why it is worth it"'))
    if yes.expires < today:
        wrong.append(
            Diagnostic("bad-value", f"the approval would expire on {yes.expires}, in the past", "name a later day")
        )
    made: list[Approval] = []
    for name in yes.rules:
        try:
            made.append(_approval(verdict, name, yes, by, today))
        except GreengateError as error:
            wrong += error.diagnostics
    if wrong:
        raise GreengateError(*wrong)
    return [path for one in made for path in _write(folder, one, yes.key)]


def _approval(verdict: Verdict, name: str, yes: Yes, by: str, today: datetime.date) -> Approval:
    outcome, model = _find(verdict, name, yes.model)
    rule = rule_of(verdict, outcome)
    candidate = model.candidate.digest if model.candidate is not None else ""
    if rule is None or model.baseline is None or not candidate or not model.baseline.digest:
        lack = "baseline" if candidate else "candidate"
        message = f"the verdict knows no digest of the {lack} of {model.name!r}"
        help = "an approval names both models: check again with a baseline whose model file is at hand"
        raise GreengateError(Diagnostic("not-approvable", message, help))
    return Approval(
        rule=name,
        model=model.bound_as,
        candidate=candidate,
        baseline=model.baseline.digest,
        ceiling=_ceiling(verdict, outcome, rule, yes.ceiling),
        reason=yes.reason.strip(),
        by=by,
        granted=today,
        expires=yes.expires,
        source="",
    )


def _find(verdict: Verdict, rule: str, model: str | None) -> tuple[Outcome, ModelCase]:
    named = [one for one in verdict.outcomes if one.rule == rule]
    found = [one for one in named if model in (None, one.model)]
    if not found:
        kind, known = ("model", {one.model for one in named}) if named else ("rule", {o.rule for o in verdict.outcomes})
        message = f"the verdict has no {kind} {(model if named else rule)!r}"
        raise GreengateError(Diagnostic(f"unknown-{kind}", message, f"it judges {', '.join(sorted(known)) or 'none'}"))
    if len(found) > 1:
        names = ", ".join(one.model for one in found)
        raise GreengateError(Diagnostic("bad-value", f"{rule!r} binds {names}", "name one of them with --model"))
    outcome = found[0]
    judged = next((one for one in verdict.case.models if one.name == outcome.model), None)
    if judged is None:
        help = "train no more in this period, or raise `max` on the target branch"
        raise GreengateError(Diagnostic("not-approvable", f"{rule!r} is of a period and binds no model", help))
    return outcome, judged


def _ceiling(verdict: Verdict, outcome: Outcome, rule: Rule, written: str | None) -> Limit:
    """Return how far the approval goes: as written, else as far as the trade-off, else as far as was measured."""
    span = Span("", 1)
    metric = METRICS[rule.metric]
    worse: LimitKind = "max_increase" if metric.better == "lower" else "max_decrease"
    better: LimitKind = "suspicious_decrease" if metric.better == "lower" else "suspicious_increase"
    look = any(check.limit.kind == better and check.status for check in outcome.checks)
    kind = better if look else worse
    if written is not None:
        return _written(written, metric, kind)
    offered = () if rule.unless is None or look else rule.unless.limits
    if (granted := next((one for one in offered if one.kind == worse), None)) is not None:
        return granted
    change = comparison_of(verdict, outcome).change
    if not isinstance(change, Change):
        message = f"how far {rule.id!r} may go is not known: nothing was measured to go by"
        raise GreengateError(Diagnostic("not-approvable", message, "say it, for example `--ceiling 15%`"))
    extreme = max(abs(change.low), abs(change.high))
    return Limit(kind, extreme, format_change(extreme, change.relative)[1:], span, change.relative)


def _written(text: str, metric: Metric, kind: LimitKind) -> Limit:
    """Return a ceiling as somebody wrote it: of the change, or of the metric itself where it has that unit."""
    absolute: LimitKind = "max" if metric.better == "lower" else "min"
    text = text.strip()
    try:
        if text.endswith(("%", "pp")):
            delta = parse_delta(text, metric.dimension)
            limit = Limit(kind, delta.value, text, Span("", 1), delta.relative)
        else:
            limit = Limit(absolute, parse_quantity(text, metric.dimension), text, Span("", 1))
    except QuantityError as error:
        raise GreengateError(Diagnostic(error.code, error.message, error.help)) from error
    if limit.value < 0:
        # The gate reads no such approval: how far a change may go is told without a sign.
        help = "write how far it may go, without a minus"
        raise GreengateError(Diagnostic("bad-value", f"the ceiling {text!r} is below zero", help))
    return limit


def _write(folder: Path, one: Approval, key: Path | None) -> list[Path]:
    words = (one.rule, one.model, one.candidate.rpartition(":")[2][:12], one.by)
    name = "-".join(re.sub(r"[^A-Za-z0-9_.@-]+", "_", word) for word in words)
    path = folder / approval.FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(path, approval.dump(one))
    if key is None:
        return [path]
    try:
        return [path, approval.sign(path, key)]
    except GreengateError:
        path.unlink()
        raise
