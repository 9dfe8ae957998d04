"""`greengate ratchet`: tighter limits from what the models achieve now, as a patch of the budget; never looser ones."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from greengate import budget_file, yamlspan
from greengate.bound import rules_for
from greengate.budget import Budget, Limit, Rule
from greengate.budget_file.shared import digest
from greengate.comparison import Comparison
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.judge import judge
from greengate.judge.grounds import Matter
from greengate.metrics import METRICS, Metric
from greengate.profile import Interval, Measurement, Missing
from greengate.report import steps
from greengate.units import format_quantity, parse_quantity
from greengate.verdict import Case, ModelCase, Verdict

#: A limit that would be tighter by less than this is left: every change of a budget asks somebody to read it.
LEAST = 0.01
#: Digits of a proposed limit; it is rounded to the side on which the models stay within it.
DIGITS = 3

_BREAKS = re.compile("(\r\n|[\r\n\x85\u2028\u2029])")
_WRITTEN = re.compile(r"\+?([0-9._]+(?:[eE][+-]?[0-9]+)?|\.[0-9]+)([ \u00a0\u202f]*)(\S*)")


@dataclass(frozen=True)
class Proposal:
    """A limit of a rule with the text that would replace it, and why it can be that tight."""

    rule: str
    limit: Limit
    text: str
    why: str


@dataclass(frozen=True)
class Ratchet:
    """What can be tightened, what was left and why, and the file before and after."""

    path: str
    proposals: tuple[Proposal, ...]
    left: tuple[str, ...]
    before: str
    after: str

    @property
    def diff(self) -> str:
        """The change as a patch; empty where nothing can be tightened."""
        lines = [self.before, self.after]
        old, new = ([line + end for line, end in _lines(text)] for text in lines)
        return "".join(difflib.unified_diff(old, new, f"a/{self.path}", f"b/{self.path}"))


class _LeftError(Exception):
    """Why a limit is left as it is."""


def ratchet(verdict: Verdict, headroom: float = 0.0) -> Ratchet:
    """Propose tighter absolute limits for the budget of a verdict, with `headroom` as a share of what was measured.

    Raises GreengateError where the budget is not the file that was judged.
    """
    case = verdict.case
    path = Path(case.budget.path)
    content = yamlspan.read_bytes(path, case.budget.path)
    if digest(content) != case.budget.digest:
        message = f"{path} is not what the verdict was judged by: it was changed since"
        help_ = steps.of(case.budget.path, "run `greengate check` again first")
        raise GreengateError(Diagnostic("verdict-missing", message, help_))
    before = content.decode("utf-8")
    proposals, left = _proposals(case, headroom)
    while proposals and (worse := _worse(case, _patched(before, proposals))):
        left += [
            f"{one.rule}: {one.limit.text} is left, or the verdict would change"
            for one in proposals
            if one.rule in worse
        ]
        proposals = [one for one in proposals if one.rule not in worse]
    return Ratchet(str(path), tuple(proposals), tuple(left), before, _patched(before, proposals))


def _proposals(case: Case, headroom: float) -> tuple[list[Proposal], list[str]]:
    found: list[Proposal] = []
    left: list[str] = []
    for rule, limit, names in _limits(case.budget):
        if not limit.absolute:
            why = "it compares with the baseline, which `greengate baseline accept` moves"
        elif limit.span.file != case.budget.path:
            why = f"it stands in {limit.span.file}, which is shared"
        else:
            try:
                found.append(_tighter(rule, limit, names, case, headroom))
                continue
            except _LeftError as reason:
                why = str(reason)
        left.append(f"{rule.id}: {limit.kind}: {limit.text} is left: {why}")
    return found, left


def _limits(budget: Budget) -> Iterator[tuple[Rule, Limit, list[str]]]:
    """Yield every limit with the rule as it holds there, and the models that it binds, overrides applied."""
    found: dict[Span, tuple[Rule, Limit, list[str]]] = {}
    for model in budget.models:
        for rule in rules_for(budget, model.name):
            for limit in rule.limits:
                found.setdefault(limit.span, (rule, limit, []))[2].append(model.name)
    yield from found.values()


def _tighter(rule: Rule, limit: Limit, names: list[str], case: Case, headroom: float) -> Proposal:
    """Return the tightest limit that every model it binds keeps. Raises _LeftError."""
    metric = METRICS[rule.metric]
    needs = [
        (*_needed(rule, limit, model, case, headroom), model.name) for name in names for model in _cases(case, name)
    ]
    needed, why, name = (max if limit.upper else min)(needs, key=lambda one: one[0])
    text = _rounded(limit, needed, metric)
    value = _value(text, metric)
    gained = (limit.value - value) / limit.value if limit.upper else (value - limit.value) / limit.value
    if gained < LEAST:
        raise _LeftError(f"{name} needs it ({why})" if gained < 0 else f"{name} is near it already ({why})")
    return Proposal(rule.id, limit, text, f"{name} has {why}")


def _cases(case: Case, name: str) -> list[ModelCase]:
    found = [model for model in case.models if model.bound_as == name]
    if not found:
        raise _LeftError(f"{name} was not judged")
    return found


def _needed(rule: Rule, limit: Limit, model: ModelCase, case: Case, headroom: float) -> tuple[float, str]:
    """Return the limit that a model just keeps, and what it rests on. Raises _LeftError where that is not known."""
    matter = Matter(rule, model, case.budget, case)
    if matter.elsewhere:
        raise _LeftError(f"{model.name}: {matter.elsewhere}")
    metric, compared = METRICS[rule.metric], matter.comparison
    ends = []
    for found in _looks(compared):
        if not isinstance(found, Measurement):
            raise _LeftError(f"{model.name}: {found.reason}")
        if found.method == "estimated":
            raise _LeftError(f"{model.name}: it is only estimated")
        if metric.kind in ("noisy", "derived") and found.interval is None:
            raise _LeftError(f"{model.name}: it is noisy, and nobody knows by how much")
        span = found.interval or Interval(found.value, found.value)
        half, room = (span.high - span.low) / 2, headroom * found.value
        ends.append(span.high + half + room if limit.upper else span.low - half - room)
    return (max if limit.upper else min)(ends), _words(compared, metric, headroom)


def _looks(compared: Comparison) -> Iterator[Measurement | Missing]:
    yield compared.candidate
    if compared.first is not None:
        yield compared.first.candidate


def _words(compared: Comparison, metric: Metric, headroom: float) -> str:
    found = compared.candidate
    if not isinstance(found, Measurement):
        raise TypeError("what was not measured needs no words")
    value = format_quantity(found.value, metric.dimension, None, 4)
    more = f", and {headroom * 100:g} % of head-room" if headroom else ""
    if found.interval is None:
        return f"{value}{more}"
    low, high = (format_quantity(end, metric.dimension, None, 4) for end in (found.interval.low, found.interval.high))
    return f"{value} [{low}, {high}], with half the interval's width as head-room{more}"


def _rounded(limit: Limit, needed: float, metric: Metric) -> str:
    """Write a limit in the unit of the one it replaces. Raises _LeftError where nothing is left."""
    match = _WRITTEN.fullmatch(limit.text)
    if match is None or needed <= 0:
        raise _LeftError("nothing tighter can be written")
    _, gap, unit = match.groups()
    number = needed / _value(f"1{gap}{unit}" if unit else "1", metric)
    place = math.floor(math.log10(number)) - DIGITS + 1
    place = max(place, 0) if metric.dimension == "count" and not unit and number >= 10 else place
    steps = number / 10**place
    # What is a whole number of steps but for rounding is one.
    whole = math.ceil(steps - 1e-9) if limit.upper else math.floor(steps + 1e-9)
    return f"{whole * 10**place:.{max(0, -place)}f}{gap}{unit}"


def _value(text: str, metric: Metric) -> float:
    return (
        float(text)
        if metric.dimension in ("ratio", "count") and text[-1].isdigit()
        else parse_quantity(text, metric.dimension)
    )


def _lines(text: str) -> list[tuple[str, str]]:
    """Return lines with what ends them."""
    parts = [*_BREAKS.split(text), ""]
    return [pair for pair in zip(parts[::2], parts[1::2], strict=True) if pair != ("", "")]


def _patched(before: str, proposals: list[Proposal]) -> str:
    """Replace limits in the text of a budget, and nothing else of it."""
    parts = _BREAKS.split(before)
    for one in sorted(proposals, key=lambda each: (each.limit.span.line, each.limit.span.column), reverse=True):
        place = 2 * (one.limit.span.line - 1)
        line, start = parts[place], one.limit.span.column - 1 + (place == 0 and before.startswith("\ufeff"))
        end = start + one.limit.span.length
        parts[place] = line[:start] + line[start:end].replace(one.limit.text, one.text) + line[end:]
    return "".join(parts)


def _worse(case: Case, after: str) -> set[str]:
    """Return the rules that a patched budget would judge worse than the present one, by the judge itself."""
    new = budget_file.parse(after.encode(), case.budget.path)
    old, now = (judge(replace(case, budget=budget, base=None)) for budget in (case.budget, new))
    before = {(one.model, one.rule): one.status for one in old.outcomes}
    return {one.rule for one in now.outcomes if one.status > before[one.model, one.rule]}


def render(found: Ratchet) -> str:
    """Say what can be tightened and why, what is left, and the patch."""
    lines = [
        f"{one.rule}: {one.limit.kind}: {one.limit.text} -> {one.text}, as {one.why} (line {one.limit.span.line})"
        for one in found.proposals
    ]
    lines += found.left
    if not found.proposals:
        lines.append("nothing to tighten")
    return "\n".join(lines) + "\n" + (f"\n{found.diff}" if found.proposals else "")
