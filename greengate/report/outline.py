"""The layers of one model as a tree that fits a screen: largest first, equal siblings folded, the small ones summed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from greengate.layers import Branch, Sums, outline
from greengate.layers.paths import written
from greengate.profile import Profile
from greengate.report.numbers import ABSENT
from greengate.report.terminal.paper import NARROWEST, Cell, Column, render_page, safe, table, text
from greengate.report.where import percent
from greengate.report.words import clip, plural
from greengate.units import Dimension, format_quantity

if TYPE_CHECKING:
    from greengate.report.terminal.paper import Part

#: Rows on a screen, and rows below one branch.
_MOST_ROWS, _MOST_PARTS = 40, 8
#: Shares of the whole below which a branch is not opened, and a part gets no row of its own.
_LIGHT, _NEGLIGIBLE = 0.02, 0.005
#: The share of a module's size that one node must hold for the module's row to say it all.
_ALL = 0.99
#: Columns of a page that numbers take.
_NUMBERS = 49

#: What may say how large a layer is, the best first: a network of look-ups computes nothing.
_MEASURES = {"macs": "MACs", "params": "parameters", "activation_bytes": "output"}
_COLUMNS = (
    Column("layer"),
    Column("MACs", number=True),
    Column("share", number=True),
    Column("parameters", number=True),
    Column("weights", number=True),
    Column("output", number=True),
)


def render(profile: Profile, *, colour: bool = False, width: int = 100, encoding: str = "utf-8") -> str:
    """Write where a model's operations, weights and outputs are; a profile without layers says so."""
    return render_page(_parts(profile, max(width, NARROWEST)), colour, width, encoding)


def _parts(profile: Profile, width: int) -> Iterator[Part]:
    if not profile.layers:
        yield text("the layers of this model are not known")
        return
    whole, batch = outline(profile.layers), profile.workload.batch_size
    measure = next((name for name in _MEASURES if getattr(whole.sums, name)), "macs")
    view = _View(measure, whole.sums)
    yield text(f"{plural(whole.sums.layers, 'layer')}, largest first, share of all {_MEASURES[measure]}", "bold")
    yield ""
    rows = view.rows(whole, 0, "", view.opened(whole))
    room = min(width - _NUMBERS, 40)
    yield table(_COLUMNS, [_row(row, view, batch, room) for row in rows], width)
    note = f"MACs are of one item, output is of a call with batch size {batch}"
    if whole.sums.unknown:
        note += f"; MACs of {plural(whole.sums.unknown, 'layer')} are not known, and no sum has them"
    yield text(note, "dim")


@dataclass(frozen=True)
class _View:
    """What a tree is ordered by, and the sums of the whole."""

    measure: str
    whole: Sums

    def share(self, sums: Sums, measure: str = "") -> float:
        """Return how much of the whole it is."""
        total: int = getattr(self.whole, measure or self.measure)
        return getattr(sums, measure or self.measure) / total if total else 0.0

    def is_large(self, part: Branch) -> bool:
        """Tell whether a part gets a row of its own."""
        shares = self.share(part.sums), self.share(part.sums, "params")
        return max(shares) >= _NEGLIGIBLE or part.sums.unknown > 0

    def parts(self, branch: Branch) -> tuple[list[Branch], list[Branch]]:
        """Return the parts that get a row each, and those that share one: not one alone."""
        parts = sorted(branch.parts, key=lambda part: -self.share(part.sums))
        named = list(filter(self.is_large, parts))[:_MOST_PARTS] or parts[:_MOST_PARTS]
        kept = set(map(id, named))
        rest = [part for part in parts if id(part) not in kept]
        return (named, rest) if len(rest) > 1 else (parts, [])

    def is_told(self, branch: Branch) -> bool:
        """Tell whether the row of a branch says what its parts would say."""
        first = max(branch.parts, key=lambda part: self.share(part.sums))
        return not first.parts and self.share(first.sums) >= _ALL * self.share(branch.sums)

    def opened(self, whole: Branch) -> set[int]:
        """Open the largest branch that still fits the screen, again and again."""
        opened: set[int] = set()
        waiting = [(-1.0, 0, whole)]
        rows = number = 0
        while waiting:
            _, _, branch = heapq.heappop(waiting)
            named, rest = self.parts(branch)
            needed = len(named) + bool(rest)
            if opened and (rows + needed > _MOST_ROWS or self.share(branch.sums) < _LIGHT or self.is_told(branch)):
                continue
            rows += needed
            opened.add(id(branch))
            for part in named:
                number += 1
                if part.parts:
                    heapq.heappush(waiting, (-self.share(part.sums), number, part))
        return opened

    def rows(self, branch: Branch, depth: int, last: str, opened: set[int]) -> Iterator[tuple[int, str, Sums]]:
        """Yield what can be seen of a branch, top to bottom."""
        named, rest = self.parts(branch) if id(branch) in opened else ([], [])
        for part in named:
            # A number alone says nothing: below `layer` stands `layer.0-11`.
            path = written([last, part.path]) if last and part.path[0].isdigit() else part.path
            yield depth, path, part.sums
            yield from self.rows(part, depth + 1, path.rsplit("/", 1)[-1], opened)
        if rest:
            yield depth, f"{len(rest):,} more", reduce(Sums.plus, (part.sums for part in rest))


def _row(row: tuple[int, str, Sums], view: _View, batch: int, room: int) -> list[Cell]:
    depth, path, sums = row
    indent = "  " * min(depth, 8)
    macs = ABSENT if sums.unknown else _amount(sums.macs / batch, "macs")
    share = view.share(sums)
    return [
        Cell(indent + safe(clip(path, room - len(indent)))),
        Cell(macs),
        Cell(percent(share) if share else ""),
        Cell(_amount(sums.params, "count")),
        Cell(_amount(sums.weight_bytes, "bytes")),
        Cell(_amount(sums.activation_bytes, "bytes")),
    ]


def _amount(value: float, dimension: Dimension) -> str:
    return format_quantity(value, dimension) if value else ""
