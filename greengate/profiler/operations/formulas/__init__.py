"""FORMULAS: multiply-accumulates of each operator that computes them, from the shapes of one execution.

One MAC is one multiplication whose product is added to a sum. Bias additions, gates, softmax and scales inside such an
operator are element-wise, counted in BESIDE and never as MACs.
"""

from __future__ import annotations

from greengate.profiler.operations.formulas.attention import (
    beside,
    beside_flexible,
    decoding,
    flexible,
    grouped,
    macs,
    multi_head,
    packed,
    packed_multi_head,
    projecting,
    projections,
    standard,
)
from greengate.profiler.operations.formulas.classic import (
    beside_linear,
    beside_support,
    linear,
    support_classifier,
    support_regressor,
)
from greengate.profiler.operations.formulas.convolutions import (
    beside_convolution,
    beside_deformed,
    convolution,
    transposed_convolution,
)
from greengate.profiler.operations.formulas.experts import (
    beside_experts,
    beside_quantised_experts,
    experts,
    quantised_experts,
)
from greengate.profiler.operations.formulas.kinds import Attributes as Attributes
from greengate.profiler.operations.formulas.kinds import Formula as Formula
from greengate.profiler.operations.formulas.kinds import biased, elements, nothing
from greengate.profiler.operations.formulas.product import (
    affine_grid,
    beside_dynamic,
    beside_general,
    beside_integer,
    beside_packed,
    determinant,
    distances,
    fused_product,
    general_product,
    inverse,
    matrix_product,
)
from greengate.profiler.operations.formulas.recurrence import (
    beside_linear_attention,
    beside_recurrent,
    linear_attention,
    recurrent,
)
from greengate.profiler.operations.formulas.summation import beside_einsum, einsum
from greengate.profiler.operations.formulas.transforms import beside_short_fourier, fourier, short_fourier
from greengate.profiler.operations.trace import NotUnderstood as NotUnderstood

_MS = "com.microsoft"
_ML = "ai.onnx.ml"
_OWN_ATTENTION = projecting(mask=3, past=4, bias=5)
_QUANTISED_ATTENTION = projecting(mask=5, past=8, bias=None)

