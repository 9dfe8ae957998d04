"""Which nodes count: what ran, as often as it ran, with the stored node found behind each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from counted import MS, counted, macs, number, one, op, ran, scales
from graphs import BOOL, FLOAT, INT32, INT64, UINT8, model, relu, value, weight
from onnx import TensorProto, helper, numpy_helper

from greengate.profile import InputSpec, Missing, WorkloadSpec
from greengate.profiler.operations import counting, stored
from greengate.profiler.operations.counting import count
from greengate.profiler.operations.formulas import FORMULAS, QUANTISED
from greengate.profiler.operations.free import FREE
from greengate.profiler.operations.stored import Declared


def loop(times: int) -> onnx.ModelProto:
    """Return x [2, 2] multiplied by w [2, 2] `times` times in a Loop."""
    step = op("MatMul", ["s", "w"], ["s2"])
    keep = op("Identity", ["c"], ["c2"])
    body = helper.make_graph(
        [step, keep],
        "body",
        [value("i", (), INT64), value("c", (), BOOL), value("s", (2, 2))],
        [value("c2", (), BOOL), value("s2", (2, 2))],
    )
    start = [numpy_helper.from_array(np.array(times), "n"), numpy_helper.from_array(np.array(True), "go")]
    return model([op("Loop", ["n", "go", "x"], ["y"], body=body)], [value("x", (2, 2))], [*start, weight("w", (2, 2))])


def either(then: list[onnx.NodeProto], other: list[onnx.NodeProto], *weights: onnx.TensorProto) -> onnx.ModelProto:
    """Return an If over x [1, 4]; each branch ends in `y`."""
    branches = [helper.make_graph(nodes, "b", [], [value(nodes[-1].output[0], None)]) for nodes in (then, other)]
    node = op("If", ["flag"], ["y"], then_branch=branches[0], else_branch=branches[1])
    return model([node], [value("x", (1, 4)), value("flag", (), BOOL)], weights)


def taken(flag: int) -> WorkloadSpec:
    return WorkloadSpec(inputs=(InputSpec("flag", value=flag),))


@pytest.mark.parametrize("times", [0, 1, 7])
def test_a_loop_counts_as_often_as_it_runs(times: int, tmp_path: Path) -> None:
    assert macs(loop(times), tmp_path) == 8 * times  # 2x2 outputs, K = 2


@pytest.mark.parametrize(("flag", "expected"), [(1, 4 * 3), (0, 4 * 100)])
def test_only_the_branch_that_runs_counts(flag: int, expected: int, tmp_path: Path) -> None:
    nodes = [[op("MatMul", ["x", f"w{columns}"], [f"y{columns}"])] for columns in (3, 100)]
    proto = either(*nodes, weight("w3", (4, 3)), weight("w100", (4, 100)))
    found = counted(proto, tmp_path, taken(flag))
    assert (number(found, "macs"), number(found, "params")) == (expected, 4 * 103)  # both branches are stored


UNKNOWN = model(
    [
        op("WordConvEmbedding", ["x", "w", "b", "e"], ["c"], domain=MS, name="words"),
        op("MatMul", ["c", "v"], ["y"]),
    ],
    [value("x", (1, 2, 3), INT32)],
    [weight("w", (2, 1, 1, 4)), weight("b", (2,)), weight("e", (9, 4)), weight("v", (2, 5))],
    domains={MS: 1},
)


def test_an_operator_nobody_knows_makes_the_count_missing(tmp_path: Path) -> None:
    workload = WorkloadSpec(inputs=(InputSpec("x", min=1, max=3),))
    found = counted(UNKNOWN, tmp_path, workload)
    missing = found.measurements["macs"]
    assert isinstance(missing, Missing)
    for metric in ("flops", "elementwise_ops", "quantized_share"):
        assert found.measurements[metric] == missing
    assert "com.microsoft.WordConvEmbedding (1 of 2 operators understood)" in missing.reason
    assert "too small" in missing.help
    assert number(found, "activation_memory") > 0
    assert [(layer.name, layer.macs) for layer in found.layers] == [("words", None), ("y", 1 * 5 * 2)]


def test_an_unknown_operator_is_named_with_domain_and_times() -> None:
    found = count([ran("Odd", [(1,)], (1,))] * 3, [Declared("Odd", "org.example", "node", {})])
    assert found.unknown == {"org.example.Odd": 3}
    assert (found.coverage, found.operators) == ("0 of 1 operators understood", 1)


def test_an_equation_that_is_not_understood_is_said() -> None:
    node = ran("Einsum", [(3, 4), (4, 5)], (3, 5))
    found = count([node], [Declared("Einsum", "", "node", {"equation": "ij,jk,kl->il"})])
    assert found.unknown == {"Einsum (the equation 'ij,jk,kl->il' for 2 operands)": 1}


def test_every_operator_is_counted_free_or_named(tmp_path: Path) -> None:
    nodes = [op("Conv", ["x", "w"], ["a"]), op("Relu", ["a"], ["b"]), op("Relu", ["b"], ["y"])]
    found = counted(model(nodes, [value("x", (1, 3, 8, 8))], [weight("w", (8, 3, 3, 3))]), tmp_path)
    detail = found.measurements["macs"].detail  # type: ignore[union-attr]
    assert "2 of 2 operators understood, 1 nodes counted, 2 free" in detail


# --- functions, and nodes without a name --------------------------------------------------------


def calling(body: list[onnx.NodeProto], *attributes: str, calls: list[dict[str, object]]) -> onnx.ModelProto:
    """Return x [3, 3] through calls of a function of a and b; b is a weight."""
    function = helper.make_function(
        "mine", "Layer", ["a", "b"], ["d"], body, [helper.make_opsetid("", 17)], list(attributes)
    )
    names = ["x", *(f"h{i}" for i in range(len(calls) - 1)), "y"]
    nodes = [op("Layer", [names[i], "w"], [names[i + 1]], domain="mine", **given) for i, given in enumerate(calls)]
    return model(nodes, [value("x", (3, 3))], [weight("w", (3, 3))], domains={"mine": 1}, functions=[function])


def test_functions_are_counted_where_they_are_called(tmp_path: Path) -> None:
    body = [op("MatMul", ["a", "b"], ["c"]), op("Relu", ["c"], ["d"])]
    found = counted(calling(body, calls=[{}, {"name": "second"}]), tmp_path)
    assert number(found, "macs") == 2 * 27
    call = next(layer for layer in found.layers if layer.op == "Layer")
    assert (call.macs, call.params, call.weight_bytes) == (0, 9, 36)  # the first call brings the weight


def test_attributes_of_a_function_s_nodes_are_found(tmp_path: Path) -> None:
    body = [op("Einsum", ["a", "b"], ["d"], equation="ij,jk->ik", name="e")]
    assert macs(calling(body, calls=[{}, {}]), tmp_path) == 2 * 27


def test_attributes_that_a_caller_sets_are_not_guessed(tmp_path: Path) -> None:
    node = op("Einsum", ["a", "b"], ["d"])
    node.attribute.add(name="equation", ref_attr_name="equation", type=onnx.AttributeProto.STRING)
    missing = counted(calling([node], "equation", calls=[{"equation": "ij,jk->ik"}]), tmp_path).measurements["macs"]
    assert isinstance(missing, Missing)
    assert "Einsum (attributes that its caller sets)" in missing.reason


def test_unnamed_nodes_of_two_branches_must_agree(tmp_path: Path) -> None:
    def pair(equation: str) -> list[onnx.NodeProto]:
        return [op("Relu", ["x"], ["r"]), op("Einsum", ["r", "w"], ["t"], equation=equation)]

    same = either(pair("ij,jk->ik"), pair("ab,bc->ac"), weight("w", (4, 4)))
    assert macs(same, tmp_path, taken(1)) == 16
    apart = either(pair("ij,jk->ik"), pair("ij,ij->j"), weight("w", (1, 4)))
    missing = counted(apart, tmp_path, taken(0)).measurements["macs"]
    assert isinstance(missing, Missing)
    assert "nodes that cannot be told apart" in missing.reason


def test_constants_have_no_number(tmp_path: Path) -> None:
    """The runtime numbers unnamed nodes without the Constants among them."""
    nodes = [
        op("Constant", [], ["k"], value=weight("", (4, 4))),
        op("Einsum", ["x", "k"], ["a"], equation="ij,jk->ik"),
        op("Constant", [], ["l"], value=weight("", (4,))),
        op("Einsum", ["a", "l"], ["y"], equation="ij,j->i"),
    ]
    found = counted(model(nodes, [value("x", (2, 4))]), tmp_path)
    assert number(found, "macs") == 2 * 4 * 4 + 2 * 4
    assert [(layer.name, layer.macs, layer.params) for layer in found.layers] == [("a", 32, 16), ("y", 8, 4)]


def test_a_runtime_s_own_nodes_are_of_the_standard_domain(tmp_path: Path) -> None:
    """HardSwish becomes HardSigmoid and Mul; neither is in the file."""
    found = counted(model([op("HardSwish", ["x"], ["y"])], [value("x", (2, 3))]), tmp_path)
    assert (number(found, "macs"), number(found, "elementwise_ops")) == (0, 12)


def test_operators_of_one_name_in_two_domains_are_not_mixed_up() -> None:
    node = ran("Conv", [(1, 1, 4, 4), (1, 1, 3, 3)], (1, 1, 2, 2))
    plain, other = Declared("Conv", "", "a", {}), Declared("Conv", "org.example", "b", {})
    assert count([node], [plain]).macs == 36
    assert count([node], [plain, other]).unknown == {"Conv (in several domains)": 1}
    assert count([node], [other]).unknown == {"org.example.Conv": 1}
    named = Declared("Conv", "", "node", {})
    assert count([node], [named, other]).macs == 36


def test_attributes_that_cannot_be_told_are_not_guessed() -> None:
    node = ran("FusedMatMul", [(2, 3, 4), (2, 3, 5)], (2, 4, 5))
    first = Declared("FusedMatMul", MS, "node", {"transA": 1})
    assert count([node], [first]).macs == 120
    assert count([node], []).unknown == {"com.microsoft.FusedMatMul (attributes that cannot be told)": 1}
    assert count([node], [first, Declared("FusedMatMul", MS, "node", {})]).unknown
    assert count([node], [first, Declared("FusedMatMul", MS, "node", {"transA": 1, "alpha": 2.0})]).macs == 120


def test_shapes_that_no_formula_fits_are_said() -> None:
    found = count([ran("Gemm", [(2, 3), (3, 5)], ())], [Declared("Gemm", "", "node", {})])
    assert found.unknown == {"Gemm (shapes that its formula does not fit)": 1}


def test_absent_inputs_leave_gaps() -> None:
    node = ran("MultiHeadAttention", [(2, 5, 12), (2, 3, 12), (2, 3, 12), (2, 3, 4, 4), (2, 3, 4, 4)], (2, 5, 12))
    there = (True, True, True, False, False, False, True, True)
    assert count([node], [Declared("MultiHeadAttention", MS, "node", {}, there)]).macs == 7 * 240
    short = (True, False, True, True)  # says 3 where the trace has 5
    found = count([node], [Declared("MultiHeadAttention", MS, "node", {}, short)])
    assert found.unknown == {"com.microsoft.MultiHeadAttention (no shape of input 0)": 1}


def test_work_that_is_not_told_leaves_macs_alone(tmp_path: Path) -> None:
    nodes = [op("MaxRoiPool", ["x", "rois"], ["h"], pooled_shape=[2, 2]), op("Conv", ["h", "w"], ["y"])]
    weights = [numpy_helper.from_array(np.zeros((1, 5), "float32"), "rois"), weight("w", (1, 1, 1, 1))]
    found = counted(model(nodes, [value("x", (1, 1, 4, 4))], weights), tmp_path)
    assert number(found, "macs") == 4
    missing = found.measurements["elementwise_ops"]
    assert isinstance(missing, Missing)
    assert "MaxRoiPool (regions whose sizes are values)" in missing.reason


# --- the tables ---------------------------------------------------------------------------------


def test_the_tables_name_only_operators_that_exist() -> None:
    """A misspelt name would make an honest model unknown."""
    from onnx import defs
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    known = {(schema.domain, schema.name) for schema in defs.get_all_schemas_with_history()}
    known |= {(schema.domain, schema.name) for schema in runtime.get_all_operator_schema()}
    assert not {*FREE, *FORMULAS} - known
    assert set(FORMULAS) >= QUANTISED


def test_every_standard_operator_has_a_row_or_a_reason() -> None:
    from onnx import defs

    standard = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == ""}
    # decodes an image, which is not counted
    assert {name for name in standard if ("", name) not in FREE and ("", name) not in FORMULAS} == {"ImageDecoder"}
    learning = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == "ai.onnx.ml"}
    assert not {name for name in learning if ("ai.onnx.ml", name) not in FREE and ("ai.onnx.ml", name) not in FORMULAS}


# --- the share of 8 bits ------------------------------------------------------------------------


def quantised(names: tuple[str, str]) -> onnx.ModelProto:
    """Return Conv and MatMul between QuantizeLinear and DequantizeLinear; the MatMul's weight stays a float."""

    def scaled(name: str, source: str, target: str) -> list[onnx.NodeProto]:
        return [
            op("QuantizeLinear", [source, "s", "z"], [f"{name}_q"]),
            op("DequantizeLinear", [f"{name}_q", "s", "z"], [target]),
        ]

    nodes = [
        *scaled("a", "x", "xd"),
        op("DequantizeLinear", ["w", "s", "wz"], ["wd"]),
        op("Conv", ["xd", "wd"], ["c"], name=names[0]),
        *scaled("b", "c", "cd"),
        op("MatMul", ["cd", "v"], ["y"], name=names[1]),
    ]
    weights = [weight("w", (8, 4, 3, 3), "int8"), weight("v", (6, 5)), weight("s", ())]
    weights += [numpy_helper.from_array(np.zeros((), kind), name) for name, kind in (("z", "uint8"), ("wz", "int8"))]
    return model(nodes, [value("x", (1, 4, 8, 8))], weights)


