"""Where an ONNX model runs: on the CPU, or on an NVIDIA GPU, where every node of it is looked for. Runs in the worker.

onnxruntime runs on the CPU, in silence, what a provider does not take, and everything where the provider does not
start. So what was asked for is held against what the session has, and against what its own profile says of each node.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greengate.profile import Missing, WorkloadSpec
from greengate.profiler import cuda
from greengate.profiler.cuda import Device
from greengate.profiler.jobs import CountJob, Refused, WorkerFailed
from greengate.profiler.operations.formulas import FORMULAS
from greengate.profiler.operations.known import SMALL
from greengate.profiler.worker import gpu_memory

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

#: Types of values that steer, and do not compute: shapes, indices, conditions. Narrower ones are quantised numbers.
_STEERS = frozenset({"bool", "string", "int32", "int64"})

#: Operators that never steer, whatever they put out: they multiply and add.
_COMPUTES = frozenset(op for _, op in FORMULAS)

#: Operators that ask for the shape of a value, not for what is in it.
_OF_SHAPE = frozenset({"Shape", "Size"})

_INSTEAD = "pip uninstall onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu: they overwrite each other"


@dataclass(frozen=True)
class Place:
    """A provider of the runtime, with its options; `memory` is what it calls the memory where inputs and outputs lie.

    `device` is None for the CPU.
    """

    provider: str = CPU
    options: Mapping[str, str] | None = None
    device: Device | None = None
    memory: str = "cpu"

    @property
    def providers(self) -> list[Any]:
        """The providers to ask for, first choice first. The CPU stays: shapes are worked out there."""
        mine = self.provider if self.options is None else (self.provider, dict(self.options))
        return [mine] if self.provider == CPU else [mine, CPU]

    @property
    def index(self) -> int:
        """The number of the device among its kind."""
        return 0 if self.device is None else self.device.index


ON_CPU = Place()


def place_of(spec: WorkloadSpec) -> Place | Missing:
    """Return where the workload's model is to run; Missing, with the next step, where that is not there."""
    if spec.device == "cpu":
        return ON_CPU
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        message = f"onnxruntime {onnxruntime.__version__} as installed here runs on no NVIDIA GPU (it has no {CUDA})"
        return Missing(f"the device {spec.device} is not there: {message}", "unavailable", _INSTEAD)
    found = cuda.device(spec.device)
    if isinstance(found, Missing):
        return found
    if preload := getattr(onnxruntime, "preload_dlls", None):
        preload()  # CUDA's libraries where pip put them: the provider itself looks only where the system does
    tf32 = "1" if spec.precision == "tf32" else "0"
    # The search for the fastest convolution would run, and choose, anew in every process.
    options = {"device_id": str(found.index), "use_tf32": tf32, "cudnn_conv_algo_search": "HEURISTIC"}
    most = gpu_memory()
    return Place(CUDA, options | ({"gpu_mem_limit": str(most)} if most is not None else {}), found, "cuda")


def placed(spec: WorkloadSpec) -> Place:
    """Return where the workload's model is to run. Raises WorkerFailed where that is not there."""
    found = place_of(spec)
    if isinstance(found, Missing):
        raise WorkerFailed(found.reason, found.help)
    return found


def check_settings(job: CountJob) -> None:
    """Refuse what is asked of PyTorch models, where an ONNX file stands in for one: it would be left out in silence."""
    spec = job.workload
    asked = {
        "precision": spec.precision is not None and not (spec.precision == "tf32" and spec.device != "cpu"),
        "compile": spec.compile,
        "channels_last": spec.channels_last,
        "inputs_from": spec.inputs_from is not None,
        "generate": spec.generate is not None,
    }
    if found := [f"`{key}`" for key, is_asked in asked.items() if is_asked]:
        message = f"{job.path}: an ONNX model has no use for {', '.join(found)}"
        raise Refused("model-unsupported", message, "give it an entry of its own in the budget, without")


def described(spec: WorkloadSpec) -> Mapping[str, str]:
    """Return the settings of a run on a board as they are recorded; none for the CPU."""
    if spec.device == "cpu":
        return {}
    return {
        "device": spec.device,
        "inputs and outputs": "on the board",
        "tf32": "on" if spec.precision == "tf32" else "off",
        "cudnn convolutions": "by heuristic",
    }


