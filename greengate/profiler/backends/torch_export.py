"""A PyTorch model written as ONNX, by the exporter that PyTorch brings along, and held against it. Runs in the worker.

The exporter traces one call, so shapes and plain numbers are those of the workload. Inputs and outputs are laid flat:
a dict, a tuple or a model's own kind of output becomes one tensor each, named as inputs are described.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greengate.profile import Missing, WorkloadSpec
from greengate.profiler.backends import torch_settings, torch_text
from greengate.profiler.backends.torch_calls import Call
from greengate.profiler.backends.torch_inputs import prepare
from greengate.profiler.backends.torch_open import Opened, open_model
from greengate.profiler.backends.torch_renew import copied
from greengate.profiler.backends.torch_run import Ready, arrays_of, put
from greengate.profiler.backends.torch_slots import slots_of
from greengate.profiler.jobs import Agreement, Exported, ExportJob, Refused
from greengate.profiler.worker import Stage, ran_out_of_memory

_HALVES = "write `precision: fp16` or `fp32`: onnxruntime takes no bf16 from outside"
_HELP = "what `torch.onnx.export` cannot write is measured as PyTorch runs it, without --export"
#: Where the last line of a failure says nothing of the model: exporter, PyTorch, us, and code made up on the way.
_FOREIGN = re.compile(rf"/(?:torch|onnx\w*)/|^<|^{re.escape(str(Path(__file__).parent.parent))}/")
_BRANCH = "write branches that depend on values with torch.cond or torch.where"


def export(job: ExportJob, stage: Stage) -> Exported:
    """Write a model as ONNX with all that it is fed, and compare what both compute. Raises Refused."""
    import numpy as np
    import torch

    stage("loading the model")
    opened = open_model(job.path, job.recipe, seed=job.workload.seed)
    spec = _plain(job.workload)
    torch_settings.check(opened, spec)
    fed = prepare(opened, torch_text.prompted(opened, spec), arrays_of(spec))
    ready = put(opened, fed, spec, "cpu")
    torch.set_num_threads(spec.threads)
    flat = [_flat(opened, call) for call in ready.calls]
    with torch.no_grad():  # not inference_mode, whose tensors cannot be traced
        # On copies: the twin is fed what the model was, which may change it in place.
        wanted = [_outputs(ready, copied(call)) for call in ready.calls]
        stage("exporting the model")
        opset = _write(ready, _flat(opened, copied(ready.calls[0])), job.onnx)
    feeds = [one.arrays() for one in flat]
    np.savez(job.feed, allow_pickle=False, **_joined(feeds, spec.batch_size))
    stage("comparing the outputs")
    by = {"torch": torch.__version__, "onnxscript": _version("onnxscript"), "opset": opset}
    return Exported(by, _agreement(job.onnx, spec.threads, feeds, wanted), fed.notes)


def _plain(spec: WorkloadSpec) -> WorkloadSpec:
    """Return the workload that is traced: on the CPU, as written. Raises Refused for bf16."""
    if spec.precision == "bf16":
        raise Refused("export-failed", "a model in bf16 has no ONNX twin that could be fed", _HALVES)
    precision = "fp32" if spec.precision == "tf32" else spec.precision
    return replace(spec, device="cpu", precision=precision, compile=False, channels_last=False)


def _version(package: str) -> str:
    from importlib import metadata

    return metadata.version(package)


# --- inputs and outputs, laid flat --------------------------------------------------------------


@dataclass(frozen=True)
class Flat:
    """The tensors of one call by name, and how the call is put together again."""

    tensors: Mapping[str, Any]
    again: Callable[[Sequence[Any]], Call]

    def arrays(self) -> dict[str, Any]:
        """Return the tensors as numpy arrays."""
        return {name: tensor.cpu().numpy() for name, tensor in self.tensors.items()}


def _flat(opened: Opened, call: Call) -> Flat:
    import torch
    from torch.utils import _pytree

    slots = [slot.name for slot in slots_of(opened)]
    names = slots if opened.program is None else []
    firsts = [names[place] if place < len(names) else f"input_{place}" for place in range(len(call.args))]
    leaves, shape = _pytree.tree_flatten_with_path(dict(zip(firsts, call.args, strict=True)) | call.kwargs)
    places = [place for place, (_, leaf) in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    told = [".".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path) for path, _ in leaves]
    # An exported program names its tensors itself, in this very order.
    named = slots if opened.program is not None else [told[place] for place in places]

    def again(tensors: Sequence[Any]) -> Call:
        filled = [leaf for _, leaf in leaves]
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        made = _pytree.tree_unflatten(filled, shape)
        return Call(tuple(made.pop(name) for name in firsts), made)

    return Flat(dict(zip(named, (leaves[place][1] for place in places), strict=True)), again)


def _tensors(out: Any) -> tuple[Any, ...]:
    import torch
    from torch.utils import _pytree

    return tuple(leaf for leaf in _pytree.tree_leaves(out) if isinstance(leaf, torch.Tensor))


def _outputs(ready: Ready, given: Call) -> list[Any]:
    found = [tensor.cpu().numpy() for tensor in _tensors(ready.run(given))]
    if not found:
        message = f"{ready.opened.path} returns no tensor that an ONNX model could put out"
        raise Refused("export-failed", message, "let forward return tensors, in tuples or dicts if need be")
    return found


def _joined(feeds: Sequence[Mapping[str, Any]], batch: int) -> dict[str, Any]:
    """Return every batch behind the other, as recorded data is kept; what is the same in all stays as it is."""
    import numpy as np

    if len(feeds) == 1:
        return dict(feeds[0])
    return {
        name: np.concatenate([feed[name] for feed in feeds]) if array.shape[:1] == (batch,) else array
        for name, array in feeds[0].items()
    }


# --- writing ------------------------------------------------------------------------------------


def _write(ready: Ready, flat: Flat, path: str) -> str:
    """Write the file, and the weights beside it; return the opset. Raises Refused with the reason."""
    import torch

    try:
        with _laid_flat(ready, flat) as module:
            tensors = tuple(flat.tensors.values())
            program = torch.onnx.export(
                module, tensors, path, dynamo=True, verbose=False, input_names=list(flat.tensors), external_data=True
            )
    except Exception as error:
        raise _fault(ready.opened.path, error) from error
    return str(program.model.opset_imports[""])


@contextmanager
def _laid_flat(ready: Ready, flat: Flat) -> Iterator[Any]:
    """Give the module a forward that takes and returns tensors alone.

    A module keeps its place, so that the names of its parts reach the file; an exported program checks what it is
    called with, and goes into another module.
    """
    import torch

    module = ready.module
    call = module if ready.opened.program is not None else module.forward

    def forward(*tensors: Any) -> tuple[Any, ...]:
        made = flat.again(tensors)
        return _tensors(call(*made.args, **made.kwargs))

    if ready.opened.program is not None:
        around = torch.nn.Module()
        around.model, around.forward = module, forward
        yield around
        return
    module.forward = forward
    try:
        yield module
    finally:
        del module.forward


def _fault(path: str, error: Exception) -> Exception:
    """Return what a failed export means; the exporter wraps what went wrong in advice to its makers."""
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    text = str(root).strip()
    if ran_out_of_memory(f"{type(root).__name__}: {text}"):
        return MemoryError(text[:200])
    at = _own_line(error, root)
    if found := re.search(r"No ONNX function found for <OpOverload\(op='([\w.:]+)'", text):
        message = f"{path} cannot be exported: there is no ONNX for the operator {found[1]}"
        return Refused("export-failed", message, _HELP)
    if "data-dependent" in text or "GuardOnDataDependent" in type(root).__name__:
        return Refused("export-failed", f"{path} cannot be exported: its control flow depends on data{at}", _BRANCH)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    words = f"{type(root).__name__}: {first}"[:300].rstrip(": ")
    return Refused("export-failed", f"{path} cannot be exported: {words}{at}", _HELP)


def _own_line(*errors: BaseException) -> str:
    """Return the last line of the model's own code that the errors passed; empty where they passed none."""
    frames = [frame for error in errors for frame in traceback.extract_tb(error.__traceback__)]
    own = [frame for frame in frames if not _FOREIGN.search(frame.filename)]
    return f", in {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""


