"""What the backends do alike on this side of the process border: paths made absolute, messages made short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from greengate.budget import WorkerLimits
from greengate.profile import Missing, WorkloadSpec
from greengate.profiler import isolation
from greengate.profiler.instructions import border as valgrind
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
    WorkerFailed,
)
from greengate.recipe import Recipe

Measuring = CountJob | LaunchJob | FootprintJob | EnergyJob


def score(session: str, job: ScoreJob, limits: WorkerLimits) -> Scored:
    """Run a model over labelled data in a process of its own; as `run`."""
    here = Path.cwd()
    placed = replace(job, path=str(here / job.path), data=str(here / job.data), recipe=_recipe(here, job.recipe))
    with _short(here):
        return isolation.run(session, placed, limits)


def export(session: str, job: ExportJob, limits: WorkerLimits) -> Exported:
    """Write a model as an ONNX file in a process of its own; as `run`."""
    here = Path.cwd()
    workload = _workload(here, job.workload)
    placed = replace(job, path=str(here / job.path), recipe=_recipe(here, job.recipe), workload=workload)
    with _short(here):
        return isolation.run(session, placed, limits)


def run(session: str, job: Measuring, limits: WorkerLimits) -> Counted | Sampled | Ran:
    """Do one job in a process of its own, in the module `session` there. Raises jobs.Refused and jobs.WorkerFailed.

    Relative paths start at the current folder, and messages name what lies below it that way.
    """
    here = Path.cwd()
    with _short(here):
        return isolation.run(session, _absolute(job, here), limits)


def simulate(session: str, job: SimulateJob, limits: WorkerLimits) -> Simulated | Missing:
    """Count a model's instructions in a process of its own under valgrind, like `run` in all else."""
    here = Path.cwd()
    with _short(here):
        path, recipe = str(here / job.path), _recipe(here, job.recipe)
        job = replace(job, path=path, recipe=recipe, workload=_workload(here, job.workload))
        return valgrind.simulate(session, job, limits)


@contextmanager
def _short(here: Path) -> Iterator[None]:
    """Name what lies below a folder by what follows in the messages that pass."""
    try:
        yield
    except Refused as refused:
        raise Refused(refused.code, refused.message.replace(f"{here}/", ""), refused.help) from None
    except WorkerFailed as failed:
        raise WorkerFailed(failed.reason.replace(f"{here}/", ""), failed.help) from None


def _absolute(job: Measuring, here: Path) -> Measuring:
    """Return the job with absolute paths: the worker's current folder is another one."""
    workload = _workload(here, job.workload)
    if isinstance(job, LaunchJob | EnergyJob):
        paths = {role: str(here / path) for role, path in job.paths.items()}
        recipes = {role: _recipe(here, recipe) for role, recipe in job.recipes.items()}
        return replace(job, paths=paths, recipes=recipes, workload=workload)
    return replace(job, path=str(here / job.path), recipe=_recipe(here, job.recipe), workload=workload)


def _workload(here: Path, spec: WorkloadSpec) -> WorkloadSpec:
    return replace(spec, recorded=_at(here, spec.recorded), inputs_from=_at(here, spec.inputs_from))


def _recipe(here: Path, recipe: Recipe) -> Recipe:
    return replace(recipe, weights=_at(here, recipe.weights))


def _at(here: Path, path: str | None) -> str | None:
    return None if path is None else str(here / path)
