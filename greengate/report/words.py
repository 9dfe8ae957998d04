"""Sentences that several reports share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from greengate.harmless import clean
from greengate.profile import Missing
from greengate.verdict import Outcome, Status, Verdict
from greengate.verdict_file import comparison_of


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
    Status.FAIL: "{some_are} over budget",
    Status.INCONCLUSIVE: "{some} could not be decided",
    Status.WARN: "within budget, {some} with a warning",
    Status.WAIVED: "within budget, {some_are} waived",
    Status.DEFERRED: "within budget so far, {some_are} to be judged elsewhere",
    Status.TRADED: "within budget, {some_are} paid for by a gain",
}


def is_unchanged(outcome: Outcome, verdict: Verdict) -> bool:
    """Tell whether nothing was judged, as the change does not touch the model."""
    if outcome.status is not Status.DEFERRED:
        return False
    side = comparison_of(verdict, outcome).candidate
    return isinstance(side, Missing) and side.kind == "unchanged"


def judged(verdict: Verdict) -> list[Outcome]:
    """Return the outcomes of models that were not left out as unchanged."""
    return [outcome for outcome in verdict.outcomes if not is_unchanged(outcome, verdict)]


def headline(verdict: Verdict) -> str:
    """Say in one line what the verdict's status rests on, without the status word itself."""
    if stands_alone(verdict):
        return _unjudged(verdict)
    left = listed(list(dict.fromkeys(clip(one.model) for one in verdict.outcomes if is_unchanged(one, verdict))))
    if not (rest := judged(verdict)):
        return f"nothing was measured, as the change does not touch {left}"
    if left:
        return f"{_summed(rest, verdict, ' judged')}; {left} not measured, as unchanged"
    return _summed(rest, verdict)


def _summed(outcomes: Sequence[Outcome], verdict: Verdict, judged: str = "") -> str:
    status = max(outcome.status for outcome in outcomes)
    at_status = [outcome for outcome in outcomes if outcome.status is status]
    only = len(outcomes) == 1
    if status is Status.PASS:
        return (
            f"the only rule{judged} is within budget" if only else f"all {len(outcomes):,} rules{judged} within budget"
        )
    some = f"the only rule{judged}" if only else f"{len(at_status):,} of {len(outcomes):,} rules{judged}"
    line = _HEADLINES[status].format(some=some, some_are=f"{some} is" if only else some)
    line += f": {listed([named(outcome, verdict) for outcome in at_status])}"
    undecided = sum(outcome.status is Status.INCONCLUSIVE for outcome in outcomes)
    if status is Status.FAIL and undecided:
        line += f"; {undecided:,} could not be decided"
    return line


def _unjudged(verdict: Verdict) -> str:
    judged = {outcome.model for outcome in verdict.outcomes}
    idle = [clip(model.name) for model in verdict.case.models if model.name not in judged]
    return f"no rule judges {listed(idle)}" if idle else "no rule was judged"
