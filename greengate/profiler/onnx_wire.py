"""Protobuf bytes of an ONNX model without its weights: of gigabytes, counting needs a few megabytes."""

from __future__ import annotations

from mmap import mmap
from typing import Final

#: Fields longer than this are looked into, or left out where they are the elements of a tensor.
_LONG: Final = 4096

Data = bytes | mmap | memoryview

#: Field numbers of onnx.proto: the messages that can hold tensors, and in them the fields that hold such messages.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}

#: float_data, int32_data, int64_data, raw_data, double_data, uint64_data of TensorProto.
_ELEMENTS: Final = frozenset({4, 5, 7, 9, 10, 11})

_FIXED: Final = {1: 8, 5: 4}
_DEEPEST: Final = 100


class BrokenError(ValueError):
    """The bytes are no protobuf message."""


def number(data: Data, at: int) -> tuple[int, int]:
    """Read a varint and return it with the place after it, which is past the end where the data end first."""
    value = 0
    view = memoryview(data)
    for shift, byte in enumerate(view[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    return 0, len(view) + 1


def without_elements(data: Data) -> bytes:
    """Return a model's bytes without the elements of large tensors. Raises BrokenError.

    Copies nothing that it leaves out, so that a mapped file stays on disk.
    """
    view = memoryview(data)
    parts: list[memoryview | bytes] = []
    try:
        _walk(view, (0, len(view)), "model", parts, 0)
        return b"".join(parts)
    finally:
        for part in parts:
            if isinstance(part, memoryview):
                part.release()
        view.release()


def _walk(view: memoryview, span: tuple[int, int], kind: str, parts: list[memoryview | bytes], depth: int) -> int:
    """Append what is kept of one message to `parts` and return its length. Raises BrokenError."""
    if depth > _DEEPEST:
        raise BrokenError
    at, end = span
    kept_from, length = at, 0

    def keep(stop: int) -> int:
        if stop > kept_from:
            parts.append(view[kept_from:stop])
        return stop - kept_from

    while at < end:
        field, value, body = _field(view, at, end)
        stop = body + value
        inner = _INSIDE[kind].get(field)
        if value <= _LONG or (inner is None and not (kind == "tensor" and field in _ELEMENTS)):
            at = stop
            continue
        length += keep(at)
        if inner is not None:
            place = len(parts)
            parts.append(b"")
            size = _walk(view, (body, stop), inner, parts, depth + 1)
            parts[place] = head = _varint(field << 3 | 2) + _varint(size)
            length += len(head) + size
        at = kept_from = stop
    return length + keep(end)


def _field(view: memoryview, at: int, end: int) -> tuple[int, int, int]:
    """Return number, length and start of the content of the field at `at`. Raises BrokenError past `end`."""
    byte = view[at]
    tag, body = (byte, at + 1) if byte < 0x80 else number(view, at)
    wire, size = tag & 7, 0
    if wire == 2:
        size, body = number(view, body)
    elif wire in _FIXED:
        size = _FIXED[wire]
    elif wire == 0:
        body = number(view, body)[1]
    else:
        raise BrokenError
    if body + size > end:
        raise BrokenError
    return tag >> 3, size, body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
