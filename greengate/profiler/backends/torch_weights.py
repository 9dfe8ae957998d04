"""Parameters of a PyTorch model: how many and of how many bits, packed ones of quantised modules too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greengate.profile import Measurement, Missing
from greengate.profiler.operations.torch_count import place

Found = dict[str, Measurement | Missing]


#: What takes packed parameters apart; those of conv1d are kept as conv2d's.
_UNPACK = ("linear_unpack", "conv2d_unpack", "conv3d_unpack")


class UnreadableError(Exception):
    """Packed parameters of this module do not tell what is in them."""


def weights(module: Any) -> Found:
    """Return params and weight_bits: parameters, each once, and what quantised modules keep packed."""
    try:
        own = {place(item): item for item in module.parameters()}
        tensors = [*own.values(), *_packed(module), *_frozen(module)]
    except UnreadableError as kind:
        missing = Missing(f"packed parameters of {kind} cannot be read")
        return {"params": missing, "weight_bits": missing}
    elements = sum(item.numel() for item in tensors)
    bits = sum(8 * item.numel() * item.element_size() for item in tensors)
    buffers = sum(item.numel() for item in module.buffers())
    detail = "parameters, each once" + (f"; {buffers:,} elements of buffers are not in it" if buffers else "")
    none = Missing("the model has no parameters", "unsettled")
    return {
        "params": Measurement(elements, "read", detail=detail),
        "weight_bits": Measurement(bits / elements, "read", detail=detail) if elements else none,
    }


def _packed(module: Any) -> Iterator[Any]:
    """Yield the tensors that quantised modules keep packed, each object once."""
    import torch

    seen: set[int] = set()
    for item in module.modules():
        for held in _scripted(item) if isinstance(item, torch.jit.ScriptModule) else vars(item).values():
            # TorchScript gives a new wrapper each time it is asked; what it hashes by is the object inside.
            if type(held) is torch.ScriptObject and hash(held) not in seen:
                seen.add(hash(held))
                yield from _unpacked(held, item)


#: What quantised modules call what they keep packed; TorchScript tells its attributes by name alone.
_NAMES = ("_packed_params", "param", "_packed_weight", "_packed_weight_ih", "_packed_weight_hh")


def _scripted(item: Any) -> list[Any]:
    """Return the objects that a scripted module holds. Raises UnreadableError where there are others than are found."""
    import torch

    named = (item._c.getattr(name) for name in _NAMES if item._c.hasattr(name))
    found = [held for held in named if type(held) is torch.ScriptObject]
    if len(found) != sum(
        "__torch__.torch.classes." in kind.annotation_str for kind in item._c._type().containedTypes()
    ):
        raise UnreadableError(_named(item))
    return found


def _named(owner: Any) -> str:
    return str(getattr(owner, "original_name", type(owner).__name__))


def _unpacked(held: Any, owner: Any) -> list[Any]:
    import torch

    for name in _UNPACK:
        try:
            parts = getattr(torch.ops.quantized, name)(held)
        except (RuntimeError, AttributeError):  # packed for another operator
            continue
        return [part for part in parts if isinstance(part, torch.Tensor)]
    raise UnreadableError(_named(owner))


def _frozen(module: Any) -> Iterator[Any]:
    """Yield the weights of frozen TorchScript, which are constants of its graph."""
    import torch

    if not isinstance(module, torch.jit.ScriptModule) or next(module.parameters(), None) is not None:
        return
    seen: set[int] = set()
    graph = module.inlined_graph  # held: its nodes end with it
    for node in graph.findAllNodes("prim::Constant"):
        kind = node.kindOf("value") if node.hasAttribute("value") else ""
        if kind == "ival" and type(held := node.ival("value")) is torch.ScriptObject and hash(held) not in seen:
            seen.add(hash(held))
            yield from _unpacked(held, module)
        elif kind == "t":
            tensor = node.t("value")
            if tensor.is_floating_point() and tensor.dim() and tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                yield tensor
