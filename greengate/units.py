"""The two doors: text with units in, SI floats inside, text with units out.

SI base units by dimension: count 1, macs MAC, flops FLOP, bytes B, time s, rate 1/s, energy J, mass kg, ratio 1.
1 MAC = 2 FLOPs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Dimension = Literal["count", "macs", "flops", "bytes", "time", "rate", "energy", "mass", "ratio"]

_K = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_MACS = {"MAC": 1.0, **{f"{k}MAC": v for k, v in _K.items()}}
_FLOPS = {"FLOP": 1.0, **{f"{k}FLOP": v for k, v in _K.items()}}

#: Units each dimension can be written in, with the factor to its SI base unit.
UNITS: dict[Dimension, dict[str, float]] = {
    "count": {"": 1.0, **_K},
    "macs": {**_MACS, **{unit: factor / 2 for unit, factor in _FLOPS.items()}},
    "flops": {**_FLOPS, **{unit: factor * 2 for unit, factor in _MACS.items()}},
    "bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3},
    "time": {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0},
    "rate": {"/s": 1.0},
    "energy": {"J": 1.0, "mWh": 3.6, "Wh": 3600.0, "kWh": 3.6e6},
    "mass": {"g": 1e-3, "kg": 1.0},
    "ratio": {"": 1.0},
}

#: What each dimension's units measure, for messages.
MEASURES: dict[Dimension, str] = {
    "count": "a count",
    "macs": "operations",
    "flops": "operations",
    "bytes": "memory",
    "time": "time",
    "rate": "a rate",
    "energy": "energy",
    "mass": "mass",
    "ratio": "a ratio",
}

#: Units a report chooses from, largest first.
_SHOWN: dict[Dimension, tuple[str, ...]] = {
    "count": ("G", "M", "K", ""),
    "macs": ("TMAC", "GMAC", "MMAC", "KMAC", "MAC"),
    "flops": ("TFLOP", "GFLOP", "MFLOP", "KFLOP", "FLOP"),
    "bytes": ("GB", "MB", "kB", "B"),
    "time": ("s", "ms", "us", "ns"),
    "rate": ("/s",),
    "energy": ("kWh", "Wh", "mWh"),
    "mass": ("kg", "g"),
    "ratio": ("",),
}

_QUANTITY = re.compile(r"([+-]?(?:\d+(?:_\d{3})*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)")


class QuantityError(ValueError):
    """A quantity cannot be read; carries a diagnostic code and the next step, not yet a place."""

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


@dataclass(frozen=True)
class Delta:
    """A change a limit allows: `relative` 0.05 is 5 %; otherwise a difference of a ratio, 0.005 is 0.5 pp."""

    value: float
    relative: bool


def _split(text: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise QuantityError("bad-number", f"{text!r} is not a number with a unit", "write for example `45 ms`")
    value = float(match[1].replace("_", ""))
    if not math.isfinite(value):
        raise QuantityError("bad-number", f"{text!r} is not a finite number", "write a finite number")
    return value, match[2]


def _canonical(unit: str) -> str:
    if unit.endswith(("MACs", "FLOPs")):
        return unit[:-1]
    return unit.replace("µ", "u").replace("μ", "u")


def parse_quantity(text: str, dimension: Dimension) -> float:
    """Read `45 ms`, `1.5 GFLOP`, `120 MB` or a plain count.

    Returns the value in the dimension's SI base unit.
    Raises QuantityError for a missing, unknown or foreign unit.
    """
    value, written = _split(text)
    units = UNITS[dimension]
    unit = _canonical(written)
    known = ", ".join(name for name in units if name) or "no unit"
    if unit in units:
        return value * units[unit]
    if unit == "%" and dimension == "ratio":
        raise QuantityError(
            "percent-of-ratio",
            f"{text!r}: a percentage of a ratio is ambiguous",
            f"write the ratio itself, `{value / 100:g}`, or a difference in `pp`",
        )
    if not unit:
        raise QuantityError("missing-unit", f"{text!r} needs a unit of {MEASURES[dimension]}", f"use one of {known}")
    raise QuantityError("unknown-unit", f"{written!r} is not a unit of {MEASURES[dimension]}", f"use one of {known}")


def parse_delta(text: str, dimension: Dimension) -> Delta:
    """Read the change a limit allows: `5%` of a quantity, or `0.5 pp` of a ratio.

    Raises QuantityError where the unit does not fit: percent of a ratio is ambiguous and refused.
    """
    value, unit = _split(text)
    if unit == "%":
        if dimension == "ratio":
            raise QuantityError(
                "percent-of-ratio",
                f"{text!r}: a percentage of a ratio is ambiguous",
                f"write percentage points: `{value:g} pp`",
            )
        return Delta(value / 100, relative=True)
    if unit == "pp":
        if dimension != "ratio":
            raise QuantityError(
                "unknown-unit",
                f"'pp' is not a unit of a change of {MEASURES[dimension]}",
                f"percentage points are for ratios; write `{value:g}%`",
            )
        return Delta(value / 100, relative=False)
    want = "`0.5 pp`" if dimension == "ratio" else "`5%`"
    if not unit:
        raise QuantityError("missing-unit", f"{text!r} needs a unit", f"write a change like {want}")
    raise QuantityError("unknown-unit", f"{unit!r} is not a unit of a change", f"write a change like {want}")


def shown_unit(values: Iterable[float], dimension: Dimension) -> str:
    """Return the largest unit in which the smallest non-zero of `values` is at least 1."""
    sizes = [abs(value) for value in values if value]
    units = _SHOWN[dimension]
    if not sizes:
        return units[-1]
    return next((unit for unit in units if min(sizes) >= UNITS[dimension][unit]), units[-1])


def format_quantity(value: float, dimension: Dimension, unit: str | None = None, digits: int = 3) -> str:
    """Write an SI value with `digits` significant digits, in `unit` or the one that suits it."""
    unit = shown_unit([value], dimension) if unit is None else unit
    number = _significant(value / UNITS[dimension][unit], digits)
    return f"{number} {unit}".rstrip() if unit != "/s" else f"{number}/s"


def format_change(value: float, relative: bool = True, digits: int = 1) -> str:
    """Write a change: 0.05 is `+5.0 %` when relative, `+5.0 pp` for a ratio."""
    number = f"{value * 100:+,.{digits}f}"
    if float(number.replace(",", "")) == 0:
        number = f"{0:.{digits}f}"
    return f"{number} {'%' if relative else 'pp'}"


def format_apart(left: float, right: float, relative: bool = True) -> tuple[str, str]:
    """Write two changes with as many digits as it takes for them to differ when they do."""
    for digits in range(1, 10):
        pair = format_change(left, relative, digits), format_change(right, relative, digits)
        if left == right or pair[0] != pair[1]:
            return pair
    return pair


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if places <= 0:
        return f"{value:,.0f}"
    return f"{value:,.{places}f}"
