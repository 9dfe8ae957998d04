"""What one line of an external meter's log says, and what its heading must name. Pure."""

from __future__ import annotations

import math
import re

#: Words that a heading names time and power with, and those that make of power something else than watts.
_TIME = frozenset(
    {"t", "ts", "s", "sec", "seconds", "time", "timestamp", "unixtime", "unix", "epoch", "date", "datetime"}
)
_WATTS = frozenset({"w", "watt", "watts", "wattage", "power", "p"})
_OTHER = frozenset(
    {"mw", "kw", "uw", "milliwatt", "milliwatts", "kilowatt", "kilowatts", "va", "kva", "var", "wh", "kwh", "mwh"}
    | {"factor", "reactive", "apparent", "dbm", "percent"}
)
#: Watts beyond which a line is none of a meter.
_MOST = 1e6


def numbers(line: str, columns: int = 2) -> tuple[float, float] | None:
    """Return time and watts of a line of so many columns at most; None for a heading or anything else.

    More of them are a decimal comma, or numbers that no heading names.
    """
    fields = line.split(",")
    if not 2 <= len(fields) <= columns:
        return None
    try:
        seconds, watts = float(fields[0]), float(fields[1])
    except ValueError:
        return None
    return (seconds, watts) if math.isfinite(seconds) and 0 <= watts <= _MOST else None


def is_heading(line: str) -> bool:
    """Tell whether a first line is a heading; what begins with a number, or is empty, is none."""
    try:
        float(line.split(",", maxsplit=1)[0] or "0")
    except ValueError:
        return True
    return False


def misnamed(heading: str) -> str:
    """Say why a heading names no time and watts in its first two columns; empty where it does."""
    names = heading.split(",")
    first, second = (set(re.findall("[a-z]+", name.lower())) for name in [*names, ""][:2])
    if not first & _TIME:
        return "whose first column is no time"
    if not second & _WATTS or second & _OTHER:
        return "whose second column is no power in watts"
    return ""