def check(session: Any, place: Place) -> None:
    """Hold a fresh session against its place. Raises WorkerFailed where the provider did not start."""
    has = session.get_providers()
    if place.provider not in has:
        reason = f"onnxruntime could not start {place.provider} and took {', '.join(has)}"
        raise WorkerFailed(reason, "install the CUDA and cuDNN libraries that this onnxruntime-gpu was built for")


# --- which node ran where ------------------------------------------------------------------------


@dataclass(frozen=True)
class Assigned:
    """Nodes of one run by where they ran: on the place asked for, steering on the CPU, or fallen back to it."""

    there: Mapping[str, int]
    steering: Mapping[str, int]
    fallen: Mapping[str, int]

    @property
    def copies(self) -> int:
        """How often a value was copied between the memories of CPU and board."""
        return sum(times for op, times in self.there.items() if op.startswith("Memcpy"))


def assigned(profile: Path, place: Place) -> Assigned:
    """Read a profile of the runtime: every executed node by the provider that ran it.

    A node on the CPU steers where all it puts out are whole numbers, conditions or text, and it neither multiplies and
    adds nor reads activations: the runtime keeps the arithmetic of shapes there on purpose. Any other has fallen back.
    """
    there: Counter[str] = Counter()
    steering: Counter[str] = Counter()
    fallen: Counter[str] = Counter()
    for event in json.loads(profile.read_text("utf-8", "replace")):
        if event.get("cat") != "Node" or not str(event.get("name", "")).endswith("_kernel_time"):
            continue
        told = event.get("args", {})
        op = str(told.get("op_name"))
        if told.get("provider") == place.provider:
            there[op] += 1
        elif _steers(op, told):
            steering[op] += 1
        else:
            fallen[op] += 1
    return Assigned(there, steering, fallen)


def _steers(op: str, told: Mapping[str, Any]) -> bool:
    outputs = [kind for output in told.get("output_type_shape", ()) for kind in output]
    if not outputs or not _STEERS.issuperset(outputs) or op in _COMPUTES:
        return False
    return op in _OF_SHAPE or not any(
        _activation(*item) for one in told.get("input_type_shape", ()) for item in one.items()
    )


def _activation(kind: str, shape: Sequence[int]) -> bool:
    """Tell whether a value is one that is computed with: numbers that do not steer, and too many for sizes."""
    return kind not in _STEERS and math.prod(shape) > SMALL


def fallback(found: Assigned, place: Place) -> Missing | None:
    """Return why a model did not run where it was to; None where it did."""
    if not found.fallen:
        return None
    count, of = sum(found.fallen.values()), sum(map(sum, (one.values() for one in (found.there, found.fallen))))
    message = (
        f"{count} of {of} nodes fell back to the CPU ({place.provider} does not take them): {_listed(found.fallen)}"
    )
    help_ = "export with operators and types that the provider has, or measure with `device: cpu`"
    return Missing(message, "unsupported", help_)


def notes(found: Assigned, place: Place) -> tuple[str, ...]:
    """Say how many nodes ran where."""
    told = f"all {sum(found.there.values()):,} nodes that compute ran on {place.provider}, as its profile says of each"
    steering = f"; {sum(found.steering.values()):,} that work out shapes ran on the CPU: {_listed(found.steering)}"
    copies = f"; {found.copies:,} copies between CPU and board in a call" if found.copies else ""
    return (told + (steering if found.steering else "") + copies,)


def _listed(ops: Mapping[str, int], most: int = 5) -> str:
    named = [f"{op} x{times}" if times > 1 else op for op, times in sorted(ops.items())]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")


# --- calls whose inputs and outputs stay on the board --------------------------------------------


def bound(session: Any, outputs: Iterable[str], feed: Mapping[str, Any], place: Place) -> Callable[[], None]:
    """Return a call on inputs that lie on the board already, whose outputs stay there; it returns when all is done."""
    from onnxruntime import OrtValue

    binding = session.io_binding()
    for name, array in feed.items():
        binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array, place.memory, place.index))
    for name in outputs:
        binding.bind_output(name, place.memory, place.index)

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return call
