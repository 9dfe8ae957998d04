"""The newest version of a store as a baseline, with its model where that is still at hand."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from greengate import files, git
from greengate.baselines import Found, Request, extract, store
from greengate.baselines.place import Directory, Place
from greengate.errors import GreengateError
from greengate.profile import File, Missing
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
    return Found(ref, _artifact(version, place, request), version.profile)


def accept_command(request: Request) -> str:
    """Return the next step of a user whose model has no baseline."""
    return f'run `greengate baseline accept {shlex.quote(request.model)} --reason "..."`'


def _artifact(version: store.Version, place: Place, request: Request) -> Path | None:
    """Return the version's own model, byte for byte: from the work tree, else from the commits that may hold it."""
    model = version.profile.model
    if not model.files:
        return None
    folders = dict.fromkeys(path.parent for path in (request.folder / model.path, request.path))
    name = PurePosixPath(model.path).name
    for folder in folders:
        if all(_is(folder / file.path, file) for file in model.files):
            return folder / name
    if (top := git.root(request.folder)) is None:
        return None
    for commit in _commits(version, place, top):
        for folder in folders:
            inside = extract.inside(top, folder)
            if inside is not None and (found := extract.exactly(top, commit, inside, model.files, request.scratch)):
                return found / name
    return None


def _is(path: Path, file: File) -> bool:
    try:
        return path.is_file() and path.stat().st_size == file.size and files.sha256(path) == file.sha256
    except OSError:
        return False


def _commits(version: store.Version, place: Place, top: Path) -> Iterator[str]:
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
    if isinstance(place, Directory):
        path = store.path_of(place.root, version)
        if added := git.added_in(top, Path(os.path.realpath(path))):
            yield added
