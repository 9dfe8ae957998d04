"""What can be known of a graph's values without running it: type and shape, and the numbers of small constants.

Inputs have sizes, so nearly everything that exporters compute about shapes is constant: ONNX's own inference gives
each node's shapes, its reference implementation the small numbers that later shapes depend on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from greengate.profiler.operations.contrib_shapes import as_standard, contrib_shape
from greengate.profiler.operations.trace import Shape

#: Values of more elements than this are weights or activations, not sizes.
SMALL = 4096

_EXTERNAL, _STRING = 1, 8

#: Their results have a size that is itself a value; no larger than their input.
_SHRINKING = frozenset({"NonZero", "Unique", "Compress"})

_CHANCE = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


@dataclass(frozen=True)
class Known:
    """What is known of one value: its onnx.TypeProto, and its numbers where it is a small constant."""

    type: Any = None
    value: Any = None

    @cached_property
    def shape(self) -> Shape | None:
        """The shape, None where a dimension is open."""
        dims = self.dims
        return (
            None if dims is None or any(dim is None for dim in dims) else tuple(dim for dim in dims if dim is not None)
        )

    @cached_property
    def dims(self) -> tuple[int | None, ...] | None:
        """Every dimension, None for an open one; None where not even their number is known."""
        if self.type is None or not self.type.HasField("tensor_type") or not self.type.tensor_type.HasField("shape"):
            return None
        return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in self.type.tensor_type.shape.dim)

    @property
    def bytes(self) -> int:
        """Bytes of the tensor; 0 where its shape is open."""
        from onnx import helper

        if self.shape is None or self.type.tensor_type.elem_type == _STRING:
            return 0
        return int(math.prod(self.shape) * helper.tensor_dtype_to_np_dtype(self.type.tensor_type.elem_type).itemsize)


OPEN = Known()


def tensor(kind: int, dims: Sequence[int | None]) -> Known:
    """Return what is known of a tensor of an element type and a shape."""
    from onnx import helper

    return Known(helper.make_tensor_type_proto(kind, list(dims)))


def constant(proto: Any) -> Known:
    """Return what is known of a stored tensor; its numbers where it is small and they lie in the model itself."""
    from onnx import helper, numpy_helper

    shaped = Known(helper.make_tensor_type_proto(proto.data_type, list(proto.dims)))
    if math.prod(proto.dims) > SMALL or proto.data_location == _EXTERNAL:
        return shaped
    try:
        return Known(shaped.type, numpy_helper.to_array(proto))
    except (ValueError, TypeError, RuntimeError):
        return shaped


def stored_constant(node: Any) -> Known:
    """Return what is known of the output of a Constant node."""
    import numpy as np
    from onnx import helper

    item = node.attribute[0]
    if item.name == "value":
        return constant(item.t)
    if item.name == "sparse_value":
        return tensor(item.sparse_tensor.values.data_type, list(item.sparse_tensor.dims))
    value = helper.get_attribute_value(item)
    if item.name.startswith("value_string"):
        return tensor(_STRING, [] if item.name == "value_string" else [len(value)])
    array = np.array(value, np.float32 if "float" in item.name else np.int64)
    return Known(tensor(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape).type, array)


@dataclass
class Inference:
    """Works out one node at a time, for a model of certain operator sets; remembers how to compute repeated nodes."""

    opsets: Mapping[str, int]
    ir_version: int
    _evaluators: dict[bytes, Any] = field(default_factory=dict)

    def outputs(self, node: Any, given: Sequence[Known]) -> list[Known]:
        """Return what is known of every output of a node without graphs inside; OPEN where that is nothing."""
        plain = as_standard(node)
        given = given[: len(plain.input)]
        if plain.op_type == "Range":
            given = [_scalar(item) for item in given]
        types = self._types(plain, given)
        found = [Known(types.get(name)) for name in plain.output]
        values = self._values(plain, given, found)
        return found if values is None else [_joined(*pair) for pair in zip(found, values, strict=True)]

    def _types(self, node: Any, given: Sequence[Known]) -> dict[str, Any]:
        """Return the types of outputs by name, by ONNX's inference or by that of a contrib operator."""
        import onnx
        from onnx import helper, numpy_helper, shape_inference

        try:
            schema = onnx.defs.get_schema(node.op_type, self.opsets.get(node.domain, 1), node.domain)
        except onnx.defs.SchemaError:
            return {name: known.type for name, known in zip(node.output, contrib_shape(node, given), strict=False)}
        named = {name: known for name, known in zip(node.input, given, strict=True) if name}
        if any(known.type is None for known in named.values()):
            return {}
        try:
            return dict(
                shape_inference.infer_node_outputs(
                    schema,
                    node,
                    {name: known.type for name, known in named.items()},
                    {
                        name: numpy_helper.from_array(known.value, name)
                        for name, known in named.items()
                        if _numbers(known)
                    },
                    opset_imports=[helper.make_opsetid(*item) for item in self.opsets.items()],
                    ir_version=self.ir_version,
                )
            )
        except Exception:  # noqa: BLE001 - ONNX's inference raises many kinds on a file that is wrong
            return {}

    def _values(self, node: Any, given: Sequence[Known], found: Sequence[Known]) -> list[Any] | None:
        """Return the numbers of a node's outputs, or None: not all inputs are known, or the outputs are large."""
        import numpy as np

        if node.domain not in ("", "ai.onnx") or node.op_type in _CHANCE:
            return None
        if node.op_type in ("Shape", "Size"):
            return _measured(node, given[0].shape)
        if not given or any(name and known.value is None for name, known in zip(node.input, given, strict=True)):
            return None
        shapes = [item.shape for item in found]
        if node.op_type not in _SHRINKING and any(shape is None or math.prod(shape) > SMALL for shape in shapes):
            return None
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return self._run(node, given)
        except Exception:  # noqa: BLE001 - the reference implementation of any operator
            return None

    def _run(self, node: Any, given: Sequence[Known]) -> list[Any]:
        """Compute a node with ONNX's reference implementation; nodes that differ only in names share theirs."""
        import onnx
        from onnx.reference import ReferenceEvaluator

        alike = onnx.NodeProto()
        alike.CopyFrom(node)
        alike.ClearField("name")
        alike.input[:] = [f"i{index}" if name else "" for index, name in enumerate(node.input)]
        alike.output[:] = [f"o{index}" for index in range(len(node.output))]
        key = alike.SerializeToString()
        if key not in self._evaluators:
            self._evaluators[key] = ReferenceEvaluator(alike, opsets=dict(self.opsets))
        feed = {name: known.value for name, known in zip(alike.input, given, strict=True) if name}
        return list(self._evaluators[key].run(None, feed))