def test_the_share_is_of_what_runs_in_8_bits(tmp_path: Path) -> None:
    found = counted(quantised(("conv", "product")), tmp_path)
    # Conv: 8x6x6 outputs of 4x9 = 10368; MatMul: 8x6x5 outputs of 6 = 1440
    assert number(found, "macs") == 10368 + 1440
    assert number(found, "quantized_share") == pytest.approx(10368 / 11808)


def test_unnamed_nodes_cannot_be_followed(tmp_path: Path) -> None:
    missing = counted(quantised(("", "")), tmp_path).measurements["quantized_share"]
    assert isinstance(missing, Missing)
    assert "without a name" in missing.reason


def test_shares_that_need_no_optimiser(tmp_path: Path) -> None:
    assert number(counted(one("MatMul", (2, 3), (3, 5)), tmp_path), "quantized_share") == 0
    node = op("MatMulInteger", ["x", "w"], ["y"])
    proto = model([node], [value("x", (2, 3), UINT8)], [weight("w", (3, 5), "int8")], [value("y", None, INT32)])
    assert number(counted(proto, tmp_path), "quantized_share") == 1
    missing = counted(relu(), tmp_path).measurements["quantized_share"]
    assert isinstance(missing, Missing)
    assert "no multiply-accumulates" in missing.reason


