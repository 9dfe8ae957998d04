"""A graph walked in its order without running it: which nodes would run, how often, on what shapes."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from greengate.profile import Input
from greengate.profiler.operations import counting
from greengate.profiler.operations.free import FREE
from greengate.profiler.operations.known import OPEN, SMALL, Inference, Known, constant, stored_constant, tensor
from greengate.profiler.operations.stored import Declared, is_constant
from greengate.profiler.operations.trace import Executed

__all__ = ["Inference", "Ran", "Walk"]

_FLOAT, _INT64, _BOOL = 1, 7, 9
_GRAPH = 5

_Names = MutableMapping[str, Known]


@dataclass
class Ran:
    """Every node that would run with how often; grows on the way through the graph.

    `hints` say, by operator and name, which dimension of a node is open; `doubts` name control flow that depends on
    values nobody knows, `apart` such that leaves MACs what they are, and not the element-wise work.
    """

    executed: Counter[Executed] = field(default_factory=Counter)
    hints: dict[tuple[str, str], str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)

    def add(self, other: Ran, times: int = 1) -> None:
        """Add what runs inside a node, `times` over."""
        if times:
            self.hints |= other.hints
            self.doubts += other.doubts
            self.apart += other.apart
            for node, often in other.executed.items():
                self.executed[node] += often * times


class Walk:
    """Goes through graphs in their order, knowing more after every node."""

    def __init__(self, inference: Inference, stored: Sequence[Declared]) -> None:
        self.inference, self.stored = inference, stored

    def run(self, graph: Any, inputs: Sequence[Input], values: Mapping[str, Any]) -> Ran:
        """Walk the main graph on inputs of given shapes; small whole numbers that are fed are known."""
        kinds = {item.name: item.type.tensor_type.elem_type for item in graph.input}
        fed: dict[str, Known] = {}
        for item in inputs:
            shaped = tensor(kinds.get(item.name, _FLOAT), item.shape)
            value = values.get(item.name)
            steers = value is not None and value.size <= SMALL and value.dtype.kind in "iub"
            fed[item.name] = Known(shaped.type, value if steers else None)
        return self._graph(graph, ChainMap(), fed)[0]

    def _graph(self, graph: Any, around: ChainMap[str, Known], fed: Mapping[str, Known]) -> tuple[Ran, _Names]:
        """Walk one graph within names known around it; return what ran and what is known of its names."""
        ran, known = Ran(), around.new_child()
        known.update((item.name, constant(item)) for item in graph.initializer)
        known.update((item.values.name, tensor(item.values.data_type, item.dims)) for item in graph.sparse_initializer)
        known.update(fed)
        number = 0
        for node in graph.node:
            given = [known.get(name, OPEN) for name in node.input]
            if is_constant(node):
                known[node.output[0]] = stored_constant(node)
                continue
            found = self._node(node, node.name or f"{node.op_type}_{number}", given, known, ran)
            known.update(zip(node.output, found, strict=False))
            number += 1
        return ran, known

    def _node(
        self, node: Any, name: str, given: Sequence[Known], known: ChainMap[str, Known], ran: Ran
    ) -> Sequence[Known]:
        """Put one node into `ran`, with what runs inside it, and return what is known of its outputs."""
        flow = {"If": self._if, "Loop": self._loop, "Scan": self._scan}.get(node.op_type)
        standard = node.domain in ("", "ai.onnx")
        if flow is not None and standard:
            found: Sequence[Known] = flow(node, name, given, known, ran)
        else:
            found = self.inference.outputs(node, given)
            if ("" if standard else node.domain, node.op_type) in FREE:
                self._unfollowed(node, name, known, ran)
        _put(node, name, given, found, ran)
        return found

    # --- control flow ---------------------------------------------------------------------------

    def _if(self, node: Any, name: str, given: Sequence[Known], known: ChainMap[str, Known], ran: Ran) -> list[Known]:
        """Walk the branch that is chosen; where that is not known, both, which must then count the same."""
        branches = {item.name: item.g for item in node.attribute}
        both = [branches["then_branch"], branches["else_branch"]]
        if given[0].value is not None:
            both = both[:1] if bool(given[0].value.reshape(-1)[0]) else both[1:]
        walked = [self._graph(branch, known, {}) for branch in both]
        outputs = [
            [names.get(item.name, OPEN) for item in branch.output]
            for branch, (_, names) in zip(both, walked, strict=True)
        ]
        macs, beside = zip(*(self._work(inner) for inner, _ in walked), strict=True)
        doubt = f"If {name!r}: which branch runs"
        if len(both) > 1 and (None in macs or macs[0] != macs[1]):
            ran.doubts.append(doubt)
        else:
            ran.add(walked[0][0])
            if len(both) > 1 and (None in beside or beside[0] != beside[1]):
                ran.apart.append(doubt)
        return outputs[0] if len(both) == 1 else [_either(*pair) for pair in zip(*outputs, strict=True)]

    def _loop(self, node: Any, name: str, given: Sequence[Known], known: ChainMap[str, Known], ran: Ran) -> list[Known]:
        """Walk the body once, and count it as often as it runs: its shapes must be those of every round."""
        body = _attribute(node, "body").g
        carried = [Known(item.type) for item in given[2:]]
        starts = [tensor(_INT64, ()), _true(), *carried]
        inner, names = self._graph(body, known, dict(zip((item.name for item in body.input), starts, strict=False)))
        ended = [names.get(item.name, OPEN) for item in body.output]
        rounds = _rounds(node, given, ended[0])
        after = [_either(*pair) for pair in zip(carried, ended[1:], strict=False)]
        steady = all(
            item.dims is not None and item.dims == start.dims for item, start in zip(after, carried, strict=True)
        )
        varies = rounds is not None and rounds > 1 and not steady
        doubt = "its shapes, which change from round to round" if varies else "how often it runs"
        self._repeat(inner, None if varies else rounds, f"Loop {name!r}: {doubt}", ran)
        return [*after, *(_stacked(item, rounds, 0) for item in ended[1 + len(carried) :])]

    def _scan(self, node: Any, name: str, given: Sequence[Known], known: ChainMap[str, Known], ran: Ran) -> list[Known]:
        """Walk the body once for every slice of the scanned inputs."""
        body, count = _attribute(node, "body").g, _attribute(node, "num_scan_inputs").i
        states, scanned = list(given[: len(given) - count]), list(given[len(given) - count :])
        axes = list(_attribute(node, "scan_input_axes").ints) or [0] * count
        slices = [_slice(item, axis) for item, axis in zip(scanned, axes, strict=True)]
        rounds = next((size for _, size in slices if size is not None), None)
        starts = [*(Known(item.type) for item in states), *(item for item, _ in slices)]
        inner, names = self._graph(body, known, dict(zip((item.name for item in body.input), starts, strict=False)))
        ended = [names.get(item.name, OPEN) for item in body.output]
        self._repeat(inner, rounds, f"Scan {name!r}: how long its input is", ran)
        places = list(_attribute(node, "scan_output_axes").ints) or [0] * (len(ended) - len(states))
        after = [_either(*pair) for pair in zip(states, ended, strict=False)]
        return [
            *after,
            *(_stacked(item, rounds, axis) for item, axis in zip(ended[len(states) :], places, strict=True)),
        ]

    def _unfollowed(self, node: Any, name: str, known: ChainMap[str, Known], ran: Ran) -> None:
        """Doubt a graph inside a node that is not followed, such as SequenceMap's, where it may compute."""
        for body in (item.g for item in node.attribute if item.type == _GRAPH):
            inner, _ = self._graph(body, known, dict.fromkeys((item.name for item in body.input), OPEN))
            self._repeat(inner, None, f"{node.op_type} {name!r}: how often its graph runs, and on what", ran)

    def _repeat(self, inner: Ran, rounds: int | None, doubt: str, ran: Ran) -> None:
        """Count a body as often as it runs; not knowing how often matters only where it computes."""
        if rounds is not None:
            ran.add(inner, rounds)
            return
        macs, beside = self._work(inner)
        if macs != 0:
            ran.doubts.append(doubt)
        elif beside != 0:
            ran.apart.append(doubt)

    def _work(self, inner: Ran) -> tuple[int | None, int | None]:
        """Return MACs and element-wise operations of what ran inside a node; None where they cannot be told."""
        counted = counting.count(inner.executed, self.stored)
        macs = None if counted.unknown or inner.doubts else counted.macs
        return macs, None if macs is None or counted.unweighed or inner.apart else counted.elementwise


