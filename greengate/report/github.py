"""Workflow commands that GitHub turns into annotations beside the budget's lines."""

from __future__ import annotations

from collections import Counter

from greengate.harmless import tame
from greengate.report.facts import place_text
from greengate.report.lines import NOWHERE, Checkout, is_own, line_of
from greengate.report.steps import addressed
from greengate.report.words import clip, headline, is_unchanged, stands_alone, worst_first
from greengate.verdict import Outcome, Status, Verdict

_COMMANDS = {
    Status.FAIL: "error",
    Status.INCONCLUSIVE: "error",
    Status.WARN: "warning",
    Status.WAIVED: "notice",
    Status.DEFERRED: "notice",
}

#: GitHub shows ten annotations of a kind for a step and drops the others silently.
_MOST = 10


def render(verdict: Verdict, checkout: Checkout = NOWHERE) -> str:
    """Write one command for each outcome that needs a look, worst first, at most ten of a kind.

    The last line is the headline, as plain text, with the number of annotations left out.
    """
    verdict = addressed(verdict)
    told: Counter[str] = Counter()
    lines = []
    for outcome in worst_first(verdict):
        command = _COMMANDS.get(outcome.status)
        if command is None or is_unchanged(outcome, verdict):
            continue
        told[command] += 1
        if told[command] <= _MOST:
            lines.append(_command(command, outcome, verdict, checkout))
    if stands_alone(verdict) and verdict.status in _COMMANDS:
        title = _property(f"{verdict.status.name} greengate")
        lines.insert(0, f"::{_COMMANDS[verdict.status]} title={title}::{_text(headline(verdict))}")
    left = sum(max(0, count - _MOST) for count in told.values())
    more = f" ({left} more not shown as annotations)" if left else ""
    lines.append(tame(f"greengate: {verdict.status.name} {headline(verdict)}{more}"))
    return "\n".join(lines) + "\n"


def _command(command: str, outcome: Outcome, verdict: Verdict, checkout: Checkout) -> str:
    span = line_of(verdict, outcome, checkout)
    at = "" if is_own(verdict, outcome.span) else f"by {place_text(verdict.case, outcome.span)}"
    title = f"{outcome.status.name} {clip(outcome.rule)} ({clip(outcome.model)})"
    place = f"file={_property(span.file)},line={span.line},col={span.column},title={_property(title)}"
    message = "%0A".join(_text(part) for part in (outcome.reason, at, outcome.help) if part)
    return f"::{command} {place}::{message}"


def _text(text: str) -> str:
    return tame(text).replace("%", "%25")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
