"""Trade-offs: whether a gain is real, approved, and pays for what the rule's own limits forbid."""

from __future__ import annotations

from dataclasses import replace

from greengate.budget import Limit, Rule, TradeOff
from greengate.comparison import Change, Comparison
from greengate.judge.advice import samples_that_decide
from greengate.judge.approving import approved
from greengate.judge.grounds import Ground, Matter
from greengate.judge.limits import compared, judge_gain
from greengate.metrics import name_of
from greengate.profile import Measurement
from greengate.units import format_change
from greengate.verdict import Case, Check, Status

_CLAIM = "a gain pays for it"


def traded(matter: Matter, offer: TradeOff) -> Ground:
    """Judge `unless`: the gain, and the approval where it is asked for, and the wider limits."""
    rule = matter.rule
    paying = compared(matter.model, offer.metric)
    parts = [_gain(offer, paying, matter.case)]
    if offer.approved:
        parts.append(approved(matter))
    parts += [_wider(matter, limit, offer, paying) for limit in widened(rule, offer)]
    worst = max(parts, key=lambda part: part.status)
    if worst.status is not Status.PASS:
        return Ground(_CLAIM, worst.status, worst.reason, parts, offer.span, worst.help)
    price = matter.comparison.change
    paid = (
        f"{format_change(price.value, price.relative)} of {name_of(rule.metric)} is "
        if isinstance(price, Change)
        else ""
    )
    by = f", {parts[1].reason}" if offer.approved else ""
    reason = f"{paid}paid for by {name_of(offer.metric)}: {parts[0].reason}{by}"
    return Ground(_CLAIM, Status.PASS, reason, parts, offer.span)


def widened(rule: Rule, offer: TradeOff) -> tuple[Limit, ...]:
    """Return the limits that hold when a gain pays: the offer's in the place of the rule's own of the same kind.

    An offer without limits lifts those on the change; what is absolute or suspicious stays as it is.
    """
    granted = {limit.kind: limit for limit in offer.limits}
    if not granted and offer.per_pp is None:
        return tuple(one for one in rule.limits if one.absolute or one.kind.startswith("suspicious"))
    return tuple(granted.get(limit.kind, limit) for limit in rule.limits)


def _gain(offer: TradeOff, paying: Comparison, case: Case) -> Ground:
    check = judge_gain(offer.gain, paying, case.context)
    sides = (paying.baseline, paying.candidate)
    claim = f"{name_of(offer.metric)} gains {offer.gain.text}"
    if offer.evaluated and any(isinstance(side, Measurement) and side.method != "evaluated" for side in sides):
        reason = f"{name_of(offer.metric)} is a figure somebody declared, and the rule asks for one greengate evaluated"
        return Ground(claim, Status.FAIL, reason, span=offer.gain.span, help="name labelled data in `accuracy`")
    reason = check.reason if isinstance(paying.change, Change) else f"{name_of(offer.metric)}: {check.reason}"
    if not isinstance(paying.change, Change):
        help_ = paying.change.help
    else:
        help_ = samples_that_decide(offer.gain, paying) if check.status is Status.INCONCLUSIVE else ""
    return Ground(claim, check.status, reason, span=offer.gain.span, help=help_)


def _wider(matter: Matter, limit: Limit, offer: TradeOff, paying: Comparison) -> Ground:
    own = next((one for one in matter.rule.limits if one.kind == limit.kind), limit)
    changes = limit.kind in ("max_increase", "max_decrease")
    if offer.per_pp is None or not changes or not isinstance(paying.change, Change):
        check = matter.judge(limit)
    else:
        cap = limit.value if limit is not own else None
        check = _bought(matter, replace(offer.per_pp, kind=own.kind), own, cap, paying.change)
    return Ground(f"{check.limit.kind}: {check.limit.text}", check.status, check.reason, span=limit.span)


def _bought(matter: Matter, rate: Limit, own: Limit, cap: float | None, gain: Change) -> Check:
    """Judge the limit that so many percentage points buy: it passes under the fewest, fails only under the most."""

    def limit(points: float) -> Limit:
        value = own.value + rate.value * max(points, 0.0)
        value = value if cap is None else min(value, cap)
        return replace(own, value=value, text=f"{own.text} and {rate.text} a pp")

    fewest, most = (matter.judge(limit(100 * points)) for points in (gain.low, gain.high))
    if fewest.status is Status.FAIL and most.status is not Status.FAIL:
        return replace(fewest, status=Status.INCONCLUSIVE, reason=f"{fewest.reason}, but more may have been gained")
    return fewest
