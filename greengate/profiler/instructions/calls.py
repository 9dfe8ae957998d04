"""The calls that are counted: some to warm up, then some that count, then some on other values. Runs in the worker."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable

from greengate.profiler.instructions.requests import Callgrind
from greengate.profiler.jobs import Called, SimulateJob
from greengate.profiler.worker import Stage

#: A call that ends sooner than this under valgrind is repeated: its own work is then small beside the interpreter's,
#: which takes many calls to settle and differs a little from call to call.
SECONDS = 1.0
MOST_WARMING, MOST_COUNTED = 40, 20


def count(call: Callable[[int], object], feeds: int, job: SimulateJob, stage: Stage) -> Called:
    """Call on feed 0 at least once, then at least once more while valgrind counts; then on feed 1, where there is one.

    The first call sets up buffers, which is no part of an inference. What would not end in time is not begun; where
    that is the count itself, the answer says how long it would take.
    """
    tool = Callgrind()
    gc.collect()
    gc.disable()  # or it would run inside whichever call it falls into
    stage("running the model for the first time")
    took = _warm(lambda: call(0))
    calls = max(1, min(MOST_COUNTED, round(SECONDS / max(took, 1e-9))))
    if time.monotonic() + calls * took > job.deadline:
        return Called(0, calls, took, time.monotonic() - job.begun + calls * took, _libraries())
    stage(f"counting; a call takes {took:.1f} s")
    tool.count(lambda: _repeat(call, 0, calls))
    if feeds < 2 or time.monotonic() + calls * took > job.deadline:
        return Called(1, calls, took, libraries=_libraries())
    stage("counting a call on other values")
    tool.count(lambda: _repeat(call, 1, calls))
    return Called(2, calls, took, libraries=_libraries())


def _warm(call: Callable[[], object]) -> float:
    """Call until SECONDS have passed, or often enough; return the seconds of the last call."""
    began = last = time.monotonic()
    for _ in range(MOST_WARMING):
        last = time.monotonic()
        call()
        if time.monotonic() - began >= SECONDS:
            break
    return time.monotonic() - last


def _repeat(call: Callable[[int], object], feed: int, times: int) -> None:
    for _ in range(times):
        call(feed)


def _libraries() -> dict[str, str]:
    """Return the versions of what takes part in a call beside the runtime."""
    from importlib.metadata import version

    return {
        "Python": platform.python_version(),
        "numpy": version("numpy"),
        "C library": " ".join(platform.libc_ver()).strip() or "unknown",
    }
