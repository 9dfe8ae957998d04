"""Stored weights: how many, of how many bits, and whose they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from counted import MS, counted, number, op
from graphs import external, model, relu, save, value, weight
from onnx import TensorProto, helper, numpy_helper

from greengate.profile import Missing
from greengate.profiler import onnx_model
from greengate.profiler.operations.stored import declared
from greengate.profiler.operations.weights import Ledger, bits_of


def ledger(proto: onnx.ModelProto | Path, folder: Path) -> Ledger:
    path = str(proto) if isinstance(proto, Path) else save(proto, folder / "m.onnx")
    found = Ledger()
    list(declared(onnx_model.read(path).proto, found))
    return found


@pytest.mark.parametrize(
    ("dtype", "expected", "bits"),
    [
        ("float32", 6, 32),
        ("float64", 6, 64),
        ("float16", 6, 16),
        ("int8", 6, 8),
        ("uint8", 6, 8),
        ("int16", 6, 16),
        ("int32", 6, 32),
        ("int64", 0, 0),
        ("uint64", 0, 0),
        ("bool", 0, 0),
    ],
)
def test_weights_are_told_from_indices_by_type(dtype: str, expected: int, bits: int, tmp_path: Path) -> None:
    proto = relu()
    proto.graph.initializer.append(weight("w", (2, 3), dtype))
    found = ledger(proto, tmp_path)
    assert (found.elements, found.bits) == (expected, expected * bits)


def test_bits_of_every_type_of_onnx() -> None:
    """A name of a type says its bits, but for the few that have no number in it."""
    apart = {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8, "STRING": 8, "UNDEFINED": 8, "COMPLEX64": 64, "COMPLEX128": 128}
    for name, data_type in TensorProto.DataType.items():
        digits = "".join(character for character in name.split("E", 1)[0] if character.isdigit())
        if name.startswith("FLOAT6"):
            continue  # two types that no operator takes yet
        assert bits_of(data_type) == (apart.get(name) or int(digits)), name


@pytest.mark.parametrize(("kind", "bits"), [("INT4", 4), ("UINT4", 4), ("INT2", 2), ("FLOAT8E4M3FN", 8)])
def test_types_of_few_bits_count_elements(kind: str, bits: int, tmp_path: Path) -> None:
    proto = relu()
    size = 6 * bits // 8 + (6 * bits % 8 > 0)
    proto.graph.initializer.add(name="w", data_type=getattr(TensorProto, kind), dims=[2, 3], raw_data=bytes(size))
    found = ledger(proto, tmp_path)
    assert (found.elements, found.bits) == (6, 6 * bits)


def test_text_is_no_weight_and_a_scalar_is_one(tmp_path: Path) -> None:
    proto = relu()
    proto.graph.initializer.append(numpy_helper.from_array(np.array(["a", "b"], object), "names"))
    proto.graph.initializer.append(weight("s", ()))
    assert ledger(proto, tmp_path).elements == 1


def test_parameters_of_every_place(tmp_path: Path) -> None:
    """2 in the graph, 3 in a Constant, 5 of a sparse one, 7 in a branch, 11 in the branch of that, 13 in a function."""

    def constant(size: int) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [f"c{size}"], value=weight("", (size,)))

    inner = helper.make_graph([constant(11)], "inner", [], [value("c11", None)])
    nested = helper.make_node("If", ["f"], ["n"], then_branch=inner, else_branch=inner)
    branch = helper.make_graph([nested], "branch", [], [value("n", None)], [weight("b", (7,))])
    other = helper.make_graph([constant(3)], "other", [], [value("c3", None)])
    node = helper.make_node("If", ["f"], ["y"], then_branch=branch, else_branch=other)
    function = helper.make_function("mine", "F", [], ["c13"], [constant(13)], [helper.make_opsetid("", 17)])
    proto = model([node], [value("f", (), TensorProto.BOOL)], [weight("a", (2,))], functions=[function])
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(weight("sparse", (5,)), weight("at", (5,), "int64"), [100])
    )
    # the inner graph is stored twice: once in each branch of the nested If
    assert ledger(proto, tmp_path).elements == 2 + 3 + 5 + 7 + 2 * 11 + 13


def test_names_of_different_graphs_are_different_weights(tmp_path: Path) -> None:
    branches = [
        helper.make_graph([op("Identity", ["w"], ["o"])], "b", [], [value("o", None)], [weight("w", (size,))])
        for size in (3, 4)
    ]
    node = op("If", ["f"], ["y"], then_branch=branches[0], else_branch=branches[1])
    assert ledger(model([node], [value("f", (), TensorProto.BOOL)]), tmp_path).elements == 7


def test_tensors_at_one_place_are_one_weight(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(96))
    path = external(tmp_path / "m.onnx", "w.bin", offset=48, length=48)
    proto = onnx.load(path, load_external_data=False)
    for name, offset in (("v", "48"), ("u", "0")):
        twin = proto.graph.initializer.add()
        twin.CopyFrom(proto.graph.initializer[0])
        twin.name = name
        twin.external_data[1].value = offset
    save(proto, Path(path))
    assert ledger(Path(path), tmp_path).elements == 24  # w and v are the same 12 numbers


# --- packed weights -----------------------------------------------------------------------------


def _packed(bits: int, inner: int = 40, columns: int = 6) -> onnx.ModelProto:
    """Return a product with weights of few bits in blocks of 32, the last one padded, and a scale a block."""
    blocks = -(-inner // 32)
    node = op("MatMulNBits", ["x", "w", "s"], ["y"], domain=MS, K=inner, N=columns, bits=bits, block_size=32)
    weights = [weight("w", (columns, blocks, 4 * bits), "uint8"), weight("s", (columns * blocks,))]
    return model([node], [value("x", (1, inner))], weights, domains={MS: 1})


@pytest.mark.parametrize("bits", [4, 8])
def test_packed_weights_count_what_they_hold(bits: int, tmp_path: Path) -> None:
    found = counted(_packed(bits), tmp_path)
    assert number(found, "params") == 40 * 6 + 12  # two blocks a column
    assert number(found, "weight_bits") == pytest.approx((240 * bits + 12 * 32) / 252)
    assert number(found, "macs") == 240
    (layer,) = found.layers
    assert (layer.params, layer.weight_bytes) == (252, 240 * bits // 8 + 48)


def test_a_packed_table_is_counted_by_its_bits(tmp_path: Path) -> None:
    node = op("GatherBlockQuantized", ["w", "i", "s"], ["y"], domain=MS, bits=4, block_size=16)
    proto = model([node], [value("i", (3,), TensorProto.INT64)], [weight("w", (5, 8), "uint8"), weight("s", (5, 1))])
    found = ledger(proto, tmp_path)
    assert (found.elements, found.bits) == (80 + 5, 80 * 4 + 5 * 32)


def _product(inputs: list[str], output: str, bits: int | None = 4, inner: int = 64) -> onnx.NodeProto:
    told = {} if bits is None else {"bits": bits}
    return op("MatMulNBits", inputs, [output], domain=MS, K=inner, N=32, block_size=32, **told)


#: 64 x 32 weights of 4 bits, as bytes, and a scale for each block.
_STORED = [weight("B", (32, 2, 16), "uint8"), weight("S", (64,))]


def _within(*branches: onnx.GraphProto) -> onnx.ModelProto:
    node = op("If", ["f"], ["y"], then_branch=branches[0], else_branch=branches[-1])
    return model([node], [value("f", (), TensorProto.BOOL), value("x", (1, 64))], _STORED, domains={MS: 1})


def _branch(node: onnx.NodeProto, name: str = "b", *own: onnx.TensorProto) -> onnx.GraphProto:
    return helper.make_graph([node], name, [], [value(node.output[0], None)], own)


def _called(*body: onnx.NodeProto, attributes: list[str], **told: int) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1), helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "Linear", ["a", "b", "s"], ["c"], body, opsets, attributes)
    outer = [op("Linear", ["d", "e", "g"], ["h"], domain="mine", **told)]
    around = helper.make_function("mine", "Around", ["g", "d", "e"], ["h"], outer, opsets)
    node = op("Around", ["S", "x", "B"], ["y"], domain="mine")
    functions, domains = [function, around], {MS: 1, "mine": 1}
    return model([node], [value("x", (1, 64))], _STORED, domains=domains, functions=functions)


def _left_to_the_caller() -> onnx.NodeProto:
    node = _product(["a", "b", "s"], "c", bits=None)
    node.attribute.add(name="bits", ref_attr_name="width", type=onnx.AttributeProto.INT)
    return node


PACKED_ELSEWHERE = {
    "both branches": _within(_branch(_product(["x", "B", "S"], "p")), _branch(_product(["x", "B", "S"], "q"), "c")),
    "a branch of a branch": _within(
        _branch(
            op(
                "If",
                ["f"],
                ["p"],
                then_branch=_branch(_product(["x", "B", "S"], "i")),
                else_branch=_branch(op("Relu", ["x"], ["j"])),
            )
        ),
        _branch(op("Relu", ["x"], ["q"]), "c"),
    ),
    "a function": _called(_product(["a", "b", "s"], "c"), attributes=[]),
    "a function whose caller tells the bits": _called(_left_to_the_caller(), attributes=["width"], width=4),
    "a function whose bits are left open": _called(_left_to_the_caller(), attributes=["width"]),
}


@pytest.mark.parametrize("name", PACKED_ELSEWHERE)
def test_weights_that_something_inside_unpacks_count_what_they_hold(name: str, tmp_path: Path) -> None:
    found = ledger(PACKED_ELSEWHERE[name], tmp_path)
    assert (found.elements, found.bits) == (64 * 32 + 64, 64 * 32 * 4 + 64 * 32)


def test_a_name_of_the_inner_graph_says_nothing_of_the_outer_one(tmp_path: Path) -> None:
    """Two different weights B: 64 x 32 of 4 bits inside, plain bytes around."""
    inner = _branch(_product(["x", "B", "S"], "p"), "b", weight("B", (32, 2, 16), "uint8"))
    found = ledger(_within(inner, _branch(op("Relu", ["x"], ["q"]), "c")), tmp_path)
    assert found.elements == 64 * 32 + 64 + 32 * 2 * 16


def test_functions_that_call_each_other_in_a_circle_or_very_often_end(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]

    def function(name: str, *calls: str) -> onnx.FunctionProto:
        body = [op(call, ["a"], [f"c{number}"], domain="mine") for number, call in enumerate(calls)]
        return helper.make_function("mine", name, ["a"], ["c0"], body, opsets)

    functions = [function(f"F{depth}", *[f"F{depth + 1}"] * 2) for depth in range(2000)]
    functions.append(function("F2000", "F0"))
    node = op("F0", ["x"], ["y"], domain="mine")
    proto = model([node], [value("x", (1, 64))], _STORED, domains={"mine": 1}, functions=functions)
    assert ledger(proto, tmp_path).elements == 32 * 2 * 16 + 64


def test_packing_that_makes_no_sense_counts_bytes(tmp_path: Path) -> None:
    proto = _packed(8)
    proto.graph.node[0].attribute[2].i = 3
    assert {item.name for item in proto.graph.node[0].attribute} >= {"bits"}
    for item in proto.graph.node[0].attribute:
        if item.name == "bits":
            item.i = 0
    assert ledger(proto, tmp_path).elements == 6 * 2 * 32 + 12


def test_a_model_without_weights_has_no_bits(tmp_path: Path) -> None:
    missing = counted(relu(), tmp_path).measurements["weight_bits"]
    assert isinstance(missing, Missing)
    assert "no weights" in missing.reason


# --- whose they are -----------------------------------------------------------------------------


def owners(proto: onnx.ModelProto, folder: Path) -> dict[str, int]:
    return {layer.name: layer.params for layer in counted(proto, folder).layers if layer.params}


def test_a_shared_weight_is_its_first_users(tmp_path: Path) -> None:
    nodes = [op("MatMul", ["x", "w"], ["a"], name="one"), op("MatMul", ["a", "w"], ["y"], name="two")]
    assert owners(model(nodes, [value("x", (2, 3))], [weight("w", (3, 3))]), tmp_path) == {"one": 9}


def test_what_is_made_of_weights_alone_belongs_to_its_user(tmp_path: Path) -> None:
    nodes = [
        op("DequantizeLinear", ["q", "s"], ["d"], name="restore"),
        op("Transpose", ["d"], ["t"], name="turn"),
        op("MatMul", ["x", "t"], ["a"], name="product"),
        op("Add", ["a", "b"], ["y"], name="bias"),
    ]
    weights = [weight("q", (5, 3), "int8"), weight("s", ()), weight("b", (5,))]
    assert owners(model(nodes, [value("x", (2, 3))], weights), tmp_path) == {"product": 16, "bias": 5}


def test_weights_of_an_outer_graph_belong_to_the_node_inside(tmp_path: Path) -> None:
    from test_counting import loop

    found = counted(loop(3), tmp_path)
    assert {layer.op: layer.params for layer in found.layers} == {"Loop": 0, "MatMul": 4, "Identity": 0}
    assert {layer.op: layer.macs for layer in found.layers}["MatMul"] == 24


def test_layers_of_real_exporters_have_all_weights(tmp_path: Path) -> None:
    nodes = [op("Conv", ["x", "w", "b"], ["a"]), op("Flatten", ["a"], ["f"]), op("Gemm", ["f", "v", "c"], ["y"])]
    weights = [weight("w", (2, 1, 3, 3)), weight("b", (2,)), weight("v", (8, 4)), weight("c", (4,))]
    found = counted(model(nodes, [value("x", (1, 1, 4, 4))], weights), tmp_path)
    assert sum(layer.params for layer in found.layers) == number(found, "params") == 56
    assert sum(layer.weight_bytes for layer in found.layers) == 4 * 56
