"""An ONNX model as files: read, validated, its external data found, its parameters counted.

Runs in the worker. Of the onnx package only the generated protobuf schema is loaded: the package itself costs three
times as much to import, and the runtime checks the graph anyway.
"""

from __future__ import annotations

import hashlib
import math
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path
from typing import IO, Any

from greengate.profile import File
from greengate.profiler.jobs import Refused

_LFS = b"version https://git-lfs"
_PROTOBUF_MAX = 2**31 - 1

#: Every writer begins with the field `ir_version`: number 1, a varint.
_FIRST_BYTE = 0x08

_AGAIN = "get the file again: export it, download it, or restore it from version control"


@dataclass(frozen=True)
class OnnxModel:
    """A validated model: its protobuf message, and its files, the model's own first."""

    proto: Any
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes on disk, every file once."""
        return sum(file.size for file in self.files)


def read(path: str) -> OnnxModel:
    """Read and validate a model file and the external data it names. Raises Refused, whatever is wrong with them."""
    data = _bytes(path)
    proto = _parse(path, data)
    own = File(Path(path).name, hashlib.sha256(data).hexdigest(), len(data))
    return OnnxModel(proto, (own, *_external_files(path, proto)))


@cache
def schema() -> Any:
    """Return the module of ONNX's protobuf classes, without the package around it."""
    package = util.find_spec("onnx")
    folder = Path(package.origin or "").parent if package else Path()
    spec = util.spec_from_file_location("greengate_onnx_schema", folder / "onnx_ml_pb2.py")
    if package is None or spec is None or spec.loader is None:
        raise ImportError("the onnx package is not installed")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the file -----------------------------------------------------------------------------------


def _bytes(path: str) -> bytes:
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise Refused("model-not-onnx", f"{path} is {kind}", "name the .onnx file itself")
        if found.st_size > _PROTOBUF_MAX:
            help_ = "save its weights as external data"
            raise Refused("model-invalid", f"{path} is larger than the 2 GB an ONNX file can hold", help_)
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise Refused("model-missing", f"{path} does not exist", "check the path, or create the model first") from None
    except OSError as error:
        raise Refused("unreadable-file", f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    if not data:
        raise Refused("model-empty", f"{path} is empty", _AGAIN)
    if data.startswith(_LFS):
        _refuse_pointer(path)
    return data


def _refuse_pointer(path: str) -> None:
    raise Refused("model-lfs-pointer", f"{path} is a Git LFS pointer, not the model", "run `git lfs pull`")


def _parse(path: str, data: bytes) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    message = schema().ModelProto()
    try:
        message.ParseFromString(data)
        if message.HasField("graph"):
            return message
        fault = Refused("model-invalid", f"{path}: the model has no graph", _AGAIN)
    except DecodeError:
        fault = Refused("model-truncated", f"{path} is damaged inside", _AGAIN)
    text = all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in data[:4096])
    if text or data[0] != _FIRST_BYTE:
        kind = "text" if text else "another kind of binary file"
        fault = Refused("model-not-onnx", f"{path} is not an ONNX model: it is {kind}", "name a model exported to ONNX")
    elif not _is_whole(data):
        fault = Refused("model-truncated", f"{path} ends in the middle, after {len(data):,} bytes", _AGAIN)
    raise fault


def _is_whole(data: bytes) -> bool:
    """Tell whether the top-level fields of a protobuf message end where the data end."""
    fixed = {1: 8, 5: 4}
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        if tag & 7 in fixed:
            at += fixed[tag & 7]
        else:
            value, at = _number(data, at)
            at += value if tag & 7 == 2 else 0
    return at == len(data)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a protobuf varint and return it with the place after it, which is past the end where the data end first."""
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    return 0, len(data) + 1


# --- what is inside -----------------------------------------------------------------------------


def graphs(proto: Any) -> Iterator[Any]:
    """Yield every graph: the main one and, depth first, those inside nodes; functions count as graphs of nodes."""
    waiting = [proto.graph, *proto.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == schema().AttributeProto.GRAPH:
                    waiting.append(attribute.g)
                elif attribute.type == schema().AttributeProto.GRAPHS:
                    waiting.extend(attribute.graphs)


def nodes(proto: Any) -> Iterator[Any]:
    """Yield every node of every graph and function."""
    for graph in graphs(proto):
        yield from graph.node


def _weights(proto: Any) -> Iterator[Any]:
    """Yield the stored tensors that can be weights: initialisers, and the values of Constant nodes; sparse: values."""
    for graph in graphs(proto):
        if isinstance(graph, schema().GraphProto):
            yield from graph.initializer
            yield from (sparse.values for sparse in graph.sparse_initializer)
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                yield from (attribute.t for attribute in node.attribute if attribute.name == "value")
                yield from (a.sparse_tensor.values for a in node.attribute if a.name == "sparse_value")


def params(proto: Any) -> int:
    """Return the elements of the stored weights, shared ones once.

    Counted are initialisers (sparse ones by their stored values) and Constant tensors of every graph and function,
    of floating and of integer types; int64, bool and string tensors are indices and shapes, not weights.
    """
    kinds = schema().TensorProto
    apart = {kinds.INT64, kinds.UINT64, kinds.BOOL, kinds.STRING, kinds.UNDEFINED}
    total = 0
    seen: set[tuple[str, ...]] = set()
    for tensor in _weights(proto):
        if tensor.data_type in apart:
            continue
        place = _place(tensor)
        if place in seen:
            continue
        if place:
            seen.add(place)
        total += math.prod(tensor.dims)
    return total


def _place(tensor: Any) -> tuple[str, ...]:
    """Return where a tensor's bytes lie in external data; empty for a tensor inside the model."""
    if tensor.data_location != schema().TensorProto.EXTERNAL:
        return ()
    named = {entry.key: entry.value for entry in tensor.external_data}
    return named.get("location", ""), named.get("offset", "0"), str(tensor.dims), str(tensor.data_type)


