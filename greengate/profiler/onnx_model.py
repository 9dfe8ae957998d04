"""An ONNX model as files: read, validated, its external data found.

Runs in the worker. The weights themselves are not kept: a large model is mapped, and only what is between them is
parsed. Of the onnx package only the generated protobuf schema is loaded: the package itself costs three times as much
to import, and the runtime checks the graph anyway.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import util
from io import BufferedReader
from pathlib import Path
from posixpath import normpath
from typing import IO, Any

from greengate.profile import File
from greengate.profiler.jobs import Refused
from greengate.profiler.onnx_wire import BrokenError, number, without_elements
from greengate.profiler.operations.weights import bits_of

_LFS = b"version https://git-lfs"
_PROTOBUF_MAX = 2**31 - 1

#: Every writer begins with the field `ir_version`: number 1, a varint.
_FIRST_BYTE = 0x08

#: Models up to this size are parsed whole.
_SMALL = 1 << 20

#: Types of attributes that hold no tensor: numbers and text, alone or several, and graphs.
_NO_TENSORS = frozenset({1, 2, 3, 5, 6, 7, 8, 10})

_AGAIN = "get the file again: export it, download it, or restore it from version control"


@dataclass(frozen=True)
class OnnxModel:
    """A validated model: its protobuf message without large weights, and where its files are, the model's own first.

    `found` has names beside the model, places on disk and sizes.
    """

    proto: Any
    found: tuple[tuple[str, Path, int], ...]

    @property
    def size(self) -> int:
        """Bytes on disk, every file once."""
        return sum(size for _, _, size in self.found)

    def files(self) -> tuple[File, ...]:
        """Return the files with their digests: every byte is read once, piece by piece. Raises Refused."""
        return tuple(File(name, _digest(path), size) for name, path, size in self.found)


def read(path: str) -> OnnxModel:
    """Read and validate a model file and the external data it names. Raises Refused, whatever is wrong with them."""
    with _opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        proto = _parse(path, data)
        own = (Path(path).name, Path(path), len(data))
    return OnnxModel(proto, (own, *_external_files(path, proto)))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Refused("unreadable-file", f"{path} cannot be read: {error.strerror}", "check its permissions") from None


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


@contextmanager
def _opened(path: str) -> Iterator[BufferedReader]:
    """Open a model file that has the size and the beginning of one. Raises Refused."""
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise Refused("model-not-onnx", f"{path} is {kind}", "name the .onnx file itself")
        if found.st_size > _PROTOBUF_MAX:
            help_ = "save its weights as external data"
            raise Refused("model-invalid", f"{path} is larger than the 2 GB an ONNX file can hold", help_)
        with Path(path).open("rb") as file:
            start = file.read(len(_LFS))
            if not start:
                raise Refused("model-empty", f"{path} is empty", _AGAIN)
            if start == _LFS:
                _refuse_pointer(path)
            file.seek(0)
            yield file
    except FileNotFoundError:
        raise Refused("model-missing", f"{path} does not exist", "check the path, or create the model first") from None
    except OSError as error:
        raise Refused("unreadable-file", f"{path} cannot be read: {error.strerror}", "check its permissions") from None


def _refuse_pointer(path: str) -> None:
    raise Refused("model-lfs-pointer", f"{path} is a Git LFS pointer, not the model", "run `git lfs pull`")


def _parse(path: str, data: mmap.mmap) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    message = schema().ModelProto()
    try:
        message.ParseFromString(bytes(data) if len(data) <= _SMALL else without_elements(data))
        if message.HasField("graph"):
            return message
        fault = Refused("model-invalid", f"{path}: the model has no graph", _AGAIN)
    except (DecodeError, BrokenError):
        fault = Refused("model-truncated", f"{path} is damaged inside", _AGAIN)
    text = all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in data[:4096])
    if text or data[0] != _FIRST_BYTE:
        kind = "text" if text else "another kind of binary file"
        fault = Refused("model-not-onnx", f"{path} is not an ONNX model: it is {kind}", "name a model exported to ONNX")
    elif not _is_whole(data):
        fault = Refused("model-truncated", f"{path} ends in the middle, after {len(data):,} bytes", _AGAIN)
    raise fault


def _is_whole(data: mmap.mmap) -> bool:
    """Tell whether the top-level fields of a protobuf message end where the data end."""
    fixed = {1: 8, 5: 4}
    at = 0
    while at < len(data):
        tag, at = number(data, at)
        if tag & 7 in fixed:
            at += fixed[tag & 7]
        else:
            value, at = number(data, at)
            at += value if tag & 7 == 2 else 0
    return at == len(data)


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
                if attribute.type not in _NO_TENSORS:
                    yield attribute.t
                    yield from attribute.tensors
                    yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def _external_files(path: str, proto: Any) -> list[tuple[str, Path, int]]:
    """Return the external data files, each once, in order of their names.

    Raises Refused for the first that cannot be used.
    """
    ends: dict[str, int] = {}
    for tensor in _tensors(proto):
        if tensor.data_location == schema().TensorProto.EXTERNAL:
            location, end = _extent(path, tensor)
            ends[location] = max(ends.get(location, 0), end)
    found = [_external_file(path, location, ends[location]) for location in sorted(ends)]
    return sorted({real: (name, real, size) for name, real, size in reversed(found)}.values())


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
    return int(math.prod(tensor.dims) * bits_of(tensor.data_type) + 7) // 8


def _external_file(path: str, location: str, end: int) -> tuple[str, Path, int]:
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
            _check_length(file, named, shown, found.st_size, end)
    except FileNotFoundError:
        help_ = f"put {location!r} beside the model, or export it again"
        raise Refused("external-data-missing", f"{shown} do not exist", help_) from None
    except OSError as error:
        message = f"{named} cannot be read: {error.strerror}"
        raise Refused("unreadable-file", message, "check its permissions") from None
    return normpath(location), real, found.st_size


def _check_length(file: IO[bytes], named: Path, shown: str, size: int, end: int) -> None:
    if file.read(len(_LFS)) == _LFS:
        _refuse_pointer(str(named))
    if size < end:
        raise Refused("external-data-missing", f"{shown} have {size:,} bytes where the model needs {end:,}", _AGAIN)
