"""Verdicts as points of a model's history: MODEL/verdicts/TIME-DIGEST.json beside its versions, never changed.

A point is what `greengate.point/1` says: small, and named by its own digest, so that no two jobs can collide.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from dataclasses import replace

from greengate import codec, profile_file
from greengate.baselines.place import Place, damaged
from greengate.baselines.store import STAMP, Version, safe_name
from greengate.errors import BaselineError, GreengateError
from greengate.point import Point
from greengate.profile import Measurement
from greengate.verdict import ModelCase, Status, Verdict

SCHEMA = "greengate.point/1"
_FOLDER = "verdicts"
_FILE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}\.json")


def of_verdict(verdict: Verdict, now: datetime.datetime, commit: str | None) -> tuple[Point, ...]:
    """Return a point for every model that the verdict measured."""
    stamp = now.astimezone(datetime.UTC).strftime(STAMP)
    return tuple(_point(verdict, case, stamp, commit) for case in verdict.case.models if case.candidate is not None)


def _point(verdict: Verdict, case: ModelCase, stamp: str, commit: str | None) -> Point:
    candidate, hardware = case.candidate, case.hardware
    statuses = [outcome.status for outcome in verdict.outcomes if outcome.model == case.name]
    measured = {
        metric: replace(one.candidate, detail="")
        for metric, one in case.comparisons.items()
        if isinstance(one.candidate, Measurement)
    }
    return Point(
        model=case.name,
        at=stamp,
        status=max(statuses, default=None),
        commit=commit,
        digest=candidate.digest if candidate is not None else "",
        hardware=hardware.id if hardware is not None else "",
        cpu=hardware.cpu if hardware is not None else "",
        measurements=measured,
    )


def of_version(version: Version) -> Point:
    """Return an accepted version as a point."""
    profile = version.profile
    status = {True: Status.PASS, False: Status.FAIL, None: None}[version.passed]
    hardware = profile.hardware
    return Point(
        version.model,
        version.accepted,
        status,
        version.commit,
        profile.model.digest,
        hardware.id,
        hardware.cpu,
        profile.measurements,
        version.version,
    )


def append(place: Place, point: Point) -> None:
    """Add a point; the very same one twice is one. Raises what Place.create raises; then nothing was added."""
    text = profile_file.dump(SCHEMA, codec.encode(point))
    name = f"{_compact(point.at)}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    what = point.status.name if point.status is not None else "not judged"
    place.create(f"{safe_name(point.model)}/{_FOLDER}/{name}", text, f"Record {point.model}: {what}")


def recorded(place: Place, model: str) -> tuple[Point, ...]:
    """Return every recorded verdict of a model, oldest first. Raises BaselineError `baseline-damaged`."""
    folder = f"{safe_name(model)}/{_FOLDER}"
    paths = [f"{folder}/{name}" for name in place.names(folder) if _FILE.fullmatch(name)]
    return tuple(_read(place, path, data) for path, data in zip(paths, place.read(paths), strict=True))


def _read(place: Place, path: str, data: bytes) -> Point:
    if hashlib.sha256(data).hexdigest()[:12] != path[-17:-5]:
        damaged(place, path, "was changed after it was written: its name is not its digest")
    try:
        fields = profile_file.parse(data.decode(), place.shown(path))
        if (schema := fields.pop("schema", None)) != SCHEMA:
            damaged(place, path, f"has the schema {schema!r} instead of {SCHEMA!r}", "update greengate")
        return codec.decode(Point, fields)
    except (ValueError, OverflowError) as error:
        damaged(place, path, str(error))
    except BaselineError:
        raise
    except GreengateError as error:
        raise BaselineError(replace(error.diagnostics[0], code="baseline-damaged", help=place.mend(path))) from error


def _compact(stamp: str) -> str:
    return stamp.replace("-", "").replace(":", "")