@pytest.mark.parametrize(("level", "narrow"), [(0, False), (4, True)])
def test_weights_of_4_bits_are_restored_unless_products_of_8_are_asked_for(level: int, narrow: bool) -> None:
    node = ran("MatMulNBits", [(2, 32), (16, 2, 8), (32,)], (2, 16))
    stored_node = Declared("MatMulNBits", MS, "node", {"accuracy_level": level})
    found = count([node], [stored_node], narrowed=frozenset({"node"}))
    assert (found.macs, found.quantised) == (1024, 1024 if narrow else 0)


def test_attention_is_in_8_bits_only_where_it_projects(tmp_path: Path) -> None:
    """512 tokens of 64: 512 x 64 x 192 in integers; 512 keys x 2 x (512 x 64) in floats, whoever ran them."""
    names = ["x", "w", "b", "x_s", "w_s", "", "x_z", "w_z"]
    node = op("QAttention", names, ["y"], domain=MS, num_heads=4)
    weights = [weight("w", (64, 192), "int8"), weight("b", (192,)), *scales("x"), *scales("w", zero="int8")]
    found = counted(model([node], [value("x", (1, 512, 64), UINT8)], weights, domains={MS: 1}), tmp_path)
    assert number(found, "macs") == 6_291_456 + 33_554_432
    assert number(found, "quantized_share") == pytest.approx(6_291_456 / 39_845_888)


