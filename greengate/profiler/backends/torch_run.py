"""A PyTorch model ready to run: opened, placed, fed; and what its failures mean. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greengate.profile import Missing, WorkloadSpec
from greengate.profiler import recorded
from greengate.profiler.backends import torch_code, torch_settings, torch_text
from greengate.profiler.backends.board_faults import SMALLER, broken, out_of_memory
from greengate.profiler.backends.torch_calls import Call, Fed
from greengate.profiler.backends.torch_device import Board, board
from greengate.profiler.backends.torch_inputs import prepare
from greengate.profiler.backends.torch_open import Opened, evaluating, open_model
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.worker import gpu_memory, ran_out_of_memory
from greengate.recipe import Recipe


@dataclass(frozen=True)
class Placed:
    """A model on its device, not fed yet; `device` is PyTorch's name of it."""

    opened: Opened
    module: Any
    device: str


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
        return self.run(self.calls[index])

    def run(self, given: Call) -> Any:
        """Run once on a call's arguments. Raises Refused, WorkerFailed or MemoryError."""
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
    return feeding(loaded(path, recipe, spec, keep=keep), spec, arrays)


def loaded(path: str, recipe: Recipe, spec: WorkloadSpec, *, keep: bool = True) -> Placed:
    """Open a model and put it where it runs, without inputs. Raises Refused, WorkerFailed and MemoryError."""
    with torch_settings.loose(spec):
        opened = open_model(path, recipe, keep, spec.seed)
        torch_settings.check(opened, spec)
        torch_text.check(opened, spec)
    return _placed(opened, spec, spec.device)


def feeding(placed: Placed, spec: WorkloadSpec, arrays: Mapping[str, Any] | None = None) -> Ready:
    """Make the inputs of a model and put them where it is. Raises Refused, WorkerFailed and MemoryError."""
    with torch_settings.loose(spec):
        fed = prepare(placed.opened, torch_text.prompted(placed.opened, spec), arrays)
    return _fed(placed, fed, spec)


def put(opened: Opened, fed: Fed, spec: WorkloadSpec, device: str) -> Ready:
    """Place a model and its inputs on a device. Raises Refused, WorkerFailed and MemoryError."""
    return _fed(_placed(opened, spec, device), fed, spec)


def _placed(opened: Opened, spec: WorkloadSpec, device: str) -> Placed:
    try:
        module = torch_settings.converted(opened, _moved(opened, device), spec).to(device)
    except Refused:
        raise
    except Exception as error:
        raise unplaced(opened.path, device, error) from error
    return Placed(opened, torch_settings.compiled(module, spec), device)


def _fed(placed: Placed, fed: Fed, spec: WorkloadSpec) -> Ready:
    try:
        calls = tuple(torch_settings.placed_call(call, spec, placed.device) for call in fed.calls)
    except Exception as error:
        raise unplaced(placed.opened.path, placed.device, error) from error
    torch_code.reseed(spec.seed)  # a model that samples does so alike in every process and role
    return Ready(placed.opened, placed.module, fed, calls, placed.device)


def _moved(opened: Opened, device: str) -> Any:
    """Return the module to be placed; an exported program names devices in its graph, which must follow."""
    if opened.program is None or device == "cpu":
        return opened.module
    from torch.export.passes import move_to_device_pass

    return evaluating(move_to_device_pass(opened.program, device).module())


def unplaced(path: str, device: str, error: Exception) -> Exception:
    """Return what it means that something could not be placed: no memory, or a device that cannot take it."""
    found = fault(path, error)
    if not isinstance(found, Refused):
        return found
    return WorkerFailed(f"{path} could not be put on the device {device}: {_last(error)}")


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


def wait(place: Board | None, path: str) -> None:
    """Wait for a board, if any: what fails there is told late, and here in this model's name. Raises like a call."""
    try:
        if place is not None:
            place.synchronize()
    except Exception as error:
        raise fault(path, error) from error


#: What PyTorch says where a model makes something on a device of its own choice.
_ELSEWHERE = "to be on the same device"
_FOLLOW = (
    "make what it makes on the device of its inputs; traced TorchScript keeps the device it was traced on: "
    "trace it there, script it, or save it with torch.export, whose devices are moved"
)
_INPUTS = "describe inputs that it takes: `inputs: {name: {shape: [...], dtype: ...}}`, or make them: `inputs_from`"


def fault(path: str, error: Exception) -> Exception:
    """Return what a failure of a run means: memory, a board that failed, or inputs that do not fit."""
    if isinstance(error, Refused | WorkerFailed | MemoryError):
        return error
    text = str(error).strip()
    if out_of_memory(error):
        return WorkerFailed(f"the GPU ran out of memory: {_first(text)}", SMALLER)
    if ran_out_of_memory(f"{type(error).__name__}: {text}"):
        return MemoryError(_first(text))
    if failed := broken(path, error):
        return failed
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return WorkerFailed(f"torch.compile fails: {_first(text)}", "remove `compile: true`, or mend what it names")
    if _ELSEWHERE in text:
        return Refused("model-unsupported", f"{path}: the model does not follow to its device: {_last(error)}", _FOLLOW)
    return Refused("input-mismatch", f"{path}: the model fails on its inputs: {_last(error)}", _INPUTS)


def late(path: str, error: Exception) -> Exception:
    """Return what an error means that came where a board was waited for; any other is as it was."""
    return error if broken(path, error) is None else fault(path, error)


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
