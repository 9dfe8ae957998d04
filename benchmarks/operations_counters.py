"""The counters that are compared: each gives the MACs of one graph; two yardsticks only run it."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"


@dataclass(frozen=True)
class Counter:
    """`imports` are loaded before the clock starts. A yardstick counts nothing."""

    name: str
    kind: str
    imports: tuple[str, ...]
    count: Callable[[Any, Any], float | None]
    yardstick: bool = False
    ours: bool = False


class DeclinedError(Exception):
    """The counter says itself that it cannot tell."""


# --- ONNX: the graph is a file, fed what greengate makes for it -----------------------------------


def feed_for(path: Path, name: str) -> Any:
    """Return the workload of a graph and what is fed."""
    from realmodels import REAL_MODELS

    from greengate.profile import InputSpec, WorkloadSpec
    from greengate.profiler import onnx_model
    from greengate.profiler.operations import static

    proto = onnx_model.read(str(path)).proto
    tokens = WorkloadSpec(inputs=(InputSpec("input_ids", max=30000),))
    plain = tokens if "input_ids" in {item.name for item in proto.graph.input} else WorkloadSpec()
    spec = REAL_MODELS[name].workload if name in REAL_MODELS else plain
    return spec, static.feeds(proto, spec)


def run_onnx(path: Path, fed: Any) -> None:
    """Load and run once, under the options that greengate counts under."""
    from greengate.profiler.backends.onnx_runtime import load

    load(str(path), 1, as_stored=True).call(fed[1].feeds[0])


def greengate_macs(path: Path, fed: Any) -> float:
    """Count as the gate does, by its own code: read the file, load, run once while the runtime records, add up."""
    from greengate.profiler import onnx_model
    from greengate.profiler.backends.onnx_count import execute

    found = execute(str(path), fed[0], onnx_model.read(str(path))).count()
    if found.unknown:
        raise DeclinedError(str(dict(found.unknown)))
    return found.macs


def greengate_all(path: Path, fed: Any) -> float:
    """Take every exact metric, as `check --static-only` does: the file's digest, a second run, layers."""
    from greengate.profiler.backends import onnx_session
    from greengate.profiler.jobs import CountJob

    return _value(onnx_session.run(CountJob(str(path), fed[0]), lambda _: None).measurements["macs"])


def greengate_static(path: Path, fed: Any) -> float:
    """Count without running, from shapes alone."""
    from greengate.profiler import onnx_model
    from greengate.profiler.operations import static

    found = static.count(onnx_model.read(str(path)).proto, fed[1].inputs, fed[1].feeds[0])
    return _value(static.measurements(found, 1)["macs"])


def _value(measurement: Any) -> float:
    from greengate.profile import Missing

    if isinstance(measurement, Missing):
        raise DeclinedError(measurement.reason)
    return float(measurement.value)


def onnx_tool(path: Path, fed: Any) -> float:
    """onnx-tool: MACs, element-wise work among them."""
    import onnx_tool as tool

    model = tool.Model(str(path))
    model.graph.shape_infer(fed[1].feeds[0])
    model.graph.profile()
    return float(model.graph.macs[0])


def onnx_opcounter(path: Path, _: Any) -> float:
    """onnx-opcounter: MACs."""
    import onnx
    from onnx_opcounter import calculate_macs

    return float(calculate_macs(onnx.load(str(path))))


# --- PyTorch: the graph is a module, with its inputs ----------------------------------------------


def run_torch(module: Any, args: Any) -> None:
    """Run once, without gradients, on one thread as the gate does."""
    import torch

    torch.set_num_threads(1)
    with torch.no_grad():
        module(*args)


def greengate_torch(module: Any, args: Any) -> float:
    """Count as the gate does, without the cross-check."""
    import torch

    from greengate.profile import Missing
    from greengate.profiler.operations.torch_count import count_module

    torch.set_num_threads(1)
    found = count_module(module, args, cross_check=False).macs
    if isinstance(found, Missing):
        raise DeclinedError(found.reason)
    return found


def fvcore(module: Any, args: Any) -> float:
    """fvcore: what it calls flops is one for each MAC, and element-wise operations of norms and pools."""
    from fvcore.nn import FlopCountAnalysis

    return float(FlopCountAnalysis(module, args).total())


def flop_counter_mode(module: Any, args: Any) -> float:
    """PyTorch's own counter: FLOPs, two for each MAC."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*args)
    return counter.get_total_flops() / 2


def ptflops(backend: str) -> Callable[[Any, Any], float]:
    """ptflops: MACs, by its hooks on modules or by dispatched operators."""

    def count(module: Any, args: Any) -> float:
        from ptflops import get_model_complexity_info

        macs, _ = get_model_complexity_info(
            module,
            tuple(args[0].shape[1:]),
            input_constructor=lambda _: args[0],
            as_strings=False,
            print_per_layer_stat=False,
            backend=backend,
        )
        return float(macs)

    return count


def calflops(module: Any, args: Any) -> float:
    """calflops: its MACs, which are not half of its FLOPs."""
    from calflops import calculate_flops

    _, macs, _ = calculate_flops(model=module, args=list(args), output_as_string=False, print_results=False)
    return float(macs)


_GREENGATE = (
    "numpy",
    "onnxruntime",
    "greengate.profiler.backends.onnx_session",
    "greengate.profiler.operations.static",
)
_TORCH = ("torch", "torch._dynamo", "greengate.profiler.operations.torch_count")

COUNTERS: dict[str, Counter] = {
    counter.name: counter
    for counter in (
        Counter("run once (onnxruntime)", "onnx", _GREENGATE, run_onnx, yardstick=True),
        Counter("greengate", "onnx", _GREENGATE, greengate_macs, ours=True),
        Counter("greengate, every exact metric", "onnx", _GREENGATE, greengate_all, ours=True),
        Counter("greengate, without running", "onnx", (*_GREENGATE, "onnx.reference"), greengate_static, ours=True),
        Counter("onnx-tool", "onnx", ("numpy", "onnx_tool"), onnx_tool),
        Counter("onnx-opcounter", "onnx", ("numpy", "onnx_opcounter"), onnx_opcounter),
        Counter("run once (torch)", "torch", _TORCH, run_torch, yardstick=True),
        Counter("greengate (torch)", "torch", (*_TORCH, "torch.utils.flop_counter"), greengate_torch, ours=True),
        Counter("fvcore", "torch", ("torch", "torch._dynamo", "fvcore.nn"), fvcore),
        Counter("FlopCounterMode", "torch", ("torch", "torch._dynamo", "torch.utils.flop_counter"), flop_counter_mode),
        Counter("ptflops (hooks)", "torch", ("torch", "torch._dynamo", "ptflops"), ptflops("pytorch")),
        Counter("ptflops (aten)", "torch", ("torch", "torch._dynamo", "ptflops"), ptflops("aten")),
        Counter("calflops", "torch", ("torch", "torch._dynamo", "calflops"), calflops),
    )
}


def prepare(counter: Counter) -> None:
    """Import what a counter needs; what it prints is its own business."""
    with quiet():
        for name in counter.imports:
            import_module(name)


@contextlib.contextmanager
def quiet() -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
