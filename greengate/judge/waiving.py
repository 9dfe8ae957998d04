"""Waivers: whether a dated exception is live, and its ceiling holds."""

from __future__ import annotations

import datetime

from greengate.budget import Limit, Waiver
from greengate.judge.grounds import Ground, Matter
from greengate.metrics import METRICS
from greengate.verdict import Status


def waived(matter: Matter) -> Ground | None:
    """Judge the waiver of a rule for a model; None where there is none."""
    waiver = matter.exceptions.waivers.get(matter.pair)
    return None if waiver is None else _judge(waiver, matter)


def lapse(waiver: Waiver, today: datetime.date) -> str:
    """Say why a waiver does not hold on a day, or nothing. Its first and last day are days on which it holds."""
    if today > waiver.expires:
        return f"it expired on {waiver.expires}"
    if waiver.granted is not None and waiver.granted > today:
        return f"it begins on {waiver.granted}, which is in the future"
    return ""


def _judge(waiver: Waiver, matter: Matter) -> Ground:
    claim = f"waived until {waiver.expires} by {waiver.approved_by}"
    if waiver.ceiling is None or (over := lapse(waiver, matter.case.today)):
        reason = f"the waiver in line {waiver.span.line} does not count: {over}"
        return Ground(claim, Status.FAIL, reason, span=waiver.span)
    kind = "max" if METRICS[matter.rule.metric].better == "lower" else "min"
    ceiling = Limit(kind, waiver.ceiling, waiver.text, waiver.span)  # type: ignore[arg-type]
    check = matter.judge(ceiling)
    ends = f"until {waiver.expires} by {waiver.approved_by}: {waiver.reason}"
    reason = f"{check.reason}, waived {ends}" if check.status is Status.PASS else f"{check.reason} of the waiver"
    return Ground(claim, check.status, reason, span=waiver.span)
