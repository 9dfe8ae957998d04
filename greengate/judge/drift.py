"""Drift: what a model changed by since the version that was in force some time ago, however small each step was."""

from __future__ import annotations

import datetime
from dataclasses import replace

from greengate.budget import Limit
from greengate.comparison import Change, Comparison, FirstLook
from greengate.profile import Missing
from greengate.verdict import ModelCase, Past

_NOTHING = Missing(
    "no version was accepted that drift could be counted from",
    "incomparable",
    "accept one with `greengate baseline accept`",
)
_NO_FIRST_LOOK = Missing("the first look was not compared with it", "incomparable")


def since(limit: Limit, model: ModelCase, today: datetime.date) -> tuple[Past, ...]:
    """Return the versions that a drift may be counted from, the right one first.

    That is the one in force when the time began, else the first; or a later one that a person granted over budget.
    """
    begin = today - datetime.timedelta(days=limit.over or 0)
    start = 0
    for place, version in enumerate(model.past):
        if version.accepted <= begin or version.granted:
            start = place
    return model.past[start:]


def drifted(limit: Limit, now: Comparison, model: ModelCase, today: datetime.date) -> tuple[Comparison, str]:
    """Return the comparison that a drift is judged on, and since when, in words; empty where there is none.

    Where the right version does not compare (another machine, for a noisy metric) the next one that does is taken.
    """
    versions = since(limit, model, today)
    chosen = next((one for one in versions if isinstance(one.changes.get(now.metric), Change)), None)
    if chosen is None:
        first = versions[0].changes.get(now.metric, _NOTHING) if versions else _NOTHING
        return replace(now, change=first, first=None), ""
    change = chosen.changes[now.metric]
    first_look = (
        None if now.first is None else FirstLook(now.first.candidate, chosen.first.get(now.metric, _NO_FIRST_LOOK))
    )
    passed_over = versions.index(chosen)
    skipped = f" ({passed_over} before it {'does' if passed_over == 1 else 'do'} not compare)" if passed_over else ""
    said = f"since version {chosen.version} of {chosen.accepted.isoformat()}{skipped}"
    baseline = chosen.baselines.get(now.metric, now.baseline)
    return replace(now, baseline=baseline, change=change, first=first_look), said
