"""Real models, as their makers ship them: exact counts, and the same ones each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from realmodels import REAL_MODELS, fetch

from greengate.budget import WorkerLimits
from greengate.profile import InputSpec, Measurement, WorkloadSpec
from greengate.profiler import onnx_model
from greengate.profiler.backends import onnx as backend
from greengate.profiler.jobs import CountJob, FootprintJob, LaunchJob, Refused

pytestmark = pytest.mark.network
LIMITS = WorkerLimits(timeout=120)


def measured(name: str, workload: WorkloadSpec | None = None) -> dict[str, float]:
    found = backend.run(CountJob(str(fetch(name)), workload or REAL_MODELS[name].workload), LIMITS)
    assert all(isinstance(item, Measurement) for item in found.measurements.values()), found.measurements
    return {key: item.value for key, item in found.measurements.items() if isinstance(item, Measurement)}


@pytest.mark.parametrize("name", REAL_MODELS)
def test_exact_metrics_of_real_models(name: str) -> None:
    model, found = REAL_MODELS[name], measured(name)
    assert found["macs"] == model.macs
    assert found["flops"] == 2 * model.macs
    assert (found["params"], found["size"]) == (model.params, model.size)
    assert found["activation_memory"] == measured(name)["activation_memory"] > 0


@pytest.mark.parametrize("name", REAL_MODELS)
def test_parameters_agree_with_a_walk_over_every_tensor(name: str) -> None:
    """An independent walk: every tensor anywhere in the message, by reflection, but for index types and fills."""
    proto = onnx_model.read(str(fetch(name))).proto
    apart = {"INT64", "BOOL", "STRING"}
    kinds = onnx_model.schema().TensorProto.DataType
    total = 0
    for owner, tensor in tensors(proto, ""):
        if kinds.Name(tensor.data_type) not in apart and owner != "ConstantOfShape":
            size = 1
            for dim in tensor.dims:
                size *= dim
            total += size
    assert total == REAL_MODELS[name].params


def tensors(message: object, owner: str) -> Iterator[tuple[str, object]]:
    owner = getattr(message, "op_type", owner)
    for field, held in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is None:
            continue
        for item in held if hasattr(held, "add") else [held]:
            if field.message_type.name == "TensorProto":
                yield owner, item
            else:
                yield from tensors(item, owner)


def test_a_batch_costs_the_same_per_item() -> None:
    inputs = (InputSpec("bytes", max=257),)
    assert measured("magika-v3", WorkloadSpec(batch_size=4, inputs=inputs))["macs"] == REAL_MODELS["magika-v3"].macs


def test_the_branch_taken_depends_on_what_is_fed() -> None:
    """At 8 kHz silero takes its other branch, with half the samples."""
    inputs = (InputSpec("input", (1, 256)), InputSpec("state", (2, 1, 128)), InputSpec("sr", value=8000))
    found = measured("silero", WorkloadSpec(inputs=inputs))
    assert 0 < found["macs"] < REAL_MODELS["silero"].macs


def test_what_real_models_leave_open_is_said() -> None:
    with pytest.raises(Refused) as caught:
        backend.run(CountJob(str(fetch("silero")), WorkloadSpec()), LIMITS)
    assert caught.value.code == "input-open"
    for words in ("input: float32[?, ?]", "state: float32[2, ?, 128]", "sr: int64[]"):
        assert words in caught.value.message
    with pytest.raises(Refused, match=r"dimension 0 \(p2o.DynamicDimension.0\)"):
        backend.run(CountJob(str(fetch("ocr-det")), WorkloadSpec()), LIMITS)


def test_two_releases_side_by_side() -> None:
    paths = {"baseline": str(fetch("magika-v1")), "candidate": str(fetch("magika-v3"))}
    with pytest.raises(Refused, match=r"^baseline: "):  # v1 takes floats, v3 takes int32
        spec = WorkloadSpec(inputs=(InputSpec("bytes", dtype="int32"),))
        backend.run(LaunchJob(paths, ("baseline", "candidate"), spec, 1, 0.1, 6, 50), LIMITS)
    spec = WorkloadSpec(inputs=(InputSpec("bytes", max=257),))
    found = backend.run(LaunchJob(paths, ("baseline", "candidate"), spec, 1, 0.3, 6, 50), LIMITS)
    medians = {role: sorted(kept["wall"])[len(kept["wall"]) // 2] for role, kept in found.samples.items()}
    assert medians["candidate"] > medians["baseline"]  # 367 MMAC to 126


def test_the_footprint_of_a_real_model() -> None:
    model = REAL_MODELS["ocr-rec"]
    found = backend.run(FootprintJob(str(fetch("ocr-rec")), model.workload, 0), LIMITS)
    (peak,) = found.samples["candidate"]["peak"]
    assert model.size < peak < 10 * model.size
