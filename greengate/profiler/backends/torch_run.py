"""A PyTorch model ready to run: opened, placed, fed; and what its failures mean. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greengate.profile import Missing, WorkloadSpec
from greengate.profiler import recorded
from greengate.profiler.backends import torch_settings, torch_text
from greengate.profiler.backends.torch_calls import Call, Fed
from greengate.profiler.backends.torch_device import SMALLER, Board, board, out_of_memory
from greengate.profiler.backends.torch_inputs import prepare
from greengate.profiler.backends.torch_open import Opened, open_model
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.worker import gpu_memory, ran_out_of_memory
from greengate.recipe import Recipe


@dataclass(frozen=True)
class Ready:
    """A model on its device, with all it is called with there; `device` is PyTorch's name of it."""

    opened: Opened
    module: Any
    fed: Fed
    calls: tuple[Call, ...]
    device: str

    def call(self, index: int) -> Any:
        """Run once on one of what is fed. Raises Refused, WorkerFailed or MemoryError."""
        given = self.calls[index]
        try:
            return self.module(*given.args, **given.kwargs)
        except Exception as error:
            raise fault(self.opened.path, error) from error

    def speaker(self, spec: WorkloadSpec) -> torch_text.Speak:
        """Return what generates the workload's text once. It raises Refused, WorkerFailed or MemoryError."""
        speak = torch_text.speaker(self.module, spec, self.device)

        def speaking(index: int) -> tuple[int, int]:
            try:
                return speak(index)
            except Exception as error:
                raise fault(self.opened.path, error) from error

        return speaking

    def tried(self, spec: WorkloadSpec) -> str:
        """Generate the workload's text once and say how. Raises Refused, WorkerFailed or MemoryError."""
        try:
            return torch_text.tried(self.module, spec, self.device)
        except Exception as error:
            raise fault(self.opened.path, error) from error


def arrays_of(spec: WorkloadSpec) -> Mapping[str, Any] | None:
    """Read recorded data, where the workload has any."""
    return recorded.read(spec.recorded) if spec.recorded else None


def ready(
    path: str, recipe: Recipe, spec: WorkloadSpec, *, keep: bool = True, arrays: Mapping[str, Any] | None = None
) -> Ready:
    """Open a model and put it and its inputs where they run. Raises Refused, WorkerFailed."""
    with torch_settings.loose(spec):
        opened = open_model(path, recipe, keep)
        torch_settings.check(opened, spec)
        torch_text.check(opened, spec)
        fed = prepare(opened, torch_text.prompted(opened, spec), arrays)
    return put(opened, fed, spec, spec.device)


def put(opened: Opened, fed: Fed, spec: WorkloadSpec, device: str) -> Ready:
    """Place a model and its inputs on a device. Raises Refused, and WorkerFailed where they do not fit."""
    try:
        module = torch_settings.placed(opened, spec, device)
        calls = tuple(torch_settings.placed_call(call, spec, device) for call in fed.calls)
    except RuntimeError as error:
        raise fault(opened.path, error) from error
    return Ready(opened, torch_settings.compiled(module, spec), fed, calls, device)


def on_board(spec: WorkloadSpec) -> Board | None:
    """Return the board that the workload asks for; None for the CPU. Raises WorkerFailed where it is not there."""
    found = device_of(spec)
    if isinstance(found, Missing):
        raise WorkerFailed(found.reason, found.help)
    return found


def device_of(spec: WorkloadSpec) -> Board | Missing | None:
    """Return the board that the workload asks for, its memory limited, None for the CPU, or why it is not there."""
    import torch

    found = board(spec.device, torch.cuda)
    if isinstance(found, Board):
        found.limit(gpu_memory())
    return found


_INPUTS = "describe inputs that it takes: `inputs: {name: {shape: [...], dtype: ...}}`, or make them: `inputs_from`"


def fault(path: str, error: Exception) -> Exception:
    """Return what a failure of a run means: memory of the board or the machine, or inputs that do not fit."""
    if isinstance(error, Refused | WorkerFailed | MemoryError):
        return error
    text = str(error).strip()
    if out_of_memory(error):
        return WorkerFailed(f"the GPU ran out of memory: {_first(text)}", SMALLER)
    if ran_out_of_memory(f"{type(error).__name__}: {text}") or "not enough memory" in text:
        return MemoryError(_first(text))
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return WorkerFailed(f"torch.compile fails: {_first(text)}", "remove `compile: true`, or mend what it names")
    return Refused("input-mismatch", f"{path}: the model fails on its inputs: {_last(error)}", _INPUTS)


def _first(text: str) -> str:
    return (text.splitlines() or [""])[0][:300].strip()


def _last(error: Exception) -> str:
    """Return the words that tell most: of TorchScript's, which print a stack first, the last line."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    said = lines[-1] if "TorchScript" in lines[0] else lines[0]
    kind = type(error).__name__
    return (said if said.startswith(kind) else f"{kind}: {said}")[:300]
