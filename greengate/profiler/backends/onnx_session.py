"""The ONNX backend, in the worker: models counted, timed and weighed."""

from __future__ import annotations

import time
from dataclasses import replace

from greengate.profile import Role
from greengate.profiler import feed, pairing, windows
from greengate.profiler.backends.onnx_count import count_model
from greengate.profiler.backends.onnx_runtime import Loaded, load
from greengate.profiler.backends.onnx_unrun import arrays_of
from greengate.profiler.backends.worker_roles import FOOTPRINT_CALLS, displaced, naming, pin, reset_peak, status
from greengate.profiler.instructions import calls
from greengate.profiler.jobs import (
    Answer,
    Called,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Measuring,
    Ran,
    Sampled,
    ScoreJob,
    SimulateJob,
)
from greengate.profiler.worker import Stage

#: Memory that only takes place; held until the worker ends.
_HELD: list[bytearray] = []


def run(job: Measuring, stage: Stage) -> Answer:
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
        case SimulateJob():
            return simulate(job, stage)
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
        with naming(failed.role):
            raise failed.error from None


def energy(job: EnergyJob, stage: Stage) -> Ran:
    """Load every role in order and run it in windows, for whoever reads the counters. Failures name their role."""
    calls, feeds = _ready(job, stage)
    stage("running windows")
    try:
        # A run returns what it computed, so nothing is under way when a window ends.
        return Ran(windows.run(calls, feeds, job), ("cpu",))
    except pairing.RoleFailed as failed:
        with naming(failed.role):
            raise failed.error from None


def _ready(job: LaunchJob | EnergyJob, stage: Stage) -> tuple[dict[Role, pairing.Call], int]:
    """Return a call for every role, each run once, and how many feeds there are."""
    pin(job.cpus)
    import random

    chance = random.Random(job.seed)  # noqa: S311 - places buffers, keeps no secret
    arrays = arrays_of(job.workload)
    calls: dict[Role, pairing.Call] = {}
    feeds = []
    for role in job.order:
        stage(f"loading the {role}")
        _HELD.append(bytearray(chance.randrange(1 << 20)))  # moves what follows to other addresses
        with naming(role):
            loaded = load(job.paths[role], job.workload.threads)
            fed = feed.prepare(loaded.signatures(), job.workload, arrays)
            calls[role] = _caller(loaded, fed)
            feeds.append(len(fed.feeds))
            stage(f"running the {role} for the first time")
            calls[role](0)
    return calls, min(feeds)


def _caller(loaded: Loaded, fed: feed.Feeds) -> pairing.Call:
    return lambda index: loaded.call(fed.feeds[index])


# --- weighing -----------------------------------------------------------------------------------


def footprint(job: FootprintJob, stage: Stage) -> Sampled:
    """Time the load of one model and weigh the process while it loads and runs, above what it weighed before."""
    pin(job.cpus)
    arrays = arrays_of(job.workload)
    import numpy  # noqa: F401 - weighed before, not with the model
    import onnxruntime  # noqa: F401

    before = reset_peak()
    stage("loading the model")
    start = time.perf_counter_ns()
    loaded = load(job.path, job.workload.threads)
    series = {"load": (time.perf_counter_ns() - start,)}
    fed = feed.prepare(loaded.signatures(), job.workload, arrays)
    stage("running the model")
    spent = time.perf_counter_ns()
    for index in range(FOOTPRINT_CALLS):
        loaded.call(fed.feeds[index % len(fed.feeds)])
    seconds = (time.perf_counter_ns() - spent) / 1e9
    if before is None:
        return Sampled({"candidate": series}, seconds, ("this system does not tell a process's peak memory",))
    return Sampled({"candidate": series | {"peak": (max(0, status("VmHWM") - before),)}}, seconds)


# --- counting instructions ----------------------------------------------------------------------


def simulate(job: SimulateJob, stage: Stage) -> Called:
    """Count the instructions of a call, and of one on values made from another seed, or the next recorded batch."""
    arrays = arrays_of(job.workload)
    stage("loading the model")
    loaded = load(job.path, job.workload.threads)
    _HELD.append(displaced(job.seed))
    fed = feed.prepare(loaded.signatures(), job.workload, arrays)
    feeds = fed.feeds[:2]
    if len(feeds) == 1:
        reseeded = replace(job.workload, seed=job.workload.seed + 1)
        again = feed.prepare(loaded.signatures(), reseeded, arrays)
        feeds += again.feeds if again.digest != fed.digest else ()
    return calls.count(lambda index: loaded.call(feeds[index]), len(feeds) if job.other else 1, job, stage)
