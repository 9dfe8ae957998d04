"""Pairs of models whose true difference is known, a neighbour that burns beside them, raw files of what was measured.

Shared by verdicts.py (timed metrics) and instructions.py (counted ones).
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests"), str(HERE.parent / "tests" / "profiler")]

from greengate.profiler.hardware import this_machine  # noqa: E402

BURN = """
import random, sys, time, os
os.sched_setaffinity(0, {int(sys.argv[1])})
r = random.Random(sys.argv[2])
parent = os.getppid()
while os.getppid() == parent:  # a benchmark that is killed leaves no neighbour to the next one
    end = time.perf_counter() + r.expovariate(1 / 0.15)
    while time.perf_counter() < end:
        sum(range(1000))
    time.sleep(r.expovariate(1 / 0.15))
"""


# --- models -------------------------------------------------------------------------------------------------------


def originals(folder: Path) -> dict[str, Path]:
    """Return the three models: a CNN of about 1 ms, a classifier of about 5 ms, a recogniser of about 15 ms."""
    import realmodels

    probe = HERE.parent / "greengate" / "profiler" / "probe.onnx"
    (folder / "cnn.onnx").write_bytes(probe.read_bytes())
    return {
        "cnn": folder / "cnn.onnx",
        "classifier": realmodels.fetch("magika-v1"),
        "recogniser": realmodels.fetch("ocr-rec"),
    }


def reserialised(source: Path, target: Path) -> Path:
    """Write the same network with another doc string."""
    import onnx

    model = onnx.load(source)
    model.doc_string = "the same network, written again"
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def heavier(source: Path, target: Path, columns: int, lines: int = 128) -> Path:
    """Write the network with a block of real work that follows the input: `lines` x 256 times 256 x `columns`."""
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    chance = numpy.random.default_rng(0)
    left = chance.standard_normal((lines, 256)).astype("float32")
    right = chance.standard_normal((256, columns)).astype("float32")
    graph.initializer.extend([numpy_helper.from_array(left, "gg_left"), numpy_helper.from_array(right, "gg_right")])
    first = graph.input[0].name
    graph.node.extend(
        [
            helper.make_node("ReduceMax", [first], ["gg_scalar"], keepdims=0),
            helper.make_node("Mul", ["gg_left", "gg_scalar"], ["gg_scaled"]),
            helper.make_node("MatMul", ["gg_scaled", "gg_right"], ["gg_product"]),
            helper.make_node("ReduceMax", ["gg_product"], ["gg_extra"], keepdims=0),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("gg_extra", TensorProto.FLOAT, []))
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


# --- beside and around --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def neighbour(load: str, seed: int) -> Iterator[None]:
    """Burn and pause at random beside what is measured, on every core this process may use."""
    if load == "quiet":
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    burning = [subprocess.Popen([sys.executable, "-c", BURN, str(core), f"{seed} {core}"]) for core in cores]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def records(raw: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.read_text().splitlines()] if raw.exists() else []


def append(raw: Path, record: dict[str, Any]) -> None:
    with raw.open("a") as file:
        file.write(json.dumps(record) + "\n")


@functools.cache
def revision() -> str:
    """Return the commit that is measured."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def machine() -> dict[str, Any]:
    import importlib.metadata

    here = this_machine()
    versions = {name: importlib.metadata.version(name) for name in ("onnxruntime", "numpy", "onnx")}
    when = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"kind": "machine", "cpu": here.cpu, "cores": here.cores, "system": here.system, "date": when} | versions
