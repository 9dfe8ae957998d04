"""Graphs that lie, turn in circles, or are enormous: the right answer or a clear refusal, in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from counted import counted, macs, number, op
from graphs import external, linear, model, value, weight
from onnx import TensorProto, helper, numpy_helper

from greengate.profile import InputSpec, WorkloadSpec
from greengate.profiler import onnx_model
from greengate.profiler.jobs import Refused


def refused(proto: onnx.ModelProto, folder: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        counted(proto, folder)
    return caught.value


@pytest.mark.parametrize("lie", [(2, 500), (7, 7), (2, 5, 5), ("any", 5)])
def test_shapes_come_from_the_run_and_not_from_the_file(lie: tuple[int | str, ...], tmp_path: Path) -> None:
    nodes = [op("MatMul", ["x", "w"], ["h"]), op("Relu", ["h"], ["y"])]
    proto = model(nodes, [value("x", ("n", 3))], [weight("w", (3, 5))])
    proto.graph.value_info.append(value("h", lie))
    spec = WorkloadSpec(inputs=(InputSpec("x", (2, 3)),))
    try:
        assert macs(proto, tmp_path, spec) == 30
    except Refused as found:
        assert found.code == "model-invalid"
        assert "h" in found.message or "shape" in found.message.lower()


def test_a_weight_that_is_shorter_than_it_says_is_refused(tmp_path: Path) -> None:
    proto = linear((1, 4))
    proto.graph.initializer[0].raw_data = bytes(8)
    assert refused(proto, tmp_path).code == "model-invalid"


def test_a_graph_that_runs_in_a_circle_is_refused(tmp_path: Path) -> None:
    nodes = [op("Add", ["x", "b"], ["a"]), op("Relu", ["a"], ["b"]), op("Neg", ["b"], ["y"])]
    found = refused(model(nodes, [value("x", (1, 4))]), tmp_path)
    assert (found.code, bool(found.help)) == ("model-invalid", True)


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    function = helper.make_function(
        "mine",
        "F",
        ["a"],
        ["b"],
        [op("F", ["a"], ["b"], domain="mine")],
        [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)],
    )
    proto = model(
        [op("F", ["x"], ["y"], domain="mine")], [value("x", (1, 4))], domains={"mine": 1}, functions=[function]
    )
    assert refused(proto, tmp_path).code in ("model-invalid", "model-unsupported")


def test_a_node_with_ten_thousand_inputs(tmp_path: Path) -> None:
    node = op("Sum", ["x"] * 10_000, ["s"])
    proto = model([node, op("MatMul", ["s", "w"], ["y"])], [value("x", (2, 3))], [weight("w", (3, 5))])
    found = counted(proto, tmp_path)
    assert (number(found, "macs"), number(found, "elementwise_ops")) == (30, 9_999 * 6)


def test_many_nodes_take_time_in_proportion(tmp_path: Path) -> None:
    """A few thousand here; docs/operations.md says what 200,000 take."""

    def seconds(count: int) -> float:
        names = ["x", *(f"h{i}" for i in range(count - 1)), "y"]
        nodes = [op("Neg", [names[i]], [names[i + 1]]) for i in range(count)]
        start = time.monotonic()
        found = counted(model(nodes, [value("x", (1, 4))]), tmp_path)
        assert number(found, "elementwise_ops") == 4 * count
        assert len(found.layers) == count
        return time.monotonic() - start

    seconds(10)
    assert seconds(4_000) < 40 * max(seconds(400), 0.05)


def test_external_data_of_gigabytes_are_hashed_piece_by_piece(tmp_path: Path) -> None:
    """A sparse file: 1 GB that takes no room. Reading it whole would show in the process's memory."""
    import resource

    size = 1 << 30
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(size)
    path = Path(external(tmp_path / "model.onnx", "w.bin"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    read = onnx_model.read(str(path))
    assert time.monotonic() - start < 60
    assert read.size == size + path.stat().st_size
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 64 << 20


def test_a_weight_larger_than_memory_s_share_is_not_read_for_its_shape(tmp_path: Path) -> None:
    """The shape of a weight in external data is in the model; its bytes are the runtime's business."""
    proto = linear((1, 4))
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.dims[:] = [1 << 20, 1 << 20]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    (tmp_path / "w.bin").write_bytes(bytes(64))
    found = refused(proto, tmp_path)
    assert found.code == "external-data-missing"
    assert "4,398,046,511,104" in found.message


def test_names_of_any_kind(tmp_path: Path) -> None:
    nodes = [
        op("MatMul", ["x", "w"], ["h"], name="a\tb\r\n\0c"),
        op("Relu", ["h"], ["y"], name='{"cat" : "Node","name" :"x_kernel_time"}'),
    ]
    assert macs(model(nodes, [value("x", (2, 3))], [weight("w", (3, 5))]), tmp_path) == 30


def test_zero_sized_tensors_count_nothing(tmp_path: Path) -> None:
    empty = numpy_helper.from_array(np.zeros((0, 3), "float32"), "e")
    nodes = [op("MatMul", ["e", "w"], ["h"]), op("Concat", ["h", "x"], ["y"], axis=0)]
    assert macs(model(nodes, [value("x", (2, 5))], [empty, weight("w", (3, 5))]), tmp_path) == 0
