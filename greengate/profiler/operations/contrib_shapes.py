"""Shapes of com.microsoft operators, for graphs that cannot run here: ONNX's inference does not know them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greengate.profiler.operations.known import Known

DOMAIN = "com.microsoft"

#: The first output is like the first input; of a skipped sum so is the fourth.
_LIKE_THE_FIRST = """
BiasAdd BiasDropout BiasGelu BiasSoftmax FastGelu Gelu GroupNorm LayerNormalization MoE QLinearLeakyRelu QLinearSigmoid
QLinearSoftmax QMoE QuickGelu RotaryEmbedding SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization
SkipSimplifiedLayerNormalization SparseAttention
"""

_ALIKE = frozenset(_LIKE_THE_FIRST.split())

#: Standard operators with more attributes: what fuses an activation, or another element type.
_STANDARD = {"FusedConv": "Conv", "FusedGemm": "Gemm"} | {name: name for name in ("Pad", "QLinearConv", "Trilu")}

#: The input whose element type the output has, where it is not the first.
_TYPED = {"MatMulIntegerToFloat": 2, "DequantizeLinear": 1, "QuantizeLinear": 2}

_UINT8 = 2


def as_standard(node: Any) -> Any:
    """Return the standard operator of the same shapes, where there is one; else the node itself."""
    name = _STANDARD.get(node.op_type)
    attributes = {item.name: item for item in node.attribute}
    if node.domain != DOMAIN or name is None or ("channels_last" in attributes and attributes["channels_last"].i):
        return node
    plain = type(node)()
    plain.CopyFrom(node)
    plain.op_type, plain.domain = name, ""
    del plain.attribute[:]
    plain.attribute.extend(item for key, item in attributes.items() if not key.startswith(("activation", "channels")))
    if name == "Conv":
        del plain.input[3:]  # FusedConv adds a fourth
    return plain


def contrib_shape(node: Any, given: Sequence[Known]) -> list[Known]:
    """Return what is known of the outputs of a contrib operator, as far as there is a rule here."""
    from greengate.profiler.operations.known import OPEN, tensor

    if not given:
        return []
    if node.op_type in _ALIKE:
        like = type(given[0])(given[0].type)
        return [like, OPEN, OPEN, like] if node.op_type.startswith("Skip") else [like]
    rule, shapes = _RULES.get(node.op_type), [known.shape for known in given]
    if rule is None or node.domain != DOMAIN or shapes[0] is None:
        return []
    try:
        typed = _TYPED.get(node.op_type, 0)
        kind = given[typed].type.tensor_type.elem_type if typed < len(given) else _UINT8
        return [tensor(kind, rule(node, shapes))]
    except (LookupError, TypeError, ValueError, AttributeError):
        return []


def _integer(node: Any, name: str, default: int = 0) -> int:
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def _product(node: Any, shapes: Sequence[Any]) -> list[int]:
    """FusedMatMul: A [..., M, K] by B [..., K, N], either transposed, batches broadcast."""
    if _integer(node, "transBatchA") or _integer(node, "transBatchB"):
        raise ValueError("batches that are moved")
    left, right = list(shapes[0]), list(shapes[1])
    rows = left[-1] if _integer(node, "transA") else left[-2]
    columns = right[-2] if _integer(node, "transB") else right[-1]
    return [*_broadcast(left[:-2], right[:-2]), rows, columns]


def _plain_product(_: Any, shapes: Sequence[Any]) -> list[int]:
    """A [..., M, K] by B [..., K, N]: DynamicQuantizeMatMul and MatMulIntegerToFloat."""
    left, right = list(shapes[0]), list(shapes[1])
    return [*_broadcast(left[:-2], right[:-2]), *left[-2:-1], right[-1]]


def _broadcast(left: Sequence[int], right: Sequence[int]) -> list[int]:
    longest = max(len(left), len(right))
    pairs = zip([1] * (longest - len(left)) + list(left), [1] * (longest - len(right)) + list(right), strict=True)
    return [max(pair) for pair in pairs]


def _bits_product(node: Any, shapes: Sequence[Any]) -> list[int]:
    """MatMulNBits: A [..., K] by a packed B of N columns."""
    return [*shapes[0][:-1], _integer(node, "N")]


def _attention(node: Any, shapes: Sequence[Any]) -> list[int]:
    """Attention: X [B, S, I] by W [I, Q + K + V] gives [B, S, V]; V is a third unless qkv_hidden_sizes tells."""
    sizes = next((list(item.ints) for item in node.attribute if item.name == "qkv_hidden_sizes"), [])
    return [*shapes[0][:2], sizes[2] if sizes else shapes[1][-1] // 3]


def _many_heads(_: Any, shapes: Sequence[Any]) -> list[int]:
    """MultiHeadAttention: Q [B, S, E] with V [B, L, D] or [B, heads, L, D/heads]; packed ones are not followed."""
    query, value = shapes[0], shapes[2]
    return [*query[:2], value[-1] if len(value) == 3 else value[1] * value[3]]


def _grouped(node: Any, shapes: Sequence[Any]) -> list[int]:
    """GroupQueryAttention: like Q [B, S, heads x D]; with K and V packed into it, their share is left out."""
    heads, shared = _integer(node, "num_heads"), _integer(node, "kv_num_heads")
    packed = len(shapes) < 2 or not node.input[1]
    return [*shapes[0][:2], shapes[0][2] * heads // (heads + 2 * shared) if packed else shapes[0][2]]


_RULES: dict[str, Callable[[Any, Sequence[Any]], list[int]]] = {
    "FusedMatMul": _product,
    "DynamicQuantizeMatMul": _plain_product,
    "MatMulIntegerToFloat": _plain_product,
    "MatMulNBits": _bits_product,
    "Attention": _attention,
    "MultiHeadAttention": _many_heads,
    "GroupQueryAttention": _grouped,
    "DequantizeLinear": lambda _, shapes: list(shapes[0]),
    "QuantizeLinear": lambda _, shapes: list(shapes[0]),
    "BiasSplitGelu": lambda _, shapes: [*shapes[0][:-1], shapes[0][-1] // 2],
}
