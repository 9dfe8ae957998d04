"""Judging what was measured elsewhere: profiles and trials made by other jobs or on other machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from greengate import profile_file
from greengate.budget import Budget
from greengate.carbon.derive import emitted
from greengate.compare import compare_profiles, compare_trial, without_baseline
from greengate.comparison import Change, Comparison
from greengate.errors import Diagnostic, GreengateError
from greengate.gate import accuracy, parts
from greengate.gate.accuracy import with_accuracy
from greengate.gate.here import Measured, model_case
from greengate.gate.past import looked_at, with_past
from greengate.gate.pieces import Piece, candidate_of, disagreements, mismatch, of_the_change
from greengate.gate.ready import find_baseline
from greengate.gate.request import Chosen, Setting
from greengate.layers import attribute
from greengate.profile import Missing, Profile, Trial
from greengate.verdict import BaselineRef, Machine, ModelCase


def judged_elsewhere(setting: Setting, budget: Budget, chosen: tuple[Chosen, ...]) -> Measured:
    """Merge the given files by model and compare each with its baseline; nothing is measured.

    Raises GreengateError `profile-mismatch` for files that do not belong to the budget's models or to each other,
    `profile-of-change` for those that a request brings itself.
    """
    plan = () if setting.request.plan is None else parts.read(Path(setting.request.plan))
    paths = list(_expand(setting.request.profiles, strict=not plan))
    if brought := list(of_the_change(paths, setting)):
        raise GreengateError(*brought)
    pieces = [(path, profile_file.read(Path(path))) for path in paths]
    by_name: dict[str, list[Piece]] = {one.entry.name: [] for one in chosen}
    known = {entry.name for entry in budget.models}
    wrong: list[Diagnostic] = []
    for path, found in pieces:
        name = candidate_of(found).model.name
        if name not in known:
            wrong.append(mismatch(f"{path} measured {name!r}, which is not in {budget.path}", "name the right files"))
        elif name in by_name:
            by_name[name].append((path, found))
    wrong += [
        mismatch(f"the plan has {name!r}, which is not in {budget.path}", "plan again with `greengate plan`")
        for name in (name for part in plan for name in part.models)
        if name not in known
    ]
    for one in chosen:
        wrong += disagreements(one, by_name[one.entry.name], setting)
        wrong += _too_many(one.entry.name, by_name[one.entry.name], plan)
    if wrong:
        raise GreengateError(*wrong)
    merged = [
        _merge(one, mine, setting) if (mine := by_name[one.entry.name]) else parts.unmeasured(one.entry.name, plan)
        for one in chosen
    ]
    models = tuple(emitted(case, budget.carbon) for case in merged)
    seconds = sum(found.seconds for _, found in pieces if isinstance(found, Trial))
    measured = {name: mine[0][1] for name, mine in by_name.items() if mine}
    return Measured(models, measured, seconds)


def _too_many(name: str, pieces: Sequence[Piece], plan: Sequence[parts.Part]) -> Iterable[Diagnostic]:
    """Yield what is wrong with more files of a model than parts measure it: which of them a part wrote is not known."""
    owed = [part.name for part in plan if name in part.models]
    if owed and len(pieces) > len(owed):
        message = (
            f"{' and '.join(path for path, _ in pieces)} tell of {name!r}, which the plan has measured by {owed[0]!r}"
        )
        message += "" if len(owed) == 1 else f" and {len(owed) - 1} more"
        yield mismatch(message, "give what each part of this run wrote, and nothing beside it")


def _expand(written: Sequence[str], *, strict: bool) -> Iterable[str]:
    """Yield the files; a folder stands for every .json below it, so that a merging job can name one place.

    Unless `strict` a folder may be empty or absent: a plan says what is missing.
    """
    for text in written:
        path = Path(text)
        if not path.is_dir():
            if strict or path.suffix == ".json":
                yield text
            continue
        below = sorted(str(file) for file in path.rglob("*.json"))
        if not below and strict:
            raise GreengateError(
                Diagnostic("unreadable-file", f"{text} holds no .json file", "name profiles or trials, or their folder")
            )
        yield from below


def _merge(one: Chosen, pieces: Sequence[Piece], setting: Setting) -> ModelCase:
    cases = [_case(one, found, setting) for _, found in pieces]
    merged: dict[str, Comparison] = {}
    source: dict[str, ModelCase] = {}
    for case in cases:
        for metric, comparison in case.comparisons.items():
            if metric not in merged or _worth(comparison) > _worth(merged[metric]):
                merged[metric], source[metric] = comparison, case
    notes = tuple(dict.fromkeys(note for case in cases for note in case.notes))
    first = max(cases, key=lambda case: case.candidate is not None)
    elsewhere = {
        metric: Machine(case.hardware, case.runtime)
        for metric, case in source.items()
        if case.hardware is not None and (case.hardware, case.runtime) != (first.hardware, first.runtime)
    }
    case = ModelCase(
        name=one.entry.name,
        comparisons=merged,
        baseline=first.baseline,
        candidate=first.candidate,
        hardware=first.hardware,
        workload=first.workload,
        runtime=first.runtime,
        notes=notes,
        elsewhere=elsewhere,
    )
    return with_past(case, [looked_at(found) for _, found in pieces], one, setting)


def _worth(comparison: Comparison) -> tuple[int, int]:
    """Rank what says most: a paired change, an exact one, a stored one, a value by itself, the best reason."""
    change = comparison.change
    basis = {"paired": 3, "exact": 2, "counted": 2, "stored": 1}[change.basis] if isinstance(change, Change) else 0
    if not isinstance(comparison.candidate, Missing):
        return basis, 2
    return basis, int(comparison.candidate.kind not in ("skipped", "unavailable"))


def _case(one: Chosen, found: Profile | Trial, setting: Setting) -> ModelCase:
    name, after = one.entry.name, accuracy.told(one, candidate_of(found), setting)
    if isinstance(found, Trial):
        model = found.baseline.model
        ref = BaselineRef(model.path, f"measured beside the candidate: {model.path}", model.digest)
        compared = attribute(found.baseline, found.candidate, compare_trial(found))
        case = model_case(name, found.candidate, compared, ref, found)
        return with_accuracy(case, one, accuracy.of(found.baseline), after, setting)
    baseline = find_baseline(one, setting, found.hardware.id)
    if isinstance(baseline, Missing):
        case = model_case(name, found, without_baseline(found, baseline), None)
        return with_accuracy(case, one, baseline, after, setting)
    if baseline.profile is None:
        missing = Missing("the baseline was not measured: only its model file is at hand", "incomparable")
        compared = without_baseline(found, missing)
    else:
        compared = attribute(baseline.profile, found, compare_profiles(baseline.profile, found))
    case = model_case(name, found, compared, baseline.ref)
    return with_accuracy(case, one, accuracy.told_before(one, baseline, setting), after, setting)