def test_what_is_in_8_bits_adds_up_over_executions_and_shapes() -> None:
    small, large = (ran("MatMulInteger", [(rows, 4), (4, 4)], (rows, 4)) for rows in (1, 2))
    found = count([small, small, large], [Declared("MatMulInteger", "", "node", {})])
    assert [(line.macs, line.narrow) for line in found.lines] == [(64, 64)]
    assert found.quantised == 64


# --- stored nodes -------------------------------------------------------------------------------


def test_attributes_are_read_as_they_are_stored() -> None:
    node = op("Odd", ["x", "axis", "k"], ["y"], i=3, f=0.5, s="text", ints=[1, 2], floats=[1.5], strings=["a", "b"])
    constants = [numpy_helper.from_array(np.array([-2], "int32"), "axis"), weight("k", (2,), "int64")]
    (found,) = stored.declared(model([node], [value("x", (1,), FLOAT)], constants))
    told = found.attributes
    assert told is not None
    assert dict(told) == {"i": 3, "f": 0.5, "s": "text", "ints": (1, 2), "floats": (1.5,), "strings": ("a", "b")}
    assert (told.get("absent", 7), told["opset"], told["input 1"]) == (7, 17, -2)
    assert (told.get("input 2"), told.get("input 9"), len(told)) == (None, None, 6)


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("raw", [True, False])
def test_small_constants_are_read_in_every_form(kind: str, raw: bool) -> None:
    if raw:
        tensor = numpy_helper.from_array(np.array(-300, kind), "k")
    else:
        tensor = helper.make_tensor("k", getattr(TensorProto, kind.upper()), [], [-300])
    (found,) = stored.declared(model([op("Odd", ["k"], ["y"])], [], [tensor]))
    assert found.attributes is not None
    assert found.attributes["input 0"] == -300


def test_what_is_fed_is_known(tmp_path: Path) -> None:
    nodes = [op("DFT", ["x", "", "axis"], ["y"])]
    proto = model(nodes, [value("x", (3, 8, 4, 1)), value("axis", (), INT64)], opset=20)
    found = counted(proto, tmp_path, WorkloadSpec(inputs=(InputSpec("axis", value=1),)))
    assert number(found, "macs") == 12 * 48  # 3 x 4 transforms of 8


def test_lines_add_up() -> None:
    small, large = ran("MatMul", [(2, 3), (3, 5)], (2, 5)), ran("MatMul", [(4, 3), (3, 5)], (4, 5))
    found = count([small, large, small], [Declared("MatMul", "", "node", {})])
    assert isinstance(found.lines[0], counting.Line)
    assert [line.macs for line in found.lines] == [30 + 60 + 30]
    assert (found.macs, found.counted, found.free) == (120, 3, 0)
