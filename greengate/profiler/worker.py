"""The worker: a fresh process that confines itself, does one job, and writes the answer to a pipe of its own.

Started by spawn.begin. The task comes on stdin as JSON; the answer pipe carries JSON lines: `{"stage": ...}` as
the work goes on, and last `{"answer": ...}`, `{"refused": ...}` or `{"failed": ...}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from greengate.codec import decode, encode
from greengate.profiler.descent import end_below
from greengate.profiler.hardware import memory_limit
from greengate.profiler.jobs import ANSWERS, Answer, Job, Refused, WorkerFailed

#: Says what the worker is doing, for the reason given when it dies doing it.
Stage = Callable[[str], None]

JOBS: dict[str, type[Job]] = {kind.__name__: kind for kind in ANSWERS}

#: Where runtimes in this process, and in those they start, find how much they may hold on a board.
_GPU_MEMORY = "GREENGATE_GPU_MEMORY"

#: What helps a worker that ran out of memory.
MORE_MEMORY = "give it more with `worker: {memory: ...}` in the budget, or use a larger machine"

_OUT_OF_MEMORY = re.compile(
    r"MemoryError|bad[_ ]alloc|[Ff]ailed to allocate memory|[Cc]annot allocate memory|[Mm]emory allocation .*failed"
    r"|can't allocate memory|not enough memory|failed to map segment|Unable to allocate"
    r"|thread: Resource temporarily unavailable"
)


def ran_out_of_memory(text: str) -> bool:
    """Tell whether a runtime's or allocator's words mean that memory ran out."""
    return _OUT_OF_MEMORY.search(text) is not None


def boot(parent: int, channel: int, ahead: Sequence[str]) -> None:
    """Confine this process, import modules ahead of the task, then wait for it and do it; never returns."""
    confine(parent)
    for name in ahead:
        # What cannot be imported now is told when the task needs it.
        with contextlib.suppress(Exception):
            import_module(name)
    text = sys.stdin.read()
    if not text:  # a spare that nobody needed
        os._exit(0)
    main(json.loads(text), channel)


def main(task: dict[str, Any], answers: int) -> None:
    """Do the job of `task`, write to the file descriptor `answers`, and end the process; never returns."""
    channel = os.fdopen(answers, "w", encoding="utf-8")
    os.set_inheritable(channel.fileno(), False)

    def tell(word: str, value: object) -> None:
        channel.write(json.dumps({word: value}) + "\n")
        channel.flush()

    if task.get("gpu_memory") is not None:
        os.environ[_GPU_MEMORY] = str(int(task["gpu_memory"]))
    limit_resources(task["memory"], bounded=not task.get("watched", False))
    tell(*work(task, lambda doing: tell("stage", doing)))
    # The answer pipe is left to close with the process: who listens ends us then, and coverage saves on the way out.
    sys.stdout.flush()
    sys.stderr.flush()
    end_below(os.getpid())  # before it is below nobody
    os._exit(0)  # the runtime's own tear-down costs time and can crash after a good answer


def work(task: dict[str, Any], stage: Stage) -> tuple[str, object]:
    """Return the last line of the answer pipe: its word and its value."""
    try:
        job = decode(JOBS[task["kind"]], task["job"])
        stage("importing the runtime")
        session = import_module(task["module"])
        answer: Answer = session.run(job, stage)
        return "answer", encode(answer)
    except Refused as refused:
        return "refused", {"code": refused.code, "message": refused.message, "help": refused.help}
    except WorkerFailed as failed:
        return "failed", {"reason": failed.reason, "help": failed.help}
    except BaseException as error:  # noqa: BLE001 - foreign code ran
        first = (str(error).strip().splitlines() or [""])[0]
        return "died", {"kind": type(error).__name__, "text": first[:500]}


def confine(parent: int) -> None:
    """Cut this process off before anything foreign runs: no network, and death with the parent.

    What loses its parent below it becomes its child, and so is found when it is ended.

    Where the system lacks one of the means the others still hold.
    """
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        _leave_network(libc.unshare)
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG; after unshare, which can clear it
        libc.prctl(36, ctypes.c_ulong(1), 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        if os.getppid() != parent:  # the parent died before the signal was armed
            os._exit(1)


def gpu_memory() -> int | None:
    """Return the bytes that a runtime may hold on a board; None: all of it. Runs in the worker."""
    told = os.environ.get(_GPU_MEMORY)
    return None if told is None else int(told)


def most_memory(memory: float | None) -> int:
    """Return the bytes that a worker may use: as given, else four fifths of what the machine has; 0: not known."""
    return int(memory if memory is not None else memory_limit() * 4 // 5)


def limit_resources(memory: float | None, bounded: bool = True) -> None:
    """Forbid core dumps, and more address space than `memory` bytes; None: see most_memory.

    Not `bounded`: CUDA maps far more than it uses, so whoever started this process watches what it holds instead.
    """
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    most = most_memory(memory) if bounded else 0
    limits = {resource.RLIMIT_CORE: 0} | ({resource.RLIMIT_AS: most} if most else {})
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (bound, bound))
        except (ValueError, OSError):  # macOS refuses RLIMIT_AS
            continue


def _leave_network(unshare: Callable[[int], int]) -> None:
    """Move into an empty network namespace; as an ordinary user, through a user namespace that maps to itself."""
    new_network, new_user = 0x40000000, 0x10000000
    user, group = os.geteuid(), os.getegid()
    if unshare(new_network) == 0 or unshare(new_network | new_user) != 0:
        return
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
        except OSError:
            continue
