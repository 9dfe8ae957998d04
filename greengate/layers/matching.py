"""Which layer of the candidate was which layer of the baseline.

By name first, numbered siblings in order where their number changed; what names do not tell, by what the layers are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from greengate.layers.alignment import alike, closest, in_order
from greengate.layers.paths import Path, family
from greengate.layers.trees import Kinds, Node, Tree, every_layer, names_in_order, tree
from greengate.profile import Layer


@dataclass(frozen=True, slots=True)
class Match:
    """A layer of both models, or of one alone; under the candidate's path, or the baseline's where it was removed.

    `whole` is how much of the path names the module that one model has and the other has not, 0 for a layer of both.
    """

    path: Path
    op: str
    before: Layer | None
    after: Layer | None
    whole: int = 0

    @property
    def kind(self) -> Literal["changed", "added", "removed"]:
        """Whether one model lacks the layer."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


@dataclass
class _Found:
    """Positions that belong together, and those of one side alone with the depth of the module that is new or lost."""

    pairs: dict[int, int] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    new: dict[int, int] = field(default_factory=dict)


def match(baseline: Sequence[Layer], candidate: Sequence[Layer]) -> list[Match]:
    """Match every layer of both models, once each. Close to linear in the number of layers."""
    kinds = Kinds()
    before, after = tree(baseline, kinds), tree(candidate, kinds)
    found = _Found()
    outer, inner = _unwrapped(before.root, after.root)
    _modules(before, after, outer, inner, found)
    _renamed(before, after, found)
    matches = [
        Match(after.paths[j], after.layers[j].op, before.layers[i], after.layers[j]) for i, j in found.pairs.items()
    ]
    matches += [
        Match(before.paths[i], before.layers[i].op, before.layers[i], None, whole) for i, whole in found.lost.items()
    ]
    return matches + [
        Match(after.paths[j], after.layers[j].op, None, after.layers[j], whole) for j, whole in found.new.items()
    ]


_Place = tuple[Node, int]


def _unwrapped(before: Node, after: Node) -> tuple[_Place, _Place]:
    """Return the modules to begin with, and their depths: exporters wrap a network in modules of their own."""
    outer, inner = list(_chain(before)), list(_chain(after))
    places = [(one, other) for one in range(len(outer)) for other in range(len(inner))]
    for one, other in sorted(places, key=sum):
        if any(child.heavy for name, child in outer[one].children.items() if name in inner[other].children):
            return (outer[one], one), (inner[other], other)
    return (before, 0), (after, 0)


def _chain(node: Node) -> Iterator[Node]:
    yield node
    heavy = [child for child in node.children.values() if child.heavy]
    while len(heavy) == 1:
        yield heavy[0]
        heavy = [child for child in heavy[0].children.values() if child.heavy]


def _modules(before: Tree, after: Tree, one: _Place, other: _Place, found: _Found) -> None:
    """Match two modules: their own layers, then the modules within them."""
    (old, depth), (new, deep) = one, other
    if old.made == new.made:
        found.pairs |= zip(every_layer(old), every_layer(new), strict=True)
        return
    left, right = old.layers, new.layers
    made = [before.made[index] for index in left], [after.made[index] for index in right]
    ops = [before.ops[index] for index in left], [after.ops[index] for index in right]
    found.pairs |= {left[i]: right[j] for i, j in closest(made, ops)}
    kept, grown = set(), set()
    for was, now in _siblings(old, new):
        kept.add(was)
        grown.add(now)
        _modules(before, after, (old.children[was], depth + 1), (new.children[now], deep + 1), found)
    for name, child in old.children.items():
        if name not in kept:
            found.lost |= dict.fromkeys(every_layer(child), depth + 1)
    for name, child in new.children.items():
        if name not in grown:
            found.new |= dict.fromkeys(every_layer(child), deep + 1)


def _siblings(old: Node, new: Node) -> Iterator[tuple[str, str]]:
    """Pair names of modules: equal ones; where numbered siblings became more or fewer, those that are alike."""
    families: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, node in enumerate((old, new)):
        for name in names_in_order(node):
            families[family(name)[0]][side].append(name)
    for olds, news in families.values():
        if olds == news:
            yield from zip(olds, news, strict=True)
        elif olds and news:
            yield from _aligned(old, olds, new, news)


def _aligned(old: Node, olds: list[str], new: Node, news: list[str]) -> Iterator[tuple[str, str]]:
    left, right = [old.children[name] for name in olds], [new.children[name] for name in news]
    made = [node.made for node in left], [node.made for node in right]
    shapes = [node.shape for node in left], [node.shape for node in right]
    return ((olds[i], news[j]) for i, j in closest(made, shapes))


def _renamed(before: Tree, after: Tree, found: _Found) -> None:
    """Match what names left over: by operator and numbers; then by operator between the same neighbours."""
    for index, path in enumerate(before.paths):
        if index not in found.pairs:
            found.lost.setdefault(index, len(path) + 1)  # its module is in both models
    taken = set(found.pairs.values())
    for index, path in enumerate(after.paths):
        if index not in taken:
            found.new.setdefault(index, len(path) + 1)
    left, right = sorted(found.lost), sorted(found.new)
    _join(found, left, right, alike([before.made[i] for i in left], [after.made[j] for j in right]))
    gaps = _gaps(found, len(before.paths), len(after.paths))
    for left, right in gaps:
        _join(found, left, right, in_order([before.ops[i] for i in left], [after.ops[j] for j in right]))


def _join(found: _Found, left: Sequence[int], right: Sequence[int], pairs: Sequence[tuple[int, int]]) -> None:
    for i, j in pairs:
        found.pairs[left[i]] = right[j]
        del found.lost[left[i]], found.new[right[j]]


def _gaps(found: _Found, before: int, after: int) -> list[tuple[list[int], list[int]]]:
    """Return positions without a partner, those together that follow the same matched layer in the order of running."""
    gaps: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    last = -1
    for index in range(before):
        if index in found.lost:
            gaps[last][0].append(index)
        else:
            last = found.pairs[index]
    last = -1
    for index in range(after):
        if index in found.new:
            gaps[last][1].append(index)
        else:
            last = index
    return [gap for gap in gaps.values() if all(gap)]
