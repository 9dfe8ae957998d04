"""A carbon budget: what trainings emitted in its period, against the most they may."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Literal

from greengate.bound import carbon_budgets
from greengate.budget import Budget, CarbonBudget
from greengate.judge.limits import judge_absolute
from greengate.ledger import (
    METRIC,
    RULE,
    Account,
    Entry,
    account,
    bounds,
    counted_for,
    current,
    is_over,
    named,
    of_today,
)
from greengate.profile import Measurement, Missing
from greengate.units import format_quantity
from greengate.verdict import Case, Check, Outcome, Status

_TRACK = "record trainings with `greengate track`, and name the records in `carbon_budget: {records: [...]}`"
_SPENT = "train no more in this period, or raise `max` {}"
_ALLOW = "measure trainings where a counter can be read, or say `allow_estimated: true`"
_NEXT = "write the next one, such as `period: {}`: a change that does is judged by what was allowed so far"
_UNKNOWN = "name a grid intensity with `carbon:`, and track where energy can be counted"


def judge_carbon(policy: Budget, case: Case, under: Literal["base", "head"]) -> tuple[Outcome, ...]:
    """Judge the carbon budget of one policy of the case, by the ledger that is its own; nothing where it has none.

    What is known already decides a failure; what is unknown, or estimated without leave, leaves it open, and so does a
    period that is over: what is trained now would count nowhere.
    """
    budget = policy.carbon_budget
    if budget is None:
        return ()
    if under == "base":
        budget = current(budget, carbon_budgets(case.budget), case.today)
    ledger = counted_for(budget, case.ledgers, under)
    if not ledger.entries:
        return (_outcome(budget, Check(budget.limit, Status.INCONCLUSIVE, "no training record was found"), _TRACK),)
    return (_outcome(budget, *_judged(budget, account(ledger, budget), case.today)),)


def _judged(budget: CarbonBudget, found: Account, today: datetime.date) -> tuple[Check, str]:
    sure = found.counted + (found.modelled if budget.allow_estimated else 0.0)
    check = judge_absolute(budget.limit, METRIC, Measurement(sure, "counter"))
    rest = budget.limit.value - sure
    over = "left" if rest >= 0 else "too much"
    check = replace(check, reason=f"{check.reason}: {format_quantity(abs(rest), 'mass')} {over}")
    if check.status is Status.FAIL:
        return check, _SPENT.format(f"in {budget.span.file}" if budget.locked else "on the target branch")
    if is_over(budget.period, today):
        reason = f"the {named(budget.period)} is over, so that nothing trained now is counted"
        return Check(budget.limit, Status.INCONCLUSIVE, reason), _NEXT.format(of_today(budget.period, today))
    if found.unknown:
        whys = {one.emitted.reason: one.emitted.help for one in found.unknown if isinstance(one.emitted, Missing)}
        why, help_ = next(iter(whys.items())) if len(whys) == 1 else ("", "")
        reason = f"it is not known what {_names(found.unknown)} emitted{why and ': '}{why}"
        return Check(budget.limit, Status.INCONCLUSIVE, reason), help_ or _UNKNOWN
    if found.estimated and not budget.allow_estimated:
        about = format_quantity(found.modelled, "mass")
        reason = f"\u2248 {about} of {_names(found.estimated)} are only estimated"
        return Check(budget.limit, Status.INCONCLUSIVE, reason), _ALLOW
    if not (found.measured or found.estimated):
        begins = bounds(budget.period)[0]
        yet = "" if begins <= today else f", which begins on {begins}"
        check = replace(check, reason=f"{check.reason}; no training began in the period{yet}")
    return check, ""


def _outcome(budget: CarbonBudget, check: Check, help_: str) -> Outcome:
    return Outcome(RULE, named(budget.period), METRIC, check.status, check.reason, help_, (check,), budget.limit.span)


def _names(entries: tuple[Entry, ...]) -> str:
    names = list(dict.fromkeys(one.file for one in entries))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
