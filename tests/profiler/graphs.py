"""Tiny ONNX models for tests, each written to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, INT32, UINT8, INT8, BOOL = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.BOOL,
)
Shape = Sequence[int | str | None]


def value(name: str, shape: Shape | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, shape: Sequence[int], dtype: str = "float32") -> onnx.TensorProto:
    """Return a tensor of ones."""
    return numpy_helper.from_array(np.ones(tuple(shape), dtype), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    outputs: Sequence[str | onnx.ValueInfoProto] = ("y",),
    *,
    opset: int = 17,
    domains: Mapping[str, int] | None = None,
    **kept: Any,
) -> onnx.ModelProto:
    """Return a model; an output given by name is a float tensor of unknown shape."""
    declared = [value(item, None) if isinstance(item, str) else item for item in outputs]
    graph = helper.make_graph(list(nodes), "g", list(inputs), declared, list(weights))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*item) for item in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=kept.pop("ir_version", 9), **kept)


def relu(shape: Shape = (1, 4), **kept: Any) -> onnx.ModelProto:
    return model([helper.make_node("Relu", ["x"], ["y"])], [value("x", shape)], **kept)


def linear(shape: Shape = ("batch", 4), columns: int = 3) -> onnx.ModelProto:
    """Return x [batch, 4] times a weight [4, columns]."""
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", shape)], [weight("w", (4, columns))])


def save(proto: onnx.ModelProto, path: Path) -> str:
    path.write_bytes(proto.SerializeToString())
    return str(path)


def external(path: Path, location: str, **told: object) -> str:
    """Write a model whose 4 x 3 weight (48 bytes) lies in external data at `location`, and return its path."""
    proto = linear()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, item in {"location": location, **told}.items():
        tensor.external_data.add(key=key, value=str(item))
    return save(proto, path)
