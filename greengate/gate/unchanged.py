"""Models that a change does not touch: told by content, and only where nothing else of the change could matter.

Whatever is not known to be harmless makes a model measured, with the reason.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from greengate import baselines, git
from greengate.bound import paying_or_paid, policies
from greengate.budget import Budget
from greengate.comparison import Comparison
from greengate.errors import GreengateError
from greengate.gate.request import Chosen, Setting
from greengate.gate.trust import Trust
from greengate.git import trees
from greengate.git.trees import Leaf
from greengate.metrics import METRICS
from greengate.profile import Missing
from greengate.profiler.backends import format_of
from greengate.profiler.jobs import Refused
from greengate.recipe import names_code
from greengate.verdict import ModelCase

#: Prose, and pictures beside it. A folder `docs` also holds what is no documentation: scripts, lists of packages.
_PROSE = re.compile(r".*\.(?:md|rst)|(?:.*/)?(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS)(?:\.txt)?", re.DOTALL)
_PICTURE = re.compile(r"docs?/.*\.(?:png|jpe?g|gif|svg|webp)", re.DOTALL)
_PLAIN_PROSE = re.compile(r".*\.(?:md|rst)", re.DOTALL)
#: What may decide how a job runs, wherever it lies.
_SETS_UP = re.compile(r"\..*|.*\.(?:toml|cfg|ini|lock|sh|pth)|(?:requirements|constraints|Dockerfile).*", re.DOTALL)
#: Baselines that only a commit of this repository can move.
_SETTLED = ("auto", "file", "profile", "dir")
#: The key that an ONNX file names external data by; protobuf stores text as it is.
_EXTERNAL = b"location"

_MEASURE = "measure it all the same: leave --skip-unchanged out"


@dataclass(frozen=True)
class Told:
    """Of each model either why it is left out, or why it is measured although it might have been left out."""

    left: Mapping[str, Missing] = field(default_factory=dict)
    measured: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Change:
    """What the change is: the repository, its merge base, what three commits hold, and the paths that differ."""

    top: Path
    commit: str
    base: Mapping[str, Leaf]
    tip: Mapping[str, Leaf]
    head: Mapping[str, Leaf]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class _Reach:
    """What a verdict on a model rests on, from the repository's root; `home` is the folder that the model lies in.

    `folders` count with all that lies below them. Of `code` nobody knows what it reads.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    home: str
    code: bool

    def holds(self, path: str) -> bool:
        """Tell whether a path is part of it, on file systems that know no case too."""
        folded = path.casefold()
        return any(folded == one.casefold() for one in self.files) or any(
            _within(folded, one.casefold()) for one in self.folders
        )


class _InDoubt(Exception):  # noqa: N818 - an answer, not an accident
    """Why a model is measured."""


def tell(chosen: Sequence[Chosen], setting: Setting, own: Budget, trusted: Trust) -> Told:
    """Say of each chosen model whether the change touches it; `own` is the change's budget as it was read."""
    try:
        change = _change(setting, own, trusted)
    except _InDoubt as doubt:
        return Told(measured={one.entry.name: str(doubt) for one in chosen})
    except GreengateError as error:
        return Told(measured={one.entry.name: error.diagnostics[0].message for one in chosen})
    entries = setting.budget.models if setting.budget is not None else ()
    reaches: dict[str, _Reach | str] = {}
    for entry in entries:
        try:
            reaches[entry.name] = _reach(Chosen(entry, setting.folder / entry.path, entry.path), setting, change.top)
        except _InDoubt as doubt:
            reaches[entry.name] = str(doubt)
    left, measured = {}, {}
    for one in chosen:
        try:
            reason = _untouched(one, change, reaches, setting)
            left[one.entry.name] = Missing(reason, "unchanged", _MEASURE)
        except _InDoubt as doubt:
            measured[one.entry.name] = str(doubt)
    return Told(left, measured)


