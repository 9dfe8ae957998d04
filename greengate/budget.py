"""Nouns of policy: the budget as read, every part with its place in the file."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from greengate.answers import WHOLE, Slice
from greengate.errors import Span
from greengate.profile import WorkloadSpec
from greengate.recipe import NO_RECIPE, Recipe
from greengate.reference import Reference

LimitKind = Literal[
    "max",
    "min",
    "max_increase",
    "max_decrease",
    "max_drift",  # how much worse it may get over many changes
    "suspicious_increase",  # better by more than this asks for a look
    "suspicious_decrease",
    "min_increase",  # what a gain must reach
    "min_decrease",
]
Severity = Literal["fail", "warn", "off"]
OnInconclusive = Literal["fail", "warn"]

#: A year, a quarter or a month, within the years of the calendar that any training is of.
PERIOD = r"(?:199[0-9]|20[0-9]{2}|2100)(?:-(?:Q[1-4]|0[1-9]|1[0-2]))?"


@dataclass(frozen=True)
class Limit:
    """One number of a rule.

    `max` and `min` are absolute, in the metric's SI unit. All others bound the change: a fraction (0.05 is 5 %) when
    `relative`, else a difference of a ratio (0.005 is 0.5 pp). `text` is as written. `over` are the days that a drift
    is counted over; its value is negative where more is better.
    """

    kind: LimitKind
    value: float
    text: str
    span: Span
    relative: bool = True
    over: int | None = None

    @property
    def absolute(self) -> bool:
        """Whether it bounds the candidate alone, not its change."""
        return self.kind in ("max", "min")

    @property
    def edge(self) -> float:
        """The bound itself, signed: -0.05 for a decrease of 5 %."""
        return -self.value if self.kind.endswith("_decrease") else self.value

    @property
    def upper(self) -> bool:
        """Whether what is judged must not lie above the edge; else not below it."""
        if self.kind == "max_drift":
            return self.value > 0
        return self.kind in ("max", "max_increase", "suspicious_increase", "min_decrease")


@dataclass(frozen=True)
class TradeOff:
    """What a rule grants when a gain pays for it: `limits` hold in the place of its own limits of the same kind.

    Another metric must change by at least `gain`, as evaluated by greengate where `evaluated`. With `per_pp`, each
    percentage point gained widens the rule's own limit by so much, up to `limits`. Without limits on the change, the
    change has no ceiling but an approval's.
    """

    metric: str
    gain: Limit
    span: Span
    approved: bool = False
    limits: tuple[Limit, ...] = ()
    evaluated: bool = False
    per_pp: Limit | None = None


@dataclass(frozen=True)
class Override:
    """What is different for some models; None and absent limits are as in the rule."""

    models: tuple[str, ...]
    limits: tuple[Limit, ...]
    span: Span
    ignore_below: float | None = None
    severity: Severity | None = None
    on_inconclusive: OnInconclusive | None = None


@dataclass(frozen=True)
class Rule:
    """One line of the budget; binds every model, or those whose name matches a pattern of `models`.

    `allow_estimated`: a model of energy may stand in for a counter, as a paired change. `locked`: it stands in a shared
    policy file, and files that extend it may tighten it, never loosen it.
    """

    id: str
    metric: str
    limits: tuple[Limit, ...]
    span: Span
    ignore_below: float | None = None
    unless: TradeOff | None = None
    severity: Severity = "fail"
    models: tuple[str, ...] = ()
    on_inconclusive: OnInconclusive | None = None
    overrides: tuple[Override, ...] = ()
    allow_estimated: bool = False
    locked: bool = False


@dataclass(frozen=True)
class Waiver:
    """A dated, reasoned exception to one rule of one model; the `ceiling` holds instead of the rule's limits.

    The ceiling is in the SI unit of the rule's metric; None where the budget has no such rule.
    """

    rule: str
    model: str
    ceiling: float | None
    text: str
    reason: str
    approved_by: str
    expires: datetime.date
    span: Span
    granted: datetime.date | None = None


@dataclass(frozen=True)
class Approvers:
    """Who may approve which rules (patterns of ids), and how many of them must.

    With `four_eyes`, who wrote the change is not one of them.
    """

    rules: tuple[str, ...]
    who: tuple[str, ...]
    span: Span
    needed: int = 1
    four_eyes: bool = False


@dataclass(frozen=True)
class AccuracySource:
    """Where one accuracy of a model comes from: `metric` is its id, such as `accuracy` or `error_rate.wer`.

    `slice` are the samples of labelled data that count. `of_change`: only the change names it, so that its labelled
    data are the change's own.
    """

    options: Mapping[str, str]
    span: Span
    metric: str = "accuracy"
    of_change: bool = False
    slice: Slice = WHOLE


@dataclass(frozen=True)
class ModelEntry:
    """One model of the budget; `path` is as written, relative to the budget file's folder.

    `rules_of` names the model whose rules bind it where that is not its own name. `training` is a record of what it
    cost to train, likewise relative.
    """

    name: str
    path: str
    span: Span
    workload: WorkloadSpec
    accuracy: tuple[AccuracySource, ...] = ()
    baseline: str | None = None
    rules_of: str = ""
    training: str | None = None
    recipe: Recipe = NO_RECIPE

    @property
    def bound_as(self) -> str:
        """The name that selectors, waivers and approvals know it by."""
        return self.rules_of or self.name


@dataclass(frozen=True)
class WorkerLimits:
    """What a worker process may use: seconds a job, bytes of address space (None: four fifths of the machine).

    `gpu_memory` are bytes that the runtime may hold on a board; None: all of it.
    """

    timeout: float = 300.0
    memory: float | None = None
    gpu_memory: float | None = None


@dataclass(frozen=True)
class PowerLog:
    """An external meter's log, relative to the budget's folder; `clock_offset` s are added to its times."""

    file: str
    span: Span
    clock_offset: float = 0.0


@dataclass(frozen=True)
class CalibrationFile:
    """A calibration by which energy is estimated where nothing counts it, relative to the budget's folder."""

    file: str
    span: Span


