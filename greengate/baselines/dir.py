"""`dir:PATH`: the newest accepted version of a directory store."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from greengate import files, git
from greengate.baselines import Found, Request, extract, store
from greengate.errors import BaselineError, Diagnostic
from greengate.profile import File, Missing
from greengate.verdict import BaselineRef


def find(rest: str, request: Request) -> Found | Missing:
    """Return the newest version, with its model where that is still at hand. Raises BaselineError."""
    root = request.folder / rest
    if not root.is_dir():
        message = f"there is no baseline store in {rest!r}"
        raise BaselineError(Diagnostic("baseline-missing", message, f"check the path, or {accept_command(request)}"))
    version = store.latest(root, request.model, request.hardware)
    if version is None:
        return Missing(
            f"no baseline: {rest} has no version of {request.model}", "incomparable", accept_command(request)
        )
    profile = version.profile
    about = f"accepted {version.accepted}: {version.reason}"
    ref = BaselineRef(f"dir:{rest}", about, profile.model.digest, version.version, version.commit)
    return Found(ref, _artifact(version, root, request), profile)


def accept_command(request: Request) -> str:
    """Return the next step of a user whose model has no baseline."""
    return f'run `greengate baseline accept {shlex.quote(request.model)} --reason "..."`'


def _artifact(version: store.Version, root: Path, request: Request) -> Path | None:
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
    for commit in _commits(version, root, top):
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


def _commits(version: store.Version, root: Path, top: Path) -> Iterator[str]:
    """Yield the commit that was checked out when the version was accepted, then the one that brought it in.

    A model is often accepted before it is committed: then only the second holds it.
    """
    if version.commit is not None and (recorded := git.commit(top, version.commit)):
        yield recorded
    path = store.path_of(root, version)
    if added := git.added_in(top, Path(os.path.realpath(path))):
        yield added
