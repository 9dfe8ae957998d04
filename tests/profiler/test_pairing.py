"""The timing loop: order, stopping, warm-up and what is recorded, with calls that know when they are made."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
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


class Clock:
    """A clock that stands still until a call moves it: tests of durations do not depend on the machine's load."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000

    def perf_counter_ns(self) -> int:
        return self.ns

    def process_time_ns(self) -> int:
        return self.ns // 2

    def perf_counter(self) -> float:
        return self.ns / 1e9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    kept = Clock()
    monkeypatch.setattr(pairing, "time", kept)
    return kept


class Diary:
    """Calls that write down who was called with which feed, and whether the collector was on.

    Given a clock, each call moves it by the next of `ms`, the last one for ever.
    """

    def __init__(self, clock: Clock | None = None, ms: Sequence[float] = (2,)) -> None:
        self.calls: list[tuple[Role, int]] = []
        self.collected: set[bool] = set()
        self.clock, self.ms = clock, list(ms)

    def call(self, role: Role) -> Callable[[int], None]:
        def write(feed: int) -> None:
            self.calls.append((role, feed))
            self.collected.add(gc.isenabled())
            if self.clock is not None:
                self.clock.ns += int(1e6 * (self.ms.pop(0) if len(self.ms) > 1 else self.ms[0]))

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
    turns = [feed for role, feed in seen if role == "b"]
    assert turns == [pairing.feed_of(turn, 3) for turn in range(12)]


@pytest.mark.parametrize("feeds", [1, 3])
def test_how_many_feeds_there_were_is_kept(feeds: int) -> None:
    assert launch(Diary().both(), feeds, job()).feeds == feeds


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


def test_timing_goes_on_for_the_seconds_asked_inside_calls(clock: Clock) -> None:
    found = launch(Diary(clock, (2,)).both(), 1, job(seconds=0.1))
    assert {role: len(kept["wall"]) for role, kept in found.samples.items()} == {"baseline": 26, "candidate": 26}
    # 25 pairs of 2 x 2 ms, and one more to balance the order; the warm-up's ten pairs are inferences too
    assert found.seconds == pytest.approx(0.104 + 0.04)
    assert found.samples["candidate"]["wall"] == (2_000_000,) * 26
    assert found.samples["candidate"]["cpu"] == (1_000_000,) * 26


def busy(_: int) -> None:
    until = time.perf_counter() + 0.015
    while time.perf_counter() < until:
        pass


def test_the_loop_adds_little() -> None:
    """At least 80 % of the timed phase lies inside calls of 15 ms; in truth it is nearly all of it."""
    started = time.perf_counter()
    series = pairing._timed({"candidate": busy}, 1, job(("candidate",), min_calls=20), pairing.on_host)
    elapsed = time.perf_counter() - started
    assert sum(series["candidate"].wall) / 1e9 > 0.8 * elapsed


def test_wall_and_cpu_are_told_apart() -> None:
    def sleep(_: int) -> None:
        time.sleep(0.005)

    (found,) = launch({"candidate": sleep}, 1, job(("candidate",))).samples.values()
    assert min(found["wall"]) >= 5_000_000
    assert sorted(found["cpu"])[3] < 2_500_000
    (found,) = launch({"candidate": busy}, 1, job(("candidate",))).samples.values()
    assert max(found["cpu"]) > 2_500_000


def test_the_collector_is_off_while_timing_and_on_again_after() -> None:
    diary = Diary()
    assert gc.isenabled()
    launch(diary.both(), 1, job())
    assert diary.collected == {False}
    assert gc.isenabled()
    with pytest.raises(RoleFailed):
        launch({"candidate": failing}, 1, job(("candidate",)))
    assert gc.isenabled()


@pytest.fixture
def inside() -> Iterator[list[bool]]:
    """Whether each run of the collector fell into a call."""
    calling, runs = [False], list[bool]()

    def ran(phase: str, _: object) -> None:
        if phase == "start":
            runs.append(calling[0])

    gc.callbacks.append(ran)
    yield runs
    gc.callbacks.remove(ran)


class Knot:
    """What only the collector finds, as it refers to itself."""

    alive = most = 0

    def __init__(self) -> None:
        self.itself = self
        Knot.alive += 1
        Knot.most = max(Knot.most, Knot.alive)

    def __del__(self) -> None:
        Knot.alive -= 1


