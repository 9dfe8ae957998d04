"""Matrix products, in float, in integers, and with packed weights."""

from __future__ import annotations

import math

from greengate.profiler.operations.formulas.kinds import Attributes, Formula, elements, told
from greengate.profiler.operations.trace import Executed, NotUnderstood


def matrix_product(node: Executed, _: Attributes) -> int:
    """MACs of A [..., M, K] times B [..., K, N]: numel(Y) x K, with numpy's rules for vectors and broadcasting.

    ONNX MatMul, MatMulInteger, QLinearMatMul; com.microsoft DynamicQuantizeMatMul, MatMulIntegerToFloat,
    MatMulInteger16, and those whose B is packed, so that only A tells K: MatMulNBits, MatMulBnb4, MatMulFpQ4.
    """
    left = node.input(0)
    if not left:
        raise NotUnderstood("a scalar operand")
    return elements(node) * left[-1]


def general_product(node: Executed, _: Attributes) -> int:
    """MACs of Gemm: Y [M, N] = A' B' with A' [M, K]; transA does not matter, as M x K = numel(A): M x N x K.

    ONNX Gemm; com.microsoft FusedGemm, QGemm, GemmFloat8, GemmFastGelu.
    """
    return math.prod(node.input(0)) * node.output(0)[-1]


def fused_product(node: Executed, attributes: Attributes) -> int:
    """MACs of com.microsoft FusedMatMul: numel(Y) x K, where transA and transBatchA say which dimension of A is K.

    With transBatchA, A is stored [M, batch..., K], or [K, batch..., M] when also transposed. Also TransposeMatMul and
    FusedMatMulActivation.
    """
    kept = told(attributes)
    left = node.input(0)
    if not left:
        raise NotUnderstood("a scalar operand")
    if not kept.get("transA", 0) or len(left) == 1:
        return elements(node) * left[-1]
    return elements(node) * (left[0] if kept.get("transBatchA", 0) else left[-2])


def affine_grid(node: Executed, _: Attributes) -> int:
    """MACs of AffineGrid: every place, as [x, y, 1] or [x, y, z, 1], times theta [N, d, d + 1]: numel(Y) x (d + 1)."""
    return elements(node) * node.input(0)[-1]


def distances(node: Executed, _: Attributes) -> int:
    """MACs of com.microsoft CDist: A [M, K] to B [N, K], each a sum of K squared differences: M x N x K."""
    return elements(node) * node.input(0)[-1]


def determinant(node: Executed, _: Attributes) -> int:
    """MACs of Det by LU factorisation of n x n matrices: the sum of k^2 for k < n, n(n-1)(2n-1)/6 each.

    Golub and Van Loan, Matrix Computations, 3.2: step k updates an (n-k) x (n-k) block by an outer product.
    """
    size = node.input(0)[-1]
    return math.prod(node.input(0)[:-2]) * (size * (size - 1) * (2 * size - 1) // 6)


def inverse(node: Executed, _: Attributes) -> int:
    """MACs of com.microsoft Inverse: n^3 for each n x n matrix (Golub and Van Loan, Matrix Computations, 3.4)."""
    return math.prod(node.input(0)) * node.input(0)[-1]


def beside_general(bias: int, scale: int | None = None) -> Formula:
    """One addition per output element for a bias, one operation for a fused activation, one for an output scale."""

    def formula(node: Executed, attributes: Attributes) -> int:
        fused = attributes is not None and bool(attributes.get("activation"))
        scaled = scale is not None and node.given(scale) is not None
        return elements(node) * ((node.given(bias) is not None) + fused + scaled)

    return formula


def beside_dynamic(node: Executed, _: Attributes) -> int:
    """Element-wise work of com.microsoft DynamicQuantizeMatMul.

    A is quantised (3 per element, see DynamicQuantizeLinear), the output scaled, and a bias (input 4) added.
    """
    return 3 * math.prod(node.input(0)) + elements(node) * (1 + (node.given(4) is not None))


def beside_integer(node: Executed, _: Attributes) -> int:
    """Element-wise work of com.microsoft MatMulIntegerToFloat: the output scaled, and a bias (input 6) added."""
    return elements(node) * (1 + (node.given(6) is not None))


def beside_packed(bias: int) -> Formula:
    """Each of K x N packed weights is restored once by one operation; a bias is added once per output element."""

    def formula(node: Executed, _: Attributes) -> int:
        left, out = node.input(0), node.output(0)
        return left[-1] * out[-1] + (elements(node) if node.given(bias) is not None else 0)

    return formula