def case(model: Chosen, missing: Missing, judging: Sequence[Budget]) -> ModelCase:
    """Return the case of a model that was left out: every metric, and every one that a rule names, is Missing."""
    named = (rule for budget in judging for each in policies(budget) for rule in each.rules)
    metrics = dict.fromkeys([*METRICS, *(metric for rule in named for metric in paying_or_paid(rule))])
    compared = {metric: Comparison(metric, missing, missing, missing) for metric in metrics}
    return ModelCase(model.entry.name, compared, None, None, None, None, {})


def noted(found: ModelCase, told: Told) -> ModelCase:
    """Add to a measured model's case why it was not left out."""
    if (why := told.measured.get(found.name)) is None:
        return found
    return replace(found, notes=(*found.notes, f"measured although --skip-unchanged was asked for: {why}"))


def _change(setting: Setting, own: Budget, trusted: Trust) -> _Change:
    if setting.merge_base is None:
        raise _InDoubt("this is no pull or merge request")
    if setting.merge_base.commit is None:
        raise _InDoubt(setting.merge_base.reason)
    if trusted.base is None or trusted.top is None or trusted.commit is None:
        raise _InDoubt("the target branch has no policy yet")
    shared = [[one.digest for one in budget.shared] for budget in (own, trusted.base)]
    if own.digest != trusted.base.digest or shared[0] != shared[1]:
        raise _InDoubt("the policy is not the target branch's")
    if (head := git.head(trusted.top)) is None:
        raise _InDoubt("nothing is committed here")
    commits = (setting.merge_base.commit, trusted.commit, head)
    base, tip, now = (trees.leaves(trusted.top, commit) for commit in commits)
    return _Change(trusted.top, commits[0], base, tip, now, trees.differing(base, now))


# --- what a verdict rests on ------------------------------------------------------------------------------------------


def _reach(one: Chosen, setting: Setting, top: Path) -> _Reach:
    """Return what a model's verdict rests on. Raises _InDoubt where that cannot be told."""
    entry, folder = one.entry, setting.folder
    uri = baselines.choose(setting.request.against, entry.baseline, setting.budget.baseline if setting.budget else None)
    scheme, _, rest = uri.partition(":")
    if scheme not in _SETTLED or names_code(rest):
        raise _InDoubt(f"its baseline {uri} may move without a change of this repository")
    start = Path() if uri == setting.request.against else folder
    named = [folder / name for name in (entry.workload.recorded, entry.recipe.weights, entry.training) if name]
    named += [folder / at for source in entry.accuracy for key, at in source.options.items() if key in ("file", "data")]
    named += [start / rest] if rest else []
    code = names_code(entry.path) or entry.workload.inputs_from is not None
    code = code or any("command" in source.options for source in entry.accuracy)
    files: list[str] = []
    folders: list[str] = []
    for path in named:
        (folders if path.is_dir() else files).append(_inside(top, path))
    if not names_code(entry.path):
        _inside(top, one.path)
        is_folder, place = _lies(one.path)
        (folders if is_folder else files).append(_inside(top, place))
    home = _inside(top, one.path if one.path.is_dir() else one.path.parent)
    if "." in folders:
        raise _InDoubt("it may read any file of the repository, at whose top it lies")
    return _Reach(tuple(files), tuple(folders), home, code)


def _lies(path: Path) -> tuple[bool, Path]:
    """Return where a model lies: a folder, with all that is in it, or one file that needs no other."""
    try:
        kind = format_of(str(path)).name
    except Refused as refusal:
        raise _InDoubt(refusal.message) from refusal
    if path.is_dir():
        return True, path
    beside = kind == "onnx" and _names_others(path)
    return beside, path.parent if beside else path


def _names_others(path: Path) -> bool:
    """Tell whether an ONNX file may have data in other files; of a Git LFS pointer nobody knows."""
    try:
        with path.open("rb") as file:
            if git.lfs_digest(file.read(git.LFS_LARGEST + 1)) is not None:
                return True
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return data.find(_EXTERNAL) >= 0
    except (OSError, ValueError) as error:
        raise _InDoubt(f"{path.name} cannot be read: {error}") from error


