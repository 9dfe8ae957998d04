"""Attention: q times k for every pair of positions, then the weights times v, after projections where they are inside.

A causal mask, a window or a padding mask hides scores and saves nothing here: all of them are counted, as a product of
matrices would compute them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from greengate.profiler.operations.formulas.kinds import Attributes, Formula, told
from greengate.profiler.operations.trace import Executed, NotUnderstood, Shape


@dataclass(frozen=True)
class Sizes:
    """One attention: elements of all queries and of the output, and how many keys each query meets.

    MACs are keys x (elements of q + elements of y): each query element meets `keys` keys, each output element sums
    `keys` values. `heads` x `rows` x `keys` are the scores. `projected` are MACs of projections inside the operator,
    `biases` the additions that go with them, `masked` says whether something is added to the scores.
    """

    queries: int
    outputs: int
    keys: int
    heads: int
    rows: int
    projected: int = 0
    biases: int = 0
    masked: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.projected + self.keys * (self.queries + self.outputs)

    @property
    def beside(self) -> int:
        """Element-wise work: per score a scale and a softmax of 5 operations, 1 more where a mask is added."""
        return self.biases + self.heads * self.rows * self.keys * (7 if self.masked else 6)


Reader = Callable[[Executed, Attributes], Sizes]


def macs(read: Reader) -> Formula:
    """Return the formula of an attention operator's MACs."""
    return lambda node, attributes: read(node, attributes).macs


def projections(read: Reader) -> Formula:
    """Return the formula of the MACs of projections inside an attention operator."""
    return lambda node, attributes: read(node, attributes).projected


def beside(read: Reader) -> Formula:
    """Return the formula of an attention operator's element-wise work."""
    return lambda node, attributes: read(node, attributes).beside


def standard(node: Executed, attributes: Attributes) -> Sizes:
    """Read ONNX Attention: Q, K, V of [B, heads, L, D], or [B, L, heads x D]; past K [B, heads, P, D] at input 4.

    MACs: (L_k + P) x (numel(Q) + numel(Y)). Mask at input 3.
    """
    query, key = node.input(0), node.input(1)
    past = node.given(4)
    flat = len(query) == 3
    heads = int(told(attributes).get("q_num_heads", 0)) if flat else query[1]
    rows = query[0] * query[1 if flat else 2]
    keys = key[1 if len(key) == 3 else 2] + (past[2] if past else 0)
    masked = node.given(3) is not None
    return Sizes(math.prod(query), math.prod(node.output(0)), keys, heads, rows, masked=masked)


def flexible(node: Executed, _: Attributes) -> Sizes:
    """Read ai.onnx.preview FlexAttention: Q [B, heads, L, D], K [B, heads_kv, S, D], V [B, heads_kv, S, D_v].

    MACs: S x (numel(Q) + numel(Y)). What graphs inside do to scores and weights is element-wise.
    """
    query, key = node.input(0), node.input(1)
    return Sizes(math.prod(query), math.prod(node.output(0)), key[2], query[1], query[0] * query[2])


def beside_flexible(node: Executed, attributes: Attributes) -> int:
    """Return its element-wise work. Raises NotUnderstood where a graph inside changes scores or weights."""
    if {"score_mod", "prob_mod"}.intersection(told(attributes)):
        raise NotUnderstood("a graph inside that changes every score")
    return flexible(node, attributes).beside


