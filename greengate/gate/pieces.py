"""Whether what other jobs wrote belongs to the budget, to the files at hand, and to each other."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from greengate import ci, files, git
from greengate.compare import compare_profiles
from greengate.comparison import Change
from greengate.errors import Diagnostic, GreengateError
from greengate.gate import accuracy
from greengate.gate.asked import asked, differs
from greengate.gate.brought import brought
from greengate.gate.ready import find_baseline
from greengate.gate.request import Chosen, Setting
from greengate.metrics import METRICS
from greengate.profile import Missing, Profile, Trial
from greengate.recipe import Recipe, names_code

Piece = tuple[str, Profile | Trial]


def of_the_change(paths: Iterable[str], setting: Setting) -> Iterator[Diagnostic]:
    """Yield what is wrong with files that stand in the very commit that a request is judged by: they prove nothing."""
    of_the_commit = brought(setting.folder, setting.request.environ)
    for path in paths:
        if of_the_commit(Path(path)):
            message = f"{path} stands in the commit that is judged: a change cannot bring its own numbers"
            help_ = "remove it from the change, or keep what other jobs measured in a folder outside of the checkout"
            yield Diagnostic("profile-of-change", message, help_)


def candidate_of(found: Profile | Trial) -> Profile:
    """Return the profile of the candidate."""
    return found.candidate if isinstance(found, Trial) else found


def disagreements(chosen: Chosen, pieces: Sequence[Piece], setting: Setting) -> list[Diagnostic]:
    """Return in what the pieces of one model do not fit the budget, the files at hand, or each other."""
    wrong = []
    spec = chosen.entry.workload
    for path, found in pieces:
        candidate = candidate_of(found)
        for field in ("batch_size", "threads", "seed"):
            wanted, ran = getattr(spec, field), getattr(candidate.workload, field)
            if wanted != ran:
                wrong.append(
                    mismatch(f"{path} ran with {field} {ran}, the budget asks for {wanted}", "measure it again")
                )
        if differs(candidate.workload.asked, asked(chosen, setting)):
            message = f"{path} ran with other inputs or settings than the budget asks for"
            wrong.append(mismatch(message, "measure it again"))
        if _stale(chosen.path, _recipe(chosen, setting), candidate):
            wrong.append(mismatch(f"{path} measured another file than {chosen.shown} holds now", "measure it again"))
        if other := accuracy.other_data(chosen.entry.accuracy, candidate, setting):
            wrong.append(mismatch(f"{path} evaluated {other}", "measure it again"))
        if isinstance(found, Trial) and _other_baseline(chosen, found, setting):
            message = f"{path} compares {chosen.entry.name!r} with another baseline than the policy names"
            wrong.append(mismatch(message, "measure it again, or give every job the same `--against`"))
    wrong += _contradictions(pieces)
    first = next((path for path, found in pieces if candidate_of(found).model.files), "")
    digests = {candidate_of(found).model.digest for _, found in pieces if candidate_of(found).model.files}
    if len(digests) > 1:
        message = f"the files for {chosen.entry.name!r} measured different models, {first} among them"
        wrong.append(mismatch(message, "give only files that measured the same candidate"))
    beside = {
        found.baseline.model.digest for _, found in pieces if isinstance(found, Trial) and found.baseline.model.files
    }
    if len(beside) > 1:
        message = f"the trials of {chosen.entry.name!r} were held beside different baselines"
        wrong.append(mismatch(message, "measure them again: the baseline moved between two of them"))
    return wrong


def _recipe(chosen: Chosen, setting: Setting) -> Recipe:
    recipe = chosen.entry.recipe
    return recipe if recipe.weights is None else replace(recipe, weights=str(setting.folder / recipe.weights))


def _stale(path: Path, recipe: Recipe, measured: Profile) -> bool:
    """Tell whether the model at hand is not the one that was measured; a file that is not at hand is not stale."""
    code = names_code(str(path))
    if code and recipe.args != "{}" and all(file.path != "args" for file in measured.model.files):
        return True
    for place, file in enumerate(measured.model.files):
        if code and file.path == "args":
            if hashlib.sha256(recipe.args.encode()).hexdigest() != file.sha256:
                return True
            continue
        here = _at_hand(path, recipe, place, file.path)
        if not here.is_file():
            continue
        pointer = git.lfs_digest(here.read_bytes()) if here.stat().st_size <= git.LFS_LARGEST else None
        if (pointer or files.sha256(here)).removeprefix("sha256:") != file.sha256:
            return True
    return False


def _at_hand(path: Path, recipe: Recipe, place: int, name: str) -> Path:
    """Return where a file of a model is: below its folder, beside the code that makes it, or the model itself."""
    if path.is_dir():
        return path / name
    if names_code(str(path)):
        return path.parent / name if recipe.weights is None or place else Path(recipe.weights)
    return path.parent / name if place else path


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
        if named.artifact is None:
            return False
        recipe = _recipe(chosen, setting)
        recipe = recipe if named.weights is None else replace(recipe, weights=str(named.weights))
        return _stale(named.artifact, recipe, found.baseline)


def _contradictions(pieces: Sequence[Piece]) -> Iterator[Diagnostic]:
    """Yield every pair of files that tell different exact numbers of the same bytes in the same role."""
    seen: dict[tuple[str, str], list[tuple[str, Profile]]] = {}
    for path, found in pieces:
        sides = {"candidate": candidate_of(found), **({"baseline": found.baseline} if isinstance(found, Trial) else {})}
        for role, profile in sides.items():
            known = seen.setdefault((role, profile.model.digest), []) if profile.model.files else []
            for before, other in known:
                if metric := _contradiction(other, profile):
                    message = f"{before} and {path} tell different {metric} of the same {role}, measured alike"
                    yield mismatch(message, "measure it again, and give each file once")
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


def mismatch(message: str, help_: str) -> Diagnostic:
    """Return what is wrong with a file that does not belong."""
    return Diagnostic("profile-mismatch", message, help_)
