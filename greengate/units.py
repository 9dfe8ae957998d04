"""The two doors: text with units in, SI floats inside, text with units out.

SI base units by dimension: count 1, macs MAC, flops FLOP, bytes B, time s, rate 1/s, energy J, mass kg,
intensity kg/J, ratio 1.
1 MAC = 2 FLOPs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Dimension = Literal["count", "macs", "flops", "bytes", "time", "rate", "energy", "mass", "intensity", "ratio"]

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
    "energy": {"J": 1.0, "uWh": 3.6e-3, "mWh": 3.6, "Wh": 3600.0, "kWh": 3.6e6},
    "mass": {"ug": 1e-9, "mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1000.0},
    "intensity": {"g/kWh": 1e-3 / 3.6e6, "kg/kWh": 1 / 3.6e6, "kg/MWh": 1e-3 / 3.6e6},
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
    "intensity": "mass of emissions for energy",
    "ratio": "a ratio",
}

#: A quantity of each dimension as one would write it.
EXAMPLES: dict[Dimension, str] = {
    "count": "25 M",
    "macs": "4.1 GMAC",
    "flops": "8.2 GFLOP",
    "bytes": "120 MB",
    "time": "45 ms",
    "rate": "200/s",
    "energy": "1.2 Wh",
    "mass": "3 g",
    "intensity": "56 g/kWh",
    "ratio": "0.95",
}

#: Units a report chooses from, largest first.
_SHOWN: dict[Dimension, tuple[str, ...]] = {
    "count": ("G", "M", "K", ""),
    "macs": ("TMAC", "GMAC", "MMAC", "KMAC", "MAC"),
    "flops": ("TFLOP", "GFLOP", "MFLOP", "KFLOP", "FLOP"),
    "bytes": ("GB", "MB", "kB", "B"),
    "time": ("s", "ms", "us", "ns"),
    "rate": ("/s",),
    "energy": ("kWh", "Wh", "mWh", "uWh"),
    "mass": ("kg", "g", "mg", "ug"),
    "intensity": ("g/kWh",),
    "ratio": ("",),
}

_DECIMAL = r"(?:[0-9]{1,40}(?:_[0-9]{3}){0,10}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?"
_PLAIN = r"(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})"
_PLAIN_BELOW_100 = r"(?:0{0,40}[0-9]{1,2}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})"
_GAP = "[ \u00a0\u202f]*"
_NOT_ZERO = "(?=[0-9_.]*[1-9])"
_END = r"$(?!\n)"  # Python's `$` alone would let a line break follow
_UNIT = r"((?![eE][+-]?[0-9])[^\s0-9.,_]\S*|)"
_QUANTITY = re.compile(rf"([+-]?{_DECIMAL}){_GAP}{_UNIT}")
_CHANGE = re.compile(rf"([+-]?{_PLAIN}){_GAP}{_UNIT}")


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


@cache
def quantity_pattern(dimension: Dimension, signed: bool = False) -> str:
    """Return the regular expression, for Python and ECMAScript alike, of texts that are positive quantities.

    Zero and what is below it match too where they are `signed`.
    """
    units = "|".join(re.escape(unit) for unit in sorted(_spellings(dimension), key=len, reverse=True))
    sign = "[+-]?" if signed else rf"\+?{_NOT_ZERO}"
    return rf"^{sign}{_DECIMAL}{_GAP}(?:{units}){_END}"


@cache
def delta_pattern(dimension: Dimension, positive: bool = False, below_100: bool = False) -> str:
    """Return the regular expression, for Python and ECMAScript alike, of texts that are changes without a minus."""
    number = _PLAIN_BELOW_100 if below_100 else _PLAIN
    return rf"^\+?{_NOT_ZERO if positive else ''}{number}{_GAP}{'pp' if dimension == 'ratio' else '%'}{_END}"


def parse_quantity(text: str, dimension: Dimension) -> float:
    """Read `45 ms`, `1.5 GFLOP`, `120 MB` or a plain count.

    Returns the value in the dimension's SI base unit.
    Raises QuantityError for a missing, unknown or foreign unit.
    """
    value, unit = _split(_QUANTITY, text, EXAMPLES[dimension])
    factor = _spellings(dimension).get(unit)
    if factor is not None:
        return value * factor
    if unit == "%" and dimension == "ratio":
        raise QuantityError(
            "percent-of-ratio",
            f"{text!r}: a percentage of a ratio is ambiguous",
            f"write the ratio itself, `{value / 100:g}`",
        )
    if not unit:
        wanted = EXAMPLES[dimension].lstrip("0123456789.")
        advice = f"write for example `{text.strip()}{wanted}`; {_advice(dimension)}"
        raise QuantityError("missing-unit", f"{text!r} needs a unit of {MEASURES[dimension]}", advice)
    raise QuantityError("unknown-unit", f"{unit!r} is not a unit of {MEASURES[dimension]}", _advice(dimension, unit))


def parse_delta(text: str, dimension: Dimension) -> Delta:
    """Read the change a limit allows: `5%` of a quantity, or `0.5 pp` of a ratio.

    Raises QuantityError where the unit does not fit: percent of a ratio is ambiguous and refused.
    """
    ratio = dimension == "ratio"
    want = "0.5 pp" if ratio else "5%"
    value, unit = _split(_CHANGE, text, want)
    if unit == ("pp" if ratio else "%"):
        return Delta(value / 100, relative=not ratio)
    if unit == "%":
        message = f"{text!r}: a percentage of a ratio is ambiguous"
        raise QuantityError("percent-of-ratio", message, f"write percentage points: `{value:g} pp`")
    if unit == "pp":
        message = f"'pp' is not a unit of a change of {MEASURES[dimension]}"
        raise QuantityError("unknown-unit", message, f"percentage points are for ratios; write `{value:g}%`")
    if not unit:
        raise QuantityError("missing-unit", f"{text!r} needs a unit", f"write a change like `{want}`")
    raise QuantityError("unknown-unit", f"{unit!r} is not a unit of a change", f"write a change like `{want}`")


def _split(pattern: re.Pattern[str], text: str, example: str) -> tuple[float, str]:
    match = pattern.fullmatch(text)
    if match is not None:
        return float(match[1].replace("_", "")), match[2]
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    advice = f"write for example `{example}`"
    if re.match(r"[+-]?[0-9]+,[0-9]", text):
        advice = f"write a point for decimals and no commas, for example `{example}`"
    raise QuantityError("bad-number", f"{shown!r} is not a number with a unit", advice)


def _advice(dimension: Dimension, unit: str = "") -> str:
    """Return what to write instead of a unit that is missing or unknown."""
    known = [name for name in UNITS[dimension] if name]
    if dimension in ("macs", "flops") and unit.upper().endswith("FLOPS"):
        return f"FLOPS is a speed; write `{unit[:-1]}`, operations for one item"
    alike = next((name for name in known if unit and name.lower() == unit.lower()), None)
    if alike is not None:
        return f"write `{alike}`"
    return f"use one of {', '.join(known)}" if known else "write the number alone"


@cache
def _spellings(dimension: Dimension) -> dict[str, float]:
    """Return every accepted way to write a unit: the table's, plurals of operations, both micro signs."""
    units = dict(UNITS[dimension])
    for unit, factor in UNITS[dimension].items():
        if unit.endswith(("MAC", "FLOP")):
            units[f"{unit}s"] = factor
        if unit == "us":
            units |= {"\u00b5s": factor, "\u03bcs": factor}
    return units


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
    if not number.strip("+-0."):
        number = f"{0:.{digits}f}"
    return f"{number} {'%' if relative else 'pp'}"


def format_apart(left: float, right: float, relative: bool = True) -> tuple[str, str]:
    """Write two changes with as many digits as it takes for them to differ when they do."""
    for digits in range(1, 18):
        pair = format_change(left, relative, digits), format_change(right, relative, digits)
        if left == right or pair[0] != pair[1]:
            return pair
    return pair


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")  # 9.999 has its first digit one place higher once it is rounded
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, places)}f}" if places >= 0 else f"{value:,.0f}"
