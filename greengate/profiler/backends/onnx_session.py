"""The ONNX backend, in the worker: models counted, timed and weighed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from greengate.profile import Role
from greengate.profiler import boards, feed, pairing, windows
from greengate.profiler.backends import onnx_device
from greengate.profiler.backends.onnx_count import count_model
from greengate.profiler.backends.onnx_device import Place
from greengate.profiler.backends.onnx_runtime import load
from greengate.profiler.backends.onnx_unrun import arrays_of
from greengate.profiler.backends.worker_roles import FOOTPRINT_CALLS, above, displaced, naming, peak, pin, reset_peak
from greengate.profiler.cuda import Device
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
    calls, feeds = _ready(job, stage, onnx_device.placed(job.workload))
    stage("timing")
    try:
        return pairing.launch(calls, feeds, job)
    except pairing.RoleFailed as failed:
        with naming(failed.role):
            raise failed.error from None


def energy(job: EnergyJob, stage: Stage) -> Ran:
    """Load every role in order and run it in windows, for whoever reads the counters. Failures name their role."""
    place = onnx_device.placed(job.workload)
    calls, feeds = _ready(job, stage, place)
    stage("running windows")
    try:
        # A run returns what it computed, so nothing is under way when a window ends.
        devices = ("cpu",) if place.device is None else ("cpu", place.device.uuid)
        return Ran(windows.run(calls, feeds, job), devices)
    except pairing.RoleFailed as failed:
        with naming(failed.role):
            raise failed.error from None


def _ready(job: LaunchJob | EnergyJob, stage: Stage, place: Place) -> tuple[dict[Role, pairing.Call], int]:
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
            loaded = load(job.paths[role], job.workload.threads, place=place)
            fed = feed.prepare(loaded.signatures(), job.workload, arrays)
            calls[role] = _caller([loaded.caller(one) for one in fed.feeds])
            feeds.append(len(fed.feeds))
            stage(f"running the {role} for the first time")
            calls[role](0)
    return calls, min(feeds)


def _caller(each: Sequence[Callable[[], None]]) -> pairing.Call:
    return lambda index: each[index]()


# --- weighing -----------------------------------------------------------------------------------


def footprint(job: FootprintJob, stage: Stage) -> Sampled:
    """Time the load of one model and weigh the process while it loads and runs, above what it weighed before.

    What making the inputs takes in between is greengate's own, and in neither.
    """
    pin(job.cpus)
    arrays = arrays_of(job.workload)
    import numpy  # noqa: F401 - weighed before, not with the model
    import onnxruntime  # noqa: F401

    place = onnx_device.placed(job.workload)
    before = reset_peak() if place.device is None else boards.held(place.device.uuid)
    stage("loading the model")
    start = time.perf_counter_ns()
    loaded = load(job.path, job.workload.threads, place=place)
    series = {"load": (time.perf_counter_ns() - start,)}
    loading = None if place.device else peak(before)
    stage("making the inputs")
    fed = feed.prepare(loaded.signatures(), job.workload, arrays)
    each = [loaded.caller(one) for one in fed.feeds]
    stage("running the model")
    ready = None if place.device else reset_peak()
    spent = time.perf_counter_ns()
    for index in range(FOOTPRINT_CALLS):
        each[index % len(each)]()
    seconds = (time.perf_counter_ns() - spent) / 1e9
    weight, notes = above(before, loading, peak(ready)) if place.device is None else _on_board(place.device, before)
    return Sampled({"candidate": series if weight is None else series | {"peak": (weight,)}}, seconds, notes)


def _on_board(device: Device, before: int | None) -> tuple[int | None, tuple[str, ...]]:
    """Return what the board holds more than before, and how that came about, or why nobody knows.

    The runtime's arena on a board grows and does not shrink, so what is held after the runs is its highest.
    """
    after = boards.held(device.uuid)
    if before is None or after is None:
        return None, ("nobody tells what is held on the board: nvidia-ml-py is not installed, or does not know it",)
    note = f"peak_memory is what the {device.name} held more after loading and running, CUDA's own part included"
    return max(0, after - before), (note,)


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
