"""Where the work is: one layer for every stored node that ran."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from greengate.profile import Layer
from greengate.profiler.operations.counting import Line
from greengate.profiler.operations.stored import Declared

#: More than this many are joined by their modules.
MOST = 20_000

_INLINED = "_inlfunc_"


def layers(lines: Iterable[Line], declared: Iterable[Declared]) -> tuple[Layer, ...]:
    """Return one layer a node, in order of the first execution; then calls of functions that brought weights along.

    The nodes of a function run under names of the runtime's and have no weights of their own: those are the call's.
    """
    ran = [_layer(line) for line in lines]
    called = [
        Layer(node.layer, node.op, 0, node.params, node.weight_bytes)
        for node in declared
        if node.caller and node.weight_bytes
    ]
    return bounded([*ran, *called])


def _layer(line: Line) -> Layer:
    if line.stored is None:
        return Layer(named(line.name), line.op, line.macs, 0, 0, line.bytes)
    return Layer(
        line.stored.layer, line.op, line.macs, line.stored.params, line.stored.weight_bytes, activation_bytes=line.bytes
    )


def named(name: str) -> str:
    """Return a node's name as the runtime gives it, without what the runtime adds."""
    return name.removeprefix(_INLINED).strip("/")[:200] or "node"


def bounded(found: Sequence[Layer], most: int = MOST) -> tuple[Layer, ...]:
    """Join layers by the module they belong to, the deepest first, until there are at most `most`.

    Sums stay what they are. What is still too many then has flat names: the largest stay, the rest become one.
    """
    kept = list(found)
    depth = max((layer.name.count("/") for layer in kept), default=0)
    while len(kept) > most and depth > 0:
        groups: dict[str, list[Layer]] = {}
        for position, layer in enumerate(kept):
            deep = layer.name.count("/") >= depth
            groups.setdefault(layer.name.rpartition("/")[0] if deep else f"\0{position}", []).append(layer)
        kept = [_joined(name, group) for name, group in groups.items()]
        depth -= 1
    if len(kept) <= most:
        return tuple(kept)
    order = sorted(range(len(kept)), key=lambda i: (kept[i].macs or 0, kept[i].weight_bytes), reverse=True)
    chosen = set(order[: most - 1])
    rest = [layer for position, layer in enumerate(kept) if position not in chosen]
    return (*(layer for position, layer in enumerate(kept) if position in chosen), _joined("others", rest))


def _joined(name: str, group: Sequence[Layer]) -> Layer:
    if len(group) == 1:
        return group[0]
    operators = {layer.op for layer in group}
    return Layer(
        name,
        operators.pop() if len(operators) == 1 else "*",
        None if any(layer.macs is None for layer in group) else sum(layer.macs or 0 for layer in group),
        sum(layer.params for layer in group),
        sum(layer.weight_bytes for layer in group),
        sum(layer.activation_bytes for layer in group),
    )
