"""The ONNX backend, this side of the process border; onnx_session does the work on the other."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import overload

from greengate.budget import WorkerLimits
from greengate.profile import Hardware, Missing
from greengate.profiler.backends import border
from greengate.profiler.backends.border import Measuring
from greengate.profiler.hardware import this_machine
from greengate.profiler.instructions.callgrind import Simulated
from greengate.profiler.jobs import (
    Counted,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Ran,
    Sampled,
    Scored,
    ScoreJob,
    SimulateJob,
)
from greengate.profiler.meters.bench import Bench, Energy, opened

_SESSION = "greengate.profiler.backends.onnx_session"


@overload
def run(job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
@overload
def run(job: EnergyJob, limits: WorkerLimits) -> Ran: ...
def run(job: Measuring, limits: WorkerLimits) -> Counted | Sampled | Ran:
    """Do one job on an ONNX model in a process of its own; see border.run."""
    return border.run(_SESSION, job, limits)


def score(job: ScoreJob, limits: WorkerLimits) -> Scored:
    """Run a model over labelled data in a process of its own. Raises jobs.Refused and jobs.WorkerFailed."""
    return border.score(_SESSION, job, limits)


def simulate(job: SimulateJob, limits: WorkerLimits) -> Simulated | Missing:
    """Count the instructions of one call under valgrind; see border.simulate."""
    return border.simulate(_SESSION, job, limits)


def hardware() -> Hardware:
    """Return this machine."""
    return this_machine()


def clock() -> float:
    """Return seconds of the system's monotonic clock."""
    return time.monotonic()


def meters(path: str, energy: Energy) -> AbstractContextManager[Bench]:
    """Open the counters of this machine; which model is run makes no difference."""
    del path
    return opened(energy)