def _inside(top: Path, path: Path) -> str:
    """Return a path from the repository's root. Raises _InDoubt for one outside of it or behind a link."""
    written = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the links that are looked for
    if os.path.realpath(written) != written:
        raise _InDoubt(f"{path.name} is reached through a symbolic link")
    try:
        return Path(written).relative_to(top).as_posix()
    except ValueError:
        raise _InDoubt(f"{path.name} lies outside of the repository") from None


# --- whether the change touches it ------------------------------------------------------------------------------------


def _untouched(one: Chosen, change: _Change, reaches: Mapping[str, _Reach | str], setting: Setting) -> str:
    """Return why a model need not be measured. Raises _InDoubt where it may have to be."""
    own = reaches[one.entry.name]
    if isinstance(own, str):
        raise _InDoubt(own)
    if one.path != setting.folder / one.entry.path:
        raise _InDoubt(f"{one.shown} stands in for it")
    others = [reach for name, reach in reaches.items() if name != one.entry.name and isinstance(reach, _Reach)]
    kept = _inside(change.top, Path(setting.budget.path)) if setting.budget is not None else ""
    homes = [home for name, home in _homes(reaches, kept) if name != one.entry.name]
    if matters := [path for path in change.paths if not _harmless(path, own, others, homes, change)]:
        raise _InDoubt(f"{_listed(matters)} changed")
    for path in (*own.files, *own.folders):
        _hold(path, path in own.folders, change)
    if not change.paths:
        return f"nothing changed since {change.commit[:12]}"
    return f"the change does not touch it: only {_listed(change.paths)} changed since {change.commit[:12]}"


def _homes(reaches: Mapping[str, _Reach | str], budget: str) -> Iterator[tuple[str, str]]:
    """Yield the models that have a folder of their own, in which nothing else of the budget lies, with that folder."""
    known = {name: reach for name, reach in reaches.items() if isinstance(reach, _Reach)}
    if len(known) < len(reaches):
        return  # where one model rests is not known: it might be in any folder
    for name, reach in known.items():
        strangers = [
            path for other, each in known.items() if other != name for path in (*each.files, *each.folders, each.home)
        ]
        apart = not any(_within(path, reach.home) or _within(reach.home, path) for path in strangers)
        if reach.home != "." and apart and not _within(budget, reach.home) and not reach.home.startswith("."):
            yield name, reach.home


def _harmless(path: str, own: _Reach, others: Sequence[_Reach], homes: Sequence[str], change: _Change) -> bool:
    """Tell whether a path that differs cannot matter for a model: documentation, or what another model is made of."""
    if own.holds(path):
        return False
    sides = [side[path] for side in (change.base, change.head) if path in side]
    if any(side.mode != "100644" for side in sides):
        return False
    if own.code:
        return _PLAIN_PROSE.fullmatch(path) is not None
    if _PROSE.fullmatch(path) or _PICTURE.fullmatch(path):
        return True
    if any(path in one.files for one in others):
        return True
    return _SETS_UP.fullmatch(PurePosixPath(path).name) is None and any(_within(path, home) for home in homes)


def _hold(path: str, is_folder: bool, change: _Change) -> None:
    """Hold a file or folder against three commits and the work tree. Raises _InDoubt for the first difference."""
    mine = [
        {name: leaf for name, leaf in side.items() if name == path or (is_folder and _within(name, path))}
        for side in (change.base, change.tip, change.head)
    ]
    base, tip, head = mine
    if not head:
        raise _InDoubt(f"{path} is in no commit")
    if any(not leaf.is_file for leaf in head.values()):
        raise _InDoubt(f"{path} is, or holds, a symbolic link or a submodule")
    if base != head:
        raise _InDoubt(f"{path} changed")
    if tip != head:
        raise _InDoubt(f"{path} is another one on the target branch now")
    if is_folder and (strange := set(trees.below(change.top, path)) - set(head)):
        raise _InDoubt(f"{_listed(sorted(strange))} is in no commit")
    for name, leaf in head.items():
        if not trees.stands(change.top, name, leaf):
            raise _InDoubt(f"{name} is not what is committed")


def _within(path: str, folder: str) -> bool:
    return folder in (".", path) or path.startswith(f"{folder}/")


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
