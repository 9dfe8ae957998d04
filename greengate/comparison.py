"""Nouns of comparing: what one metric of two models differs by, how sure that is, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from greengate.profile import Measurement, Missing

Basis = Literal[
    "exact",  # the same number wherever it is measured
    "paired",  # one trial on one machine
    "stored",  # a stored profile of matching hardware and workload
    "counted",  # an estimate, computed from exact counts of both
]


@dataclass(frozen=True)
class Noise:
    """What a trial found when it compared the baseline with a second copy of itself: the change and its interval.

    `broken` when that interval excludes zero at 99.9 %: something here tells equal models apart.
    """

    value: float
    low: float
    high: float
    broken: bool = False

    @property
    def floor(self) -> float:
        """The largest change that this trial's noise explains."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Change:
    """Candidate / baseline - 1 when `relative`, else candidate - baseline; with its interval.

    A paired change carries the noise of its own trial, the launches behind it, the seconds they took, and the part
    of its half-width that more launches do not narrow.
    """

    value: float
    low: float
    high: float
    basis: Basis
    relative: bool = True
    noise: Noise | None = None
    launches: int = 0
    seconds: float = 0.0
    irreducible: float = 0.0


@dataclass(frozen=True)
class Contribution:
    """One part of an exact metric's change: which layers, the difference in SI units, its share of the whole.

    `path` folds modules that changed alike, `encoder/layer.0-11/ffn`; it is empty for all that the others leave over.
    """

    path: str
    delta: float
    share: float
    kind: Literal["changed", "added", "removed"] = "changed"


@dataclass(frozen=True)
class FirstLook:
    """What the launches before a second look said by themselves."""

    candidate: Measurement | Missing
    change: Change | Missing


@dataclass(frozen=True)
class Comparison:
    """One metric of one model, both roles; a missing baseline or change says why, `where` which layers changed it.

    `first` is what the first look said, where a second was taken to confirm a failure.
    """

    metric: str
    baseline: Measurement | Missing
    candidate: Measurement | Missing
    change: Change | Missing
    where: tuple[Contribution, ...] = ()
    first: FirstLook | None = None
