"""What a training cost: nouns, and their file `greengate.training/1`; codecarbon's emissions.csv is read as well."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from greengate import codec, profile_file
from greengate.budget import Carbon
from greengate.energy import WEAKEST
from greengate.power import DomainKind, EnergyMethod
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
    fields = json.loads(text)
    if not isinstance(fields, dict) or fields.pop("schema", None) != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    record = codec.decode(Record, fields)
    if record.exit != 0:
        reason = f"{path}: the training ended with exit code {record.exit}, so it is not what the model cost"
        return _both(Missing(reason, "failed", "track a training that ends well"))
    if record.joules is None or record.method is None:
        return _both(Missing(f"{path} holds no joules: {'; '.join(record.absent)}", "failed", "see `greengate doctor`"))
    made_of = f"{path.name}: {' + '.join(one.id for one in record.domains)}"
    energy = Measurement(record.joules, record.method, detail=made_of)
    if record.kilograms is not None:
        emitted = Measurement(record.kilograms, record.method, detail=f"{made_of} x {record.intensity}")
    elif carbon is not None:
        kilograms = record.joules * carbon.intensity * carbon.pue
        emitted = Measurement(kilograms, record.method, detail=f"{made_of} x {carbon.source}")
    else:
        missing = Missing("neither the record nor the budget names a grid intensity", "failed", "add `carbon:`")
        return {"training_energy": energy, "training_co2e": missing}
    return {"training_energy": energy, "training_co2e": emitted}


def _of_codecarbon(text: str, path: Path) -> dict[str, Measurement | Missing]:
    """Sum the runs of an emissions.csv; of a run with several rows the last one is its total."""
    runs = {row["run_id"]: row for row in csv.DictReader(text.splitlines())}
    if not runs:
        raise ValueError("it has no row")
    kilowatt_hours = sum(float(row["energy_consumed"]) for row in runs.values())
    kilograms = sum(float(row["emissions"]) for row in runs.values())
    if not (kilowatt_hours > 0 and kilograms >= 0):
        raise ValueError(f"{kilowatt_hours} kWh and {kilograms} kg cannot be")
    places = ", ".join(sorted({row.get("country_name") or "an unnamed country" for row in runs.values()}))
    detail = f"{path.name}: codecarbon's own numbers, {len(runs)} runs, intensity of {places}"
    return {
        "training_energy": Measurement(kilowatt_hours * _JOULES_A_KWH, "estimated", detail=detail),
        "training_co2e": Measurement(kilograms, "estimated", detail=detail),
    }


def weakest(domains: tuple[Spent, ...]) -> EnergyMethod | None:
    """Return how a sum of domains came about; None for no domain."""
    return min((one.method for one in domains), key=WEAKEST.index, default=None)
