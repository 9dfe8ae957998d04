"""MACs without running: the same as when run wherever both can be had, and Missing by name where shapes stay open."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import BOOL, FLOAT, INT64, UINT8, Shape, model, save, value, weight
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from realmodels import REAL_MODELS, fetch

from greengate.profile import Input, InputSpec, Measurement, Missing, WorkloadSpec
from greengate.profiler import feed, onnx_model
from greengate.profiler.backends import onnx_session
from greengate.profiler.jobs import CountJob
from greengate.profiler.operations import known, static

MS = "com.microsoft"
op = helper.make_node


def whole(name: str, *numbers: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def scalar(name: str, number: float, kind: str = "int64") -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(number, kind), name)


def fed(proto: onnx.ModelProto, spec: WorkloadSpec) -> feed.Feeds:
    return static.feeds(proto, spec)


def found(proto: onnx.ModelProto, spec: WorkloadSpec = WorkloadSpec()) -> static.StaticCount:  # noqa: B008
    feeds = fed(proto, spec)
    return static.count(proto, feeds.inputs, feeds.feeds[0])


def macs(proto: onnx.ModelProto, spec: WorkloadSpec = WorkloadSpec()) -> Measurement | Missing:  # noqa: B008
    return static.measurements(found(proto, spec), spec.batch_size)["macs"]


def reason(proto: onnx.ModelProto, spec: WorkloadSpec = WorkloadSpec()) -> str:  # noqa: B008
    missing = macs(proto, spec)
    assert isinstance(missing, Missing), missing
    assert "too small" in missing.help
    return missing.reason


def executed(path: str, spec: WorkloadSpec) -> Measurement | Missing:
    return onnx_session.run(CountJob(path, spec), lambda _: None).measurements["macs"]


def chain(nodes: list[onnx.NodeProto], *weights: onnx.TensorProto, x: Shape = (2, 3), **kept: Any) -> onnx.ModelProto:
    return model(nodes, [value("x", x)], weights, **kept)


# --- the same as when it runs -------------------------------------------------------------------


def reshaped() -> onnx.ModelProto:
    """Return what exporters write for x.reshape(x.shape[0], -1, 4) @ w, after a where over computed sizes."""
    nodes = [
        op("Shape", ["x"], ["s"]),
        op("Gather", ["s", "first"], ["b"]),
        op("Unsqueeze", ["b", "axis"], ["b1"]),
        op("Concat", ["b1", "rest"], ["sizes"], axis=0),
        op("ConstantOfShape", ["three"], ["ones"], value=whole("v", 1)),
        op("Mul", ["ones", "minus"], ["minuses"]),
        op("Equal", ["sizes", "minuses"], ["open"]),
        op("Where", ["open", "ones", "sizes"], ["filled"]),
        op("Expand", ["small", "filled"], ["e"]),
        op("Reshape", ["x", "sizes"], ["r"]),
        op("Add", ["r", "e"], ["a"]),
        op("MatMul", ["a", "w"], ["y"]),
    ]
    constants = [scalar("first", 0), whole("axis", 0), whole("rest", -1, 4), whole("three", 3), scalar("minus", -1)]
    return chain(nodes, *constants, weight("small", (1, 1, 1)), weight("w", (4, 5)), x=("batch", 8))


def looped(times: int) -> onnx.ModelProto:
    body = helper.make_graph(
        [op("MatMul", ["s", "w"], ["s2"]), op("Identity", ["c"], ["c2"]), op("Relu", ["s2"], ["each"])],
        "body",
        [value("i", (), INT64), value("c", (), BOOL), value("s", None)],
        [value("c2", (), BOOL), value("s2", None), value("each", None)],
    )
    nodes = [op("Loop", ["n", "go", "x"], ["last", "all"], body=body)]
    nodes.append(op("MatMul", ["all" if times else "last", "w"], ["y"]))
    return chain(nodes, scalar("n", times), scalar("go", True, "bool"), weight("w", (3, 3)))


def ended() -> onnx.ModelProto:
    """Return a Loop of 7 rounds whose body says after the first that it is the last."""
    proto = looped(0)
    proto.graph.initializer[0].CopyFrom(scalar("n", 7))
    body = proto.graph.node[0].attribute[0].g
    body.initializer.append(scalar("stop", False, "bool"))
    body.node[1].input[0] = "stop"
    return proto


def chosen() -> onnx.ModelProto:
    """Return a product whose rows are as many as a stored mask lets through."""
    nodes = [
        op("NonZero", ["mask"], ["places"]),
        op("Transpose", ["places"], ["rows"], perm=[1, 0]),
        op("Gather", ["x", "flat"], ["picked"], axis=1),
        op("MatMul", ["picked", "w"], ["y"]),
    ]
    nodes.insert(2, op("Reshape", ["rows", "all"], ["flat"]))
    mask = numpy_helper.from_array(np.array([True, False, True]), "mask")
    return chain(nodes, mask, whole("all", -1), weight("w", (2, 5)))


def scanned() -> onnx.ModelProto:
    body = helper.make_graph(
        [op("MatMul", ["row", "w"], ["p"]), op("Add", ["state", "p"], ["next"]), op("Relu", ["next"], ["out"])],
        "body",
        [value("state", None), value("row", None)],
        [value("next", None), value("out", None)],
    )
    nodes = [
        op("Scan", ["zero", "x"], ["end", "rows"], body=body, num_scan_inputs=1),
        op("MatMul", ["rows", "w"], ["y"]),
    ]
    return chain(nodes, weight("zero", (3,)), weight("w", (3, 3)), x=(5, 3))


def branched() -> onnx.ModelProto:
    def branch(columns: int) -> onnx.GraphProto:
        node = op("MatMul", ["x", f"w{columns}"], [f"y{columns}"])
        return helper.make_graph(
            [node], f"b{columns}", [], [value(f"y{columns}", None)], [weight(f"w{columns}", (3, columns))]
        )

    node = op("If", ["flag"], ["y"], then_branch=branch(4), else_branch=branch(100))
    return model([node], [value("x", (2, 3)), value("flag", (), BOOL)])


def called() -> onnx.ModelProto:
    body = [op("MatMul", ["a", "b"], ["c"]), op("Relu", ["c"], ["d"])]
    function = helper.make_function("mine", "Layer", ["a", "b"], ["d"], body, [helper.make_opsetid("", 17)])
    nodes = [op("Layer", ["x", "w"], ["h"], domain="mine"), op("Layer", ["h", "w"], ["y"], domain="mine")]
    return chain(nodes, weight("w", (3, 3)), domains={"mine": 1}, functions=[function])


def contributed() -> onnx.ModelProto:
    """Return contrib operators in a row: each must pass its shape on."""
    nodes = [
        op("FusedMatMul", ["x", "w"], ["a"], domain=MS, transB=1),
        op("SkipLayerNormalization", ["a", "a", "one"], ["b", "", "", "sum"], domain=MS),
        op("FastGelu", ["sum"], ["g"], domain=MS),
        op("FusedGemm", ["g2", "w"], ["h"], domain=MS, activation="Relu"),
        op("MatMul", ["h", "w"], ["y"]),
    ]
    nodes.insert(3, op("Reshape", ["g", "flat"], ["g2"]))
    weights = [weight("w", (3, 3)), weight("one", (3,)), whole("flat", -1, 3)]
    return chain(nodes, *weights, x=(1, 2, 3), domains={MS: 1})


def fused() -> onnx.ModelProto:
    """Return a convolution with the sum and the activation behind it, in front of a plain one."""
    node = op("FusedConv", ["x", "w", "b", "z"], ["a"], domain=MS, activation="Relu")
    weights = [weight("w", (3, 3, 3, 3)), weight("b", (3,)), weight("z", (1, 3, 6, 6))]
    return chain([node, op("Conv", ["a", "w"], ["y"])], *weights, x=(1, 3, 8, 8), domains={MS: 1})


def quantised() -> onnx.ModelProto:
    nodes = [
        op("DynamicQuantizeLinear", ["x"], ["q", "q_s", "q_z"]),
        op("MatMulInteger", ["q", "w", "q_z"], ["i"]),
        op("Cast", ["i"], ["f"], to=FLOAT),
        op("DynamicQuantizeMatMul", ["f", "w", "s"], ["y"], domain=MS),
    ]
    return chain(nodes, weight("w", (3, 3), "uint8"), weight("s", ()), domains={MS: 1})


def ranged() -> onnx.ModelProto:
    """Return a product whose rows are as many as a Range of computed length has numbers."""
    nodes = [
        op("Shape", ["x"], ["s"], start=1),
        op("Squeeze", ["s"], ["n"]),
        op("Range", ["none", "n", "one"], ["r"]),
        op("Cast", ["r"], ["f"], to=FLOAT),
        op("Unsqueeze", ["f", "last"], ["column"]),
        op("MatMul", ["column", "w"], ["y"]),
    ]
    return chain(nodes, scalar("none", 0), scalar("one", 1), whole("last", -1), weight("w", (1, 5)), opset=18)


CASES = {
    # 2x8 as 2x2x4, by 4x5: 2 x 2 x 4 x 5
    "reshape": (reshaped(), WorkloadSpec(batch_size=2), 80),
    # 7 rounds of 2x3x3, then 7x2x3x3 on what they stacked
    "loop": (looped(7), WorkloadSpec(), 7 * 18 + 126),
    "no round": (looped(0), WorkloadSpec(), 18),
    # one round, then the product behind the loop
    "stopped": (ended(), WorkloadSpec(), 18 + 18),
    # 2 of 3 columns: 2x2 by 2x5
    "mask": (chosen(), WorkloadSpec(), 20),
    # 5 rows of 3x3, then 5x3x3
    "scan": (scanned(), WorkloadSpec(), 90),
    "then": (branched(), WorkloadSpec(inputs=(InputSpec("flag", value=1),)), 2 * 3 * 4),
    "else": (branched(), WorkloadSpec(inputs=(InputSpec("flag", value=0),)), 2 * 3 * 100),
    "function": (called(), WorkloadSpec(), 36),
    # three products of 1x2 rows by 3x3
    "contrib": (contributed(), WorkloadSpec(), 54),
    # 3x6x6 and 3x4x4 places, each of 27 products
    "fused": (fused(), WorkloadSpec(), 108 * 27 + 48 * 27),
    "quantised": (quantised(), WorkloadSpec(), 36),
    # 3 rows of 1 by 1x5
    "range": (ranged(), WorkloadSpec(), 15),
}


@pytest.mark.parametrize("name", CASES)
def test_static_is_what_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proto, spec, expected = CASES[name]
    monkeypatch.chdir(tmp_path)
    told = macs(proto, spec)
    assert isinstance(told, Measurement), told
    assert (told.value * spec.batch_size, told.method) == (expected, "static")
    ran = executed(save(proto, tmp_path / "model.onnx"), spec)
    assert isinstance(ran, Measurement), ran
    assert told.value == ran.value


@pytest.mark.network
@pytest.mark.parametrize("name", REAL_MODELS)
def test_real_models_count_the_same_without_running(name: str) -> None:
    pinned = REAL_MODELS[name]
    proto = onnx_model.read(str(fetch(name))).proto
    told = macs(proto, pinned.workload)
    assert isinstance(told, Measurement), told
    assert told.value == pinned.macs


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 2))
def test_convolutions_follow_their_arithmetic(batch: int, groups: int, columns: int, kernel: int, stride: int) -> None:
    x, w = (batch, 2 * groups, 9, 9), (columns * groups, 2, kernel, kernel)
    proto = chain([op("Conv", ["x", "w"], ["y"], group=groups, strides=[stride] * 2)], weight("w", w), x=x)
    side = (9 - kernel) // stride + 1
    assert found(proto).count.macs == batch * columns * groups * side**2 * 2 * kernel**2


def test_layers_come_with_their_bytes() -> None:
    counted = found(chain([op("MatMul", ["x", "w"], ["y"], name="head")], weight("w", (3, 5)))).count
    (line,) = counted.lines
    assert (line.op, line.name, line.macs, line.bytes) == ("MatMul", "head", 30, 40)
    assert line.stored is not None
    assert line.stored.params == 15


def test_elementwise_work_is_static_too() -> None:
    told = static.measurements(found(chain([op("Relu", ["x"], ["y"])])), 1)["elementwise_ops"]
    assert isinstance(told, Measurement)
    assert (told.value, told.method) == (6, "static")


def packed(columns: int, depth: int) -> onnx.TensorProto:
    """Return a weight of 4 bits for MatMulNBits: [N, blocks of 32, bytes]."""
    return weight("w", (columns, depth // 32, 16), "uint8")


_SCALES = [weight("s", (), "float32"), weight("t", (), "float32")]

#: One contrib operator each: inputs fed, weights, attributes.
CONTRIB: dict[str, tuple[list[str], Shape, list[onnx.TensorProto], dict[str, Any]]] = {
    "FusedMatMul": (["x", "w"], (2, 3, 4), [weight("w", (5, 4))], {"transB": 1}),
    "FusedMatMul left": (["x", "w"], (2, 3, 4), [weight("w", (2, 3, 5))], {"transA": 1}),
    "FusedMatMul batches": (["x", "w"], (1, 3, 4), [weight("w", (7, 4, 5))], {}),
    "DynamicQuantizeMatMul": (["x", "w", "s"], (2, 3, 4), [weight("w", (4, 5), "uint8"), *_SCALES], {}),
    "MatMulNBits": (
        ["x", "w", "s"],
        (2, 3, 64),
        [packed(5, 64), weight("s", (10,))],
        {"K": 64, "N": 5, "block_size": 32},
    ),
    "Attention": (["x", "w", "b"], (1, 3, 8), [weight("w", (8, 24)), weight("b", (24,))], {"num_heads": 2}),
    "Attention sizes": (
        ["x", "w", "b"],
        (1, 3, 8),
        [weight("w", (8, 20)), weight("b", (20,))],
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
    ),
    "MultiHeadAttention": (
        ["x", "k", "v"],
        (1, 3, 8),
        [weight("k", (1, 5, 8)), weight("v", (1, 5, 12))],
        {"num_heads": 2},
    ),
    "MultiHeadAttention heads": (
        ["x", "k", "v"],
        (1, 3, 8),
        [weight("k", (1, 2, 5, 4)), weight("v", (1, 2, 5, 4))],
        {"num_heads": 2},
    ),
    "FusedGemm": (["x", "w"], (2, 3), [weight("w", (5, 3))], {"transB": 1, "activation": "Relu"}),
    "BiasGelu": (["x", "b"], (2, 3), [weight("b", (3,))], {}),
    "QuickGelu": (["x"], (2, 3), [], {}),
    "QuantizeLinear": (["x", "s", "z"], (2, 3), [*_SCALES, scalar("z", 0, "uint16")], {}),
    "QuantizeLinear plain": (["x", "s"], (2, 3), _SCALES, {}),
    "SkipSimplifiedLayerNormalization": (["x", "x", "b"], (1, 2, 3), [weight("b", (3,))], {}),
}


@pytest.mark.parametrize("name", CONTRIB)
def test_contrib_operators_have_the_shapes_that_the_runtime_gives_them(name: str) -> None:
    import onnxruntime

    inputs, shape, weights, attributes = CONTRIB[name]
    kind, *_ = name.split()
    node = op(kind, inputs, ["y"], domain=MS, **attributes)
    used = [item for item in weights if item.name in inputs]
    outputs = [value("y", None, {"QuantizeLinear": TensorProto.UINT16, "QuantizeLinear plain": UINT8}.get(name, FLOAT))]
    proto = model([node], [value("x", shape)], used, outputs, domains={MS: 1})
    (ran,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": np.ones(shape, np.float32)})
    stored = {item.name: known.constant(item) for item in used} | {"x": known.tensor(FLOAT, shape)}
    (found_,) = known.Inference({"": 17, MS: 1}, 9).outputs(node, [stored[item] for item in inputs])
    assert found_.shape == ran.shape
    assert found_.type.tensor_type.elem_type == helper.np_dtype_to_tensor_dtype(ran.dtype)


def test_contrib_operators_for_other_machines_by_their_definition() -> None:
    infer = known.Inference({"": 17, MS: 1}, 9)
    half = infer.outputs(
        op("BiasSplitGelu", ["x", "b"], ["y"], domain=MS), [known.tensor(FLOAT, (2, 3, 8)), known.OPEN]
    )
    assert half[0].shape == (2, 3, 4)
    # 4 heads of Q, 2 each of K and V, of 8: packed they are 64 wide, alone Q is 32
    grouped = op("GroupQueryAttention", ["x"], ["y"], domain=MS, num_heads=4, kv_num_heads=2)
    assert infer.outputs(grouped, [known.tensor(FLOAT, (1, 3, 64))])[0].shape == (1, 3, 32)
    apart = op("GroupQueryAttention", ["x", "k", "v"], ["y"], domain=MS, num_heads=4, kv_num_heads=2)
    q, k = known.tensor(FLOAT, (1, 3, 32)), known.tensor(FLOAT, (1, 3, 16))
    assert infer.outputs(apart, [q, k, k])[0].shape == (1, 3, 32)
    names = ["x", "w", "s", "t"]
    given_ = [
        known.tensor(UINT8, (2, 3)),
        known.tensor(UINT8, (3, 5)),
        known.tensor(FLOAT, ()),
        known.tensor(FLOAT, ()),
    ]
    (restored,) = infer.outputs(op("MatMulIntegerToFloat", names, ["y"], domain=MS), given_)
    assert (restored.shape, restored.type.tensor_type.elem_type) == ((2, 5), FLOAT)
    moved = op("FusedMatMul", ["x", "x"], ["y"], domain=MS, transBatchA=1)
    assert infer.outputs(moved, [k, k])[0].shape is None


# --- what cannot run here -----------------------------------------------------------------------


def test_a_model_without_kernels_here_is_counted() -> None:
    """bfloat16 convolutions run on GPUs only."""
    kind = TensorProto.BFLOAT16
    kernel = helper.make_tensor("w", kind, (8, 3, 3, 3), np.ones(216))
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    proto = model([op("Conv", ["x", "w"], ["y"])], [value("x", ("batch", 3, 8, 8), kind)], [kernel], outputs, opset=22)
    feeds = fed(proto, WorkloadSpec())
    assert feeds.inputs == (Input("x", "bfloat16", (1, 3, 8, 8), "synthesised"),)
    assert found(proto).count.macs == 8 * 36 * 27


def test_an_operator_nobody_knows_is_named(tmp_path: Path) -> None:
    nodes = [op("Magic", ["x"], ["m"], domain="acme"), op("MatMul", ["m", "w"], ["y"], name="head")]
    told = reason(chain(nodes, weight("w", (3, 3)), domains={"acme": 1}))
    assert "operators that this version does not count: acme.Magic" in told
    assert "MatMul 'head': the shape of 'm'" in told
    assert "Magic 'Magic" not in told  # said once


def test_a_size_that_is_found_while_running_is_named() -> None:
    nodes = [
        op("NonZero", ["x"], ["z"]),
        op("Transpose", ["z"], ["t"], perm=[1, 0]),
        op("Cast", ["t"], ["f"], to=FLOAT),
        op("MatMul", ["f", "w"], ["y"], name="after"),
    ]
    proto = chain(nodes, weight("w", (2, 5)), x=(100, 100))
    assert reason(proto) == "not told by the graph alone: MatMul 'after': dimension 0 of 'f'"


def test_chance_decides_nothing() -> None:
    """A random mask must not be drawn once and believed."""
    proto = chosen()
    proto.graph.initializer[0].CopyFrom(weight("half", (3,)))
    nodes = [op("Bernoulli", ["half"], ["drawn"], seed=1.0), op("Cast", ["drawn"], ["mask"], to=BOOL)]
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)
    assert "dimension" in reason(proto)


def test_a_small_input_that_is_fed_decides_sizes() -> None:
    nodes = [op("Expand", ["row", "sizes"], ["e"]), op("MatMul", ["e", "w"], ["y"])]
    proto = model(nodes, [value("sizes", (2,), INT64)], [weight("row", (1, 3)), weight("w", (3, 3))])
    feeds = {"sizes": np.array([3, 3])}
    inputs = (Input("sizes", "int64", (2,), "recorded"),)
    assert static.count(proto, inputs, feeds).count.macs == 27
    assert static.count(proto, inputs).open == ("MatMul 'MatMul_1': dimension 0 of 'e'",)


def choosing(first: int, second: int) -> onnx.ModelProto:
    """Return an If over a value that only running tells."""

    def branch(name: str, columns: int) -> onnx.GraphProto:
        node = op("MatMul", ["x", f"w{name}"], [f"y{name}"])
        return helper.make_graph([node], name, [], [value(f"y{name}", None)], [weight(f"w{name}", (100, columns))])

    nodes = [
        op("ReduceMax", ["x"], ["m"], keepdims=0),
        op("Greater", ["m", "half"], ["flag"]),
        op("If", ["flag"], ["b"], name="which", then_branch=branch("a", first), else_branch=branch("b", second)),
        op("MatMul", ["b", "w"], ["y"], name="after"),
    ]
    return chain(nodes, scalar("half", 0.5, "float32"), weight("w", (4, 4)), x=(100, 100))


def test_branches_that_count_the_same_need_not_be_chosen() -> None:
    assert found(choosing(4, 4)).count.macs == 100 * 100 * 4 + 100 * 4 * 4


def test_branches_that_differ_are_missing() -> None:
    told = reason(choosing(4, 8))
    assert "If 'which': which branch runs" in told
    assert "MatMul 'after': dimension 1 of 'b'" in told


def rounds(condition: str, body_op: onnx.NodeProto) -> onnx.ModelProto:
    """Return a Loop of 5 rounds at most that goes on while `condition`, a value computed inside."""
    body = helper.make_graph(
        [
            op("ReduceMax", ["s"], ["m"], keepdims=0),
            op("Less", ["m", "limit"], ["data"]),
            op("Identity", ["c"], ["kept"]),
            body_op,
        ],
        "body",
        [value("i", (), INT64), value("c", (), BOOL), value("s", None)],
        [value(condition, (), BOOL), value("s2", None)],
    )
    node = op("Loop", ["n", "", "x"], ["y"], name="turns", body=body)
    return chain([node], scalar("n", 5), scalar("limit", 9.0, "float32"), weight("w", (100, 100)), x=(100, 100))


def test_a_loop_that_ends_by_its_data_is_missing_only_where_it_computes() -> None:
    product, plain = op("MatMul", ["s", "w"], ["s2"]), op("Relu", ["s"], ["s2"])
    assert found(rounds("kept", product)).count.macs == 5 * 10**6
    assert "Loop 'turns': how often it runs" in reason(rounds("data", product))
    assert macs(rounds("data", plain)) == Measurement(0, "static", detail=macs(rounds("data", plain)).detail)


def beside(proto: onnx.ModelProto) -> Measurement | Missing:
    return static.measurements(found(proto), 1)["elementwise_ops"]


def test_branches_and_rounds_that_differ_beside_the_macs_leave_only_those() -> None:
    """Branches: a product each, one with a Relu behind it. Rounds: a Relu in each, and nobody knows how many."""
    branches = choosing(4, 4)
    branch = branches.graph.node[2].attribute[0].g
    branch.node[0].output[0] = "product"
    branch.node.append(op("Relu", ["product"], [branch.output[0].name]))
    plain = rounds("data", op("Relu", ["s"], ["s2"]))
    for proto, words in ((branches, "If 'which': which branch runs"), (plain, "Loop 'turns': how often it runs")):
        told = beside(proto)
        assert isinstance(macs(proto), Measurement)
        assert isinstance(told, Missing)
        assert told.reason == f"not told by the graph alone: {words}"
    assert isinstance(beside(choosing(4, 4)), Measurement)
    # what is known is what it was: 5 rounds of a maximum, a comparison and a Relu
    assert beside(rounds("kept", op("Relu", ["s"], ["s2"]))) == Measurement(
        5 * (10**4 + 1 + 10**4), "static", detail=macs(rounds("kept", op("Relu", ["s"], ["s2"]))).detail
    )


def test_a_doubt_about_element_wise_work_inside_is_one_around_it() -> None:
    """In both branches of an If a Loop that ends by its data: the branches are not known to be the same."""
    proto = rounds("data", op("Relu", ["s"], ["s2"]))
    inner = proto.graph.node[0]
    branches = [helper.make_graph([inner], name, [], [value("y", None)]) for name in ("a", "b")]
    node = op("If", ["flag"], ["y"], name="which", then_branch=branches[0], else_branch=branches[1])
    flag = [op("ReduceMax", ["x"], ["m"], keepdims=0), op("Greater", ["m", "limit"], ["flag"])]
    told = beside(chain([*flag, node], *proto.graph.initializer, x=(100, 100)))
    assert isinstance(told, Missing)
    assert told.reason == "not told by the graph alone: Loop 'turns': how often it runs; If 'which': which branch runs"


@pytest.mark.parametrize(
    ("body", "counts", "weighs"),
    [
        (op("MatMul", ["item", "w"], ["out"]), False, False),
        (op("Relu", ["item"], ["out"]), True, False),
        (op("Identity", ["item"], ["out"]), True, True),
    ],
)
def test_a_graph_inside_that_is_not_followed_is_not_left_out(body: onnx.NodeProto, counts: bool, weighs: bool) -> None:
    graph = helper.make_graph([body], "body", [value("item", None)], [value("out", None)])
    nodes = [
        op("SplitToSequence", ["x"], ["items"], axis=0),
        op("SequenceMap", ["items"], ["done"], name="each", body=graph),
        op("ConcatFromSequence", ["done"], ["y"], axis=0),
    ]
    proto = chain(nodes, weight("w", (3, 3)))
    assert isinstance(macs(proto), Measurement) == counts
    assert isinstance(beside(proto), Measurement) == weighs
    if not counts:
        assert reason(proto) == "not told by the graph alone: SequenceMap 'each': how often its graph runs, and on what"


def test_a_loop_whose_shapes_grow_is_missing() -> None:
    grown = op("Concat", ["s", "s"], ["s2"], axis=0)
    product = op("MatMul", ["s", "w"], ["unused"])
    proto = rounds("kept", grown)
    proto.graph.node[0].attribute[0].g.node.append(product)
    assert "Loop 'turns'" in reason(proto)
    assert found(rounds("kept", grown)).count.macs == 0


# --- what a file says, and how large it is ------------------------------------------------------


def test_annotations_that_lie_are_not_believed() -> None:
    nodes = [op("MatMul", ["x", "w"], ["h"]), op("MatMul", ["h", "w"], ["y"])]
    proto = chain(nodes, weight("w", (3, 3)), outputs=[value("y", (1000, 1000))])
    proto.graph.value_info.append(value("h", (500, 3)))
    assert found(proto).count.macs == 36


def test_nodes_out_of_order_are_open_not_a_crash() -> None:
    nodes = [op("MatMul", ["h", "w"], ["y"], name="early"), op("MatMul", ["x", "w"], ["h"])]
    assert found(chain(nodes, weight("w", (3, 3)))).open == ("MatMul 'early': the shape of 'h'",)
    circle = [op("MatMul", ["b", "w"], ["a"], name="one"), op("MatMul", ["a", "w"], ["b"]), op("Relu", ["a"], ["y"])]
    assert "MatMul 'one': the shape of 'b'" in found(chain(circle, weight("w", (3, 3)))).open


def test_a_function_that_calls_itself_is_said() -> None:
    body = [op("Again", ["a"], ["b"], domain="mine")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "Again", ["a"], ["b"], body, opsets)
    node = op("Again", ["x"], ["y"], domain="mine")
    assert reason(chain([node], domains={"mine": 1}, functions=[function]))


def test_control_flow_without_its_graphs_is_open_not_a_crash() -> None:
    node = op("If", ["flag"], ["y"])
    proto = model([node], [value("flag", (), BOOL)])
    told = reason(proto, WorkloadSpec(inputs=(InputSpec("flag", value=1),)))
    assert "cannot be followed" in told


def test_shapes_that_do_not_fit_are_open() -> None:
    proto = chain([op("MatMul", ["x", "w"], ["y"], name="odd")], weight("w", (4, 5)))
    assert "MatMul 'odd': the shape of 'y'" in reason(proto)


def test_a_huge_constant_is_not_computed() -> None:
    """2^40 zeros would be 4 TB; their shape is all that is needed."""
    nodes = [op("ConstantOfShape", ["sizes"], ["z"]), op("MatMul", ["z", "w"], ["y"])]
    proto = model(nodes, [], [whole("sizes", 2**20, 2**20), weight("w", (2**20, 1))])
    assert static.count(proto, ()).count.macs == 2**40


@pytest.mark.parametrize(("count", "seconds"), [(20_000, 20)])
def test_many_nodes_take_time_in_proportion(count: int, seconds: float) -> None:
    nodes = [op("Relu", [f"h{index}"], [f"h{index + 1}"]) for index in range(count)]
    nodes.append(op("MatMul", [f"h{count}", "w"], ["y"]))
    started = time.process_time()
    assert found(model(nodes, [value("h0", (2, 3))], [weight("w", (3, 3))])).count.macs == 18
    assert time.process_time() - started < seconds


def test_a_node_with_ten_thousand_inputs() -> None:
    nodes = [op("Concat", ["x"] * 10_000, ["c"], axis=0), op("MatMul", ["c", "w"], ["y"])]
    assert found(chain(nodes, weight("w", (3, 3)))).count.macs == 20_000 * 9


def test_weights_of_three_gigabytes_are_never_loaded(tmp_path: Path) -> None:
    size = 3 * 2**30
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(size)
    kernel = TensorProto(name="w", data_type=FLOAT, dims=(3, size // 12), data_location=TensorProto.EXTERNAL)
    kernel.external_data.add(key="location", value="big.bin")
    path = save(chain([op("MatMul", ["x", "w"], ["y"])], kernel), tmp_path / "big.onnx")
    code = f"""
