"""The kinds of shape a value of the budget file can have; format.py puts them together.

The reader (check.py) and the JSON schema (json_schema.py) both walk these, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from greengate.budget import PERIOD as _PERIOD
from greengate.budget import LimitKind
from greengate.metrics import METRICS, Metric
from greengate.units import EXAMPLES, Dimension

END = r"$(?!\n)"  # Python's `$` alone would let a line break follow
ANYTHING = r"\S"
ONE_LINE = rf"^\S(?:.*\S)?{END}"
NAME = rf"^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,99}}{END}"
PERIOD = rf"^{_PERIOD}{END}"
COUNTRY = rf"^[A-Z]{{3}}{END}"
DAYS = rf"^[1-9][0-9]{{0,3}} ?d{END}"
SELECTOR = rf"^\S{{1,200}}{END}"
CODE = rf"^(?:[^:]*/)?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*{END}"
REVISION = rf"^(?:[0-9a-f]{{40}}|[0-9a-f]{{64}}){END}"
RELATIVE = rf"^(?![/~])[^\s\\:](?:[^\r\n\\:]*[^\s\\:])?{END}"
REPOSITORY = rf"^(?:(?:https?://|git://|ssh://(?:[\w.-]+@)?)[\w.\[\]:-]+/|file:///|[\w.-]+@[\w.-]+:(?!//))[^\s@]+{END}"
DEVICE = rf"^(?:cpu|cuda(?::[0-9]{{1,3}})?){END}"
URI = rf"^(?:auto|none|[a-z][a-z0-9+.-]*:\S.*){END}"


@dataclass(frozen=True)
class Text:
    """A text that matches a pattern, or one of some choices; `say` tells in words what is allowed."""

    pattern: str = ANYTHING
    say: str = "write some text"
    choices: tuple[str, ...] = ()
    code: str = "bad-value"


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    low: int
    high: int
    code: str = "bad-value"


@dataclass(frozen=True)
class Number:
    """A finite number; true and false too where they are values of a tensor."""

    flags: bool = False


@dataclass(frozen=True)
class Flag:
    """True or false."""


@dataclass(frozen=True)
class Date:
    """A day of the calendar, written 2027-01-31."""


@dataclass(frozen=True)
class Anything:
    """Values of the user's own, plain, listed or nested, by name; what they mean is the user's."""


@dataclass(frozen=True)
class AsIs:
    """What its reader makes sense of by itself: the node."""


@dataclass(frozen=True)
class Quantity:
    """A positive number with a unit of the dimension; of any dimension where it is None; any number where `signed`."""

    dimension: Dimension | None
    signed: bool = False


@dataclass(frozen=True)
class Change:
    """A change: percent of a quantity, percentage points of a ratio."""

    dimension: Dimension
    positive: bool = False
    below_100: bool = False


@dataclass(frozen=True)
class AnyChange:
    """A change of a metric that stands beside it and is not known here: percent, or percentage points.

    What grows may more than double; nothing falls by all of itself, and no ratio moves by 100 points.
    """

    grows: bool = False

    def of(self, dimension: Dimension) -> Change:
        """Return what it is for one dimension."""
        return Change(dimension, positive=True, below_100=not self.grows or dimension == "ratio")


@dataclass(frozen=True)
class ByMetric:
    """A limit whose shape depends on the metric that stands beside it; see bind."""

    kind: LimitKind | Literal["ignore_below", "per_pp"]


@dataclass(frozen=True)
class Never:
    """A limit on the side where its metric gets better; `instead` is the key that bounds the other side."""

    metric: Metric
    instead: LimitKind


@dataclass(frozen=True)
class Items:
    """A list whose items messages call `called`; an empty one is refused, under `code`, when `fewest` is 1."""

    item: Shape
    called: str
    fewest: int = 0
    code: str = "bad-value"


@dataclass(frozen=True)
class Several:
    """One value, or a list of such values; read as a list either way."""

    items: Items


@dataclass(frozen=True)
class Key:
    """One key of a mapping: what it means, and a value to show in help."""

    shape: Shape
    about: str
    example: str
    required: bool = False


@dataclass(frozen=True)
class Keys:
    """A mapping with known keys.

    One of `any_of` must be there; of two keys in `apart` only one may; a key of `needs` wants one of its companions.
    """

    keys: Mapping[str, Key] = field(hash=False)
    any_of: tuple[str, ...] = ()
    any_of_code: str = "missing-key"
    apart: tuple[tuple[str, str], ...] = ()
    needs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    by_metric: bool = False


@dataclass(frozen=True)
class Named:
    """A mapping from names of the user's own to values of one shape; `fixed` keys may hold another shape instead."""

    item: Shape
    called: str
    example: str
    fixed: Mapping[str, Key] = field(hash=False)


@dataclass(frozen=True)
class Variants:
    """One of several mappings, told apart by the key each is filed under."""

    variants: Mapping[str, Keys] = field(hash=False)


@dataclass(frozen=True)
class Either:
    """One text, or a mapping."""

    text: Text
    keys: Keys


Shape = (AsIs | Anything | Text | Whole | Number | Flag | Date | Quantity | Change | AnyChange | ByMetric | Never) | (
    Items | Keys | Named | Several | Variants | Either
)

_OTHER_SIDE: dict[str, LimitKind] = {
    "max": "min",
    "min": "max",
    "max_increase": "max_decrease",
    "max_decrease": "max_increase",
    "suspicious_increase": "suspicious_decrease",
    "suspicious_decrease": "suspicious_increase",
}
#: Limits of metrics where lower is better; the others' are on the other side.
_WHERE_LOWER_IS_BETTER = ("max", "max_increase", "suspicious_decrease")


@cache
def bind(keys: Keys, metric_id: str) -> Keys:
    """Return a mapping's shape with every limit in it as the metric wants it."""
    metric = METRICS[metric_id]
    return replace(keys, keys={name: _bound(key, metric) for name, key in keys.keys.items()})


def _bound(key: Key, metric: Metric) -> Key:
    match key.shape:
        case Keys():
            return replace(key, shape=bind(key.shape, metric.id))
        case Items(item=Keys() as item):
            return replace(key, shape=replace(key.shape, item=bind(item, metric.id)))
        case ByMetric(kind=kind):
            shape = _limit(kind, metric)
            change = "0.5 pp" if metric.dimension == "ratio" else "5%"
            return replace(
                key, shape=shape, example=change if isinstance(shape, Change) else EXAMPLES[metric.dimension]
            )
    return key


def _limit(kind: str, metric: Metric) -> Shape:
    ratio = metric.dimension == "ratio"
    if kind == "ignore_below":
        return Change("ratio", positive=True, below_100=True) if ratio else Quantity(metric.dimension)
    if kind == "max_drift":
        return Change(metric.dimension, positive=True, below_100=ratio or metric.better == "higher")
    if kind == "per_pp":
        return Change(metric.dimension, positive=True, below_100=True)
    if (metric.better == "lower") != (kind in _WHERE_LOWER_IS_BETTER):
        return Never(metric, _OTHER_SIDE[kind])
    if kind in ("max", "min"):
        return Quantity(metric.dimension)
    # Nothing falls by 100 % and is still there, so such a limit would never fail.
    return Change(metric.dimension, below_100=kind.endswith("_decrease"))
