"""The PyTorch backend, in the worker: models counted, timed and weighed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from greengate.profile import Role
from greengate.profiler import pairing, windows
from greengate.profiler.backends import torch_renew, torch_settings
from greengate.profiler.backends.torch_count import count_model
from greengate.profiler.backends.torch_device import BLOCK, Board
from greengate.profiler.backends.torch_footprint import clocked, marked, peak_of, several, weighed
from greengate.profiler.backends.torch_inputs import prepare
from greengate.profiler.backends.torch_run import (
    Ready,
    arrays_of,
    feeding,
    late,
    loaded,
    on_board,
    ready,
    unplaced,
    wait,
)
from greengate.profiler.backends.worker_roles import displaced, naming, pin
from greengate.profiler.instructions import calls
from greengate.profiler.jobs import (
    Answer,
    Called,
    CountJob,
    EnergyJob,
    ExportJob,
    FootprintJob,
    Job,
    LaunchJob,
    Ran,
    Sampled,
    ScoreJob,
    SimulateJob,
)
from greengate.profiler.worker import Stage
from greengate.recipe import NO_RECIPE

#: Memory that only takes place; held until the worker ends.
_HELD: list[object] = []

#: Bytes at most that take place before each model: in the machine's memory, and on a board.
_PLACE, _PLACE_ON_BOARD = 1 << 20, 1 << 25


def run(job: Job, stage: Stage) -> Answer:
    """Do one job on PyTorch models. Raises Refused and WorkerFailed."""
    match job:
        case CountJob():
            return count_model(job, stage)
        case LaunchJob():
            return launch(job, stage)
        case FootprintJob():
            return footprint(job, stage)
        case EnergyJob():
            return energy(job, stage)
        case SimulateJob():
            return simulate(job, stage)
        case ScoreJob():
            from greengate.profiler.backends.torch_score import score

            return score(job, stage)
        case ExportJob():
            from greengate.profiler.backends.torch_export import export

            return export(job, stage)


def launch(job: LaunchJob, stage: Stage) -> Sampled:
    """Load every role in order and time single calls in turn, or blocks of calls on a board; see torch_device.Board.

    Failures name their role.
    """
    pin(job.cpus)
    with torch_settings.settings(job.workload):
        board = on_board(job.workload)
        calls, feeds, watched = _ready(job, board, stage)
        stage("timing")
        try:
            calls, renewing = torch_renew.alike(calls, watched)
            found = _timed(calls, feeds, job, board, renewing)
        except pairing.RoleFailed as failed:
            with naming(failed.role):
                raise late(job.paths[failed.role], failed.error) from None
        torch_settings.check_held(job.workload)
        torch_renew.check_all(watched)
    return replace(found, notes=(*found.notes, torch_renew.PAIRED)) if renewing else found


def _timed(
    calls: Mapping[Role, pairing.Call], feeds: int, job: LaunchJob, board: Board | None, renewing: bool
) -> Sampled:
    if job.doing == "generation":
        return _of_tokens(pairing.launch(calls, 1, job, _as_told), job)
    if board is None:
        return pairing.launch(calls, feeds, job, torch_renew.on_host if renewing else pairing.on_host)
    # Blocks, not calls, go through the feeds in turn.
    timer = torch_renew.on_board(board) if renewing else board.timed
    return replace(pairing.launch(calls, feeds, job, timer), feeds=1)


def _as_told(call: pairing.Call, feed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Time one text by what it tells itself: ns in all, and ns until the first new token."""
    took, first = cast("tuple[int, int]", call(feed))
    return (took,), (first,)


def _of_tokens(found: Sampled, job: LaunchJob) -> Sampled:
    """Return the samples of texts under their own names: ns for each new token, and until the first."""
    made = 1 if job.workload.generate is None else job.workload.generate.new_tokens
    samples = {
        role: {"token": tuple(round(ns / made) for ns in series["wall"]), "first": series["cpu"]}
        for role, series in found.samples.items()
    }
    return replace(found, samples=samples)


def energy(job: EnergyJob, stage: Stage) -> Ran:
    """Load every role in order and run it in windows, for whoever reads the counters. Failures name their role.

    On a board calls come in blocks, as they do where they are timed: the board stays busy, and no host that is late
    adds what the board draws while it waits. Nothing is under way when a window ends.
    """
    pin(job.cpus)
    with torch_settings.settings(job.workload):
        board = on_board(job.workload)
        calls, feeds, watched = _ready(job, board, stage)
        for role, call in calls.items():
            with naming(role):
                torch_renew.check_metered(call)
        of = BLOCK if board is not None and job.doing == "inference" else 1
        if board is not None:
            calls = {role: _block(call, feeds, of, board) for role, call in calls.items()}
        stage("running windows")
        try:
            found = windows.run(calls, feeds, job, of=of)
        except pairing.RoleFailed as failed:
            with naming(failed.role):
                raise late(job.paths[failed.role], failed.error) from None
        torch_settings.check_held(job.workload)
        torch_renew.check_all(watched)
    return Ran(found, ("cpu",) if board is None else ("cpu", board.uuid))


