"""The shipped table of grid intensities: what it holds, where it comes from, and what it is worth in SI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from greengate import intensity

FILE = Path(intensity.__file__).with_name("intensity.json")


def test_every_row_is_a_country_with_a_figure_and_its_year() -> None:
    table = intensity.table()
    assert len(table) > 200
    for code, row in table.items():
        assert len(code) == 3
        assert code.isupper()
        assert row.country
        assert 0 < row.grams < 1500, "no grid is dirtier than its dirtiest plant"
        assert 2022 <= row.year <= 2024
        assert row.grams == round(row.grams, 1)
    assert len({row.country for row in table.values()}) == len(table)
    assert list(table) == sorted(table)


def test_the_file_says_whose_numbers_these_are_and_on_what_terms() -> None:
    content = json.loads(FILE.read_text("utf-8"))
    assert set(content) == {"cite", "about", "countries"}
    assert content["cite"] == "Ember, Yearly Electricity Data"
    for part in ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "changed here", "life cycle"):
        assert part in content["about"]


def test_a_row_says_itself_in_one_line_and_in_si() -> None:
    france = intensity.table()["FRA"]
    assert france.source == "France 2024, 44.2 g/kWh, Ember, Yearly Electricity Data"
    assert france.kilograms_a_joule * 3.6e6 == pytest.approx(0.0442), "grams and kilowatt-hours"
