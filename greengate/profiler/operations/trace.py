"""What a profiled run of onnxruntime tells: every executed node with its shapes, and the arena's peak."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Shape = tuple[int, ...]

#: onnxruntime drops what comes after this many events.
MAX_EVENTS = 1_000_000

_NEARLY = 0.99
_KERNEL = "_kernel_time"
_NODE = '"Node"'


class NotUnderstood(Exception):  # noqa: N818 - an answer, not an accident
    """An operator is known, but not in this form: what it computes cannot be told from what is at hand."""


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution of one node: shapes of inputs and outputs by position; None is one that is not given.

    `bytes` are those of all outputs.
    """

    op: str
    name: str
    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape | None, ...]
    bytes: int = 0

    def input(self, position: int) -> Shape:
        """Return the shape of an input that the operator needs. Raises NotUnderstood."""
        return _needed(self.inputs, position, "input")

    def output(self, position: int) -> Shape:
        """Return the shape of an output that the formula needs. Raises NotUnderstood."""
        return _needed(self.outputs, position, "output")

    def given(self, position: int) -> Shape | None:
        """Return the shape of an optional input, None where it is not given."""
        return self.inputs[position] if position < len(self.inputs) else None


def _needed(shapes: tuple[Shape | None, ...], position: int, kind: str) -> Shape:
    found = shapes[position] if position < len(shapes) else None
    if found is None:
        raise NotUnderstood(f"no shape of {kind} {position}")
    return found


@dataclass(frozen=True)
class Trace:
    """All executed nodes in order of their first execution, each with how often it ran.

    `peak` is bytes of the runtime's arena, all but reached in `peak_at`; None where the runtime does not say. `whole`
    is False when the runtime stopped recording before the run ended.
    """

    executed: Mapping[Executed, int]
    peak: int | None
    whole: bool
    peak_at: Executed | None = None


def read(path: Path) -> Trace:
    """Read the JSON file that InferenceSession.end_profiling names, one event at a time: it can be large."""
    executed: Counter[Executed] = Counter()
    known: dict[Shape, Shape] = {}
    climbs: list[tuple[int, Executed]] = []
    events = 0
    for event in _events(path):
        events += 1
        if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL):
            continue
        node = _executed(event, known)
        executed[node] += 1
        peak = int(event["args"].get("mem_in_use_peak", 0))
        if peak > (climbs[-1][0] if climbs else 0):
            climbs.append((peak, node))
    highest = climbs[-1][0] if climbs else None
    return Trace(executed, highest, events < MAX_EVENTS, _summit(climbs))


def _summit(climbs: list[tuple[int, Executed]]) -> Executed | None:
    """Return the node that brought the peak within 1 % of its height: what adds a few bytes later is not its cause."""
    return next((node for height, node in climbs if height >= _NEARLY * climbs[-1][0]), None)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every event. The runtime writes one a line; what is not a node's costs no parsing."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.strip().removesuffix(",")
            if _NODE in text:
                yield json.loads(text)
            elif text not in ("[", "]", ""):
                yield {}


def _executed(event: dict[str, Any], known: dict[Shape, Shape]) -> Executed:
    args = event["args"]
    inputs, outputs = (_shapes(args[key], known) for key in ("input_type_shape", "output_type_shape"))
    name = event["name"].removesuffix(_KERNEL)
    return Executed(args["op_name"], name, inputs, outputs, int(args.get("output_size", 0)))


def _shapes(listed: Iterable[dict[str, list[int]]], known: dict[Shape, Shape]) -> tuple[Shape, ...]:
    """Read `[{"float": [1, 3]}, ...]`; equal shapes are kept once."""
    shapes = (tuple(shape) for entry in listed for shape in entry.values())
    return tuple(known.setdefault(shape, shape) for shape in shapes)
