"""Measuring for a verdict on this machine: find the baseline, count both, then time both side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from greengate import estimate
from greengate.baselines import Found
from greengate.budget import Budget, Limit
from greengate.compare import compare_profiles, compare_trial, without_baseline
from greengate.errors import BaselineError, Diagnostic
from greengate.gate.ready import Ready, limits_of, prepare
from greengate.gate.request import Chosen, Setting
from greengate.judge import binds
from greengate.profile import Missing, Profile, Trial
from greengate.profiler import trial
from greengate.profiler.trial import Effort
from greengate.verdict import BaselineRef, Comparison, ModelCase

#: Half-width of ln(change) that is asked for where no relative limit says how narrow it must be.
PRECISION = 0.02
#: A limit is decided with room to spare when the half-width is at most this share of it.
SHARE_OF_LIMIT = 0.5


@dataclass(frozen=True)
class Measured:
    """What a verdict is judged from: the models' cases, the raw profiles and trials, and the seconds spent."""

    models: tuple[ModelCase, ...]
    measured: Mapping[str, Profile | Trial]
    seconds: float


def measured_here(setting: Setting, budget: Budget, chosen: tuple[Chosen, ...]) -> Measured:
    """Measure every chosen model beside its baseline.

    Every model is read and counted before any is timed, so that all mistakes are told at once. Raises GreengateError.
    """
    cases: list[ModelCase] = []
    measured: dict[str, Profile | Trial] = {}
    seconds = 0.0
    for model in prepare(chosen, setting):
        name = model.chosen.entry.name
        precision = {} if setting.request.static_only else precision_for(budget, name)
        found, spent = _time(model, precision, setting)
        measured[name] = found
        cases.append(_case(model, found))
        seconds += spent
    return Measured(tuple(cases), measured, seconds)


def start(chosen: Chosen, setting: Setting) -> Profile | Trial:
    """Measure one model, all metrics, beside its baseline where one is asked for. Raises GreengateError."""
    (ready,) = prepare((chosen,), setting)
    if isinstance(ready.baseline, Missing) and setting.request.against not in (None, "none"):
        raise BaselineError(Diagnostic("baseline-missing", ready.baseline.reason, ready.baseline.help))
    if isinstance(ready.baseline, Found) and ready.before is None:
        message = f"the baseline's model file is not at hand: {ready.baseline.ref.about}"
        raise BaselineError(Diagnostic("baseline-missing", message, "name its file with --against file:PATH"))
    found, _ = _time(ready, {} if setting.request.static_only else everything(), setting)
    return found


def everything() -> dict[str, float]:
    """Return the precision that measuring without a budget asks for: every metric, waiting for the steady ones."""
    return {metric: PRECISION if metric in ("latency_p50", "cpu_time") else math.inf for metric in estimate.ESTIMATORS}


def precision_for(budget: Budget, model: str) -> dict[str, float]:
    """Return the noisy metrics that rules of this model name, each with the half-width its tightest limit needs."""
    found: dict[str, float] = {}
    for rule in budget.rules:
        if rule.metric in estimate.ESTIMATORS and binds(rule, model):
            found[rule.metric] = min([found.get(rule.metric, math.inf), *map(_needed, rule.limits)])
    return found


def _needed(limit: Limit) -> float:
    if limit.kind in ("max", "min"):
        return PRECISION
    change = limit.value if limit.kind == "max_increase" else -limit.value
    # A limit of 0 % has no room on either side: ask for the finest that is asked for anywhere.
    return max(abs(math.log1p(max(change, -0.99))) * SHARE_OF_LIMIT, 0.002)


def _time(one: Ready, precision: Mapping[str, float], setting: Setting) -> tuple[Profile | Trial, float]:
    effort, limits, progress = (
        Effort(precision, setting.request.max_seconds),
        limits_of(setting.budget),
        setting.progress,
    )
    if one.before is None or one.counted_before is None:
        return trial.profile(one.candidate, one.counted, effort, limits, progress)
    both = trial.trial(
        {"baseline": one.before, "candidate": one.candidate},
        {"baseline": one.counted_before, "candidate": one.counted},
        effort,
        limits,
        progress,
    )
    return both, both.seconds


def _case(one: Ready, found: Profile | Trial) -> ModelCase:
    if isinstance(found, Trial):
        return model_case(one.chosen.entry.name, found.candidate, compare_trial(found), _ref(one.baseline), found)
    if isinstance(one.baseline, Missing):
        compared = without_baseline(found, one.baseline)
    elif one.baseline.profile is not None:
        compared = compare_profiles(one.baseline.profile, found)
    else:
        raise ValueError("a baseline is an artifact or a profile")
    return model_case(one.chosen.entry.name, found, compared, _ref(one.baseline))


def _ref(found: Found | Missing) -> BaselineRef | None:
    return None if isinstance(found, Missing) else found.ref


def model_case(
    name: str,
    candidate: Profile,
    compared: Mapping[str, Comparison],
    ref: BaselineRef | None,
    source: Trial | None = None,
) -> ModelCase:
    """Return the case of one measured model."""
    notes = [*candidate.notes, *(source.notes if source is not None else ())]
    if source is not None and source.ended_by == "time":
        launches = len(source.launches)
        notes.append(f"the trial ended by time after {launches} launches, before every interval was narrow enough")
    return ModelCase(
        name=name,
        comparisons=dict(compared),
        baseline=ref,
        candidate=candidate.model if candidate.model.files else None,
        hardware=candidate.hardware,
        workload=candidate.workload,
        runtime=candidate.runtime,
        notes=tuple(dict.fromkeys(notes)),
    )
