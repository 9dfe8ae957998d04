"""Sentences that several reports share, and text from outside made harmless to show."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from greengate.verdict import Outcome, Status, Verdict

#: Control, format (bidirectional overrides, zero-width), surrogate, line and paragraph separators.
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clean(text: str) -> str:
    """Return `text` as one line with nothing in it that steers a terminal, a log or a parser."""
    line = " ".join(text.split())
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _STEERING or char in "\ufffe\uffff" else char
        for char in line
    )


def clip(text: str, width: int = 48) -> str:
    """Return `text` cleaned and, where it is longer than `width`, cut in the middle."""
    line = clean(text)
    if len(line) <= width:
        return line
    tail = (width - 1) // 2
    return f"{line[: width - 1 - tail]}…{line[-tail:]}"


def plural(count: int, noun: str) -> str:
    """Write `1 rule`, `2 rules`, `3 batches`."""
    ending = "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{ending}"


def short_digest(digest: str) -> str:
    """Return a digest with the first twelve of its hexadecimal digits."""
    kind, _, rest = digest.rpartition(":")
    return f"{kind}:{rest[:12]}" if kind else rest[:12]


def named(outcome: Outcome, verdict: Verdict) -> str:
    """Name an outcome by its rule, and by its model where there are several."""
    rule = clip(outcome.rule)
    return f"{rule} ({clip(outcome.model)})" if len(verdict.case.models) > 1 else rule


def listed(names: Sequence[str], most: int = 3) -> str:
    """Write `a, b, c and 2 more`."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def worst_first(verdict: Verdict) -> list[Outcome]:
    """Return the outcomes from worst to best, each weight in the budget's order."""
    return sorted(verdict.outcomes, key=lambda outcome: -outcome.status)


def grouped(outcomes: Iterable[Outcome]) -> list[list[Outcome]]:
    """Group outcomes that say the same, in the order of the first of each."""
    found: dict[tuple[Status, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.status, outcome.reason, outcome.help), []).append(outcome)
    return list(found.values())


def stands_alone(verdict: Verdict) -> bool:
    """Tell whether no outcome has the verdict's status: a model that no rule judges makes it inconclusive."""
    return all(outcome.status is not verdict.status for outcome in verdict.outcomes)


_HEADLINES = {
    Status.FAIL: "{some} of {all} over budget",
    Status.INCONCLUSIVE: "{some} of {all} could not be decided",
    Status.WARN: "within budget, {some} of {all} with a warning",
    Status.WAIVED: "within budget, {some} of {all} waived",
    Status.DEFERRED: "within budget so far, {some} of {all} to be judged elsewhere",
    Status.TRADED: "within budget, {some} of {all} paid for by a gain",
}


def headline(verdict: Verdict) -> str:
    """Say in one line what the verdict's status rests on, without the status word itself."""
    at_status = [outcome for outcome in verdict.outcomes if outcome.status is verdict.status]
    total = plural(len(verdict.outcomes), "rule")
    if stands_alone(verdict):
        return _unjudged(verdict)
    if verdict.status is Status.PASS:
        return f"{'the' if len(at_status) == 1 else 'all'} {total} within budget"
    line = _HEADLINES[verdict.status].format(some=len(at_status), all=total)
    line += f": {listed([named(outcome, verdict) for outcome in at_status])}"
    undecided = sum(outcome.status is Status.INCONCLUSIVE for outcome in verdict.outcomes)
    if verdict.status is Status.FAIL and undecided:
        line += f"; {undecided} could not be decided"
    return line


def _unjudged(verdict: Verdict) -> str:
    judged = {outcome.model for outcome in verdict.outcomes}
    idle = [clip(model.name) for model in verdict.case.models if model.name not in judged]
    return f"no rule judges {listed(idle)}" if idle else "no rule was judged"
