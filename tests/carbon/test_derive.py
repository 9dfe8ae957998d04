"""Emissions of inferences: energy x intensity x PUE, its interval and its change; and the SCI-style figure."""

from __future__ import annotations

import dataclasses

import nouns
import pytest

from greengate.budget import Carbon
from greengate.carbon.derive import EMISSIONS, ENERGY, derived, sci_note
from greengate.comparison import Change, Comparison
from greengate.profile import Interval, Measurement, Missing

#: 100 g/kWh, a site that draws half as much again.
GRID = Carbon(100e-3 / 3.6e6, "made up, 2025", nouns.SPAN, 1.5)
KILOGRAMS = 3600.0 * GRID.intensity * 1.5


def compared(method: str = "counter") -> Comparison:
    before = Measurement(7200.0, method, detail="package", interval=Interval(7000.0, 7400.0))  # type: ignore[arg-type]
    after = dataclasses.replace(before, value=3600.0, interval=Interval(3500.0, 3700.0))
    return Comparison(ENERGY, before, after, Change(-0.5, -0.51, -0.49, "paired"))


def test_emissions_are_energy_scaled_and_change_as_it_does() -> None:
    found = derived({ENERGY: compared()}, GRID)[EMISSIONS]
    before, after = found.baseline, found.candidate
    assert isinstance(before, Measurement)
    assert isinstance(after, Measurement)
    assert after.value == pytest.approx(KILOGRAMS)
    assert after.value == pytest.approx(0.15e-3)  # 1 Wh at 100 g/kWh, and half of it again
    assert before.value == pytest.approx(2 * KILOGRAMS)
    assert after.interval is not None
    assert (after.interval.low, after.interval.high) == pytest.approx((KILOGRAMS * 35 / 36, KILOGRAMS * 37 / 36))
    assert after.detail == "package x made up, 2025 x PUE 1.5"
    assert found.change == compared().change
    assert found.metric == EMISSIONS
    plain = derived({ENERGY: compared()}, dataclasses.replace(GRID, pue=1.0))[EMISSIONS].candidate
    assert isinstance(plain, Measurement)
    assert plain.detail == "package x made up, 2025"


def test_the_sci_style_figure_is_of_one_inference() -> None:
    (said,) = sci_note(derived({ENERGY: compared()}, dataclasses.replace(GRID, pue=6.64)), GRID)
    assert "SCI-style score, operational only (no embodied part), per inference: 664 ug CO2e" in said
    assert "at 100 g/kWh x PUE 1.5: made up, 2025" in said
    (said,) = sci_note(derived({ENERGY: compared("estimated")}, GRID), GRID)
    assert "per inference: \u2248 150 ug" in said


def test_without_an_intensity_there_is_no_guess() -> None:
    found = derived({ENERGY: compared()}, None)[EMISSIONS]
    assert isinstance(found.candidate, Missing)
    assert "names no grid intensity" in found.candidate.reason
    assert sci_note({EMISSIONS: found}, None) == ()
    assert derived({}, GRID) == {}


def test_a_gap_of_energy_is_the_gap_of_emissions() -> None:
    gone = Missing("no counter")
    missing = Comparison(ENERGY, gone, gone, gone)
    for carbon in (None, GRID):
        found = derived({ENERGY: missing}, carbon)[EMISSIONS]
        assert (found.metric, found.candidate) == (EMISSIONS, gone)
        assert sci_note({EMISSIONS: found}, carbon) == ()
