"""TORCH_FORMULAS: multiply-accumulates of PyTorch's operators, from the tensors of one dispatched call.

One MAC is one multiplication of real numbers whose product is added to a sum, so that a product of complex ones is
four; bias additions, gates, softmax and scales are element-wise and not counted. Keys are the dispatcher's names, so
that this table needs no torch. What it lacks is looked up in `torch.utils.flop_counter`, whose formulas give FLOPs (two
for each MAC); that table has no formula for attention on a CPU, for recurrent layers, for products with a vector, nor
for quantised operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from greengate.profiler.operations.formulas.transforms import transform
from greengate.profiler.operations.trace import NotUnderstood

#: From the call's arguments, in the order of the operator's schema, and its result, to MACs.
TorchFormula = Callable[[Sequence[Any], Any], int]


def real(*operands: Any) -> int:
    """Return the products of real numbers in one product: 1, 2 where one operand is complex, 4 where both are."""
    return int(math.prod(2 if item.is_complex() else 1 for item in operands))


def product(left: int) -> TorchFormula:
    """MACs of a matrix product whose left operand [..., K] is argument `left`: numel(Y) x K; vectors too.

    With complex numbers 4 times that.
    """

    def formula(args: Sequence[Any], out: Any) -> int:
        return int(math.prod(out.shape)) * int(args[left].shape[-1]) * real(args[left], args[left + 1])

    return formula


def packed_product(args: Sequence[Any], out: Any) -> int:
    """MACs of quantized::linear with X [..., K] and a packed weight: numel(Y) x K."""
    return int(math.prod(out.shape)) * int(args[0].shape[-1])


def summed_product(args: Sequence[Any], _: Any) -> int:
    """MACs of addbmm, which adds up B products of [M, K] by [K, N]: B x M x K x N, complex ones 4 times that."""
    return int(math.prod(args[1].shape)) * int(args[2].shape[-1]) * real(args[1], args[2])


def grouped_product(offsets: int) -> TorchFormula:
    """MACs of the products of groups, X by W: M x K x N for all groups together; where both have groups, for each.

    The operand without groups of its own is cut into them by argument `offsets`, along M where it is X [M, K], along N
    where it is W [K, N], and along K where it is both: then each group multiplies its own part of K, and numel(Y) is
    that many times M x N. What lies beyond the last offset is not multiplied.
    """

    def formula(args: Sequence[Any], _: Any) -> int:
        left, right = args[0], args[1]
        rows, inner, columns = int(left.shape[-2]), int(left.shape[-1]), int(right.shape[-1])
        if len(left.shape) == len(right.shape) == 3:
            return int(left.shape[0]) * rows * inner * columns
        groups = args[offsets]
        reached = int(groups[-1]) if len(groups) else 0
        if len(left.shape) == len(right.shape):
            return rows * reached * columns
        return reached * inner * (columns if len(left.shape) == 2 else rows)

    return formula


def convolution(args: Sequence[Any], out: Any) -> int:
    """MACs of aten::convolution with weight [M, C/groups, k...]: numel(Y) x C/groups x prod(k).

    Transposed, with weight [C, M/groups, k...]: numel(X) x M/groups x prod(k), cropped padding included.
    """
    source, weight, transposed = args[0], args[1], bool(args[6])
    return int(math.prod((source if transposed else out).shape)) * int(math.prod(weight.shape[1:]))


def attention(args: Sequence[Any], _: Any) -> int:
    """MACs of scaled dot-product attention, Q [..., L, E], K [..., S, E], V [..., S, D]: prod(...) x L x S x (E + D).

    Q K' and its product with V; the scores under a mask or beyond the causal diagonal are counted, as in a plain
    product. Heads are those of Q, so that heads shared among K and V (grouped queries) count as often as they are used.
    """
    query, key, value = (tuple(item.shape) for item in args[:3])
    return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def fused_attention(args: Sequence[Any], _: Any) -> int:
    """MACs of aten::_native_multi_head_attention with Q [B, L, E], K and V [B, S, E] and square projections E x E.

    Projections of Q, K, V and of the result, then attention: B x ((2 L + 2 S) x E x E + 2 x L x S x E).
    """
    batch, rows, width = args[0].shape
    columns = args[1].shape[1]
    return int(batch * (2 * (rows + columns) * width * width + 2 * rows * columns * width))


def fused_encoder_layer(args: Sequence[Any], _: Any) -> int:
    """MACs of aten::_transformer_encoder_layer_fwd, which tracing in evaluation mode leaves behind.

    X [B, L, E] by the packed projection, the output projection and both of the feed-forward part, then attention:
    B x L x their elements + 2 x B x L x L x E.
    """
    batch, rows, width = args[0].shape
    weights = _matrices((args[3], args[5], args[14], args[16]))
    return int(batch * rows * weights + 2 * batch * rows * rows * width)


def fused_recurrence(args: Sequence[Any], _: Any) -> int:
    """MACs of cuDNN's and MIOpen's LSTM, GRU and RNN: X [T, N, I] or packed [steps, I], weights in argument 1.

    Each of T x N steps multiplies by every weight matrix once: T x N x the elements of all matrices, of every layer,
    direction and projection. Biases are vectors and add nothing.
    """
    return int(math.prod(args[0].shape[:-1])) * _matrices(args[1])


def layer_recurrence(args: Sequence[Any], _: Any) -> int:
    """MACs of one layer of oneDNN's LSTM, GRU or RNN: X [T, N, I], weights in 1 to 4: T x N x their elements."""
    return int(math.prod(args[0].shape[:-1])) * _matrices(args[1:5])


