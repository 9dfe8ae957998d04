"""Which layers a change comes from, in words that every report shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from greengate.comparison import Comparison, Contribution
from greengate.metrics import METRICS
from greengate.report.facts import titled
from greengate.report.words import clip
from greengate.units import Dimension, format_quantity

_WIDEST = 72
_KINDS = {"changed": "", "added": "(new)", "removed": "(removed)"}


@dataclass(frozen=True)
class Place:
    """One part of a change: `78 % in`, the layers' path, `(new)`. The path is from outside; it may be empty."""

    share: str
    path: str
    kind: str

    @property
    def text(self) -> str:
        """All in a few words."""
        return " ".join(filter(None, (self.share, self.path, self.kind)))


@dataclass(frozen=True)
class Where:
    """A metric, its whole difference with a sign, and the places it comes from, largest first."""

    metric: str
    amount: str
    places: tuple[Place, ...]

    @property
    def text(self) -> str:
        """All in one line: `+1.90 GMAC: 78 % in encoder/layer.0-11/ffn, 22 % in head`."""
        return f"{self.amount}: {', '.join(place.text for place in self.places)}"


def places(comparisons: Iterable[Comparison]) -> Iterator[Where]:
    """Yield where each metric changed, once for metrics that are the same number in another unit."""
    told = [compared for compared in comparisons if compared.where]
    seen = {compared.metric for compared in told}
    for compared in told:
        if compared.metric != "flops" or "macs" not in seen:
            yield _where(compared)


def _where(compared: Comparison) -> Where:
    dimension = METRICS[compared.metric].dimension
    total = sum(one.delta for one in compared.where)
    # Shares say little where some layers grew and others shrank: 150 % in one, -50 % in the other.
    in_shares = all(0 <= one.share <= 1 for one in compared.where)
    told = [one for one in compared.where if one.path or not _is_nothing(one)]
    amount = _signed(total, dimension)
    if compared.metric == "activation_memory":
        amount += " of output"
    return Where(titled(compared.metric), amount, tuple(_place(one, in_shares, dimension) for one in told))


def _is_nothing(rest: Contribution) -> bool:
    return abs(rest.share) < 0.005


def _place(one: Contribution, in_shares: bool, dimension: Dimension) -> Place:
    amount = percent(one.share) if in_shares else _signed(one.delta, dimension)
    if not one.path:
        return Place("outside the layers that ran" if one.share == 1 else f"{amount} elsewhere", "", "")
    return Place(f"{amount} in", clip(one.path, _WIDEST), _KINDS[one.kind])


def percent(share: float) -> str:
    """Write a whole percentage; nothing is all or none that is not."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{share * 100:.0f} %"


def _signed(value: float, dimension: Dimension) -> str:
    return ("-" if value < 0 else "+") + format_quantity(abs(value), dimension)
