"""Layers: one a node that ran, named by its module, and never too many."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from counted import counted, number, op
from graphs import model, value, weight
from hypothesis import given, settings
from hypothesis import strategies as st

from greengate.profile import Layer
from greengate.profiler.operations.layers import bounded, named
from greengate.profiler.operations.stored import declared


def _scoped(node: onnx.NodeProto, scopes: str) -> onnx.NodeProto:
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    return node


def test_both_exporters_give_one_network_the_same_names(tmp_path: Path) -> None:
    weights = [weight("w", (3, 3)), weight("b", (3,))]

    def network(scopes: dict[str, str], names: list[str]) -> list[str]:
        nodes = [
            op("MatMul", ["x", "w"], ["a"], name=names[0]),
            op("Add", ["a", "b"], ["c"], name=names[1]),
            op("MatMul", ["c", "w"], ["d"], name=names[2]),
            op("MatMul", ["d", "c"], ["e"], name=names[3]),
            op("MatMul", ["e", "c"], ["y"], name=names[4]),
        ]
        nodes = [_scoped(node, scopes[node.name]) if node.name in scopes else node for node in nodes]
        return [layer.name for layer in counted(model(nodes, [value("x", (3, 3))], weights), tmp_path).layers]

    inner, outer = "['', 'layer.0', 'layer.0.q', 'linear']", "['', 'layer.0', 'matmul']"
    dynamo = {"m1": inner, "m2": inner, "m3": "['', 'layer.1', 'layer.1.q', 'linear_1']", "m4": outer, "m5": outer}
    expected = ["layer.0/q/MatMul", "layer.0/q/Add", "layer.1/q/MatMul", "layer.0/MatMul", "layer.0/MatMul_1"]
    assert network(dynamo, list(dynamo)) == expected
    assert network({}, [f"/{name}" for name in expected]) == expected


@pytest.mark.parametrize("scopes", ["", "no list", "[", "{}", "[1, 2]", "__import__('os')", "[" * 5000])
def test_scopes_that_are_none_leave_the_name(scopes: str) -> None:
    node = _scoped(op("Relu", ["x"], ["y"], name="/own/name"), scopes)
    assert next(declared(model([node], [value("x", (1,))]))).layer == "own/name"


def test_a_node_without_a_name_is_named_by_its_output(tmp_path: Path) -> None:
    nodes = [op("Relu", ["x"], ["first"]), op("Neg", ["first"], ["y"])]
    assert [layer.name for layer in counted(model(nodes, [value("x", (1, 4))]), tmp_path).layers] == ["first", "y"]


def test_bytes_are_of_what_a_node_puts_out(tmp_path: Path) -> None:
    nodes = [op("Split", ["x"], ["a", "b"], axis=1), op("Cast", ["a"], ["y"], to=onnx.TensorProto.FLOAT16)]
    found = counted(
        model(nodes, [value("x", (2, 8))], outputs=[value("y", None, onnx.TensorProto.FLOAT16), "b"]), tmp_path
    )
    assert [(layer.op, layer.activation_bytes) for layer in found.layers] == [("Split", 64), ("Cast", 16)]


def test_layers_add_up_to_the_count(tmp_path: Path) -> None:
    nodes = [op("Conv", ["x", "w"], ["a"]), op("Relu", ["a"], ["b"]), op("Conv", ["b", "v"], ["y"])]
    weights = [weight("w", (4, 1, 3, 3)), weight("v", (2, 4, 3, 3))]
    found = counted(model(nodes, [value("x", (1, 1, 8, 8))], weights), tmp_path)
    assert sum(layer.macs or 0 for layer in found.layers) == number(found, "macs")


def test_names_are_no_longer_than_a_report_can_take() -> None:
    node = op("Relu", ["x"], ["y"], name="n" * 5000)
    assert len(next(declared(model([node], [value("x", (1,))]))).layer) == 200
    assert (named("_inlfunc_Layer_mm"), named("/"), len(named("n" * 5000))) == ("Layer_mm", "node", 200)


def _layers(names: list[str]) -> list[Layer]:
    return [Layer(name, "MatMul", 1, 2, 8, 4) for name in names]


def test_too_many_layers_are_joined_by_module() -> None:
    found = bounded(_layers(["a/x/p", "a/x/q", "a/y", "b/x/p", "c"]), most=4)
    assert [(layer.name, layer.macs) for layer in found] == [("a/x", 2), ("a/y", 1), ("b/x/p", 1), ("c", 1)]
    assert [layer.name for layer in bounded(_layers(["a/x/p", "a/x/q", "a/y", "b/x"]), most=2)] == ["a", "b/x"]


def test_flat_names_keep_the_largest() -> None:
    layers = [Layer(f"n{index}", "Relu" if index % 2 else "MatMul", index, 1, 4, 2) for index in range(9)]
    found = bounded(layers, most=3)
    assert [(layer.name, layer.op, layer.macs) for layer in found] == [
        ("n7", "Relu", 7),
        ("n8", "MatMul", 8),
        ("others", "*", 21),
    ]
    unknown = bounded([*layers, Layer("odd", "Odd", None)], most=3)
    assert unknown[-1].macs is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_joining_keeps_the_sums(names: list[str], most: int) -> None:
    layers = _layers(names)
    found = bounded(layers, most)
    assert len(found) <= max(most, 1)
    for field in ("macs", "params", "weight_bytes", "activation_bytes"):
        assert sum(getattr(layer, field) for layer in found) == sum(getattr(layer, field) for layer in layers)
