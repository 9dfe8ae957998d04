"""Sessions of onnxruntime: loading, feeding, and what its failures mean. Runs in the worker."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from greengate.profiler import feed
from greengate.profiler.backends import onnx_device
from greengate.profiler.backends.board_faults import SMALLER, broken, out_of_memory
from greengate.profiler.backends.onnx_device import ON_CPU, Place
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.worker import ran_out_of_memory


@dataclass(frozen=True)
class Loaded:
    """A session of the runtime and what goes in and out of it; `plain` where numpy has a type for every output."""

    session: Any
    outputs: list[str]
    path: str
    plain: bool = True
    place: Place = ON_CPU

    def caller(self, inputs: Mapping[str, Any]) -> Callable[[], None]:
        """Return a call on these inputs, which lie where the model runs. It raises as `call` does."""
        if self.place.device is None:
            return lambda: self.call(inputs)
        try:
            bound = onnx_device.bound(self.session, self.outputs, inputs, self.place)
        except Exception as error:
            raise _run_fault(self.path, error, self.place) from error

        def called() -> None:
            try:
                bound()
            except Exception as error:
                raise _run_fault(self.path, error, self.place) from error

        return called

    def call(self, inputs: Mapping[str, Any]) -> None:
        """Run once. Raises Refused where the model fails on its inputs."""
        try:
            if self.plain:
                self.session.run(self.outputs, inputs)
            else:
                self._call_apart(inputs)
        except Exception as error:
            raise _run_fault(self.path, error, self.place) from error

    def answers(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Run once and return the outputs as arrays. Raises Refused where the model fails, or numpy has no type."""
        if not self.plain:
            raise Refused("model-unsupported", f"{self.path}: numpy has no type for its outputs", "measure it as it is")
        try:
            return list(self.session.run(self.outputs, inputs))
        except Exception as error:
            raise _run_fault(self.path, error, self.place) from error

    def _call_apart(self, inputs: Mapping[str, Any]) -> None:
        """Run once and leave the outputs where the runtime keeps them."""
        from onnxruntime import OrtValue

        values = {name: OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        self.session.run_with_ort_values(self.outputs, values)

    def signatures(self) -> list[feed.Signature]:
        """Return the inputs the session must be given. Raises Refused for kinds that cannot be made."""
        return [_signature(self.path, item) for item in self.session.get_inputs()]


def load(
    path: str, threads: int, profile_as: str | None = None, as_stored: bool = False, place: Place = ON_CPU
) -> Loaded:
    """Return a ready session: fixed threads, no spinning; optimised fully, or `as_stored` not at all.

    `profile_as` begins the name of a profile to write. Raises Refused where the runtime does not take the model, and
    WorkerFailed where it does not run where it is to.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_DISABLE_ALL if as_stored else level.ORT_ENABLE_ALL
    if as_stored:  # prepacked weights would vanish from the trace
        options.add_session_config_entry("session.disable_prepacking", "1")
    if profile_as is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile_as
    try:
        # Python's own fallback would make the session anew, on the CPU.
        session = onnxruntime.InferenceSession(path, options, providers=place.providers, enable_fallback=0)
    except Exception as error:
        raise _load_fault(path, error, place) from error
    onnx_device.check(session, place)
    outputs = session.get_outputs()
    plain = not any(item.type.removeprefix("tensor(").rstrip(")") in _BEYOND_NUMPY for item in outputs)
    return Loaded(session, [item.name for item in outputs], path, plain, place)


_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
    "string": "string",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}

#: Types of outputs that numpy has no name for.
_BEYOND_NUMPY = frozenset(
    {"bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0", "float4e2m1"}
    | {"int4", "uint4", "int2", "uint2"}
)


def _signature(path: str, item: Any) -> feed.Signature:
    kind = re.fullmatch(r"tensor\((\w+)\)", item.type)
    if kind is None or kind[1] not in _DTYPES:
        message = f"{path}: input {item.name!r} is {item.type}, which this version cannot feed"
        raise Refused("model-unsupported", message, "measure a model whose inputs are plain tensors")
    return feed.Signature(item.name, _DTYPES[kind[1]], tuple(item.shape))


# --- what the runtime says when it fails --------------------------------------------------------

_OTHER_RUNTIME = "export with an older opset, or install a newer onnxruntime"
_OWN_OPERATORS = "only operators that onnxruntime brings along can run here: use those to have it measured"

#: What kernels say of a valid operator that they have only in part.
_LACKING = re.compile(r"\bnot (?:yet |currently )?(?:supported|implemented)\b|install necessary language-pack")

_UNSUPPORTED = (
    (r"No Op registered for (\S+) with domain_version of (\d+)", "no operator {0} in opset {1}"),
    (r"(\S+?)\(-?\d+\) is not a registered function/op", "no operator {0}"),
    (r"Could not find an implementation for (\S+?)\((\d+)\)", "no implementation of {0} (opset {1}) for these types"),
    (r"Failed to find kernel for (\S+?)\((\d+)\)", "no implementation of {0} (opset {1}) for these types"),
    (r"Opset (\d+) is under development", "no opset {0}"),
    (r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", "no IR version {0}, only up to {1}"),
)


def _load_fault(path: str, error: Exception, place: Place) -> Exception:
    """Return what a failure to load means: memory, a board that failed, an unsupported part, or a broken model."""
    import onnxruntime

    text = str(error)
    if failed := _board_fault(path, error, place):
        return failed
    if ran_out_of_memory(text):
        return MemoryError(_first(text))
    for pattern, words in _UNSUPPORTED:
        if found := re.search(pattern, text):
            message = f"{path}: onnxruntime {onnxruntime.__version__} has {words.format(*found.groups())}"
            return Refused("model-unsupported", message, _OWN_OPERATORS if ":" in found[1] else _OTHER_RUNTIME)
    if _LACKING.search(text):
        return _lacking(path, error)
    return Refused("model-invalid", f"{path}: onnxruntime refuses the model: {_first(text)}", "export the model again")


def _lacking(path: str, error: Exception) -> Refused:
    """Return what it means that a kernel lacks a part of its operator."""
    import onnxruntime

    message = f"{path}: onnxruntime {onnxruntime.__version__} cannot run all of it: {_first(str(error))}"
    return Refused("model-unsupported", message, _OTHER_RUNTIME)


def _board_fault(path: str, error: Exception, place: Place) -> Exception | None:
    """Return what it means that the board, not the machine or the model, ran out of memory or failed."""
    text = str(error)
    if place.device is None:
        return None
    if out_of_memory(error) or ran_out_of_memory(text):
        return WorkerFailed(f"the GPU ran out of memory: {_first(text)}", SMALLER)
    return broken(path, error)


def _run_fault(path: str, error: Exception, place: Place) -> Exception:
    """Return what a failure of a run means: memory, a board that failed, or inputs that the model does not take."""
    text = str(error)
    if failed := _board_fault(path, error, place):
        return failed
    if ran_out_of_memory(text):
        return MemoryError(_first(text))
    if type(error).__name__ == "NotImplemented" or _LACKING.search(text):
        return _lacking(path, error)
    help_ = "describe inputs that it takes: `inputs: {name: {shape: [...], min: ..., max: ...}}`, or recorded ones"
    return Refused("input-mismatch", f"{path}: the model fails on its inputs: {_first(text)}", help_)


def _first(text: str) -> str:
    """Return the runtime's first line without its number, source file and C++ signature."""
    line = (text.strip().splitlines() or [""])[0]
    line = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", line)
    line = re.sub(r"/\S+\.(?:cc|h):\d+ .*?\) (?:const )?(?=[A-Z\[a-z_]+)", "", line)
    return re.sub(r"Load model from \S+ failed:\s*", "", line)[:300].strip()
