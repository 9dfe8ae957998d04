"""The ONNX backend, in the worker: models counted, timed and weighed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greengate.profile import Measurement, Missing, Role, WorkloadSpec
from greengate.profiler import feed, onnx_model, pairing, recorded
from greengate.profiler.backends.onnx_runtime import PROVIDER, Loaded, load
from greengate.profiler.jobs import (
    Answer,
    Counted,
    CountJob,
    FootprintJob,
    Job,
    LaunchJob,
    Refused,
    Sampled,
    WorkerFailed,
)
from greengate.profiler.operations import counting, trace
from greengate.profiler.worker import MORE_MEMORY, Stage

_FOOTPRINT_CALLS = 3


def run(job: Job, stage: Stage) -> Answer:
    """Do one job on ONNX models. Raises Refused and WorkerFailed."""
    match job:
        case CountJob():
            return count(job, stage)
        case LaunchJob():
            return launch(job, stage)
        case FootprintJob():
            return footprint(job, stage)


# --- counting -----------------------------------------------------------------------------------


def count(job: CountJob, stage: Stage) -> Counted:
    """Take every exact metric of one model: files, parameters, operations, the arena's peak."""
    stage("reading the model")
    model = onnx_model.read(job.path)
    arrays = _recorded(job.workload)
    import onnxruntime

    stage("counting operations")
    prefix = str(Path.cwd() / "trace")
    optimised = _ahead(lambda: load(job.path, 1, f"{prefix}-optimised"))
    plain = load(job.path, 1, prefix, as_stored=True)
    fed = feed.prepare(plain.signatures(), job.workload, arrays)
    plain_trace = _traced(plain, fed)
    stage("measuring activation memory")
    peak = _activation_memory(_traced(optimised(), fed))
    measurements: dict[str, Measurement | Missing] = {
        "size": Measurement(model.size, "read", detail=f"{len(model.files)} file" + "s" * (len(model.files) > 1)),
        "params": Measurement(
            onnx_model.params(model.proto), "read", detail="stored tensors without int64, bool and string ones"
        ),
        **_operations(plain_trace, model.proto, job.workload, len(fed.feeds)),
        "activation_memory": peak,
    }
    runtime = {"onnxruntime": onnxruntime.__version__, "provider": PROVIDER}
    return Counted(model.files, fed.inputs, fed.digest, runtime, measurements, fed.notes)


def _ahead(work: Callable[[], Loaded]) -> Callable[[], Loaded]:
    """Begin to load in a thread, beside the first run, and return a function that waits for the result."""
    done: list[Loaded] = []
    failed: list[Exception] = []

    def begin() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001 - raised again by wait
            failed.append(error)

    def wait() -> Loaded:
        thread.join()
        if failed:
            raise failed[0]
        return done[0]

    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    return wait


def _traced(loaded: Loaded, fed: feed.Feeds) -> trace.Trace:
    loaded.call(fed.feeds[0])
    path = Path(loaded.session.end_profiling())
    found = trace.read(path)
    path.unlink()
    return found


def _operations(found: trace.Trace, proto: Any, workload: WorkloadSpec, feeds: int) -> dict[str, Measurement | Missing]:
    """Return macs and flops per item, or why they are Missing."""
    if not found.whole:
        reason = f"the run has more than {trace.MAX_EVENTS:,} steps, which onnxruntime does not record in full"
        return dict.fromkeys(("macs", "flops"), Missing(reason))
    result = counting.count(found.executed, declared(proto))
    if result.unknown:
        listed = ", ".join(f"{op} x{times}" if times > 1 else op for op, times in sorted(result.unknown.items()))
        reason = f"operators that this version does not count: {listed}"
        return dict.fromkeys(("macs", "flops"), Missing(reason, help="a count without them would be too small"))
    detail = f"as executed with graph optimisations off, 1 thread: {result.counted} nodes counted, {result.free} free"
    detail += f"; first of {feeds} recorded batches" if feeds > 1 else ""
    macs = result.macs / workload.batch_size
    return {
        "macs": Measurement(macs, "executed", detail=detail),
        "flops": Measurement(2 * macs, "executed", detail=detail),
    }


