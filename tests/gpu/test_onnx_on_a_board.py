"""ONNX models on a real NVIDIA board: every node there, times and memory of the board, a fallback found out.

Skipped, counted and named where there is no board, or where onnxruntime is the build for CPUs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from needs import ABSENT
from onnx import TensorProto, helper, numpy_helper

from greengate.budget import WorkerLimits
from greengate.profile import InputSpec, Measurement, Missing, WorkloadSpec
from greengate.profiler import cuda
from greengate.profiler.backends import onnx as backend
from greengate.profiler.backends.onnx_device import CUDA
from greengate.profiler.jobs import CountJob, EnergyJob, FootprintJob, LaunchJob

if isinstance(cuda.device("cuda"), Missing):
    pytest.skip(f"{ABSENT}NVIDIA GPU (continuous integration has none either)", allow_module_level=True)
if CUDA not in onnxruntime.get_available_providers():
    pytest.skip(f"{ABSENT}onnxruntime-gpu in place of onnxruntime", allow_module_level=True)

#: These run on the onnxruntime found there, whose warnings are its own.
pytestmark = pytest.mark.filterwarnings("default")

LIMITS = WorkerLimits(timeout=120)
SPEC = WorkloadSpec(inputs=(InputSpec("x", (64, 1024)),), device="cuda")


def products(path: Path, count: int, *more: Any) -> str:
    """Write a chain of products of 64 x 1024 with 1024 x 1024, each with its activation, then more nodes."""
    weight = numpy_helper.from_array(np.random.default_rng(0).random((1024, 1024), np.float32) / 512, "w")
    nodes = []
    for place in range(count):
        nodes.append(
            helper.make_node("MatMul", [f"r{place - 1}" if place else "x", "w"], [f"p{place}"], f"product{place}")
        )
        nodes.append(helper.make_node("Relu", [f"p{place}"], [f"r{place}"], f"relu{place}"))
    nodes += more or [helper.make_node("Identity", [f"r{count - 1}"], ["y"], "out")]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1024])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [given], [out], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return str(path)


def test_every_node_runs_there_and_is_counted(tmp_path: Path) -> None:
    found = backend.run(CountJob(products(tmp_path / "net.onnx", 4), SPEC), LIMITS)
    assert found.unrun is None, found.unrun
    assert found.runtime["provider"] == CUDA
    assert found.notes[-1].startswith("all ")
    assert found.gpus[0].memory > 0
    macs = found.measurements["macs"]
    assert isinstance(macs, Measurement)
    assert macs.value == 4 * 64 * 1024**2


def test_what_the_provider_does_not_take_is_found_out(tmp_path: Path) -> None:
    """A determinant, for which CUDA's provider has no kernel in any version known."""
    shape = numpy_helper.from_array(np.array([1, 256, 256]))
    path = products(
        tmp_path / "net.onnx",
        1,
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["r0", "shape"], ["square"], "square"),
        helper.make_node("Det", ["square"], ["y"], "determinant"),
    )
    found = backend.run(CountJob(path, SPEC), LIMITS)
    assert found.unrun is not None
    assert "fell back to the CPU" in found.unrun.reason
    assert "Det" in found.unrun.reason


def test_quantised_arithmetic_that_falls_back_is_no_shape(tmp_path: Path) -> None:
    """It puts out whole numbers as shapes do, on the CPU, since CUDA's provider does not quantise as it goes."""
    weight = numpy_helper.from_array(np.ones((1024, 1024), np.int8), "w8")
    path = products(
        tmp_path / "net.onnx",
        1,
        helper.make_node("Constant", [], ["w8"], value=weight),
        helper.make_node("DynamicQuantizeLinear", ["r0"], ["q", "scale", "zero"], "quantise"),
        helper.make_node("MatMulInteger", ["q", "w8", "zero"], ["y"], "product8"),
    )
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, path)
    found = backend.run(CountJob(path, SPEC), LIMITS)
    assert found.unrun is not None
    assert "fell back to the CPU" in found.unrun.reason
    assert "DynamicQuantizeLinear" in found.unrun.reason


def test_more_work_takes_longer_and_its_memory_is_seen(tmp_path: Path) -> None:
    paths: Any = {"baseline": products(tmp_path / "a.onnx", 20), "candidate": products(tmp_path / "b.onnx", 40)}
    found = backend.run(LaunchJob(paths, tuple(paths), SPEC, 0, 0.5, 10, 400), LIMITS)
    medians = {role: sorted(one["wall"])[len(one["wall"]) // 2] for role, one in found.samples.items()}
    assert medians["candidate"] > medians["baseline"]
    weighed = backend.run(FootprintJob(paths["candidate"], SPEC, 0), LIMITS)
    assert weighed.samples["candidate"]["load"][0] > 0
    assert "peak" not in weighed.samples["candidate"] or weighed.samples["candidate"]["peak"][0] >= 4 * 1024**2


def test_energy_belongs_to_the_very_board(tmp_path: Path) -> None:
    path = products(tmp_path / "net.onnx", 4)
    ran = backend.run(EnergyJob({"candidate": path}, ("candidate",), SPEC, 0, 0.2, 1, 0.0), LIMITS)
    here = cuda.device("cuda")
    assert not isinstance(here, Missing)
    assert ran.devices == ("cpu", here.uuid)
