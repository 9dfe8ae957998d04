"""What a further look is for: failures of a first one that it may confirm, limits left open that it may decide."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from greengate.budget import Limit, Rule
from greengate.comparison import Change, Comparison
from greengate.judge.drift import drifted
from greengate.judge.limits import confirmable, fails, judge_look, refused_estimate, seems_beyond, side
from greengate.metrics import METRICS
from greengate.profile import Missing
from greengate.verdict import Context, ModelCase, Status


def unconfirmed(rules: Iterable[Rule], model: ModelCase, today: datetime.date) -> frozenset[str]:
    """Return the noisy metrics whose rules fail at a first look: what a second look has to confirm."""
    return frozenset(
        METRICS[rule.metric].source or rule.metric
        for rule in rules
        if (found := model.comparisons.get(rule.metric)) is not None
        and confirmable(found)
        and any(fails(limit, rule, _on(limit, found, model, today)) for limit in rule.limits)
    )


def undecided(rules: Iterable[Rule], model: ModelCase, today: datetime.date) -> Mapping[str, bool]:
    """Return the noisy metrics that a first look measured and whose rules it leaves open: a longer one may decide.

    Beside each stands whether what was measured lies beyond a limit that is open, so that it may come to fail.
    """
    told: dict[str, bool] = {}
    for rule in rules:
        found = model.comparisons.get(rule.metric)
        if found is None or found.first is not None or not confirmable(found):
            continue
        metric = METRICS[rule.metric].source or rule.metric
        for limit in rule.limits:
            if _is_open(limit, rule, on := _on(limit, found, model, today)):
                told[metric] = told.get(metric, False) or seems_beyond(limit, on)
    return told


def _is_open(limit: Limit, rule: Rule, found: Comparison) -> bool:
    measured = found.candidate if limit.absolute else found.change
    if isinstance(measured, Missing) or refused_estimate(limit, rule, found):
        return False
    if limit.kind.startswith("suspicious"):  # what is surely too good is for a person, not for more launches
        low, high = (measured.low, measured.high) if isinstance(measured, Change) else (measured.value, measured.value)
        return side(low, high, limit.edge, limit.upper) is Status.INCONCLUSIVE
    noise = found.change.noise if isinstance(found.change, Change) else None
    told_apart = noise is not None and noise.broken
    look = judge_look(limit, rule, found, Context("ci", strict=True))
    return look.status is Status.INCONCLUSIVE and not told_apart


def _on(limit: Limit, found: Comparison, model: ModelCase, today: datetime.date) -> Comparison:
    return found if limit.over is None else drifted(limit, found, model, today)[0]
