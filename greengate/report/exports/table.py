"""Comma-separated values: one row a model and metric, measured or not."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from greengate.metrics import METRICS, ordered
from greengate.profile import Measurement, Missing
from greengate.report.exports.sheet import Sheet
from greengate.verdict_file import SI

COLUMNS = (
    *("model", "digest", "metric", "value", "unit", "low", "high", "confidence", "method", "samples", "missing"),
    *("hardware", "cpu", "batch_size", "threads", "status", "created"),
)


def render(sheets: Sequence[Sheet]) -> str:
    """Write a header and every row; what was not measured has a reason and no value. Lines end in a newline alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sheet in sheets:
        for metric in ordered(sheet.measurements):
            writer.writerow(_row(sheet, metric, sheet.measurements[metric]))
    return text.getvalue()


def _row(sheet: Sheet, metric: str, found: Measurement | Missing) -> list[object]:
    unit = SI[METRICS[metric].dimension]
    if isinstance(found, Missing):
        numbers: list[object] = ["", unit, "", "", "", "", "", _plain(found.reason)]
    else:
        ends = (found.interval.low, found.interval.high, found.interval.confidence) if found.interval else ("", "", "")
        numbers = [repr(found.value), unit, *ends, found.method, found.samples, ""]
    workload = sheet.workload
    status = "" if sheet.status is None else sheet.status.name.lower()
    machine = [sheet.hardware.id, _plain(sheet.hardware.cpu)]
    about = [*machine, workload.batch_size, workload.threads, status, sheet.created]
    return [_plain(sheet.model.name), sheet.model.digest, metric, *numbers, *about]


def _plain(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text
