"""The layers of one model as an outline: modules with the sums of all that is in them, equal siblings folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from greengate.layers.paths import family, level_of, written
from greengate.layers.trees import Kinds, Node, Tree, names_in_order, tree
from greengate.profile import Layer


@dataclass(frozen=True)
class Sums:
    """Sums over layers, of one call. `unknown` layers have MACs that are not known and are not in `macs`."""

    layers: int = 0
    macs: int = 0
    params: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0
    unknown: int = 0

    def plus(self, other: Sums) -> Sums:
        """Return both together."""
        return Sums(
            self.layers + other.layers,
            self.macs + other.macs,
            self.params + other.params,
            self.weight_bytes + other.weight_bytes,
            self.activation_bytes + other.activation_bytes,
            self.unknown + other.unknown,
        )


@dataclass(frozen=True)
class Branch:
    """A module, or several that differ only by a number: its path from the branch above, its sums, its parts."""

    path: str
    sums: Sums
    parts: tuple[Branch, ...] = ()


def outline(layers: Sequence[Layer]) -> Branch:
    """Return all layers as one branch; parts of a branch sum to it, and stand with the largest first."""
    found = tree(layers, Kinds())
    return _branch(found.root, "", 1, found)


def _branch(node: Node, path: str, times: int, found: Tree) -> Branch:
    """Sum up a module that stands for `times` of its kind."""
    own = [_of(found.layers[index], times) for index in node.layers]
    parts = [_branch(node.children[names[0]], _folded(names), times * len(names), found) for names in _alike(node)]
    if len(parts) == 1 and not own and path:
        return Branch(written([path, parts[0].path]), parts[0].sums, parts[0].parts)
    if parts:
        parts += [Branch(found.layers[index].op or "node", sums) for index, sums in zip(node.layers, own, strict=True)]
    total = Sums()
    for sums in [part.sums for part in parts] or own:
        total = total.plus(sums)
    return Branch(path, total, tuple(sorted(parts, key=_largest_first)))


def _alike(node: Node) -> list[list[str]]:
    """Return the names of a module's parts, those together that are made alike and differ only by number."""
    found: dict[tuple[str, int], list[str]] = {}
    for name in names_in_order(node):
        found.setdefault((family(name)[0], node.children[name].made), []).append(name)
    return list(found.values())


def _folded(names: list[str]) -> str:
    return written([level_of(names)])


def _of(layer: Layer, times: int) -> Sums:
    return Sums(
        times,
        times * (layer.macs or 0),
        times * layer.params,
        times * layer.weight_bytes,
        times * layer.activation_bytes,
        times * (layer.macs is None),
    )


def _largest_first(branch: Branch) -> tuple[int, int, int, int, str]:
    sums = branch.sums
    return -sums.macs, -sums.unknown, -sums.params, -sums.activation_bytes, branch.path
