"""What a PyTorch model is called with, copied whole, and told apart from what it was."""

from __future__ import annotations

import copy
import ctypes
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

#: Types whose values are told by their text.
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def fresh(given: T) -> T:
    """Return a copy of a structure with tensors in it, for a model to change.

    Tensors that share memory share it in the copy; each is of the kind that it was, for code compiled to ask for it.
    """
    import torch
    from torch.utils import _pytree

    memories: dict[int, Any] = {}
    copies = {id(leaf): _copied(leaf, memories) for leaf in _leaves(given) if isinstance(leaf, torch.Tensor)}
    try:
        return copy.deepcopy(given, dict(copies))
    except Exception:  # noqa: BLE001 - classes of the user's own may not be made to be copied
        found: T = _pytree.tree_map(lambda leaf: copies.get(id(leaf), leaf), given)
        return found


def _copied(tensor: Any, memories: dict[int, Any]) -> Any:
    import torch

    with torch.inference_mode(tensor.is_inference()):
        try:
            memory = tensor.untyped_storage()
            if type(tensor) is not torch.Tensor or tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
                raise NotImplementedError
            if tensor.device.type == "meta":
                raise NotImplementedError
            name = memory._cdata  # equal for tensors that share it
            if name not in memories:
                memories[name] = memory.clone()
            made = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            made.set_(memories[name], tensor.storage_offset(), tensor.shape, tensor.stride())
        except (NotImplementedError, RuntimeError):
            made = tensor.detach().clone()  # has no memory that could be laid out again
        return made.requires_grad_() if tensor.requires_grad and not made.is_inference() else made


def fingerprint(given: object) -> str:
    """Return what is equal as long as every number, shape and size of a structure is; takes no memory to speak of."""
    found = hashlib.blake2b()
    for leaf in _leaves(given):
        _tell(leaf, found)
    return found.hexdigest()


def _tell(leaf: Any, found: Any) -> None:
    import torch

    if not isinstance(leaf, torch.Tensor):
        found.update(f"{type(leaf).__qualname__}\0{repr(leaf) if isinstance(leaf, _PLAIN) else ''}\0".encode())
        return
    found.update(f"{leaf.dtype}\0{tuple(leaf.shape)}\0".encode())
    if leaf.device.type == "meta" or not leaf.numel():
        return
    plain = leaf.detach()
    if plain.is_quantized:
        plain = plain.int_repr()
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    # As it lies in memory, or bytes would be copied in order to read them; the strides are as told.
    order = sorted(range(plain.dim()), key=lambda dim: -plain.stride(dim))
    found.update(f"{order}\0".encode())
    flat = plain.permute(order).resolve_conj().resolve_neg().contiguous().cpu()
    # Not through numpy, after which a model could no longer resize the tensor.
    found.update((ctypes.c_char * (flat.numel() * flat.element_size())).from_address(flat.data_ptr()))


def _leaves(given: object, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield all that a structure holds, in its order: what lies in dicts, tuples, lists, and in objects of a class."""
    import torch

    seen = set() if seen is None else seen
    if isinstance(given, (*_PLAIN, torch.Tensor)):
        yield given
        return
    if id(given) in seen:
        return
    seen.add(id(given))
    yield given
    if isinstance(given, Mapping):
        inner = [item for pair in given.items() for item in pair]
    elif isinstance(given, tuple | list):
        inner = list(given)
    else:
        inner = [] if isinstance(given, type | torch.nn.Module) else list(vars(given).values() if _open(given) else ())
    for item in inner:
        yield from _leaves(item, seen)


def _open(given: object) -> bool:
    return hasattr(given, "__dict__") and not callable(given)
