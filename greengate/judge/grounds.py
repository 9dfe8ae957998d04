"""What is judged, and the grounds on which it may hold: parts of a proof, and how they combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from greengate.budget import Budget, Limit, Rule
from greengate.comparison import Comparison
from greengate.errors import Span
from greengate.judge.drift import drifted
from greengate.judge.limits import compared, deferred, judge_limit
from greengate.metrics import METRICS
from greengate.verdict import Case, Check, ModelCase, Status, Step


@dataclass(frozen=True)
class Matter:
    """What is judged: a rule as it holds for a model (see bound.rules_for), under one policy."""

    rule: Rule
    model: ModelCase
    policy: Budget
    case: Case

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
        metric, reference = METRICS[self.rule.metric], self.policy.reference
        machine = self.model.measured_on(metric.source or metric.id)
        if reference is None or machine is None:
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
    """A claim that was judged, in one sentence; `below` are the steps it rests on, `help` what would make it hold."""

    claim: str
    status: Status
    reason: str
    below: tuple[Step, ...] = ()
    span: Span | None = None
    help: str = ""

    def steps(self, depth: int = 0) -> tuple[Step, ...]:
        """Return the claim and what it rests on, as lines of a proof."""
        deeper = (Step(one.depth + depth + 1, one.claim, one.status, one.reason, one.span) for one in self.below)
        return (Step(depth, self.claim, self.status, self.reason, self.span), *deeper)


def every(claim: str, parts: Sequence[Ground], span: Span | None = None) -> Ground:
    """Combine claims that must all hold: the worst of them decides."""
    worst = max(parts, key=lambda part: part.status)
    below = tuple(step for part in parts for step in part.steps())
    return Ground(claim, worst.status, worst.reason, below, span, worst.help)
