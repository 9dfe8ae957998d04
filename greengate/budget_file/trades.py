"""What a trade-off must say: a gain that fits the metric that pays, and limits that it widens."""

from __future__ import annotations

from greengate.budget_file.check import Findings, Value
from greengate.metrics import METRICS, name_of
from greengate.units import Delta, QuantityError, parse_delta


def find_idle_trades(rule: Value, found: Findings) -> None:
    """Note what a rule's `unless` says in vain, or cannot mean."""
    unless = rule.get("unless")
    if unless is None or rule.get("metric") is None:
        return
    _gain(unless, found)
    for kind in _GRANTED:
        own, granted = rule.get(kind), unless.get(kind)
        if granted is None:
            continue
        if kind not in rule.content:
            message = f"`unless` grants `{kind}: {granted.text}`, which the rule does not limit"
            found.note("contradictory-limits", granted.span, message, f"give the rule a `{kind}` of its own")
        elif own is not None and _tighter(kind, granted, own):
            message = f"`unless` grants {granted.text}, less than the rule's own {own.text}"
            found.note("contradictory-limits", granted.span, message, f"write more than {own.text}, or remove it")
    changes = "max_increase" in rule.content or "max_decrease" in rule.content
    if not changes and ("per_pp" in unless.content or not unless.content.keys() & set(_GRANTED)):
        message = "`unless` widens nothing: the rule has no limit on the change"
        found.note("contradictory-limits", unless.span, message, "say what holds instead, for example `max`")


#: What a trade-off may grant.
_GRANTED = ("max", "min", "max_increase", "max_decrease")


def _tighter(kind: str, granted: Value, own: Value) -> bool:
    new, old = (one.content.value if isinstance(one.content, Delta) else one.content for one in (granted, own))
    return bool(new > old if kind == "min" else new < old)


def _gain(unless: Value, found: Findings) -> None:
    """Note a gain that does not fit the metric that pays."""
    metric = unless.get("metric")
    if metric is None:
        return
    paying = METRICS[metric.content]
    right = "min_decrease" if paying.better == "lower" else "min_increase"
    wrong = "min_increase" if paying.better == "lower" else "min_decrease"
    if wrong in unless.content and (one := unless.get(wrong)) is not None:
        message = f"{name_of(metric.content)} does not gain by `{wrong}`"
        found.note("wrong-direction", one.span, message, f"{paying.better} is better: write `{right}`")
    elif right not in unless.content:
        help = f"add for example `{right}: {'0.5 pp' if paying.dimension == 'ratio' else '20%'}`"
        found.note(
            "missing-key", metric.span, f"`unless` does not say how much {name_of(metric.content)} must gain", help
        )
    elif (one := unless.get(right)) is not None and one.content.relative == (paying.dimension == "ratio"):
        try:
            parse_delta(one.text, paying.dimension)
        except QuantityError as error:
            found.note(error.code, one.span, error.message, error.help)
    if "per_pp" in unless.content and paying.dimension != "ratio" and (rate := unless.get("per_pp")) is not None:
        message = f"{name_of(metric.content)} does not gain percentage points"
        found.note("bad-value", rate.span, message, "`per_pp` is for ratios, such as accuracy; remove it")
