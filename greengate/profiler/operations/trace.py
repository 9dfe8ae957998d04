"""What a profiled run of onnxruntime tells: every executed node with its shapes, and the arena's peak."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Shape = tuple[int, ...]

#: onnxruntime drops what comes after this many events.
MAX_EVENTS = 1_000_000

_KERNEL = "_kernel_time"


@dataclass(frozen=True)
class Executed:
    """One execution of one node: shapes of the inputs that were given and of the outputs, in order."""

    op: str
    name: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


@dataclass(frozen=True)
class Trace:
    """All executed nodes in order; `peak` is bytes of the runtime's arena, None where the runtime does not say.

    `whole` is False when the runtime stopped recording before the run ended.
    """

    executed: tuple[Executed, ...]
    peak: int | None
    whole: bool


def read(path: Path) -> Trace:
    """Read the JSON file that InferenceSession.end_profiling names."""
    events = json.loads(path.read_text(encoding="utf-8"))
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)]
    peaks = [int(event["args"]["mem_in_use_peak"]) for event in kernels if "mem_in_use_peak" in event["args"]]
    executed = tuple(_executed(event) for event in kernels)
    return Trace(executed, max(peaks, default=None), len(events) < MAX_EVENTS)


def _executed(event: dict[str, Any]) -> Executed:
    args = event["args"]
    name = event["name"].removesuffix(_KERNEL)
    return Executed(args["op_name"], name, _shapes(args["input_type_shape"]), _shapes(args["output_type_shape"]))


def _shapes(listed: Iterable[dict[str, list[int]]]) -> tuple[Shape, ...]:
    """Read `[{"float": [1, 3]}, ...]`."""
    return tuple(tuple(shape) for entry in listed for shape in entry.values())
