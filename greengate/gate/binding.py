"""How a change is measured under the target branch's policy: its workload, inputs, baselines; nothing left out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from greengate import files, git
from greengate.baselines import extract
from greengate.bound import paying_or_paid, policies
from greengate.budget import AccuracySource, Budget, ModelEntry
from greengate.errors import BaselineError, Diagnostic
from greengate.git import branch as plumbing
from greengate.git import trees
from greengate.git.trees import Leaf
from greengate.recipe import names_code

#: Ends the name of a model that the target branch's budget has at another file, which is still there.
OLD = "@base"


def bind(head: Budget, base: Budget | None) -> Budget:
    """Return the budget to measure by: the change's models, run as the base says, and those the change left out.

    A model that is gone from the budget, or points at another file, is still judged while its file remains; and what
    the change adds is judged as if it had taken the place of one that is gone. A new model names no baseline of its
    own: one that the change chooses proves nothing.
    """
    if base is None:
        return head
    folder = Path(head.path).parent
    before = {model.name: model for model in base.models}
    found: list[ModelEntry] = []
    for own in head.models:
        known = before.pop(own.name, None)
        if known is None:
            found.append(replace(own, baseline=None))
            continue
        sources = _sources(own, known, base)
        # Where the base names no record of the training, it says nothing of it.
        training = known.training or own.training
        found.append(
            replace(own, workload=known.workload, accuracy=sources, baseline=known.baseline, training=training)
        )
        if (folder / known.path).resolve() != (folder / own.path).resolve() and stands(folder / known.path):
            found.append(replace(known, name=f"{known.name}{OLD}", rules_of=known.name))
    found += [model for model in before.values() if stands(folder / model.path)]
    found += _successors(head, base)
    return replace(
        head,
        models=tuple(found),
        baseline=base.baseline,
        worker=base.worker,
        power_log=base.power_log,
        calibration=base.calibration,
        carbon=base.carbon,
    )


def _successors(head: Budget, base: Budget) -> list[ModelEntry]:
    """Return models that only the change has, each as a model of the base that it may be by another name.

    Whatever binds both alike, another name chooses how the model is run and what it is compared with. One whose file
    stays is judged there by its own name.
    """
    folder = Path(head.path).parent
    now, then = {model.name for model in head.models}, {model.name for model in base.models}
    gone = [(model, stands(folder / model.path)) for model in base.models if model.name not in now]
    fresh = [model for model in head.models if model.name not in then]
    return [
        replace(
            old,
            name=f"{new.name}@{old.name}" if remains or len(fresh) > 1 else f"{old.name}{OLD}",
            path=new.path,
            recipe=new.recipe,
            rules_of=old.name,
        )
        for old, remains in gone
        for new in fresh
        if not (remains and _alike(old, new, folder))
    ]


def _alike(old: ModelEntry, new: ModelEntry, folder: Path) -> bool:
    return (folder / old.path).resolve() == (folder / new.path).resolve() and old.recipe == new.recipe


def _sources(own: ModelEntry, known: ModelEntry, base: Budget) -> tuple[AccuracySource, ...]:
    """Return where accuracies come from: as the base says, and new ones of the change that no rule of the base names.

    A rule that the base could not judge for want of a source is not to be satisfied by one that the change brings.
    """
    settled = {source.metric for source in known.accuracy}
    settled |= {name for policy in policies(base) for rule in policy.rules for name in paying_or_paid(rule)}
    fresh = (replace(source, of_change=True) for source in own.accuracy if source.metric not in settled)
    return (*known.accuracy, *fresh)


def stands(path: Path) -> bool:
    """Tell whether a model is still there: its file, its folder, or the module that makes it."""
    if names_code(str(path)):
        module = path.parent / path.name.partition(":")[0].replace(".", "/")
        return module.with_name(f"{module.name}.py").is_file() or (module / "__init__.py").is_file()
    return path.is_file() or (path / "config.json").is_file()


def reworked(head: Budget, base: Budget | None) -> frozenset[str]:
    """Return the models that the change wants run in another way than the base says."""
    if base is None:
        return frozenset()
    before = {model.name: model for model in base.models}
    named = {own.name for own in head.models if own.name in before and own.workload != before[own.name].workload}
    return frozenset(named | {model.name for model in _successors(head, base)})


@dataclass(frozen=True)
class BaseFiles:
    """Files that the policy names, as the target branch has them; extracted below `scratch` when they are asked for."""

    top: Path
    commit: str
    folder: Path
    scratch: Path

    def at(self, rest: str) -> Path:
        """Return the base's copy of a file or folder, `rest` being relative to `folder`.

        What only the change has is absent. What git does not know at all, or lies outside, is the work tree's.
        """
        own = self.folder / rest
        # A link that the job made may lead to what git knows.
        real = extract.inside(self.top, Path(os.path.realpath(own)))
        inside = extract.inside(self.top, own) or real
        if inside is None:
            return own
        if (found := self._file(inside) or self._folder(inside)) is not None:
            return found
        if self._is_of_the_change(inside):
            return self.scratch / "not-on-the-target-branch" / inside
        return own if real in (None, inside) else replace(self, folder=self.top).at(str(real))

    def _file(self, inside: str) -> Path | None:
        try:
            return extract.model(self.top, self.commit, inside, self.scratch)
        except extract.NotAtHand as lack:
            raise BaselineError(Diagnostic("baseline-missing", str(lack), lack.help)) from lack

    def _folder(self, inside: str) -> Path | None:
        # The root is a folder as any other, and no commit has a name for it.
        folder = "" if inside == "." else git.followed(self.top, self.commit, inside)
        if not folder and inside != ".":
            return None
        lead = f"{folder}/" if folder else ""
        listed = plumbing.listing(self.top, self.commit)
        below = {name.removeprefix(lead): blob for name, blob in listed.items() if name.startswith(lead)}
        if not below:
            return None
        with files.cannot_write(self.scratch):
            copy = Path(tempfile.mkdtemp(dir=self.scratch, prefix="base-"))
            for name, content in zip(below, plumbing.read_blobs(self.top, list(below.values())), strict=True):
                target = copy / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        return copy

    def _is_of_the_change(self, inside: str) -> bool:
        """Tell whether a change may have put there what lies in the work tree; some file systems know no case."""
        if (head := git.head(self.top)) is None:
            return False
        then, now = (trees.leaves(self.top, commit) for commit in (self.commit, head))
        folded = inside.casefold()
        # A link of the change that leads out of the repository is of the change all the same.
        above = {parent.as_posix() for parent in PurePosixPath(folded, "x").parents}
        near = [name for name in then.keys() | now.keys() if _lies(name.casefold(), folded, above)]
        return any(self._is_another(name, then.get(name), now.get(name)) for name in near)

    def _is_another(self, name: str, then: Leaf | None, now: Leaf | None) -> bool:
        """Tell whether what a change has at a path is its own; of a submodule, whether it may be another than then."""
        module = then if then is not None and then.is_module else now
        if module is None or not module.is_module:
            return now is not None
        return then != now or not trees.checked_out(self.top, name, module)


def _lies(name: str, path: str, above: Collection[str]) -> bool:
    return name in above or name.startswith(f"{path}/")