@pytest.mark.parametrize("roles", [BOTH, BOTH[:1]])
def test_garbage_of_calls_is_collected_between_them(
    roles: tuple[Role, ...], inside: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that leaves some in every call would run out of memory, where it serves for years elsewhere."""
    monkeypatch.setattr(Knot, "most", 0)
    calling: list[Role] = []

    def ran(role: Role) -> Callable[[int], None]:
        def call(_: int) -> None:
            before = len(inside)
            Knot()
            assert len(inside) == before, "the collector ran in a call"
            calling.append(role)

        return call

    launch({role: ran(role) for role in roles}, 1, job(roles, min_calls=4000, max_calls=4000))
    assert len(calling) >= 4000 * len(roles)
    assert Knot.most < 3 * gc.get_threshold()[0]


def test_the_roles_are_first_after_a_collection_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called first finds freed memory, or cold caches: it must not be the same one each time."""
    first: list[Role] = []
    fresh = [False]

    def collected() -> bool:
        fresh[0] = True
        return True

    def call(role: Role) -> Callable[[int], None]:
        def noted(_: int) -> None:
            if fresh[0]:
                first.append(role)
            fresh[0] = False

        return noted

    monkeypatch.setattr(pairing, "_collected", collected)
    calls = {role: call(role) for role in BOTH}
    pairing._timed(calls, 1, job(min_calls=20, max_calls=20), pairing.on_host)
    assert first[:4] == ["baseline", "candidate", "baseline", "candidate"]


def test_where_calls_leave_no_garbage_nothing_is_collected(inside: list[bool]) -> None:
    """Collecting would take time of the trial, and caches of the call after it."""

    def call(_: int) -> list[int]:
        return [0]

    with pairing._no_collection():
        before = len(inside)
        pairing._timed({"candidate": call}, 1, job(BOTH[1:], min_calls=4000, max_calls=4000), pairing.on_host)
        assert len(inside) == before


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


@pytest.mark.parametrize(
    ("ms", "warm"),
    [
        ((2,), 10),  # two blocks of five that agree
        ((20, 15, 10, 8, 6, 2), 15),  # the first block differs from the second
        ((20,) * 5 + (10,) * 5 + (5,) * 5 + (2,), 25),
    ],
)
def test_the_warm_up_lasts_until_calls_are_steady(clock: Clock, ms: Sequence[float], warm: int) -> None:
    diary = Diary(clock, ms)
    found = launch({"candidate": diary.call("candidate")}, 1, job(("candidate",), seconds=4, max_calls=6))
    assert (len(diary.calls) - 6, found.notes) == (warm, ())
    assert found.samples["candidate"]["wall"] == (2_000_000,) * 6


@pytest.mark.parametrize(
    ("ms", "seconds", "rounds"),
    [
        ((200,), 0.1, 3),  # three calls of each role, however long they take
        ([10 * 1.02**index for index in range(2000)], 1.0, 18),  # ever slower: ends after half of the seconds
    ],
)
def test_a_warm_up_that_does_not_settle_ends_and_says_so(
    clock: Clock, ms: Sequence[float], seconds: float, rounds: int
) -> None:
    diary = Diary(clock, ms)
    found = launch(diary.both(), 1, job(seconds=seconds, max_calls=2))
    assert len(diary.calls) == 2 * (rounds + 2)
    assert "not steady" in found.notes[0]


def test_three_roles_come_in_all_six_orders_drawn_anew_from_the_seed() -> None:
    from itertools import islice

    def drawn(seed: int) -> list[tuple[str, ...]]:
        roles = ("baseline", "candidate", "control")
        job = LaunchJob(dict.fromkeys(roles, ""), roles, WorkloadSpec(), seed, 0.1, 6, 60)  # type: ignore[arg-type]
        return list(islice(pairing._orders(job), 60))

    for start in range(0, 60, 6):
        assert len(set(drawn(1)[start : start + 6])) == 6
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1)[:6] != drawn(1)[6:12]


def in_blocks(clock: Clock) -> pairing.Timer:
    """Return a timer that makes eight calls of 2 ms at once, as on a board."""

    def block(call: Callable[[int], object], feed: int) -> tuple[list[int], list[int]]:
        call(feed)
        clock.ns += 16_000_000
        return [2_000_000] * 8, [1_000_000] * 8

    return block


def test_blocks_are_steady_after_as_many_calls_as_single_ones(clock: Clock) -> None:
    """Two rounds of eight calls are more than the ten that tell; ten rounds would not end in time."""
    diary = Diary(clock)
    found = launch(diary.both(), 1, job(seconds=0.1, min_calls=16), in_blocks(clock))
    assert found.notes == ()
    warmed, counted = 2, 4  # rounds: those of 100 ms in calls of two roles
    assert len(diary.calls) == 2 * (warmed + counted)


@pytest.mark.parametrize(
    ("asked", "turns"),
    [
        ({"min_calls": 10}, 2),
        ({"min_calls": 167, "max_calls": 5000}, 22),
        ({"min_calls": 1, "enough_calls": 50, "most_seconds": 100.0}, 8),
        ({"min_calls": 1, "enough_calls": 50, "most_seconds": 0.1}, 4),
        ({"min_calls": 400, "max_calls": 100}, 13),
    ],
)
def test_of_blocks_the_calls_are_counted(asked: dict[str, Any], turns: int, clock: Clock) -> None:
    """On a board a turn is a block of eight calls: a thousand calls for p99 are not a thousand blocks."""
    diary = Diary(clock)

    found = launch(diary.both(), 1, job(**asked), in_blocks(clock))
    assert {len(series["wall"]) for series in found.samples.values()} == {8 * turns}
