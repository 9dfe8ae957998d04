"""What a PyTorch model is fed: described inputs resolved, and their arrays bound to calls.

A name with dots reaches into a parameter: `batch.image` is the entry `image` of a dict, `pair.0` the first of a tuple.
Runs in the worker.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from greengate.profile import InputSpec, WorkloadSpec
from greengate.profiler import feed
from greengate.profiler.backends.torch_calls import Call, Fed, digest, from_code
from greengate.profiler.backends.torch_open import Opened
from greengate.profiler.backends.torch_slots import Slot, slots_of
from greengate.profiler.jobs import Refused


def prepare(opened: Opened, spec: WorkloadSpec, arrays: Mapping[str, Any] | None) -> Fed:
    """Resolve every input and bind it. Raises Refused, as feed.prepare does, and for code that makes no inputs."""
    if spec.inputs_from is not None:
        return from_code(spec, Path(opened.path).parent.resolve() if opened.kind == "factory" else None)
    slots = slots_of(opened)
    signatures = _signatures(slots, spec, arrays or {})
    halves = {item.name for item in signatures if item.dtype == _HALF}
    fed = feed.prepare(*_plain(signatures, spec, halves), arrays)
    scalars = {slot.name for slot in slots if slot.scalar}
    if opened.kind == "factory":  # what has no shape is a plain number to Python code; TorchScript tells by its types
        scalars |= {item.name for item in spec.inputs if item.value is not None and item.shape is None}
    bind = _program_call if opened.program is not None else _call
    calls = tuple(bind(opened, slots, _tensors(one, scalars, halves)) for one in fed.feeds)
    if not halves:
        return Fed(fed.inputs, calls, fed.digest, fed.notes)
    inputs = tuple(replace(item, dtype=_HALF) if item.name in halves else item for item in fed.inputs)
    return Fed(inputs, calls, digest(calls), fed.notes)


#: A type that numpy does not know: its values are made, or recorded, as another, and cast.
_HALF, _AS = "bfloat16", "float32"


def _plain(
    signatures: Sequence[feed.Signature], spec: WorkloadSpec, halves: Set[str]
) -> tuple[list[feed.Signature], WorkloadSpec]:
    """Return signatures and descriptions in types that numpy knows."""
    known = [replace(item, dtype=_AS) if item.name in halves else item for item in signatures]
    described = (replace(item, dtype=None) if item.name in halves else item for item in spec.inputs)
    return known, replace(spec, inputs=tuple(described))


# --- descriptions -------------------------------------------------------------------------------


def _signatures(slots: Sequence[Slot], spec: WorkloadSpec, arrays: Mapping[str, Any]) -> list[feed.Signature]:
    """Return every input that is fed, with a shape: the model's, else as described or recorded. Raises Refused."""
    described = {item.name: item for item in spec.inputs}
    _check_names(slots, described)
    found: list[feed.Signature] = []
    untold: list[Slot] = []
    for slot in slots:
        names = [name for name in dict.fromkeys([*described, *arrays]) if reaches(slot.name, name)]
        for name in names or [slot.name] * slot.needed:
            made = _signature(name, slot, described.get(name), arrays.get(name))
            if made is None:
                untold.append(slot)
            else:
                found.append(made)
    if untold:
        raise _open(untold)
    return found


def _check_names(slots: Sequence[Slot], described: Mapping[str, InputSpec]) -> None:
    for name in described:
        if not any(reaches(slot.name, name) for slot in slots):
            known = [slot.name for slot in slots]
            close = difflib.get_close_matches(name.partition(".")[0], known, 1)
            help_ = f"did you mean {close[0]!r}?" if close else f"the model's inputs are {', '.join(known) or 'none'}"
            raise Refused("input-mismatch", f"the model has no input {name!r}", help_)


def reaches(parameter: str, name: str) -> bool:
    """Tell whether a name is that of a parameter, or of a part of it."""
    return name == parameter or name.startswith(f"{parameter}.")


