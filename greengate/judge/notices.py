"""What a reader must know of the policy itself: waivers and approvals that do not count or soon will not."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from greengate.bound import rules_for
from greengate.budget import Budget, Rule, Waiver
from greengate.judge.grounds import Matter
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


def _waivers(policy: Budget, case: Case, skip: set[tuple[str, str]] | None = None) -> Iterator[Notice]:
    for waiver in policy.waivers:
        if (waiver.rule, waiver.model) in (skip or set()):
            continue
        name = f"the waiver of {waiver.rule!r} for {waiver.model!r}"
        if text := _waiver(waiver, policy, case):
            yield Notice("waiver", f"{name} {text}", waiver.span)


def _waiver(waiver: Waiver, policy: Budget, case: Case) -> str:
    if not any(rule.id == waiver.rule for rule in policy.rules):
        return "counts as absent: there is no such rule"
    if not any(model.name == waiver.model for model in policy.models):
        return "counts as absent: there is no such model"
    if over := lapse(waiver, case.today):
        return f"counts as absent: {over}"
    if file := _locked(waiver, policy):
        return f"does not count: {file} locks the rule"
    bound = [model for model in case.models if model.bound_as == waiver.model]
    rule = next((one for one in rules_for(policy, waiver.model) if one.id == waiver.rule), None)
    if rule is None:
        return "counts as absent: the rule does not bind this model, or is off"
    if bound and all(_idle(rule, model, policy, case) for model in bound):
        return "can be removed: the rule holds without it"
    days = (waiver.expires - case.today) // datetime.timedelta(days=1)
    if days <= SOON:
        when = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
        return f"ends {when}, on {waiver.expires}"
    return ""


def _locked(waiver: Waiver, policy: Budget) -> str:
    """Return the farthest file that locks the rule of a waiver and has no such waiver itself; empty for none."""
    known = (one for one in reversed(policy.shared) if any(r.id == waiver.rule and r.locked for r in one.rules))
    return next((one.file for one in known if all(own.span != waiver.span for own in one.waivers)), "")


def _idle(rule: Rule, model: ModelCase, policy: Budget, case: Case) -> bool:
    return judge_rule(Matter(rule, model, policy, case), waivers=False).status <= Status.TRADED


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
