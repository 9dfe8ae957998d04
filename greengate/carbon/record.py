"""What a training cost: nouns, and their file `greengate.training/1`; codecarbon's emissions.csv is read as well."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from greengate import codec, files, git, intensity, profile_file
from greengate.budget import Carbon
from greengate.carbon import emissions_csv
from greengate.carbon.emissions_csv import MOST_JOULES, MOST_KILOGRAMS, MOST_SECONDS
from greengate.errors import GreengateError
from greengate.ledger import Entry
from greengate.power import WEAKEST, DomainKind, EnergyMethod, Trained
from greengate.profile import Measurement, Missing
from greengate.units import format_quantity

SCHEMA = "greengate.training/1"
#: Bytes that a record's file may have: thousands of codecarbon's runs.
LARGEST = 8 << 20
_NO_INTENSITY = Missing("neither the record nor the budget names a grid intensity", "failed", "add `carbon:`")
#: By which share a sum may differ from its parts, which somebody wrote with fewer digits.
_ROUNDING = 1e-6


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


@dataclass(frozen=True)
class Cost:
    """What a training cost: `training_energy` and `training_co2e`, and how they came about; None where they did not."""

    measurements: Mapping[str, Measurement | Missing]
    trained: Trained | None = None


def costs(path: Path, carbon: Carbon | None) -> Cost:
    """Return what a record says that a training cost, greengate's or codecarbon's; or what is wrong.

    Emissions follow from the budget's intensity where it names one, else they are the record's own.
    """
    try:
        text = files.read_small(path, LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return _lacking(Missing(f"the training record {path} cannot be read: {why}", "failed", "run `greengate track`"))
    try:
        return _of_codecarbon(text, path, carbon) if path.suffix == ".csv" else _of_greengate(text, path, carbon)
    except ValueError as error:
        reason = f"{path} is no training record: {error}"
        return _lacking(Missing(reason, "failed", "name a file of `greengate track`, or codecarbon's emissions.csv"))


def _lacking(found: Missing) -> Cost:
    return Cost({"training_energy": found, "training_co2e": found})


def _of_greengate(text: str, path: Path, carbon: Carbon | None) -> Cost:
    record = _parsed(text)
    if record.exit != 0:
        reason = f"{path}: the training ended with exit code {record.exit}, so it is not what the model cost"
        return _lacking(Missing(reason, "failed", "track a training that ends well"))
    energy = _energy(record, path.name)
    if isinstance(energy, Missing):
        return _lacking(energy)
    counters: dict[str, EnergyMethod] = {}
    for one in _parts(record):
        counters[one.kind] = min(one.method, counters.get(one.kind, one.method), key=WEAKEST.index)
    return _cost(energy, _own(record, energy), counters, carbon)


def _cost(
    energy: Measurement, own: Measurement | None, counters: Mapping[str, EnergyMethod], carbon: Carbon | None
) -> Cost:
    emitted = own if carbon is None else _by_grid(energy, carbon)
    found = {"training_energy": energy, "training_co2e": _NO_INTENSITY if emitted is None else emitted}
    return Cost(found, Trained(counters, None if emitted is None else emitted.value / energy.value))


def _parsed(text: str) -> Record:
    """Return the record of a file's text. Raises ValueError (CodecError among them) for anything else."""
    try:
        fields = profile_file.parse(text, "")
    except GreengateError as error:
        (found,) = error.diagnostics
        place = f", in line {found.span.line}" if found.span else ""
        raise ValueError(f"{found.message.removeprefix(': ')}{place}") from error
    if fields.pop("schema", None) != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    record = codec.decode(Record, fields)
    if why := next(_faults(record), ""):
        raise ValueError(why)
    return record


def _faults(record: Record) -> Iterator[str]:
    """Yield what a record says that cannot be, by itself or beside what else it says."""
    told: list[tuple[str, float | None, float]] = [
        ("joules", record.joules, MOST_JOULES),
        ("kilograms", record.kilograms, MOST_KILOGRAMS),
        ("seconds", record.seconds, MOST_SECONDS),
    ]
    for one in record.domains:
        told += [(f"joules of {one.id}", one.joules, MOST_JOULES), (f"W of {one.id}", one.peak_watts, MOST_JOULES)]
    for what, number, most in told:
        if number is not None and not 0 <= number <= most:
            yield f"{number} {what} cannot be"
    if twice := [one.id for one in record.domains if sum(one.id == other.id for other in record.domains) > 1]:
        yield f"the counter {twice[0]} stands twice in it"
    if (record.joules is None) != (record.method is None):
        yield "it has joules without a method, or a method without joules"
    if record.joules is not None:
        yield from _unlike_its_domains(record, record.joules)
    if record.kilograms is not None:
        yield from _no_emissions(record.kilograms, record)


