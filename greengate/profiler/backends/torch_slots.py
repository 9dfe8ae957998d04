"""The parameters of a PyTorch model's forward, as far as the model tells. Runs in the worker."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

from greengate.profiler import feed
from greengate.profiler.backends.torch_open import Opened

_SCALARS: dict[Any, str] = {int: "int64", float: "float64", bool: "bool"}
_SCRIPT_SCALARS = {"int": "int64", "float": "float64", "bool": "bool"}


@dataclass(frozen=True)
class Slot:
    """One parameter of a model's forward; dtype and shape are None where the model does not tell.

    `scalar`: a plain Python number, not a tensor. `listed`: what its entries are put into is a list, not a tuple.
    `named`: it is given by name only.
    """

    name: str
    needed: bool
    dtype: str | None = None
    shape: tuple[feed.Dim, ...] | None = None
    scalar: bool = False
    listed: bool = False
    named: bool = False


def slots_of(opened: Opened) -> list[Slot]:
    """Return the parameters of a model's forward, as far as the model tells."""
    if opened.program is not None:
        return _program_slots(opened.program)
    if opened.kind == "torchscript":
        return [_script_slot(item) for item in opened.module.forward.schema.arguments[1:]]
    slots = [_slot(item) for item in inspect.signature(opened.module.forward).parameters.values()]
    main = getattr(opened.module, "main_input_name", None) if opened.kind == "folder" else None
    return [slot if slot.name != main else replace(slot, needed=True) for slot in slots if slot.name]


def _slot(item: inspect.Parameter) -> Slot:
    if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD):
        return Slot("", False)
    annotation = {"int": int, "float": float, "bool": bool}.get(item.annotation, item.annotation)
    dtype = _SCALARS.get(annotation) if isinstance(annotation, type) else None
    needed, named = item.default is item.empty, item.kind is item.KEYWORD_ONLY
    if item.name.endswith(("_ids", "_mask")):  # as every tokenizer names what it puts out
        return Slot(item.name, needed, "int64", named=named)
    return Slot(item.name, needed, dtype, () if dtype else None, dtype is not None, named=named)


def _script_slot(argument: Any) -> Slot:
    kind = str(argument.type)
    needed = not argument.has_default_value()
    if kind in _SCRIPT_SCALARS:
        return Slot(argument.name, needed, _SCRIPT_SCALARS[kind], (), scalar=True)
    return Slot(argument.name, needed, listed=kind.startswith("List["))


def _program_slots(program: Any) -> list[Slot]:
    """Return the user's inputs of an exported program: dtypes and shapes are known, open dimensions have names."""
    import torch

    wanted = set(program.graph_signature.user_inputs)
    found = []
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and node.name in wanted and isinstance(value, torch.Tensor):
            shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
            named = tuple("batch" if i == 0 and isinstance(size, str) else size for i, size in enumerate(shape))
            found.append(Slot(node.name, True, str(value.dtype).removeprefix("torch."), named))
    return found
