"""Mixtures of experts: a router outside says how well each expert suits a token, and the best k compute.

Which experts these are is a matter of values; how many products they take is not: experts are alike, and every token
goes through exactly k of them (com.microsoft MoE and QMoE in onnxruntime's ContribOperators.md).
"""

from __future__ import annotations

import math

from greengate.profiler.operations.formulas.kinds import Attributes, told
from greengate.profiler.operations.trace import Executed, NotUnderstood

_PACKED_BITS = 4


def experts(node: Executed, attributes: Attributes) -> int:
    """Return the MACs of MoE: tokens x k x (numel(W1) + numel(W2) + numel(W3)) / experts.

    X is [T, H] or [B, L, H], W1 [experts, I, H] or twice as wide with its gate, W2 [experts, H, I], the optional gate
    W3 [experts, I, H], at inputs 2, 4 and 6.
    """
    return _routed(node, attributes, (2, 4, 6), 8)


def quantised_experts(node: Executed, attributes: Attributes) -> int:
    """Return the MACs of QMoE: as MoE, with weights of `expert_weight_bits` packed into bytes, at inputs 2, 5 and 8."""
    return _routed(node, attributes, (2, 5, 8), int(told(attributes).get("expert_weight_bits", _PACKED_BITS)))


def _routed(node: Executed, attributes: Attributes, positions: tuple[int, ...], bits: int) -> int:
    each = 0
    for position in positions:
        weight = node.given(position)
        each += math.prod(weight) // weight[0] * 8 // bits if weight else 0
    return _passes(node, attributes) * each


def _passes(node: Executed, attributes: Attributes) -> int:
    """Return tokens x k."""
    return math.prod(node.input(0)[:-1]) * int(told(attributes).get("k", 1))


def beside_experts(node: Executed, attributes: Attributes) -> int:
    """Return the element-wise work of MoE.

    A softmax of 5 operations an expert and token; for each expert that a token goes through its activation, and the
    product with the gate where there is one, of I elements, its biases, and 2 for each element of the weighted sum.
    """
    tokens, hidden = math.prod(node.input(0)[:-1]), node.input(0)[-1]
    first, second, gate = node.input(2), node.input(4), node.given(6)
    inner = math.prod(second[1:]) // hidden
    gated = gate is not None or math.prod(first[1:]) == 2 * inner * hidden
    biases = sum(bias[-1] for bias in (node.given(3), node.given(5), node.given(7)) if bias)
    return 5 * tokens * first[0] + _passes(node, attributes) * (inner * (2 if gated else 1) + biases + 2 * hidden)


def beside_quantised_experts(_: Executed, __: Attributes) -> int:
    """Raise NotUnderstood: weights are restored for the experts that are met, which is a matter of values."""
    raise NotUnderstood("experts whose weights are restored as they are met")