def _signature(name: str, slot: Slot, described: InputSpec | None, array: Any) -> feed.Signature | None:
    if slot.shape is not None and slot.dtype is not None:
        return feed.Signature(name, slot.dtype, slot.shape)
    if array is not None:
        return feed.Signature(name, str(array.dtype), (None, *array.shape[1:]) if array.ndim else ())
    if described is None or (described.shape is None and described.value is None):
        return None
    dtype = described.dtype or slot.dtype or _of_value(described)
    return feed.Signature(name, dtype, described.shape or ())


def _of_value(described: InputSpec) -> str:
    """Return the type of a value that stands alone; tensors are of floats unless told otherwise."""
    alone = described.shape is None and described.value is not None and described.value % 1 == 0
    return "int64" if alone else "float32"


def _open(slots: Sequence[Slot]) -> Refused:
    faults = [f"input `{slot.name}` has no shape: PyTorch models do not store them" for slot in slots]
    lines = []
    for slot in slots:
        whole = ", dtype: int64, max: 30522" if slot.dtype == "int64" else ""
        shape = "[1, 128]" if whole else "[1, 3, 224, 224]"
        lines.append(f"{slot.name}: {{value: 1}}" if slot.scalar else f"{slot.name}: {{shape: {shape}{whole}}}")
    help_ = f"add to the model, with your own numbers: `inputs: {{{', '.join(lines)}}}`"
    return Refused("input-open", "; ".join(faults), help_)


# --- calls --------------------------------------------------------------------------------------


def _tensors(fed: feed.Feed, scalars: Set[str], halves: Set[str]) -> dict[str, Any]:
    """Return what is fed as PyTorch takes it: tensors, or plain numbers."""
    import torch

    def made(name: str, array: Any) -> Any:
        if name in scalars and array.size == 1:
            return array.item()
        found = torch.from_numpy(array.copy())
        return found.to(torch.bfloat16) if name in halves else found

    return {name: made(name, array) for name, array in fed.items()}


def _call(opened: Opened, slots: Sequence[Slot], fed: Mapping[str, Any]) -> Call:
    """Bind by position as far as the first parameters are given without a gap, the rest by name."""
    del opened
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for slot in slots:
        parts = {name: value for name, value in fed.items() if reaches(slot.name, name)}
        if not parts:
            continue
        value = nested(slot.name, parts, slot.listed)
        if len(args) == slots.index(slot) and not slot.named:
            args.append(value)
        else:
            kwargs[slot.name] = value
    return Call(tuple(args), kwargs)


def nested(name: str, parts: Mapping[str, Any], listed: bool = False) -> Any:
    """Put parts together under their names: numbers make a tuple (or list), words a dict. Raises Refused."""
    if name in parts:
        if len(parts) > 1:
            raise Refused("input-mismatch", f"input {name!r} is described whole and in parts", "keep one of them")
        return parts[name]
    keys = list(dict.fromkeys(part[len(name) + 1 :].partition(".")[0] for part in parts))
    inner = {
        key: nested(f"{name}.{key}", {part: value for part, value in parts.items() if reaches(f"{name}.{key}", part)})
        for key in keys
    }
    if not all(key.isdigit() for key in keys):
        return inner
    if sorted(map(int, keys)) != list(range(len(keys))):
        message = f"input {name!r} has the parts {', '.join(keys)}"
        raise Refused("input-mismatch", message, "number the parts of a tuple from 0, without gaps")
    ordered = [inner[key] for key in sorted(keys, key=int)]
    return ordered if listed else tuple(ordered)


def _program_call(opened: Opened, slots: Sequence[Slot], fed: Mapping[str, Any]) -> Call:
    """Bind in the structure that the program was exported with; constants stand where they stood."""
    from torch.utils import _pytree

    del slots
    signature = opened.program.graph_signature
    leaves = []
    for spec in signature.input_specs:
        if spec.kind.name == "USER_INPUT":
            name = getattr(spec.arg, "name", "")
            leaves.append(fed[name] if name in fed else getattr(spec.arg, "value", None))
    args, kwargs = _pytree.tree_unflatten(leaves, opened.program.call_spec.in_spec)
    return Call(tuple(args), dict(kwargs))
