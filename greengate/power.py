"""Nouns of energy: counters, what they said, and the windows they said it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

EnergyMethod = Literal[
    "metered",  # an external meter
    "counter",  # a cumulative hardware counter
    "integrated",  # power samples, integrated
    "estimated",  # a model of the hardware
]

#: How numbers come about, weakest first: a sum is as good as its weakest part.
WEAKEST: tuple[EnergyMethod, ...] = ("estimated", "integrated", "counter", "metered")

DomainKind = Literal[
    "cpu",  # a processor package
    "dram",  # memory beside it
    "gpu",  # a whole board
    "system",  # all that hangs on an external meter
]

#: The id of an external meter's domain: it is the only one of its kind.
METER = "meter"

WindowRole = Literal["baseline", "candidate", "control", "idle"]


@dataclass(frozen=True)
class Domain:
    """One counter of energy: what it covers, and how its numbers come about.

    A count is worth `joules`; the counter wraps after `range` (0: never) and changes every `tick` seconds, as found
    when it was calibrated. `watts` is what it said then. Power that is integrated is a mean over `span` seconds before.
    """

    id: str
    kind: DomainKind
    method: EnergyMethod
    about: str
    joules: float
    range: int = 0
    tick: float = 0.0
    watts: float = 0.0
    span: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What a counter said inside a window, from its first tick to its last: counts, ns between them, ticks."""

    counts: int
    ns: int
    ticks: int


@dataclass(frozen=True)
class Window:
    """A timed stretch of `items` inferences, `ns` long, with the reading of every domain; idle: none ran.

    `tokens` were generated instead, where text was; then `items` are those that it was generated for.
    """

    role: WindowRole
    ns: int
    items: int
    readings: Mapping[str, Reading]
    tokens: int = 0


@dataclass(frozen=True)
class Trained:
    """How a training's cost came about: what counted it, kind -> weakest method, and its kg CO2e a joule if known.

    A kind is that of a Domain, or `codecarbon`.
    """

    counters: Mapping[str, EnergyMethod]
    intensity: float | None = None


@dataclass(frozen=True)
class Power:
    """The counters of energy a profile rests on, and the watts of each while the loaded models were idle."""

    domains: tuple[Domain, ...]
    idle: Mapping[str, float] = field(default_factory=dict)
