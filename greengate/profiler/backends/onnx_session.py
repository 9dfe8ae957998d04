"""The ONNX backend, in the worker: models counted, timed and weighed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greengate.profile import Role
from greengate.profiler import feed, pairing, windows
from greengate.profiler.backends.onnx_count import count_model
from greengate.profiler.backends.onnx_runtime import Loaded, load
from greengate.profiler.backends.onnx_unrun import arrays_of
from greengate.profiler.jobs import (
    Answer,
    CountJob,
    EnergyJob,
    FootprintJob,
    Job,
    LaunchJob,
    Ran,
    Refused,
    Sampled,
    ScoreJob,
    WorkerFailed,
)
from greengate.profiler.worker import MORE_MEMORY, Stage

_FOOTPRINT_CALLS = 3
#: Memory that only takes place; held until the worker ends.
_HELD: list[bytearray] = []


def run(job: Job, stage: Stage) -> Answer:
    """Do one job on ONNX models. Raises Refused and WorkerFailed."""
    match job:
        case CountJob():
            return count_model(job, stage)
        case LaunchJob():
            return launch(job, stage)
        case EnergyJob():
            return energy(job, stage)
        case FootprintJob():
            return footprint(job, stage)
        case ScoreJob():
            from greengate.profiler.backends.onnx_score import score

            return score(job, stage)


# --- timing -------------------------------------------------------------------------------------


def launch(job: LaunchJob, stage: Stage) -> Sampled:
    """Load every role in order and time single calls in turn. Failures name their role."""
    calls, feeds = _ready(job, stage)
    stage("timing")
    try:
        return pairing.launch(calls, feeds, job)
    except pairing.RoleFailed as failed:
        with _naming(failed.role):
            raise failed.error from None


def energy(job: EnergyJob, stage: Stage) -> Ran:
    """Load every role in order and run it in windows, for whoever reads the counters. Failures name their role."""
    calls, feeds = _ready(job, stage)
    stage("running windows")
    try:
        # A run returns what it computed, so nothing is under way when a window ends.
        return Ran(windows.run(calls, feeds, job), ("cpu",))
    except pairing.RoleFailed as failed:
        with _naming(failed.role):
            raise failed.error from None


def _ready(job: LaunchJob | EnergyJob, stage: Stage) -> tuple[dict[Role, pairing.Call], int]:
    """Return a call for every role, each run once, and how many feeds there are."""
    _pin(job.cpus)
    import random

    chance = random.Random(job.seed)  # noqa: S311 - places buffers, keeps no secret
    arrays = arrays_of(job.workload)
    calls: dict[Role, pairing.Call] = {}
    feeds = []
    for role in job.order:
        stage(f"loading the {role}")
        _HELD.append(bytearray(chance.randrange(1 << 20)))  # moves what follows to other addresses
        with _naming(role):
            loaded = load(job.paths[role], job.workload.threads)
            fed = feed.prepare(loaded.signatures(), job.workload, arrays)
            calls[role] = _caller(loaded, fed)
            feeds.append(len(fed.feeds))
            stage(f"running the {role} for the first time")
            calls[role](0)
    return calls, min(feeds)


def _caller(loaded: Loaded, fed: feed.Feeds) -> pairing.Call:
    return lambda index: loaded.call(fed.feeds[index])


def _pin(cpus: tuple[int, ...]) -> None:
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


@contextmanager
def _naming(role: Role) -> Iterator[None]:
    """Put the role's name into whatever fails inside."""
    try:
        yield
    except Refused as refused:
        raise Refused(refused.code, f"{role}: {refused.message}", refused.help) from None
    except MemoryError:
        raise WorkerFailed(f"the {role} ran out of memory", MORE_MEMORY) from None
    except Exception as error:
        raise WorkerFailed(f"the {role} failed: {type(error).__name__}: {error}") from error


# --- weighing -----------------------------------------------------------------------------------


def footprint(job: FootprintJob, stage: Stage) -> Sampled:
    """Time the load of one model and weigh the process while it loads and runs, above what it weighed before."""
    _pin(job.cpus)
    arrays = arrays_of(job.workload)
    import numpy  # noqa: F401 - weighed before, not with the model
    import onnxruntime  # noqa: F401

    before = _reset_peak()
    stage("loading the model")
    start = time.perf_counter_ns()
    loaded = load(job.path, job.workload.threads)
    series = {"load": (time.perf_counter_ns() - start,)}
    fed = feed.prepare(loaded.signatures(), job.workload, arrays)
    stage("running the model")
    spent = time.perf_counter_ns()
    for index in range(_FOOTPRINT_CALLS):
        loaded.call(fed.feeds[index % len(fed.feeds)])
    seconds = (time.perf_counter_ns() - spent) / 1e9
    if before is None:
        return Sampled({"candidate": series}, seconds, ("this system does not tell a process's peak memory",))
    return Sampled({"candidate": series | {"peak": (max(0, _status("VmHWM") - before),)}}, seconds)


def _reset_peak() -> int | None:
    """Set the process's memory high-water mark to what it holds now, in bytes; None where /proc cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return None


def _status(field: str) -> int:
    """Return a field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
