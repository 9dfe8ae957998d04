"""What is judged, and the grounds on which it may hold: parts of a proof, and how they combine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from greengate.budget import Budget, Limit, Rule, Waiver
from greengate.comparison import Comparison
from greengate.errors import Span
from greengate.judge.drift import drifted
from greengate.judge.limits import compared, deferred, judge_limit
from greengate.metrics import METRICS
from greengate.verdict import Approval, Case, Check, ModelCase, Status, Step

#: A rule's id and the name that a model is bound by.
Pair = tuple[str, str]


@dataclass(frozen=True)
class Exceptions:
    """What may let rules of a policy hold although their limits do not: waivers and approvals, by pair."""

    waivers: Mapping[Pair, Waiver] = field(default_factory=dict)
    approvals: Mapping[Pair, Sequence[Approval]] = field(default_factory=dict)


NO_EXCEPTIONS = Exceptions()


def exceptions(policy: Budget, case: Case) -> Exceptions:
    """Return the exceptions of a policy, laid out so that no rule has to look through those of others."""
    approvals: dict[Pair, list[Approval]] = {}
    for one in case.approvals:
        approvals.setdefault((one.rule, one.model), []).append(one)
    # Where two are for one pair, which the reader refuses, the first counts.
    return Exceptions({(one.rule, one.model): one for one in reversed(policy.waivers)}, approvals)


@dataclass(frozen=True)
class Matter:
    """What is judged: a rule as it holds for a model (see bound.rules_for), under one policy with its exceptions."""

    rule: Rule
    model: ModelCase
    policy: Budget
    case: Case
    exceptions: Exceptions = NO_EXCEPTIONS

    @property
    def pair(self) -> Pair:
        """What exceptions are found by."""
        return self.rule.id, self.model.bound_as

    @property
    def comparison(self) -> Comparison:
        """What was measured of the rule's metric."""
        return compared(self.model, self.rule.metric)

    def judge(self, limit: Limit) -> Check:
        """Judge a limit of the rule, or one that may hold in its place."""
        if elsewhere := self.elsewhere:
            return Check(limit, deferred(self.case.context), elsewhere)
        comparison, since = self.judged_on(limit)
        check = judge_limit(limit, self.rule, comparison, self.case.context)
        return replace(check, reason=f"{check.reason} {since}") if since else check

    @property
    def elsewhere(self) -> str:
        """Why what was measured here is not judged: it depends on the machine, and this is not the reference's."""
        if (reference := self.policy.reference) is None:
            return ""
        metric = METRICS[self.rule.metric]
        machine = self.model.measured_on(metric.source or metric.id)
        if machine is None:
            return ""
        if metric.kind in ("noisy", "derived"):
            return reference.differs(machine.hardware, machine.runtime)
        return (
            replace(reference, hardware=None).differs(machine.hardware, machine.runtime)
            if metric.runtime_bound or metric.simulated
            else ""
        )

    def judged_on(self, limit: Limit) -> tuple[Comparison, str]:
        """Return the comparison that a limit is judged on; for a drift with a version of the past, and which."""
        if limit.over is None:
            return self.comparison, ""
        return drifted(limit, self.comparison, self.model, self.case.today)


@dataclass(frozen=True)
class Ground:
    """A claim that was judged, in one sentence; `below` is what it rests on, `help` what would make it hold."""

    claim: str
    status: Status
    reason: str
    below: Sequence[Ground] = ()
    span: Span | None = None
    help: str = ""

    def steps(self, depth: int = 0) -> list[Step]:
        """Return the claim and what it rests on, as lines of a proof."""
        lines = [Step(depth, self.claim, self.status, self.reason, self.span)]
        for one in self.below:
            lines += one.steps(depth + 1)
        return lines
