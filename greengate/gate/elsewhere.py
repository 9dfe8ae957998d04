"""Judging what was measured elsewhere: profiles and trials made by other jobs or on other machines."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from greengate import ci, files, git, profile_file
from greengate.baselines import extract
from greengate.budget import Budget
from greengate.carbon.derive import emitted
from greengate.compare import compare_profiles, compare_trial, without_baseline
from greengate.comparison import Change, Comparison
from greengate.errors import Diagnostic, GreengateError
from greengate.gate import accuracy, parts
from greengate.gate.accuracy import with_accuracy
from greengate.gate.here import Measured, model_case
from greengate.gate.past import looked_at, with_past
from greengate.gate.ready import find_baseline
from greengate.gate.request import Chosen, Setting
from greengate.git import trees
from greengate.layers import attribute
from greengate.metrics import METRICS
from greengate.profile import Missing, Profile, Trial
from greengate.verdict import BaselineRef, Machine, ModelCase

Piece = tuple[str, Profile | Trial]


def judged_elsewhere(setting: Setting, budget: Budget, chosen: tuple[Chosen, ...]) -> Measured:
    """Merge the given files by model and compare each with its baseline; nothing is measured.

    Raises GreengateError `profile-mismatch` for files that do not belong to the budget's models or to each other,
    `profile-of-change` for those that a request brings itself.
    """
    plan = () if setting.request.plan is None else parts.read(Path(setting.request.plan))
    paths = list(_expand(setting.request.profiles, strict=not plan))
    if brought := list(_of_the_change(paths, setting)):
        raise GreengateError(*brought)
    pieces = [(path, profile_file.read(Path(path))) for path in paths]
    by_name: dict[str, list[Piece]] = {one.entry.name: [] for one in chosen}
    known = {entry.name for entry in budget.models}
    wrong: list[Diagnostic] = []
    for path, found in pieces:
        name = _candidate(found).model.name
        if name not in known:
            wrong.append(_mismatch(f"{path} measured {name!r}, which is not in {budget.path}", "name the right files"))
        elif name in by_name:
            by_name[name].append((path, found))
    wrong += [
        _mismatch(f"the plan has {name!r}, which is not in {budget.path}", "plan again with `greengate plan`")
        for name in (name for part in plan for name in part.models)
        if name not in known
    ]
    for one in chosen:
        wrong += _disagreements(one, by_name[one.entry.name], setting)
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


def _of_the_change(paths: Iterable[str], setting: Setting) -> Iterator[Diagnostic]:
    """Yield what is wrong with files that stand in the very commit that a request is judged by: they prove nothing."""
    if ci.target(setting.request.environ) is None or (top := git.root(setting.folder)) is None:
        return
    head = git.head(top)
    # A submodule or a link in the commit stands for all below it. Some file systems do not tell capital letters.
    held = {name.casefold() for name in (trees.leaves(top, head) if head is not None else ())}
    for path in paths:
        names = filter(None, (extract.inside(top, Path(path)), extract.inside(top, Path(os.path.realpath(path)))))
        above = {str(each).casefold() for name in names for each in PurePosixPath(name, "x").parents}
        if not above.isdisjoint(held):
            message = f"{path} stands in the commit that is judged: a change cannot bring its own numbers"
            help_ = "remove it from the change, or keep what other jobs measured in a folder outside of the checkout"
            yield Diagnostic("profile-of-change", message, help_)


def _candidate(found: Profile | Trial) -> Profile:
    return found.candidate if isinstance(found, Trial) else found


def _disagreements(chosen: Chosen, pieces: Sequence[Piece], setting: Setting) -> list[Diagnostic]:
    wrong = []
    spec = chosen.entry.workload
    for path, found in pieces:
        candidate = _candidate(found)
        for field in ("batch_size", "threads", "seed"):
            asked, ran = getattr(spec, field), getattr(candidate.workload, field)
            if asked != ran:
                wrong.append(
                    _mismatch(f"{path} ran with {field} {ran}, the budget asks for {asked}", "measure it again")
                )
        if _stale(chosen.path, candidate):
            wrong.append(_mismatch(f"{path} measured another file than {chosen.shown} holds now", "measure it again"))
        if other := accuracy.other_data(chosen.entry.accuracy, candidate, setting):
            wrong.append(_mismatch(f"{path} evaluated {other}", "measure it again"))
        if isinstance(found, Trial) and _other_baseline(chosen, found, setting):
            message = f"{path} compares {chosen.entry.name!r} with another baseline than the policy names"
            wrong.append(_mismatch(message, "measure it again, or give every job the same `--against`"))
    wrong += _contradictions(pieces)
    first = next((path for path, found in pieces if _candidate(found).model.files), "")
    digests = {_candidate(found).model.digest for _, found in pieces if _candidate(found).model.files}
    if len(digests) > 1:
        message = f"the files for {chosen.entry.name!r} measured different models, {first} among them"
        wrong.append(_mismatch(message, "give only files that measured the same candidate"))
    return wrong


def _stale(path: Path, measured: Profile) -> bool:
    """Tell whether the model at hand is not the one that was measured; a file that is not at hand is not stale."""
    for file in measured.model.files:
        here = path.parent / file.path if file is not measured.model.files[0] else path
        if not here.is_file():
            continue
        pointer = git.lfs_digest(here.read_bytes()) if here.stat().st_size < 1024 else None
        if (pointer or files.sha256(here)).removeprefix("sha256:") != file.sha256:
            return True
    return False


def _other_baseline(chosen: Chosen, found: Trial, setting: Setting) -> bool:
    """Tell whether a request's trial was held beside another model than its policy names now; where none is, not."""
    pointer = chosen.path.is_file() and chosen.path.stat().st_size <= git.LFS_LARGEST
    if ci.target(setting.request.environ) is None or not found.baseline.model.files:
        return False
    if pointer and git.lfs_digest(chosen.path.read_bytes()) is not None:
        return False  # a job without the contents of Git LFS need not download them
    # One copy at a time: a job that measures nothing may have no room for every model.
    with tempfile.TemporaryDirectory(dir=setting.scratch) as place:
        bound = None if setting.base_files is None else replace(setting.base_files, scratch=Path(place))
        here = replace(setting, scratch=Path(place), base_files=bound)
        try:
            named = find_baseline(chosen, here, found.candidate.hardware.id)
        except GreengateError:
            return False  # a store that only those who measure can reach
        if isinstance(named, Missing):
            return False
        if named.profile is not None and named.profile.model.files:
            return named.profile.model.digest != found.baseline.model.digest
        return named.artifact is not None and _stale(named.artifact, found.baseline)


