"""The PyTorch backend, this side of the process border; torch_session does the work on the other."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import util
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
from greengate.recipe import Recipe

_Measuring = CountJob | LaunchJob | FootprintJob | EnergyJob
_SESSION = "greengate.profiler.backends.torch_session"


@overload
def run(job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
@overload
def run(job: EnergyJob, limits: WorkerLimits) -> Ran: ...
def run(job: _Measuring, limits: WorkerLimits) -> Counted | Sampled | Ran:
    """Do one job on a PyTorch model in a process of its own. Raises jobs.Refused and jobs.WorkerFailed.

    Relative paths start at the current folder, and messages name what lies below it that way.
    """
    if util.find_spec("torch") is None:
        raise Refused("extra-missing", "PyTorch models need torch, which is not installed", INSTALL)
    here = Path.cwd()
    try:
        return isolation.run(_SESSION, _absolute(job, here), limits)
    except Refused as refused:
        raise Refused(refused.code, refused.message.replace(f"{here}/", ""), refused.help) from None
    except WorkerFailed as failed:
        raise WorkerFailed(failed.reason.replace(f"{here}/", ""), failed.help) from None


#: How to get what this backend needs.
INSTALL = "pip install 'greengate-ci[torch]'; for the CPU build of torch see Install in the README"


def _absolute(job: _Measuring, here: Path) -> _Measuring:
    """Return the job with absolute paths: the worker's current folder is another one."""
    spec = job.workload
    workload = replace(spec, recorded=_at(here, spec.recorded), inputs_from=_at(here, spec.inputs_from))
    if isinstance(job, LaunchJob | EnergyJob):
        paths = {role: str(here / path) for role, path in job.paths.items()}
        recipes = {role: _recipe(here, recipe) for role, recipe in job.recipes.items()}
        return replace(job, paths=paths, recipes=recipes, workload=workload)
    return replace(job, path=str(here / job.path), recipe=_recipe(here, job.recipe), workload=workload)


def _recipe(here: Path, recipe: Recipe) -> Recipe:
    return replace(recipe, weights=_at(here, recipe.weights))


def _at(here: Path, path: str | None) -> str | None:
    return None if path is None else str(here / path)


def hardware() -> Hardware:
    """Return this machine."""
    return this_machine()


def clock() -> float:
    """Return seconds of the system's monotonic clock."""
    return time.monotonic()


def score(job: ScoreJob, limits: WorkerLimits) -> Scored:
    """Refuse: labelled data are not run through PyTorch models yet. Raises Refused."""
    del limits
    message = f"{job.path}: this version does not run labelled data through PyTorch models"
    raise Refused("model-unsupported", message, "evaluate it yourself: `accuracy: {command: ..., key: ...}`")


def meters(path: str, energy: Energy) -> AbstractContextManager[Bench]:
    """Open the counters of this machine; which model is run makes no difference."""
    del path
    return opened(energy)
