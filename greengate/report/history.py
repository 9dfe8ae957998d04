"""A model's metrics over its versions or verdicts: one line a metric, with the places where its level changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from greengate.harmless import clean
from greengate.metrics import METRICS, ordered
from greengate.point import Point
from greengate.profile import Measurement
from greengate.stats import change_points
from greengate.units import format_change, format_quantity

_BARS = "▁▂▃▄▅▆▇█"
_GAP, _MARK = "·", "|"
#: Bars that fit beside the numbers.
WIDEST = 40


@dataclass(frozen=True)
class Line:
    """One metric: bars with `|` before each new level, its first and last value, and what changed where."""

    metric: str
    bars: str
    first: str
    last: str
    change: str
    points: tuple[str, ...]


def lines(points: Sequence[Point], metrics: Sequence[str] = ()) -> tuple[Line, ...]:
    """Return a line for every metric, or for those that are named, that some point has.

    A noisy metric is drawn where the hardware is that of the last point; other points are gaps.
    """
    shown = points[-WIDEST:]
    known = ordered(metric for point in shown for metric in point.measurements)
    found = (_line(metric, shown) for metric in known if not metrics or metric in metrics)
    return tuple(line for line in found if line is not None)


def _line(metric: str, points: Sequence[Point]) -> Line | None:
    values = [_value(metric, point, points[-1].hardware) for point in points]
    places = [place for place, value in enumerate(values) if value is not None]
    known = [value for value in values if value is not None]
    if not known:
        return None
    row = METRICS[metric]
    relative = row.dimension != "ratio" and min(known) > 0
    levels = change_points([math.log(value) for value in known] if relative else known)
    return Line(
        metric,
        _bars(values, {places[level] for level in levels}),
        format_quantity(known[0], row.dimension),
        format_quantity(known[-1], row.dimension),
        _changed(known[0], known[-1], relative),
        tuple(_said(points[places[level]], known, level, levels, relative) for level in levels),
    )


def _value(metric: str, point: Point, hardware: str) -> float | None:
    found = point.measurements.get(metric)
    if not isinstance(found, Measurement):
        return None
    return found.value if METRICS[metric].kind != "noisy" or point.hardware == hardware else None


def _bars(values: Sequence[float | None], levels: set[int]) -> str:
    known = [value for value in values if value is not None]
    low, span = min(known), max(known) - min(known)

    def bar(value: float | None) -> str:
        if value is None:
            return _GAP
        return _BARS[3] if span == 0 else _BARS[round((value - low) / span * (len(_BARS) - 1))]

    return "".join((_MARK if place in levels else "") + bar(value) for place, value in enumerate(values))


def _changed(before: float, after: float, relative: bool) -> str:
    return format_change(after / before - 1 if relative else after - before, relative)


def _said(point: Point, known: Sequence[float], level: int, levels: Sequence[int], relative: bool) -> str:
    """Say by how much the mean of a level differs from that of the level before."""
    before = max((one for one in levels if one < level), default=0)
    after = min((one for one in levels if one > level), default=len(known))
    old, new = known[before:level], known[level:after]
    change = _changed(math.fsum(old) / len(old), math.fsum(new) / len(new), relative)
    return f"{change} at {called(point)}"


def called(point: Point) -> str:
    """Return what a reader knows a point by: its version, else its commit, with the day."""
    name = f"version {point.version}" if point.version is not None else (point.commit or point.digest)[:12]
    return f"{name} ({point.at[:10]})"


def _terminal(title: str, points: Sequence[Point], rows: Sequence[Line]) -> Iterator[str]:
    yield clean(title)
    yield _span(points)
    yield ""
    names = [METRICS[row.metric].title for row in rows]
    left, middle = max(map(len, names)), max(len(row.bars) for row in rows)
    ends = [f"{row.first} to {row.last}" for row in rows]
    width = max(map(len, ends))
    for name, row, end in zip(names, rows, ends, strict=True):
        yield f"{name.ljust(left)}  {row.bars.ljust(middle)}  {end.ljust(width)}  {row.change}".rstrip()
        yield from (f"{' ' * left}  {_MARK} {text}" for text in row.points)


def _markdown(title: str, points: Sequence[Point], rows: Sequence[Line]) -> Iterator[str]:
    yield f"### {clean(title)}"
    yield ""
    yield _span(points)
    yield ""
    yield "| metric | history | first | last | change | level changes |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        told = "<br>".join(row.points)
        bars = row.bars.replace(_MARK, "\\|")
        yield f"| {METRICS[row.metric].title} | {bars} | {row.first} | {row.last} | {row.change} | {told} |"


def _span(points: Sequence[Point]) -> str:
    first, last = called(points[-WIDEST:][0]), called(points[-1])
    left_out = f"; {len(points) - WIDEST} older ones are not drawn" if len(points) > WIDEST else ""
    count = min(len(points), WIDEST)
    drawn = f"{count} points, {first} to {last}{left_out}" if count > 1 else f"1 point, {last}"
    return f"{drawn}; noisy metrics as measured on {points[-1].cpu}"


#: The ways a history is written.
FORMATS: dict[str, Callable[[str, Sequence[Point], Sequence[Line]], Iterator[str]]] = {
    "text": _terminal,
    "markdown": _markdown,
}


def render(title: str, points: Sequence[Point], form: str = "text", metrics: Sequence[str] = ()) -> str:
    """Write the history of at least one point. Points of unequal hardware are told apart where it matters."""
    rows = lines(points, metrics)
    if not rows:
        return f"{clean(title)}\n{_span(points)}\n\nnone of these metrics was measured"
    return "\n".join(FORMATS[form](title, points, rows))
