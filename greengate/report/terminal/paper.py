"""How reports are set for a terminal: columns that line up at any width, colour only beside a word."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greengate.comparison import Comparison
from greengate.harmless import tame
from greengate.report.facts import Gap
from greengate.report.numbers import ABSENT
from greengate.report.where import places
from greengate.report.words import listed
from greengate.verdict import Status

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    Part = RenderableType

STYLES = {
    Status.PASS: "green",
    Status.TRADED: "green",
    Status.DEFERRED: "blue",
    Status.WAIVED: "magenta",
    Status.WARN: "yellow",
    Status.INCONCLUSIVE: "bold yellow",
    Status.FAIL: "bold red",
}

#: A narrower page would have to cut numbers; a terminal that is narrower wraps the lines and loses nothing.
NARROWEST = 80

_ASCII = str.maketrans({"–": "-", "≤": "<=", "≥": ">=", "─": "-", "…": "...", "·": "-", "�": "?"})  # noqa: RUF001


@dataclass(frozen=True)
class Cell:
    """One cell: a first part, and a second that stands beside it, or below it where the page is narrow."""

    first: str
    second: str = ""
    style: str = ""
    second_style: str = "dim"


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers align right, and only a column that folds breaks its lines."""

    title: str
    number: bool = False
    folds: bool = False


def safe(text: str) -> str:
    """Return text from outside as one line that a CI server's log cannot read as a command."""
    return tame(text).replace("::", ": :")


def render_page(parts: Iterable[Part], colour: bool, width: int, encoding: str) -> str:
    """Set the parts below each other; without trailing blanks, and in characters that `encoding` has."""
    page = console(colour, width)
    for part in parts:
        page.print(part)
    stream = page.file
    if not isinstance(stream, io.StringIO):
        raise TypeError("a page is set in memory")
    text = re.sub(r"[ ]+$", "", stream.getvalue(), flags=re.MULTILINE)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def console(colour: bool, width: int) -> Console:
    """Return a console in memory that knows nothing of the real terminal or its environment."""
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        force_interactive=False,
        _environ={},
    )


def text(line: str, style: str = "") -> Text:
    """Return text in one style; nothing in it is read as markup."""
    from rich.text import Text

    return Text(overflow="fold").append(line, style=style)


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Table:
    """Lay out a table: each cell in one line where the page is wide enough, else its second part below the first."""
    from rich.measure import Measurement as Extent

    page = console(False, 10_000)
    wide = _table(columns, rows, stacked=False)
    if Extent.get(page, page.options, wide).maximum <= width:
        return wide
    return _table(columns, rows, stacked=True)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], stacked: bool) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=True, header_style="bold", padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        made.add_column(
            column.title,
            justify="left" if stacked or any(row[index].second for row in rows) or not column.number else "right",
            no_wrap=not column.folds,
            overflow="fold",
        )
    firsts = [max((len(row[index].first) for row in rows), default=0) for index in range(len(columns))]
    seconds = [max((len(row[index].second) for row in rows), default=0) for index in range(len(columns))]
    for row in rows:
        cells = [
            _stacked(cell) if stacked else _beside(cell, column.number, first, second)
            for cell, column, first, second in zip(row, columns, firsts, seconds, strict=True)
        ]
        made.add_row(*cells)
    return made


def _first(cell: Cell) -> Text:
    return text(cell.first, cell.style or ("dim" if cell.first == ABSENT else ""))


def _stacked(cell: Cell) -> Text:
    return _first(cell).append(f"\n{cell.second}" if cell.second else "", style=cell.second_style)


def _beside(cell: Cell, number: bool, first: int, second: int) -> Text:
    """Set both parts in one line; padding makes them line up with those above and below."""
    if not second:
        return _first(cell)
    made = _first(cell)
    made.pad_left(first - len(cell.first)) if number else made.pad_right(first - len(cell.first))
    return made.append(f"  {cell.second.ljust(second)}", style=cell.second_style)


def hanging(pairs: Iterable[tuple[str, str, str]]) -> Table:
    """Lay out labels with text that wraps beside them: (label, style of the label, text)."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold", ratio=1)
    for label, style, line in pairs:
        made.add_row(text(label, style), text(line))
    return made


def gap_lines(gaps: Iterable[Gap]) -> Iterable[tuple[str, str, str]]:
    """Explain the dashes of a table, as rows for `hanging`."""
    for gap in gaps:
        step = f"; {safe(gap.help)}" if gap.help else ""
        yield ABSENT, "dim", f"{listed([safe(row) for row in gap.rows], most=6)}: {safe(gap.reason)}{step}"


def where_lines(comparisons: Iterable[Comparison]) -> Iterable[tuple[str, str, str]]:
    """Say where metrics changed, as rows for `hanging`."""
    for where in places(comparisons):
        yield "where", "dim", f"{where.metric} {safe(where.text)}"