import onnx
from greengate.profile import WorkloadSpec
from greengate.profiler.operations import static
proto = onnx.load({path!r}, load_external_data=False)
feeds = static.feeds(proto, WorkloadSpec())
print(static.count(proto, feeds.inputs, feeds.feeds[0]).count.macs)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    counted, kilobytes = map(int, ran.stdout.split())
    assert counted == 2 * size // 4
    assert kilobytes < 400_000


# --- every operator's own tests -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_no_model_of_onnxs_own_tests_crashes_it() -> None:
    from onnx.backend.test.case.node import collect_testcases

    open_: set[str] = set()
    for case in collect_testcases(None):
        stored = {item.name for item in case.model.graph.initializer}
        wanted = [item for item in case.model.graph.input if item.name not in stored]
        inputs, values = [], {}
        for item, given_ in zip(wanted, case.data_sets[0][0], strict=False):
            if item.type.HasField("tensor_type") and isinstance(given_, np.ndarray | np.generic):
                array = np.asarray(given_)
                inputs.append(Input(item.name, str(array.dtype), array.shape, "recorded"))
                values[item.name] = array
        counted = static.count(case.model, inputs, values)
        if counted.open or counted.count.unknown:
            open_.add(case.name)
    assert {name for name in open_ if "image_decoder" not in name} == {
        *("test_adagrad", "test_adagrad_multiple", "test_adam", "test_adam_multiple"),
        *("test_momentum", "test_momentum_multiple", "test_nesterov_momentum"),
    }
