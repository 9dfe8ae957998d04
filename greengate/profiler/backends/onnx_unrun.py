"""The ONNX backend, in the worker: what is exact about a model that does not run here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greengate.profile import Measurement, Missing, WorkloadSpec
from greengate.profiler import onnx_model, onnx_sound, recorded
from greengate.profiler.jobs import Counted, CountJob, Refused
from greengate.profiler.operations import static
from greengate.profiler.operations.layers import layers
from greengate.profiler.operations.stored import declared
from greengate.profiler.operations.weights import Ledger
from greengate.profiler.worker import Stage

Found = dict[str, Measurement | Missing]

#: Metrics that need operations to be counted.
COUNTS = ("macs", "flops", "elementwise_ops", "quantized_share")

UNSUPPORTED = "model-unsupported"
NOTE = "the model cannot run here: its operations were counted without running it, from shapes worked out on the graph"


def arrays_of(workload: WorkloadSpec) -> dict[str, Any] | None:
    """Read recorded data, where the workload has any."""
    return recorded.read(workload.recorded) if workload.recorded else None


def size(model: onnx_model.OnnxModel) -> Measurement:
    """Return the bytes on disk."""
    return Measurement(model.size, "read", detail=f"{len(model.found)} file" + "s" * (len(model.found) > 1))


def weights(ledger: Ledger) -> Found:
    """Return params and weight_bits of the weights that were met."""
    elements, detail = ledger.elements, "stored tensors without int64, bool and string ones"
    bits: Measurement | Missing = Missing("the model stores no weights", "unsettled")
    if elements:
        bits = Measurement(ledger.bits / elements, "read", detail=detail)
    return {"params": Measurement(elements, "read", detail=detail), "weight_bits": bits}


def count_files(job: CountJob, refused: Refused) -> Counted:
    """Return what the files of a model tell that cannot be fed under this workload."""
    missing = Missing(f"it cannot run under this workload: {refused.message}", "incomparable", refused.help)
    model = onnx_model.read(job.path)
    return _answer(model, dict.fromkeys(COUNTS, missing), missing)


def count_unrun(job: CountJob, refused: Refused, stage: Stage) -> Counted:
    """Count a sound model that the runtime does not take, by its graph alone; its weights are never loaded.

    Raises Refused for a model that is no valid ONNX, or of a format that nobody here knows, and for inputs that the
    workload leaves open.
    """
    stage("checking the model")
    model = onnx_model.read(job.path)
    reason = refused.message.removeprefix(f"{job.path}: ")
    if model.proto.ir_version > onnx_sound.newest().ir:
        raise refused
    missing = Missing(f"the model cannot run here: {reason}", "failed", refused.help)
    if unknown := onnx_sound.too_new(model.proto):
        counts = dict.fromkeys(COUNTS, Missing(unknown, help="install a newer onnx, or export with an older opset"))
        return _answer(model, counts, missing)
    if fault := onnx_sound.misfit(model.proto):
        if fault in refused.message:  # the runtime has said so itself
            raise refused
        raise Refused("model-invalid", f"{job.path} is no valid ONNX: {fault}", "export the model again")
    stage("counting operations without running them")
    return _graph(job, model, missing)


def _graph(job: CountJob, model: onnx_model.OnnxModel, missing: Missing) -> Counted:
    import onnx

    try:
        fed = static.feeds(model.proto, job.workload, arrays_of(job.workload))
    except Refused as refused:
        if refused.code != UNSUPPORTED:
            raise
        return _answer(model, dict.fromkeys(COUNTS, Missing(refused.message, help=refused.help)), missing)
    found = static.count(model.proto, fed.inputs, fed.feeds[0])
    counts: Found = {
        **static.measurements(found, job.workload.batch_size),
        "quantized_share": Missing("which products run in 8 bits is not known of a model that cannot run here"),
    }
    return _answer(
        model,
        counts,
        missing,
        inputs=fed.inputs,
        feed=fed.digest,
        runtime={"onnx": onnx.__version__},
        notes=(*([NOTE] if isinstance(counts["macs"], Measurement) else []), *fed.notes),
        layers=layers(found.count.lines, found.declared),
    )


def _answer(
    model: onnx_model.OnnxModel, counts: Mapping[str, Measurement | Missing], missing: Missing, **known: Any
) -> Counted:
    """Return what is known; `missing` says why nothing runs."""
    ledger = Ledger()
    for _ in declared(model.proto, ledger):
        pass
    told = {"inputs": (), "feed": "", "runtime": {}} | known
    measurements = {**counts, "activation_memory": missing, "size": size(model), **weights(ledger)}
    return Counted(model.files(), measurements=measurements, unrun=missing, **told)
