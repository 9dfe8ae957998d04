"""Operations of an ONNX graph that cannot run here, from shapes worked out without running it.

The same formulas as for an executed graph. Weights are not needed and never read; shapes annotated in the file are
not believed. What depends on values that are not known makes the count Missing, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greengate.profile import Input, Measurement, Missing, WorkloadSpec
from greengate.profiler import feed
from greengate.profiler.jobs import Refused
from greengate.profiler.operations import counting
from greengate.profiler.operations.counting import Count
from greengate.profiler.operations.stored import Declared, declared
from greengate.profiler.operations.walk import Inference, Ran, Walk
from greengate.profiler.operations.weights import Ledger

_SHOWN = 3

#: Element types of numpy by their number in TensorProto; values of the others are made as float32.
_DTYPES = {
    **{1: "float32", 10: "float16", 11: "float64", 9: "bool", 8: "string"},
    **{2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 12: "uint32", 13: "uint64"},
}
_OTHERS = {16: "bfloat16", 17: "float8_e4m3fn", 19: "float8_e5m2"}


@dataclass(frozen=True)
class StaticCount:
    """What one call would compute, and the stored nodes; while `open` is not empty, MACs are of no use.

    `open` names every node that cannot be told and what it lacks; `apart` does so where it is only element-wise work
    that cannot be told.
    """

    count: Count
    open: tuple[str, ...]
    declared: tuple[Declared, ...] = ()
    apart: tuple[str, ...] = ()


def count(
    proto: Any, inputs: Sequence[Input], values: Mapping[str, Any] | None = None, ledger: Ledger | None = None
) -> StaticCount:
    """Count one call of a model on inputs of given shapes.

    `proto` is a ModelProto with or without weights. `values` are arrays that are fed: small ones decide branches and
    sizes, as when the model runs. `ledger` learns every weight. Raises nothing: what cannot be told is in `open`.
    """
    try:
        return _count(_inlined(proto), inputs, values or {}, ledger)
    except Exception as error:  # noqa: BLE001 - a file can say anything
        first = (str(error).splitlines() or [""])[0][:200]
        return StaticCount(
            counting.count({}, ()), (f"the graph, which cannot be followed: {type(error).__name__} {first}",)
        )


def _count(model: Any, inputs: Sequence[Input], fed: Mapping[str, Any], ledger: Ledger | None) -> StaticCount:
    stored = tuple(declared(model, ledger, _numbers(fed)))
    ran = Walk(Inference(_opsets(model), model.ir_version), stored).run(model.graph, inputs, fed)
    counted = counting.count(ran.executed, stored)
    return StaticCount(
        counted, tuple(dict.fromkeys([*_open(counted, ran), *ran.doubts])), stored, tuple(dict.fromkeys(ran.apart))
    )


def _numbers(fed: Mapping[str, Any]) -> dict[str, int]:
    """Return the inputs that are one whole number, which formulas may ask for."""
    return {name: int(array.item()) for name, array in fed.items() if array.size == 1 and array.dtype.kind in "iu"}


def _inlined(proto: Any) -> Any:
    """Return the model as an onnx.ModelProto, its functions put where they are called."""
    import onnx
    from onnx import inliner

    model = onnx.ModelProto.FromString(proto.SerializeToString())
    return inliner.inline_local_functions(model) if model.functions else model


def _opsets(model: Any) -> dict[str, int]:
    return {"" if item.domain == "ai.onnx" else item.domain: item.version for item in model.opset_import}


def _open(counted: Count, ran: Ran) -> list[str]:
    """Return the nodes that are not understood because of an open dimension, not because nobody knows them."""
    strange = {title.rpartition(".")[2] for title in counted.unknown if "(" not in title}
    lines = [(line.op, line.name) for line in counted.lines if line.macs is None and line.op not in strange]
    return [ran.hints[key] for key in lines if key in ran.hints]


# --- as the backend needs it --------------------------------------------------------------------


def feeds(proto: Any, spec: WorkloadSpec, arrays: Mapping[str, Any] | None = None) -> feed.Feeds:
    """Resolve the inputs that the model declares, as for a model that runs. Raises Refused, see feed.prepare."""
    stored = {item.name for item in proto.graph.initializer}
    wanted = [item for item in proto.graph.input if item.name not in stored]
    kinds = {item.name: item.type.tensor_type.elem_type for item in wanted}
    fed = feed.prepare([_signature(item) for item in wanted], spec, arrays)
    return replace(
        fed,
        inputs=tuple(replace(item, dtype=_OTHERS.get(kinds[item.name], item.dtype)) for item in fed.inputs),
    )


def _signature(item: Any) -> feed.Signature:
    if not item.type.HasField("tensor_type") or not item.type.tensor_type.HasField("shape"):
        message = f"input {item.name!r} is no tensor of known rank, which this version cannot feed"
        raise Refused("model-unsupported", message, "measure a model whose inputs are plain tensors")
    shape = tuple(_dimension(dim) for dim in item.type.tensor_type.shape.dim)
    return feed.Signature(item.name, _DTYPES.get(item.type.tensor_type.elem_type, "float32"), shape)


def _dimension(dim: Any) -> feed.Dim:
    """Return a declared dimension as the runtime reads it: some exporters write an open one as -1."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return str(dim.dim_param) or None


def measurements(found: StaticCount, batch: int) -> dict[str, Measurement | Missing]:
    """Return macs, flops and elementwise_ops per item, method "static", or why they are Missing."""
    if reason := _reason(found):
        names = ("macs", "flops", "elementwise_ops")
        return dict.fromkeys(names, Missing(reason, help="a count without them would be too small"))
    detail = f"shapes worked out without running the model: {found.count.coverage}, {found.count.counted} nodes counted"

    def told(value: float) -> Measurement:
        return Measurement(value / batch, "static", detail=detail)

    return {
        "macs": told(found.count.macs),
        "flops": told(2 * found.count.macs),
        "elementwise_ops": _beside(found, told),
    }


def _beside(found: StaticCount, told: Callable[[float], Measurement]) -> Measurement | Missing:
    """Return the element-wise operations, or why they are Missing."""
    if found.count.unweighed:
        return Missing(f"operators whose work shapes do not tell: {', '.join(sorted(found.count.unweighed))}")
    if found.apart:
        return Missing(_listed(found.apart), help="a count without them would be too small")
    return told(found.count.elementwise)


def _reason(found: StaticCount) -> str:
    """Return what cannot be told; empty where everything can."""
    strange = [f"{op} x{often}" if often > 1 else op for op, often in sorted(found.count.unknown.items())]
    strange = [text for text in strange if not found.open or "(no shape of " not in text]
    parts = [f"operators that this version does not count: {', '.join(strange)}"] if strange else []
    if found.open:
        parts.append(_listed(found.open))
    return "; ".join(parts)


def _listed(doubts: Sequence[str]) -> str:
    more = f"; and {len(doubts) - _SHOWN} more" if len(doubts) > _SHOWN else ""
    return f"not told by the graph alone: {'; '.join(doubts[:_SHOWN])}{more}"
