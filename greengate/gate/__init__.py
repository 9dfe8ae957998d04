"""The hall: measure, compare, judge. The Python API; it reads files but writes none."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from greengate import __version__, budget_file, ci
from greengate.budget import Budget
from greengate.ci import stranger
from greengate.errors import Diagnostic, GreengateError
from greengate.gate import cost, parts, trust, unchanged
from greengate.gate.binding import BaseFiles, bind, reworked
from greengate.gate.elsewhere import judged_elsewhere
from greengate.gate.here import Measured, measured_here, start
from greengate.gate.ledgers import ledgers
from greengate.gate.precision import metered_by
from greengate.gate.request import Checked, Chosen, Request, Setting, choose, single
from greengate.gate.rounds import ROUNDS, merge
from greengate.gate.trust import Trust
from greengate.gate.twin import twins
from greengate.judge import judge
from greengate.profile import Missing, Profile, Trial
from greengate.profiler.trial import Progress, silent
from greengate.verdict import Case, Context, ModelCase

__all__ = ["Checked", "Request", "bound", "check", "choose", "measure_all", "profile", "profile_twins", "untouched"]


def check(request: Request, now: datetime.datetime, progress: Progress = silent) -> Checked:
    """Measure the budget's models (or read what was measured elsewhere), compare with their baselines, and judge.

    Returns the verdict with what was measured. Raises GreengateError, with every mistake found, when it cannot start.
    """
    if not request.profiles:
        stranger.refuse(request.environ)
    budget = budget_file.read(Path(request.budget or "budgets.yaml"))
    # An estimate is asked for where a rule is content with one.
    estimates = any(rule.allow_estimated for rule in budget.rules)
    energy = metered_by(budget, Path(budget.path).parent, estimates, request.environ)
    with cost.watched(energy) as spent:
        case, found = _measured(request, budget, now, progress)
        verdict = replace(judge(case), seconds=found.seconds, greengate=__version__)
        return Checked(replace(verdict, cost=spent()), found.measured)


def _measured(request: Request, budget: Budget, now: datetime.datetime, progress: Progress) -> tuple[Case, Measured]:
    trusted = trust.read(request, budget, now)
    binding = bind(budget, trusted.base)
    chosen = choose(binding, _asked(request), exactly=request.plan is not None)
    recorded = ledgers(budget, trusted, binding.carbon)
    with _setting(binding, request, now, progress) as plain:
        setting = _trusting(plain, budget, trusted)
        told = unchanged.tell(chosen, setting, budget, trusted) if request.skip_unchanged else unchanged.Told()
        if request.profiles:
            found = judged_elsewhere(setting, binding, chosen)
        else:
            found = measured_here(setting, binding, tuple(one for one in chosen if one.entry.name not in told.left))
    case = Case(
        budget=budget,
        policy=trusted.policy,
        models=_bound(_with_left_out(found, chosen, told, setting), binding),
        context=replace(_context(request), authors=trusted.authors),
        today=now.date(),
        base=trusted.base,
        approvals=trusted.approvals,
        ledgers=recorded,
    )
    return case, found


def _with_left_out(
    found: Measured, chosen: Iterable[Chosen], told: unchanged.Told, setting: Setting
) -> Iterator[ModelCase]:
    """Yield the models' cases; one that was left out, and that no other job measured, says so."""
    cases = {case.name: case for case in found.models}
    for one in chosen:
        name = one.entry.name
        if name in told.left and name not in found.measured:
            yield unchanged.case(one, told.left[name], setting.policies)
        else:
            yield unchanged.noted(cases[name], told)


def bound(request: Request, now: datetime.datetime) -> tuple[Budget, tuple[Budget, ...]]:
    """Return the budget that a check would measure by, and all policies that would judge. Raises GreengateError."""
    budget = budget_file.read(Path(request.budget or "budgets.yaml"))
    base = trust.read(request, budget, now).base
    return bind(budget, base), (budget,) if base is None else (budget, base)


def _asked(request: Request) -> tuple[str, ...]:
    if request.plan is None or request.part is None:
        return request.models
    return parts.models_of(Path(request.plan), request.part)


def _context(request: Request) -> Context:
    return ci.context(request.environ, request.strict, request.part, request.static_only)


