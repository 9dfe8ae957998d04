"""Proof that a store is what was accepted: every chain whole, and nothing ever edited in the history around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from greengate import git
from greengate.baselines import store
from greengate.baselines.branch import Branch
from greengate.baselines.place import Directory, Place
from greengate.errors import BaselineError, Diagnostic


@dataclass(frozen=True)
class Seal:
    """A whole chain: `digest` is of its last file, and vouches for every version before it."""

    model: str
    hardware: str
    versions: int
    digest: str


@dataclass(frozen=True)
class Proof:
    """What was proved and what was found wrong; `notes` say what could not be looked at."""

    seals: tuple[Seal, ...]
    wrong: tuple[Diagnostic, ...]
    notes: tuple[str, ...] = ()


def verify(place: Place, model: str | None = None, seal: str | None = None) -> Proof:
    """Check every chain of a model, or of all, and that git's history shows no version edited or removed.

    With a `seal`, a digest noted before, some version must still have it. Every mistake is collected.
    """
    seals: list[Seal] = []
    digests: set[str] = set()
    wrong: list[Diagnostic] = []
    for chain in _chains(place, model):
        if isinstance(chain, BaselineError):
            wrong += chain.diagnostics
            continue
        last = chain.versions[-1]
        seals.append(Seal(last.model, last.profile.hardware.id, len(chain.versions), chain.digests[-1]))
        digests |= set(chain.digests)
    if seal is not None and seal not in digests:
        message = f"no version has the digest {seal}: the store was rewritten after it was noted"
        wrong.append(Diagnostic("baseline-damaged", message, "restore the store from a copy that has it"))
    edits, notes = _edits(place, "" if model is None else store.safe_name(model))
    return Proof(tuple(seals), tuple(dict.fromkeys((*wrong, *edits))), notes)


def _chains(place: Place, model: str | None) -> Iterator[store.Chain | BaselineError]:
    """Yield every chain, or what is wrong with it; one broken chain does not hide the next."""
    try:
        names = store.models(place) if model is None else (model,)
    except BaselineError as error:
        yield error
        return
    for name in names:
        for hardware in place.folders(store.safe_name(name)):
            try:
                chain = store.chain(place, name, hardware)
            except BaselineError as error:
                yield error
                continue
            if chain.versions:
                yield chain


def _edits(place: Place, folder: str) -> tuple[list[Diagnostic], tuple[str, ...]]:
    if isinstance(place, Branch):
        top, tip, prefix = place.top, place.tip, folder
    elif isinstance(place, Directory) and (found := _in_git(place.root)) is not None:
        top, inside = found
        tip, prefix = git.head(top), f"{inside}/{folder}".strip("/")
    else:
        return [], ("not in a git repository: an edit of the last version cannot be told",)
    if tip is None:
        return [], ()
    found_edits = git.edits(top, tip, prefix, uncommitted=isinstance(place, Directory))
    notes = ("history is cut off here: edits before that cannot be told",) if git.is_shallow(top) else ()
    return [_edited(edit) for edit in found_edits if edit.path.endswith(".json")], notes


def _in_git(root: Path) -> tuple[Path, str] | None:
    if not root.is_dir() or (top := git.root(root)) is None:
        return None
    inside = Path(os.path.realpath(root)).relative_to(os.path.realpath(top)).as_posix()
    return top, "" if inside == "." else inside


def _edited(edit: git.Edit) -> Diagnostic:
    where = f"in commit {edit.commit[:12]}" if edit.commit else "in the work tree, not committed"
    message = f"{edit.path} was {edit.what} after it was accepted, {where}"
    look = f"see what changed with `git show {edit.commit[:12]} -- {edit.path}`"
    help = look if edit.commit else f"restore it: `git checkout HEAD -- {edit.path}`"
    return Diagnostic("baseline-damaged", message, help)
