"""MACs of a PyTorch module: run it once, and let the dispatcher tell what it does.

Takes an eager module, TorchScript (traced or scripted) and an exported program. The module runs as it is, in
evaluation mode, without gradients, on the inputs given; control flow counts what ran.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from greengate.profile import Layer, Missing
from greengate.profiler.operations import torch_check
from greengate.profiler.operations.torch_fresh import fresh
from greengate.profiler.operations.torch_recorder import ROOT, Tally, following, listening

Place = tuple[int, ...]


@dataclass(frozen=True)
class TorchCount:
    """MACs of one call, or why they are Missing; every dispatched operator with its calls, in three sets.

    `by_op` are the MACs of each, `narrow` those that multiply numbers of 8 bits or fewer. `layers` are modules by path,
    with what ran in them and in no module of theirs; a bare class name is the root.
    """

    macs: int | Missing
    counted: Mapping[str, int]
    free: Mapping[str, int]
    unknown: Mapping[str, int]
    layers: tuple[Layer, ...] = ()
    notes: tuple[str, ...] = ()
    by_op: Mapping[str, int] = field(default_factory=dict)
    narrow: int = 0


def count_module(
    module: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, *, cross_check: bool = True
) -> TorchCount:
    """Run a module once and count.

    `args` and `kwargs` are one call's inputs, batch included: the count is per call. The module gets copies, for it may
    change them. While it runs, the module is in
    evaluation mode, gradients and the fused fast path of nn.MultiheadAttention are off, and compiled modules run
    uncompiled; all are put back. Whatever the module raises goes through. `cross_check` lets fvcore count as well,
    where it is installed: its figure becomes a note.
    """
    given = (tuple(args), dict(kwargs or {}))
    tally = Tally()
    runnable = _runnable(module)
    with _settings(runnable):
        copies = fresh(given)
        with following(runnable, tally), listening(tally):
            _run(runnable, tally, *copies)
        notes = _notes(runnable, tally)
        if cross_check:
            notes += torch_check.notes(runnable, *fresh(given), tally)
    layers = tuple(_layers(runnable, tally))
    sets = dict(tally.counted), dict(tally.free), dict(tally.unknown)
    return TorchCount(_macs(tally), *sets, layers, notes, dict(tally.by_op), tally.narrow)


def _runnable(module: Any) -> Any:
    """Return the module to call: that of an exported program, the one behind a compiled one, else the module itself."""
    import torch

    return module.module() if isinstance(module, torch.export.ExportedProgram) else getattr(module, "_orig_mod", module)


def _macs(tally: Tally) -> int | Missing:
    if not tally.unknown:
        return sum(tally.macs.values())
    listed = ", ".join(f"{op} x{times}" if times > 1 else op for op, times in sorted(tally.unknown.items()))
    reason = f"operators that this version does not count: {listed}"
    return Missing(reason, help="a count without them would be too small")


# --- running ------------------------------------------------------------------------------------


@contextmanager
def _settings(module: Any) -> Iterator[None]:
    """Set what makes a count the same everywhere, and put it back, also in every module."""
    import torch

    fast = torch.backends.mha.get_fastpath_enabled()
    training = [item for item in module.modules() if getattr(item, "training", False)]
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(_set_training, training, True)
        _set_training(training, False)
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and this would take a second to import
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.jit.optimized_execution(False))  # its passes call operators of their own
        yield


def _set_training(modules: Sequence[Any], value: bool) -> None:
    """Set the flag itself: exported programs refuse train() and eval()."""
    for item in modules:
        item.training = value


def _run(module: Any, tally: Tally, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call the module; an exported program node by node, as each node knows the module that it came from."""
    import torch

    if not _exported(module) or kwargs:
        module(*args, **kwargs)
        return

    class Stepper(torch.fx.Interpreter):  # type: ignore[misc]  # torch has no types here
        def run_node(self, n: Any) -> Any:
            tally.path.append(_origin(n))
            try:
                return super().run_node(n)
            finally:
                tally.path.pop()

    Stepper(module).run(*args)


def _exported(module: Any) -> bool:
    """Tell whether a module is that of an exported program, whose nodes carry their origin."""
    import torch

    return isinstance(module, torch.fx.GraphModule) and any("nn_module_stack" in n.meta for n in module.graph.nodes)


def _origin(node: Any) -> str:
    """Return the path of the module a node was exported from."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ROOT


# --- telling ------------------------------------------------------------------------------------


def _layers(module: Any, tally: Tally) -> Iterator[Layer]:
    """Yield every module that holds parameters or ran something, in the order of its definition."""
    seen: set[Place] = set()
    kinds = {path: _kind(item) for path, item in module.named_modules()}
    own = {path: list(item.parameters(recurse=False)) for path, item in module.named_modules()}
    for path in dict.fromkeys([*kinds, *tally.macs, *tally.activation]):
        kept = list({place(item): item for item in own.get(path, ()) if place(item) not in seen}.values())
        seen.update(place(item) for item in kept)
        if not kept and path not in tally.macs and path not in tally.activation and path not in tally.not_understood:
            continue
        yield Layer(
            path or kinds[ROOT],
            kinds.get(path, ""),
            None if path in tally.not_understood else tally.macs[path],
            sum(item.numel() for item in kept),
            sum(item.numel() * item.element_size() for item in kept),
            tally.activation[path],
        )


def place(tensor: Any) -> Place:
    """Return what is equal for two tensors of the same elements in memory, such as tied weights of a stored program.

    Its own identity where it has no memory of its own, as on the meta device.
    """
    try:
        start = int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        start = 0
    if not start:
        return (id(tensor),)
    reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return start, int(tensor.storage_offset()), int(tensor.numel()), int(reach)


def _kind(module: Any) -> str:
    return str(getattr(module, "original_name", type(module).__name__))


def _notes(module: Any, tally: Tally) -> tuple[str, ...]:
    import torch

    notes = []
    if isinstance(module, torch.jit.ScriptModule):
        notes.append("TorchScript does not tell its modules apart: all operations stand under the root")
    if any(name.startswith("quantized::") for name in (*tally.counted, *tally.unknown)):
        notes.append("packed parameters of quantised modules are not in the layers")
    return tuple(notes)
