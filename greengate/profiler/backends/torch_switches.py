"""Every setting of PyTorch that code of one model would set for the other: how each is read, written, and wanted.

Runs in the worker.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from greengate.profile import WorkloadSpec

#: What a setting says that PyTorch refuses to tell: its older and its newer names for it contradict each other.
MIXED = "a mixture"

_FUSION = [("STATIC", 2), ("DYNAMIC", 10)]


@dataclass(frozen=True)
class Switch:
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
            return MIXED


def switches(spec: WorkloadSpec) -> tuple[Switch, ...]:
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
        Switch(name, partial(getattr, owner, attribute), partial(setattr, owner, attribute), wanted)
        for name, owner, attribute, wanted in named
    ]
    read, write = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    found.insert(5, Switch(products, read, write, "high" if tf32 else "highest"))
    return (Switch("num_threads", torch.get_num_threads, torch.set_num_threads, spec.threads), *found, *untouched())


def untouched() -> Iterator[Switch]:
    """Yield what no workload chooses, and what code of one model would set for the other: as PyTorch begins with it."""
    import torch

    backends, cuda = torch.backends, torch.backends.cuda
    yield Switch("deterministic_algorithms", torch.get_deterministic_debug_mode, _set_deterministic, 0)
    for name, owner, attribute, wanted in (
        ("cudnn.enabled", backends.cudnn, "enabled", True),
        ("mkldnn.enabled", backends.mkldnn, "enabled", True),
        ("mkldnn.deterministic", backends.mkldnn, "deterministic", False),
    ):
        yield Switch(name, partial(getattr, owner, attribute), partial(setattr, owner, attribute), wanted)
    yield Switch("cuda.flash_sdp", cuda.flash_sdp_enabled, cuda.enable_flash_sdp, True)
    yield Switch("cuda.mem_efficient_sdp", cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, True)
    yield Switch("cuda.math_sdp", cuda.math_sdp_enabled, cuda.enable_math_sdp, True)
    yield Switch("cuda.cudnn_sdp", cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp, True)
    yield Switch("mha.fastpath", backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled, True)
    yield Switch("default_dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    yield Switch("default_device", _default_device, _set_default_device, "cpu")
    for device, dtype in (("cpu", torch.bfloat16), ("cuda", torch.float16)):
        get, put = torch.is_autocast_enabled, torch.set_autocast_enabled
        yield Switch(f"autocast.{device}", partial(get, device), partial(put, device), False)
        get, put = torch.get_autocast_dtype, torch.set_autocast_dtype
        yield Switch(f"autocast.{device}.dtype", partial(get, device), partial(put, device), dtype)
    yield Switch("autocast.cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True)
    yield from _of_kernels()


def _of_kernels() -> Iterator[Switch]:
    """Yield what has other kernels compute the same: of quantised products, of half precision, of TorchScript."""
    import torch

    quantized, products = torch.backends.quantized, torch.backends.cuda.matmul
    get, put = partial(getattr, quantized, "engine"), partial(setattr, quantized, "engine")
    yield Switch("quantized.engine", get, put, _first_engine())
    name = "allow_fp16_accumulation"
    yield Switch(f"cuda.matmul.{name}", partial(getattr, products, name), partial(setattr, products, name), False)
    for kind in ("fp16", "bf16"):
        name = f"allow_{kind}_reduced_precision_reduction"
        yield Switch(f"cuda.matmul.{name}", partial(_reduction, name), partial(setattr, products, name), True)
    yield Switch("flush_denormal", _flushes, torch.set_flush_denormal, False)
    yield Switch("jit.onednn_fusion", torch.jit.onednn_fusion_enabled, torch.jit.enable_onednn_fusion, False)
    yield Switch("jit.fusion_strategy", _fusion, _set_fusion, _FUSION)


@cache
def _first_engine() -> str:
    """Return the engine that PyTorch chose for this machine; first asked for before any model's code has run."""
    import torch

    return str(torch.backends.quantized.engine)


def _reduction(name: str) -> bool | tuple[bool, bool]:
    """Return whether sums may be rounded on the way, and, where they may not be split, that too."""
    import torch

    whether = bool(getattr(torch.backends.cuda.matmul, name))
    return whether if getattr(torch.backends.cuda.matmul, f"{name}_split_k", True) else (whether, False)


def _flushes() -> bool:
    """Tell whether this thread takes the smallest numbers for 0; PyTorch does not say, but half of one is one."""
    return sys.float_info.min / 2 == 0


def _fusion() -> Any:
    """Return the strategy, which PyTorch tells only who sets another."""
    found = _set_fusion(_FUSION)
    _set_fusion(found)
    return found


def _set_fusion(strategy: Any) -> Any:
    """Set it, without the word that it goes with TorchScript; return what it was."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.set_fusion_strategy(strategy)


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
