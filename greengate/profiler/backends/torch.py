"""The PyTorch backend, this side of the process border; torch_session does the work on the other."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from importlib import util
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
    Exported,
    ExportJob,
    FootprintJob,
    LaunchJob,
    Ran,
    Refused,
    Sampled,
    Scored,
    ScoreJob,
    SimulateJob,
)
from greengate.profiler.meters.bench import Bench, Energy, opened

_SESSION = "greengate.profiler.backends.torch_session"


@overload
def run(job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
@overload
def run(job: EnergyJob, limits: WorkerLimits) -> Ran: ...
def run(job: Measuring, limits: WorkerLimits) -> Counted | Sampled | Ran:
    """Do one job on a PyTorch model in a process of its own; see border.run."""
    _installed()
    return border.run(_SESSION, job, limits)


def _installed() -> None:
    if util.find_spec("torch") is None:
        raise Refused("extra-missing", "PyTorch models need torch, which is not installed", INSTALL)


#: How to get what this backend needs.
INSTALL = "pip install 'greengate-ci[torch]'; for the CPU build of torch see docs/pytorch.md"


def simulate(job: SimulateJob, limits: WorkerLimits) -> Simulated | Missing:
    """Count the instructions of one call under valgrind; see border.simulate."""
    if util.find_spec("torch") is None:
        raise Refused("extra-missing", "PyTorch models need torch, which is not installed", INSTALL)
    return border.simulate(_SESSION, job, limits)


def hardware() -> Hardware:
    """Return this machine."""
    return this_machine()


def clock() -> float:
    """Return seconds of the system's monotonic clock."""
    return time.monotonic()


def score(job: ScoreJob, limits: WorkerLimits) -> Scored:
    """Run a model over labelled data in a process of its own. Raises jobs.Refused and jobs.WorkerFailed."""
    _installed()
    return border.score(_SESSION, job, limits)


def export(job: ExportJob, limits: WorkerLimits) -> Exported:
    """Write a model as an ONNX file in a process of its own. Raises jobs.Refused and jobs.WorkerFailed."""
    _installed()
    if util.find_spec("onnxscript") is None:
        help_ = "pip install 'greengate-ci[export]'"
        raise Refused("extra-missing", "exporting to ONNX needs onnxscript, which is not installed", help_)
    return border.export(_SESSION, job, limits)


def meters(path: str, energy: Energy) -> AbstractContextManager[Bench]:
    """Open the counters of this machine; which model is run makes no difference."""
    del path
    return opened(energy)
