from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate.profile import Launch
from greengate.profiler.steady import remarks, two_speeds


def walls(*speeds: tuple[float, int], noise: float = 0.01, seed: int = 0) -> tuple[int, ...]:
    rng = random.Random(seed)
    made = [round(1e6 * speed * (1 + abs(rng.gauss(0, noise)))) for speed, count in speeds for _ in range(count)]
    rng.shuffle(made)
    return tuple(made)


@pytest.mark.parametrize(
    ("series", "found"),
    [
        (walls((1.0, 100)), False),
        (walls((1.0, 100), noise=0.3), False),  # wide, but one cluster
        (walls((1.0, 60), (1.8, 40)), True),
        (walls((1.0, 40), (1.2, 60)), True),
        (walls((1.0, 50), (1.05, 50)), False),  # too near to matter
        (walls((1.0, 97), (5.0, 3)), False),  # a few interruptions are no second speed
        (walls((1.0, 10), (2.0, 10)), False),  # too few to tell
        ((0,) * 100, False),
        ((5,) * 100, False),
    ],
)
def test_two_speeds_are_told_from_one(series: tuple[int, ...], found: bool) -> None:
    assert (two_speeds(series) is not None) is found


def test_how_far_and_how_often() -> None:
    found = two_speeds(walls((1.0, 70), (1.5, 30), noise=0.001))
    assert found is not None
    slower, share = found
    assert slower == pytest.approx(0.5, abs=0.01)
    assert share == pytest.approx(0.26, abs=0.03)  # of what is left without the slowest twentieth


@given(st.lists(st.integers(0, 10**9), max_size=120))
def test_any_series_has_an_answer(series: list[int]) -> None:
    found = two_speeds(series)
    assert found is None or (found[0] > 0 and 0 < found[1] < 1)


def launch(baseline: tuple[int, ...], candidate: tuple[int, ...]) -> Launch:
    return Launch(0, (), {"baseline": {"wall": baseline}, "candidate": {"wall": candidate}}, 1.0)


def test_the_role_is_named_when_most_launches_show_it() -> None:
    one, two = walls((1.0, 100)), walls((1.0, 50), (2.0, 50))
    assert list(remarks([launch(one, one)] * 5)) == []
    (said,) = remarks([launch(one, two)] * 3 + [launch(one, one)] * 2)
    assert said.startswith("the candidate's calls have two speeds")
    assert list(remarks([launch(one, two)] * 2 + [launch(one, one)] * 3)) == []
    assert list(remarks([])) == []