# --- external data ------------------------------------------------------------------------------


def _tensors(proto: Any) -> Iterator[Any]:
    """Yield every tensor that may have external data."""
    for graph in graphs(proto):
        if isinstance(graph, schema().GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def _external_files(path: str, proto: Any) -> list[File]:
    """Return the external data files in order of their names. Raises Refused for the first that cannot be used."""
    ends: dict[str, int] = {}
    for tensor in _tensors(proto):
        if tensor.data_location == schema().TensorProto.EXTERNAL:
            location, end = _extent(path, tensor)
            ends[location] = max(ends.get(location, 0), end)
    return [_external_file(path, location, ends[location]) for location in sorted(ends)]


def _extent(path: str, tensor: Any) -> tuple[str, int]:
    """Return the file that holds a tensor's bytes and the offset where they end."""
    named = {entry.key: entry.value for entry in tensor.external_data}
    location, offset = named.get("location", ""), named.get("offset") or "0"
    length = named.get("length") or str(_stored_bytes(tensor))
    if not location or not offset.isdigit() or not length.isdigit():
        message = f"{path}: the tensor {tensor.name!r} says wrongly where its external data lie: {named}"
        raise Refused("model-invalid", message, "export the model again")
    return location, int(offset) + int(length)


def _stored_bytes(tensor: Any) -> int:
    """Return how many bytes a tensor takes, at least: packed types of 2 and 4 bits round up."""
    kinds = schema().TensorProto
    eight = ("DOUBLE", "INT64", "UINT64", "COMPLEX64")
    bits = dict.fromkeys((getattr(kinds, name) for name in eight), 64)
    bits |= {getattr(kinds, name): 32 for name in ("FLOAT", "INT32", "UINT32")}
    bits |= {getattr(kinds, name): 16 for name in ("FLOAT16", "BFLOAT16", "INT16", "UINT16")}
    bits |= {getattr(kinds, name): 4 for name in ("INT4", "UINT4", "FLOAT4E2M1") if hasattr(kinds, name)}
    bits |= {getattr(kinds, name): 2 for name in ("INT2", "UINT2") if hasattr(kinds, name)}
    return int(math.prod(tensor.dims) * bits.get(tensor.data_type, 8) + 7) // 8


def _external_file(path: str, location: str, end: int) -> File:
    inside = "keep external data in regular files in the model's own folder"
    shown = f"{path}: its external data {location!r}"
    if Path(location).is_absolute() or ".." in location.replace("\\", "/").split("/"):
        raise Refused("external-data-escapes", f"{shown} lie outside the model's folder", inside)
    named = Path(path).parent / location
    try:
        real = named.resolve(strict=True)
        if not real.is_relative_to(Path(path).resolve().parent):
            raise Refused("external-data-escapes", f"{shown} are a link out of the model's folder", inside)
        found = real.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Refused("external-data-escapes", f"{shown} are not a regular file", inside)
        with real.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            _check_length(file, named, shown, found.st_size, end)
    except FileNotFoundError:
        help_ = f"put {location!r} beside the model, or export it again"
        raise Refused("external-data-missing", f"{shown} do not exist", help_) from None
    except OSError as error:
        message = f"{named} cannot be read: {error.strerror}"
        raise Refused("unreadable-file", message, "check its permissions") from None
    return File(location, digest, found.st_size)


def _check_length(file: IO[bytes], named: Path, shown: str, size: int, end: int) -> None:
    file.seek(0)
    if file.read(len(_LFS)) == _LFS:
        _refuse_pointer(str(named))
    if size < end:
        raise Refused("external-data-missing", f"{shown} have {size:,} bytes where the model needs {end:,}", _AGAIN)
