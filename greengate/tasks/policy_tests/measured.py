"""What a test says was measured of a metric, as the comparison that a check would have made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from greengate.budget_file.check import Findings
from greengate.budget_file.scalars import Refusal, closest, quantity, quoted, scalar
from greengate.budget_file.shape import Flag, Text
from greengate.comparison import Change, Comparison, FirstLook, Noise
from greengate.metrics import METRICS, Metric
from greengate.profile import Interval, Measurement, Method, Missing
from greengate.tasks.policy_tests.format import METHODS
from greengate.units import QuantityError, parse_delta
from greengate.yamlspan import Mapping, Node, Scalar, Sequence

_KEYS = ("baseline", "candidate", "change", "drift", "noise", "missing", "unavailable", "confirmed", "method")
_UNSAID = Missing("the test says nothing of it", "failed", "write it among the measurements")
#: How most of a kind of metric are obtained.
_USUAL: dict[str, Method] = {"exact": "executed", "noisy": "timed", "derived": "counter", "declared": "evaluated"}


@dataclass(frozen=True)
class Range:
    """A number with its interval, which is the number itself where it is exact."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Told:
    """What a test says of one metric: its comparison, and its change since long ago."""

    comparison: Comparison
    drift: Change | None = None


def told(metric: Metric, node: Node, found: Findings) -> Told | None:
    """Return what a test says of a metric, None where something of it cannot be read, which is noted."""
    before = len(found)
    parts = _parts(metric, node, found)
    sides = {key: _range(parts[key], lambda one: _amount(one, metric), found) for key in _SIDES & parts.keys()}
    moves = {key: _range(parts[key], lambda one: _move(one, metric), found) for key in _MOVES & parts.keys()}
    words = {key: _word(Text(), parts[key], key, found) for key in _WHY & parts.keys()}
    method = _word(METHODS, parts["method"], "method", found) if "method" in parts else None
    confirmed = _word(Flag(), parts["confirmed"], "confirmed", found) if "confirmed" in parts else True
    if method is not None and not sides:
        help = "write `baseline` or `candidate` beside it"
        found.note(
            "missing-key", node.span, f"a `method` says how a number was obtained, and {metric.id} has none", help
        )
    if len(found) > before:
        return None
    if words:
        key, reason = next(iter(words.items()))
        gap = Missing(str(reason), "unavailable" if key == "unavailable" else "failed")
        return Told(Comparison(metric.id, gap, gap, gap))
    known: Method = str(method or _usual(metric))  # type: ignore[assignment]
    compared = _compared(metric, sides, moves, known, bool(confirmed))
    drift = moves.get("drift")
    return Told(compared, None if drift is None else _change(metric, drift, None))


_SIDES, _MOVES, _WHY = {"baseline", "candidate"}, {"change", "drift", "noise"}, {"missing", "unavailable"}


def _usual(metric: Metric) -> Method:
    return "counter" if metric.dimension == "energy" and metric.kind == "noisy" else _USUAL[metric.kind]


def _parts(metric: Metric, node: Node, found: Findings) -> dict[str, Node]:
    """Return the keys of a mapping; a number alone is the candidate's, a percentage alone the change."""
    if not isinstance(node, Mapping):
        first = node.items[0] if isinstance(node, Sequence) and node.items else node
        moves = isinstance(first, Scalar) and first.text.endswith(("%", "pp"))
        return {"change" if moves else "candidate": node}
    parts = {key.text: value for key, value in node.pairs}
    for key, _ in node.pairs:
        if key.text not in _KEYS:
            message = f"{quoted(key.text)} is nothing that can be measured of {metric.id}"
            found.note("unknown-key", key.span, message, f"{closest(key.text, _KEYS)}the keys are {', '.join(_KEYS)}")
    if not parts:
        found.note("missing-key", node.span, f"nothing is said of {metric.id}", "write for example `change: 3%`")
    return {key: value for key, value in parts.items() if key in _KEYS}