def _unlike_its_domains(record: Record, joules: float) -> Iterator[str]:
    parts = _parts(record)
    total = math.fsum(one.joules for one in parts)
    if not any(one.kind in ("cpu", "system") for one in parts):
        yield f"it has {joules:g} joules, and no counter of the processor"
    elif not (joules > 0 and math.isclose(joules, total, rel_tol=_ROUNDING)):
        yield f"{joules:.9g} joules cannot be: its counters make {total:.9g}"
    elif record.method != (known := weakest(parts)):
        yield f"its method is {record.method}, and the weakest of its counters is {known}"


def _parts(record: Record) -> tuple[Spent, ...]:
    # An external meter stands for the whole machine, and nothing is added to it.
    return tuple(one for one in record.domains if one.kind == "system") or record.domains


def _no_emissions(kilograms: float, record: Record) -> Iterator[str]:
    if not record.joules:
        yield f"{kilograms} kilograms without joules cannot be"
        return
    if not record.intensity.strip():
        yield f"it does not say by which `intensity` it has {kilograms} kilograms"
    each = kilograms / record.joules
    if not intensity.is_possible(each):
        yield f"{kilograms:g} kilograms of {record.joules:g} joules cannot be: {format_quantity(each, 'intensity')}"


def _energy(record: Record, name: str) -> Measurement | Missing:
    if record.joules is None or record.method is None:
        return Missing(f"{name} holds no joules: {'; '.join(record.absent)}", "failed", "see `greengate doctor`")
    return Measurement(record.joules, record.method, detail=f"{name}: {' + '.join(one.id for one in _parts(record))}")


def _own(record: Record, energy: Measurement) -> Measurement | None:
    """Return the emissions that a record itself tells."""
    if record.kilograms is None:
        return None
    return replace(energy, value=record.kilograms, detail=f"{energy.detail} x {record.intensity}")


def _by_grid(energy: Measurement, carbon: Carbon) -> Measurement:
    kilograms = energy.value * carbon.intensity * carbon.pue
    return replace(energy, value=kilograms, detail=f"{energy.detail} x {carbon.source}")


def _higher(energy: Measurement, own: Measurement | None, carbon: Carbon | None) -> Measurement | Missing:
    """Return the higher of two accounts of what a training emitted: the record's own, and the budget's intensity."""
    told = [*filter(None, (own, None if carbon is None else _by_grid(energy, carbon)))]
    return max(told, key=lambda one: one.value, default=_NO_INTENSITY)


def _of_codecarbon(text: str, path: Path, carbon: Carbon | None) -> Cost:
    """Sum the runs of an emissions.csv."""
    runs = emissions_csv.runs(text)
    places = ", ".join(sorted({run.place for run in runs}))
    about = f"{path.name}: codecarbon's own numbers, {len(runs)} runs"
    energy = Measurement(sum(run.joules for run in runs), "estimated", detail=about)
    own = replace(energy, value=sum(run.kilograms for run in runs), detail=f"{about}, intensity of {places}")
    return _cost(energy, own, {"codecarbon": "estimated"}, carbon)


def entries(name: str, content: bytes, carbon: Carbon | None) -> Iterator[Entry]:
    """Yield the trainings of a record's file for a ledger; those that failed emitted as well.

    The same record under two names is one training, and so is the same run of codecarbon's in two files. Begun on
    another day it is another training: no later account of a run takes it out of the period that it was in. Times
    without a zone, as codecarbon's, are taken as UTC. Raises ValueError where it is no record, or does not say when
    it began.
    """
    if git.lfs_digest(content) is not None:
        raise ValueError("it is kept in Git LFS and was not downloaded; run `git lfs pull`")
    text = content.decode("utf-8")
    if not name.endswith(".csv"):
        record = _parsed(text)
        same = json.dumps(codec.encode(record), sort_keys=True)
        energy = _energy(record, name)
        known = energy if isinstance(energy, Missing) else _higher(energy, _own(record, energy), carbon)
        yield Entry(name, digest(same), emissions_csv.day(record.started), known)
        return
    for run in emissions_csv.runs(text, dated=True):
        drawn = Measurement(run.joules, "estimated", detail=f"{name}: codecarbon's run {run.id}")
        emitted = _higher(drawn, replace(drawn, value=run.kilograms), carbon)
        yield Entry(name, digest(f"codecarbon {run.id} of {run.began}"), run.began, emitted)


def digest(text: str) -> str:
    """Return what tells a text from others."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def weakest(domains: tuple[Spent, ...]) -> EnergyMethod | None:
    """Return how a sum of domains came about; None for no domain."""
    return min((one.method for one in domains), key=WEAKEST.index, default=None)
