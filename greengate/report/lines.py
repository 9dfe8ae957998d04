"""Which line of the change's own files a forge shows an outcome at, its path seen from the repository's root."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, replace
from pathlib import PurePath

from greengate.errors import Span
from greengate.ledger import RULE
from greengate.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Checkout:
    """The folder that a forge checked the repository out in, and the one that paths start at; absolute, or not told."""

    root: str = ""
    here: str = ""


NOWHERE = Checkout()


def line_of(verdict: Verdict, outcome: Outcome, checkout: Checkout) -> Span:
    """Return where a forge finds an outcome: where its rule stands, if that is in the change's own files.

    What binds from the target branch is shown at the change's own rule of that name; that, and what is shared from
    another repository, else at the first line of the budget.
    """
    span = outcome.span
    if not is_own(verdict, span):
        budget = verdict.case.budget
        carbon = (budget.carbon_budget.limit.span,) if outcome.rule == RULE and budget.carbon_budget else ()
        same = (*(rule.span for rule in budget.rules if rule.id == outcome.rule), *carbon)
        span = next((one for one in same if is_own(verdict, one)), Span(budget.path, 1))
    return replace(span, file=from_root(span.file, checkout))


def is_own(verdict: Verdict, span: Span) -> bool:
    """Tell whether a place is in a file of the change itself: its budget, or one beside it that it extends."""
    budget = verdict.case.budget
    return span.file == budget.path or any(span.file == one.file for one in budget.shared if one.commit is None)


def from_root(file: str, checkout: Checkout) -> str:
    """Return a path as seen from the repository's root; as it is where that is not known, or elsewhere."""
    if not checkout.root:
        return file
    whole = PurePath(os.path.normpath(PurePath(checkout.here, file)))
    return whole.relative_to(checkout.root).as_posix() if whole.is_relative_to(checkout.root) else file
