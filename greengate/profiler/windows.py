"""Windows of inferences for counters that tick slowly: every role in turn and back again, so that drift cancels.

Knows nothing of models or counters. Runs in the worker; who reads the counters does so by the same monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from greengate.power import WindowRole
from greengate.profile import Role
from greengate.profiler.jobs import EnergyJob, Stretch
from greengate.profiler.pairing import Call, RoleFailed

#: Each role runs this share of a window before the first one begins, so that caches and clocks are as in the middle.
_WARM_UP = 0.25


def run(calls: Mapping[Role, Call], feeds: int, job: EnergyJob, *, of: int = 1) -> tuple[Stretch, ...]:
    """Idle, warm up, then run a window of every role in `job.order` and another in reverse order.

    `of`: inferences that a call comes to. Raises RoleFailed for what a call raises.
    """
    found = [_idle(job.idle)] if job.idle > 0 else []
    for role in job.order:
        _window(role, calls[role], feeds, _WARM_UP * job.seconds, 1, of=of)
    turns = (*job.order, *reversed(job.order))
    return (*found, *(_window(role, calls[role], feeds, job.seconds, job.min_calls, of=of) for role in turns))


def least_seconds(roles: int, window: float) -> float:
    """Return what `run` takes at least for so many roles and seconds of a window."""
    return roles * (2 + _WARM_UP) * window


def _idle(seconds: float) -> Stretch:
    start = time.monotonic_ns()
    time.sleep(seconds)
    return Stretch("idle", start, time.monotonic_ns(), 0)


def _window(role: Role, call: Call, feeds: int, seconds: float, fewest: int, *, of: int) -> Stretch:
    named: WindowRole = role
    count = 0
    start = now = time.monotonic_ns()
    deadline = start + round(seconds * 1e9)
    try:
        while count < fewest or now < deadline:
            call(count % feeds)
            count += of
            now = time.monotonic_ns()
    except Exception as error:
        raise RoleFailed(role, error) from error
    return Stretch(named, start, now, count)
