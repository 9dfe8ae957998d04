"""Stored weights: how many, of how many bits, and which node uses them first."""

from __future__ import annotations

import math
from collections import ChainMap
from dataclasses import dataclass
from posixpath import normpath
from typing import Any

from greengate.profiler.operations.packing import Packed, Packing

#: Bits of one element by TensorProto.DataType, where it is not 8.
_BITS = {
    **dict.fromkeys((1, 6, 12), 32),  # float, int32, uint32
    **dict.fromkeys((4, 5, 10, 16), 16),  # uint16, int16, float16, bfloat16
    **dict.fromkeys((7, 11, 13, 14), 64),  # int64, double, uint64, complex64
    15: 128,  # complex128
    **dict.fromkeys((21, 22, 23), 4),  # uint4, int4, float4
    **dict.fromkeys((25, 26), 2),  # uint2, int2
}

#: Nothing, int64, text, bool, uint64: indices, shapes and flags, not weights.
_APART = frozenset({0, 7, 8, 9, 13})

_EXTERNAL = 1


@dataclass(frozen=True, slots=True)
class Weight:
    """One stored tensor: its elements, and the bits of each. `key` is equal where two names share the same bytes."""

    key: tuple[str, ...]
    elements: int
    bits: int

    @property
    def bytes(self) -> int:
        """Bytes that its elements take."""
        return (self.elements * self.bits + 7) // 8


#: Names of a graph and those around it, each with the weights behind it.
Scope = ChainMap[str, tuple[Weight, ...]]


class Ledger:
    """All weights of a model, each counted once, and given to the first node that uses it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Weight] = {}
        self._taken: set[tuple[str, ...]] = set()
        self._graphs = 0

    @property
    def elements(self) -> int:
        """Elements of all weights."""
        return sum(weight.elements for weight in self._known.values())

    @property
    def bits(self) -> int:
        """Bits of all weights."""
        return sum(weight.elements * weight.bits for weight in self._known.values())

    def enter(self, graph: Any, scope: Scope, packing: Packing) -> None:
        """Add the initialisers of a graph, or of a function, and the values of its Constant nodes."""
        self._graphs += 1
        packed = packing.of(graph.node)
        for tensor in getattr(graph, "initializer", ()):
            self._add(tensor.name, tensor, packed, scope)
        for sparse in getattr(graph, "sparse_initializer", ()):
            self._add(sparse.values.name, sparse.values, packed, scope)
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and node.output:
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._add(node.output[0], attribute.t, packed, scope)
                    elif attribute.name == "sparse_value":
                        self._add(node.output[0], attribute.sparse_tensor.values, packed, scope)

    def _add(self, name: str, tensor: Any, packed: Packed, scope: Scope) -> None:
        scope[name] = ()
        if tensor.data_type in _APART:
            return
        elements, bits = math.prod(tensor.dims), bits_of(tensor.data_type)
        if bits == 8 and name in packed:
            exact, few = packed[name]
            elements, bits = exact or elements * 8 // few, few
        weight = Weight(_place(tensor) or (str(self._graphs), name), elements, bits)
        scope[name] = (self._known.setdefault(weight.key, weight),)

    def claim(self, node: Any, scope: Scope, carries: bool) -> tuple[int, int]:
        """Return elements and bytes of the weights that this node is the first to use.

        What a node makes of weights alone (a DequantizeLinear, a Transpose) belongs to the one that uses the result,
        unless it is one that carries nothing on: a Loop, an If.
        """
        behind = [_behind(scope, name) for name in node.input if name]
        if carries and behind and None not in behind:
            carried = tuple(weight for weights in behind for weight in weights or ())
            scope.update((name, carried) for name in node.output if name)
            return 0, 0
        held = [weight for weights in behind if weights for weight in weights]
        if not held:
            return 0, 0
        mine = {weight.key: weight for weight in held if weight.key not in self._taken}
        self._taken.update(mine)
        return sum(weight.elements for weight in mine.values()), sum(weight.bytes for weight in mine.values())


def _behind(scope: Scope, name: str) -> tuple[Weight, ...] | None:
    """Return the weights behind a name; None where none is known. ChainMap.get takes several times as long."""
    for names in scope.maps:
        if name in names:
            return names[name]
    return None


def bits_of(data_type: int) -> int:
    """Return the bits of one stored element of a TensorProto.DataType."""
    return _BITS.get(data_type, 8)


def _place(tensor: Any) -> tuple[str, ...]:
    """Return where a tensor's bytes lie in external data; empty for a tensor inside the model."""
    if tensor.data_location != _EXTERNAL:
        return ()
    named = {entry.key: entry.value for entry in tensor.external_data}
    return normpath(named.get("location", "")), named.get("offset", "0"), str(tensor.dims), str(tensor.data_type)