def declared(proto: Any) -> list[counting.Declared]:
    """Return the stored nodes with the attributes that formulas ask for; None where a function's caller sets them."""
    return [_declared(node) for node in onnx_model.nodes(proto)]


def _declared(node: Any) -> counting.Declared:
    plain = {"equation": "s", "transA": "i", "transBatchA": "i"}
    asked = [item for item in node.attribute if item.name in plain]
    values = {item.name: getattr(item, plain[item.name]) for item in asked}
    read = {key: value.decode() if isinstance(value, bytes) else value for key, value in values.items()}
    by_caller = any(item.ref_attr_name for item in asked)
    return counting.Declared(
        node.op_type, "" if node.domain == "ai.onnx" else node.domain, node.name, None if by_caller else read
    )


def _activation_memory(found: trace.Trace) -> Measurement | Missing:
    if found.peak is None:
        reason = "this onnxruntime does not report its arena's peak"
        return Missing(reason, "unavailable", "install a newer onnxruntime")
    return Measurement(found.peak, "executed", detail="peak of onnxruntime's arena, full optimisation, 1 thread")


# --- timing -------------------------------------------------------------------------------------


def launch(job: LaunchJob, stage: Stage) -> Sampled:
    """Load every role in order and time single calls in turn. Failures name their role."""
    _pin(job.cpus)
    import random

    chance = random.Random(job.seed)  # noqa: S311 - places buffers, keeps no secret
    arrays = _recorded(job.workload)
    calls: dict[Role, pairing.Call] = {}
    feeds, held = [], []
    for role in job.order:
        stage(f"loading the {role}")
        held.append(bytearray(chance.randrange(1 << 20)))  # moves what follows to other addresses
        with _naming(role):
            loaded = load(job.paths[role], job.workload.threads)
            fed = feed.prepare(loaded.signatures(), job.workload, arrays)
            calls[role] = _caller(loaded, fed)
            feeds.append(len(fed.feeds))
            stage(f"running the {role} for the first time")
            calls[role](0)
    stage("timing")
    try:
        return pairing.launch(calls, min(feeds), job)
    except pairing.RoleFailed as failed:
        with _naming(failed.role):
            raise failed.error from None


def _caller(loaded: Loaded, fed: feed.Feeds) -> pairing.Call:
    return lambda index: loaded.call(fed.feeds[index])


def _recorded(workload: WorkloadSpec) -> dict[str, Any] | None:
    return recorded.read(workload.recorded) if workload.recorded else None


def _pin(cpus: tuple[int, ...]) -> None:
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


@contextmanager
def _naming(role: Role) -> Iterator[None]:
    """Put the role's name into whatever fails inside."""
    try:
        yield
    except Refused as refused:
        raise Refused(refused.code, f"{role}: {refused.message}", refused.help) from None
    except MemoryError:
        raise WorkerFailed(f"the {role} ran out of memory", MORE_MEMORY) from None
    except Exception as error:
        raise WorkerFailed(f"the {role} failed: {type(error).__name__}: {error}") from error


# --- weighing -----------------------------------------------------------------------------------


def footprint(job: FootprintJob, stage: Stage) -> Sampled:
    """Time the load of one model and weigh the process while it loads and runs, above what it weighed before."""
    _pin(job.cpus)
    arrays = _recorded(job.workload)
    import numpy  # noqa: F401 - weighed before, not with the model
    import onnxruntime  # noqa: F401

    before = _reset_peak()
    stage("loading the model")
    start = time.perf_counter_ns()
    loaded = load(job.path, job.workload.threads)
    series = {"load": (time.perf_counter_ns() - start,)}
    fed = feed.prepare(loaded.signatures(), job.workload, arrays)
    stage("running the model")
    spent = time.perf_counter_ns()
    for index in range(_FOOTPRINT_CALLS):
        loaded.call(fed.feeds[index % len(fed.feeds)])
    seconds = (time.perf_counter_ns() - spent) / 1e9
    if before is None:
        return Sampled({"candidate": series}, seconds, ("this system does not tell a process's peak memory",))
    return Sampled({"candidate": series | {"peak": (max(0, _status("VmHWM") - before),)}}, seconds)


def _reset_peak() -> int | None:
    """Set the process's memory high-water mark to what it holds now, in bytes; None where /proc cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return None


def _status(field: str) -> int:
    """Return a field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
