"""One policy test judged: the case that a check would have made, by the judge that a check has."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

from greengate.budget import Budget
from greengate.carbon.derive import EMISSIONS, emitted
from greengate.errors import Span
from greengate.judge import judge
from greengate.profile import Hardware, Model
from greengate.tasks.policy_tests.format import UNJUDGED, PolicyTest
from greengate.tasks.policy_tests.reading import BASELINE, CANDIDATE
from greengate.verdict import BaselineRef, Case, Context, ModelCase, Outcome, Past, Policy, Status

#: A day before any that a drift is counted from.
_LONG_AGO = datetime.date(1970, 1, 1)


@dataclass(frozen=True)
class Miss:
    """An outcome that is not the expected one; `rule` is empty for the whole verdict's."""

    rule: str
    expected: str
    got: str
    span: Span
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Result:
    """A test with what it missed: nothing where it holds."""

    test: PolicyTest
    misses: tuple[Miss, ...]


def run(test: PolicyTest, budget: Budget, today: datetime.date) -> Result:
    """Judge a test's case under the budget, and hold its outcomes to what is expected."""
    verdict = judge(case_of(test, budget, today))
    found = {one.rule: one for one in verdict.outcomes}
    misses = []
    for one in test.expected:
        outcome = found.get(one.rule)
        got = None if outcome is None else outcome.status
        if got is not one.status:
            misses.append(Miss(one.rule, _word(one.status), _word(got), one.span, outcome))
    if test.verdict is not None and verdict.status is not test.verdict:
        misses.append(Miss("", _word(test.verdict), _word(verdict.status), test.span))
    return Result(test, tuple(misses))


def case_of(test: PolicyTest, budget: Budget, today: datetime.date) -> Case:
    """Return the case of a test, as a check of its one model would have made it."""
    machine = None if test.hardware is None else Hardware(test.hardware, "", 1, (), 0, "")
    name, _, version = (test.runtime or "").rpartition(" ")
    case = ModelCase(
        name=test.model,
        comparisons=test.comparisons,
        baseline=BaselineRef("test:", "as the test says", BASELINE),
        candidate=Model(test.model, test.model, "test", CANDIDATE, ()),
        hardware=machine or (Hardware("", "", 1, (), 0, "") if test.runtime else None),
        workload=None,
        runtime={name: version} if test.runtime else {},
        past=_past(test),
    )
    if EMISSIONS not in test.comparisons:
        case = emitted(case, budget.carbon)
    return Case(
        budget=_for_machine(budget, test),
        policy=Policy(f"{budget.path} as it stands in the work tree", budget.digest),
        models=(case,),
        context=Context("ci" if test.strict else "laptop", test.strict, authors=test.authors),
        today=test.today or today,
        approvals=test.approvals,
    )


def _for_machine(budget: Budget, test: PolicyTest) -> Budget:
    """Leave out of the reference what the test does not name: there it ran on the reference machine."""
    reference = budget.reference
    if reference is None or (test.hardware is not None and test.runtime is not None):
        return budget
    kept = replace(
        reference,
        hardware=None if test.hardware is None else reference.hardware,
        runtime=None if test.runtime is None else reference.runtime,
    )
    return replace(budget, reference=kept)


def _past(test: PolicyTest) -> tuple[Past, ...]:
    if not test.drifts:
        return ()
    # Both looks at once, as for any other change that is written down.
    return (Past(1, _LONG_AGO, granted=False, baselines={}, changes=dict(test.drifts), first=dict(test.drifts)),)


def _word(status: Status | None) -> str:
    return UNJUDGED if status is None else status.name.lower()
