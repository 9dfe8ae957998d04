"""The calls that are counted: some to warm up, then some that count, then some on other values. Runs in the worker."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from greengate.profiler.instructions.requests import Callgrind
from greengate.profiler.jobs import Called, SimulateJob
from greengate.profiler.worker import Stage

#: Calls of fewer instructions are counted several times, each by itself, and the one in the middle is taken: now and
#: then an allocator tidies up inside of one, and the interpreter takes many calls to settle. How often depends on
#: instructions and not on a clock, or a slow neighbour would have a part in the count.
ENOUGH, TIMES = 10_000_000, (1, 3, 5, 9, 15)


class Renewed(Protocol):
    """A call whose inputs must be made anew before every one, outside of what is counted."""

    def __call__(self, index: int) -> object:
        """Call on one feed."""

    def renew(self, index: int) -> None:
        """Make a feed anew."""


def _never() -> None:
    """Tell of no call that must be renewed."""


def count(
    call: Callable[[int], object],
    feeds: int,
    job: SimulateJob,
    stage: Stage,
    told: Callable[[], Renewed | None] = _never,
) -> Called:
    """Call on feed 0 until buffers are set up, then count calls on it; then as many on feed 1, where there is one.

    The first call sets up buffers, which is no part of an inference; the second is counted. Where that is too short to
    stand alone, it says how many calls are counted, after twice as many that warm up. What would not end in time
    is not begun; where that is the count itself, the answer says how long it would take. `told` is asked after the
    first call whether the others must be renewed.
    """
    tool = Callgrind()
    gc.collect()
    gc.disable()  # or it would run inside whichever call it falls into
    stage("running the model for the first time")
    took = _timed(lambda: call(0))
    if time.monotonic() + took > job.deadline:
        return _too_long(job, 1, took, took)
    renewed = told()
    if renewed is not None:
        call = renewed
    renew = _nothing if renewed is None else renewed.renew
    stage(f"counting; a call takes {took:.1f} s")
    renew(0)
    once = _timed(lambda: tool.count(lambda: call(0)))
    times = repeats(tool.counted())
    if times > 1:
        tool.forget()
        once = _timed(lambda: call(0))  # the one before was translated too
        rest = (3 * times - 1) * once
        if time.monotonic() + rest > job.deadline:
            return _too_long(job, times, once, rest)
        for _ in range(2 * times - 1):
            call(0)
        _each(tool, lambda: call(0), times, partial(renew, 0))
    if feeds < 2 or time.monotonic() + times * once > job.deadline:
        return Called(1, times, once, libraries=_libraries())
    stage("counting a call on other values")
    _each(tool, lambda: call(1), times, partial(renew, 1))
    return Called(2, times, once, libraries=_libraries())


def repeats(instructions: int) -> int:
    """Return how many calls are counted: one of few numbers, so that counts that hardly differ agree in it."""
    return next((times for times in TIMES if times * instructions >= ENOUGH), TIMES[-1])


def _too_long(job: SimulateJob, calls: int, call: float, rest: float) -> Called:
    return Called(0, calls, call, time.monotonic() - job.begun + rest, _libraries())


def _timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work took."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def _each(tool: Callgrind, call: Callable[[], object], times: int, renew: Callable[[], object]) -> None:
    for _ in range(times):
        renew()
        tool.count(call)


def _nothing(index: int) -> None:
    """Make nothing anew."""


def _libraries() -> dict[str, str]:
    """Return the versions of what takes part in a call beside the runtime."""
    from importlib.metadata import version

    return {
        "Python": platform.python_version(),
        "numpy": version("numpy"),
        "C library": " ".join(platform.libc_ver()).strip() or "unknown",
    }
