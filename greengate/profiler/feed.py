"""What a model is fed: inputs resolved from its signature and the user's description, and their values.

Runs in the worker. Values come from a hash stream over seed and input name, so that the same description gives the
same bytes on every machine and with every version of numpy: the feed's digest is part of a metric's identity.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greengate.profile import Input, InputSpec, WorkloadSpec
from greengate.profiler.jobs import Refused
from greengate.profiler.recorded import Batches, cut

Dim = int | str | None
Feed = dict[str, Any]

#: Names that exporters give the leading dimension of a batch.
_BATCH_NAMES = frozenset({"n", "b", "bs", "none", "?", ""})

_ALIASES = {"float": "float32", "double": "float64", "half": "float16"}


@dataclass(frozen=True)
class Signature:
    """One input as the model declares it; an open dimension is a name, or None without one."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    @property
    def text(self) -> str:
        """The input as a declaration, `x: float32[?, 3]`."""
        return f"{self.name}: {self.dtype}{shown(self.shape)}"

    @property
    def leads_batch(self) -> bool:
        """Whether the leading dimension is open and the batch: unnamed, or named as exporters name it."""
        dim = self.shape[0] if self.shape else 0
        name = dim.lower() if isinstance(dim, str) else ""
        return not isinstance(dim, int) and (name in _BATCH_NAMES or name.startswith(("batch", "unk__")))


@dataclass(frozen=True)
class Feeds:
    """All that is fed, in order: one entry synthesised, or one a recorded batch; `digest` covers every byte."""

    inputs: tuple[Input, ...]
    feeds: tuple[Feed, ...]
    digest: str
    notes: tuple[str, ...] = ()


def shown(shape: Sequence[Dim]) -> str:
    """Return a shape as text, `?` for a dimension without a name."""
    return f"[{', '.join('?' if dim is None else str(dim) for dim in shape)}]"


def prepare(signatures: Sequence[Signature], spec: WorkloadSpec, arrays: Mapping[str, Any] | None = None) -> Feeds:
    """Resolve every input and give it values; `arrays` are those of `spec.recorded`, see recorded.read.

    Raises Refused: input-open with all that is open at once, input-mismatch, recorded-data or batch-mismatch.
    """
    given = {item.name: item for item in spec.inputs}
    _check_names(signatures, given)
    batches = Batches({}, 1) if arrays is None else cut(signatures, spec, arrays, set(given))
    kept = {name: InputSpec(name, tuple(parts[0].shape)) for name, parts in batches.arrays.items()}
    shapes = resolve_shapes(signatures, given | kept, spec.batch_size)
    rest = [item for item in signatures if item.name not in kept]
    _check_open(rest, shapes, given)
    made = {item.name: _values(item, shapes[item.name], given.get(item.name), spec.seed) for item in rest}
    feeds = tuple(made | {name: parts[i] for name, parts in batches.arrays.items()} for i in range(batches.count))
    inputs = tuple(_input(item, feeds[0][item.name], item.name in kept, given) for item in signatures)
    check_batch(inputs, spec.batch_size)
    return Feeds(inputs, feeds, _digest(feeds), batches.notes)


def _input(item: Signature, array: Any, from_file: bool, given: Mapping[str, InputSpec]) -> Input:
    described = given.get(item.name, InputSpec(item.name))
    source = "recorded" if from_file else "synthesised" if described.value is None else f"value {described.value:g}"
    return Input(item.name, item.dtype, tuple(array.shape), source)


def _digest(feeds: Sequence[Feed]) -> str:
    """Return the sha256 over name, dtype, shape and bytes of everything fed, in order."""
    digest = hashlib.sha256()
    for feed in feeds:
        for name in sorted(feed):
            array = feed[name]
            digest.update(f"{name}\0{array.dtype.str}\0{tuple(array.shape)}\0".encode())
            digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()}"


# --- shapes -------------------------------------------------------------------------------------


