"""What a budget says of how energy is metered, into nouns."""

from __future__ import annotations

from greengate.budget import CalibrationFile, PowerLog
from greengate.budget_file.check import Value


def power_log(entry: Value | None) -> PowerLog | None:
    """Return the external meter's log that `energy` names."""
    log = None if entry is None else entry.get("power_log")
    if entry is None or log is None:
        return None
    offset = entry.get("clock_offset")
    return PowerLog(log.content, log.span, 0.0 if offset is None else float(offset.content))


def calibration(entry: Value | None) -> CalibrationFile | None:
    """Return the calibration that `energy` names."""
    named = None if entry is None else entry.get("calibration")
    return None if named is None else CalibrationFile(named.content, named.span)
