"""What trainings emitted in a period: nouns, and their sum. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from greengate.budget import CarbonBudget
from greengate.power import WEAKEST, EnergyMethod
from greengate.profile import Measurement, Missing

#: What reports call the rule that a carbon budget is, and its metric.
RULE, METRIC = "carbon_budget", "training_co2e"


@dataclass(frozen=True)
class Entry:
    """One training: the file of its record, what tells it from others, the day it began (UTC), kg CO2e or why not.

    Where nobody knows when it began it may be of any period.
    """

    file: str
    digest: str
    started: datetime.date | None
    emitted: Measurement | Missing


@dataclass(frozen=True)
class Ledger:
    """Every training that one carbon budget finds, whenever it was, each once.

    `file` is the policy file that it stands in, as spans name it; several can bind, where shared files lock theirs.
    """

    under: Literal["base", "head"]
    entries: tuple[Entry, ...]
    file: str = ""


@dataclass(frozen=True)
class Account:
    """A ledger's trainings of one period: those measured, estimated and unknown, and those outside of it; kg CO2e."""

    measured: tuple[Entry, ...]
    estimated: tuple[Entry, ...]
    unknown: tuple[Entry, ...]
    outside: tuple[Entry, ...]

    @property
    def counted(self) -> float:
        """What was measured, in kg."""
        return _sum(self.measured)

    @property
    def modelled(self) -> float:
        """What was estimated, in kg."""
        return _sum(self.estimated)

    @property
    def total(self) -> Measurement | Missing:
        """What is known of the period, as good as its weakest part."""
        known = (*self.measured, *self.estimated)
        if not known and (self.unknown or not self.outside):
            return Missing("no training of the period is known by its emissions")
        methods = {one.emitted.method for one in known if isinstance(one.emitted, Measurement)}
        method: EnergyMethod = next((each for each in WEAKEST if each in methods), "counter")
        return Measurement(self.counted + self.modelled, method, samples=max(1, len(known)), detail=_listed(known))


def named(period: str) -> str:
    """Return what stands for a model in an outcome that is a period's; no model can be called so."""
    return f"period {period}"


def bounds(period: str) -> tuple[datetime.date, datetime.date]:
    """Return the first day of a month, quarter or year and the first day after it: `2026-11`, `2026-Q4`, `2026`.

    Raises ValueError for anything else.
    """
    year, _, part = period.partition("-")
    if not part:
        first, months = 1, 12
    elif part.startswith("Q"):
        first, months = 3 * int(part[1:]) - 2, 3
    else:
        first, months = int(part), 1
    end = first + months
    return datetime.date(int(year), first, 1), datetime.date(int(year) + end // 13, (end - 1) % 12 + 1, 1)


def is_over(period: str, today: datetime.date) -> bool:
    """Tell whether a period ended before a day."""
    return bounds(period)[1] <= today


def of_today(period: str, today: datetime.date) -> str:
    """Return the month, quarter or year of a day, as long as another period."""
    _, _, part = period.partition("-")
    if not part:
        return f"{today.year}"
    return f"{today.year}-Q{(today.month + 2) // 3}" if part.startswith("Q") else f"{today.year}-{today.month:02}"


def current(budget: CarbonBudget, of_change: Sequence[CarbonBudget], today: datetime.date) -> CarbonBudget:
    """Return the target branch's carbon budget as it judges: for the change's period of today where its own is over.

    So whoever writes the next period is judged in it, by what the target branch allows: in one that is no shorter, for
    what is allowed in a quarter is too much for a month. One that is locked follows one that is locked.
    """
    if not is_over(budget.period, today):
        return budget
    first, after = bounds(of_today(budget.period, today))
    alike = (one.period for one in of_change if one.locked == budget.locked)
    following = next((one for one in alike if bounds(one)[0] <= first and after <= bounds(one)[1]), budget.period)
    return replace(budget, period=following)


def counted_for(budget: CarbonBudget, ledgers: Sequence[Ledger], under: Literal["base", "head"]) -> Ledger:
    """Return the ledger of one carbon budget, an empty one where there is none; without a file it is the only one."""
    kept = (one for one in ledgers if one.under == under and one.file in ("", budget.span.file))
    return next(kept, Ledger(under, (), budget.span.file))


def account(ledger: Ledger, budget: CarbonBudget) -> Account:
    """Sort a ledger's trainings by the budget's period, each by its own beginning."""
    first, after = bounds(budget.period)
    inside = [one for one in ledger.entries if one.started is None or first <= one.started < after]
    known = [one for one in inside if isinstance(one.emitted, Measurement)]
    estimated = tuple(
        one for one in known if isinstance(one.emitted, Measurement) and one.emitted.method == "estimated"
    )
    return Account(
        measured=tuple(one for one in known if one not in estimated),
        estimated=estimated,
        unknown=tuple(one for one in inside if isinstance(one.emitted, Missing)),
        outside=tuple(one for one in ledger.entries if one not in inside),
    )


def _sum(entries: Sequence[Entry]) -> float:
    return sum(one.emitted.value for one in entries if isinstance(one.emitted, Measurement))


def _listed(entries: Sequence[Entry]) -> str:
    names = [one.file for one in entries]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
