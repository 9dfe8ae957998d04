"""Nouns of judging: what was compared, what a verdict rests on, and the verdict."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from greengate.budget import Budget, Limit
from greengate.errors import Exit, Span
from greengate.profile import Hardware, Measurement, Missing, Model, Workload


class Status(IntEnum):
    """Outcomes from best to worst; the verdict is the worst, and only the last two change the exit code."""

    PASS = 0
    TRADED = 1
    DEFERRED = 2
    WAIVED = 3
    WARN = 4
    INCONCLUSIVE = 5
    FAIL = 6


Basis = Literal[
    "exact",  # the same number wherever it is measured
    "paired",  # one trial on one machine
    "stored",  # a stored profile of matching hardware and workload
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

    A paired change carries the noise of its own trial, the launches behind it and the seconds they took.
    """

    value: float
    low: float
    high: float
    basis: Basis
    relative: bool = True
    noise: Noise | None = None
    launches: int = 0
    seconds: float = 0.0


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


@dataclass(frozen=True)
class BaselineRef:
    """Which baseline was used: its URI, what it is in words, its digest where known."""

    uri: str
    about: str
    digest: str | None = None
    version: int | None = None
    commit: str | None = None


@dataclass(frozen=True)
class ModelCase:
    """All that is judged of one model. `candidate` None: nothing was measured of it."""

    name: str
    comparisons: Mapping[str, Comparison]
    baseline: BaselineRef | None
    candidate: Model | None
    hardware: Hardware | None
    workload: Workload | None
    runtime: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """Where and how the gate runs. `strict`: what cannot be measured here is inconclusive, not deferred."""

    place: Literal["github", "gitlab", "ci", "laptop"]
    strict: bool
    part: str | None = None
    static_only: bool = False


@dataclass(frozen=True)
class Policy:
    """Which policy binds: where it was read, and its digest."""

    source: str
    digest: str


@dataclass(frozen=True)
class Case:
    """All that a verdict rests on; judge(case) reads nothing else."""

    budget: Budget
    policy: Policy
    models: tuple[ModelCase, ...]
    context: Context
    today: datetime.date


@dataclass(frozen=True)
class Check:
    """One limit judged: `observed` and `bound` are written with enough digits to differ when they do."""

    limit: Limit
    status: Status
    reason: str


@dataclass(frozen=True)
class Outcome:
    """One rule judged for one model; `reason` is one sentence, `help` the next step."""

    rule: str
    model: str
    metric: str
    status: Status
    reason: str
    help: str
    checks: tuple[Check, ...]
    span: Span


@dataclass(frozen=True)
class Verdict:
    """All outcomes, worst first in weight, in the budget's order; carries its case."""

    case: Case
    outcomes: tuple[Outcome, ...]
    status: Status
    seconds: float = 0.0
    greengate: str = ""

    @property
    def exit(self) -> Exit:
        """The exit code this verdict asks for."""
        return {Status.FAIL: Exit.FAIL, Status.INCONCLUSIVE: Exit.INCONCLUSIVE}.get(self.status, Exit.PASS)
