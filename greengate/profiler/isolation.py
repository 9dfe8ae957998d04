"""Jobs in processes of their own: a fresh interpreter, few variables, limits on time and memory, no survivors."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import threading
import time
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, overload

from greengate.budget import WorkerLimits
from greengate.codec import encode
from greengate.profiler import spawn
from greengate.profiler.hearing import Heard, answer_of
from greengate.profiler.jobs import (
    Answer,
    Counted,
    CountJob,
    EnergyJob,
    Exported,
    ExportJob,
    FootprintJob,
    Job,
    LaunchJob,
    Ran,
    Sampled,
    Scored,
    ScoreJob,
    SimulateJob,
    WorkerFailed,
)
from greengate.profiler.spawn import Worker
from greengate.profiler.worker import most_memory

#: Workers that are running now, and whether all work is being given up.
_running: set[subprocess.Popen[bytes]] = set()
_given_up = threading.Event()

#: Seconds between two looks at a worker that has answered, or whose address space cannot be limited; and at any other.
_GLANCE, _REST = 0.1, 1.0
_LOG_KEPT = 64 * 1024
_ANSWER_MAX = 256 * 1024 * 1024


@overload
def run(module: str, job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(module: str, job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
@overload
def run(module: str, job: EnergyJob, limits: WorkerLimits) -> Ran: ...
@overload
def run(module: str, job: ScoreJob, limits: WorkerLimits) -> Scored: ...
@overload
def run(module: str, job: ExportJob, limits: WorkerLimits) -> Exported: ...
def run(module: str, job: Job, limits: WorkerLimits) -> Answer:
    """Do one job in a fresh process: `module` names the code there, `module.run(job, stage)` gives the answer.

    Raises Refused where the model or its inputs are at fault, WorkerFailed where the worker crashed, hung, ran out of
    memory or answered nonsense. The process and all it started are gone when this returns or raises: on Linux what left
    its process group too, unless the worker crashed and that began with an environment of its own; elsewhere the group.
    """
    if os.name != "posix":
        raise WorkerFailed("isolated workers need Linux or macOS")
    worker = spawn.take() if isinstance(job, CountJob) else spawn.begin()
    try:
        heard = _talk(worker, module, job, limits)
    finally:
        spawn.remove(worker)
    return answer_of(heard, job, limits)


def run_under(
    command: Sequence[str], module: str, job: SimulateJob, limits: WorkerLimits
) -> tuple[Heard, Mapping[str, str]]:
    """Do one job in a fresh process that a tool runs; return what was heard, and the text files the tool left.

    Raises WorkerFailed where the tool may not be run. The process is gone when this returns or raises.
    """
    try:
        worker = spawn.begin(under=command)
    except OSError as error:
        raise WorkerFailed(f"{command[0]} cannot be run: {error.strerror or error}") from error
    try:
        heard = _talk(worker, module, job, limits)
        left = [path for path in Path(worker.folder).iterdir() if path.is_file()]
        return heard, {path.name: path.read_text("utf-8", "replace") for path in left}
    finally:
        spawn.remove(worker)


def _talk(worker: Worker, module: str, job: Job, limits: WorkerLimits) -> Heard:
    watched = job.workload.device != "cpu"
    task = {"memory": limits.memory, "module": module, "kind": type(job).__name__, "job": encode(job)}
    heard = Heard(most=most_memory(limits.memory) if watched else 0)
    _running.add(worker.process)
    try:
        if not _given_up.is_set():
            spawn.tell(worker, json.dumps({**task, "watched": watched, "gpu_memory": limits.gpu_memory}))
            _listen(worker.process, worker.answers, heard, time.monotonic() + limits.timeout)
    finally:
        _running.discard(worker.process)
        heard.returncode = spawn.end(worker)
    return heard


@contextlib.contextmanager
def all_or_nothing() -> Iterator[None]:
    """Give up the workers of every thread when this one is interrupted, so that none is waited for in vain."""
    try:
        yield
    except BaseException:
        _given_up.set()
        for process in tuple(_running):
            spawn.kill(process)
        raise


def go_on() -> None:
    """Allow work again, once every thread that was given up has ended."""
    _given_up.clear()


def _listen(process: subprocess.Popen[bytes], answers: IO[bytes], heard: Heard, deadline: float) -> None:
    """Collect answer and log until the worker closes its answer pipe or has ended, or time is up.

    The pipe's end alone would not do: a child that the model's code forked may keep it open.
    """
    log = typing.cast("IO[bytes]", process.stdout)
    with selectors.DefaultSelector() as selector:
        for source in (answers, log):
            os.set_blocking(source.fileno(), False)
            selector.register(source, selectors.EVENT_READ)
        while answers in (key.fileobj for key in selector.get_map().values()):
            ended, left = process.poll() is not None, deadline - time.monotonic()
            if left <= 0 or len(heard.answer) > _ANSWER_MAX:
                heard.late = left <= 0 and not heard.complete
                break
            if heard.most and not ended and resident(process.pid) > heard.most:
                heard.full = True
                break
            pause = min(left, _GLANCE if heard.most or heard.complete else _REST)
            ready = selector.select(0 if ended else pause)
            if ended and answers not in (key.fileobj for key, _ in ready):
                break  # it had ended before the look, so all that it said has been read
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(key.fileobj)
                _keep(heard, chunk, is_answer=key.fileobj is answers)
    if not heard.late and not heard.full and not heard.complete:
        _wait(process, 2.0)  # so that its own way of dying is seen, not ours of ending it
    _drain(log, heard)


def resident(process: int) -> int:
    """Return the bytes that a process holds in memory; 0 where the system does not tell, or it is gone."""
    try:
        told = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()
        return int(told[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _keep(heard: Heard, chunk: bytes, is_answer: bool) -> None:
    if is_answer:
        heard.answer += chunk
    else:
        heard.log += chunk
        del heard.log[:-_LOG_KEPT]


def _drain(log: IO[bytes], heard: Heard) -> None:
    for _ in range(_LOG_KEPT // 4096):  # bounded: something may write for ever
        try:
            chunk = os.read(log.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            return
        _keep(heard, chunk, is_answer=False)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
