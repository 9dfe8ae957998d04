"""Calls of a PyTorch model: arguments with tensors in them, and those that the user's own code makes.

Runs in the worker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greengate.profile import Input, WorkloadSpec
from greengate.profiler import feed
from greengate.profiler.backends import torch_code
from greengate.profiler.jobs import Refused


@dataclass(frozen=True)
class Call:
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Fed:
    """All that a model is called with, in order, and how it came about; `digest` covers every byte."""

    inputs: tuple[Input, ...]
    calls: tuple[Call, ...]
    digest: str
    notes: tuple[str, ...] = ()


def from_code(spec: WorkloadSpec, root: Path | None = None) -> Fed:
    """Call the function that makes inputs: a dict is passed by name, a tuple or list in order, anything else alone.

    Its code is imported anew, so that every model is fed alike: what was imported for the model, from `root` where code
    makes it, can be another version's.
    """
    if spec.inputs or spec.recorded is not None:
        message = "`inputs` and `inputs_from` exclude each other"
        raise Refused("input-mismatch", message, "keep one of them")
    path = str(spec.inputs_from)
    own = Path(path).parent.resolve()
    with torch_code.importing_anew(own, own if root is None else root):
        made = torch_code.made_inputs(path, spec.seed)
    if isinstance(made, dict):
        call = Call((), made)
    else:
        call = Call(tuple(made) if isinstance(made, tuple | list) else (made,), {})
    inputs = tuple(_found_inputs(call))
    if not inputs:
        raise Refused("code-failed", f"{path.rpartition('/')[2]} returns no tensor", "return a tensor, tuple or dict")
    feed.check_batch(inputs, spec.batch_size)
    # In a request the name is the target branch's, the code is the change's own: whoever reads the verdict must know.
    note = f"the inputs are made by code, {_last(path)}, as it stands in the work tree: a change can alter them"
    return Fed(inputs, (call,), digest((call,)), (note,))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _found_inputs(call: Call) -> list[Input]:
    return [
        Input(name, str(leaf.dtype).removeprefix("torch."), tuple(leaf.shape), "made by code")
        for name, leaf in _leaves(call)
        if _is_tensor(leaf)
    ]


def _leaves(call: Call) -> list[tuple[str, Any]]:
    from torch.utils import _pytree

    found, _ = _pytree.tree_flatten_with_path({str(i): item for i, item in enumerate(call.args)} | call.kwargs)
    return [
        (".".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path), leaf) for path, leaf in found
    ]


def digest(calls: Sequence[Call]) -> str:
    """Return the sha256 over name, type, shape and bytes of every tensor of calls, in order, and over all else."""
    found = hashlib.sha256()
    for name, leaf in (item for call in calls for item in _leaves(call)):
        if _is_tensor(leaf):
            found.update(f"{name}\0{leaf.dtype}\0{tuple(leaf.shape)}\0".encode())
            found.update(_bytes(leaf))
        else:
            found.update(f"{name}\0{leaf!r}\0".encode())
    return f"sha256:{found.hexdigest()}"


def _bytes(tensor: Any) -> bytes:
    """Return the bytes of a tensor of any type, numpy's or not."""
    import torch

    flat = tensor.detach().cpu().contiguous().flatten()
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def mapped(call: Call, change: Callable[[Any], Any]) -> Call:
    """Return a call with every tensor changed."""
    import torch
    from torch.utils import _pytree

    args, kwargs = _pytree.tree_map_only(torch.Tensor, change, (call.args, call.kwargs))
    return Call(args, kwargs)
