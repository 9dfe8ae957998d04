"""Nouns of judging: what was compared, what a verdict rests on, and the verdict."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from greengate.budget import Budget, Limit
from greengate.comparison import Change, Comparison
from greengate.errors import Exit, Span
from greengate.ledger import Ledger
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


@dataclass(frozen=True)
class BaselineRef:
    """Which baseline was used: its URI, what it is in words, its digest where known."""

    uri: str
    about: str
    digest: str | None = None
    version: int | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Past:
    """An accepted version of a model, and what the candidate differs from it by, for metrics that may drift.

    `granted`: a person accepted it although it was over its budget, so that drift is counted from it. `first` is what
    the first look said of it, for metrics that were looked at twice.
    """

    version: int
    accepted: datetime.date
    granted: bool
    baselines: Mapping[str, Measurement | Missing]
    changes: Mapping[str, Change | Missing]
    first: Mapping[str, Change | Missing] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """Where something was measured, and with which runtime."""

    hardware: Hardware
    runtime: Mapping[str, str]


@dataclass(frozen=True)
class ModelCase:
    """All that is judged of one model. `candidate` None: nothing was measured of it.

    `rules_of` names the model whose rules bind it where that is not its own name. `past` are the versions that drift
    may be counted from, oldest first. `elsewhere` says of metrics that another job measured on which machine that was.
    """

    name: str
    comparisons: Mapping[str, Comparison]
    baseline: BaselineRef | None
    candidate: Model | None
    hardware: Hardware | None
    workload: Workload | None
    runtime: Mapping[str, str]
    notes: tuple[str, ...] = ()
    rules_of: str = ""
    past: tuple[Past, ...] = ()
    elsewhere: Mapping[str, Machine] = field(default_factory=dict)

    def measured_on(self, metric: str) -> Machine | None:
        """Return the machine that a metric was measured on; None where nothing was measured."""
        if metric in self.elsewhere:
            return self.elsewhere[metric]
        return None if self.hardware is None else Machine(self.hardware, self.runtime)

    @property
    def bound_as(self) -> str:
        """The name that selectors, waivers and approvals know it by."""
        return self.rules_of or self.name


@dataclass(frozen=True)
class Approval:
    """A person's yes to one candidate: it may be as far from one baseline as `ceiling` lets it, until it expires.

    Digests are of the models' files. `source` is the file it stands in; `flaw` says why its proof does not hold, and
    is empty where a reviewed file on the base branch or a signature proves who said yes. `key` is the fingerprint of
    the key that signed it, `also` are authors of the change whom its signature would stand for as well.
    """

    rule: str
    model: str
    candidate: str
    baseline: str
    ceiling: Limit
    reason: str
    by: str
    granted: datetime.date
    expires: datetime.date
    source: str
    proof: Literal["reviewed", "signed"] = "signed"
    flaw: str = ""
    key: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """Where and how the gate runs. `strict`: what cannot be measured here is inconclusive, not deferred.

    `authors` wrote the change that is judged, as far as the checkout tells.
    """

    place: Literal["github", "gitlab", "ci", "laptop"]
    strict: bool
    part: str | None = None
    static_only: bool = False
    authors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """Which policy binds: where it was read, its digest, and the commit it was read from.

    `bootstrap`: the target branch has no budget yet, so the change brings its own.
    """

    source: str
    digest: str
    commit: str | None = None
    bootstrap: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """All that a verdict rests on; judge(case) reads nothing else.

    `budget` is the change's own; with a `base`, every rule is judged under both and the worse outcome binds.
    """

    budget: Budget
    policy: Policy
    models: tuple[ModelCase, ...]
    context: Context
    today: datetime.date
    base: Budget | None = None
    approvals: tuple[Approval, ...] = ()
    ledgers: tuple[Ledger, ...] = ()


@dataclass(frozen=True)
class Check:
    """One limit judged: `observed` and `bound` are written with enough digits to differ when they do."""

    limit: Limit
    status: Status
    reason: str


@dataclass(frozen=True)
class Step:
    """One line of an outcome's proof: a claim, what was found of it, and why; claims below it lie one deeper."""

    depth: int
    claim: str
    status: Status
    reason: str = ""
    span: Span | None = None


@dataclass(frozen=True)
class Outcome:
    """One rule judged for one model; `reason` is one sentence, `help` the next step.

    `under` says which policy binds where the target branch and the change each have one; `proof` holds what was
    weighed beside the rule's own limits.
    """

    rule: str
    model: str
    metric: str
    status: Status
    reason: str
    help: str
    checks: tuple[Check, ...]
    span: Span
    under: Literal["", "base", "head", "both"] = ""
    proof: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something about the policy itself that a reader must know: an exception or a rule, and what became of it."""

    kind: Literal["waiver", "approval", "policy"]
    text: str
    span: Span | None = None


@dataclass(frozen=True)
class Cost:
    """What the run of the gate itself took: seconds, and joules that the whole machine drew meanwhile, or why not."""

    seconds: float
    energy: Measurement | Missing


@dataclass(frozen=True)
class Verdict:
    """All outcomes, worst first in weight, in the budget's order; carries its case."""

    case: Case
    outcomes: tuple[Outcome, ...]
    status: Status
    seconds: float = 0.0
    greengate: str = ""
    notices: tuple[Notice, ...] = ()
    cost: Cost | None = None

    @property
    def exit(self) -> Exit:
        """The exit code this verdict asks for."""
        return {Status.FAIL: Exit.FAIL, Status.INCONCLUSIVE: Exit.INCONCLUSIVE}.get(self.status, Exit.PASS)
