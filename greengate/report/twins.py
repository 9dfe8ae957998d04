"""A PyTorch model and its ONNX twin side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from greengate.metrics import METRICS, ordered
from greengate.profile import Measurement, Missing, Profile
from greengate.report.changes import facts_of
from greengate.report.facts import Gap, is_missed, titled
from greengate.report.numbers import ABSENT, write_alone
from greengate.report.terminal.paper import (
    NARROWEST,
    Cell,
    Column,
    gap_lines,
    hanging,
    render_page,
    safe,
    table,
    text,
)
from greengate.report.words import clip
from greengate.units import format_change

if TYPE_CHECKING:
    from greengate.report.terminal.paper import Part

    Side = Mapping[str, Measurement | Missing]

_COLUMNS = (
    Column("metric", folds=True),
    Column("PyTorch", number=True),
    Column("ONNX", number=True),
    Column("counts"),
)

#: Counts that the format of a file does not change, and what an exporter does that changes them.
_WHY = {
    "macs": "what the exporter wrote otherwise is computed otherwise; `--layers` shows where",
    "flops": "as for MACs",
    "params": "the exporter folds norms into weights, keeps equal tensors once, and stores constants as weights",
}


def render_twins(
    model: Profile, twin: Profile | Missing, *, colour: bool = False, width: int = 100, encoding: str = "utf-8"
) -> str:
    """Write every metric of a model beside its twin's: counts compared, times apart, since two runtimes took them."""
    width = max(width, NARROWEST)
    return render_page(_twins(model, twin, width), colour, width, encoding)


def _twins(model: Profile, twin: Profile | Missing, width: int) -> Iterator[Part]:
    yield text(f"model {safe(clip(model.model.name))} and its ONNX twin", "bold")
    yield ""
    sides: tuple[Side, Side] = (model.measurements, {} if isinstance(twin, Missing) else twin.measurements)
    names = [name for name in ordered([*sides[0], *sides[1]]) if any(_has(side, name) for side in sides)]
    yield table(_COLUMNS, [_row(name, *sides) for name in names], width)
    lines = [("unequal", "yellow", f"{titled(name)}: {_WHY[name]}") for name in _WHY if _equal(name, *sides) is False]
    lines += gap_lines(_gaps({"PyTorch": sides[0], "ONNX": sides[1]}))
    if lines:
        yield hanging(lines)
    yield ""
    yield hanging([("PyTorch", "bold", ""), *facts_of(model), ("ONNX", "bold", ""), *_of_twin(twin)])


def _of_twin(twin: Profile | Missing) -> Iterator[tuple[str, str, str]]:
    if isinstance(twin, Missing):
        yield "not made", "yellow", safe("; ".join(part for part in (twin.reason, twin.help) if part))
    else:
        yield from facts_of(twin)


def _has(side: Side, name: str) -> bool:
    return isinstance(side.get(name), Measurement)


def _row(name: str, before: Side, after: Side) -> list[Cell]:
    cells = [
        Cell(*write_alone(found, METRICS[name].dimension)) if isinstance(found, Measurement) else Cell(ABSENT)
        for found in (before.get(name), after.get(name))
    ]
    return [Cell(titled(name)), *cells, Cell(_compared(name, before, after))]


def _equal(name: str, before: Side, after: Side) -> bool | None:
    """Tell whether both counted the same; None where they cannot be compared."""
    one, other = before.get(name), after.get(name)
    if name not in _WHY or not isinstance(one, Measurement) or not isinstance(other, Measurement):
        return None
    return one.value == other.value


def _compared(name: str, before: Side, after: Side) -> str:
    equal, one, other = _equal(name, before, after), before.get(name), after.get(name)
    if equal is None or not isinstance(one, Measurement) or not isinstance(other, Measurement):
        return ""
    return (
        "equal"
        if equal
        else f"{other.value - one.value:+,.0f}"
        + (f" ({format_change(other.value / one.value - 1)})" if one.value else "")
    )


def _gaps(sides: Mapping[str, Side]) -> list[Gap]:
    """Return why numbers are missing, each reason once, and on which side."""
    found: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for where, side in sides.items():
        rows: dict[tuple[str, str], list[str]] = {}
        for name in ordered(side):
            one = side[name]
            if isinstance(one, Missing) and is_missed(name, one):
                rows.setdefault((one.reason, one.help), []).append(name)
        for (reason, help_), names in rows.items():
            found.setdefault((reason, help_, tuple(names)), []).append(where)
    return [Gap(f"{' and '.join(where)}: {reason}", help_, names) for (reason, help_, names), where in found.items()]
