"""Multiply-accumulates: every formula against arithmetic by hand, on graphs that onnxruntime really runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import BOOL, INT32, INT64, UINT8, external, linear, model, relu, save, value, weight
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from greengate.profile import InputSpec, Measurement, Missing, WorkloadSpec
from greengate.profiler.backends import onnx_session
from greengate.profiler.jobs import Counted, CountJob
from greengate.profiler.operations import counting, trace
from greengate.profiler.operations.formulas import FORMULAS
from greengate.profiler.operations.free import FREE

MS = "com.microsoft"
op = helper.make_node


def counted(proto: onnx.ModelProto, folder: Path, workload: WorkloadSpec = WorkloadSpec()) -> Counted:  # noqa: B008
    """Count a model in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return onnx_session.count(CountJob(save(proto, folder / "model.onnx"), workload), lambda _: None)


def macs(proto: onnx.ModelProto, folder: Path, workload: WorkloadSpec = WorkloadSpec()) -> float:  # noqa: B008
    found = counted(proto, folder, workload).measurements
    assert isinstance(found["macs"], Measurement), found["macs"]
    assert isinstance(found["flops"], Measurement)
    assert found["flops"].value == 2 * found["macs"].value
    return found["macs"].value


def one(
    kind: str, x: tuple[int, ...], *weights: tuple[int, ...], domain: str = "", **attributes: object
) -> onnx.ModelProto:
    """Return a graph of one float operator over `x` and weights of the given shapes."""
    names = [f"w{index}" for index in range(len(weights))]
    node = op(kind, ["x", *names], ["y"], domain=domain, **attributes)
    domains = {domain: 1} if domain else None
    return model([node], [value("x", x)], [weight(*item) for item in zip(names, weights, strict=True)], domains=domains)


def scales(*names: str, zero: str = "uint8") -> list[onnx.TensorProto]:
    """Return a scale and a zero point for each name: n_s and n_z."""
    return [
        item for n in names for item in (weight(f"{n}_s", ()), numpy_helper.from_array(np.zeros((), zero), f"{n}_z"))
    ]


