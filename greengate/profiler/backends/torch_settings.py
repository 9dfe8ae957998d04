"""How PyTorch is set while a model is measured: threads, number formats, kernels chosen; put back after.

Runs in the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from greengate.profile import WorkloadSpec
from greengate.profiler.backends.board_faults import broken, out_of_memory
from greengate.profiler.backends.torch_calls import Call, mapped
from greengate.profiler.backends.torch_device import Board, board
from greengate.profiler.backends.torch_open import Opened
from greengate.profiler.backends.torch_switches import MIXED, Switch, switches
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.worker import ran_out_of_memory

_HALF = {"fp16": "float16", "bf16": "bfloat16"}


@contextmanager
def settings(spec: WorkloadSpec) -> Iterator[None]:
    """Fix threads, number formats and cuDNN's choice of kernels, without gradients; all is as before afterwards.

    The workload's board is the current one inside, where it is there.
    """
    import torch

    before = [(switch, switch.now) for switch in switches(spec)]
    with ExitStack() as stack:
        stack.callback(_restore, before)
        hold(spec)
        found = board(spec.device, torch.cuda)
        if isinstance(found, Board):
            stack.enter_context(found.current())
        stack.enter_context(torch.inference_mode())
        yield


def _restore(before: Sequence[tuple[Switch, Any]]) -> None:
    for switch, value in before:
        if value is not MIXED:
            switch.write(value)


def hold(spec: WorkloadSpec) -> tuple[str, ...]:
    """Set everything as the workload wants it; return what was set otherwise, in words."""
    found = [(switch, switch.now) for switch in switches(spec)]
    for switch, _ in found:
        switch.write(switch.wanted)
    return tuple(
        f"{switch.name} to {now} (measured with {switch.wanted})" for switch, now in found if now != switch.wanted
    )


@contextmanager
def loose(spec: WorkloadSpec) -> Iterator[list[str]]:
    """Let code that makes a model or its inputs run inside `settings` as it would elsewhere, gradients and all.

    Whatever it sets holds no longer afterwards; that is what is yielded, and filled in the end.
    """
    import torch

    changed: list[str] = []
    with torch.inference_mode(False):
        changed += hold(spec)  # what it packs is packed for the engine that is set now, and stays so
        yield changed
        changed += hold(spec)  # inside: on its way out it puts autocast back unseen


def check_held(spec: WorkloadSpec) -> None:
    """Make sure that the settings still hold after calls. Raises WorkerFailed where the model itself changes them."""
    if changed := hold(spec):
        message = f"the model sets {', '.join(changed)} while it runs: its numbers would not be the workload's"
        raise WorkerFailed(message, "leave it to the workload: `threads`, `precision`; or put it back within the call")


def described(spec: WorkloadSpec, device: str) -> Mapping[str, str]:
    """Return the settings as they are recorded; call it while they hold. `device` is what the model ran on."""
    import torch

    def switch(on: object) -> str:
        return "on" if on else "off"

    found = {"device": device, "compile": switch(spec.compile), "channels_last": switch(spec.channels_last)}
    if spec.generate is not None:
        found["generate"] = f"{spec.generate.prompt_tokens} + {spec.generate.new_tokens} tokens"
    if device == "cpu":
        return found
    return found | {
        "tf32 products": switch(torch.backends.cuda.matmul.allow_tf32),
        "tf32 convolutions": switch(torch.backends.cudnn.allow_tf32),
        "cudnn benchmark": switch(torch.backends.cudnn.benchmark),
        "cudnn deterministic": switch(torch.backends.cudnn.deterministic),
    }


def check(opened: Opened, spec: WorkloadSpec) -> None:
    """Refuse settings that this model or device cannot have."""
    if spec.precision == "tf32" and spec.device == "cpu":
        message = "precision tf32 is a mode of NVIDIA GPUs"
        raise Refused("model-unsupported", message, "write `precision: fp32`, or `device: cuda`")
    if spec.compile and opened.kind == "torchscript":
        message = f"{opened.path}: TorchScript cannot be compiled by torch.compile"
        raise Refused("model-unsupported", message, "remove `compile`, or name the code that makes the model")


def converted(opened: Opened, module: Any, spec: WorkloadSpec) -> Any:
    """Return the module in the workload's precision and memory format, not compiled yet. Raises Refused.

    A lack of memory and a board that failed go through as they are raised.
    """
    import torch

    try:
        if kind := _dtype(spec):
            module = module.to(dtype=kind)
        return module.to(memory_format=torch.channels_last) if spec.channels_last else module
    except (RuntimeError, TypeError) as error:
        if out_of_memory(error) or ran_out_of_memory(str(error)) or broken(opened.path, error):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        message = f"{opened.path} cannot be brought to {_wanted(spec)}: {first}"
        raise Refused("model-unsupported", message, "remove `precision` or `channels_last`") from None


def placed_call(call: Call, spec: WorkloadSpec, device: str) -> Call:
    """Return a call whose tensors are on the device, floats in the model's precision, images channels last."""
    import torch

    kind = _dtype(spec)

    def change(tensor: Any) -> Any:
        moved = tensor.to(device, kind) if kind is not None and tensor.is_floating_point() else tensor.to(device)
        return moved.contiguous(memory_format=torch.channels_last) if spec.channels_last and moved.dim() == 4 else moved

    return mapped(call, change)


def compiled(module: Any, spec: WorkloadSpec) -> Any:
    """Return the module compiled, where that is asked for; compiling happens at its first call."""
    import torch

    return torch.compile(module) if spec.compile else module


def _dtype(spec: WorkloadSpec) -> Any:
    import torch

    if spec.precision is None:
        return None
    return getattr(torch, _HALF.get(spec.precision, "float32"))


def _wanted(spec: WorkloadSpec) -> str:
    return " and ".join([*([spec.precision] if spec.precision else []), *(["channels_last"] * spec.channels_last)])
