"""The timing loop: order, stopping, warm-up and what is recorded, with calls that know when they are made."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greengate.profile import Role, WorkloadSpec
from greengate.profiler import pairing
from greengate.profiler.jobs import LaunchJob
from greengate.profiler.pairing import RoleFailed, is_steady, launch

BOTH: tuple[Role, ...] = ("baseline", "candidate")


def job(order: tuple[Role, ...] = BOTH, **kept: Any) -> LaunchJob:
    asked = {"seconds": 0.0, "min_calls": 6, "max_calls": 100} | kept
    return LaunchJob({role: role for role in order}, order, WorkloadSpec(), 0, **asked)


class Diary:
    """Calls that write down who was called with which feed, and whether the collector was on."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls: list[tuple[Role, int]] = []
        self.collected: set[bool] = set()
        self.seconds = seconds

    def call(self, role: Role) -> Callable[[int], None]:
        def write(feed: int) -> None:
            self.calls.append((role, feed))
            self.collected.add(gc.isenabled())
            until = time.perf_counter() + self.seconds
            while time.perf_counter() < until:
                pass

        return write

    def both(self) -> dict[Role, Callable[[int], None]]:
        return {role: self.call(role) for role in BOTH}

    def timed(self, count: int) -> list[tuple[Role, int]]:
        return self.calls[-count:]


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]])
def test_pairs_alternate_their_order(order: tuple[Role, ...]) -> None:
    diary = Diary()
    launch(diary.both(), 1, job(order))
    a, b = order
    assert [role for role, _ in diary.timed(12)] == [a, b, b, a] * 3


def test_both_calls_of_a_pair_get_one_feed_and_each_feed_both_orders() -> None:
    diary = Diary()
    launch(diary.both(), 3, job(min_calls=12))
    seen = [(role[0], feed) for role, feed in diary.timed(24)]
    assert seen[:8] == [("b", 0), ("c", 0), ("c", 0), ("b", 0), ("b", 1), ("c", 1), ("c", 1), ("b", 1)]
    assert [feed for _, feed in seen[8:16]] == [2] * 4 + [0] * 4


@settings(max_examples=30, deadline=None)
@given(least=st.integers(1, 20), most=st.integers(1, 30), roles=st.sampled_from([BOTH, BOTH[:1]]))
def test_calls_stay_within_their_bounds(least: int, most: int, roles: tuple[Role, ...]) -> None:
    diary = Diary()
    found = launch({role: diary.call(role) for role in roles}, 1, job(roles, min_calls=least, max_calls=most))
    lengths = {len(series) for kept in found.samples.values() for series in kept.values()}
    assert len(lengths) == 1  # one length for wall and cpu of every role: pairs are whole
    (length,) = lengths
    # an even number of pairs keeps the order balanced, unless the most is odd
    assert length == min(least + least % 2, most)
    assert found.samples.keys() == set(roles)
    assert all(series.keys() == {"wall", "cpu"} for series in found.samples.values())


def test_timing_goes_on_for_the_seconds_asked_inside_calls() -> None:
    found = launch(Diary(0.002).both(), 1, job(seconds=0.2))
    assert 0.2 <= found.seconds < 0.25
    spent = sum(sum(kept["wall"]) for kept in found.samples.values())
    assert found.seconds == pytest.approx(spent / 1e9)
    assert all(isinstance(sample, int) for kept in found.samples.values() for sample in kept["wall"])


def test_the_loop_adds_little() -> None:
    """At least 80 % of the timed phase lies inside calls of 15 ms; in truth it is nearly all of it."""
    diary = Diary(0.015)
    started = time.perf_counter()
    calls = diary.both()
    series = pairing._timed(calls, 1, job(min_calls=10))
    elapsed = time.perf_counter() - started
    assert sum(sum(kept.wall) for kept in series.values()) / 1e9 > 0.95 * elapsed


def test_wall_and_cpu_are_told_apart() -> None:
    def sleep(_: int) -> None:
        time.sleep(0.005)

    (found,) = launch({"candidate": sleep}, 1, job(("candidate",))).samples.values()
    assert min(found["wall"]) >= 5_000_000
    assert max(found["cpu"]) < 2_500_000
    (busy,) = launch({"candidate": Diary(0.005).call("candidate")}, 1, job(("candidate",))).samples.values()
    assert sorted(busy["cpu"])[3] > 2_500_000


def test_the_collector_is_off_while_timing_and_on_again_after() -> None:
    diary = Diary()
    assert gc.isenabled()
    launch(diary.both(), 1, job())
    assert diary.collected == {False}
    assert gc.isenabled()
    with pytest.raises(RoleFailed):
        launch({"candidate": failing}, 1, job(("candidate",)))
    assert gc.isenabled()


def failing(_: int) -> None:
    raise ValueError("no such luck")


def test_a_failure_names_its_role() -> None:
    with pytest.raises(RoleFailed, match="the candidate failed: no such luck") as failed:
        launch({"baseline": Diary().call("baseline"), "candidate": failing}, 1, job())
    assert (failed.value.role, type(failed.value.error)) == ("candidate", ValueError)


@pytest.mark.parametrize(
    ("walls", "steady"),
    [
        ([100] * 10, True),
        ([100] * 5 + [104] * 5, True),
        ([100] * 5 + [106] * 5, False),
        ([106] * 5 + [100] * 5, False),
        ([900, 500, 200, 120, 100] + [100] * 5, False),
        ([9999] * 5 + [100] * 10, True),
        ([100] * 5 + [100, 100, 100, 999, 999], True),
    ],
)
def test_steady_means_that_two_blocks_agree(walls: list[int], steady: bool) -> None:
    assert is_steady(walls) is steady


def test_the_warm_up_lasts_until_calls_are_steady() -> None:
    diary = Diary()
    slow = iter([0.02, 0.015, 0.01, 0.008, 0.006] + [0.002] * 1000)

    def warming(_: int) -> None:
        diary.calls.append(("candidate", 0))
        until = time.perf_counter() + next(slow)
        while time.perf_counter() < until:
            pass

    found = launch({"candidate": warming}, 1, job(("candidate",), seconds=4, max_calls=6))
    warm = len(diary.calls) - 6
    assert warm >= 15  # the first block differs from the second
    assert found.notes == ()
    assert max(found.samples["candidate"]["wall"]) < 6_000_000


def test_a_slow_model_is_warmed_up_by_three_calls_and_that_is_said() -> None:
    diary = Diary(0.02)
    found = launch(diary.both(), 1, job(seconds=0.01, min_calls=2))
    assert len(diary.calls) == 2 * (3 + 2)
    assert "not steady" in found.notes[0]
