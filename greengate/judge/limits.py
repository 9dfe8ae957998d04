"""One limit on one comparison: judged on the whole interval, never on the point, and on every look by itself."""

from __future__ import annotations

import math
from dataclasses import replace

from greengate import estimate, stats
from greengate.budget import Limit, Rule
from greengate.comparison import Change, Comparison, FirstLook, Noise
from greengate.metrics import METRICS
from greengate.profile import Interval, Measurement, Missing
from greengate.units import format_apart, format_change, format_quantity
from greengate.verdict import Check, Context, ModelCase, Status

_UNMEASURED = Missing("nobody measured it", "skipped", "run the job that measures this model, or check it here")
#: 10.5 MB / 10 MB - 1 is a little more than 5 % in binary; a byte too many in 100 GB is ten times this.
ROUNDING = 1e-12

#: Where a first look left a limit open, all launches must be beyond it at this confidence. Simulated in decision 0005.
SURE = 0.99

#: A limit is decided with room to spare when the half-width is at most this share of it.
SHARE = 0.5


def compared(model: ModelCase, metric: str) -> Comparison:
    """Return a model's comparison for a metric; all three parts are Missing where nobody measured it."""
    return model.comparisons.get(metric) or Comparison(metric, _UNMEASURED, _UNMEASURED, _UNMEASURED)


def judge_limit(limit: Limit, rule: Rule, comparison: Comparison, context: Context) -> Check:
    """Judge one limit of a rule. A failure of a noisy metric needs two looks that agree."""
    check = judge_look(limit, rule, comparison, context)
    if comparison.first is None:
        return _unconfirmed(check) if confirmable(comparison) else check
    early = _at_look(comparison.first, comparison)
    first = judge_look(limit, rule, early, context)
    left_open = first.status is Status.INCONCLUSIVE and seems_beyond(limit, early)
    if left_open and check.status is Status.FAIL and _surely_fails(limit, rule, comparison):
        return replace(check, reason=f"{check.reason}, and so it is at {SURE * 100:.0f} % by both looks together")
    return _agree(first, check)


def judge_gain(gain: Limit, comparison: Comparison, context: Context) -> Check:
    """Judge whether a metric gained what is asked; looks that disagree leave it open."""
    rule = Rule(comparison.metric, comparison.metric, (gain,), gain.span)
    check = judge_look(gain, rule, comparison, context)
    if comparison.first is None:
        return check
    first = judge_look(gain, rule, _at_look(comparison.first, comparison), context)
    return check if first.status is check.status else replace(check, status=Status.INCONCLUSIVE)


def confirmable(comparison: Comparison) -> bool:
    """Tell whether another look could say something else: not of an exact number, nor of an estimate made of such."""
    counted = isinstance(comparison.change, Change) and comparison.change.basis == "counted"
    return METRICS[comparison.metric].kind in ("noisy", "derived") and not counted


def fails(limit: Limit, rule: Rule, comparison: Comparison) -> bool:
    """Tell whether the launches at hand are beyond a limit, whatever a first look said."""
    return judge_look(limit, rule, comparison, Context("ci", strict=True)).status is Status.FAIL


def seems_beyond(limit: Limit, comparison: Comparison) -> bool:
    """Tell whether what was measured lies beyond a limit that may fail, whatever its interval says."""
    measured = comparison.candidate if limit.absolute else comparison.change
    if isinstance(measured, Missing) or limit.kind.startswith("suspicious"):
        return False
    edge = limit.value if limit.absolute else limit.edge
    return side(measured.value, measured.value, edge, limit.upper) is Status.FAIL


def _surely_fails(limit: Limit, rule: Rule, comparison: Comparison) -> bool:
    """Tell whether all launches of a trial together are beyond a limit at SURE, which a first look left open."""
    change = comparison.change
    if limit.absolute or not isinstance(change, Change) or change.launches < stats.MIN_LAUNCHES:
        return False  # only launches have an interval at another confidence
    return fails(limit, rule, replace(comparison, change=estimate.surer(change, SURE)))


def _at_look(first: FirstLook, comparison: Comparison) -> Comparison:
    return replace(comparison, candidate=first.candidate, change=first.change)


def _unconfirmed(check: Check) -> Check:
    """Leave a failure of one look open: the launches that first seem to fail are more often chance than the next."""
    if check.status is not Status.FAIL:
        return check
    return replace(check, status=Status.INCONCLUSIVE, reason=f"{check.reason}, and no second look confirmed it")


