"""The ONNX backend, this side of the process border; onnx_session does the work on the other."""

from __future__ import annotations

import time
from typing import overload

from greengate.budget import WorkerLimits
from greengate.profile import Hardware
from greengate.profiler import isolation
from greengate.profiler.hardware import this_machine
from greengate.profiler.jobs import Answer, Counted, CountJob, FootprintJob, LaunchJob, Sampled

_SESSION = "greengate.profiler.backends.onnx_session"


@overload
def run(job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
def run(job: CountJob | LaunchJob | FootprintJob, limits: WorkerLimits) -> Answer:
    """Do one job on an ONNX model in a process of its own. Raises jobs.Refused and jobs.WorkerFailed."""
    return isolation.run(_SESSION, job, limits)


def hardware() -> Hardware:
    """Return this machine."""
    return this_machine()


def clock() -> float:
    """Return seconds of the system's monotonic clock."""
    return time.monotonic()
