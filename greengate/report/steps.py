"""Next steps that name a command: for a budget that the command would not find by itself, they name it too."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import PurePath

from greengate.comparison import Comparison
from greengate.profile import Missing
from greengate.verdict import Verdict

#: What commands take without `-b`.
_DEFAULT = PurePath("budgets.yaml")
#: Commands that read a budget, or the last verdict that is kept beside it, up to where their words end.
_COMMAND = re.compile(
    r"(?<=`)greengate (?:approve|baseline accept|check|explain|export|history|publish|ratchet)\b[^`]*"
)


def option(budget: str) -> str:
    """Return what a command needs to be of this budget: nothing, or ` -b PATH` in a shell's words."""
    return "" if PurePath(budget) == _DEFAULT else f" -b {shlex.quote(budget)}"


def of(budget: str, text: str) -> str:
    """Let the commands in backticks that a text advises be of this budget."""
    more = option(budget)
    return _COMMAND.sub(lambda found: f"{found[0]}{more}", text) if more else text


def addressed(verdict: Verdict) -> Verdict:
    """Return a verdict as reports tell it: its next steps are of its budget, wherever that lies."""
    budget = verdict.case.budget.path
    if not option(budget):
        return verdict
    outcomes = tuple(replace(one, help=of(budget, one.help)) for one in verdict.outcomes)
    models = tuple(
        replace(model, comparisons={name: _compared(budget, one) for name, one in model.comparisons.items()})
        for model in verdict.case.models
    )
    return replace(verdict, outcomes=outcomes, case=replace(verdict.case, models=models))


def _compared(budget: str, one: Comparison) -> Comparison:
    def told(missing: Missing) -> Missing:
        return replace(missing, help=of(budget, missing.help))

    return replace(
        one,
        baseline=told(one.baseline) if isinstance(one.baseline, Missing) else one.baseline,
        candidate=told(one.candidate) if isinstance(one.candidate, Missing) else one.candidate,
        change=told(one.change) if isinstance(one.change, Missing) else one.change,
    )
