"""Measuring for a verdict on this machine: find the baseline, count both, then time both side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from greengate import baselines, estimate
from greengate.baselines import Found
from greengate.budget import Budget, Limit, WorkerLimits
from greengate.compare import compare_profiles, compare_trial, without_baseline
from greengate.errors import BaselineError, Diagnostic, GreengateError, ModelError
from greengate.gate.request import Chosen, Setting
from greengate.judge import binds
from greengate.profile import Missing, Profile, Trial
from greengate.profiler import trial
from greengate.profiler.trial import Effort, Subject
from greengate.verdict import BaselineRef, Comparison, ModelCase

#: Half-width of ln(change) that is asked for where no relative limit says how narrow it must be.
PRECISION = 0.02
#: A limit is decided with room to spare when the half-width is at most this share of it.
SHARE_OF_LIMIT = 0.5

#: Codes by which a baseline's own model refuses the candidate's workload: no fault of the user's file.
_UNFED = frozenset({"input-open", "input-mismatch", "recorded-data", "batch-mismatch", "model-unsupported"})


@dataclass(frozen=True)
class Measured:
    """What a verdict is judged from: the models' cases, the raw profiles and trials, and the seconds spent."""

    models: tuple[ModelCase, ...]
    measured: Mapping[str, Profile | Trial]
    seconds: float


@dataclass(frozen=True)
class _Ready:
    """A model whose files were read and whose exact metrics were taken."""

    chosen: Chosen
    candidate: Subject
    counted: Profile
    baseline: Found | Missing
    before: Subject | None = None
    counted_before: Profile | None = None


def measured_here(setting: Setting, budget: Budget, chosen: tuple[Chosen, ...]) -> Measured:
    """Measure every chosen model beside its baseline.

    Every model is read and counted before any is timed, so that all mistakes are told at once. Raises GreengateError.
    """
    ready: list[_Ready] = []
    wrong: list[Diagnostic] = []
    for one in chosen:
        try:
            ready.append(_prepare(one, setting))
        except GreengateError as error:
            wrong += error.diagnostics
    if wrong:
        raise GreengateError(*wrong)
    cases: list[ModelCase] = []
    measured: dict[str, Profile | Trial] = {}
    seconds = 0.0
    for model in ready:
        name = model.chosen.entry.name
        found, spent = _time(model, {} if setting.request.static_only else precision_for(budget, name), setting)
        measured[name] = found
        cases.append(_case(model, found))
        seconds += spent
    return Measured(tuple(cases), measured, seconds)


def start(chosen: Chosen, setting: Setting) -> Profile | Trial:
    """Measure one model, all metrics, beside its baseline where one is asked for. Raises GreengateError."""
    ready = _prepare(chosen, setting)
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


def _limits(budget: Budget | None) -> WorkerLimits:
    return WorkerLimits() if budget is None else budget.worker


def _subject(chosen: Chosen, path: Path, folder: Path) -> Subject:
    """Return what the profiler measures: absolute paths, and the place in the budget that named them."""
    spec = chosen.entry.workload
    if spec.recorded is not None:
        spec = replace(spec, recorded=str((folder / spec.recorded).absolute()))
    return Subject(chosen.entry.name, str(path.absolute()), chosen.shown, spec, chosen.entry.span)


def _prepare(chosen: Chosen, setting: Setting) -> _Ready:
    setting.progress(trial.Step(chosen.entry.name, "counting operations", 0.0, 0.0))
    limits = _limits(setting.budget)
    candidate = _subject(chosen, chosen.path, setting.folder)
    counted = trial.count(candidate, limits, setting.created)
    baseline = find_baseline(chosen, setting, counted.hardware.id)
    if isinstance(baseline, Missing) or baseline.artifact is None:
        return _Ready(chosen, candidate, counted, baseline)
    before = _subject(replace(chosen, shown=baseline.ref.uri), baseline.artifact, setting.folder)
    try:
        return _Ready(chosen, candidate, counted, baseline, before, trial.count(before, limits, setting.created))
    except ModelError as error:
        first = error.diagnostics[0]
        if first.code not in _UNFED:
            raise
        reason = f"the baseline ({baseline.ref.about}) cannot run under this workload: {first.message}"
        return _Ready(chosen, candidate, counted, Missing(reason, "incomparable", first.help))


def find_baseline(chosen: Chosen, setting: Setting, hardware: str | None) -> Found | Missing:
    """Find the baseline of one model: the flag, else the model's, else the file's, else auto. Raises BaselineError."""
    request, budget = setting.request, setting.budget
    uri = baselines.choose(request.against, chosen.entry.baseline, budget.baseline if budget is not None else None)
    # A path on the command line starts where the user stands; one in the budget starts at the budget.
    named = request.against is not None and uri == request.against
    wanted = baselines.Request(
        model=chosen.entry.name,
        path=setting.folder / chosen.entry.path,
        folder=Path() if named and uri not in ("auto", "none") else setting.folder,
        scratch=setting.scratch,
        hardware=hardware,
        merge_base=setting.merge_base,
    )
    try:
        return baselines.resolve(uri, wanted)
    except BaselineError as error:
        # What the budget names is a mistake in the budget: point at the model's line.
        span = chosen.entry.span if not named and uri != "auto" else None
        raise BaselineError(*(replace(one, span=one.span or span) for one in error.diagnostics)) from error


def _time(one: _Ready, precision: Mapping[str, float], setting: Setting) -> tuple[Profile | Trial, float]:
    effort, limits, progress = Effort(precision, setting.request.max_seconds), _limits(setting.budget), setting.progress
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


def _case(one: _Ready, found: Profile | Trial) -> ModelCase:
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