def _contradictions(pieces: Sequence[Piece]) -> Iterator[Diagnostic]:
    """Yield every pair of files that tell different exact numbers of the same bytes in the same role."""
    seen: dict[tuple[str, str], list[tuple[str, Profile]]] = {}
    for path, found in pieces:
        sides = {"candidate": _candidate(found), **({"baseline": found.baseline} if isinstance(found, Trial) else {})}
        for role, profile in sides.items():
            known = seen.setdefault((role, profile.model.digest), []) if profile.model.files else []
            for before, other in known:
                if metric := _contradiction(other, profile):
                    message = f"{before} and {path} tell different {metric} of the same {role}, measured alike"
                    yield _mismatch(message, "measure it again, and give each file once")
            known.append((path, profile))


def _contradiction(one: Profile, other: Profile) -> str:
    """Name an exact metric that two profiles disagree on though all that it depends on is equal; empty for none.

    Simulated processors are left out: their counts differ a little from run to run.
    """
    one, other = (replace(each, launches=(), looks=()) for each in (one, other))
    for before, after in ((one, other), (other, one)):  # from 0 there is no change, to 0 there is
        for name, compared in compare_profiles(before, after).items():
            plain = METRICS[name].kind == "exact" and not METRICS[name].simulated
            if plain and isinstance(compared.change, Change) and compared.change.value != 0:
                return METRICS[name].title
    return ""


def _mismatch(message: str, help_: str) -> Diagnostic:
    return Diagnostic("profile-mismatch", message, help_)


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
    name, after = one.entry.name, accuracy.told(one, _candidate(found), setting)
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
