"""Layers as a tree of modules, in which equal parts are known to be equal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from greengate.layers.paths import Path, family, path_of
from greengate.profile import Layer


@dataclass(slots=True)
class Node:
    """A module: the modules within it, its own layers by position, and what it is made of.

    `made` is equal for modules of the same layers with the same numbers, `shape` for those of the same operators;
    neither knows the module's own name nor the numbers in names below. `heavy`: something in it computes or is stored.
    """

    children: dict[str, Node] = field(default_factory=dict)
    layers: list[int] = field(default_factory=list)
    made: int = 0
    shape: int = 0
    heavy: bool = False


class Kinds:
    """Small numbers for things that are equal; trees that are to be compared share one."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def of(self, thing: Hashable) -> int:
        """Return the number of everything that equals `thing`."""
        return self._numbers.setdefault(thing, len(self._numbers))


@dataclass(frozen=True)
class Tree:
    """All layers of a model; by position: the path, the kind of operator with its numbers, the kind of operator."""

    root: Node
    layers: Sequence[Layer]
    paths: Sequence[Path]
    made: Sequence[int]
    ops: Sequence[int]


def tree(layers: Sequence[Layer], kinds: Kinds) -> Tree:
    """Hang every layer at its path. Linear in the number of layers."""
    paths = [path_of(layer.name, layer.op) for layer in layers]
    made = [
        kinds.of((layer.op, layer.macs, layer.params, layer.weight_bytes, layer.activation_bytes)) for layer in layers
    ]
    ops = [kinds.of(layer.op) for layer in layers]
    root = Node()
    for index, path in enumerate(paths):
        node = root
        for segment in path:
            node = node.children.setdefault(segment, Node())
        node.layers.append(index)
    found = Tree(root, layers, paths, made, ops)
    _recognise(root, found, kinds)
    return found


def names_in_order(node: Node) -> list[str]:
    """Return the names of a module's parts, siblings that differ by number next to each other and counting up."""
    if len(node.children) < 2:
        return list(node.children)
    return sorted(node.children, key=lambda name: (*family(name), name))


def every_layer(node: Node) -> Iterator[int]:
    """Yield the positions of all layers in a module, its own first; alike in modules that are made alike."""
    yield from node.layers
    for name in names_in_order(node):
        yield from every_layer(node.children[name])


def _recognise(node: Node, found: Tree, kinds: Kinds) -> None:
    for child in node.children.values():
        _recognise(child, found, kinds)
    own = [found.layers[index] for index in node.layers]
    node.heavy = any(layer.macs != 0 or layer.params for layer in own) or any(
        child.heavy for child in node.children.values()
    )
    inside = [(family(name)[0], node.children[name]) for name in names_in_order(node)]
    node.made = kinds.of(
        (
            tuple(found.made[index] for index in node.layers),
            tuple((stem, child.made) for stem, child in inside),
        )
    )
    node.shape = kinds.of(
        (
            "shape",
            tuple(found.ops[index] for index in node.layers),
            tuple((stem, child.shape) for stem, child in inside),
        )
    )