def resolve_shapes(
    signatures: Sequence[Signature], given: Mapping[str, InputSpec], batch_size: int
) -> dict[str, tuple[int | None, ...]]:
    """Return every input's shape: fixed dimensions, described ones, the batch, and names bound by another input.

    What stays open is None. Raises Refused where description and model contradict each other.
    """
    bound: dict[str, int] = {}
    sizes: dict[str, list[int | None]] = {}
    for item in signatures:
        described = given.get(item.name, InputSpec(item.name))
        _check_described(item, described, batch_size)
        sizes[item.name] = [_size(item, index, described.shape, batch_size) for index in range(len(item.shape))]
        for dim, size in zip(item.shape, sizes[item.name], strict=True):
            if isinstance(dim, str) and dim != "?" and size is not None and bound.setdefault(dim, size) != size:
                message = f"input {item.name!r} has {size} in dimension {dim!r}, another input has {bound[dim]}"
                raise Refused("input-mismatch", message, f"give {dim!r} the same size in every input")
    return {
        item.name: tuple(
            bound.get(str(dim)) if size is None else size
            for dim, size in zip(item.shape, sizes[item.name], strict=True)
        )
        for item in signatures
    }


def _size(item: Signature, index: int, described: tuple[int, ...] | None, batch_size: int) -> int | None:
    """Return the size of one dimension as far as its own input tells; None where it is open."""
    dim = item.shape[index]
    if described is not None:
        return described[index]
    if isinstance(dim, int):
        return dim
    return batch_size if index == 0 and item.leads_batch else None


def _check_names(signatures: Sequence[Signature], given: Mapping[str, InputSpec]) -> None:
    names = [item.name for item in signatures]
    for name in given:
        if name not in names:
            import difflib

            close = difflib.get_close_matches(name, names, 1)
            help_ = f"did you mean {close[0]!r}?" if close else f"the model's inputs are {', '.join(map(repr, names))}"
            raise Refused("input-mismatch", f"the model has no input {name!r}", help_)


def _check_described(item: Signature, described: InputSpec, batch_size: int) -> None:
    wanted = f"the model declares {item.text}"
    if described.dtype is not None and _ALIASES.get(described.dtype, described.dtype) != item.dtype:
        raise Refused("input-mismatch", f"input {item.name!r} is described as {described.dtype}", wanted)
    if described.shape is None:
        return
    if len(described.shape) != len(item.shape) or any(
        size != dim if isinstance(dim, int) else size < 0 for size, dim in zip(described.shape, item.shape, strict=True)
    ):
        message = f"input {item.name!r} is described with shape {shown(described.shape)}"
        raise Refused("input-mismatch", message, wanted)
    leading = item.shape[0] if item.shape else None
    if isinstance(leading, str) and leading.lower().startswith("batch") and described.shape[0] != batch_size:
        size = described.shape[0]
        message = f"input {item.name!r} has {size} in dimension {leading!r}, the batch size is {batch_size}"
        raise Refused("batch-mismatch", message, f"set `workload: {{batch_size: {size}}}`, or change the shape")


def _check_open(
    signatures: Sequence[Signature], shapes: Mapping[str, tuple[int | None, ...]], given: Mapping[str, InputSpec]
) -> None:
    """Refuse with everything that is open, and the one line that would describe it."""
    faults, lines = [], []
    for item in signatures:
        shape = shapes[item.name]
        if missing := _open_dims(item, shape):
            sizes = ", ".join(str(_example(item, index) if size is None else size) for index, size in enumerate(shape))
            faults.append(f"input `{item.text}` leaves {' and '.join(missing)} open")
            lines.append(f"{item.name}: {{shape: [{sizes}]}}")
        elif item.dtype == "string":
            faults.append(f"input `{item.text}` takes text, which is not made up")
            lines.append("from: recorded.npz")
        elif _steers(item, shape) and given.get(item.name, InputSpec(item.name)).value is None:
            faults.append(f"input `{item.text}` steers the model and needs a value")
            lines.append(f"{item.name}: {{value: 1}}")
    if faults:
        help_ = f"add to the model, with your own numbers: `inputs: {{{', '.join(dict.fromkeys(lines))}}}`"
        raise Refused("input-open", "; ".join(faults), help_)


