"""What measuring for a verdict is asked for: how precise each metric must be, and how energy is metered."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from greengate import estimate
from greengate.bound import policies, rules_for
from greengate.budget import Budget, Limit
from greengate.gate.brought import brought
from greengate.gate.calibrated import named
from greengate.gate.request import Setting
from greengate.judge import SHARE
from greengate.metrics import METRICS
from greengate.profiler.meters import Absent
from greengate.profiler.meters.bench import Energy

#: Half-width of ln(change) that is asked for where no relative limit says how narrow it must be.
PRECISION = 0.02


def everything(metered: Collection[str] = ()) -> dict[str, float]:
    """Return the precision that measuring without rules asks for: every metric, waiting for the steady ones.

    Energy takes minutes, so only what is named of it is metered.
    """
    steady = ("latency_p50", "cpu_time", "tokens_per_second", "energy_per_1k")
    asked = [metric for metric in estimate.ESTIMATORS if metric not in estimate.METERED or metric in metered]
    return {metric: PRECISION if metric in steady else math.inf for metric in asked}


def precision_for(budgets: Iterable[Budget], model: str) -> dict[str, float]:
    """Return the noisy metrics that rules of this model name, each with the half-width its tightest limit needs."""
    found: dict[str, float] = {}
    for rule in (rule for budget in budgets for each in policies(budget) for rule in rules_for(each, model)):
        asked = [(rule.metric, limit) for limit in rule.limits]
        asked += [(rule.unless.metric, rule.unless.gain)] if rule.unless is not None else []
        for metric, limit in asked:
            source = METRICS[metric].source or metric
            if source in estimate.ESTIMATORS:
                found[source] = min(found.get(source, math.inf), _needed(limit))
    return found


def metered_for(budget: Budget | None, model: str) -> Collection[str]:
    """Return the metrics of energy that a budget's rules of this model name."""
    return () if budget is None else estimate.METERED & set(precision_for((budget,), model))


def energy_for(setting: Setting, model: str) -> Energy:
    """Return how a model's energy is metered: models of energy only where a rule of it allows them."""
    budget, request = setting.budget, setting.request
    known = setting.policies or (() if budget is None else (budget,))
    judging = [each for policy in known for each in policies(policy)]
    allowed = any(rule.allow_estimated for policy in judging for rule in rules_for(policy, model)) or request.energy
    allowed = allowed and named(setting, model) is None  # a calibration says more than a model of processor time
    found = metered_by(budget, setting.folder, allowed, request.environ)
    return replace(found, seconds=request.energy_seconds)


def metered_by(
    budget: Budget | None, folder: Path, estimates: bool, environ: Mapping[str, str] = MappingProxyType({})
) -> Energy:
    """Return what meters energy: the machine's own counters, and the external log that a budget names.

    In a request a log that the change brings meters nothing, and nothing stands for it.
    """
    log = None if budget is None else budget.power_log
    if log is None:
        return Energy(estimates=estimates)
    if brought(folder, environ)(folder / log.file):
        reason = f"{log.file} stands in the commit that is judged: a change cannot bring its own joules"
        help_ = "remove it from the change, and let the meter write where git does not look, or out of the checkout"
        return Energy(estimates=estimates, refused=Absent("power log", reason, help_, "system"))
    return Energy(estimates=estimates, log=str(folder / log.file), offset=log.clock_offset)


def _needed(limit: Limit) -> float:
    if limit.absolute:
        return PRECISION
    # A limit of 0 % has no room on either side: ask for the finest that is asked for anywhere.
    return max(abs(math.log1p(max(limit.edge, -0.99))) * SHARE, 0.002)