@dataclass(frozen=True)
class Carbon:
    """The grid intensity in kg CO2e a joule, where it comes from, and what a site draws beside the machine (PUE)."""

    intensity: float
    source: str
    span: Span
    pue: float = 1.0


@dataclass(frozen=True)
class CarbonBudget:
    """What training may emit in a period, UTC: the sum over records, patterns that start at the budget's folder.

    A shared file may have `locked` its own.
    """

    limit: Limit
    period: str
    span: Span
    records: tuple[str, ...]
    allow_estimated: bool = False
    locked: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(PERIOD, self.period):
            raise ValueError(f"{self.period!r} is no month, quarter or year from 1990 to 2100")


@dataclass(frozen=True)
class SharedPolicy:
    """A policy file that a budget extends: `file` as spans name it, the digest of its bytes, the commit it is of.

    `rules` and `carbon_budget` are its own, as they stand there. All else is as it holds for that file, what it extends
    included.
    """

    file: str
    digest: str
    rules: tuple[Rule, ...]
    commit: str | None = None
    waivers: tuple[Waiver, ...] = ()
    on_inconclusive: OnInconclusive | None = None
    approvers: tuple[Approvers, ...] = ()
    reference: Reference | None = None
    carbon_budget: CarbonBudget | None = None


@dataclass(frozen=True)
class Budget:
    """The whole file: `path` as given, `digest` of its bytes.

    Where it extends `shared` policies, nearest first, its rules and all else are what holds with them.
    """

    path: str
    digest: str
    version: int
    models: tuple[ModelEntry, ...]
    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...] = ()
    baseline: str | None = None
    worker: WorkerLimits = WorkerLimits()
    on_inconclusive: OnInconclusive | None = None
    approvers: tuple[Approvers, ...] = ()
    max_waiver_days: int | None = None
    power_log: PowerLog | None = None
    carbon: Carbon | None = None
    reference: Reference | None = None
    carbon_budget: CarbonBudget | None = None
    shared: tuple[SharedPolicy, ...] = ()
    calibration: CalibrationFile | None = None
