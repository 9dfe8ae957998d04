"""Jobs in processes of their own: a fresh interpreter, few variables, limits on time and memory, no survivors."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, overload

from greengate.budget import WorkerLimits
from greengate.codec import encode
from greengate.profiler.hearing import Heard, answer_of
from greengate.profiler.jobs import Answer, Counted, CountJob, FootprintJob, Job, LaunchJob, Sampled, WorkerFailed

_BOOT = (
    "import json, sys; task = json.load(sys.stdin); sys.path[:] = task['path']; "
    "from greengate.profiler.worker import main; main(task)"
)

#: Variables a worker may see; everything else, secrets first, stays outside.
_ALLOWED = frozenset(
    {
        *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
        *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),  # so that our own tests see into workers
    }
)

#: Variables every worker has: no telemetry, no thread pools but the runtime's own.
_FIXED = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

#: Workers that are running now, and whether all work is being given up.
_running: set[subprocess.Popen[bytes]] = set()
_given_up = threading.Event()

_LOG_KEPT = 64 * 1024
_ANSWER_MAX = 256 * 1024 * 1024


@overload
def run(module: str, job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(module: str, job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
def run(module: str, job: Job, limits: WorkerLimits) -> Answer:
    """Do one job in a fresh process: `module` names the code there, `module.run(job, stage)` gives the answer.

    Raises Refused where the model or its inputs are at fault, WorkerFailed where the worker crashed, hung, ran out of
    memory or answered nonsense. The process and all it started are gone when this returns or raises.
    """
    if os.name != "posix":
        raise WorkerFailed("isolated workers need Linux or macOS")
    with tempfile.TemporaryDirectory(prefix="greengate-", ignore_cleanup_errors=True) as folder:
        heard = _talk(folder, module, job, limits)
    return answer_of(heard, job, limits)


def _talk(folder: str, module: str, job: Job, limits: WorkerLimits) -> Heard:
    reading, writing = os.pipe()
    task = {
        "path": _search_path(),
        "channel": writing,
        "parent": os.getpid(),
        "memory": limits.memory,
        "module": module,
        "kind": type(job).__name__,
        "job": encode(job),
    }
    with os.fdopen(reading, "rb", buffering=0) as answers, tempfile.TemporaryFile("w+", encoding="utf-8") as paper:
        try:
            json.dump(task, paper)
            paper.seek(0)
            process = _spawn(folder, paper, writing)
        finally:
            os.close(writing)
        heard = Heard()
        _running.add(process)
        try:
            if not _given_up.is_set():
                _listen(process, answers, heard, time.monotonic() + limits.timeout)
        finally:
            _running.discard(process)
            heard.returncode = _end(process)
    return heard


@contextlib.contextmanager
def all_or_nothing() -> Iterator[None]:
    """Give up the workers of every thread when this one is interrupted, so that none is waited for in vain."""
    _given_up.clear()
    try:
        yield
    except BaseException:
        _given_up.set()
        for process in tuple(_running):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        raise


def _spawn(folder: str, paper: IO[str], writing: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter with our own code
        [sys.executable, "-I", "-X", "utf8", "-c", _BOOT],
        stdin=paper,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=_environment(os.environ, folder),
        pass_fds=(writing,),
        start_new_session=True,
    )


def _search_path() -> list[str]:
    """Return this process's search path without the current folder, which a user's files could shadow modules from."""
    here, home = str(Path.cwd()), str(Path(__file__).resolve().parents[2])
    path = [os.path.abspath(entry) for entry in sys.path if entry]  # noqa: PTH100 - links must stay
    path = [entry for entry in path if entry != here or entry == home]
    return path if home in path else [home, *path]


def _environment(outer: Mapping[str, str], folder: str) -> dict[str, str]:
    kept = {key: value for key, value in outer.items() if key in _ALLOWED or key.startswith("LC_")}
    return kept | _FIXED | {"TMPDIR": folder}


def _listen(process: subprocess.Popen[bytes], answers: IO[bytes], heard: Heard, deadline: float) -> None:
    """Collect answer and log until the worker closes its answer pipe, or time is up."""
    log = typing.cast("IO[bytes]", process.stdout)
    with selectors.DefaultSelector() as selector:
        for source in (answers, log):
            os.set_blocking(source.fileno(), False)
            selector.register(source, selectors.EVENT_READ)
        while answers in (key.fileobj for key in selector.get_map().values()):
            left = deadline - time.monotonic()
            if left <= 0 or len(heard.answer) > _ANSWER_MAX:
                heard.late = left <= 0
                break
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(key.fileobj)
                _keep(heard, chunk, is_answer=key.fileobj is answers)
    if not heard.late and not heard.complete:
        _wait(process, 2.0)  # so that its own way of dying is seen, not ours of ending it
    _drain(log, heard)


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


def _end(process: subprocess.Popen[bytes]) -> int | None:
    """Kill the worker's whole process group and return how the worker itself ended; None where this ended it."""
    ended = process.poll()
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says so with EPERM
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    typing.cast("IO[bytes]", process.stdout).close()
    return ended
