"""The newest version of a store as a baseline, with its model where that is still at hand."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from greengate import files, git
from greengate.baselines import Found, Request, extract, store
from greengate.baselines.place import Directory, Place
from greengate.errors import GreengateError
from greengate.profile import File, Missing, Model
from greengate.recipe import names_code
from greengate.verdict import BaselineRef


def newest(place: Place, uri: str, request: Request) -> Found | Missing:
    """Return the newest version of the model; Missing where it has none. Raises BaselineError where it is damaged."""
    version = store.latest(place, request.model, request.hardware)
    where = uri.removeprefix("dir:")
    stale = getattr(place, "stale", "")
    if version is None:
        lacks = f"no baseline: {where} has no version of {request.model}"
        return Missing(f"{lacks} ({stale})" if stale else lacks, "incomparable", accept_command(request))
    about = f"accepted {version.accepted}: {version.reason}" + (f" ({stale})" if stale else "")
    ref = BaselineRef(uri, about, version.profile.model.digest, version.version, version.commit)
    artifact, weights = _artifact(version, place, request)
    return Found(ref, artifact, version.profile, weights)


def accept_command(request: Request) -> str:
    """Return the next step of a user whose model has no baseline."""
    return f'run `greengate baseline accept {shlex.quote(request.model)} --reason "..."`'


#: Endings of what Python imports.
_SOURCE = (".py", ".so")

#: Looks for a folder with these very files where a folder of the work tree is, or was in a commit.
_Look = Callable[[Path, tuple[File, ...]], Path | None]


def _artifact(version: store.Version, place: Place, request: Request) -> tuple[Path | None, Path | None]:
    """Return the version's own model, byte for byte, and its weights where it is code; None where it is not at hand."""
    model = version.profile.model
    if not model.files:
        return None, None
    name, weights = PurePosixPath(model.path).name, _weights(model)
    # The files of a folder are told from the folder itself, all others from the one that the model lies in.
    is_folder = not names_code(name) and all(file.path != name for file in model.files)
    homes = dict.fromkeys(path if is_folder else path.parent for path in (request.folder / model.path, request.path))
    for look in _looks(version, place, request):
        for home in homes:
            if (found := look(home, model.files)) is not None:
                return found if is_folder else found / name, None if weights is None else found / weights.path
            # Of weights that lie elsewhere than the code, only the name is known.
            if weights is None or request.weights is None:
                continue
            apart, code = look(request.weights.parent, (weights,)), look(home, model.files[1:])
            if apart is not None and code is not None:
                return code / name, apart / weights.path
    return None, None


def _weights(model: Model) -> File | None:
    """Return the file of weights of a model that code makes: it is told first, before arguments and source."""
    first = model.files[0]
    return None if not names_code(model.path) or first.path == "args" or first.path.endswith(_SOURCE) else first


def _looks(version: store.Version, place: Place, request: Request) -> Iterator[_Look]:
    """Yield the ways to look: in the work tree, then in the commits that may hold the model.

    Code reads files that nobody noted, and in a request those of the work tree are the change's.
    """
    code = names_code(version.profile.model.path)
    if not (code and request.merge_base is not None):
        yield _in_work_tree
    if (top := git.root(request.folder)) is not None:
        for commit in _commits(version, place, request, top):
            yield partial(_in_commit, top, commit, request.scratch, code=code)


def _in_work_tree(home: Path, wanted: tuple[File, ...]) -> Path | None:
    return home if all(_is(home / file.path, file) for file in wanted) else None


def _in_commit(
    top: Path, commit: str, scratch: Path, home: Path, wanted: tuple[File, ...], *, code: bool
) -> Path | None:
    if (inside := extract.inside(top, home)) is None:
        return None
    reads = code and any(file.path.endswith(_SOURCE) for file in wanted)  # weights that lie apart read nothing
    return extract.exactly(top, commit, inside, wanted, scratch, beside=extract.BESIDE_CODE if reads else None)


def _is(path: Path, file: File) -> bool:
    try:
        return path.is_file() and path.stat().st_size == file.size and files.sha256(path) == file.sha256
    except OSError:
        return False


def _commits(version: store.Version, place: Place, request: Request, top: Path) -> Iterator[str]:
    """Yield the commit that was checked out when the version was accepted, then the one that brought it in.

    A model is often accepted before it is committed: then only the second holds it. A store that is shared through a
    remote may name a commit that a shallow checkout lacks: that one commit is fetched.
    """
    if version.commit is not None:
        if recorded := git.commit(top, version.commit):
            yield recorded
        elif not isinstance(place, Directory) and git.is_hash(version.commit):
            try:
                git.fetch(top, version.commit)
            except GreengateError:
                return
            yield version.commit
    if isinstance(place, Directory) and (added := _brought_in(version, place, request, top)):
        yield added


def _brought_in(version: store.Version, place: Directory, request: Request, top: Path) -> str | None:
    """Return the commit that added the version's file: where the target branch judges, in that branch's history."""
    path = store.path_of(place.named or place.root, version)
    if request.base is None:
        return git.added_in(top, Path(os.path.realpath(path)))
    inside = extract.inside(top, path)
    real = "" if inside is None else git.followed(top, request.base, inside)
    return git.added_in(top, top / real, request.base) if real else None
