"""The nodes as stored in the file: what a trace does not tell."""

from __future__ import annotations

import ast
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from greengate.profiler.operations.formulas import Attributes, NotUnderstood
from greengate.profiler.operations.packing import Packing
from greengate.profiler.operations.weights import Ledger, Scope

MICROSOFT = "com.microsoft"

#: Names from a file are cut to this length: they go into every report.
_LONGEST = 200

_SCOPES = "pkg.torch.onnx.name_scopes"

#: Fields of an AttributeProto by its type.
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}

_Constants = ChainMap[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """One stored node. The standard domain is the empty text; `name` is the one the runtime runs it under.

    `given` says which inputs are there, by position. `layer` is its module path where the exporter tells it, else its
    name; `named` is False where the file gives none. `inlined` nodes belong to a function and run under other names; a
    `caller` does not run itself, the nodes of its function do. `params` and `weight_bytes` are of the weights it is
    the first to use.
    """

    op: str
    domain: str
    name: str
    attributes: Attributes
    given: tuple[bool, ...] = ()
    layer: str = ""
    named: bool = True
    inlined: bool = False
    caller: bool = False
    params: int = 0
    weight_bytes: int = 0


class _Stored(Mapping[str, Any]):
    """Attributes of one node, decoded when they are asked for. Raises NotUnderstood for one that a caller sets."""

    __slots__ = ("_constants", "_node", "_opset")

    def __init__(self, node: Any, constants: _Constants, opset: int) -> None:
        self._node, self._constants, self._opset = node, constants, opset

    def __getitem__(self, key: str) -> Any:
        if key.startswith("input "):
            position = int(key.removeprefix("input "))
            return self._constants[self._node.input[position] if position < len(self._node.input) else ""]
        if key == "opset":
            return self._opset
        for item in self._node.attribute:
            if item.name == key:
                return _decoded(item)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (item.name for item in self._node.attribute)

    def __len__(self) -> int:
        return len(self._node.attribute)


def _decoded(item: Any) -> Any:
    if item.ref_attr_name:
        raise NotUnderstood("attributes that its caller sets")
    value = getattr(item, _FIELDS[item.type])
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if item.type == 8:
        return tuple(text.decode(errors="replace") for text in value)
    return tuple(value) if item.type > 5 else value


@dataclass(frozen=True)
class _Graph:
    """A graph, or a function, on the way through the model: names of small constants and of weights around it."""

    proto: Any
    constants: _Constants
    weights: Scope
    inlined: bool

    def within(self, proto: Any) -> _Graph:
        return _Graph(proto, self.constants.new_child(), self.weights.new_child(), self.inlined)


def declared(proto: Any, ledger: Ledger | None = None, fed: dict[str, int] | None = None) -> Iterator[Declared]:
    """Yield every stored node of a model: of its graph, the graphs inside nodes, and its functions.

    `ledger` learns every weight on the way. `fed` are inputs of one whole number, an axis or a length; it is looked
    into when a formula asks, so that it may be filled later.
    """
    ledger, packing = Ledger() if ledger is None else ledger, Packing(proto.functions)
    opsets = {_domain(item.domain): item.version for item in proto.opset_import}
    functions = {(function.domain, function.name) for function in proto.functions}
    waiting = [_Graph(function, ChainMap(), ChainMap(), True) for function in proto.functions]
    waiting.append(_Graph(proto.graph, ChainMap({}, {} if fed is None else fed), ChainMap(), False))
    while waiting:
        graph = waiting.pop()
        _collect(graph.proto, graph.constants)
        ledger.enter(graph.proto, graph.weights, packing)
        paths: Counter[str] = Counter()
        for number, node in enumerate(node for node in graph.proto.node if not is_constant(node)):
            domain = _domain(node.domain)
            inside = [graph.within(inner) for inner in _inner(node)]
            waiting += inside
            params, size = ledger.claim(node, graph.weights, carries=not inside)
            yield Declared(
                op=node.op_type,
                domain=domain,
                # The runtime numbers nodes without a name; a Constant is an initialiser to it, and has no number.
                name=node.name or f"{node.op_type}_{number}",
                attributes=_Stored(node, graph.constants, opsets.get(domain, 0)),
                given=tuple(map(bool, node.input)),
                layer=_layer(node, number, paths),
                named=bool(node.name),
                inlined=graph.inlined,
                caller=(node.domain, node.op_type) in functions,
                params=params,
                weight_bytes=size,
            )


def _inner(node: Any) -> Iterator[Any]:
    """Yield the graphs inside a node: branches and bodies."""
    for attribute in node.attribute:
        if attribute.type == 5:
            yield attribute.g
        yield from attribute.graphs


def is_constant(node: Any) -> bool:
    """Tell whether a node stands for an initialiser."""
    return bool(node.op_type == "Constant" and _domain(node.domain) == "")


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _collect(graph: Any, constants: _Constants) -> None:
    """Add the whole numbers among a graph's constants: axes and lengths that formulas ask for."""
    for tensor in getattr(graph, "initializer", ()):
        _add(tensor.name, tensor, constants)
    for node in graph.node:
        if is_constant(node) and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    _add(node.output[0], attribute.t, constants)
                elif attribute.name == "value_int":
                    constants[node.output[0]] = attribute.i


def _add(name: str, tensor: Any, constants: _Constants) -> None:
    if tensor.data_type not in (6, 7) or len(tensor.dims) > 1 or (tensor.dims and tensor.dims[0] != 1):
        return
    data = tensor.int64_data or tensor.int32_data
    if data:
        constants[name] = data[0]
    elif tensor.raw_data:
        constants[name] = int.from_bytes(tensor.raw_data, "little", signed=True)


def _layer(node: Any, number: int, paths: Counter[str]) -> str:
    """Return the module path of a node with its operator, `encoder/layer.0/query/MatMul`, else its name.

    TorchScript exporters and others name nodes by their path. Newer ones store the scopes beside the node; nodes of
    one kind in one module are then numbered, as TorchScript does.
    """
    scopes = next((item.value for item in node.metadata_props if item.key == _SCOPES), "")
    path = _path(scopes) if scopes else None
    if path is None:
        name = node.name or next((output for output in node.output if output), "") or f"{node.op_type}_{number}"
        return str(name).strip("/")[:_LONGEST] or node.op_type
    own = "/".join([*path, node.op_type])
    paths[own] += 1
    return (own if paths[own] == 1 else f"{own}_{paths[own] - 1}")[:_LONGEST]


def _path(scopes: str) -> list[str] | None:
    """Read `['', 'layer.0', 'layer.0.q', 'linear']`: qualified names of modules, then the operation's own."""
    try:
        names = ast.literal_eval(scopes)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    path, before = [], ""
    for name in names[:-1]:
        if name and name != before:
            path.append(name.removeprefix(f"{before}.") if before else name)
            before = name
    return path
