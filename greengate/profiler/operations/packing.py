"""Weights of few bits that are packed into bytes: which tensors are, told by the nodes that use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_MICROSOFT = "com.microsoft"
_GRAPH = 5

#: Functions that call each other deeper than this are no model's.
_DEEPEST = 100

#: Operators that take weights of few bits packed into bytes: positions of these, and the attribute that tells the bits.
_PACKED: dict[str, tuple[tuple[int, ...], str]] = {
    "MatMulNBits": ((1,), "bits"),
    "MatMulBnb4": ((1,), ""),
    "MatMulFpQ4": ((1,), ""),
    "GatherBlockQuantized": ((0,), "bits"),
    "QMoE": ((2, 5, 8), "expert_weight_bits"),
}

#: Names of packed weights with their elements, 0 where the bytes tell them, and the bits of each.
Packed = dict[str, tuple[int, int]]


class Packing:
    """Finds packed weights of a model, also where graphs inside nodes and functions use them."""

    def __init__(self, functions: Iterable[Any] = ()) -> None:
        self._functions = {(function.domain, function.name): function for function in functions}
        self._known: dict[tuple[Any, ...], Packed] = {}
        self._depth = 0

    def of(self, nodes: Iterable[Any], told: Mapping[str, int] | None = None) -> Packed:
        """Return the packed weights that nodes use by name.

        `told` are numbers that the caller of these nodes' function gives; None where no caller is known.
        """
        found: Packed = {}
        for node in nodes:
            for attribute in node.attribute:
                if attribute.type == _GRAPH:
                    inside = self.of(attribute.g.node, told)
                    own = _defined(attribute.g) if inside else set()
                    found.update((name, how) for name, how in inside.items() if name not in own)
            if node.op_type in _PACKED and node.domain == _MICROSOFT:
                found.update(_taken(node, _numbers(node, told)))
            elif (function := self._functions.get((node.domain, node.op_type))) is not None:
                inside = self._called(function, _numbers(node, told))
                names = zip(function.input, node.input, strict=False)
                found.update((given, inside[name]) for name, given in names if name in inside)
        return found

    def _called(self, function: Any, told: dict[str, int]) -> Packed:
        """Return the packed weights of a function by its own names; one that calls itself has no more."""
        told = {item.name: item.i for item in function.attribute_proto} | told
        key = function.domain, function.name, *sorted(told.items())
        if key not in self._known and self._depth < _DEEPEST:
            self._known[key] = {}
            self._depth += 1
            self._known[key] = self.of(function.node, told)
            self._depth -= 1
        return self._known.get(key, {})


def _defined(graph: Any) -> set[str]:
    """Return the names that a graph inside a node gives to something of its own."""
    own = {item.name for item in (*graph.input, *graph.initializer)} | {
        item.values.name for item in graph.sparse_initializer
    }
    return own.union(*(node.output for node in graph.node))


def _numbers(node: Any, told: Mapping[str, int] | None) -> dict[str, int]:
    """Return a node's attributes that are whole numbers; 0 for one whose caller is not known."""
    found = {}
    for item in node.attribute:
        if not item.ref_attr_name or told is None:
            found[item.name] = item.i
        elif item.ref_attr_name in told:
            found[item.name] = told[item.ref_attr_name]
    return found


def _taken(node: Any, numbers: Mapping[str, int]) -> Iterable[tuple[str, tuple[int, int]]]:
    """Yield the packed weights that one operator takes."""
    positions, told = _PACKED[node.op_type]
    bits = numbers.get(told, 4)
    exact = numbers.get("K", 0) * numbers.get("N", 0)
    for position in positions:
        if bits in (1, 2, 4, 8) and position < len(node.input):
            yield node.input[position], (exact, bits)
