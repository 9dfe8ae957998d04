"""What is read from a profiled run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from counted import counted, number, op
from graphs import model, save, value, weight
from onnx import TensorProto, helper
from test_counting import loop

from greengate.profile import Measurement, Missing
from greengate.profiler.backends import onnx_count
from greengate.profiler.backends.onnx_device import ON_CPU
from greengate.profiler.backends.onnx_runtime import load
from greengate.profiler.operations import counting, trace


def _event(name: str = "a", **args: object) -> dict[str, object]:
    shapes = {"input_type_shape": [{"float": [2, 3]}, {"int64": []}], "output_type_shape": [{"float": [2, 3]}]}
    return {"cat": "Node", "name": f"{name}_kernel_time", "args": {"op_name": "Relu", **shapes, **args}}


def _written(path: Path, *events: dict[str, object]) -> Path:
    """Write events as the runtime does: one a line."""
    path.write_text("[\n" + ",\n".join(json.dumps(event) for event in events) + "\n]\n")
    return path


def test_a_trace_is_read_from_its_kernels_alone(tmp_path: Path) -> None:
    other = [{"cat": "Session", "name": "model_run", "args": {}}, {"cat": "Node", "name": "a_fence_before", "args": {}}]
    first, second = _event(mem_in_use_peak="300", output_size="24"), _event(mem_in_use_peak="200", output_size="24")
    found = trace.read(_written(tmp_path / "t.json", *other, first, second))
    node = trace.Executed("Relu", "a", ((2, 3), ()), ((2, 3),), 24)
    assert found == trace.Trace({node: 2}, 300, whole=True, peak_at=node)
    assert trace.read(_written(tmp_path / "t.json", _event())).peak is None


@pytest.mark.parametrize(("heights", "name"), [((100, 300, 300), "b"), ((100, 300, 302), "b"), ((100, 300, 310), "c")])
def test_the_peak_stands_where_it_is_nearly_reached(heights: tuple[int, ...], name: str, tmp_path: Path) -> None:
    events = [_event(name, mem_in_use_peak=str(peak)) for name, peak in zip("abc", heights, strict=True)]
    found = trace.read(_written(tmp_path / "t.json", *events))
    assert found.peak_at is not None
    assert (found.peak, found.peak_at.name) == (max(heights), name)


def _lines(tmp_path: Path, names: list[str]) -> list[str]:
    """Return what the runtime records of a run of named nodes, of a branch, and of a node without inputs."""
    branch = helper.make_graph([op("Neg", ["h0"], ["b"], name="in a branch")], "b", [], [value("b", None)])
    nodes = [op("Relu", ["x" if i == 0 else f"h{i - 1}"], [f"h{i}"], name=name) for i, name in enumerate(names)]
    nodes += [
        op("RandomNormal", [], ["r"], shape=[2], name="chance"),
        op("ReduceSum", ["x"], ["s"], keepdims=0),
        op("Cast", ["s"], ["flag"], to=TensorProto.BOOL),
        op("If", ["flag"], ["y"], then_branch=branch, else_branch=branch),
    ]
    path = save(model(nodes, [value("x", (2, 3))], outputs=["y", "r"]), tmp_path / "m.onnx")
    loaded = load(path, 1, str(tmp_path / "trace"), as_stored=True)
    loaded.call({"x": np.ones((2, 3), np.float32)})
    return [line for line in trace._events(Path(loaded.session.end_profiling())) if trace._NODE in line]


ODD = [
    *("plain", "/a/b.0/c", "with space", "é", "_kernel_time", "x_kernel_time", "a,b]}]", "{}", "[", "Node"),
    *('a "quoted" one', "back\\slash", "new\nline", '","args" : {"op_name" : "Conv', '"cat" : "Node"'),
]


def test_the_quick_way_reads_what_parsing_reads(tmp_path: Path) -> None:
    lines = _lines(tmp_path, ODD)
    assert len(lines) >= len(ODD) + 4
    quick = [trace._quick(line, {}) for line in lines]
    parsed = [trace._parsed(line, {}) for line in lines]
    assert all(found in (None, slow) for found, slow in zip(quick, parsed, strict=True))
    # else it would not be quick: only the odd names at the end, and what has no inputs, are left to the parser
    assert sum(found is None for found in quick) <= 6
    assert {slow[0].name for slow in parsed if slow} >= {*ODD, "chance", "in a branch"}


def test_shapes_that_are_equal_are_kept_once(tmp_path: Path) -> None:
    found = trace.read(_written(tmp_path / "t.json", _event("a"), _event("b")))
    first, second = found.executed
    assert first.inputs is second.inputs


def test_names_come_back_as_they_are(tmp_path: Path) -> None:
    name = 'a "quoted"\\ name,\n"Node" \u00e9'
    nodes = [op("Relu", ["x"], ["h"], name=name), op("Neg", ["h"], ["y"], name="_kernel_time")]
    found = counted(model(nodes, [value("x", (2, 3))]), tmp_path)
    assert [layer.name for layer in found.layers] == [name, "_kernel_time"]


def test_a_trace_that_was_cut_off_gives_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_EVENTS", 10)
    found = counted(loop(20), tmp_path).measurements
    for metric in ("macs", "flops", "elementwise_ops", "quantized_share"):
        missing = found[metric]
        assert isinstance(missing, Missing)
        assert "more than 10 steps" in missing.reason


def test_an_arena_that_tells_nothing_is_missing() -> None:
    nothing = counting.Count(0, 0, 0, {})
    missing = onnx_count._activation_memory(trace.Trace({}, None, whole=True), nothing, ON_CPU)
    assert isinstance(missing, Missing)
    assert missing.kind == "unavailable"


def test_activation_memory_grows_with_the_activations_and_repeats(tmp_path: Path) -> None:
    def peak(size: int) -> float:
        nodes = [op("Exp", ["x"], ["h"]), op("Sin", ["h"], ["y"])]
        return number(counted(model(nodes, [value("x", (1, size))]), tmp_path), "activation_memory")

    # two float32 tensors live at once
    assert peak(1 << 16) == peak(1 << 16)
    assert 2 * 4 * (1 << 20) <= peak(1 << 20) < 2 * 4 * (1 << 20) + (1 << 16)


def test_the_peak_names_its_layer(tmp_path: Path) -> None:
    """The first product is 4 MB; what comes before and after is small. The optimiser adds to the name, or keeps it."""
    nodes = [
        op("Transpose", ["x"], ["t"], name="/block.0/Transpose"),
        op("MatMul", ["t", "x"], ["big"], name="/block.0/MatMul"),
        op("ReduceMax", ["big"], ["y"], name="/head/ReduceMax"),
    ]
    found = counted(model(nodes, [value("x", (1, 1024))]), tmp_path).measurements["activation_memory"]
    assert isinstance(found, Measurement)
    assert "; reached in block.0/MatMul (" in found.detail


def test_a_node_without_inputs_is_read(tmp_path: Path) -> None:
    node = op("RandomNormal", [], ["r"], shape=[2, 3])
    assert number(counted(model([node, op("Add", ["x", "r"], ["y"])], [value("x", (2, 3))]), tmp_path), "macs") == 0


def test_sequences_have_no_shapes(tmp_path: Path) -> None:
    nodes = [op("SequenceConstruct", ["x", "x"], ["s"]), op("ConcatFromSequence", ["s"], ["c"], axis=0)]
    nodes.append(op("MatMul", ["c", "w"], ["y"]))
    proto = model(nodes, [value("x", (2, 3))], [weight("w", (3, 5))])
    assert number(counted(proto, tmp_path), "macs") == 4 * 5 * 3
