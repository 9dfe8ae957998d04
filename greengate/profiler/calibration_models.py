"""ONNX models of four families and many sizes, for calibrating energy: what a processor does with each differs.

Products of matrices with large weights, which wait for memory; convolutions, which hardly do; attention, which is
between them; and element-wise operations, which compute next to nothing on what they move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto

#: What tells models of a family apart, smallest first: width, channels, tokens, elements.
SIZES: Mapping[str, tuple[int, ...]] = {
    "mlp": (256, 384, 512, 768, 1024, 1536),
    "cnn": (16, 24, 32, 48, 64, 96),
    "attention": (32, 64, 128, 192, 256, 384),
    "elementwise": (1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23),
}

#: Layers of each, the side of an image, the width of attention.
_LAYERS, _SIDE, _WIDTH = 4, 32, 256


def write(folder: Path) -> dict[str, str]:
    """Write every model into a folder; return the family of each by its path."""
    import onnx

    found = {}
    for family, sizes in SIZES.items():
        for size in sizes:
            path = folder / f"{family}-{size}.onnx"
            onnx.save(MAKERS[family](size), path)
            found[str(path)] = family
    return found


def _mlp(width: int) -> ModelProto:
    return _stack([1, width], [("MatMul", (width, width)), ("Relu", None)])


def _cnn(channels: int) -> ModelProto:
    return _stack([1, channels, _SIDE, _SIDE], [("Conv", (channels, channels, 3, 3)), ("Relu", None)])


def _elementwise(elements: int) -> ModelProto:
    return _stack([1, elements], [("Add", (1,)), ("Relu", None)])


def _stack(shape: list[int], layer: list[tuple[str, tuple[int, ...] | None]]) -> ModelProto:
    """Return so many equal layers, one operation after the other; a weight comes second where there is one."""
    from onnx import helper

    nodes, weights, last = [], [], "x"
    for number in range(_LAYERS):
        for operation, of in layer:
            name = f"{operation}{number}"
            if of is not None:
                weights.append(_weight(f"{name}.w", of))
            more: dict[str, Any] = {"pads": [1, 1, 1, 1]} if operation == "Conv" else {}
            nodes.append(helper.make_node(operation, [last, *([f"{name}.w"] if of else [])], [name], **more))
            last = name
    return _model(nodes, weights, shape, last)


def _attention(tokens: int) -> ModelProto:
    """Return layers of attention with one head, and of a feed-forward part."""
    from onnx import helper

    nodes, weights, last = [], [], "x"

    def add(operation: str, inputs: list[str], name: str, **more: Any) -> str:
        nodes.append(helper.make_node(operation, inputs, [name], **more))
        return name

    def product(source: str, name: str, rows: int, columns: int) -> str:
        weights.append(_weight(f"{name}.w", (rows, columns)))
        return add("MatMul", [source, f"{name}.w"], name)

    for number in range(_LAYERS):
        query, key, value = (product(last, f"{part}{number}", _WIDTH, _WIDTH) for part in "qkv")
        turned = add("Transpose", [key], f"kt{number}", perm=[0, 2, 1])
        scores = add("Softmax", [add("MatMul", [query, turned], f"s{number}")], f"p{number}", axis=-1)
        mixed = product(add("MatMul", [scores, value], f"m{number}"), f"o{number}", _WIDTH, _WIDTH)
        wide = add("Relu", [product(mixed, f"f{number}", _WIDTH, 4 * _WIDTH)], f"r{number}")
        last = product(wide, f"g{number}", 4 * _WIDTH, _WIDTH)
    return _model(nodes, weights, [1, tokens, _WIDTH], last)


def _weight(name: str, shape: tuple[int, ...]) -> Any:
    """Return weights that keep values of a size, so that none overflows and none is denormal."""
    import math

    import numpy
    from onnx import numpy_helper

    chance = numpy.random.default_rng(0)
    values = chance.standard_normal(shape) / math.sqrt(max(1, math.prod(shape) // shape[-1 if len(shape) == 2 else 0]))
    return numpy_helper.from_array(values.astype(numpy.float32), name)


def _model(nodes: list[Any], weights: list[Any], shape: list[int], last: str) -> ModelProto:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", last)]
    graph = helper.make_graph(nodes, "calibration", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


MAKERS: Mapping[str, Callable[[int], ModelProto]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "attention": _attention,
    "elementwise": _elementwise,
}
