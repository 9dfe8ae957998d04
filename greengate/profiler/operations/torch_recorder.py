"""What PyTorch's dispatcher is asked to do while a module runs: every operator counted, free or unknown, by module.

Every operator goes through the dispatcher, also those that run inside TorchScript or an exported program, so nothing
that computes on tensors is overlooked, except what leaves PyTorch: an extension called around the dispatcher, numpy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from greengate.profiler.operations.torch_formulas import TORCH_FORMULAS, is_narrow
from greengate.profiler.operations.torch_free import is_free
from greengate.profiler.operations.trace import NotUnderstood

ROOT = ""

#: On a board PyTorch pads what flash attention is given to a multiple of so many columns, right before, by zeros.
_FLASH, _PAD, _MULTIPLE = "aten::_scaled_dot_product_flash_attention", "aten::constant_pad_nd", 8


@dataclass
class Tally:
    """What ran, under the path of the innermost module; grows while the recorder listens.

    `narrow` are the MACs of all that multiply numbers of 8 bits or fewer. `padded` are tensors that were just padded,
    each by its identity with what it was before.
    """

    macs: Counter[str] = field(default_factory=Counter)
    by_op: Counter[str] = field(default_factory=Counter)
    activation: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    free: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    not_understood: set[str] = field(default_factory=set)
    path: list[str] = field(default_factory=lambda: [ROOT])
    narrow: int = 0
    padded: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def add(self, name: str, macs: int, narrow: bool) -> None:
        """Count one call of an operator that computes; `narrow`: on numbers of 8 bits or fewer."""
        self.counted[name] += 1
        self.by_op[name] += macs
        self.macs[self.path[-1]] += macs
        self.narrow += macs if narrow else 0

    def doubt(self, name: str, reason: str = "") -> None:
        """Note one call of an operator whose MACs are not known."""
        self.unknown[f"{name} ({reason})" if reason else name] += 1
        self.not_understood.add(self.path[-1])


@contextmanager
def listening(tally: Tally) -> Iterator[None]:
    """Record every operator dispatched inside, on this thread and on those that it forks."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Recorder(TorchDispatchMode):  # type: ignore[misc]  # torch has no types here
        supports_higher_order_operators = True

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return _dispatched(self, tally, func, args, kwargs or {})

    with Recorder():
        yield


def _dispatched(mode: Any, tally: Tally, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operator and record it; what only names others is taken apart, and those are recorded."""
    import torch

    if isinstance(func, torch._ops.HigherOrderOperator):
        return _control_flow(mode, tally, func, args, kwargs)
    name, formula, free = func._schema.name, _formula(func), is_free(func)
    nested = any(item.is_nested for item in _tensors(args))
    if formula is None and not free and not nested:  # one that takes nested tensors, taken apart, fails or calls itself
        with mode:
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        tally.doubt(name)
    elif formula is None and not free:
        tally.doubt(name, "on a nested tensor")
    out = func(*args, **kwargs)
    if formula is not None:
        _count(tally, name, formula, _unpadded(tally, name, args), out)
    elif free:
        tally.free[name] += 1
    _remember(tally, name, args, out)
    tally.activation[tally.path[-1]] += _new_bytes(args, out)
    return out


def _remember(tally: Tally, name: str, args: Any, out: Any) -> None:
    """Keep what is padded as it is for flash attention, until anything else runs."""
    if name != _PAD:
        tally.padded.clear()
    elif len(args[1]) == 2 and args[1][0] == 0 < args[1][1] < _MULTIPLE and out.shape[-1] % _MULTIPLE == 0:
        tally.padded[id(out)] = out, args[0]


def _unpadded(tally: Tally, name: str, args: Any) -> Any:
    """Return an operator's arguments with those of flash attention as the model has them: zeros are no work of its."""
    before = [tally.padded[id(item)][1] for item in args[:3] if id(item) in tally.padded]
    return (*before, *args[3:]) if name == _FLASH and len(before) == 3 else args


def _formula(func: Any) -> Callable[[Any, Any], int] | None:
    """Return the formula of an operator: ours, else PyTorch's own, which gives FLOPs."""
    from torch.utils.flop_counter import flop_registry

    if ours := TORCH_FORMULAS.get(func._schema.name):
        return ours
    theirs = flop_registry.get(func._overloadpacket)
    return None if theirs is None else lambda args, out: int(theirs(*args, out_val=out)) // 2


def _count(tally: Tally, name: str, formula: Callable[[Any, Any], int], args: Any, out: Any) -> None:
    """Apply a formula. A layout whose shape does not tell the work, and whatever the formula chokes on, is unknown."""
    import torch

    tensors = _tensors(args)
    if odd := [item for item in tensors if item.layout is not torch.strided or item.is_nested]:
        kind = "nested" if odd[0].is_nested else str(odd[0].layout).removeprefix("torch.")
        tally.doubt(name, f"on a {kind} tensor")
        return
    try:
        tally.add(name, formula(args, out), is_narrow(name, args))
    except NotUnderstood as reason:
        tally.doubt(name, str(reason))
    except Exception as error:  # noqa: BLE001 - PyTorch's formulas assert what they expect
        tally.doubt(name, f"its formula fails: {type(error).__name__}")


def _control_flow(mode: Any, tally: Tally, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run torch.cond and torch.while_loop with the recorder on, so that what runs is counted; others are unknown."""
    import torch

    if func is torch.ops.higher_order.cond:
        chosen, operands = (args[1] if bool(args[0]) else args[2]), args[3]
        with mode:
            return chosen(*operands)
    if func is torch.ops.higher_order.while_loop:
        condition, body, carried, extra = args
        with mode:
            while bool(condition(*carried, *extra)):
                carried = body(*carried, *extra)
        return carried
    tally.doubt(f"higher_order::{func.name()}")
    return func(*args, **kwargs)


def _tensors(value: Any) -> list[Any]:
    """Return the tensors in arguments or results."""
    import torch
    from torch.utils import _pytree

    return [item for item in _pytree.tree_leaves(value) if isinstance(item, torch.Tensor)]


def _new_bytes(args: Any, out: Any) -> int:
    """Return the bytes an operator puts out, without views of what it was given."""
    given = {_storage(item) for item in _tensors(args)}
    return sum(item.numel() * item.element_size() for item in _tensors(out) if _storage(item) not in given)


def _storage(tensor: Any) -> int:
    """Return what identifies the memory behind a tensor; its own identity where it has no plain memory."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):
        return id(tensor)


# --- which module is running --------------------------------------------------------------------


@contextmanager
def following(root: Any, tally: Tally) -> Iterator[None]:
    """Keep `tally.path` at the innermost module that is running; a module met under two names keeps the first."""
    import torch

    hooks = []
    for name, item in root.named_modules():
        if not isinstance(item, torch.jit.ScriptModule):  # TorchScript does not call hooks inside
            hooks.append(item.register_forward_pre_hook(lambda *_, name=name: tally.path.append(name), prepend=True))
            hooks.append(item.register_forward_hook(lambda *_: _leave(tally), always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _leave(tally: Tally) -> None:
    tally.path.pop()