def _open_dims(item: Signature, shape: Sequence[int | None]) -> list[str]:
    return [
        f"dimension {index}" + (f" ({dim})" if isinstance(dim, str) and dim != "?" else "")
        for index, (dim, size) in enumerate(zip(item.shape, shape, strict=True))
        if size is None
    ]


def _steers(item: Signature, shape: Sequence[int | None]) -> bool:
    whole = item.dtype == "bool" or "int" in item.dtype
    return whole and math.prod(size or 0 for size in shape) == 1


def _example(item: Signature, index: int) -> int:
    if index == 0:
        return 1
    return 224 if len(item.shape) == 4 and index > 1 else 128


def check_batch(inputs: Sequence[Input], batch_size: int) -> None:
    """Refuse a batch that no input has in its leading dimension."""
    if batch_size > 1 and not any(item.shape and item.shape[0] == batch_size for item in inputs):
        shapes = ", ".join(f"{item.name}: {shown(item.shape)}" for item in inputs)
        message = f"the batch size is {batch_size}, but no input has that leading dimension ({shapes})"
        raise Refused("batch-mismatch", message, "set `workload: {batch_size: 1}`, or describe the inputs' shapes")


# --- values -------------------------------------------------------------------------------------


def _values(item: Signature, shape: Sequence[int | None], described: InputSpec | None, seed: int) -> Any:
    """Return the array of one input: its one value, or values spread evenly over its range."""
    import numpy as np

    dtype, sizes = np.dtype(item.dtype), [size for size in shape if size is not None]
    described = described or InputSpec(item.name)
    if described.value is not None:
        _check_range(item, described.value, described.value)
        return np.full(sizes, described.value, dtype)
    low, high = _range(item, described)
    words = np.frombuffer(_stream(seed, item.name, 4 * math.prod(sizes)), "<u4")
    if dtype.kind == "f":
        values = (low + (words >> 8).astype(np.float64) * 2.0**-24 * (high - low)).astype(dtype)
        below = np.nextafter(dtype.type(high), dtype.type(low))
        return np.clip(values, dtype.type(low), below).reshape(sizes)
    span = np.uint64(int(high) - int(low))
    offsets = (words.astype(np.uint64) * span) >> np.uint64(32)
    return (offsets.astype(np.int64) + int(low)).astype(dtype).reshape(sizes)


def _stream(seed: int, name: str, length: int) -> bytes:
    return hashlib.shake_128(f"{seed}\0{name}".encode()).digest(length)


def _range(item: Signature, described: InputSpec) -> tuple[float, float]:
    """Return the half-open range of values: [0, 1) for floats, {0, 1} for integers, unless described."""
    whole = "float" not in item.dtype
    width = 2.0 if whole else 1.0
    low, high = described.min, described.max
    if low is None:
        low = 0.0 if high is None else min(0.0, high - width)
    high = low + width if high is None else high
    if high <= low:
        message = f"input {item.name!r}: no value is at least {low:g} and below {high:g}"
        raise Refused("input-mismatch", message, "`max` is exclusive and must be above `min`")
    _check_range(item, low, high - 1 if whole else high)
    if whole and high - low > 2**32:
        raise Refused("input-mismatch", f"input {item.name!r}: the range is wider than 2^32", "narrow `min` and `max`")
    return low, high


def _check_range(item: Signature, low: float, high: float) -> None:
    """Refuse what the input's dtype cannot hold."""
    import numpy as np

    if "float" in item.dtype:
        held: Any = np.finfo(item.dtype)
        bounds = float(held.min), float(held.max)
    else:
        held = None if item.dtype == "bool" else np.iinfo(item.dtype)
        bounds = (int(held.min), int(held.max)) if held else (0, 1)
        if low % 1 or high % 1:
            raise Refused("input-mismatch", f"input {item.name!r} is {item.dtype}", "give it whole numbers")
    if low < bounds[0] or high > bounds[1]:
        what = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        message = f"input {item.name!r}: {what} does not fit {item.dtype}"
        raise Refused("input-mismatch", message, f"{item.dtype} holds {bounds[0]} to {bounds[1]}")
