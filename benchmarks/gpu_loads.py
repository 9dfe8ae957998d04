"""A board under known work, in a process of its own: idle, compute-bound, memory-bound, or a square wave of work.

Reads a line of JSON for each change of work, `{"kind": "wave", "period": 0.1, "anchor": 123.4}`, and answers with a
line that says how many calls the work before came to; ends with its input. Work of a wave is done in the first half of
every period since `anchor`, in seconds of the monotonic clock.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
from collections.abc import Callable
from typing import Any

#: Side of the matrices that are multiplied, and elements that are copied, by what they are for.
SIZES = {"cuda": (4096, 1 << 28), "cpu": (128, 1 << 18)}


def work(device: str) -> dict[str, Callable[[], object]]:
    """Return a call of every kind of work, each done when it returns."""
    import torch

    side, elements = SIZES["cuda" if device.startswith("cuda") else "cpu"]
    kind = torch.bfloat16 if device.startswith("cuda") else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.zeros(elements, device=device)
    target = torch.empty_like(source)

    def done() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    def compute() -> None:
        torch.mm(left, right, out=product)
        done()

    def memory() -> None:
        target.copy_(source)
        done()

    for each in (compute, memory):  # libraries are loaded and memory is taken before anything is counted
        each()
    return {"compute": compute, "memory": memory, "idle": lambda: time.sleep(0.001)}


def on(command: dict[str, Any], now: float) -> bool:
    """Tell whether a wave is in the first half of its period; any other work is always on."""
    return command["kind"] != "wave" or (now - command["anchor"]) % command["period"] < command["period"] / 2


def serve(device: str) -> None:
    """Work until the input ends, one answer a command."""
    calls = work(device)
    command: dict[str, Any] = {"kind": "idle"}
    count = 0
    print(json.dumps({"device": device, "calls": 0}), flush=True)
    while True:
        if select.select([sys.stdin], [], [], 0)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            print(json.dumps({"calls": count}), flush=True)
            command, count = json.loads(line), 0
        if on(command, time.monotonic()):
            calls["compute" if command["kind"] == "wave" else command["kind"]]()
            count += 1
        else:
            time.sleep(0.0002)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Keep a board busy as it is told on stdin.")
    parser.add_argument("--device", default="cuda")
    serve(parser.parse_args().device)