def _agree(first: Check, both: Check) -> Check:
    """Join what the first look and all launches say: they fail or pass only together."""
    failures = (first.status is Status.FAIL) + (both.status is Status.FAIL)
    if failures == 2:
        return replace(both, reason=f"{both.reason}, confirmed by a second look")
    if failures == 1:
        reason = f"the first look was not confirmed: {first.reason}; with the second look {both.reason}"
        return replace(both, status=Status.INCONCLUSIVE, reason=reason)
    return max(both, first, key=lambda check: check.status)


def judge_look(limit: Limit, rule: Rule, comparison: Comparison, context: Context) -> Check:
    """Judge one limit on the launches at hand, whatever a first look said."""
    needed: Measurement | Change | Missing = comparison.candidate if limit.absolute else comparison.change
    if isinstance(needed, Missing):
        return Check(limit, _status_of_missing(needed, context), needed.reason)
    if refusal := refused_estimate(limit, rule, comparison):
        return Check(limit, Status.INCONCLUSIVE, refusal)
    if isinstance(needed, Measurement):
        noise = comparison.change.noise if isinstance(comparison.change, Change) else None
        return judge_absolute(limit, rule.metric, needed, noise)
    within = _judge_change(limit, needed)
    if rule.ignore_below is None or within.status is Status.PASS:
        return within
    return _or(within, _judge_floor(limit, rule, comparison))


def refused_estimate(limit: Limit, rule: Rule, comparison: Comparison) -> str:
    """Say why an estimate does not judge this limit; empty where nothing is estimated, or it may."""
    sides = [comparison.candidate] if limit.absolute else [comparison.candidate, comparison.baseline]
    estimates = [one for one in sides if isinstance(one, Measurement) and one.method == "estimated"]
    if not estimates:
        return ""
    found = estimates[0]
    if not rule.allow_estimated:
        return f"it is only estimated here ({found.detail}), and the rule does not say `allow_estimated: true`"
    if METRICS[rule.metric].kind == "declared":
        return ""
    change = comparison.change
    if limit.absolute or not isinstance(change, Change) or change.basis not in ("paired", "counted"):
        return f"an estimate ({found.detail}) is judged only as a change within one trial"
    if change.basis == "counted" and abs(limit.edge) < change.irreducible:
        return (
            f"an estimate ({found.detail}) judges no limit tighter than twice what it may be off, "
            f"{format_change(change.irreducible)[1:]}"
        )
    return ""


def _status_of_missing(missing: Missing, context: Context) -> Status:
    """A gap that another place can close is deferred on a laptop or in a declared part; any other is inconclusive.

    What a change does not touch is as good as it was: where that was asked for, nothing of it is judged now.
    """
    if missing.kind == "unchanged":
        return Status.DEFERRED
    elsewhere = missing.kind in ("unavailable", "skipped")
    return deferred(context) if elsewhere else Status.INCONCLUSIVE


def deferred(context: Context) -> Status:
    """Leave to another place what only that can judge: on a laptop and in a declared part; in CI nobody comes after."""
    return Status.DEFERRED if context.part or not context.strict else Status.INCONCLUSIVE


def side(low: float, high: float, bound: float, upper: bool) -> Status:
    """Judge an interval against an upper or lower bound; reaching the bound, up to rounding, is within it."""
    if not upper:
        low, high, bound = -high, -low, -bound
    edge = bound + ROUNDING * max(1.0, abs(bound))
    return Status.PASS if high <= edge else Status.FAIL if low > edge else Status.INCONCLUSIVE


_WORDS = {
    Status.PASS: "is within the limit of",
    Status.FAIL: "is beyond the limit of",
    Status.INCONCLUSIVE: "may be on either side of the limit of",
}
_OF_A_GAIN = {
    Status.PASS: "reaches the gain asked for,",
    Status.FAIL: "is short of the gain asked for,",
    Status.INCONCLUSIVE: "may be on either side of the gain asked for,",
}


def judge_absolute(limit: Limit, metric: str, measured: Measurement, noise: Noise | None = None) -> Check:
    """Judge a measurement's interval, or its value where that is exact, against an absolute limit.

    Where two copies of the baseline differ, there must be room for that on either side.
    """
    interval = measured.interval or Interval(measured.value, measured.value)
    status = side(interval.low, interval.high, limit.value, upper=limit.upper)
    if noise is not None and noise.broken:
        shaken = (interval.low / (1 + noise.floor), interval.high * (1 + noise.floor))
        if side(*shaken, limit.value, upper=limit.upper) is not status:
            return Check(limit, Status.INCONCLUSIVE, _disturbed(noise))
    dimension = METRICS[metric].dimension
    for digits in range(3, 16):
        value, bound = (format_quantity(one, dimension, None, digits) for one in (measured.value, limit.value))
        if value != bound or math.isclose(measured.value, limit.value, rel_tol=ROUNDING):
            break
    spread = ""
    if measured.interval is not None:
        low, high = (format_quantity(one, dimension, None, digits) for one in (interval.low, interval.high))
        spread = f" [{low}, {high}]"
    return Check(limit, status, f"{value}{spread} {_WORDS[status]} {bound}")


