"""FORMULAS: multiply-accumulates of each operator that computes them, from the shapes of one execution.

One MAC is one multiplication whose product is added to a sum. Bias additions, gates, activations and scales of
quantised operators are element-wise and not counted. Padding is counted as the zeros it multiplies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from greengate.profiler.operations.trace import Executed, Shape

#: A node's attributes; None where the node behind an execution cannot be told.
Attributes = Mapping[str, Any] | None
Formula = Callable[[Executed, Attributes], int]


class NotUnderstood(Exception):  # noqa: N818 - an answer, not an accident
    """A formula exists, but not for this form of the operator."""


def convolution(weight: int) -> Formula:
    """MACs of a convolution whose weight [M, C/groups, k...] stands at `weight` among the inputs.

    Each output element sums C/groups x prod(k) products: numel(Y) x C/groups x prod(k). ONNX operator Conv.
    """

    def formula(node: Executed, _: Attributes) -> int:
        return math.prod(node.outputs[0]) * math.prod(node.inputs[weight][1:])

    return formula


def transposed_convolution(node: Executed, _: Attributes) -> int:
    """MACs of ConvTranspose with X [N, C, d...] and W [C, M/groups, k...].

    Each input element is multiplied into M/groups x prod(k) outputs: numel(X) x M/groups x prod(k); products that
    fall on cropped padding are counted.
    """
    return math.prod(node.inputs[0]) * math.prod(node.inputs[1][1:])


def matrix_product(right: int) -> Formula:
    """MACs of A [..., M, K] times B at index `right`: numel(Y) x K, with numpy's rules for vectors and broadcasting."""

    def formula(node: Executed, _: Attributes) -> int:
        if not node.inputs[right]:
            raise NotUnderstood("a scalar operand")
        return math.prod(node.outputs[0]) * node.inputs[0][-1]

    return formula


def general_product(right: int) -> Formula:
    """MACs of Gemm: Y [M, N] = A' B' with A' [M, K]; transA does not matter, as M x K = numel(A): M x N x K."""

    def formula(node: Executed, _: Attributes) -> int:
        if len(node.inputs[right]) != 2:
            raise NotUnderstood("an operand that is not a matrix")
        return math.prod(node.inputs[0]) * node.outputs[0][1]

    return formula


def fused_product(node: Executed, attributes: Attributes) -> int:
    """MACs of com.microsoft FusedMatMul: numel(Y) x K, where transA and transBatchA say which dimension of A is K."""
    if attributes is None:
        raise NotUnderstood("attributes that cannot be told")
    left = node.inputs[0]
    if not attributes.get("transA", 0):
        return math.prod(node.outputs[0]) * left[-1]
    return math.prod(node.outputs[0]) * (left[0] if attributes.get("transBatchA", 0) else left[-2])


def recurrent(node: Executed, _: Attributes) -> int:
    """MACs of LSTM, GRU and RNN with X [T, N, I], W [D, G H, I] and R [D, G H, H], G gates, D directions.

    Each of T x N steps multiplies x by W and h by R: T x N x (numel(W) + numel(R)). Layout 1 swaps T and N only.
    The full length is counted also where `sequence_lens` ends some sequences early.
    """
    data, weight, recurrence = node.inputs[:3]
    return data[0] * data[1] * (math.prod(weight) + math.prod(recurrence))


def einsum(node: Executed, attributes: Attributes) -> int:
    """MACs of Einsum over two operands: the product of all index sizes that take part in the multiplication.

    An index of one operand alone that the output lacks is summed before the product and does not take part. Without
    an index to contract the result is element-wise: 0. One operand only moves or sums: 0. Others are not understood.
    """
    if attributes is None or "equation" not in attributes:
        raise NotUnderstood("an equation that cannot be told")
    left, arrow, result = attributes["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) == 1:
        return 0
    if len(terms) != 2 or "." in left or any(len(set(term)) < len(term) for term in terms):
        raise NotUnderstood(f"the equation {attributes['equation']!r}")
    first, second = terms
    if not arrow:
        result = "".join(sorted(letter for letter, times in Counter(first + second).items() if times == 1))
    sizes = _sizes(terms, node.inputs)
    kept = [letter for letter in sizes if letter in result or (letter in first and letter in second)]
    return math.prod(sizes[letter] for letter in kept) if set(first) & set(second) - set(result) else 0


def _sizes(terms: list[str], shapes: tuple[Shape, ...]) -> dict[str, int]:
    """Return the size of every index; 1 broadcasts."""
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
    return sizes


_MS = "com.microsoft"

#: (domain, operator) to formula. The numbers are positions of the weight among the inputs.
FORMULAS: dict[tuple[str, str], Formula] = {
    ("", "Conv"): convolution(1),
    ("", "ConvInteger"): convolution(1),
    ("", "QLinearConv"): convolution(3),
    (_MS, "FusedConv"): convolution(1),
    (_MS, "QLinearConv"): convolution(3),
    ("", "ConvTranspose"): transposed_convolution,
    ("", "MatMul"): matrix_product(1),
    ("", "MatMulInteger"): matrix_product(1),
    ("", "QLinearMatMul"): matrix_product(3),
    (_MS, "DynamicQuantizeMatMul"): matrix_product(1),
    (_MS, "MatMulIntegerToFloat"): matrix_product(1),
    (_MS, "FusedMatMul"): fused_product,
    ("", "Gemm"): general_product(1),
    (_MS, "QGemm"): general_product(3),
    (_MS, "FusedGemm"): general_product(1),
    ("", "LSTM"): recurrent,
    ("", "GRU"): recurrent,
    ("", "RNN"): recurrent,
    ("", "Einsum"): einsum,
}