def _matrices(weights: Sequence[Any]) -> int:
    return sum(int(math.prod(item.shape)) for item in weights if len(item.shape) == 2)


def quantised_convolution(args: Sequence[Any], out: Any) -> int:
    """MACs of quantized::conv*: numel(Y) x C/groups x prod(k), with the weight read out of its packed form."""
    unpack = getattr(args[1], "unpack", None)
    if unpack is None:
        raise NotUnderstood("packed weights that cannot be read")
    return int(math.prod(out.shape)) * int(math.prod(unpack()[0].shape[1:]))


def weighted_bag(args: Sequence[Any], _: Any) -> int:
    """MACs of an embedding bag: indices x width where each row has a weight of its own; 0 where rows are summed."""
    weights = args[6] if len(args) > 6 else None
    return 0 if weights is None else int(math.prod(args[1].shape)) * int(args[0].shape[-1])


def distances(args: Sequence[Any], out: Any) -> int:
    """MACs of pairwise distances of rows of K: numel(Y) x K squared differences; other norms than 2: 0."""
    norm = args[2] if len(args) > 2 else 2.0
    return int(math.prod(out.shape)) * int(args[0].shape[-1]) if norm == 2 else 0


def determinant(args: Sequence[Any], _: Any) -> int:
    """MACs of an LU factorisation of n x n matrices: the sum of k^2 for k < n, n(n-1)(2n-1)/6 each.

    Complex ones 4 times that.
    """
    size = int(args[0].shape[-1])
    return int(math.prod(args[0].shape[:-2])) * size * (size - 1) * (2 * size - 1) // 6 * real(args[0], args[0])


def inverse(args: Sequence[Any], _: Any) -> int:
    """MACs of the inverse of n x n matrices by Gauss and Jordan: n^3 each, complex ones 4 times that."""
    return int(math.prod(args[0].shape)) * int(args[0].shape[-1]) * real(args[0], args[0])


def affine_grid(_: Sequence[Any], out: Any) -> int:
    """MACs of a grid of d coordinates, each a product with d + 1 numbers: numel(Y) x (d + 1)."""
    return int(math.prod(out.shape)) * (int(out.shape[-1]) + 1)


def fourier(args: Sequence[Any], out: Any) -> int:
    """MACs of a fast Fourier transform over the axes of argument 1, real input or output transformed as complex.

    One transform along each axis for each of the other elements, counted as for ONNX, see formulas.transforms.
    """
    whole = args[0] if math.prod(args[0].shape) >= math.prod(out.shape) else out
    lengths = [int(whole.shape[axis]) for axis in args[1]]
    return sum(int(math.prod(whole.shape)) // length * transform(length) for length in lengths)


def _aten(names: str, formula: TorchFormula) -> dict[str, TorchFormula]:
    return {f"aten::{name}": formula for name in names.split()}


def _quantised(names: str, formula: TorchFormula) -> dict[str, TorchFormula]:
    return {f"quantized::{name}": formula for name in names.split()}


#: Products that are added to something, which stands before their operands.
_SUMS = "addmm baddbmm addmv _addmm_activation addmm_ baddbmm_ addmv_"
_SUMMED = "addbmm addbmm_"

TORCH_FORMULAS: dict[str, TorchFormula] = (
    _aten("mm bmm mv dot vdot _int_mm _weight_int8pack_mm", product(0))
    | _aten(_SUMS, product(1))
    | _aten("_grouped_mm", grouped_product(2))
    | _aten("_scaled_grouped_mm", grouped_product(4))
    # What transformers runs instead, where _grouped_mm does not take the device or the type.
    | {"transformers::grouped_mm_fallback": grouped_product(2)}
    | _aten(_SUMMED, summed_product)
    | _aten("convolution convolution_overrideable", convolution)
    | _aten(
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_fused_attention_overrideable",
        attention,
    )
    | _aten("_native_multi_head_attention", fused_attention)
    | _aten("_transformer_encoder_layer_fwd", fused_encoder_layer)
    | _aten("_cudnn_rnn miopen_rnn", fused_recurrence)
    | _aten("mkldnn_rnn_layer", layer_recurrence)
    | _aten("_embedding_bag _embedding_bag_forward_only", weighted_bag)
    | _aten("_cdist_forward _euclidean_dist", distances)
    | _aten("_linalg_det", determinant)
    | _aten("linalg_inv_ex", inverse)
    | _aten("affine_grid_generator", affine_grid)
    | _aten("_fft_r2c _fft_c2c _fft_c2r", fourier)
    | _quantised("linear linear_relu linear_dynamic linear_relu_dynamic", packed_product)
    | _quantised("conv1d conv2d conv3d conv1d_relu conv2d_relu conv3d_relu", quantised_convolution)
)

_ADDED = frozenset(f"aten::{name}" for name in f"{_SUMS} {_SUMMED}".split())


def is_narrow(name: str, args: Sequence[Any]) -> bool:
    """Tell whether a counted operator multiplies numbers of 8 bits or fewer: by the types of both its operands.

    Weights of 8 bits by wider numbers are restored to those first. What quantised modules pack is in 8 bits.
    """
    if name.startswith("quantized::"):
        return True
    left = 1 if name in _ADDED else 0
    return all(hasattr(item, "element_size") and item.element_size() == 1 for item in args[left : left + 2])