#: (domain, operator) to the formula of its MACs and to that of its element-wise work. Numbers are positions of inputs.
_ROWS: dict[tuple[str, str], tuple[Formula, Formula]] = {
    ("", "Conv"): (convolution(1), beside_convolution(2)),
    ("", "ConvInteger"): (convolution(1), nothing),
    ("", "QLinearConv"): (convolution(3), beside_convolution(8, requantised=True)),
    (_MS, "FusedConv"): (convolution(1), beside_convolution(2)),
    (_MS, "NhwcConv"): (convolution(1), beside_convolution(2)),
    (_MS, "NhwcFusedConv"): (convolution(1), beside_convolution(2)),
    (_MS, "QLinearConv"): (convolution(3), beside_convolution(8, requantised=True)),
    ("com.microsoft.nchwc", "Conv"): (convolution(1), beside_convolution(2)),
    ("com.ms.internal.nhwc", "Conv"): (convolution(1), beside_convolution(2)),
    ("com.ms.internal.nhwc", "QLinearConv"): (convolution(3), beside_convolution(8, requantised=True)),
    ("", "CausalConvWithState"): (convolution(1), beside_convolution(2)),
    (_MS, "CausalConvWithState"): (convolution(1), beside_convolution(2)),
    ("", "DeformConv"): (convolution(1), beside_deformed),
    ("", "ConvTranspose"): (transposed_convolution, biased(2)),
    (_MS, "ConvTransposeWithDynamicPads"): (transposed_convolution, biased(3)),
    ("com.ms.internal.nhwc", "ConvTranspose"): (transposed_convolution, biased(2)),
    ("", "MatMul"): (matrix_product, nothing),
    ("", "MatMulInteger"): (matrix_product, nothing),
    ("", "QLinearMatMul"): (matrix_product, elements),
    (_MS, "DynamicQuantizeMatMul"): (matrix_product, beside_dynamic),
    (_MS, "MatMulIntegerToFloat"): (matrix_product, beside_integer),
    (_MS, "MatMulInteger16"): (matrix_product, nothing),
    (_MS, "MatMulNBits"): (matrix_product, beside_packed(5)),
    (_MS, "MatMulBnb4"): (matrix_product, beside_packed(3)),
    (_MS, "MatMulFpQ4"): (matrix_product, beside_packed(3)),
    (_MS, "FusedMatMul"): (fused_product, nothing),
    (_MS, "TransposeMatMul"): (fused_product, nothing),
    (_MS, "FusedMatMulActivation"): (fused_product, elements),
    ("", "Gemm"): (general_product, beside_general(2)),
    (_MS, "FusedGemm"): (general_product, beside_general(2)),
    (_MS, "QGemm"): (general_product, beside_general(6, scale=7)),
    (_MS, "GemmFastGelu"): (general_product, beside_general(2)),
    ("", "AffineGrid"): (affine_grid, nothing),
    (_MS, "CDist"): (distances, nothing),
    ("", "Det"): (determinant, nothing),
    (_MS, "Inverse"): (inverse, nothing),
    ("", "Einsum"): (einsum, beside_einsum),
    ("", "LSTM"): (recurrent, beside_recurrent(4, 5, peepholes=7)),
    (_MS, "DynamicQuantizeLSTM"): (recurrent, beside_recurrent(4, 5, peepholes=7, quantised=True)),
    ("", "GRU"): (recurrent, beside_recurrent(3, 5)),
    ("", "RNN"): (recurrent, beside_recurrent(1, 0)),
    ("", "LinearAttention"): (linear_attention, beside_linear_attention),
    (_MS, "LinearAttention"): (linear_attention, beside_linear_attention),
    ("", "Attention"): (macs(standard), beside(standard)),
    ("ai.onnx.preview", "FlexAttention"): (macs(flexible), beside_flexible),
    (_MS, "Attention"): (macs(_OWN_ATTENTION), beside(_OWN_ATTENTION)),
    (_MS, "QAttention"): (macs(_QUANTISED_ATTENTION), beside(_QUANTISED_ATTENTION)),
    (_MS, "MultiHeadAttention"): (macs(multi_head), beside(multi_head)),
    (_MS, "GroupQueryAttention"): (macs(grouped), beside(grouped)),
    (_MS, "PackedAttention"): (macs(packed), beside(packed)),
    (_MS, "PackedMultiHeadAttention"): (macs(packed_multi_head), beside(packed_multi_head)),
    (_MS, "DecoderMaskedMultiHeadAttention"): (macs(decoding), beside(decoding)),
    (_MS, "MoE"): (experts, beside_experts),
    (_MS, "QMoE"): (quantised_experts, beside_quantised_experts),
    ("", "DFT"): (fourier, nothing),
    ("", "STFT"): (short_fourier, beside_short_fourier),
    (_ML, "LinearClassifier"): (linear, beside_linear),
    (_ML, "LinearRegressor"): (linear, beside_linear),
    (_ML, "SVMClassifier"): (support_classifier, beside_support),
    (_ML, "SVMRegressor"): (support_regressor, beside_support),
}

FORMULAS: dict[tuple[str, str], Formula] = {key: row[0] for key, row in _ROWS.items()}
BESIDE: dict[tuple[str, str], Formula] = {key: row[1] for key, row in _ROWS.items()}

#: Those of which a part multiplies numbers of 8 bits or fewer, with the MACs of that part: QAttention's projections are
#: in integers, its scores and sums in floats.
PARTLY_QUANTISED: dict[tuple[str, str], Formula] = {(_MS, "QAttention"): projections(_QUANTISED_ATTENTION)}

#: Operators that multiply numbers of 8 bits or fewer by definition, all or some. QMoE restores its weights to floats.
QUANTISED: frozenset[tuple[str, str]] = frozenset(
    key
    for key in FORMULAS
    if key[1] != "QMoE"
    and (
        key[1].startswith(("Q", "DynamicQuantize"))
        or key[1] in ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat")
    )
)
