"""Which models are broken, and which are made for another runtime."""

from __future__ import annotations

import onnx
import pytest
from graphs import BOOL, model, relu, value
from onnx import helper

from greengate.profiler import onnx_sound

op = helper.make_node
X = [value("x", (1, 4))]


def function(opset: int) -> onnx.ModelProto:
    body = [op("Gelu", ["a"], ["b"])]
    made = helper.make_function("mine", "Act", ["a"], ["b"], body, [helper.make_opsetid("", opset)])
    return model([op("Act", ["x"], ["y"], domain="mine")], X, domains={"mine": 1}, functions=[made])


def inside(kind: str) -> onnx.ModelProto:
    branch = helper.make_graph([op(kind, ["x"], ["b"])], "b", [], [value("b", None)])
    node = op("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    return model([node], [*X, value("flag", (), BOOL)])


def without_opsets() -> onnx.ModelProto:
    proto = relu()
    del proto.opset_import[:]
    return proto


@pytest.mark.parametrize(
    ("proto", "said"),
    [
        (relu(), ""),
        (model([op("Relu", ["x"], ["y"], domain="ai.onnx")], X), ""),
        (model([op("Foo", ["x"] * 99, ["y"], domain="com.acme")], X, domains={"com.acme": 1}), ""),
        (model([op("Concat", ["x"] * 999, ["y"], axis=0)], X), ""),
        # runtimes put a few of their own into the standard's domain
        (model([op("SimplifiedLayerNormalization", ["x", "x"], ["y"])], X), ""),
        (function(20), ""),
        (inside("Neg"), ""),
        (model([op("Bogus", ["x"], ["y"])], X), "no operator Bogus in opset 17"),
        (model([op("Gelu", ["x"], ["y"])], X), "no operator Gelu in opset 17"),
        (model([op("Gelu", ["x"], ["y"])], X, opset=20), ""),
        (function(17), "no operator Gelu in opset 17"),
        (inside("Bogus"), "no operator Bogus in opset 17"),
        (model([op("Neg", [], ["y"], name="n")], X), "Neg 'n' has 0 inputs, and takes 1 to 1"),
        (model([op("Neg", ["x", "x"], ["y"])], X), "Neg has 2 inputs, and takes 1 to 1"),
        (without_opsets(), "Relu is of no operator set that the model imports"),
        (model([op("Scaler", ["x"], ["y"], domain="ai.onnx.ml")], X), "Scaler is of no operator set"),
    ],
)
def test_a_misfit_is_named(proto: onnx.ModelProto, said: str) -> None:
    found = onnx_sound.misfit(proto)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_operator_sets_of_the_future_are_named() -> None:
    known = onnx_sound.newest()
    assert known.opsets[""] == onnx.defs.onnx_opset_version()
    assert known.ir == onnx.IR_VERSION
    assert onnx_sound.too_new(relu(opset=known.opsets[""])) == ""
    assert onnx_sound.too_new(relu(opset=known.opsets[""] + 1)).startswith(f"opset {known.opsets[''] + 1} is newer")
    assert " of ai.onnx.ml is newer" in onnx_sound.too_new(relu(domains={"ai.onnx.ml": 99}))
    assert onnx_sound.too_new(relu(domains={"com.acme": 99})) == ""
