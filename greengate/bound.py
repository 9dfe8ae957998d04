"""Which rules hold for a model: selectors, overrides, and what shared policy files lock."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from greengate.budget import Budget, CarbonBudget, Rule, SharedPolicy


def policies(budget: Budget) -> tuple[Budget, ...]:
    """Return all that judges: the budget, and what each shared file says by itself of what it locks."""
    return (budget, *(_locks(budget, one) for one in budget.shared if _has_locks(one)))


def carbon_budgets(budget: Budget) -> tuple[CarbonBudget, ...]:
    """Return every carbon budget that binds: the nearest file's, and those that shared files lock; each once."""
    return tuple(dict.fromkeys(one.carbon_budget for one in policies(budget) if one.carbon_budget is not None))


def _has_locks(one: SharedPolicy) -> bool:
    return any(rule.locked for rule in one.rules) or _locked_carbon(one) is not None


def _locked_carbon(one: SharedPolicy) -> CarbonBudget | None:
    return one.carbon_budget if one.carbon_budget is not None and one.carbon_budget.locked else None


def _locks(budget: Budget, one: SharedPolicy) -> Budget:
    return replace(
        budget,
        rules=tuple(rule for rule in one.rules if rule.locked),
        waivers=one.waivers,
        on_inconclusive=one.on_inconclusive,
        approvers=one.approvers,
        reference=one.reference,
        carbon_budget=_locked_carbon(one),
        shared=(),
    )


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name matches one of the patterns; without patterns every name does."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def binds(rule: Rule, model: str) -> bool:
    """Tell whether a rule binds a model of this name."""
    return matches(model, rule.models)


def paying_or_paid(rule: Rule) -> tuple[str, ...]:
    """Return the metrics that a rule is about: its own, and the one whose gain may pay."""
    return (rule.metric,) if rule.unless is None else (rule.metric, rule.unless.metric)


def rules_for(budget: Budget, model: str) -> tuple[Rule, ...]:
    """Return the rules that bind a model, as they hold for it: overrides applied in order, `off` left out."""
    held = (_overridden(rule, model) for rule in budget.rules if binds(rule, model))
    said = budget.on_inconclusive
    return tuple(
        rule if said is None or rule.on_inconclusive is not None else replace(rule, on_inconclusive=said)
        for rule in held
        if rule.severity != "off"
    )


def _overridden(rule: Rule, model: str) -> Rule:
    for each in rule.overrides:
        if matches(model, each.models):
            own = {limit.kind: limit for limit in (*rule.limits, *each.limits)}
            rule = replace(
                rule,
                limits=tuple(own.values()),
                ignore_below=rule.ignore_below if each.ignore_below is None else each.ignore_below,
                severity=each.severity or rule.severity,
                on_inconclusive=each.on_inconclusive or rule.on_inconclusive,
            )
    return rule
