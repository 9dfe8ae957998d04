"""Nouns of policy: the budget as read, every part with its place in the file."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from greengate.errors import Span
from greengate.profile import WorkloadSpec

LimitKind = Literal["max", "min", "max_increase", "max_decrease"]
Severity = Literal["fail", "warn", "off"]


@dataclass(frozen=True)
class Limit:
    """One number of a rule.

    `max` and `min` are absolute, in the metric's SI unit. `max_increase` and `max_decrease` bound the change:
    a fraction (0.05 is 5 %) when `relative`, else a difference of a ratio (0.005 is 0.5 pp). `text` is as written.
    """

    kind: LimitKind
    value: float
    text: str
    span: Span
    relative: bool = True


@dataclass(frozen=True)
class TradeOff:
    """What a rule grants when a gain pays for it; read and validated, not judged by this version."""

    accuracy_gain: float
    approved: bool
    limits: tuple[Limit, ...]
    span: Span


@dataclass(frozen=True)
class Rule:
    """One line of the budget; binds every model, or those whose name matches a pattern of `models`."""

    id: str
    metric: str
    limits: tuple[Limit, ...]
    span: Span
    ignore_below: float | None = None
    unless: TradeOff | None = None
    severity: Severity = "fail"
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waiver:
    """A dated, reasoned exception to one rule; read and validated, not judged by this version."""

    rule: str
    model: str
    ceiling: float
    reason: str
    approved_by: str
    expires: datetime.date
    span: Span


@dataclass(frozen=True)
class AccuracySource:
    """Where a model's accuracy comes from; read and validated, not measured by this version."""

    options: Mapping[str, str]
    span: Span


@dataclass(frozen=True)
class ModelEntry:
    """One model of the budget; `path` is as written, relative to the budget file's folder."""

    name: str
    path: str
    span: Span
    workload: WorkloadSpec
    accuracy: AccuracySource | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class WorkerLimits:
    """What a worker process may use: seconds a job, bytes of address space (None: four fifths of the machine)."""

    timeout: float = 300.0
    memory: float | None = None


@dataclass(frozen=True)
class Budget:
    """The whole file: `path` as given, `digest` of its bytes."""

    path: str
    digest: str
    version: int
    models: tuple[ModelEntry, ...]
    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...] = ()
    baseline: str | None = None
    worker: WorkerLimits = WorkerLimits()
