"""What a training cost: nouns, and their file `greengate.training/1`; codecarbon's emissions.csv is read as well."""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from greengate import codec, profile_file
from greengate.budget import Carbon
from greengate.ledger import Entry
from greengate.power import WEAKEST, DomainKind, EnergyMethod
from greengate.profile import Measurement, Missing

SCHEMA = "greengate.training/1"
_JOULES_A_KWH = 3.6e6


@dataclass(frozen=True)
class Spent:
    """What one counter said of a run: joules in all, and the highest mean watts of any second."""

    id: str
    kind: DomainKind
    method: EnergyMethod
    about: str
    joules: float
    peak_watts: float


@dataclass(frozen=True)
class Record:
    """One command that was tracked; `absent` says what could not be counted, `kilograms` of CO2e need an intensity."""

    command: tuple[str, ...]
    exit: int
    host: str
    started: str
    seconds: float
    domains: tuple[Spent, ...]
    absent: tuple[str, ...]
    joules: float | None
    method: EnergyMethod | None
    kilograms: float | None
    intensity: str
    greengate: str


def dump(record: Record) -> str:
    """Return a record as the text of its file."""
    return profile_file.dump(SCHEMA, codec.encode(record))


def costs(path: Path, carbon: Carbon | None) -> dict[str, Measurement | Missing]:
    """Return `training_energy` and `training_co2e` of a record, greengate's or codecarbon's; or what is wrong.

    Emissions that the record does not tell follow from the budget's intensity.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return _both(Missing(f"the training record {path} cannot be read: {why}", "failed", "run `greengate track`"))
    try:
        return _of_codecarbon(text, path) if path.suffix == ".csv" else _of_greengate(text, path, carbon)
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{path} is no training record: {error}"
        return _both(Missing(reason, "failed", "name a file of `greengate track`, or codecarbon's emissions.csv"))


def _both(found: Missing) -> dict[str, Measurement | Missing]:
    return {"training_energy": found, "training_co2e": found}


def _of_greengate(text: str, path: Path, carbon: Carbon | None) -> dict[str, Measurement | Missing]:
    record = _parsed(text)
    if record.exit != 0:
        reason = f"{path}: the training ended with exit code {record.exit}, so it is not what the model cost"
        return _both(Missing(reason, "failed", "track a training that ends well"))
    if record.joules is None or record.method is None:
        return _both(Missing(f"{path} holds no joules: {'; '.join(record.absent)}", "failed", "see `greengate doctor`"))
    energy = Measurement(record.joules, record.method, detail=_made_of(record, path.name))
    return {"training_energy": energy, "training_co2e": _emitted(record, path.name, carbon)}


def _parsed(text: str) -> Record:
    """Return the record of a file's text. Raises ValueError (CodecError among them) for anything else."""
    fields = json.loads(text)
    if not isinstance(fields, dict) or fields.pop("schema", None) != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    record = codec.decode(Record, fields)
    for what, number in (("joules", record.joules), ("kilograms", record.kilograms), ("seconds", record.seconds)):
        if number is not None and not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{number} {what} cannot be")
    return record


def _made_of(record: Record, name: str) -> str:
    return f"{name}: {' + '.join(one.id for one in record.domains)}"


def _emitted(record: Record, name: str, carbon: Carbon | None) -> Measurement | Missing:
    """Return the emissions that a record tells, else those that its joules make at the budget's intensity."""
    if record.joules is None or record.method is None:
        return Missing(f"{name} holds no joules: {'; '.join(record.absent)}", "failed", "see `greengate doctor`")
    if record.kilograms is not None:
        return Measurement(record.kilograms, record.method, detail=f"{_made_of(record, name)} x {record.intensity}")
    if carbon is not None:
        kilograms = record.joules * carbon.intensity * carbon.pue
        return Measurement(kilograms, record.method, detail=f"{_made_of(record, name)} x {carbon.source}")
    return Missing("neither the record nor the budget names a grid intensity", "failed", "add `carbon:`")


def _runs(text: str) -> Mapping[str, Mapping[str, str]]:
    """Return the runs of an emissions.csv by id; of a run with several rows the last one is its total."""
    runs = {row["run_id"]: row for row in csv.DictReader(text.splitlines())}
    if not runs:
        raise ValueError("it has no row")
    for row in runs.values():
        joules, kilograms = float(row["energy_consumed"]), float(row["emissions"])
        if not (0 < joules < math.inf and 0 <= kilograms < math.inf):
            raise ValueError(f"{joules} kWh and {kilograms} kg cannot be")
    return runs


def _of_codecarbon(text: str, path: Path) -> dict[str, Measurement | Missing]:
    """Sum the runs of an emissions.csv."""
    runs = _runs(text)
    kilowatt_hours = sum(float(row["energy_consumed"]) for row in runs.values())
    kilograms = sum(float(row["emissions"]) for row in runs.values())
    places = ", ".join(sorted({row.get("country_name") or "an unnamed country" for row in runs.values()}))
    detail = f"{path.name}: codecarbon's own numbers, {len(runs)} runs, intensity of {places}"
    return {
        "training_energy": Measurement(kilowatt_hours * _JOULES_A_KWH, "estimated", detail=detail),
        "training_co2e": Measurement(kilograms, "estimated", detail=detail),
    }


def entries(name: str, content: bytes, carbon: Carbon | None) -> Iterator[Entry]:
    """Yield the trainings of a record's file for a ledger; those that failed emitted as well.

    The same record under two names is one training, and so is the same run of codecarbon's in two files. Begun on
    another day it is another training: no later account of a run takes it out of the period that it was in. Times
    without a zone, as codecarbon's, are taken as UTC. Raises ValueError where it is no record, or does not say when
    it began.
    """
    text = content.decode("utf-8")
    try:
        if not name.endswith(".csv"):
            record = _parsed(text)
            same = json.dumps(codec.encode(record), sort_keys=True)
            yield Entry(name, _digest(same), _day(record.started), _emitted(record, name, carbon))
            return
        for run, row in _runs(text).items():
            began = _day(row["timestamp"], float(row["duration"]))
            emitted = Measurement(float(row["emissions"]), "estimated", detail=f"{name}: codecarbon's run {run}")
            yield Entry(name, _digest(f"codecarbon {run} of {began}"), began, emitted)
    except (KeyError, TypeError) as error:
        raise ValueError(f"it lacks {error}") from error


def _day(written: str, before: float = 0.0) -> datetime.date:
    """Return the day in UTC of a moment, `before` seconds earlier."""
    moment = datetime.datetime.fromisoformat(written)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment.astimezone(datetime.UTC) - datetime.timedelta(seconds=before)).date()


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def weakest(domains: tuple[Spent, ...]) -> EnergyMethod | None:
    """Return how a sum of domains came about; None for no domain."""
    return min((one.method for one in domains), key=WEAKEST.index, default=None)