def _word(shape: Text | Flag, node: Node, key: str, found: Findings) -> object:
    read = scalar(shape, node, f"`{key}`", f"{key}: true") if isinstance(node, Scalar) else None
    if isinstance(read, Refusal) or read is None:
        code, message, help = (
            (read.code, read.message, read.help) if read else ("wrong-type", f"`{key}` is no word", "")
        )
        found.note(code, node.span, message, help or f"write one value after `{key}`")
    return read


def _range(node: Node, number: Callable[[Scalar], float], found: Findings) -> Range:
    """Read a number, or [low, high]; what cannot be read is noted."""
    items = node.items if isinstance(node, Sequence) else (node,)
    ends = [item for item in items if isinstance(item, Scalar)]
    if len(ends) != len(items) or len(items) not in (1, 2):
        found.note(
            "wrong-type", node.span, "this must be a number, or [low, high]", "write for example `[40 ms, 44 ms]`"
        )
        return Range(1.0, 1.0, 1.0)
    try:
        low, high = (number(item) for item in (ends[0], ends[-1]))
    except QuantityError as error:
        found.note(error.code, node.span, error.message, error.help)
        return Range(1.0, 1.0, 1.0)
    if low > high:
        found.note("bad-value", node.span, "the interval ends before it begins", "write its lower end first")
    return Range((low + high) / 2, low, high)


def _amount(node: Scalar, metric: Metric) -> float:
    return quantity(node, metric.dimension)


def _move(node: Scalar, metric: Metric) -> float:
    value = parse_delta(node.text, metric.dimension).value
    if metric.dimension != "ratio" and value <= -1:
        raise QuantityError("bad-value", f"{node.text!r} leaves nothing", "write less than 100 %")
    return value


def _compared(
    metric: Metric, sides: dict[str, Range], moves: dict[str, Range], method: Method, confirmed: bool
) -> Comparison:
    baseline, candidate = sides.get("baseline"), sides.get("candidate")
    change = moves.get("change")
    if change is None and baseline is not None and candidate is not None:
        change = _between(metric, baseline, candidate)
    elif change is not None and candidate is None and baseline is not None:
        candidate = Range(*(_moved(metric, baseline.value, end) for end in (change.value, change.low, change.high)))
    elif change is not None and candidate is not None and baseline is None:
        value = candidate.value - change.value if metric.dimension == "ratio" else candidate.value / (1 + change.value)
        baseline = Range(value, value, value)
    found = Comparison(
        metric.id,
        _measured(baseline, method),
        _measured(candidate, method),
        _UNSAID if change is None else _change(metric, change, moves.get("noise")),
    )
    if metric.kind not in ("noisy", "derived") or not confirmed:
        return found
    # A failure of what is noisy takes two looks that agree: this one is both.
    return Comparison(
        metric.id, found.baseline, found.candidate, found.change, (), FirstLook(found.candidate, found.change)
    )


def _moved(metric: Metric, value: float, change: float) -> float:
    return value + change if metric.dimension == "ratio" else value * (1 + change)


def _between(metric: Metric, baseline: Range, candidate: Range) -> Range:
    ends = ((candidate.value, baseline.value), (candidate.low, baseline.high), (candidate.high, baseline.low))
    return Range(*(new - old if metric.dimension == "ratio" else new / old - 1 for new, old in ends))


def _change(metric: Metric, change: Range, noise: Range | None) -> Change:
    paired = metric.kind in ("noisy", "derived") or change.low != change.high
    return Change(
        change.value,
        change.low,
        change.high,
        "paired" if paired else "exact",
        metric.dimension != "ratio",
        None if noise is None else Noise(0.0, -abs(noise.value), abs(noise.value)),
    )


def _measured(found: Range | None, method: Method) -> Measurement | Missing:
    if found is None:
        return _UNSAID
    interval = Interval(found.low, found.high) if found.low != found.high else None
    return Measurement(found.value, method, interval, 1, "written in the test")


def metric_of(key: Scalar, found: Findings) -> Metric | None:
    """Return the metric that a key names; what is none is noted."""
    if key.text not in METRICS:
        message = f"no metric is called {quoted(key.text)}"
        found.note("unknown-metric", key.span, message, f"{closest(key.text, METRICS)}use one of {', '.join(METRICS)}")
        return None
    return METRICS[key.text]
