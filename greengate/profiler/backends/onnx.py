"""The ONNX backend, this side of the process border; onnx_session does the work on the other."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import overload

from greengate.budget import WorkerLimits
from greengate.profile import Hardware
from greengate.profiler import isolation
from greengate.profiler.hardware import this_machine
from greengate.profiler.jobs import (
    Counted,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Ran,
    Refused,
    Sampled,
    Scored,
    ScoreJob,
    WorkerFailed,
)
from greengate.profiler.meters.bench import Bench, Energy, opened

_Measuring = CountJob | LaunchJob | FootprintJob | EnergyJob
_SESSION = "greengate.profiler.backends.onnx_session"


@overload
def run(job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
@overload
def run(job: EnergyJob, limits: WorkerLimits) -> Ran: ...
def run(job: _Measuring, limits: WorkerLimits) -> Counted | Sampled | Ran:
    """Do one job on an ONNX model in a process of its own. Raises jobs.Refused and jobs.WorkerFailed.

    Relative paths start at the current folder, and messages name what lies below it that way.
    """
    here = Path.cwd()
    try:
        return isolation.run(_SESSION, _absolute(job, here), limits)
    except Refused as refused:
        raise Refused(refused.code, refused.message.replace(f"{here}/", ""), refused.help) from None
    except WorkerFailed as failed:
        raise WorkerFailed(failed.reason.replace(f"{here}/", ""), failed.help) from None


def score(job: ScoreJob, limits: WorkerLimits) -> Scored:
    """Run a model over labelled data in a process of its own. Raises jobs.Refused and jobs.WorkerFailed."""
    return isolation.run(_SESSION, job, limits)


def _absolute(job: _Measuring, here: Path) -> _Measuring:
    """Return the job with absolute paths: the worker's current folder is another one."""
    recorded = job.workload.recorded
    workload = replace(job.workload, recorded=None if recorded is None else str(here / recorded))
    if isinstance(job, LaunchJob | EnergyJob):
        paths = {role: str(here / path) for role, path in job.paths.items()}
        return replace(job, paths=paths, workload=workload)
    return replace(job, path=str(here / job.path), workload=workload)


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
