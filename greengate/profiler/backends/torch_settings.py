"""How PyTorch is set while a model is measured: threads, number formats, kernels chosen; put back after.

Runs in the worker.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from greengate.profile import WorkloadSpec
from greengate.profiler.backends.board_faults import broken, out_of_memory
from greengate.profiler.backends.torch_calls import Call, mapped
from greengate.profiler.backends.torch_device import Board, board
from greengate.profiler.backends.torch_open import Opened
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.worker import ran_out_of_memory

_HALF = {"fp16": "float16", "bf16": "bfloat16"}


#: What a setting says that PyTorch refuses to tell: its older and its newer names for it contradict each other.
_MIXED = "a mixture"


@dataclass(frozen=True)
class _Switch:
    """One setting under PyTorch's name for it: how it is read and written, and what the workload wants."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    wanted: Any

    @property
    def now(self) -> Any:
        """What it is set to."""
        try:
            return self.read()
        except RuntimeError:
            return _MIXED


def _switches(spec: WorkloadSpec) -> tuple[_Switch, ...]:
    """Return all settings in the order in which they are written: older names settle what newer ones left open."""
    import torch

    tf32, backends = spec.precision == "tf32", torch.backends
    products = "float32_matmul_precision"
    named: tuple[tuple[str, Any, str, Any], ...] = (
        ("backends.fp32_precision", backends, "fp32_precision", "none"),
        ("cudnn.fp32_precision", backends.cudnn, "fp32_precision", "none"),
        ("mkldnn.fp32_precision", backends.mkldnn, "fp32_precision", "none"),
        ("mkldnn.conv.fp32_precision", backends.mkldnn.conv, "fp32_precision", "none"),
        ("mkldnn.rnn.fp32_precision", backends.mkldnn.rnn, "fp32_precision", "none"),
        ("cuda.matmul.allow_tf32", backends.cuda.matmul, "allow_tf32", tf32),
        ("cudnn.allow_tf32", backends.cudnn, "allow_tf32", tf32),
        ("cudnn.benchmark", backends.cudnn, "benchmark", False),
        ("cudnn.deterministic", backends.cudnn, "deterministic", False),
    )
    found = [
        _Switch(name, partial(getattr, owner, attribute), partial(setattr, owner, attribute), wanted)
        for name, owner, attribute, wanted in named
    ]
    read, write = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    found.insert(5, _Switch(products, read, write, "high" if tf32 else "highest"))
    return (_Switch("num_threads", torch.get_num_threads, torch.set_num_threads, spec.threads), *found, *_untouched())


def _untouched() -> Iterator[_Switch]:
    """Yield what no workload chooses, and what code of one model would set for the other: as PyTorch begins with it."""
    import torch

    backends, cuda = torch.backends, torch.backends.cuda
    yield _Switch("deterministic_algorithms", torch.get_deterministic_debug_mode, _set_deterministic, 0)
    for name, owner, attribute, wanted in (
        ("cudnn.enabled", backends.cudnn, "enabled", True),
        ("mkldnn.enabled", backends.mkldnn, "enabled", True),
        ("mkldnn.deterministic", backends.mkldnn, "deterministic", False),
    ):
        yield _Switch(name, partial(getattr, owner, attribute), partial(setattr, owner, attribute), wanted)
    yield _Switch("cuda.flash_sdp", cuda.flash_sdp_enabled, cuda.enable_flash_sdp, True)
    yield _Switch("cuda.mem_efficient_sdp", cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, True)
    yield _Switch("cuda.math_sdp", cuda.math_sdp_enabled, cuda.enable_math_sdp, True)
    yield _Switch("cuda.cudnn_sdp", cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp, True)
    yield _Switch("mha.fastpath", backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled, True)
    yield _Switch("default_dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    yield _Switch("default_device", _default_device, _set_default_device, "cpu")
    for device, dtype in (("cpu", torch.bfloat16), ("cuda", torch.float16)):
        get, put = torch.is_autocast_enabled, torch.set_autocast_enabled
        yield _Switch(f"autocast.{device}", partial(get, device), partial(put, device), False)
        get, put = torch.get_autocast_dtype, torch.set_autocast_dtype
        yield _Switch(f"autocast.{device}.dtype", partial(get, device), partial(put, device), dtype)
    yield _Switch("autocast.cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True)


def _set_deterministic(mode: int) -> None:
    """Set it, and what torch.compile was told along with it; loading its configuration takes a second."""
    import torch

    config: Any = sys.modules.get("torch._inductor.config")
    if config is not None and torch.get_deterministic_debug_mode() != mode:
        config.deterministic = mode != 0
    torch.set_deterministic_debug_mode(mode)


_NOT_THERE = "one that is not there"


def _default_device() -> str:
    import torch

    try:
        return str(torch.get_default_device())
    except (RuntimeError, AssertionError):  # it makes a tensor there to tell
        return _NOT_THERE


def _set_default_device(device: str) -> None:
    """Set it; the CPU is what is there without one, which would make every operator slower."""
    import torch

    torch.set_default_device(None if device in ("cpu", _NOT_THERE) else device)


@contextmanager
def settings(spec: WorkloadSpec) -> Iterator[None]:
    """Fix threads, number formats and cuDNN's choice of kernels, without gradients; all is as before afterwards.

    The workload's board is the current one inside, where it is there.
    """
    import torch

    before = [(switch, switch.now) for switch in _switches(spec)]
    with ExitStack() as stack:
        stack.callback(_restore, before)
        hold(spec)
        found = board(spec.device, torch.cuda)
        if isinstance(found, Board):
            stack.enter_context(found.current())
        stack.enter_context(torch.inference_mode())
        yield


def _restore(before: Sequence[tuple[_Switch, Any]]) -> None:
    for switch, value in before:
        if value is not _MIXED:
            switch.write(value)


def hold(spec: WorkloadSpec) -> tuple[str, ...]:
    """Set everything as the workload wants it; return what was set otherwise, in words."""
    found = [(switch, switch.now) for switch in _switches(spec)]
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
