"""Weights in files, read without running code, and put into the module that code made. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greengate.profiler.backends.torch_files import check_file, wanted_code
from greengate.profiler.jobs import Refused


def put_weights(module: Any, path: str) -> None:
    """Load a file of weights into a module; every name and shape must fit. Raises Refused."""
    stored = read_weights(path)
    stored.update(_tied(module, stored))
    try:
        module.load_state_dict(stored, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise Refused("weights-mismatch", f"{path} does not fit the model: {_few(lines)}", _FIT) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{path} does not fit the model: {type(error).__name__}: {error}"
        raise Refused("weights-mismatch", message[:300], _FIT) from None


def _tied(module: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored, under the other names that the model has for it: safetensors keeps what is tied once."""
    kept = {name: place for name, tensor in module.state_dict().items() if (place := _place(tensor)) is not None}
    known = {place: stored[name] for name, place in kept.items() if name in stored}
    return {name: known[place] for name, place in kept.items() if name not in stored and place in known}


def _place(tensor: Any) -> tuple[object, ...] | None:
    """Return where a tensor lies and how; None for what lies nowhere."""
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout is not torch.strided:
        return None
    if not tensor.data_ptr():  # nothing in it, or on the device `meta`
        return None
    return tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


_FIT = "name the weights that were saved from this very model, or give the arguments that it was made with"


def _few(lines: list[str]) -> str:
    return "; ".join(line[:200] for line in lines[:3]) or "names or shapes differ"


def read_weights(path: str) -> dict[str, Any]:
    """Return what a safetensors file or a state dict holds by name; no code in it is run. Raises Refused."""
    import torch

    start = check_file(path)
    if path.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise Refused("model-invalid", f"{path} is not a safetensors file: {error}", "save it again") from None
    if not start.startswith((b"PK", b"\x80")):
        raise Refused("model-invalid", f"{path} holds no weights that PyTorch wrote", "name a .safetensors file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - told as what it means for the file
        if wants := wanted_code(path):
            message = f"{path} is a pickle that would import {', '.join(wants)}"
            raise Refused("model-pickle", message, "save only the state dict, best as safetensors") from None
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise Refused("model-invalid", f"{path} cannot be read as weights: {first}", "save it again") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    # Quantised modules store types, numbers and tuples of tensors beside.
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found) or not _tensors(found):
        message = f"{path} holds {_kind(found)}, not a state dict of tensors"
        raise Refused("weights-mismatch", message, "save `model.state_dict()`")
    return found


def _tensors(value: Any) -> bool:
    """Tell whether there is a tensor in what was stored: numbers alone are no weights."""
    import torch

    inner = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return isinstance(value, torch.Tensor) or any(_tensors(item) for item in inner)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
