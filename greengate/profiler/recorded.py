"""Recorded input data: the arrays of an .npz file, cut into batches in their fixed order. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greengate.profile import WorkloadSpec
from greengate.profiler.jobs import Refused

if TYPE_CHECKING:
    from greengate.profiler.feed import Signature

_SAVE = "save the arrays by input name with `numpy.savez(path, name=array)`"


@dataclass(frozen=True)
class Batches:
    """Arrays by input name, one a batch; `notes` says what was left over."""

    arrays: Mapping[str, Sequence[Any]]
    count: int
    notes: tuple[str, ...] = ()


def read(path: str) -> dict[str, Any]:
    """Return every array of an .npz file. Raises Refused recorded-data where it cannot be read."""
    from zipfile import BadZipFile

    import numpy as np

    try:
        with Path(path).open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, Mapping):
                raise Refused("recorded-data", f"{path} is a single array, not an .npz file", _SAVE)
            return dict(found)
    except FileNotFoundError:
        raise Refused("recorded-data", f"{path} does not exist", "check the path under `inputs: {from: ...}`") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        first = (str(error).splitlines() or ["it is damaged"])[0]
        raise Refused("recorded-data", f"{path} cannot be read: {first}", _SAVE) from None


def cut(signatures: Sequence[Signature], spec: WorkloadSpec, arrays: Mapping[str, Any], described: Set[str]) -> Batches:
    """Cut what is recorded for the model's inputs into batches of `spec.batch_size`, all of one length.

    An array is cut along its leading dimension when that is longer than the batch and the model leaves it open or
    fixes it to the batch size; others go into every batch as they are. Inputs in `described` may be absent.
    """
    found = {}
    for item in signatures:
        if item.name in arrays:
            found[item.name] = _fitting(item, arrays[item.name], spec)
        elif item.name not in described:
            import difflib

            close = difflib.get_close_matches(item.name, arrays, 1)
            guess = f"; did you mean to name {close[0]!r} {item.name!r}?" if close else ""
            message = f"{spec.recorded} has no array {item.name!r} (it has {', '.join(map(repr, arrays)) or 'none'})"
            raise Refused("recorded-data", message, _SAVE + guess)
    lengths = {name: len(array) for name, (array, cut) in found.items() if cut}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise Refused("recorded-data", f"{spec.recorded}: the arrays differ in length: {listed}", _SAVE)
    size = spec.batch_size
    count, left = divmod(next(iter(lengths.values()), size), size)
    parts = {
        name: [array[i * size : (i + 1) * size] if name in lengths else array for i in range(count)]
        for name, (array, _) in found.items()
    }
    notes = (f"recorded data: the last {left} items do not fill a batch and are left out",) if left else ()
    return Batches(parts, count, notes)


def _fitting(item: Signature, array: Any, spec: WorkloadSpec) -> tuple[Any, bool]:
    """Return the array in the machine's byte order and whether it is cut into batches."""
    import numpy as np

    wanted = f"the model declares {item.text}"
    kind = "string" if array.dtype.kind == "U" else array.dtype.name
    if kind != item.dtype:
        help_ = f"{wanted}; save it with `.astype('{item.dtype}')`"
        raise Refused("recorded-data", f"{spec.recorded}: the array {item.name!r} is {kind}", help_)
    ranked = array.ndim == len(item.shape)
    leads = ranked and array.ndim > 0 and (not isinstance(item.shape[0], int) or item.shape[0] == spec.batch_size)
    divides = leads and len(array) > spec.batch_size
    inner = zip(array.shape[divides:], item.shape[divides:], strict=False)
    if not ranked or any(isinstance(dim, int) and dim != size for size, dim in inner):
        message = f"{spec.recorded}: the array {item.name!r} has shape {list(array.shape)}"
        raise Refused("recorded-data", message, wanted)
    if leads and item.leads_batch and len(array) < spec.batch_size:
        message = f"{spec.recorded}: the array {item.name!r} has {len(array)} items, a batch needs {spec.batch_size}"
        raise Refused("recorded-data", message, "record more, or lower `workload: {batch_size: ...}`")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape), divides
