"""Beginning and ending worker processes. Light to import, so that one can boot while the rest of us is still read."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple, cast

from greengate.profiler.descent import end_below, end_marked

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from greengate.profiler.worker import boot; "
    "boot(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])"
)

#: Variables a worker may see; everything else, secrets first, stays outside.
_ALLOWED = frozenset(
    {
        *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
        *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),  # so that our own tests see into workers
    }
)

#: Variables by which a tool finds its parts where it was unpacked and not installed; another's would be run for them.
_OF_TOOLS = frozenset({"VALGRIND_LIB"})

#: The variable that names a worker's folder, which is no other's: it marks what the worker started, too.
_TEMPORARY = "TMPDIR"

#: Variables every worker has: no telemetry, no thread pools but the runtime's own, and a name for its user, who would
#: else be looked up: torch does, through a socket of the system's name service, and fails where there is no name.
_FIXED = {
    "LOGNAME": "greengate",
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Worker(NamedTuple):
    """A process that waits for a task on stdin, its answer pipe, and a folder of its own."""

    process: subprocess.Popen[bytes]
    answers: IO[bytes]
    folder: str


_spares: list[Worker] = []


def spare(ahead: Sequence[str]) -> None:
    """Begin a worker before anybody has a task for it; it imports the modules `ahead` meanwhile."""
    if os.name == "posix":
        _spares.append(begin(ahead))
        atexit.register(_dismiss)


def take() -> Worker:
    """Return the spare worker if there is one, else begin one."""
    try:
        return _spares.pop()
    except IndexError:
        return begin()


def begin(ahead: Sequence[str] = (), under: Sequence[str] = ()) -> Worker:
    """Start a fresh interpreter, never a fork, in a session and a folder of its own, with few variables.

    `under` is the command of a tool that runs it. Raises OSError where that cannot be run.
    """
    folder = tempfile.mkdtemp(prefix="greengate-")
    reading, writing = os.pipe()
    # Under a tool that counts, hashes must not differ by process; `-I` would not let their seed be fixed.
    isolated = ("-s", "-P") if under else ("-I",)
    command = (*under, sys.executable, *isolated, "-X", "utf8", "-c", _BOOT)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own code
            [*command, json.dumps(_search_path()), str(os.getpid()), str(writing), *ahead],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment(os.environ, folder, _OF_TOOLS if under else frozenset())
            | ({"PYTHONHASHSEED": "0"} if under else {}),
            pass_fds=(writing,),
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(writing)
    return Worker(process, os.fdopen(reading, "rb", buffering=0), folder)


def tell(worker: Worker, task: str) -> None:
    """Send the task. A worker that is dead already is seen by who listens."""
    stdin = cast("IO[bytes]", worker.process.stdin)
    with contextlib.suppress(BrokenPipeError):
        stdin.write(task.encode())
    with contextlib.suppress(BrokenPipeError):
        stdin.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole process group of a worker, and on Linux all below it, wherever that went.

    It adopts what loses its parent below it, and stands still meanwhile, so that nothing is begun unseen.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says so with EPERM
        if sys.platform == "linux" and process.returncode is None:
            process.send_signal(signal.SIGSTOP)
            end_below(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def end(worker: Worker) -> int | None:
    """Kill what is left of a worker and return how it ended by itself; None where this ended it."""
    process = worker.process
    ended = process.poll()
    kill(process)
    process.wait()
    if ended is not None:  # what it left is below nobody that is known; its folder still stands in the environment
        end_marked(f"{_TEMPORARY}={worker.folder}")
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            cast("IO[bytes]", pipe).close()
    return ended


def remove(worker: Worker) -> None:
    """Close the answer pipe and delete the folder of a worker that has ended."""
    worker.answers.close()
    shutil.rmtree(worker.folder, ignore_errors=True)


def _dismiss() -> None:
    while _spares:
        worker = _spares.pop()
        end(worker)
        remove(worker)


def _search_path() -> list[str]:
    """Return this process's search path without the current folder, which a user's files could shadow modules from."""
    here = os.getcwd()  # noqa: PTH109 - pathlib costs more than all of this
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # noqa: PTH120
    path = [os.path.abspath(entry) for entry in sys.path if entry]  # noqa: PTH100 - links must stay
    path = [entry for entry in path if entry != here or entry == home]
    return path if home in path else [home, *path]


def environment(outer: Mapping[str, str], folder: str, more: frozenset[str]) -> dict[str, str]:
    """Return the variables of a worker: few of `outer`, its own temporary folder, and those it must have."""
    allowed = _ALLOWED | more
    kept = {key: value for key, value in outer.items() if key in allowed or key.startswith("LC_")}
    return kept | _FIXED | {_TEMPORARY: folder}