FLOAT_CASES = {
    # Y is 1x8x6x6: 288 elements, each of 3 channels x 3x3 kernel: 288 x 27
    "conv": (one("Conv", (1, 3, 8, 8), (8, 3, 3, 3)), 7776),
    # padding 1 and stride 2: Y is 1x8x4x4: 128 x 27
    "conv strided": (one("Conv", (1, 3, 8, 8), (8, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), 3456),
    # depthwise, 4 groups: Y 1x4x6x6: 144 x (1 channel x 9)
    "conv depthwise": (one("Conv", (1, 4, 8, 8), (4, 1, 3, 3), group=4), 1296),
    # 2 groups: Y 1x6x6x6: 216 x (2 channels x 9); the bias adds nothing
    "conv grouped with bias": (one("Conv", (1, 4, 8, 8), (6, 2, 3, 3), (6,), group=2), 3888),
    # one dimension: Y 2x5x8: 80 x (3 x 3)
    "conv 1d": (one("Conv", (2, 3, 10), (5, 3, 3)), 720),
    # three dimensions, dilation 2: Y 1x2x2x2x2: 16 x (1 x 2x2x2)
    "conv 3d dilated": (one("Conv", (1, 1, 4, 4, 4), (2, 1, 2, 2, 2), dilations=[2, 2, 2]), 128),
    # X 1x3x4x4: 48 elements, each into 5 channels x 2x2: 48 x 20
    "transposed conv": (one("ConvTranspose", (1, 3, 4, 4), (3, 5, 2, 2), strides=[2, 2]), 960),
    # 2 groups, W [C, M/g]: X 1x4x3x3: 36 x (2 x 3x3)
    "transposed conv grouped": (one("ConvTranspose", (1, 4, 3, 3), (4, 2, 3, 3), group=2), 648),
    # 2x5 outputs, K = 3
    "matmul": (one("MatMul", (2, 3), (3, 5)), 30),
    # B broadcasts over 7: 7x2x5 outputs, K = 3
    "matmul broadcast": (one("MatMul", (7, 2, 3), (3, 5)), 210),
    # A broadcasts over 7: the output counts, 7x2x5, K = 3
    "matmul broadcast right": (one("MatMul", (2, 3), (7, 3, 5)), 210),
    # vector by matrix: 5 outputs, K = 3; matrix by vector: 2, K = 3; dot product: 1, K = 3
    "vector matrix": (one("MatMul", (3,), (3, 5)), 15),
    "matrix vector": (one("MatMul", (2, 3), (3,)), 6),
    "dot": (one("MatMul", (3,), (3,)), 3),
    # 2x5 outputs, K = 3, C is added
    "gemm": (one("Gemm", (2, 3), (3, 5), (5,)), 30),
    # A is stored 3x2: still 2x5 outputs, K = 3
    "gemm transposed": (one("Gemm", (3, 2), (5, 3), transA=1, transB=1), 30),
    # a batch of 2 squares transposed: 2x4x5 outputs, K = 3
    "fused matmul": (one("FusedMatMul", (2, 3, 4), (2, 3, 5), domain=MS, transA=1, alpha=0.5), 120),
    # A stored [M=2, batch=3, K=4], B [3, 4, 5]: 3x2x5 outputs, K = 4
    "fused matmul batch": (one("FusedMatMul", (2, 3, 4), (3, 4, 5), domain=MS, transBatchA=1), 120),
    # A stored [K=4, batch=3, M=2], B [3, 4, 5]: 3x2x5 outputs, K = 4
    "fused matmul both": (one("FusedMatMul", (4, 3, 2), (3, 4, 5), domain=MS, transA=1, transBatchA=1), 120),
    "fused gemm": (one("FusedGemm", (2, 3), (3, 5), (5,), domain=MS, activation="Relu"), 30),
    "fused conv": (one("FusedConv", (1, 3, 8, 8), (8, 3, 3, 3), domain=MS, activation="Relu"), 7776),
    # T=5, N=2, I=3, H=4: 10 steps x (4x4x3 + 4x4x4) = 10 x 112
    "lstm": (one("LSTM", (5, 2, 3), (1, 16, 3), (1, 16, 4), hidden_size=4), 1120),
    # two directions: 10 x 2 x 112
    "lstm both ways": (one("LSTM", (5, 2, 3), (2, 16, 3), (2, 16, 4), hidden_size=4, direction="bidirectional"), 2240),
    # 3 gates: 10 x (3x4x3 + 3x4x4) = 10 x 84
    "gru": (one("GRU", (5, 2, 3), (1, 12, 3), (1, 12, 4), hidden_size=4), 840),
    # 1 gate: 10 x (4x3 + 4x4) = 10 x 28
    "rnn": (one("RNN", (5, 2, 3), (1, 4, 3), (1, 4, 4), hidden_size=4), 280),
    # b=2 i=3 j=4 k=5: b i k outputs, j contracted
    "einsum": (one("Einsum", (2, 3, 4), (2, 4, 5), equation="bij,bjk->bik"), 120),
    "einsum implicit": (one("Einsum", (3, 4), (4, 5), equation="ij,jk"), 60),
    # k of the second operand is summed before the product: 3 x 4
    "einsum summed first": (one("Einsum", (3, 4), (4, 5), equation="ij,jk->i"), 12),
    # nothing is contracted: element-wise, outer, or one operand
    "einsum element-wise": (one("Einsum", (3, 4), (3, 4), equation="ij,ij->ij"), 0),
    "einsum outer": (one("Einsum", (3,), (4,), equation="i,j->ij"), 0),
    "einsum transpose": (one("Einsum", (3, 4), equation="ij->ji"), 0),
    "free": (relu(), 0),
}


@pytest.mark.parametrize("name", FLOAT_CASES)
def test_float_formulas_by_hand(name: str, tmp_path: Path) -> None:
    proto, expected = FLOAT_CASES[name]
    assert macs(proto, tmp_path) == expected


def _conv_integer() -> onnx.ModelProto:
    node = op("ConvInteger", ["x", "w"], ["y"])
    return model(
        [node], [value("x", (1, 2, 5, 5), UINT8)], [weight("w", (3, 2, 2, 2), "uint8")], [value("y", None, INT32)]
    )


def _matmul_integer() -> onnx.ModelProto:
    node = op("MatMulInteger", ["x", "w"], ["y"])
    return model([node], [value("x", (2, 3), UINT8)], [weight("w", (3, 5), "int8")], [value("y", None, INT32)])


def _linear_conv(domain: str = "", last: bool = False) -> onnx.ModelProto:
    names = ["x", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z"]
    node = op("QLinearConv", names, ["y"], domain=domain, **({"channels_last": 1} if last else {}))
    shape = (1, 5, 5, 2) if last else (1, 2, 5, 5)
    weights = [weight("w", (3, 2, 2, 2), "uint8"), *scales("x", "w", "y")]
    return model([node], [value("x", shape, UINT8)], weights, [value("y", None, UINT8)], domains={MS: 1})


def _linear_matmul() -> onnx.ModelProto:
    node = op("QLinearMatMul", ["x", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z"], ["y"])
    weights = [weight("w", (3, 5), "uint8"), *scales("x", "w", "y")]
    return model([node], [value("x", (2, 3), UINT8)], weights, [value("y", None, UINT8)])


def _linear_gemm() -> onnx.ModelProto:
    names = ["x", "x_s", "x_z", "w", "w_s", "w_z", "", "y_s", "y_z"]
    node = op("QGemm", names, ["y"], domain=MS, transB=1)
    weights = [weight("w", (5, 3), "uint8"), *scales("x", "w", "y")]
    return model([node], [value("x", (2, 3), UINT8)], weights, [value("y", None, UINT8)], domains={MS: 1})


def _dynamic_matmul() -> onnx.ModelProto:
    node = op("DynamicQuantizeMatMul", ["x", "w", "w_s", "w_z"], ["y"], domain=MS)
    return model([node], [value("x", (2, 3))], [weight("w", (3, 5), "uint8"), *scales("w")], domains={MS: 1})


def _matmul_to_float() -> onnx.ModelProto:
    node = op("MatMulIntegerToFloat", ["x", "w", "x_s", "w_s", "x_z", "w_z"], ["y"], domain=MS)
    weights = [weight("w", (3, 5), "uint8"), *scales("x", "w")]
    return model([node], [value("x", (2, 3), UINT8)], weights, domains={MS: 1})


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        # Y 1x3x4x4: 48 x (2 channels x 2x2)
        pytest.param(_conv_integer(), 384, id="ConvInteger"),
        pytest.param(_linear_conv(), 384, id="QLinearConv"),
        pytest.param(_linear_conv(MS), 384, id="com.microsoft QLinearConv"),
        pytest.param(_linear_conv(MS, last=True), 384, id="QLinearConv, channels last"),
        # 2x5 outputs, K = 3
        pytest.param(_matmul_integer(), 30, id="MatMulInteger"),
        pytest.param(_linear_matmul(), 30, id="QLinearMatMul"),
        pytest.param(_linear_gemm(), 30, id="QGemm"),
        pytest.param(_dynamic_matmul(), 30, id="DynamicQuantizeMatMul"),
        pytest.param(_matmul_to_float(), 30, id="MatMulIntegerToFloat"),
    ],
)
def test_integer_formulas_by_hand(proto: onnx.ModelProto, expected: int, tmp_path: Path) -> None:
    assert macs(proto, tmp_path) == expected


def test_every_formula_is_run_by_a_case() -> None:
    cases = [proto for proto, _ in FLOAT_CASES.values()]
    cases += [_conv_integer(), _matmul_integer(), _linear_conv(), _linear_conv(MS), _linear_matmul(), _linear_gemm()]
    cases += [_dynamic_matmul(), _matmul_to_float()]
    assert {(node.domain, node.op_type) for proto in cases for node in proto.graph.node} >= set(FORMULAS)
    assert all(
        formula.__doc__ or formula.__qualname__.startswith(("convolution", "matrix_product", "general_product"))
        for formula in FORMULAS.values()
    )
    assert not FREE & set(FORMULAS)


def test_free_names_only_operators_that_exist() -> None:
    """A misspelt name would make an honest model unknown."""
    from onnx import defs

    known = {(schema.domain, schema.name) for schema in defs.get_all_schemas_with_history()}
    assert {key for key in FREE | set(FORMULAS) if key[0] in ("", "ai.onnx.ml")} <= known


# --- which nodes count --------------------------------------------------------------------------


def _loop(times: int) -> onnx.ModelProto:
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


@pytest.mark.parametrize("times", [0, 1, 7])
def test_a_loop_counts_as_often_as_it_runs(times: int, tmp_path: Path) -> None:
    assert macs(_loop(times), tmp_path) == 8 * times  # 2x2 outputs, K = 2


@pytest.mark.parametrize(("chosen", "expected"), [(1, 4 * 3), (0, 4 * 100)])
def test_only_the_branch_that_runs_counts(chosen: int, expected: int, tmp_path: Path) -> None:
    def branch(columns: int) -> onnx.GraphProto:
        w = weight(f"w{columns}", (4, columns))
        node = op("MatMul", ["x", w.name], [f"y{columns}"])
        return helper.make_graph([node], f"b{columns}", [], [value(f"y{columns}", None)], [w])

    node = op("If", ["flag"], ["y"], then_branch=branch(3), else_branch=branch(100))
    proto = model([node], [value("x", (1, 4)), value("flag", (), BOOL)])
    found = counted(proto, tmp_path, WorkloadSpec(inputs=(InputSpec("flag", value=chosen),)))
    assert found.measurements["macs"] == Measurement(expected, "executed", detail=found.measurements["macs"].detail)
    params = found.measurements["params"]
    assert isinstance(params, Measurement)
    assert params.value == 4 * 103  # both branches are stored


def test_an_operator_nobody_knows_makes_the_count_missing(tmp_path: Path) -> None:
    nodes = [op("MatMul", ["x", "w"], ["h"]), op("Det", ["h"], ["y"])]
    found = counted(model(nodes, [value("x", (3, 3))], [weight("w", (3, 3))]), tmp_path).measurements
    missing = found["macs"]
    assert isinstance(missing, Missing)
    assert missing == found["flops"]
    assert "Det" in missing.reason
    assert "too small" in missing.help
    assert isinstance(found["activation_memory"], Measurement)


def test_an_unknown_operator_is_named_with_domain_and_times(tmp_path: Path) -> None:
    node = op("MurmurHash3", ["x"], ["h1"], domain=MS)
    again = op("MurmurHash3", ["h1"], ["y"], domain=MS)
    proto = model([node, again], [value("x", (3,), INT32)], (), [value("y", None, TensorUInt32)], domains={MS: 1})
    missing = counted(proto, tmp_path).measurements["macs"]
    assert isinstance(missing, Missing)
    assert "com.microsoft.MurmurHash3 x2" in missing.reason


TensorUInt32 = onnx.TensorProto.UINT32


def test_an_equation_that_is_not_understood_is_said(tmp_path: Path) -> None:
    missing = counted(one("Einsum", (3, 3), (3, 4), equation="ii,ij->j"), tmp_path).measurements["macs"]
    assert isinstance(missing, Missing)
    assert "'ii,ij->j'" in missing.reason


def test_functions_are_counted_where_they_are_called(tmp_path: Path) -> None:
    body = [op("MatMul", ["a", "b"], ["c"]), op("Relu", ["c"], ["d"])]
    function = helper.make_function("mine", "Layer", ["a", "b"], ["d"], body, [helper.make_opsetid("", 17)])
    nodes = [op("Layer", ["x", "w"], ["h"], domain="mine"), op("Layer", ["h", "w"], ["y"], domain="mine")]
    proto = model(nodes, [value("x", (2, 3))], [weight("w", (3, 3))], domains={"mine": 1}, functions=[function])
    assert macs(proto, tmp_path) == 2 * (2 * 3 * 3)


def test_operators_of_one_name_in_two_domains_are_not_mixed_up() -> None:
    ran = [trace.Executed("Conv", "renamed", ((1, 1, 4, 4), (1, 1, 3, 3)), ((1, 1, 2, 2),))]
    plain = counting.Declared("Conv", "", "a", {})
    other = counting.Declared("Conv", "com.microsoft.nchwc", "b", {})
    assert counting.count(ran, [plain]).macs == 36
    assert counting.count(ran, [plain, other]).unknown == {
        "com.microsoft.nchwc.Conv (in the domains ai.onnx, com.microsoft.nchwc)": 1
    }
    assert counting.count(ran, [other]).unknown == {"com.microsoft.nchwc.Conv": 1}
    named = [trace.Executed("Conv", "a", ran[0].inputs, ran[0].outputs)]
    assert counting.count(named, [plain, other]).macs == 36


def test_attributes_that_cannot_be_told_are_not_guessed() -> None:
    ran = [trace.Executed("FusedMatMul", "renamed", ((2, 3, 4), (2, 3, 5)), ((2, 4, 5),))]
    first = counting.Declared("FusedMatMul", MS, "a", {"transA": 1})
    second = counting.Declared("FusedMatMul", MS, "b", {})
    assert counting.count(ran, [first]).macs == 120
    assert counting.count(ran, [first, second]).unknown
    assert counting.count(ran, [counting.Declared("FusedMatMul", MS, "a", None)]).unknown


# --- properties ---------------------------------------------------------------------------------

small = st.integers(1, 4)
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(groups=small, channels=small, filters=small, kernel=st.integers(1, 3), size=st.integers(3, 6))
def test_a_convolution_by_counting_products(
    tmp_path: Path, *, groups: int, channels: int, filters: int, kernel: int, size: int
) -> None:
    """The oracle multiplies ones: every output of an unpadded convolution of ones is its number of products."""
    proto = one("Conv", (1, groups * channels, size, size), (groups * filters, channels, kernel, kernel), group=groups)
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": np.ones((1, groups * channels, size, size), "float32")})
    assert macs(proto, tmp_path) == output.sum()


@quick
@given(kernel=st.integers(1, 3), stride=small, channels=small, filters=small, groups=small)
def test_a_transposed_convolution_by_counting_products(
    tmp_path: Path, *, kernel: int, stride: int, channels: int, filters: int, groups: int
) -> None:
    shape = (1, groups * channels, 3, 4)
    proto = one("ConvTranspose", shape, (shape[1], filters, kernel, kernel), group=groups, strides=[stride] * 2)
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": np.ones(shape, "float32")})
    assert macs(proto, tmp_path) == output.sum()


@quick
@given(batch=st.integers(1, 9), columns=st.integers(1, 9))
def test_operations_are_per_item(tmp_path: Path, batch: int, columns: int) -> None:
    assert macs(linear(columns=columns), tmp_path, WorkloadSpec(batch_size=batch)) == 4 * columns


# --- the trace ----------------------------------------------------------------------------------


def _event(**args: object) -> dict[str, object]:
    shapes = {"input_type_shape": [{"float": [2, 3]}], "output_type_shape": [{"float": [2, 3]}]}
    return {"cat": "Node", "name": "a_kernel_time", "args": {"op_name": "Relu", **shapes, **args}}


def test_a_trace_is_read_from_its_kernels_alone(tmp_path: Path) -> None:
    other = [{"cat": "Session", "name": "model_run", "args": {}}, {"cat": "Node", "name": "a_fence_before", "args": {}}]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps([*other, _event(mem_in_use_peak="300"), _event(mem_in_use_peak="200")]))
    assert trace.read(path) == trace.Trace((trace.Executed("Relu", "a", ((2, 3),), ((2, 3),)),) * 2, 300, whole=True)
    path.write_text(json.dumps([_event()]))
    assert trace.read(path).peak is None


def test_a_trace_that_was_cut_off_gives_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_EVENTS", 10)
    missing = counted(_loop(20), tmp_path).measurements["macs"]
    assert isinstance(missing, Missing)
    assert "more than 10 steps" in missing.reason


def test_an_arena_that_tells_nothing_is_missing() -> None:
    missing = onnx_session._activation_memory(trace.Trace((), None, whole=True))
    assert isinstance(missing, Missing)
    assert missing.kind == "unavailable"


def test_activation_memory_grows_with_the_activations_and_repeats(tmp_path: Path) -> None:
    def peak(size: int) -> float:
        nodes = [op("Exp", ["x"], ["h"]), op("Sin", ["h"], ["y"])]
        found = counted(model(nodes, [value("x", (1, size))]), tmp_path).measurements["activation_memory"]
        assert isinstance(found, Measurement)
        return found.value

    # two float32 tensors live at once
    assert peak(1 << 16) == peak(1 << 16)
    assert 2 * 4 * (1 << 20) <= peak(1 << 20) < 2 * 4 * (1 << 20) + (1 << 16)


def test_weights_in_external_data_count_too(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.ones((4, 3), "float32").tobytes())
    path = external(tmp_path / "model.onnx", "w.bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        found = onnx_session.count(CountJob(path, WorkloadSpec()), lambda _: None)
    values = {name: item.value for name, item in found.measurements.items() if isinstance(item, Measurement)}
    assert values["macs"] == values["params"] == 12
    assert values["size"] == Path(path).stat().st_size + 48
    assert [file.path for file in found.files] == ["model.onnx", "w.bin"]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["model.onnx", "w.bin"]
