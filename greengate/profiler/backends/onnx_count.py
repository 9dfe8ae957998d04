"""The ONNX backend, in the worker: every exact metric of one model."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from greengate.profile import Measurement, Missing, WorkloadSpec
from greengate.profiler import feed, onnx_model
from greengate.profiler.backends import onnx_device
from greengate.profiler.backends.onnx_device import ON_CPU, Assigned, Place
from greengate.profiler.backends.onnx_runtime import Loaded, load
from greengate.profiler.backends.onnx_unrun import (
    COUNTS,
    UNSUPPORTED,
    Found,
    arrays_of,
    count_files,
    count_unrun,
    size,
    weights,
)
from greengate.profiler.jobs import UNFED, Counted, CountJob, Refused, WorkerFailed
from greengate.profiler.operations import trace
from greengate.profiler.operations.counting import Count, Line, count
from greengate.profiler.operations.formulas import QUANTISED
from greengate.profiler.operations.layers import layers, named
from greengate.profiler.operations.stored import Declared, declared
from greengate.profiler.operations.weights import Ledger
from greengate.profiler.worker import Stage

_T = TypeVar("_T")

#: Models up to this size are loaded a second time while they run the first time: it saves seconds, and costs memory.
_SIDE_BY_SIDE = 32 * 1024 * 1024

#: A session takes some 5 kB a node, and what is known of a node about 1 kB: more nodes than these are taken in turn.
_MANY = 5_000

#: Operators of an optimised run that multiply numbers of 8 bits or fewer.
_NARROW = frozenset({*(op for _, op in QUANTISED), "MatMulNBits"})
_TOKEN = re.compile(r"_token_\d+$")


def count_model(job: CountJob, stage: Stage) -> Counted:
    """Take every exact metric of one model: files, parameters, operations, the arena's peak.

    A model that the runtime does not take is counted without running it. A lenient job on a model that cannot be fed
    is answered with what its files tell. Raises Refused.
    """
    try:
        onnx_device.check_settings(job)
        return _count_somehow(job, stage)
    except Refused as refused:
        if not job.lenient or refused.code not in UNFED:
            raise
        return count_files(job, refused)


def _count_somehow(job: CountJob, stage: Stage) -> Counted:
    try:
        return _count_fed(job, stage)
    except Refused as refused:
        if refused.code != UNSUPPORTED:
            raise
        return count_unrun(job, refused, stage)


def _count_fed(job: CountJob, stage: Stage) -> Counted:
    stage("reading the model")
    model = onnx_model.read(job.path)
    arrays = arrays_of(job.workload)
    import onnxruntime

    stage("counting operations")
    files, ledger = _ahead(model.files), Ledger()
    where = onnx_device.place_of(job.workload)
    place = ON_CPU if isinstance(where, Missing) else where
    quick = _optimised(job, model, arrays, place)
    run = execute(job.path, job.workload, model, arrays, ledger)
    try:
        optimised, nodes = quick()
    except WorkerFailed as failed:  # a board that is there, and cannot be used
        where, place = Missing(failed.reason, "failed", failed.help), ON_CPU
        optimised, nodes = _optimised(job, model, arrays, place)()
    unrun = where if isinstance(where, Missing) else onnx_device.fallback(nodes, place) if nodes else None
    narrowed = _narrowed(optimised)
    found = run.count(narrowed)
    batch, feeds = job.workload.batch_size, len(run.fed.feeds)
    return Counted(
        files=files(),
        inputs=run.fed.inputs,
        feed=run.fed.digest,
        runtime={"onnxruntime": onnxruntime.__version__, "provider": place.provider},
        measurements={
            "size": size(model),
            **weights(ledger),
            **(_operations(found, narrowed, batch, feeds) if run.trace.whole else _cut_off()),
            "activation_memory": unrun or _activation_memory(optimised, found, place),
        },
        notes=(*run.fed.notes, *(onnx_device.notes(nodes, place) if nodes and unrun is None else ())),
        layers=layers(found.lines, run.stored),
        unrun=unrun,
        settings=onnx_device.described(job.workload),
        gpus=() if place.device is None else (place.device.gpu,),
    )


@dataclass(frozen=True)
class Executed:
    """One recorded run with graph optimisations off: what was fed, the nodes as stored, and those that ran.

    A small session is kept: ending it takes time, which the end of the worker saves.
    """

    fed: feed.Feeds
    stored: list[Declared]
    trace: trace.Trace
    kept: Loaded | None = None

    def count(self, narrowed: frozenset[str] = frozenset()) -> Count:
        """Count what ran; `narrowed` names nodes that an optimised run executes in 8 bits or fewer."""
        return count(self.trace.executed, self.stored, narrowed)


def execute(
    path: str,
    workload: WorkloadSpec,
    model: onnx_model.OnnxModel,
    arrays: Mapping[str, Any] | None = None,
    ledger: Ledger | None = None,
) -> Executed:
    """Load and run a model once while the runtime records; `ledger` learns every weight. Raises Refused."""
    known: dict[str, int] = {}
    loaded = load(path, 1, str(Path.cwd() / "trace"), as_stored=True)
    fed = feed.prepare(loaded.signatures(), workload, arrays)
    known.update(_numbers(fed.feeds[0]))
    written = _run(loaded, fed)
    kept = loaded if _is_small(model) else None
    del loaded  # what is known of many nodes need not lie beside the session in memory
    return Executed(fed, list(declared(model.proto, ledger, known)), _read(written), kept)


def _is_small(model: onnx_model.OnnxModel) -> bool:
    """Tell whether two sessions of a model may be in memory at once."""
    return model.size <= _SIDE_BY_SIDE and len(model.proto.graph.node) <= _MANY


def _optimised(
    job: CountJob, model: onnx_model.OnnxModel, arrays: Mapping[str, Any] | None, place: Place
) -> Callable[[], tuple[trace.Trace, Assigned | None]]:
    """Run once at full optimisation where the workload runs, and return a function that gives the trace.

    On a board it says too which node ran where.

    A small model runs beside the count. A large one runs before it, so that of two sessions and all that is known of
    the nodes no two are in memory at once.
    """
    prefix = str(Path.cwd() / "trace-optimised")

    def work() -> tuple[trace.Trace, Assigned | None]:
        loaded = load(job.path, 1, prefix, place=place)
        written = _run(loaded, feed.prepare(loaded.signatures(), job.workload, arrays))
        nodes = onnx_device.assigned(written, place) if place.device is not None else None
        return _read(written), nodes

    if _is_small(model):
        return _ahead(work)
    found = work()
    return lambda: found


def _ahead(work: Callable[[], _T]) -> Callable[[], _T]:
    """Begin in a thread, and return a function that waits for the result: loading and hashing leave Python free."""
    done: list[_T] = []
    failed: list[Exception] = []

    def begin() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001 - raised again by wait
            failed.append(error)

    def wait() -> _T:
        thread.join()
        if failed:
            raise failed[0]
        return done.pop()

    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    return wait


def _run(loaded: Loaded, fed: feed.Feeds) -> Path:
    """Run once, on the first of what is fed, and return the file of what the runtime recorded."""
    loaded.call(fed.feeds[0])
    return Path(loaded.session.end_profiling())


def _read(path: Path) -> trace.Trace:
    found = trace.read(path)
    path.unlink()
    return found


def _numbers(fed: feed.Feed) -> dict[str, int]:
    """Return the inputs that are one whole number."""
    return {name: int(array.item()) for name, array in fed.items() if array.size == 1 and array.dtype.kind in "iu"}


def _narrowed(optimised: trace.Trace) -> frozenset[str]:
    """Return the names of nodes that the optimised run executes on numbers of 8 bits.

    The optimiser keeps a node's name, or adds a token where it changes the layout. It makes MatMulNBits of a product
    with restored weights, to run with products of 8 bits.
    """
    return frozenset(_TOKEN.sub("", node.name) for node in optimised.executed if node.op in _NARROW)


def _cut_off() -> Found:
    reason = f"the run has more than {trace.MAX_EVENTS:,} steps, which onnxruntime does not record in full"
    return dict.fromkeys(COUNTS, Missing(reason))


def _operations(found: Count, narrowed: frozenset[str], batch: int, feeds: int) -> Found:
    """Return macs, flops and elementwise_ops per item and quantized_share, or why they are Missing."""
    if found.unknown:
        reason = f"operators that this version does not count: {_listed(found.unknown)} ({found.coverage})"
        return dict.fromkeys(COUNTS, Missing(reason, help="a count without them would be too small"))
    detail = f"as executed with graph optimisations off, 1 thread: {found.coverage}"
    detail += f", {found.counted} nodes counted, {found.free} free"
    detail += f"; first of {feeds} recorded batches" if feeds > 1 else ""
    return {
        "macs": Measurement(found.macs / batch, "executed", detail=detail),
        "flops": Measurement(2 * found.macs / batch, "executed", detail=detail),
        "elementwise_ops": _elementwise(found, batch, detail),
        "quantized_share": _share(found, narrowed),
    }


def _elementwise(found: Count, batch: int, detail: str) -> Measurement | Missing:
    if found.unweighed:
        return Missing(f"operators whose work shapes do not tell: {_listed(found.unweighed)}")
    return Measurement(found.elementwise / batch, "executed", detail=detail)


def _share(found: Count, narrowed: frozenset[str]) -> Measurement | Missing:
    if not found.macs:
        return Missing("the model computes no multiply-accumulates", "unsettled")
    ran = {line.name for line in found.lines}
    nameless = any(line.macs and not line.narrow and line.stored and not line.stored.named for line in found.lines)
    if nameless and not narrowed <= ran:
        reason = "nodes without a name cannot be followed through the optimiser"
        return Missing(reason, "unsettled", "give every node a name, as exporters do")
    detail = "of the multiply-accumulates, as the runtime runs them at full optimisation"
    return Measurement(found.quantised / found.macs, "executed", detail=detail)


def _listed(names: Any) -> str:
    return ", ".join(f"{name} x{times}" if times > 1 else name for name, times in sorted(names.items()))


def _activation_memory(optimised: trace.Trace, found: Count, place: Place) -> Measurement | Missing:
    if place.device is not None:
        return Missing("onnxruntime does not tell what its arena holds on a board", "unavailable")
    if optimised.peak is None:
        reason = "this onnxruntime does not report its arena's peak"
        return Missing(reason, "unavailable", "install a newer onnxruntime")
    detail = "peak of onnxruntime's arena, full optimisation, 1 thread"
    if optimised.peak_at is not None:
        detail += f"; reached in {_place(optimised.peak_at, found.lines)}"
    return Measurement(optimised.peak, "executed", detail=detail)


def _place(node: trace.Executed, lines: tuple[Line, ...]) -> str:
    """Return the layer of a node of the optimised run: the optimiser adds to names, or gives its own."""
    layers_by_name = {line.name: line.stored.layer for line in lines if line.stored}
    name = node.name
    while name and name not in layers_by_name:
        name = name.rpartition("/")[0]
    return f"{layers_by_name.get(name) or named(node.name)} ({node.op})"
