"""The format of a policy file that budgets extend: what is allowed, without models; rules and more may be locked."""

from __future__ import annotations

from dataclasses import replace

from greengate.budget_file.format import BUDGET
from greengate.budget_file.shape import Flag, Items, Key, Keys

#: What a shared file may say of a budget's keys. How models are measured is each repository's own.
_KEYS = (
    *("version", "extends", "rules", "waivers", "on_inconclusive", "approvers", "max_waiver_days", "reference"),
    "carbon_budget",
)

_LOCKED = Key(Flag(), "Whether files that extend this one may only tighten the rule; false if absent.", "true")
_CARBON_LOCKED = Key(Flag(), "Whether it binds beside that of a file that extends this one; false if absent.", "true")


def _shared() -> Keys:
    keys = {name: BUDGET.keys[name] for name in _KEYS}
    rules, carbon = keys["rules"], keys["carbon_budget"]
    match rules.shape, carbon.shape:
        case Items(item=Keys() as rule), Keys() as budget:
            lockable = replace(rule, keys={**rule.keys, "locked": _LOCKED})
            limited = replace(budget, keys={**budget.keys, "locked": _CARBON_LOCKED})
            return Keys(
                {
                    **keys,
                    "rules": replace(rules, shape=replace(rules.shape, item=lockable)),
                    "carbon_budget": replace(carbon, shape=limited),
                }
            )
    raise TypeError("the rules of a budget are a list of mappings, its carbon budget is one")


#: The whole file; what matches no model of a repository is of no concern there.
SHARED = replace(_shared(), any_of=("rules", "extends", "carbon_budget"))
