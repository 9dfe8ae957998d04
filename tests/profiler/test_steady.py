from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate.profile import Launch
from greengate.profiler.pairing import feed_of, first_feed
from greengate.profiler.steady import by_input, remarks, two_speeds


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


def launch(baseline: tuple[int, ...], candidate: tuple[int, ...], feeds: int = 1) -> Launch:
    return Launch(0, (), {"baseline": {"wall": baseline}, "candidate": {"wall": candidate}}, 1.0, feeds=feeds)


def test_the_role_is_named_when_most_launches_show_it() -> None:
    one, two = walls((1.0, 100)), walls((1.0, 50), (2.0, 50))
    assert list(remarks([launch(one, one)] * 5)) == []
    (said,) = remarks([launch(one, two)] * 3 + [launch(one, one)] * 2)
    assert said.startswith("the candidate's calls have two speeds")
    assert list(remarks([launch(one, two)] * 2 + [launch(one, one)] * 3)) == []
    assert list(remarks([])) == []


def fed(
    costs: tuple[float, ...], calls: int = 120, noise: float = 0.02, seed: int = 0, first: int = 0
) -> tuple[int, ...]:
    """Calls whose time is that of their input, each input in two calls before the next, as the timing loop does."""
    rng = random.Random(seed)
    own = (costs[(first + turn // 2) % len(costs)] for turn in range(calls))
    return tuple(round(1e6 * cost * (1 + abs(rng.gauss(0, noise)))) for cost in own)


@pytest.mark.parametrize(
    ("costs", "noise", "found"),
    [
        ((1.0, 1.0, 1.0, 1.0), 0.02, False),
        ((1.0, 1.2, 1.5, 2.0), 0.02, True),
        ((1.0, 1.5), 0.02, True),
        ((1.0,) * 49 + (3.0,), 0.05, False),  # one slow input in fifty explains little: a stray call would look alike
        ((1.0, 1.02, 1.04, 1.06), 0.001, False),  # clear, but too small to matter
        ((1.0, 1.1, 1.2, 1.3), 0.5, False),  # drowned
        (tuple(1 + index / 25 for index in range(50)), 0.05, True),
        ((1.0,) * 60, 0.3, False),  # as many inputs as pairs of calls: nothing but chance
        ((1.0, 2.0), 0.0, True),
        ((1.0, 1.0), 0.0, False),
    ],
)
def test_a_speed_that_follows_its_inputs_is_told(costs: tuple[float, ...], noise: float, found: bool) -> None:
    series = [fed(costs, noise=noise, seed=seed) for seed in range(6)]
    assert (by_input(series, len(costs)) is not None) is found


def test_how_much_the_inputs_explain() -> None:
    slower, explained = by_input([fed((1.0, 1.5, 2.0), seed=seed) for seed in range(6)], 3) or (0.0, 0.0)
    assert slower == pytest.approx(1.0, abs=0.03)
    assert 0.85 < explained < 1  # ranks within an input still differ


def test_stray_calls_hide_nothing_and_invent_nothing() -> None:
    rng = random.Random(5)

    def stray(walls: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(wall * (20 if rng.random() < 0.03 else 1) for wall in walls)

    assert by_input([stray(fed((1.0, 1.5, 2.0), seed=seed)) for seed in range(6)], 3) is not None
    assert by_input([stray(fed((1.0, 1.0, 1.0), seed=seed)) for seed in range(6)], 3) is None


@pytest.mark.parametrize("feeds", [0, 1])
def test_one_input_explains_nothing(feeds: int) -> None:
    assert by_input([walls((1.0, 50), (2.0, 50))] * 6, feeds) is None


def test_too_few_calls_tell_nothing_of_inputs() -> None:
    assert by_input([fed((1.0, 2.0), calls=12)] * 3, 2) is None
    assert by_input([], 2) is None
    assert by_input([(0,) * 100], 2) is None


@given(st.lists(st.lists(st.integers(0, 10**9), max_size=90), max_size=3), st.integers(1, 60))
def test_any_series_has_an_answer_about_its_inputs(series: list[list[int]], feeds: int) -> None:
    found = by_input(series, feeds)
    assert found is None or (found[0] >= 0.1 and 0.5 <= found[1] <= 1)


SORTED = tuple(1 + index / 100 for index in range(200))


def test_few_slow_calls_a_launch_are_told_together() -> None:
    """Models of 80 ms make a dozen calls a launch: all launches show what none does."""
    firsts = [first_feed(seed, 200) for seed in range(12)]
    series = [fed(SORTED, 12, seed=seed, first=first) for seed, first in enumerate(firsts)]
    slower, explained = by_input(series, 200, firsts) or (0.0, 0.0)
    assert slower > 1.0
    assert explained > 0.9
    assert by_input([fed((1.0,) * 200, 12, seed=seed) for seed in range(12)], 200, firsts) is None
    launches = [replace(launch(one, one, feeds=200), seed=seed) for seed, one in enumerate(series)]
    first, second = remarks(launches)
    assert first.startswith("the baseline's time follows its inputs: the slowest of 200")
    assert second.startswith("the candidate's time follows its inputs")
    two = [walls((1.0, 7), (1.4, 5), seed=seed) for seed in range(8)]
    (said,) = remarks([launch(walls((1.0, 12), seed=seed), one) for seed, one in enumerate(two)])
    assert said.startswith("the candidate's calls have two speeds")
    assert list(remarks([launch(two[0], two[0])] * 2)) == [], "24 calls are too few"


def test_launches_of_few_calls_go_through_many_inputs() -> None:
    """Twelve launches of ten pairs of calls reach most of 100 inputs; from the first on each, they would reach ten."""
    reached = {feed_of(turn, 100, first_feed(seed, 100)) for seed in range(7000, 7012) for turn in range(20)}
    assert len(reached) > 80
    assert {feed_of(turn, 100, first_feed(seed, 100)) for seed in range(3) for turn in range(200)} == set(range(100))
    assert first_feed(12345, 1) == 0


def test_data_is_named_rather_than_two_speeds() -> None:
    """Two inputs of two speeds are one thing, and it is said once; with one input it is two speeds."""
    even = walls((1.0, 120))
    found = [launch(even, fed((1.0, 2.0), seed=seed), feeds=2) for seed in range(6)]
    (said,) = remarks(found)
    assert said.startswith("the candidate's time follows its inputs: the slowest of 2 takes +100% longer")
    (said,) = remarks([launch(even, one.samples["candidate"]["wall"]) for one in found])
    assert said.startswith("the candidate's calls have two speeds")
