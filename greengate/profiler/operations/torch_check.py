"""fvcore as an independent cross-check of a count of a PyTorch module."""

from __future__ import annotations

import warnings
from importlib import metadata, util
from typing import Any

from greengate.profiler.operations.torch_recorder import Tally

#: fvcore's names of operators that it counts as we do: one for each multiply-accumulate of a contraction.
_CONTRACTIONS = ("conv", "linear", "addmm", "bmm", "mm", "matmul", "einsum")

#: What fvcore does not see: attention and recurrent layers in one operator, products with a vector or of groups,
#: quantised ones.
_UNSEEN = (
    "attention",
    "_encoder_layer",
    "_rnn",
    "quantized::",
    "aten::mv",
    "aten::addmv",
    "aten::dot",
    "aten::vdot",
    "aten::_int_mm",
    "grouped_mm",
    "_fft_",
)

#: What fvcore meets as one operator that it does not know, and we as the products that it falls apart into.
_WHOLE = ("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu")


def notes(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tally: Tally) -> tuple[str, ...]:
    """Return fvcore's figure as a line of its own; a warning where its contractions are not ours.

    Known differences are taken out before comparing: fvcore does not see the operators of _UNSEEN and _WHOLE, and
    adds element-wise work of norms, pools and interpolation. Without fvcore installed there is no line.
    """
    import torch

    if util.find_spec("fvcore") is None:
        return ()
    name = f"cross-check: fvcore {metadata.version('fvcore')}"
    if isinstance(module, torch.jit.ScriptModule):
        return (f"{name} does not take TorchScript",)
    if kwargs:
        return (f"{name} does not take keyword arguments",)
    try:
        found, passed_over = _count(module, args)
    except Exception as error:  # noqa: BLE001 - a tracer runs foreign code
        return (f"{name} fails: {type(error).__name__}",)
    contractions = int(sum(found.get(op, 0) for op in _CONTRACTIONS))
    added = int(sum(found.values())) - contractions
    line = f"{name} counts {contractions:,} MACs in contractions and adds {added:,} element-wise operations"
    return (f"{line}; {_judged(contractions, set(passed_over), tally)}",)


def _judged(contractions: int, passed_over: set[str], tally: Tally) -> str:
    """Return what the comparison of like with like says."""
    seen = sum(macs for op, macs in tally.by_op.items() if not any(word in op for word in _UNSEEN))
    unseen = sum(tally.by_op.values()) - seen
    if contractions == seen:
        return f"greengate counts the same, and {unseen:,} MACs in operators that it does not see"
    if contractions < seen and (whole := passed_over.intersection(_WHOLE)):
        return f"it does not see into {', '.join(sorted(whole))}"
    return f"warning: greengate counts {seen:,} MACs in the contractions that it knows"


def _count(module: Any, args: tuple[Any, ...]) -> tuple[dict[str, float], dict[str, int]]:
    """Let fvcore trace and count: what it counted by operator, and what it passed over.

    Importing it and tracing warn of PyTorch's own deprecations, which are not news.
    """
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(module, args).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis = analysis.tracer_warnings("none")
        return dict(analysis.by_operator()), dict(analysis.unsupported_ops())