def projecting(mask: int, past: int, bias: int | None) -> Reader:
    """Read com.microsoft Attention and QAttention: X [B, L, I] times W [I, D_q + D_k + D_v], then attention.

    Past keys and values [2, B, heads, P, D] stand at input `past`, a mask at `mask`, an additive bias at `bias`.
    MACs: B L x numel(W) + (L + P) x B L x (D_q + D_v). D_q = D_k unless qkv_hidden_sizes says otherwise.
    """

    def read(node: Executed, attributes: Attributes) -> Sizes:
        kept = told(attributes)
        if kept.get("past_present_share_buffer", 0):
            raise NotUnderstood("a shared cache, whose fill no shape tells")
        data, weight, out = node.input(0), node.input(1), node.output(0)
        before = node.given(past)
        tokens = data[0] * data[1]
        hidden = kept.get("qkv_hidden_sizes") or (weight[1] // 3,)
        keys = data[1] + (before[3] if before else 0)
        biases = tokens * weight[1] if node.given(2) is not None else 0
        masked = node.given(mask) is not None or (bias is not None and node.given(bias) is not None)
        heads = int(kept.get("num_heads", 0))
        return Sizes(
            tokens * hidden[0], math.prod(out), keys, heads, tokens, tokens * math.prod(weight), biases, masked
        )

    return read


def multi_head(node: Executed, attributes: Attributes) -> Sizes:
    """Read com.microsoft MultiHeadAttention: query [B, L, D], or q, k and v packed as [B, L, heads, 3, D].

    Key is [B, L_k, D], or [B, heads, L_k, D] as cached, or packed with value as [B, L_k, heads, 2, D]; past key
    [B, heads, P, D] at input 6. MACs: (L_k + P) x (numel(q) + numel(Y)). Bias at 3, masks at 4 and 5.
    """
    kept = told(attributes)
    if node.given(8) is not None:
        raise NotUnderstood("a shared cache, whose fill no shape tells")
    query, key, past = node.input(0), node.given(1), node.given(6)
    packed = len(query) == 5
    keys = query[1] if key is None else key[2 if len(key) == 4 else 1]
    keys += past[2] if past else 0
    outputs = math.prod(node.output(0))
    queries = math.prod(query) // (3 if packed else 1)
    biases = 3 * queries if node.given(3) is not None else 0
    masked = node.given(4) is not None or node.given(5) is not None
    return Sizes(queries, outputs, keys, int(kept.get("num_heads", 0)), query[0] * query[1], 0, biases, masked)


def grouped(node: Executed, attributes: Attributes) -> Sizes:
    """Read com.microsoft GroupQueryAttention: as many query elements as output elements, Y [B, L, heads x D].

    Keys are those of the present cache [B, heads_kv, T, D], output 1, which holds past and new ones: MACs 2 T x
    numel(Y). A cache that is as long before as after is shared between calls, and no shape tells how full it is.
    """
    kept = told(attributes)
    query, past = node.input(0), node.given(3)
    present: Shape | None = node.outputs[1] if len(node.outputs) > 1 else None
    keys = present[2] if present else query[1] + (past[2] if past else 0)
    if past and past[2] and past[2] == keys:
        raise NotUnderstood("a shared cache, whose fill no shape tells")
    outputs = math.prod(node.output(0))
    masked = node.given(10) is not None
    return Sizes(outputs, outputs, keys, int(kept.get("num_heads", 0)), query[0] * query[1], masked=masked)


def packed(node: Executed, attributes: Attributes) -> Sizes:
    """Read com.microsoft PackedAttention: tokens [T, I] of B sequences of at most S, without their padding.

    MACs T x numel(W) + S x T x (D_q + D_v), where no sequence is padded, T = B S (token offsets [B, S] at input 3).
    Else the sum of squared lengths is not told by shapes.
    """
    kept = told(attributes)
    tokens, weight = node.input(0)[0], node.input(1)
    length = _unpadded(tokens, node.input(3))
    hidden = kept.get("qkv_hidden_sizes") or (weight[1] // 3,)
    outputs, masked = math.prod(node.output(0)), node.given(5) is not None
    projected, biases = tokens * math.prod(weight), tokens * weight[1]
    return Sizes(tokens * hidden[0], outputs, length, int(kept.get("num_heads", 0)), tokens, projected, biases, masked)


def packed_multi_head(node: Executed, attributes: Attributes) -> Sizes:
    """Read com.microsoft PackedMultiHeadAttention: query [T, D], or packed with key and value as [T, heads, 3, D].

    MACs S x (numel(q) + numel(Y)) where no sequence is padded, as PackedAttention; token offsets at input 4.
    """
    kept = told(attributes)
    query = node.input(0)
    length = _unpadded(query[0], node.input(4))
    queries = math.prod(query) // (3 if len(query) == 4 else 1)
    biases = 3 * queries if node.given(3) is not None else 0
    masked = node.given(6) is not None
    heads = int(kept.get("num_heads", 0))
    return Sizes(queries, math.prod(node.output(0)), length, heads, query[0], 0, biases, masked)


def _unpadded(tokens: int, offsets: Shape) -> int:
    if tokens != math.prod(offsets):
        raise NotUnderstood("padded sequences, whose lengths no shape tells")
    return offsets[-1]


def decoding(node: Executed, attributes: Attributes) -> Sizes:
    """Read com.microsoft DecoderMaskedMultiHeadAttention: one query a sequence, [B, 1, D].

    Keys are those of a cache at input 5 [B, heads, P, D] and the new one, or of cross attention [B, heads, L_k, D] at
    input 1: MACs (P + 1 or L_k) x (numel(q) + numel(Y)). A shared cache is not told by shapes.
    """
    kept = told(attributes)
    query, key, past = node.input(0), node.given(1), node.given(5)
    if past is not None and kept.get("past_present_share_buffer", 0):
        raise NotUnderstood("a shared cache, whose fill no shape tells")
    outputs = math.prod(node.output(0))
    packed_width = key is None
    queries = math.prod(query) // (3 if packed_width else 1)
    cross = key is not None and len(key) == 4
    keys = key[2] if key is not None and cross else 1 + (past[2] if past else 0)
    biases = queries * (1 if cross else 3) if node.given(10) is not None else 0
    masked = node.given(3) is not None or node.given(4) is not None
    rows = query[0] * query[1]
    return Sizes(queries, outputs, keys, int(kept.get("num_heads", 0)), rows, 0, biases, masked)
