"""The PyTorch backend, in the worker: every exact metric of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from greengate.profile import File, Measurement, Missing, WorkloadSpec
from greengate.profiler import pairing
from greengate.profiler.backends import torch_code, torch_renew, torch_settings, torch_text
from greengate.profiler.backends.torch_device import Board
from greengate.profiler.backends.torch_files import Kind
from greengate.profiler.backends.torch_inputs import prepare
from greengate.profiler.backends.torch_memory import activation_memory, board_memory
from greengate.profiler.backends.torch_open import Opened, open_model
from greengate.profiler.backends.torch_run import arrays_of, device_of, put, wait
from greengate.profiler.backends.torch_weights import Found, weights
from greengate.profiler.jobs import UNFED, Counted, CountJob, Refused
from greengate.profiler.operations.torch_count import TorchCount, count_module
from greengate.profiler.worker import Stage

COUNTS = ("macs", "flops", "elementwise_ops", "quantized_share")


def count_model(job: CountJob, stage: Stage) -> Counted:
    """Take every exact metric of one model: its files, parameters, operations, memory of one call.

    Where its device is not there, it is counted on the CPU, and cannot be run. A lenient job on a model that cannot be
    fed is answered with what its files tell. Raises Refused.
    """
    with torch_settings.settings(job.workload):
        stage("loading the model")
        with torch_settings.loose(job.workload) as changed:
            opened = open_model(job.path, job.recipe, seed=job.workload.seed)
            torch_settings.check(opened, job.workload)
            read = {"size": _size(opened.files(), opened.kind), **weights(opened.module)}
        try:
            torch_text.check(opened, job.workload)
            return _count_fed(job, opened, read, changed, stage)
        except Refused as refused:
            if not job.lenient or refused.code not in UNFED:
                raise
            missing = Missing(f"it cannot run under this workload: {refused.message}", "incomparable", refused.help)
            unfed = {**dict.fromkeys((*COUNTS, "activation_memory"), missing), **read}
            return Counted(opened.files(), (), "", {}, unfed, unrun=missing)


def _count_fed(job: CountJob, opened: Opened, read: Found, changed: Sequence[str], stage: Stage) -> Counted:
    """`changed` is what the model's code has set otherwise."""
    with torch_settings.loose(job.workload) as more:
        fed = prepare(opened, torch_text.prompted(opened, job.workload), arrays_of(job.workload))
    found = device_of(job.workload)
    absent = found if isinstance(found, Missing) else None
    device = job.workload.device if absent is None else "cpu"
    spec = replace(job.workload, device=device, compile=False)
    stage("counting operations")
    here = put(opened, fed, spec, device)
    settings = torch_settings.described(job.workload, job.workload.device)
    told = torch_renew.looking(here)
    here.call(0)  # so that a failure is told in words before anything listens
    wait(found if isinstance(found, Board) else None, job.path)
    renewing = told()
    fed_with = (here if renewing is None else renewing.ready).calls[0]
    torch_code.reseed(spec.seed)
    ran = count_module(here.module, fed_with.args, fed_with.kwargs)
    stage("measuring activation memory")
    memory = absent or _memory(renewing or here.call, found if isinstance(found, Board) else None, spec)
    said = () if spec.generate is None else (here.tried(spec),)
    return Counted(
        files=opened.files(),
        inputs=fed.inputs,
        feed=fed.digest,
        runtime=_runtime(opened.kind),
        measurements={**read, **_operations(ran, job.workload.batch_size), "activation_memory": memory},
        notes=(
            *_trusted(opened.kind),
            *fed.notes,
            *_renewed(renewing),
            *said,
            *ran.notes,
            *_overruled((*changed, *more)),
        ),
        layers=ran.layers,
        unrun=absent,
        settings=settings,
        gpus=(found.gpu,) if isinstance(found, Board) else (),
    )


def _overruled(changed: Sequence[str]) -> tuple[str, ...]:
    return (f"the model's code sets {', '.join(dict.fromkeys(changed))}",) if changed else ()


def _renewed(renewing: torch_renew.Renewing | None) -> tuple[str, ...]:
    return () if renewing is None else (torch_renew.NOTE,)


def _memory(call: pairing.Call, board: Board | None, spec: WorkloadSpec) -> Measurement | Missing:
    renew = [partial(call.renew, 0)] if isinstance(call, torch_renew.Renewing) else []

    def again() -> Any:
        torch_code.reseed(spec.seed)  # a model that samples draws what it drew before
        return call(0)

    if board is not None:
        return board_memory(board, again, *renew)
    # One thread, whatever the workload: with more, buffers come and go in another order each time.
    with torch_settings.settings(replace(spec, threads=1)):
        return activation_memory(again, *renew)


def _size(files: tuple[File, ...], kind: Kind) -> Measurement | Missing:
    """Return the bytes on disk; of a model made by code, those of its weights."""
    if kind == "factory":
        files = tuple(file for file in files if file.path != "args" and not file.path.endswith((".py", ".so")))
        if not files:
            return Missing("the model is made by code, without a file of weights", "unavailable", "name its `weights`")
    listed = f"{len(files)} file" + "s" * (len(files) > 1)
    return Measurement(sum(file.size for file in files), "read", detail=listed)


def _runtime(kind: Kind) -> dict[str, str]:
    import torch

    found = {"torch": torch.__version__}
    if kind == "folder":
        import transformers

        found["transformers"] = transformers.__version__
    return found


def _trusted(kind: Kind) -> tuple[str, ...]:
    """Say which models run code of their own; in TorchScript and exported programs PyTorch itself runs it."""
    return ("the model is made by code of this repository, which ran as trusted code",) if kind == "factory" else ()


def _operations(ran: TorchCount, batch: int) -> Found:
    """Return macs and flops per item and quantized_share, or why they are Missing."""
    elementwise = Missing("element-wise operations of PyTorch models are not counted", "unsupported")
    if isinstance(ran.macs, Missing):
        return {**dict.fromkeys(COUNTS, ran.macs), "elementwise_ops": elementwise}
    calls = f"{sum(ran.counted.values()):,} operators counted, {sum(ran.free.values()):,} free"
    detail = f"as dispatched in one call: {calls}"
    return {
        "macs": Measurement(ran.macs / batch, "executed", detail=detail),
        "flops": Measurement(2 * ran.macs / batch, "executed", detail=detail),
        "elementwise_ops": elementwise,
        "quantized_share": _share(ran),
    }


def _share(ran: TorchCount) -> Measurement | Missing:
    total = sum(ran.by_op.values())
    if not total:
        return Missing("the model computes no multiply-accumulates", "unsettled")
    return Measurement(ran.narrow / total, "executed", detail="of the multiply-accumulates, by operator and type")