def _block(call: pairing.Call, feeds: int, of: int, board: Board) -> pairing.Call:
    """Return so many calls in a row, on one feed after the other, that are waited for at their end."""

    def block(first: int) -> None:
        for step in range(of):
            call((first + step) % feeds)
        board.synchronize()

    return block


def _ready(
    job: LaunchJob | EnergyJob, board: Board | None, stage: Stage
) -> tuple[dict[Role, pairing.Call], int, torch_renew.Watched]:
    """Return a call for every role, each run once, how many feeds there are, and what no call may change."""
    chance = random.Random(job.seed)  # noqa: S311 - places buffers, keeps no secret
    arrays = arrays_of(job.workload)
    # Code of two versions must not meet: with more than one root, each is forgotten once its model is made.
    keep = len({Path(path).parent for path in job.paths.values()}) == 1
    calls: dict[Role, pairing.Call] = {}
    watched: torch_renew.Watched = {}
    feeds = []
    for role in job.order:
        stage(f"loading the {role}")
        with naming(role):
            _displace(chance, job.paths[role], job.workload.device)
            recipe = job.recipes.get(role, NO_RECIPE)
            model = ready(job.paths[role], recipe, job.workload, keep=keep, arrays=arrays)
            calls[role] = model.call if job.doing == "inference" else model.speaker(job.workload)
            feeds.append(len(model.calls))
            stage(f"running the {role} for the first time")
            told, before = torch_renew.looking(model), torch_renew.fingerprints(model)
            calls[role](0)
            wait(board, job.paths[role])
            if job.doing == "inference":
                if (renewing := told()) is None:
                    watched[role] = model, before
                else:
                    calls[role] = renewing
            torch_settings.hold(job.workload)  # what a model imports in its first call may set it, once
    return calls, min(feeds), watched


def _displace(chance: random.Random, path: str, device: str) -> None:
    """Move what follows to other addresses, on the board too: launches that place models alike err alike."""
    _HELD.append(bytearray(chance.randrange(_PLACE)))
    if device != "cpu":
        import torch

        try:
            _HELD.append(torch.empty(chance.randrange(_PLACE_ON_BOARD), dtype=torch.uint8, device=device))
        except Exception as error:
            raise unplaced(path, device, error) from error


def footprint(job: FootprintJob, stage: Stage) -> Sampled:
    """Time the load of one model and weigh it while it loads and runs, above what was held before.

    On a board, what PyTorch's allocator held there is its weight. A compiled model is ready after its first call. What
    making the inputs takes in between, in time and memory, is greengate's own, and in neither.
    """
    pin(job.cpus)
    arrays = arrays_of(job.workload)
    with torch_settings.settings(job.workload):
        board = on_board(job.workload)
        before = marked(board)
        stage("loading the model")
        placed, load = clocked(lambda: loaded(job.path, job.recipe, job.workload), board, job.path)
        loading = peak_of(board, before)
        stage("making the inputs")

        def fed() -> Ready:
            model = feeding(placed, job.workload, arrays)
            return replace(model, fed=replace(model.fed, calls=()))  # as they were before they were converted and moved

        model = fed()
        kept = torch_renew.fingerprints(model)
        begun = marked(board)
        if job.workload.compile:
            stage("compiling the model")
            load += clocked(lambda: model.call(0), board, job.path)[1]
        stage("running the model")
        seconds, peaks = several(model, kept, begun, fed, board)
        weight, notes = weighed(board, before, loading, *peaks)
    found = {"load": (load,)} | ({} if weight is None else {"peak": (weight,)})
    return Sampled({"candidate": found}, seconds, notes)


def simulate(job: SimulateJob, stage: Stage) -> Called:
    """Count the instructions of a call, and of one on values made from another seed, or the next recorded batch."""
    arrays = arrays_of(job.workload)
    with torch_settings.settings(job.workload):
        stage("loading the model")
        model = ready(job.path, job.recipe, job.workload, arrays=arrays)
        _HELD.append(displaced(job.seed))
        if len(model.calls) == 1:
            with torch_settings.loose(job.workload):
                fed = prepare(model.opened, replace(job.workload, seed=job.workload.seed + 1), arrays)
            if fed.digest != model.fed.digest:
                again = (torch_settings.placed_call(call, job.workload, model.device) for call in fed.calls)
                model = replace(model, calls=(*model.calls, *again))
        told, before = torch_renew.looking(model), torch_renew.fingerprints(model)
        feeds = min(2, len(model.calls)) if job.other else 1
        found = calls.count(model.call, feeds, job, stage, told)
        torch_settings.check_held(job.workload)
        if told() is None:
            torch_renew.check_kept(model, before)
    return found
