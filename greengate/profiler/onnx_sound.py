"""Whether a model that the runtime does not take is broken, or made for another runtime.

The runtime checks names, circles and outputs before it looks for operators, and stops at the first operator that it
does not have; what it did not come to is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from greengate.profiler import onnx_model
from greengate.profiler.operations.formulas import FORMULAS
from greengate.profiler.operations.free import FREE


@dataclass(frozen=True)
class Newest:
    """The newest versions that the installed onnx package knows: of the format, and of its operator sets by domain."""

    package: str
    ir: int
    opsets: dict[str, int]


def newest() -> Newest:
    """Return what the installed onnx package knows."""
    import onnx

    _, ir, standard, learning, *_ = onnx.helper.VERSION_TABLE[-1]
    return Newest(onnx.__version__, ir, {"": standard, "ai.onnx": standard, "ai.onnx.ml": learning})


def too_new(proto: Any) -> str:
    """Return which operator set of a model nobody here knows; empty where all are known."""
    known = newest()
    for item in proto.opset_import:
        if item.version > (last := known.opsets.get(item.domain, item.version)):
            title = f"opset {item.version}" + (f" of {item.domain}" if item.domain else "")
            return f"{title} is newer than onnx {known.package} knows, which ends at {last}"
    return ""


def misfit(proto: Any) -> str:
    """Return the first node that its operator set rules out; empty for a sound model.

    Only operators of the standard's own domains are looked at, without those that runtimes add to them.
    """
    known = newest().opsets
    told: dict[tuple[str, str, int | None], _Arity | str] = {}
    for node, versions in _nodes(proto):
        if node.domain not in known:
            continue
        key = node.op_type, "" if node.domain == "ai.onnx" else node.domain, versions.get(node.domain)
        if key not in told:
            told[key] = _arity(*key)
        found = told[key]
        if isinstance(found, str):
            return found
        if not found.least <= len(node.input) <= found.most:
            shown = f"{node.op_type} {node.name!r}" if node.name else node.op_type
            return f"{shown} has {len(node.input)} inputs, and takes {found.least} to {found.most}"
    return ""


@dataclass(frozen=True)
class _Arity:
    """How many inputs an operator takes."""

    least: int
    most: int


_ANY = _Arity(0, 2**31)


def _arity(op: str, domain: str, version: int | None) -> _Arity | str:
    """Return how many inputs an operator takes, or why there is no such operator."""
    from onnx import defs

    if version is None:
        return f"{op} is of no operator set that the model imports"
    if not defs.has(op, version, domain):
        own = (domain, op) in FORMULAS or (domain, op) in FREE  # runtimes add a few to the standard's domain
        return _ANY if own and not defs.has(op, domain) else f"no operator {op} in opset {version}"
    schema = defs.get_schema(op, version, domain)
    return _Arity(schema.min_input, schema.max_input)


def _nodes(proto: Any) -> Iterator[tuple[Any, dict[str, int]]]:
    """Yield every node with the operator sets it may come from: the model's, or those of its function."""
    own = _versions(proto)
    for graph in onnx_model.graphs(proto):
        versions = own | _versions(graph) if hasattr(graph, "opset_import") else own
        for node in graph.node:
            yield node, versions


def _versions(proto: Any) -> dict[str, int]:
    found = {item.domain: item.version for item in proto.opset_import}
    standard = found.get("", found.get("ai.onnx"))
    return found if standard is None else found | {"": standard, "ai.onnx": standard}