def _judge_change(limit: Limit, change: Change) -> Check:
    bound = limit.edge
    status = side(change.low, change.high, bound, limit.upper)
    if change.noise is not None and (doubt := _doubt(limit, change, change.noise, status)):
        return Check(limit, Status.INCONCLUSIVE, doubt)
    shown = bound if math.isclose(change.value, bound, rel_tol=0, abs_tol=ROUNDING) else change.value
    value, edge = format_apart(shown, bound, change.relative)
    if limit.kind.startswith("suspicious") and status is not Status.PASS:
        reason = f"{value}{_spread(change)} is better than the {edge} from which on somebody has to look"
        return Check(limit, Status.INCONCLUSIVE, reason)
    words = _OF_A_GAIN if limit.kind.startswith("min_") else _WORDS
    return Check(limit, status, f"{value}{_spread(change)} {words[status]} {edge}")


#: A gain that is reached must stand beyond the noise as a failure must.
_OTHER = {Status.PASS: Status.FAIL, Status.FAIL: Status.PASS}


def _doubt(limit: Limit, change: Change, noise: Noise, status: Status) -> str:
    """Say why the trial's own noise forbids a verdict, or nothing.

    A failure must stand beyond the limit and the noise; a pass needs noise no wider than the limit, or room for it.
    """
    if noise.broken:
        return _disturbed(noise)
    # Turned so that what is judged must not lie above the edge; a gain's edge lies on the other side of none.
    low, high = (change.low, change.high) if limit.upper else (-change.high, -change.low)
    edge = limit.edge if limit.upper else -limit.edge
    if edge < 0:
        low, high, edge, status = -high, -low, -edge, _OTHER.get(status, status)
    fails = status is Status.FAIL and low <= noise.floor
    passes = status is Status.PASS and noise.floor > edge and high + noise.floor > edge
    if not (fails or passes):
        return ""
    value = f"{format_change(change.value)}{_spread(change)}"
    return f"{value}, where noise alone explains {format_change(noise.floor)[1:]}"


def _disturbed(noise: Noise) -> str:
    return (
        f"two copies of the baseline differ by {format_change(noise.value)} here, which is no chance: "
        "something disturbs this trial"
    )


def _spread(change: Change) -> str:
    if change.basis == "exact":
        return ""
    low, high = (format_change(one, change.relative).rsplit(" ", 1)[0] for one in (change.low, change.high))
    return f" [{low}, {high}]"


def _judge_floor(limit: Limit, rule: Rule, comparison: Comparison) -> Check:
    """Judge the size of the change itself against the floor under which the rule does not care."""
    baseline, change, floor = comparison.baseline, comparison.change, rule.ignore_below
    if isinstance(baseline, Missing) or isinstance(change, Missing) or floor is None:
        raise ValueError("a floor is judged only where there is a change")
    sign = 1 if limit.upper else -1
    # The widest the difference can be, from both intervals.
    scales = [baseline.value, *([baseline.interval.low, baseline.interval.high] if baseline.interval else [])]
    edges = (change.low, change.high)
    spans = (
        [sign * scale * edge for scale in scales for edge in edges] if change.relative else [sign * e for e in edges]
    )
    status = side(min(spans), max(spans), floor, upper=True)
    written = format_quantity(floor, METRICS[rule.metric].dimension)
    if change.noise is not None:
        if change.noise.broken:
            return Check(limit, Status.INCONCLUSIVE, _disturbed(change.noise))
        heard = max(scales) * change.noise.floor
        if status is Status.PASS and heard > floor and max(spans) + heard > floor:
            said = f"noise alone explains {format_quantity(heard, METRICS[rule.metric].dimension)}"
            return Check(limit, Status.INCONCLUSIVE, f"{said}, and the rule does not care below {written}")
    words = _WORDS[status].removesuffix(" the limit of")
    return Check(limit, status, f"the difference {words} {written}, below which the rule does not care")


def _or(first: Check, second: Check) -> Check:
    return second if second.status < first.status else first