def _attribute(node: Any, name: str) -> Any:
    """Return an attribute; an empty one where the node has none of that name."""
    return next((item for item in node.attribute if item.name == name), type(node)().attribute.add())


def _true() -> Known:
    import numpy as np

    return Known(tensor(_BOOL, ()).type, np.array(True))


def _rounds(node: Any, given: Sequence[Known], still: Known) -> int | None:
    """Return how often a Loop runs: its trip count, as long as its condition is known to hold."""
    limited, conditional = bool(node.input[0]), len(node.input) > 1 and bool(node.input[1])
    if conditional and given[1].value is not None and not given[1].value.any():
        return 0
    if (conditional and given[1].value is None) or still.value is None or not limited or given[0].value is None:
        return None
    most = max(int(given[0].value.reshape(-1)[0]), 0)
    return most if still.value.any() else min(most, 1)


def _either(first: Known, second: Known) -> Known:
    """Return what holds for both: dimensions that differ are open."""
    if first.dims is None or second.dims is None or len(first.dims) != len(second.dims):
        return OPEN
    dims = [left if left == right else None for left, right in zip(first.dims, second.dims, strict=True)]
    return tensor(first.type.tensor_type.elem_type, dims)


def _slice(item: Known, axis: int) -> tuple[Known, int | None]:
    """Return one slice of a scanned input, and how many there are."""
    if item.dims is None:
        return OPEN, None
    dims = list(item.dims)
    size = dims.pop(axis)
    return tensor(item.type.tensor_type.elem_type, dims), size


def _stacked(item: Known, rounds: int | None, axis: int) -> Known:
    """Return the results of every round side by side."""
    if item.dims is None:
        return OPEN
    dims = list(item.dims)
    dims.insert(axis if axis >= 0 else len(dims) + 1 + axis, rounds)
    return tensor(item.type.tensor_type.elem_type, dims)


# --- one node -----------------------------------------------------------------------------------


def _put(node: Any, name: str, given: Sequence[Known], found: Sequence[Known], ran: Ran) -> None:
    """Record one execution as a trace would: the inputs that are given, without gaps."""
    inputs = [(label, item) for label, item in zip(node.input, given, strict=True) if label]
    outputs = [(label, item) for label, item in zip(node.output, found, strict=False) if label]
    size = sum(item.bytes for _, item in outputs)
    shapes = [tuple(item.shape for _, item in side) for side in (inputs, outputs)]
    ran.executed[Executed(node.op_type, name, shapes[0], shapes[1], size)] += 1
    for label, item in (*inputs, *outputs):
        if item.shape is None:
            ran.hints.setdefault((node.op_type, name), f"{node.op_type} {name!r}: {_lacking(item)} of {label!r}")
            return


def _lacking(item: Known) -> str:
    dims = item.dims
    return "the shape" if dims is None else f"dimension {dims.index(None)}"