# --- do both compute the same? ------------------------------------------------------------------


def _agreement(path: str, threads: int, feeds: Sequence[Mapping[str, Any]], wanted: Sequence[Any]) -> Any:
    """Run the file on everything that is fed and compare; Missing where the runtime cannot."""
    from greengate.profiler.backends.onnx_runtime import load

    try:
        loaded = load(path, threads)
        taken = {item.name for item in loaded.session.get_inputs()}
        found = [loaded.answers({name: array for name, array in feed.items() if name in taken}) for feed in feeds]
    except Refused as refused:
        return Missing(f"the outputs were not compared: {refused.message}", "unsupported", refused.help)
    return agreement(wanted, found)


def agreement(wanted: Sequence[Sequence[Any]], found: Sequence[Sequence[Any]]) -> Agreement | Missing:
    """Compare the outputs of runs, one after the other; Missing where their number or shapes differ."""
    import numpy as np

    elements = unequal = 0
    apart = largest = 0.0
    for before, after in zip(wanted, found, strict=True):
        shapes = [[tuple(array.shape) for array in side] for side in (before, after)]
        if shapes[0] != shapes[1]:
            return Missing(f"the outputs have other shapes: {shapes[1]}, in PyTorch {shapes[0]}", "incomparable")
        for one, other in zip(before, after, strict=True):
            elements += one.size
            if one.dtype.kind != "f":
                unequal += int(np.count_nonzero(one != other))
                continue
            one, other = one.astype(np.float64), other.astype(np.float64)  # noqa: PLW2901
            finite = np.isfinite(one) & np.isfinite(other)
            unequal += int(np.count_nonzero(~finite & ~((one == other) | (np.isnan(one) & np.isnan(other)))))
            apart = max(apart, float(np.max(np.abs(one - other), where=finite, initial=0.0)))
            largest = max(largest, float(np.max(np.abs(one), where=finite, initial=0.0)))
    return Agreement(len(wanted[0]), elements, apart, largest, unequal)
