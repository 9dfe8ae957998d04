"""What a profiled run of onnxruntime tells: every executed node with its shapes, and the arena's peak."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Shape = tuple[int, ...]

#: onnxruntime drops what comes after this many events.
MAX_EVENTS = 1_000_000

_NEARLY = 0.99
_KERNEL = "_kernel_time"
_NODE = '"Node"'

#: Lists of shapes as they are written, with what they say.
_Known = dict[str, tuple[Shape, ...]]


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
    known: _Known = {}
    climbs: list[tuple[int, Executed]] = []
    events = 0
    for text in _events(path):
        events += 1
        found = _quick(text, known) or _parsed(text, known) if _NODE in text else None
        if found is None:
            continue
        node, peak = found
        executed[node] += 1
        if peak > (climbs[-1][0] if climbs else 0):
            climbs.append((peak, node))
    highest = climbs[-1][0] if climbs else None
    return Trace(executed, highest, events < MAX_EVENTS, _summit(climbs))


def _summit(climbs: list[tuple[int, Executed]]) -> Executed | None:
    """Return the node that brought the peak within 1 % of its height: what adds a few bytes later is not its cause."""
    return next((node for height, node in climbs if height >= _NEARLY * climbs[-1][0]), None)


def _events(path: Path) -> Iterator[str]:
    """Yield every event as it is written: the runtime writes one a line."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.strip().removesuffix(",")
            if text not in ("[", "]", ""):
                yield text


def _parsed(text: str, known: _Known) -> tuple[Executed, int] | None:
    """Read one event; None where it is not a node's kernel."""
    event = json.loads(text)
    name, args = str(event.get("name", "")), event.get("args", {})
    if event.get("cat") != "Node" or not name.endswith(_KERNEL):
        return None
    inputs, outputs = (_shapes(json.dumps(args[key]), known) for key in ("input_type_shape", "output_type_shape"))
    size, peak = int(args.get("output_size", 0)), int(args.get("mem_in_use_peak", 0))
    return Executed(args["op_name"], name.removesuffix(_KERNEL), inputs, outputs, size), peak


def _quick(text: str, known: _Known) -> tuple[Executed, int] | None:
    """Read the event of a node's kernel as today's runtimes write it; None where that is not certain.

    Parsing the whole of it takes several times as long. A quotation mark inside a name is written with a backslash.
    """
    if "\\" in text or not text.startswith('{"cat" : "Node",'):
        return None
    name, op = _between(text, '"name" :"', f'{_KERNEL}","args" : {{'), _between(text, '"op_name" : "', '"')
    inputs, outputs = _between(text, '"input_type_shape" : ', "]}]"), _between(text, '"output_type_shape" : ', "]}]")
    size, peak = _between(text, '"output_size" : "', '"'), _between(text, '"mem_in_use_peak" : "', '"')
    filled = inputs.startswith("[{") and outputs.startswith("[{")
    if not (name and op and filled and size and peak) or '"' in name:
        return None
    shapes = _shapes(f"{inputs}]}}]", known), _shapes(f"{outputs}]}}]", known)
    return Executed(sys.intern(op), name, *shapes, int(size)), int(peak)


def _between(text: str, start: str, end: str) -> str:
    """Return what stands between two marks; empty where one is not there."""
    begin = text.find(start)
    stop = text.find(end, begin + len(start))
    return text[begin + len(start) : stop] if begin >= 0 and stop >= 0 else ""


def _shapes(text: str, known: _Known) -> tuple[Shape, ...]:
    """Read `[{"float": [1, 3]}, ...]`; equal ones are read and kept once."""
    found = known.get(text)
    if found is None:
        listed: list[dict[str, list[int]]] = json.loads(text)
        found = tuple(tuple(shape) for entry in listed for shape in entry.values())
        known[text] = found
    return found
