"""Counting a model, or a formula, in a test's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import model, save, value, weight
from onnx import helper, numpy_helper

from greengate.profile import Measurement, WorkloadSpec
from greengate.profiler.backends.onnx_count import count_model
from greengate.profiler.jobs import Counted, CountJob
from greengate.profiler.operations.trace import Executed, Shape

MS = "com.microsoft"
op = helper.make_node


def counted(proto: onnx.ModelProto | str, folder: Path, workload: WorkloadSpec = WorkloadSpec()) -> Counted:  # noqa: B008
    """Count a model, or the one at a path, in this process."""
    path = proto if isinstance(proto, str) else save(proto, folder / "model.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return count_model(CountJob(path, workload), lambda _: None)


def number(found: Counted, metric: str) -> float:
    measured = found.measurements[metric]
    assert isinstance(measured, Measurement), measured
    return measured.value


def macs(proto: onnx.ModelProto, folder: Path, workload: WorkloadSpec = WorkloadSpec()) -> float:  # noqa: B008
    found = counted(proto, folder, workload)
    assert number(found, "flops") == 2 * number(found, "macs")
    return number(found, "macs")


def one(
    kind: str, x: tuple[int, ...], *weights: tuple[int, ...], domain: str = "", **attributes: object
) -> onnx.ModelProto:
    """Return a graph of one float operator over `x` and weights of the given shapes."""
    names = [f"w{index}" for index in range(len(weights))]
    opset = attributes.pop("opset", 17)
    node = op(kind, ["x", *names], ["y"], domain=domain, **attributes)
    domains = {domain: 1} if domain else None
    tensors = [weight(*item) for item in zip(names, weights, strict=True)]
    return model([node], [value("x", x)], tensors, opset=int(str(opset)), domains=domains)


def scales(*names: str, zero: str = "uint8") -> list[onnx.TensorProto]:
    """Return a scale and a zero point for each name: n_s and n_z."""
    return [
        item for n in names for item in (weight(f"{n}_s", ()), numpy_helper.from_array(np.zeros((), zero), f"{n}_z"))
    ]


def ran(kind: str, inputs: Sequence[Shape | None], *outputs: Shape) -> Executed:
    """Return one execution of an operator by its shapes alone."""
    return Executed(kind, "node", tuple(inputs), outputs)


Attributes = Mapping[str, Any]
