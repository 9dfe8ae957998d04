"""The timing loop: single calls of each role in turn, in balanced order, after a warm-up until calls are steady.

Knows nothing of models: a call is a function that takes the index of a feed. Runs in the worker, for every backend.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations

from greengate.profile import Role
from greengate.profiler.jobs import LaunchJob, Sampled

Call = Callable[[int], object]

#: Runs a call on one feed, once or several times in a row, and returns wall and CPU time of each, in ns.
Timer = Callable[[Call, int], tuple[Sequence[int], Sequence[int]]]

_BLOCK = 5  # odd, so that a block has a middle
_STEADY = 0.05
_WARM_UP_MIN = 3
_GOLDEN = (5**0.5 - 1) / 2
_WARM_UP_SHARE = 0.5  # of the seconds that timing may take


class RoleFailed(Exception):  # noqa: N818 - carries what foreign code raised
    """A call of one role raised `error`."""

    def __init__(self, role: Role, error: Exception) -> None:
        super().__init__(f"the {role} failed: {error}")
        self.role, self.error = role, error


@dataclass
class _Series:
    """Samples of one role, in ns."""

    wall: list[int] = field(default_factory=list)
    cpu: list[int] = field(default_factory=list)


def on_host(call: Call, feed: int) -> tuple[Sequence[int], Sequence[int]]:
    """Time one call by the clocks of this process. The CPU clock is read outside, being the slower one to read."""
    cpu = time.process_time_ns()
    wall = time.perf_counter_ns()
    call(feed)
    took = time.perf_counter_ns() - wall
    return (took,), (time.process_time_ns() - cpu,)


def launch(calls: Mapping[Role, Call], feeds: int, job: LaunchJob, timer: Timer = on_host) -> Sampled:
    """Warm up, then time the calls as `job` asks; `feeds` says how many feeds there are to go through.

    Both calls of a pair get the same feed, and a feed comes in both orders before the next has its turn. Launches begin
    at different feeds, so that few calls a launch go through many of them all the same.
    Raises RoleFailed for what a call raises.
    """
    with _no_collection():
        steady, warming = _warm_up(calls, job, timer)
        series = _timed(calls, feeds, job, timer)
    samples: dict[str, dict[str, tuple[int, ...]]]
    samples = {role: {"wall": tuple(kept.wall), "cpu": tuple(kept.cpu)} for role, kept in series.items()}
    seconds = (warming + sum(sum(kept.wall) for kept in series.values())) / 1e9
    notes = () if steady else ("the calls were not steady when the warm-up ended",)
    return Sampled(samples, seconds, notes, feeds)


def _timed(calls: Mapping[Role, Call], feeds: int, job: LaunchJob, timer: Timer) -> dict[Role, _Series]:
    series = {role: _Series() for role in job.order}
    enough, most = int(job.seconds * 1e9), int(job.most_seconds * 1e9)
    spent, turn, made, first, swept = 0, 0, 0, first_feed(job.seed, feeds), 0
    orders = _orders(job)
    while made < job.max_calls and (
        made < job.min_calls or spent < enough or (made < job.enough_calls and spent < most) or turn % 2
    ):
        if turn % 2 == swept % 2:  # before turns of one order and of the other, by turns
            swept += _collected()
        for role in next(orders):
            spent += _call(role, calls[role], feed_of(turn, feeds, first), series[role], timer)
        turn += 1
        made = len(series[job.order[0]].wall)  # a turn may be one call of each role, or a block of them
    return series


def first_feed(seed: int, feeds: int) -> int:
    """Return which input a launch begins with: steps of the golden ratio, which spread any number of seeds evenly."""
    return int(seed * _GOLDEN % 1 * feeds)


def feed_of(turn: int, feeds: int, first: int = 0) -> int:
    """Return which input the calls of a turn get: each in two turns before the next."""
    return (first + turn // 2) % feeds


def _orders(job: LaunchJob) -> Iterator[tuple[Role, ...]]:
    """Yield the order of each turn: two roles AB BA AB ...; more in every order equally often, shuffled.

    A call runs faster after one of its own kind. With two roles each follows itself every other turn; with more only
    chance makes them alike, so every six turns hold all six orders, in an order drawn from the seed.
    """
    forward = tuple(job.order)
    if len(forward) < 3:
        while True:
            yield forward
            yield tuple(reversed(forward))
    chance = random.Random(f"orders {job.seed}")  # noqa: S311 - not a secret
    every = list(permutations(forward))
    while True:
        chance.shuffle(every)
        yield from every


def _call(role: Role, call: Call, feed: int, kept: _Series, timer: Timer) -> int:
    """Time a role's turn and return its wall time in ns."""
    try:
        walls, cpus = timer(call, feed)
    except Exception as error:
        raise RoleFailed(role, error) from error
    kept.wall.extend(walls)
    kept.cpu.extend(cpus)
    return sum(walls)


def _warm_up(calls: Mapping[Role, Call], job: LaunchJob, timer: Timer) -> tuple[bool, int]:
    """Call in turn until the medians of successive blocks agree within 5 % for every role, or time is up.

    Returns whether they did, and the ns spent inside calls. At least three calls of each role are made, however long
    they take.
    """
    series = {role: _Series() for role in job.order}
    deadline = time.perf_counter() + _WARM_UP_SHARE * job.seconds
    rounds, spent, looked = 0, 0, _BLOCK
    while rounds < _WARM_UP_MIN or time.perf_counter() < deadline:
        for role in job.order:
            spent += _call(role, calls[role], 0, series[role], timer)
        _collected()
        rounds += 1
        made = len(series[job.order[0]].wall)
        if made >= looked + _BLOCK:
            looked = made
            if all(is_steady(kept.wall) for kept in series.values()):
                return True, spent
    return False, spent


def is_steady(walls: Sequence[int]) -> bool:
    """Tell whether the medians of the last two blocks of calls agree within 5 %."""
    middle = _BLOCK // 2
    before, last = sorted(walls[-2 * _BLOCK : -_BLOCK])[middle], sorted(walls[-_BLOCK:])[middle]
    return abs(last - before) <= _STEADY * before


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out of the timed calls, and what there is already out of what it looks at between."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was:
            gc.enable()


def _collected() -> bool:
    """Collect the garbage of calls where Python would have by now, as it does wherever a model serves; tell whether."""
    most = gc.get_threshold()[0]
    due = 0 < most < gc.get_count()[0]
    if due:
        gc.collect()
    return due
