"""A backend for tests of isolation: what the worker does stands in the job's path. Runs in the worker."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from greengate.codec import encode
from greengate.profiler.jobs import Answer, FootprintJob, Job, Refused, Sampled, WorkerFailed
from greengate.profiler.worker import gpu_memory


def run(job: Job, stage: Callable[[str], None]) -> Answer:
    assert isinstance(job, FootprintJob)
    name, _, argument = job.path.partition(":")
    stage(f"doing {name}")
    return DEEDS[name](argument)


def _sampled(*notes: str) -> Sampled:
    return Sampled({}, 0.0, notes)


def _kill(number: str) -> Answer:
    print("a last cry", file=sys.stderr, flush=True)
    os.kill(os.getpid(), int(number))
    time.sleep(60)
    return _sampled()


def _segfault(_: str) -> Answer:
    import ctypes

    ctypes.string_at(0)
    return _sampled()


def _hang(path: str) -> Answer:
    """Start a grandchild, say who both are, and hang."""
    import subprocess

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    if path:
        part = Path(f"{path}.part")
        part.write_text(f"{os.getpid()} {child.pid}")
        part.replace(path)
    time.sleep(60)
    return _sampled()


def _fork(path: str) -> Answer:
    """Fork a child that keeps every descriptor, the answer pipe's too, and sleeps; then do what is said after it."""
    path, _, then = path.partition(":")
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    part = Path(f"{path}.part")
    part.write_text(f"{os.getpid()} {child}")
    part.replace(path)
    name, _, argument = then.partition(":")
    return DEEDS[name](argument) if name else _sampled("forked")


def _leave(path: str) -> Answer:
    """Start a process in a session of its own, by one that ends, say who it is, and do what is said after it.

    It has few variables, unless this worker is to die: nothing else would tell then whose it was.
    """
    import subprocess

    path, _, then = path.partition(":")
    sleeps = f"import os, time; open({path + '.part'!r}, 'w').write(str(os.getpid())); "
    sleeps += f"os.replace({path + '.part'!r}, {path!r}); time.sleep(60)"
    leaves = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeps!r}], start_new_session=True)"
    env = os.environ if then.startswith(("segfault", "exit")) else {}
    subprocess.run([sys.executable, "-c", leaves], check=True, env=env)
    while not Path(path).exists():
        time.sleep(0.01)
    name, _, argument = then.partition(":")
    return DEEDS[name](argument) if name else _sampled("left")


def _exit(code: str) -> Answer:
    os._exit(int(code))


def _eat(_: str) -> Answer:
    held = []
    while True:
        held.append(bytearray(1 << 20))


def _map(size: str) -> Answer:
    """Map memory and never touch it."""
    import mmap

    mmap.mmap(-1, int(size)).close()
    return _sampled("mapped")


def _raise(_: str) -> Answer:
    raise ZeroDivisionError("first line\nsecond line")


def _refuse(code: str) -> Answer:
    raise Refused(code, "it does not fit", "bend it")


def _fail(_: str) -> Answer:
    raise WorkerFailed("the candidate fell over", "pick it up")


def _shout(_: str) -> Answer:
    for _ in range(64):
        os.write(1, b"out" * 20000)
        os.write(2, b"err" * 20000)
    return _sampled("shouted")


def _garble(text: str) -> Answer:
    """Write into every descriptor there is, the answer pipe among them."""
    _write(text)
    os._exit(0)


def _write(text: str) -> None:
    for number in range(3, 64):
        try:
            os.write(number, text.encode())
        except OSError:
            continue


def _linger(_: str) -> Answer:
    """Answer, and find no end."""
    _write(json.dumps({"answer": encode(_sampled("lingered"))}) + "\n")
    time.sleep(60)
    return _sampled()


def _nonsense(_: str) -> Answer:
    return object()  # type: ignore[return-value]


def _look(_: str) -> Answer:
    """Tell what this process is."""
    Path("left-behind").write_text("x")
    return _sampled(
        f"cwd {Path.cwd()}",
        f"core {resource.getrlimit(resource.RLIMIT_CORE)[1]}",
        f"memory {resource.getrlimit(resource.RLIMIT_AS)[1]}",
        f"session {os.getsid(0) == os.getpid()}",
        *(f"env {key}={text}" for key, text in sorted(os.environ.items())),
        *(f"path {entry}" for entry in sys.path),
        *(f"module {name}" for name in sorted(sys.modules) if "." not in name),
    )


def _connect(port: str) -> Answer:
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=2).close()
    except OSError as error:
        return _sampled(f"no connection: {error}")
    return _sampled("connected")


def _close_pipe(_: str) -> Answer:
    os.closerange(3, 64)
    time.sleep(60)
    return _sampled()


DEEDS: dict[str, Callable[[str], Answer]] = {
    "kill": _kill,
    "segfault": _segfault,
    "hang": _hang,
    "fork": _fork,
    "leave": _leave,
    "exit": _exit,
    "gpu_memory": lambda _: _sampled(str(gpu_memory())),
    "eat": _eat,
    "map": _map,
    "raise": _raise,
    "refuse": _refuse,
    "fail": _fail,
    "shout": _shout,
    "garble": _garble,
    "linger": _linger,
    "nonsense": _nonsense,
    "look": _look,
    "connect": _connect,
    "close": _close_pipe,
}
