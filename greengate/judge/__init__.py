"""The policy engine: Case -> Verdict. Pure: no clock, no files, no randomness.

Three-valued logic after Kleene: `and` takes the worse status, `or` the better one. A limit is judged on the whole
interval, never on the point.
"""

from __future__ import annotations

import datetime
import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from greengate.bound import binds, policies, rules_for
from greengate.budget import Budget, Rule
from greengate.judge import further
from greengate.judge.carbon import judge_carbon
from greengate.judge.grounds import Matter, exceptions
from greengate.judge.limits import SHARE
from greengate.judge.notices import notices
from greengate.judge.rules import judge_rule
from greengate.verdict import Case, ModelCase, Outcome, Status, Verdict

__all__ = ["SHARE", "binds", "judge", "judge_again", "unconfirmed", "undecided"]


def judge(case: Case) -> Verdict:
    """Judge every rule for every model it binds, under the target branch's policy and the change's own.

    Where both have a rule, by id and model, the worse outcome binds.
    """
    with _uncollected():
        return _judge(case)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: all that judging makes is kept, and looking takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _judge(case: Case) -> Verdict:
    outcomes = _under(case.budget, case, "head")
    if case.base is not None:
        outcomes = _worse(_under(case.base, case, "base"), outcomes)
    # A model that no rule binds was not judged: saying "pass" would be a guess.
    judged = {outcome.model for outcome in outcomes}
    idle = not case.models or any(model.name not in judged for model in case.models)
    found = [outcome.status for outcome in outcomes] + [Status.INCONCLUSIVE] * idle
    return Verdict(case, outcomes, max(found, default=Status.PASS), notices=notices(case))


def judge_again(verdict: Verdict) -> Verdict:
    """Return a verdict with what follows from its case; what no case holds, as the cost of the run, stays as it is."""
    again = judge(verdict.case)
    return replace(verdict, outcomes=again.outcomes, status=again.status, notices=again.notices)


def unconfirmed(budgets: Iterable[Budget], model: ModelCase, today: datetime.date) -> frozenset[str]:
    """Return the noisy metrics whose rules fail at a first look: what a second look has to confirm."""
    return further.unconfirmed(_rules(budgets, model), model, today)


def undecided(budgets: Iterable[Budget], model: ModelCase, today: datetime.date) -> Mapping[str, bool]:
    """Return the noisy metrics whose rules a first look leaves open, and whether each seems to be beyond a limit."""
    return further.undecided(_rules(budgets, model), model, today)


def _rules(budgets: Iterable[Budget], model: ModelCase) -> list[Rule]:
    judging = (each for budget in budgets for each in policies(budget))
    return [rule for budget in judging for rule in rules_for(budget, model.bound_as)]


def _under(policy: Budget, case: Case, side: Literal["base", "head"]) -> tuple[Outcome, ...]:
    """Judge under one policy; where a shared file locks what judges worse, or alone, that is what binds."""
    own, *locks = ((*_alone(each, case), *judge_carbon(each, case, side)) for each in policies(policy))
    found = {(one.model, one.rule): one for one in own}
    for one in (outcome for lock in locks for outcome in lock):
        held = found.setdefault((one.model, one.rule), one)
        if one.status > held.status:
            found[one.model, one.rule] = one
    return tuple(found.values())


def _alone(policy: Budget, case: Case) -> tuple[Outcome, ...]:
    # Many models are bound alike: what a name's rules are is worked out once.
    held = {name: rules_for(policy, name) for name in {model.bound_as for model in case.models}}
    known = exceptions(policy, case)
    matters = (Matter(rule, model, policy, case, known) for model in case.models for rule in held[model.bound_as])
    return tuple(map(judge_rule, matters))


def _worse(base: tuple[Outcome, ...], head: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """Match outcomes by rule and model; the head's order first, then what only the base has."""
    of_base = {(one.model, one.rule): one for one in base}
    found = []
    for own in head:
        binding = of_base.pop((own.model, own.rule), None)
        if binding is None:
            found.append(replace(own, under="head"))
        elif binding.status > own.status:
            found.append(replace(binding, under="base"))
        else:
            found.append(replace(own, under="both" if binding.status is own.status else "head"))
    return (*found, *(replace(one, under="base") for one in of_base.values()))
