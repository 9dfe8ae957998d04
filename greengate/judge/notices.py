"""What a reader must know of the policy itself: waivers and approvals that do not count or soon will not."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from greengate.bound import rules_for
from greengate.budget import Budget, Rule, Waiver
from greengate.errors import Span
from greengate.judge.grounds import Exceptions, Matter, exceptions
from greengate.judge.loosened import against_locks, differences
from greengate.judge.rules import judge_rule
from greengate.judge.waiving import lapse
from greengate.verdict import Case, ModelCase, Notice, Status

#: Waivers that end within so many days are announced.
SOON = 14


def notices(case: Case) -> tuple[Notice, ...]:
    """Return every notice of a case, the change's own waivers first."""
    found = list(_waivers(case.budget, case))
    found += [
        Notice("policy", f"the rule {rule.id!r} is off: it judges nothing", rule.span)
        for rule in case.budget.rules
        if rule.severity == "off"
    ]
    found += against_locks(case.budget)
    if case.base is not None:
        own = {(waiver.rule, waiver.model) for waiver in case.budget.waivers}
        found += _waivers(case.base, case, skip=own)
        found += _pending(case.base, case.budget)
        found += differences(case.base, case.budget)
    found += _idle_approvals(case)
    return tuple(found)


@dataclass(frozen=True)
class _Known:
    """What waivers of a policy are held against, by name, so that none looks through all that the policy has."""

    policy: Budget
    case: Case
    rules: frozenset[str]
    models: frozenset[str]
    bound: Mapping[str, Mapping[str, Rule]]
    measured: Mapping[str, Sequence[ModelCase]]
    locks: Sequence[tuple[str, frozenset[str], frozenset[Span]]]
    exceptions: Exceptions


def _known(policy: Budget, case: Case) -> _Known:
    models = frozenset(model.name for model in policy.models)
    excused = models & {one.model for one in policy.waivers}
    measured: dict[str, list[ModelCase]] = {}
    for model in case.models:
        measured.setdefault(model.bound_as, []).append(model)
    return _Known(
        policy,
        case,
        frozenset(rule.id for rule in policy.rules),
        models,
        {name: {rule.id: rule for rule in rules_for(policy, name)} for name in excused},
        measured,
        [
            (one.file, frozenset(rule.id for rule in one.rules if rule.locked), frozenset(w.span for w in one.waivers))
            for one in reversed(policy.shared)
        ],
        exceptions(policy, case),
    )


def _waivers(policy: Budget, case: Case, skip: Set[tuple[str, str]] = frozenset()) -> Iterator[Notice]:
    known = _known(policy, case)
    for waiver in policy.waivers:
        if (waiver.rule, waiver.model) not in skip and (text := _waiver(waiver, known)):
            yield Notice("waiver", f"the waiver of {waiver.rule!r} for {waiver.model!r} {text}", waiver.span)


def _waiver(waiver: Waiver, known: _Known) -> str:
    if waiver.rule not in known.rules:
        return "counts as absent: there is no such rule"
    if waiver.model not in known.models:
        return "counts as absent: there is no such model"
    if over := lapse(waiver, known.case.today):
        return f"counts as absent: {over}"
    if file := _locked(waiver, known):
        return f"does not count: {file} locks the rule"
    rule = known.bound[waiver.model].get(waiver.rule)
    if rule is None:
        return "counts as absent: the rule does not bind this model, or is off"
    measured = known.measured.get(waiver.model, ())
    if measured and all(_idle(rule, model, known) for model in measured):
        return "can be removed: the rule holds without it"
    days = (waiver.expires - known.case.today) // datetime.timedelta(days=1)
    if days <= SOON:
        when = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
        return f"ends {when}, on {waiver.expires}"
    return ""


def _locked(waiver: Waiver, known: _Known) -> str:
    """Return the farthest file that locks the rule of a waiver and has no such waiver itself; empty for none."""
    return next(
        (file for file, locked, own in known.locks if waiver.rule in locked and waiver.span not in own),
        "",
    )


def _idle(rule: Rule, model: ModelCase, known: _Known) -> bool:
    matter = Matter(rule, model, known.policy, known.case, known.exceptions)
    return judge_rule(matter, waivers=False).status <= Status.TRADED


def _pending(base: Budget, head: Budget) -> Iterator[Notice]:
    """Name waivers that only the change has: they wait for the target branch."""
    known = {(waiver.rule, waiver.model, waiver.ceiling, waiver.expires) for waiver in base.waivers}
    for waiver in head.waivers:
        if (waiver.rule, waiver.model, waiver.ceiling, waiver.expires) not in known:
            text = f"the waiver of {waiver.rule!r} for {waiver.model!r} counts once it is on the target branch"
            yield Notice("waiver", text, waiver.span)


def _idle_approvals(case: Case) -> Iterator[Notice]:
    """Name approvals that no rule asks for."""
    asked = {(rule.id, model.bound_as) for model in case.models for rule in _rules(case, model.bound_as)}
    known = {model.bound_as for model in case.models}
    for one in case.approvals:
        if (one.rule, one.model) not in asked and one.model in known:
            yield Notice("approval", f"the approval of {one.by} in {one.source} is for no rule: {one.rule!r}")


def _rules(case: Case, model: str) -> Iterator[Rule]:
    for policy in (case.budget, case.base):
        if policy is not None:
            yield from rules_for(policy, model)
