"""The directory store: ROOT/<model>/<hardware>/<NNNN>.json, numbered, chained by digest, never changed.

One file is one accepted version (`greengate.baseline/1`). Each holds the digest of the version before it.
"""

from __future__ import annotations

import dataclasses
import datetime
import errno
import hashlib
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from greengate import codec, files, profile_file
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.profile import Profile

SCHEMA = "greengate.baseline/1"
_FILE = re.compile(r"([0-9]{4,9})\.json")
_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Version:
    """One accepted baseline of one model on one hardware.

    `accepted` is UTC, `by` who accepted it, `commit` what was checked out then, `previous` the digest of the file
    of the version before, `passed` whether it was within the budget (None: nobody looked).
    """

    model: str
    version: int
    accepted: str
    reason: str
    by: str
    commit: str | None
    previous: str | None
    passed: bool | None
    profile: Profile


def accept(
    store: Path,
    profile: Profile,
    reason: str,
    *,
    now: datetime.datetime,
    by: str,
    commit: str | None = None,
    passed: bool | None = None,
) -> Version:
    """Add a profile to the store as the next version of its model on its hardware.

    Several writers at once each get a number of their own, and the chain stays whole. `now` carries its time zone.
    Raises BaselineError `baseline-damaged` where the chain to add to is, ReportError `cannot-write`.
    """
    stamp = now.astimezone(datetime.UTC).strftime(_STAMP)
    folder = store / safe_name(profile.model.name) / profile.hardware.id
    while True:
        chain, previous = _chain(folder, profile.model.name)
        number = len(chain) + 1
        version = Version(profile.model.name, number, stamp, reason, by, commit, previous, passed, profile)
        text = profile_file.dump(SCHEMA, codec.encode(version))
        if files.create_exclusive(path_of(store, version), text):
            return version


def history(store: Path, model: str) -> tuple[Version, ...]:
    """Return every version of a model, oldest first, each chain checked. Raises BaselineError `baseline-damaged`."""
    found = [version for chain in _chains(store, model) for version in chain]
    return tuple(sorted(found, key=_age))


def latest(store: Path, model: str, hardware: str | None) -> Version | None:
    """Return the version that is the baseline; None where the model has none.

    The newest over all hardware says which model it is; of the versions with that model's digest, the newest made
    on this `hardware` is preferred. Raises BaselineError `baseline-damaged`.
    """
    chains = _chains(store, model)
    if not chains:
        return None
    newest = max((chain[-1] for chain in chains), key=_age)
    here = [
        version
        for chain in chains
        for version in chain
        if version.profile.hardware.id == hardware and version.profile.model.digest == newest.profile.model.digest
    ]
    return here[-1] if here else newest


def models(store: Path) -> tuple[str, ...]:
    """Return the names of all models that have a version. Raises BaselineError `baseline-damaged`."""
    return tuple(sorted(_model_name(folder) for folder in _folders(store) if any(map(_numbered, _folders(folder)))))


def path_of(store: Path, version: Version) -> Path:
    """Return the file a version is kept in."""
    return store / safe_name(version.model) / version.profile.hardware.id / f"{version.version:04d}.json"


def safe_name(model: str) -> str:
    """Return a model's name as a folder's: any other byte than a-z 0-9 _ - . becomes %xx.

    Reversible; two names never share a folder, not even where the file system ignores case. A dot is kept between
    other characters. Raises BaselineError `bad-value` for an empty name.
    """
    if not model:
        raise BaselineError(Diagnostic("bad-value", "a baseline needs a model with a name", "name the model"))
    kept = [chr(byte) if byte in _KEPT else f"%{byte:02x}" for byte in model.encode("utf-8", "surrogatepass")]
    for end in (0, -1):
        kept[end] = kept[end].replace(".", "%2e")
    return "".join(kept)


def _model_name(folder: Path) -> str:
    try:
        name = urllib.parse.unquote(folder.name, errors="surrogatepass")
    except UnicodeError:
        name = ""
    if not name or safe_name(name) != folder.name:
        _damaged(folder, "is not a folder this store would make", "move it out of the store")
    return name


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return []
        _damaged(folder, f"cannot be read: {error.strerror}", "check the permissions of the store")


def _folders(folder: Path) -> list[Path]:
    return [path for path in _list(folder) if path.is_dir()]


def _numbered(folder: Path) -> dict[int, Path]:
    return {int(match[1]): path for path in _list(folder) if (match := _FILE.fullmatch(path.name))}


def _chains(store: Path, model: str) -> list[list[Version]]:
    chains = [_chain(folder, model)[0] for folder in _folders(store / safe_name(model))]
    return [chain for chain in chains if chain]


def _chain(folder: Path, model: str) -> tuple[list[Version], str | None]:
    """Return one hardware's versions in order and the digest of the last file, every link checked."""
    found = _numbered(folder)
    chain: list[Version] = []
    previous = None
    for number in range(1, max(found, default=0) + 1):
        path = folder / f"{number:04d}.json"
        if found.get(number) != path:
            _damaged(path, "is missing, and later versions build on it")
        version, digest = _read(path)
        if version.previous != previous:
            _damaged(
                path, "does not follow from the version before it: one of the two was changed after it was written"
            )
        if (version.model, version.version, version.profile.hardware.id) != (model, number, folder.name):
            _damaged(path, "holds another model, version or hardware than its place says")
        chain.append(version)
        previous = digest
    return chain, previous


def _read(path: Path) -> tuple[Version, str]:
    try:
        data = path.read_bytes()
        fields = profile_file.parse(data.decode(), str(path))
        if (schema := fields.pop("schema", None)) != SCHEMA:
            _damaged(path, f"has the schema {schema!r} instead of {SCHEMA!r}")
        version = codec.decode(Version, fields)
        if datetime.datetime.strptime(version.accepted, _STAMP).strftime(_STAMP) != version.accepted:
            _damaged(path, f"has the date {version.accepted!r} instead of one like 2026-01-31T09:30:00Z")
    except OSError as error:
        _damaged(path, f"cannot be read: {error.strerror or error}", "check the permissions of the store")
    except (ValueError, OverflowError) as error:
        _damaged(path, str(error))
    except BaselineError:
        raise
    except GreengateError as error:
        finding = error.diagnostics[0]
        raise BaselineError(dataclasses.replace(finding, code="baseline-damaged", help=_mend(path))) from error
    return version, f"sha256:{hashlib.sha256(data).hexdigest()}"


def _age(version: Version) -> tuple[str, int, str]:
    return version.accepted, version.version, version.profile.hardware.id


def _mend(path: Path) -> str:
    return f"restore it from history, for example `git checkout HEAD -- {path.parent}`; versions are never edited"


def _damaged(path: Path, what: str, help: str = "") -> NoReturn:
    raise BaselineError(Diagnostic("baseline-damaged", f"{path} {what}", help or _mend(path)))
