"""Formulas against what onnxruntime really runs: hand arithmetic on whole graphs, and products counted by their sum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from counted import MS, counted, macs, number, one, op, scales
from graphs import INT32, UINT8, model, relu, value, weight
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from greengate.profile import Missing, WorkloadSpec

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


def _packed_matmul(accuracy: int = 0) -> onnx.ModelProto:
    """Return x [2, 32] times 16 columns of 4 bits in blocks of 16."""
    node = op(
        "MatMulNBits", ["x", "w", "s"], ["y"], domain=MS, K=32, N=16, bits=4, block_size=16, accuracy_level=accuracy
    )
    weights = [weight("w", (16, 2, 8), "uint8"), weight("s", (32,))]
    return model([node], [value("x", (2, 32))], weights, domains={MS: 1})


def _attention(
    kind: str, inputs: list[str], shapes: dict[str, tuple[int, ...]], *more: str, **attributes: object
) -> onnx.ModelProto:
    """Return an attention operator whose first input is fed; the others are weights, `more` are further outputs."""
    domain = str(attributes.pop("domain", MS))
    node = op(kind, inputs, ["y", *more], domain=domain, **attributes)
    weights = [weight(name, shapes[name]) for name in inputs[1:] if name in shapes]
    return model([node], [value(inputs[0], shapes[inputs[0]])], weights, opset=23, domains={MS: 1}, ir_version=11)


EXPERTS: dict[str, tuple[str, list[str], dict[str, tuple[int, ...]], dict[str, object], int]] = {
    # 5 tokens of 8 through 2 of 4 experts, each 16x8 and 8x16: 5 x 2 x 256; the runtime takes either layout
    "rows": ("MoE", ["w1", "", "w2"], {"w1": (4, 16, 8), "w2": (4, 8, 16)}, {"k": 2}, 2560),
    "columns": ("MoE", ["w1", "", "w2"], {"w1": (4, 8, 16), "w2": (4, 16, 8)}, {"k": 2}, 2560),
    # one expert each, its gate in W1: 5 x (256 + 128)
    "gate inside": (
        "MoE",
        ["w1", "", "w2"],
        {"w1": (4, 32, 8), "w2": (4, 8, 16)},
        {"k": 1, "activation_type": "swiglu", "swiglu_fusion": 1},
        1920,
    ),
    # the gate as a third weight, which the CPU does not run: counted all the same
    "gate": (
        "MoE",
        ["w1", "", "w2", "", "w3"],
        {"w1": (4, 16, 8), "w2": (4, 8, 16), "w3": (4, 16, 8)},
        {"k": 1, "activation_type": "silu"},
        1920,
    ),
    # 4 bits, two in a byte: 8 x 16 bytes are 16 x 16 weights
    "4 bits": (
        "QMoE",
        ["w1", "s1", "", "w2", "s2"],
        {"w1": (4, 16, 8), "s1": (4, 16), "w2": (4, 16, 8), "s2": (4, 16)},
        {"k": 2, "expert_weight_bits": 4},
        5 * 2 * 512,
    ),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_by_hand(name: str, tmp_path: Path) -> None:
    kind, names, shapes, attributes, expected = EXPERTS[name]
    wide = 16 if kind == "QMoE" else 8
    node = op(kind, ["x", "r", *names], ["h"], domain=MS, **{"activation_type": "relu", **attributes})
    weights = [
        weight(n, shape, "uint8" if kind == "QMoE" and n[0] == "w" else "float32") for n, shape in shapes.items()
    ]
    nodes = [node, op("MatMul", ["h", "last"], ["y"])]
    proto = model(nodes, [value("x", (5, wide)), value("r", (5, 4))], [*weights, weight("last", (wide, 1))])
    proto.opset_import.add(domain=MS, version=1)
    found = counted(proto, tmp_path)
    assert number(found, "macs") == expected + 5 * wide
    assert (found.unrun is not None) == (name == "gate")
    assert number(found, "params") == sum(np.prod(shape) for shape in shapes.values()) + wide + (
        2 * 4 * 16 * 8 if kind == "QMoE" else 0  # each byte is two
    )
    work = found.measurements["elementwise_ops"]
    assert isinstance(work, Missing) == (kind == "QMoE")
    if kind == "QMoE":
        assert number(found, "quantized_share") == 0


def _grouped() -> onnx.ModelProto:
    """Return 5 new and 2 past keys in one head, which 3 heads of queries share."""
    names = ["q", "k", "v", "pk", "pv", "lengths", "total"]
    node = op("GroupQueryAttention", names, ["y", "ck", "cv"], domain=MS, num_heads=3, kv_num_heads=1)
    weights = [weight("k", (1, 5, 8)), weight("v", (1, 5, 8)), weight("pk", (1, 1, 2, 8)), weight("pv", (1, 1, 2, 8))]
    weights += [numpy_helper.from_array(np.array([6], "int32"), "lengths")]
    weights += [numpy_helper.from_array(np.array(7, "int32"), "total")]
    return model([node], [value("q", (1, 5, 24))], weights, ("y", "ck", "cv"), domains={MS: 1})


def _quantised_attention() -> onnx.ModelProto:
    names = ["x", "w", "b", "x_s", "w_s", "", "x_z", "w_z"]
    node = op("QAttention", names, ["y"], domain=MS, num_heads=3)
    weights = [weight("w", (8, 36), "int8"), weight("b", (36,)), *scales("x"), *scales("w", zero="int8")]
    return model([node], [value("x", (2, 5, 8), UINT8)], weights, domains={MS: 1})


def _quantised_lstm() -> onnx.ModelProto:
    names = ["x", "w", "r", "", "", "", "", "", "w_s", "w_z", "r_s", "r_z"]
    node = op("DynamicQuantizeLSTM", names, ["y"], domain=MS, hidden_size=4)
    weights = [weight("w", (1, 3, 16), "int8"), weight("r", (1, 4, 16), "int8")]
    for name in ("w", "r"):
        weights += [weight(f"{name}_s", (1,)), numpy_helper.from_array(np.zeros(1, "int8"), f"{name}_z")]
    return model([node], [value("x", (5, 2, 3))], weights, domains={MS: 1})


def _fourier(axis: int) -> onnx.ModelProto:
    nodes = [op("DFT", ["x", "", "axis"], ["y"])]
    return model(nodes, [value("x", (3, 8, 4, 1))], [numpy_helper.from_array(np.array(axis), "axis")], opset=20)


def _short_fourier() -> onnx.ModelProto:
    nodes = [op("STFT", ["x", "step", "", "length"], ["y"])]
    weights = [numpy_helper.from_array(np.array(size), name) for name, size in (("step", 16), ("length", 16))]
    return model(nodes, [value("x", (2, 64, 1))], weights)


def _classic(kind: str, outputs: tuple[str, ...], **attributes: object) -> onnx.ModelProto:
    node = op(kind, ["x"], list(outputs), domain="ai.onnx.ml", **attributes)
    told = [value(outputs[0], None, TensorProto.INT64), *outputs[1:]] if len(outputs) > 1 else outputs
    return model([node], [value("x", (4, 3))], outputs=told, domains={"ai.onnx.ml": 3})


HEADS = {"x": (2, 5, 12), "k": (2, 7, 12), "v": (2, 7, 12)}
CLASSIFIER = {"classlabels_ints": [0, 1], "coefficients": [1.0] * 6, "intercepts": [0.0, 0.0]}
VECTORS = {"coefficients": [1.0] * 5, "support_vectors": [1.0] * 15, "n_supports": 5, "rho": [0.5]}

MORE_CASES = {
    # 2x16 outputs, K = 32
    "MatMulNBits": (_packed_matmul(), 1024),
    # 7 keys x (120 + 120)
    "MultiHeadAttention": (_attention("MultiHeadAttention", ["x", "k", "v"], HEADS, num_heads=3), 1680),
    # the gaps are a bias, masks, and then 4 past keys of 3 heads: 11 keys
    "MultiHeadAttention, gaps": (
        _attention(
            "MultiHeadAttention",
            ["x", "k", "v", "", "", "", "pk", "pv"],
            HEADS | {"pk": (2, 3, 4, 4), "pv": (2, 3, 4, 4)},
            num_heads=3,
        ),
        11 * 240,
    ),
    "Attention": (
        _attention("Attention", ["x", "k", "v"], HEADS, domain="", q_num_heads=3, kv_num_heads=3),
        1680,
    ),
    # the mask is not given, the past is: 4 + 7 keys
    "Attention, gaps": (
        _attention(
            "Attention",
            ["x", "k", "v", "", "pk", "pv"],
            HEADS | {"pk": (2, 3, 4, 4), "pv": (2, 3, 4, 4)},
            "present_k",
            "present_v",
            domain="",
            q_num_heads=3,
            kv_num_heads=3,
        ),
        11 * 240,
    ),
    # 10 tokens x 8x36, then 5 keys x (120 + 120)
    "com.microsoft Attention": (
        _attention("Attention", ["x", "w", "b"], {"x": (2, 5, 8), "w": (8, 36), "b": (36,)}, num_heads=3),
        4080,
    ),
    "QAttention": (_quantised_attention(), 4080),
    # 7 keys x (120 + 120)
    "GroupQueryAttention": (_grouped(), 1680),
    "DynamicQuantizeLSTM": (_quantised_lstm(), 1120),
    # 3 x 4 transforms of 8, then 3 x 8 of 4
    "DFT along 1": (_fourier(1), 12 * 48),
    "DFT along -2": (_fourier(-2), 24 * 16),
    # 4 frames of 2 signals: 8 x 2 x 16 x 4
    "STFT": (_short_fourier(), 1024),
    # 5 matrices, 9 + 4 + 1 each
    "Det": (one("Det", (5, 4, 4)), 70),
    # 2 x 4 distances of 3
    "CDist": (one("CDist", (2, 3), (4, 3), domain=MS, metric="euclidean"), 24),
    "Inverse": (
        model(
            [op("Inverse", ["e"], ["i"], domain=MS), op("Add", ["x", "i"], ["y"])],
            [value("x", (1, 3, 3))],
            [numpy_helper.from_array(np.eye(3, dtype="float32")[None], "e")],
            domains={MS: 1},
        ),
        27,
    ),
    # 1x8x6x6 outputs of 27
    "DeformConv": (one("DeformConv", (1, 3, 8, 8), (8, 3, 3, 3), (1, 18, 6, 6), opset=19), 7776),
    "TransposeMatMul": (one("TransposeMatMul", (3, 2), (3, 5), domain=MS, transA=1), 30),
    # 4 items x 6 coefficients
    "LinearClassifier": (_classic("LinearClassifier", ("y", "scores"), **CLASSIFIER), 24),
    "LinearRegressor": (_classic("LinearRegressor", ("y",), coefficients=[1.0] * 6, targets=2), 24),
    # 4 items x 5 vectors x (3 + 1)
    "SVMRegressor": (_classic("SVMRegressor", ("y",), kernel_type="RBF", kernel_params=[1.0, 0.0, 3.0], **VECTORS), 80),
}


@pytest.mark.parametrize("name", MORE_CASES)
def test_more_formulas_by_hand(name: str, tmp_path: Path) -> None:
    proto, expected = MORE_CASES[name]
    assert macs(proto, tmp_path) == expected


# --- products counted by their sum --------------------------------------------------------------

small = st.integers(1, 4)
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(groups=small, channels=small, filters=small, kernel=st.integers(1, 3), size=st.integers(3, 6))
def test_a_convolution_by_counting_products(
    tmp_path: Path, *, groups: int, channels: int, filters: int, kernel: int, size: int
) -> None:
    """The oracle multiplies ones: every output of an unpadded convolution of ones is its number of products."""
    proto = one("Conv", (1, groups * channels, size, size), (groups * filters, channels, kernel, kernel), group=groups)
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
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": np.ones(shape, "float32")})
    assert macs(proto, tmp_path) == output.sum()


@quick
@given(st.data())
def test_einsum_by_counting_products(tmp_path: Path, data: st.DataObject) -> None:
    """Operands of ones: each output is the number of products behind it, where no index is summed alone."""
    sizes = {letter: data.draw(small) for letter in "ijkb"}
    equation = data.draw(
        st.sampled_from(["ij,jk->ik", "bij,bjk->bik", "bij,jk->ikb", "ibj,kbj->bik", "ij,ij->", "bi,bi->b"])
    )
    left, right = equation.split("->")[0].split(",")
    shapes = [tuple(sizes[letter] for letter in term) for term in (left, right)]
    proto = one("Einsum", shapes[0], shapes[1], equation=equation)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": np.ones(shapes[0], "float32")})
    assert macs(proto, tmp_path) == output.sum()


@quick
@given(batch=st.integers(1, 9), columns=st.integers(1, 9))
def test_operations_are_per_item(tmp_path: Path, batch: int, columns: int) -> None:
    proto = model(
        [op("MatMul", ["x", "w"], ["h"]), op("Relu", ["h"], ["y"])],
        [value("x", ("batch", 4))],
        [weight("w", (4, columns))],
    )
    found = counted(proto, tmp_path, WorkloadSpec(batch_size=batch))
    assert (number(found, "macs"), number(found, "elementwise_ops")) == (4 * columns, columns)