def _scalar(known: Known) -> Known:
    """Return one number without its dimension: runtimes take both where the standard wants a scalar."""
    if known.value is None or known.value.size != 1:
        return known
    return Known(tensor(known.type.tensor_type.elem_type, ()).type, known.value.reshape(()))


def _numbers(known: Known) -> bool:
    """Tell whether numbers are known that shapes can depend on."""
    return (
        known.value is not None and getattr(known.value, "dtype", None) is not None and known.value.dtype.kind in "iufb"
    )


def _measured(node: Any, shape: Shape | None) -> list[Any] | None:
    """Return the numbers of Shape (with its start and end) and Size, which need no more than a shape."""
    import numpy as np

    if shape is None:
        return None
    if node.op_type == "Size":
        return [np.array(math.prod(shape), np.int64)]
    ends = {item.name: item.i for item in node.attribute}
    return [np.array(shape[ends.get("start", 0) : ends.get("end", len(shape))], np.int64)]


def _joined(found: Known, value: Any) -> Known:
    """Put numbers beside a type; their shape replaces an open one."""
    import numpy as np
    from onnx import helper

    array = np.asarray(value)
    if found.shape == array.shape:
        return Known(found.type, array)
    try:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    except (KeyError, ValueError):
        return found
    return Known(helper.make_tensor_type_proto(kind, array.shape), array)
