"""How PyTorch is set while a model is measured: threads, number formats, kernels chosen; put back after.

Runs in the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from greengate.profile import WorkloadSpec
from greengate.profiler.backends.torch_calls import Call, mapped
from greengate.profiler.backends.torch_open import Opened
from greengate.profiler.jobs import Refused

_HALF = {"fp16": "float16", "bf16": "bfloat16"}


@contextmanager
def settings(spec: WorkloadSpec) -> Iterator[None]:
    """Fix threads, TF32 and cuDNN's choice of kernels, without gradients; everything is as before afterwards."""
    import torch

    tf32 = spec.precision == "tf32"
    wanted = {
        (torch.backends.cuda.matmul, "allow_tf32"): tf32,
        (torch.backends.cudnn, "allow_tf32"): tf32,
        (torch.backends.cudnn, "benchmark"): False,
        (torch.backends.cudnn, "deterministic"): False,
    }
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(spec.threads)
        for (owner, name), value in wanted.items():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        stack.enter_context(torch.inference_mode())
        yield


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


def placed(opened: Opened, spec: WorkloadSpec, device: str) -> Any:
    """Return the module on its device, in its precision and memory format, not compiled yet. Raises Refused."""
    import torch

    module = opened.module
    try:
        if kind := _dtype(spec):
            module = module.to(dtype=kind)
        if spec.channels_last:
            module = module.to(memory_format=torch.channels_last)
        return module.to(device)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        if "out of memory" in str(error):
            raise
        first = str(error).strip().splitlines()[0][:200]
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
