"""The shipped table of grid intensities by country: pinned, cited, dated; nothing is looked up and nothing guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: kg CO2e a joule between which any grid or plant lies that emits at all: 0.01 g/kWh and 10 kg/kWh.
_LEAST, _MOST = 1e-5 / 3.6e6, 10 / 3.6e6


def is_possible(kilograms_a_joule: float) -> bool:
    """Tell whether electricity can emit so much, or nothing; beyond, a unit was mistaken for another."""
    rounded = 1 + 1e-6
    return kilograms_a_joule == 0 or _LEAST / rounded <= kilograms_a_joule <= _MOST * rounded


@dataclass(frozen=True)
class Intensity:
    """The mean intensity of a country's electricity in a year, in g CO2e a kWh over the life cycle of its plants."""

    country: str
    grams: float
    year: int
    cite: str

    @property
    def kilograms_a_joule(self) -> float:
        """The same in SI."""
        return self.grams * 1e-3 / 3.6e6

    @property
    def source(self) -> str:
        """Where the number comes from, in one line."""
        return f"{self.country} {self.year}, {self.grams:g} g/kWh, {self.cite}"


@cache
def table() -> Mapping[str, Intensity]:
    """Return the table, by the three letters of ISO 3166; intensity.json says where it comes from."""
    content = json.loads(Path(__file__).with_name("intensity.json").read_text("utf-8"))
    return {
        code: Intensity(name, grams, year, content["cite"])
        for code, (name, grams, year) in content["countries"].items()
    }