def _trusting(setting: Setting, own: Budget, trusted: Trust) -> Setting:
    if trusted.base is None or trusted.top is None or trusted.commit is None:
        return setting
    files = BaseFiles(trusted.top, trusted.commit, setting.folder, setting.scratch)
    lenient, policies = reworked(own, trusted.base), (own, trusted.base)
    return replace(setting, base_files=files, reworked=lenient, policies=policies, base=trusted.base)


def _bound(models: Iterable[ModelCase], binding: Budget) -> tuple[ModelCase, ...]:
    aliases = {model.name: model.rules_of for model in binding.models}
    return tuple(replace(model, rules_of=aliases.get(model.name, "")) for model in models)


def untouched(request: Request, now: datetime.datetime) -> Collection[str]:
    """Return the models that a check would leave out as unchanged. Raises GreengateError."""
    budget = budget_file.read(Path(request.budget or "budgets.yaml"))
    trusted = trust.read(request, budget, now)
    binding = bind(budget, trusted.base)
    with _setting(binding, request, now, silent) as plain:
        return unchanged.tell(choose(binding, ()), _trusting(plain, budget, trusted), budget, trusted).left.keys()


def profile(
    request: Request, now: datetime.datetime, progress: Progress = silent, *, twice: bool = True
) -> Profile | Trial:
    """Measure one model in two looks, by itself or as a trial beside the baseline that `request.against` names.

    Nobody knows yet by which rules it will be judged: what they might call a failure is confirmed now, unless what
    is measured will never be judged (not `twice`).

    The model is a name in the budget, or a path. Raises GreengateError when it cannot start, or when a baseline was
    named and there is none.
    """
    budget = budget_file.read(Path(request.budget)) if request.budget else None
    with _setting(budget, request, now, progress) as setting:
        return start(single(budget, request.models[0]), setting, twice=twice)


def profile_twins(
    request: Request, now: datetime.datetime, keep: Path | None = None, progress: Progress = silent
) -> tuple[Profile, Profile | Missing]:
    """Measure one PyTorch model as `profile` does, and the ONNX file that it is exported to, which `keep` keeps.

    The second is Missing where the worker that exports broke. Raises GreengateError, also where it cannot be exported.
    """
    budget = budget_file.read(Path(request.budget)) if request.budget else None
    with _setting(budget, request, now, progress) as setting:
        return twins(single(budget, request.models[0]), setting, keep)


def measure_all(request: Request, now: datetime.datetime, progress: Progress = silent) -> Mapping[str, Profile]:
    """Measure every chosen model of the budget by itself, all metrics, in several trials apart.

    Raises GreengateError when it cannot start.
    """
    budget = budget_file.read(Path(request.budget or "budgets.yaml"))
    found: dict[str, Profile] = {}
    wrong: list[Diagnostic] = []
    with _setting(budget, _alone(request), now, progress) as setting:
        for one in choose(budget, request.models):
            try:
                found[one.entry.name] = _apart(one, setting)
            except GreengateError as error:
                wrong += error.diagnostics
    if wrong:
        raise GreengateError(*wrong)
    return found


def measure(request: Request, now: datetime.datetime, progress: Progress = silent) -> Profile:
    """Measure the model at a path as `measure_all` does those of a budget. Raises GreengateError."""
    with _setting(None, _alone(request), now, progress) as setting:
        return _apart(single(None, request.models[0]), setting)


def _alone(request: Request) -> Request:
    """Return the request without a baseline, its time shared by the rounds of a model."""
    each, joules = max(request.max_seconds / ROUNDS, 1), request.energy_seconds / ROUNDS
    return replace(request, against="none", max_seconds=each, energy_seconds=joules)


def _apart(one: Chosen, setting: Setting) -> Profile:
    # What is exact is not measured again in every round.
    again = replace(setting, request=replace(setting.request, simulation_seconds=0.0))
    rounds = [start(one, again if round else setting, twice=False, evaluated=not round) for round in range(ROUNDS)]
    return merge([each for each in rounds if isinstance(each, Profile)])


@contextmanager
def _setting(budget: Budget | None, request: Request, now: datetime.datetime, progress: Progress) -> Iterator[Setting]:
    folder = Path(budget.path).parent if budget is not None else Path()
    if not request.profiles:
        stranger.refuse(request.environ)
    target = ci.target(request.environ)
    base = ci.merge_base(folder, target) if target is not None else None
    with tempfile.TemporaryDirectory(prefix="greengate-", ignore_cleanup_errors=True) as scratch:
        yield Setting(budget, request, Path(scratch), now.isoformat(timespec="seconds"), progress, base)
