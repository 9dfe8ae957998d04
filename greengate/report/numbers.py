"""Numbers as reports write them: one unit a row, and enough digits that what differs looks different."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greengate.budget import Limit, Rule
from greengate.comparison import Change, Comparison
from greengate.metrics import METRICS
from greengate.profile import Measurement, Missing
from greengate.units import UNITS, Dimension, format_change, format_quantity, shown_unit
from greengate.verdict import Outcome

#: What stands where nothing was measured; its reason always stands near.
ABSENT = "–"  # noqa: RUF001 - a dash that cannot be read as a minus sign
_MOST_DIGITS = 9


@dataclass(frozen=True)
class Written:
    """One comparison in words; the intervals are empty where a number is exact or absent.

    `limits` has a part for each limit, and one more, `or +0.2 ms`, for the floor below which a change is ignored.
    """

    baseline: str
    candidate: str
    candidate_interval: str
    change: str
    change_interval: str
    limits: tuple[str, ...] = ()

    @property
    def limit(self) -> str:
        """All limits of the rule in one line."""
        return ", ".join(self.limits).replace(", or ", " or ")


def write(comparison: Comparison, limits: Sequence[Limit] = (), ignore_below: float | None = None) -> Written:
    """Write a comparison and the limits it is held to.

    The candidate's interval is written where an absolute limit is judged on it.
    """
    dimension = METRICS[comparison.metric].dimension
    before, after, change = comparison.baseline, comparison.candidate, comparison.change
    bounds = [limit.value for limit in limits if limit.absolute]
    measured = [side.value for side in (before, after) if isinstance(side, Measurement)]
    unit = shown_unit([*measured, *bounds] or [ignore_below or 0.0], dimension)
    digits = _quantity_digits(before, after, bounds, dimension, unit)
    interval = ""
    if bounds and isinstance(after, Measurement) and after.interval:
        ends = after.interval.low, after.interval.high
        low, high = (format_quantity(end, dimension, unit, digits) for end in ends)
        interval = _pair(low, high, unit)
    texts = [
        ABSENT if isinstance(side, Missing) else marked(side, format_quantity(side.value, dimension, unit, digits))
        for side in (before, after)
    ]
    written, spread = write_change(change, [limit.edge for limit in limits if not limit.absolute])
    held_to = [write_limit(limit, dimension, unit) for limit in limits]
    if ignore_below is not None:
        held_to.append(_write_floor(limits, ignore_below, dimension, unit))
    return Written(texts[0], texts[1], interval, written, spread, tuple(held_to))


def write_outcome(comparison: Comparison, outcome: Outcome, rule: Rule | None) -> Written:
    """Write what an outcome was judged on, with the limits of its rule."""
    if rule is None:
        return write(comparison, [check.limit for check in outcome.checks])
    return write(comparison, rule.limits, rule.ignore_below)


def write_change(change: Change | Missing, edges: Sequence[float] = ()) -> tuple[str, str]:
    """Write a change and its interval, `+3.1 %` and `[+1.9, +4.3]`, apart from the limits' `edges` where it is."""
    if isinstance(change, Missing):
        return ABSENT, ""
    digits = _change_digits(change, edges)
    value, low, high = (format_change(one, change.relative, digits) for one in (change.value, change.low, change.high))
    if change.low == change.high or (change.basis == "exact" and low == high):
        return value, ""
    return value, _pair(low, high, "%" if change.relative else "pp")


def write_limit(limit: Limit, dimension: Dimension, unit: str) -> str:
    """Write what a limit allows: `≤ 45 ms`, `≤ +5 %`, `≥ -0.2 pp`."""
    sign = "≤" if limit.upper else "≥"
    if limit.absolute:
        return f"{sign} {_plain(limit.value / UNITS[dimension][unit], unit)}"
    over = "" if limit.over is None else f" in {limit.over} d"
    return f"{sign} {_signed(limit.edge * 100)} {'%' if limit.relative else 'pp'}{over}"


def _write_floor(limits: Sequence[Limit], floor: float, dimension: Dimension, unit: str) -> str:
    sign = "-" if any(limit.kind == "max_decrease" for limit in limits) else "+"
    if dimension == "ratio":
        return f"or {sign}{_plain(floor * 100, 'pp')}"
    return f"or {sign}{_plain(floor / UNITS[dimension][unit], unit)}"


def marked(found: Measurement, written: str) -> str:
    """Return a number as it is written, with a sign before what a model of the hardware estimated."""
    return f"\u2248 {written}" if found.method == "estimated" else written


def how(found: Measurement) -> str:
    """Say how a number was obtained: its method, and the detail or the sample count behind it."""
    if found.detail:
        return f"{found.method}, {found.detail}"
    return f"{found.method}, {found.samples:,} samples" if found.samples > 1 else found.method


def write_alone(found: Measurement, dimension: Dimension) -> tuple[str, str]:
    """Write a measurement and its interval, both in the unit that suits the value."""
    unit = shown_unit([found.value], dimension)
    if found.interval is None:
        return marked(found, format_quantity(found.value, dimension, unit)), ""
    ends = found.interval.low, found.interval.high
    digits = _fewest(3, [ends], lambda value, digits: format_quantity(value, dimension, unit, digits))
    value, low, high = (format_quantity(one, dimension, unit, digits) for one in (found.value, *ends))
    return marked(found, value), _pair(low, high, unit)


def _pair(low: str, high: str, unit: str) -> str:
    return f"[{low.removesuffix(unit).rstrip()}, {high.removesuffix(unit).rstrip()}]"


def _plain(number: float, unit: str) -> str:
    text = f"{number:,.10g}"
    return f"{text}{unit}" if unit == "/s" else f"{text} {unit}".rstrip()


def _signed(number: float) -> str:
    return "0" if number == 0 else f"{number:+,.10g}"


def _quantity_digits(
    before: Measurement | Missing,
    after: Measurement | Missing,
    bounds: Sequence[float],
    dimension: Dimension,
    unit: str,
) -> int:
    """Return the fewest significant digits that tell exact values, and a value from its limit, apart."""
    if isinstance(after, Missing):
        return 3
    ends = [after.value, *((after.interval.low, after.interval.high) if after.interval else ())]
    pairs = [(end, bound) for end in ends for bound in bounds]
    if isinstance(before, Measurement) and before.interval is None and after.interval is None:
        pairs.append((before.value, after.value))
    return _fewest(3, pairs, lambda value, digits: format_quantity(value, dimension, unit, digits))


def _change_digits(change: Change, edges: Sequence[float]) -> int:
    """Return the fewest decimals that tell an interval's ends, and each from the limits, apart."""
    ends = (change.value, change.low, change.high)
    pairs = [(end, edge) for end in ends for edge in edges]
    # A change that is exactly known is never written as none; a measured one may round to it.
    pairs.append((change.value, 0.0) if change.basis == "exact" else (change.low, change.high))
    return _fewest(1, pairs, lambda value, digits: format_change(value, change.relative, digits))


def _fewest(start: int, pairs: Sequence[tuple[float, float]], write: Callable[[float, int], str]) -> int:
    """Return the fewest digits from `start` on that tell every pair apart; what 9 digits cannot tell apart is equal."""
    digits = start
    for left, right in pairs:
        for tried in range(digits, _MOST_DIGITS + 1):
            if write(left, tried) != write(right, tried):
                digits = tried
                break
    return digits
