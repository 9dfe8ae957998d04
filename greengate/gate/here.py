"""Measuring for a verdict on this machine: find the baseline, count both, then time both side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from greengate import estimate
from greengate.baselines import Found
from greengate.budget import Budget
from greengate.carbon.derive import emitted
from greengate.compare import compare_profiles, compare_trial, without_baseline
from greengate.comparison import Change, Comparison
from greengate.errors import BaselineError, Diagnostic, ModelError
from greengate.gate import accuracy
from greengate.gate.accuracy import Said, with_accuracy
from greengate.gate.calibrated import estimated, named
from greengate.gate.past import looked_at, with_past
from greengate.gate.precision import PRECISION, energy_for, everything, metered_for, precision_for
from greengate.gate.ready import Ready, limits_of, prepare
from greengate.gate.request import Chosen, Setting
from greengate.gate.simulating import with_instructions
from greengate.judge import unconfirmed, undecided
from greengate.layers import attribute
from greengate.profile import Missing, Profile, Role, Trial
from greengate.profiler import looks, trial
from greengate.profiler.exact import Subject
from greengate.profiler.trial import Effort
from greengate.units import format_change
from greengate.verdict import BaselineRef, ModelCase


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
    prepared = prepare(chosen, setting)
    for ready, told in zip(prepared, _accuracies(prepared, setting), strict=True):
        model, counting = with_instructions(ready, setting)
        found, spent, case = _looked_at(model, told, setting, budget)
        measured[model.chosen.entry.name] = _holding(found, told)
        cases.append(case)
        seconds += spent + counting
    return Measured(tuple(cases), measured, seconds)


def _looked_at(
    model: Ready, told: tuple[Said, Said | Missing], setting: Setting, budget: Budget
) -> tuple[Profile | Trial, float, ModelCase]:
    """Take a first look, go on with it where it leaves rules open, and a second where rules fail."""
    judging, entry = setting.policies or (budget,), model.chosen.entry
    precision = {} if setting.request.static_only else precision_for(judging, entry.bound_as)
    found, spent = _time(model, precision, setting)

    def judged() -> tuple[ModelCase, frozenset[str], Mapping[str, bool]]:
        case = emitted(_judged(model, found, told, setting), budget.carbon)
        known = replace(case, rules_of=entry.rules_of)
        return case, unconfirmed(judging, known, setting.today), undecided(judging, known, setting.today)

    case, failing, still = judged()
    for metered in (False, True):  # each has a time of its own
        mine = {metric: beyond for metric, beyond in still.items() if (metric in estimate.METERED) is metered}
        if mine and not any((metric in estimate.METERED) is metered for metric in failing):
            # Precise as it was, it did not decide. What seems to be beyond a limit leaves time for a second look.
            share = estimate.FIRST_SHARE if any(mine.values()) else 1.0
            effort = _effort(model, dict.fromkeys(mine, 0.0), setting, share)
            found, spent = _look_again(model, found, spent, effort, setting, confirms=False)
    case, failing, still = judged()
    if doubted := failing | {metric for metric, beyond in still.items() if beyond}:
        effort = _effort(model, dict.fromkeys(doubted, PRECISION), setting)
        found, spent = _look_again(model, found, spent, effort, setting, confirms=True)
        case, _, _ = judged()
    return found, spent, case


def _accuracies(prepared: Iterable[Ready], setting: Setting) -> list[tuple[Said, Said | Missing]]:
    """Take the accuracies of every model, before minutes are spent on timing. Raises ModelError with every mistake."""
    found: list[tuple[Said, Said | Missing]] = []
    wrong: list[Diagnostic] = []
    for model in prepared:
        try:
            found.append(accuracy.take(model, setting))
        except ModelError as error:
            wrong += error.diagnostics
    if wrong:
        raise ModelError(*wrong)
    return found


def _holding(found: Profile | Trial, told: tuple[Said, Said | Missing]) -> Profile | Trial:
    """Return what was measured with its accuracies: what is written of it says all that was judged."""
    after, before = told
    if isinstance(found, Profile):
        return accuracy.within(found, after)
    baseline = found.baseline if isinstance(before, Missing) else accuracy.within(found.baseline, before)
    return replace(found, baseline=baseline, candidate=accuracy.within(found.candidate, after))


def start(chosen: Chosen, setting: Setting, twice: bool, *, evaluated: bool = True) -> Profile | Trial:
    """Measure one model, all metrics, beside its baseline where one is asked for, in two looks when `twice`.

    Its accuracies are taken too, unless not `evaluated`. Raises GreengateError.
    """
    (ready,) = prepare((chosen,), setting)
    if isinstance(ready.baseline, Missing) and setting.request.against not in (None, "none"):
        raise BaselineError(Diagnostic("baseline-missing", ready.baseline.reason, ready.baseline.help))
    if isinstance(ready.baseline, Found) and ready.before is None:
        message = f"the baseline's model file is not at hand: {ready.baseline.ref.about}"
        raise BaselineError(Diagnostic("baseline-missing", message, "name its file with --against file:PATH"))
    if ready.unfed is not None:
        raise BaselineError(Diagnostic("input-mismatch", f"the baseline: {ready.unfed.reason}", ready.unfed.help))
    ready, _ = with_instructions(ready, setting)
    told = accuracy.take(ready, setting) if evaluated else None
    metered = estimate.METERED if setting.request.energy else metered_for(setting.budget, chosen.entry.name)
    found, spent = _time(ready, {} if setting.request.static_only else everything(metered), setting)
    if twice:
        effort = _effort(ready, dict.fromkeys(estimate.ESTIMATORS, PRECISION), setting)
        found, _ = _look_again(ready, found, spent, effort, setting, confirms=True)
    return found if told is None else _holding(found, told)


def _time(one: Ready, precision: Mapping[str, float], setting: Setting) -> tuple[Profile | Trial, float]:
    found, seconds = _timed(one, precision, setting)
    return estimated(found, named(setting, one.chosen.entry.bound_as)), seconds


def _timed(one: Ready, precision: Mapping[str, float], setting: Setting) -> tuple[Profile | Trial, float]:
    limits, effort = limits_of(setting.budget), _effort(one, precision, setting)
    if one.candidate.lenient and not one.counted.workload.feed:
        return one.counted, 0.0
    if one.counted_before is None or one.unfed is not None:
        return trial.profile(one.candidate, one.counted, effort, limits, setting.progress)
    counted: dict[Role, Profile] = {"baseline": one.counted_before, "candidate": one.counted}
    both = trial.trial(_roles(one), counted, effort, limits, setting.progress)
    return both, both.seconds


def _look_again(
    one: Ready, found: Profile | Trial, spent: float, effort: Effort, setting: Setting, *, confirms: bool
) -> tuple[Profile | Trial, float]:
    """Take a second look at what has a first one, or go on with the first."""
    if not found.launches:
        return found, spent
    known, limits = named(setting, one.chosen.entry.bound_as), limits_of(setting.budget)
    if isinstance(found, Profile):
        look_alone = looks.confirm_alone if confirms else looks.go_on_alone
        alone, seconds = look_alone(found, spent, one.candidate, effort, limits, progress=setting.progress)
        return (found, spent) if alone is found else (estimated(alone, known), seconds)
    look = looks.confirm if confirms else looks.go_on
    both = look(found, _roles(one), effort, limits, setting.progress)
    return (found, spent) if both is found else (estimated(both, known), both.seconds)


def _effort(one: Ready, precision: Mapping[str, float], setting: Setting, part: float = 1.0) -> Effort:
    energy = energy_for(setting, one.chosen.entry.bound_as)
    return Effort(precision, setting.request.max_seconds, energy, part)


def _roles(one: Ready) -> dict[Role, Subject]:
    if one.before is None:
        raise ValueError("a trial needs a baseline")
    return {"baseline": one.before, "candidate": one.candidate}


def _judged(one: Ready, found: Profile | Trial, told: tuple[Said, Said | Missing], setting: Setting) -> ModelCase:
    after, before = told
    candidate = accuracy.within(looked_at(found), after)
    case = with_accuracy(_case(one, found), one.chosen, before, after, setting)
    return with_past(case, (candidate,), one.chosen, setting)


def _case(one: Ready, found: Profile | Trial) -> ModelCase:
    if isinstance(found, Trial):
        compared = attribute(found.baseline, found.candidate, compare_trial(found))
        return model_case(one.chosen.entry.name, found.candidate, compared, _ref(one), found)
    if isinstance(one.baseline, Missing):
        compared = without_baseline(found, one.baseline)
    elif one.counted_before is not None:
        compared = compare_profiles(one.counted_before, found)
    elif one.baseline.profile is not None:
        compared = attribute(one.baseline.profile, found, compare_profiles(one.baseline.profile, found))
    else:
        raise ValueError("a baseline is an artifact or a profile")
    return model_case(one.chosen.entry.name, found, compared, _ref(one))


def _ref(one: Ready) -> BaselineRef | None:
    """Return which baseline it was, by the digest of the very files that were measured."""
    if isinstance(one.baseline, Missing):
        return None
    before = one.counted_before
    return replace(one.baseline.ref, digest=before.model.digest) if before and before.model.files else one.baseline.ref


def _trial_notes(source: Trial, compared: Mapping[str, Comparison]) -> Iterator[str]:
    count, second = source.looks[0] if source.looks else len(source.launches), len(source.looks) > 1
    narrow = "when every interval was narrow enough" if source.ended_by == "precision" else "when its time was spent"
    more = f", then {len(source.launches) - count} more to confirm" if second else ""
    if source.ended_by in ("precision", "time"):
        yield f"the trial ended after {count} launches, {narrow}{more}"
    for metric in ("latency_p50", "cpu_time", "tokens_per_second", "energy_per_1k"):
        change = compared[metric].change if metric in compared else None
        if isinstance(change, Change) and change.noise is not None:
            low, high = format_change(change.noise.low), format_change(change.noise.high)
            yield f"noise of {metric}: the baseline beside a second copy of itself differs by {low} to {high}"


def model_case(
    name: str,
    candidate: Profile,
    compared: Mapping[str, Comparison],
    ref: BaselineRef | None,
    source: Trial | None = None,
) -> ModelCase:
    """Return the case of one measured model."""
    notes = [*candidate.notes, *(source.notes if source is not None else ())]
    if source is not None and source.launches:
        notes += _trial_notes(source, compared)
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
