"""codecarbon's emissions.csv: its runs, each by the day it began."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

#: More than all of mankind draws and emits in weeks; what is above is no account of a training, and sums to infinity.
MOST_JOULES, MOST_KILOGRAMS, MOST_SECONDS = 1e18, 1e12, 1e10
_JOULES_A_KWH = 3.6e6


@dataclass(frozen=True)
class Run:
    """A run of codecarbon's, by the day it began; None where its rows do not say."""

    id: str
    began: datetime.date | None
    joules: float
    kilograms: float
    place: str


def runs(text: str, dated: bool = False) -> Sequence[Run]:
    """Return the runs of an emissions.csv by id and day; of one with several rows, the highest, which is its total.

    Raises ValueError where a row lacks something or cannot be; when it began is asked only where it must be `dated`.
    """
    found: dict[tuple[str, datetime.date | None], Run] = {}
    # Strictly: a quote that is never closed would hide the rows behind it.
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        for row in rows:
            run = _run(row, dated)
            known = found.get((run.id, run.began), run)
            most = max(run.joules, known.joules), max(run.kilograms, known.kilograms)
            found[run.id, run.began] = replace(run, joules=most[0], kilograms=most[1])
    except (ValueError, OverflowError) as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error
    except csv.Error as error:  # of a line that it has not counted yet
        raise ValueError(f"line {rows.line_num + 1}: {error}") from error
    if not found:
        raise ValueError("it has no row")
    return tuple(found.values())


def _run(row: Mapping[str, str | None], dated: bool) -> Run:
    drawn, emitted = _cell(row, "energy_consumed"), _cell(row, "emissions")
    joules, kilograms = float(drawn) * _JOULES_A_KWH, float(emitted)
    if not (0 < joules <= MOST_JOULES and 0 <= kilograms <= MOST_KILOGRAMS):
        raise ValueError(f"{drawn} kWh and {emitted} kg cannot be")
    # Without an id one training cannot be told from another.
    id_ = _cell(row, "run_id")
    return Run(id_, _began(row, dated), joules, kilograms, row.get("country_name") or "an unnamed country")


def _began(row: Mapping[str, str | None], dated: bool) -> datetime.date | None:
    try:
        written, seconds = _cell(row, "timestamp"), float(_cell(row, "duration"))
        if not 0 <= seconds <= MOST_SECONDS:
            raise ValueError(f"a duration of {seconds} s cannot be")
        return day(written, seconds)
    except (ValueError, OverflowError):
        if dated:
            raise
        return None


def _cell(row: Mapping[str, str | None], name: str) -> str:
    value = (row.get(name) or "").strip()
    if not value:
        raise ValueError(f"it lacks `{name}`")
    return value


def day(written: str, before: float = 0.0) -> datetime.date:
    """Return the day in UTC of a moment, `before` seconds earlier. Without a zone it is taken as UTC."""
    moment = datetime.datetime.fromisoformat(written)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment.astimezone(datetime.UTC) - datetime.timedelta(seconds=before)).date()
