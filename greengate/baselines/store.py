"""Versions in a place: <model>/<hardware>/<NNNN>.json, numbered, chained by digest, never changed.

One file is one accepted version (`greengate.baseline/1`). Each holds the digest of the version before it.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from greengate import codec, profile_file
from greengate.baselines.place import Directory, Place, damaged
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.profile import Profile

SCHEMA = "greengate.baseline/1"
_FILE = re.compile(r"([0-9]{4,9})\.json")
_LATER = re.compile(r"greengate\.baseline/[1-9][0-9]{0,8}")
_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
STAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Version:
    """One accepted baseline of one model on one hardware.

    `accepted` is UTC, `by` who accepted it, `commit` what was checked out then, `previous` the digest of the file
    of the version before, `passed` whether it was within the budget (None: nobody looked), `restores` the earlier
    version that this one brings back.
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
    restores: int | None = None


@dataclass(frozen=True)
class Chain:
    """The versions of one model on one hardware, in order, with the digest of each one's file."""

    folder: str
    versions: tuple[Version, ...]
    digests: tuple[str, ...]


def accept(
    store: Path | Place,
    profile: Profile,
    reason: str,
    *,
    now: datetime.datetime,
    by: str,
    commit: str | None = None,
    passed: bool | None = None,
    restores: int | None = None,
) -> Version:
    """Add a profile to the store as the next version of its model on its hardware.

    Several writers at once each get a number of their own, and the chain stays whole. `now` carries its time zone.
    Raises BaselineError `baseline-damaged` where the chain to add to is, ReportError `cannot-write`.
    """
    stamp = now.astimezone(datetime.UTC).strftime(STAMP)
    place, name, hardware = _place(store), profile.model.name, profile.hardware.id
    while True:
        before = chain(place, name, hardware)
        number, previous = len(before.versions) + 1, before.digests[-1] if before.digests else None
        version = Version(name, number, stamp, reason, by, commit, previous, passed, profile, restores)
        text = profile_file.dump(SCHEMA, codec.encode(version))
        if place.create(path_in(version), text, f"Accept {name} version {number} on {hardware}\n\n{reason}"):
            return version


def history(store: Path | Place, model: str) -> tuple[Version, ...]:
    """Return every version of a model, oldest first, each chain checked. Raises BaselineError `baseline-damaged`."""
    found = [version for each in chains(store, model) for version in each.versions]
    return tuple(sorted(found, key=_age))


def latest(store: Path | Place, model: str, hardware: str | None) -> Version | None:
    """Return the version that is the baseline; None where the model has none.

    The newest over all hardware says which model it is; of the versions with that model's digest, the newest made
    on this `hardware` is preferred. Raises BaselineError `baseline-damaged`.
    """
    found = [each.versions for each in chains(store, model)]
    if not found:
        return None
    newest = max((versions[-1] for versions in found), key=_age)
    here = [
        version
        for versions in found
        for version in versions
        if version.profile.hardware.id == hardware and version.profile.model.digest == newest.profile.model.digest
    ]
    return here[-1] if here else newest


def models(store: Path | Place) -> tuple[str, ...]:
    """Return the names of all models that have a version. Raises BaselineError `baseline-damaged`."""
    place = _place(store)
    with_versions = (
        folder
        for folder in place.folders("")
        if any(_numbered(place, f"{folder}/{hardware}") for hardware in place.folders(folder))
    )
    return tuple(sorted(_model_name(place, folder) for folder in with_versions))


def path_of(store: Path, version: Version) -> Path:
    """Return the file a version is kept in, in a folder."""
    return store / path_in(version)


def path_in(version: Version) -> str:
    """Return where in its store a version is kept."""
    return f"{safe_name(version.model)}/{version.profile.hardware.id}/{version.version:04d}.json"


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


def _model_name(place: Place, folder: str) -> str:
    try:
        name = urllib.parse.unquote(folder, errors="surrogatepass")
    except UnicodeError:
        name = ""
    if not name or safe_name(name) != folder:
        damaged(place, folder, "is not a folder this store would make", "move it out of the store")
    return name


def _numbered(place: Place, folder: str) -> dict[int, str]:
    return {int(match[1]): f"{folder}/{match[0]}" for name in place.names(folder) if (match := _FILE.fullmatch(name))}


def chains(store: Path | Place, model: str) -> list[Chain]:
    """Return every hardware's chain of a model, each checked. Raises BaselineError `baseline-damaged`."""
    place = _place(store)
    folder = safe_name(model)
    found = [_chain(place, f"{folder}/{hardware}", model) for hardware in place.folders(folder)]
    return [each for each in found if each.versions]


def chain(place: Place, model: str, hardware: str) -> Chain:
    """Return one chain, checked; empty where there is none. Raises BaselineError `baseline-damaged`."""
    return _chain(place, f"{safe_name(model)}/{hardware}", model)


def _chain(place: Place, folder: str, model: str) -> Chain:
    """Return one hardware's versions in order, every link checked."""
    found = _numbered(place, folder)
    paths = [f"{folder}/{number:04d}.json" for number in range(1, max(found, default=0) + 1)]
    for number, path in enumerate(paths, 1):
        if found.get(number) != path:
            damaged(place, path, "is missing, and later versions build on it")
    versions: list[Version] = []
    digests: list[str] = []
    for number, (path, data) in enumerate(zip(paths, place.read(paths), strict=True), 1):
        version = _read(place, path, data)
        if version.previous != (digests[-1] if digests else None):
            what = "does not follow from the version before it: one of the two was changed after it was written"
            damaged(place, path, what)
        if (version.model, version.version, version.profile.hardware.id) != (model, number, folder.rpartition("/")[2]):
            damaged(place, path, "holds another model, version or hardware than its place says")
        versions.append(version)
        digests.append(f"sha256:{hashlib.sha256(data).hexdigest()}")
    return Chain(folder, tuple(versions), tuple(digests))


def _read(place: Place, path: str, data: bytes) -> Version:
    try:
        fields = profile_file.parse(data.decode(), place.shown(path))
        if (schema := fields.pop("schema", None)) != SCHEMA:
            damaged(place, path, f"has the schema {schema!r} instead of {SCHEMA!r}", _other_schema(schema))
        version = codec.decode(Version, fields)
        if datetime.datetime.strptime(version.accepted, STAMP).strftime(STAMP) != version.accepted:
            damaged(place, path, f"has the date {version.accepted!r} instead of one like 2026-01-31T09:30:00Z")
    except (ValueError, OverflowError) as error:
        damaged(place, path, str(error))
    except BaselineError:
        raise
    except GreengateError as error:
        finding = error.diagnostics[0]
        raise BaselineError(dataclasses.replace(finding, code="baseline-damaged", help=place.mend(path))) from error
    return version


def _other_schema(schema: object) -> str:
    """Return the next step for a version that a later release wrote; nothing for what nobody wrote."""
    later = isinstance(schema, str) and _LATER.fullmatch(schema)
    return f"a later greengate wrote it: update this one, which reads {SCHEMA}" if later else ""


def _place(store: Path | Place) -> Place:
    return Directory(store) if isinstance(store, Path) else store


def _age(version: Version) -> tuple[str, int, str]:
    return version.accepted, version.version, version.profile.hardware.id
