"""A backend for tests of counting: calls whose instructions are known. Runs in a worker under valgrind."""

from __future__ import annotations

import ctypes
import mmap
import platform
import time
from collections.abc import Callable
from types import SimpleNamespace

from greengate.profiler.instructions import calls
from greengate.profiler.jobs import Answer, Job, SimulateJob

#: A loop of two instructions a turn, for each processor: `function(turns)`.
LOOP = {
    "x86_64": bytes.fromhex("48ffcf 75fb c3"),  # again: dec rdi; jnz again; ret
    "aarch64": bytes.fromhex("000400f1 e1ffff54 c0035fd6"),  # again: subs x0,x0,#1; b.ne again; ret
}
#: An instruction that valgrind does not know: vaddps zmm0,zmm0,zmm0 of AVX-512; on arm an undefined one.
UNKNOWN = {"x86_64": bytes.fromhex("62f17c4858c0 c3"), "aarch64": bytes.fromhex("00000000")}

KEPT = []


def run(job: Job, stage: Callable[[str], None]) -> Answer:
    assert isinstance(job, SimulateJob)
    name, _, argument = job.path.partition(":")
    if name == "linger":
        argument = str(job.deadline - float(argument))
    return calls.count(DEEDS[name](argument), 2 if job.other else 1, job, stage)


def function(code: bytes) -> Callable[[int], int]:
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    KEPT.append(page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_size_t)(address)


def _loop(turns: str) -> Callable[[int], object]:
    """Feed 1 takes twice the turns of feed 0."""
    loop = function(LOOP[platform.machine()])
    numbers = (int(turns), 2 * int(turns))
    return lambda feed: loop(numbers[feed])


def _unknown(_: str) -> Callable[[int], object]:
    return lambda _: function(UNKNOWN[platform.machine()])(0)


def _sleep(seconds: str) -> Callable[[int], object]:
    return lambda _: time.sleep(float(seconds))


def _linger(moment: str) -> Callable[[int], object]:
    """Take until a moment by the worker's clock, which is put forward: nobody waits."""
    clock, ahead = time.monotonic, [0.0]
    calls.time = SimpleNamespace(monotonic=lambda: clock() + ahead[0])  # type: ignore[attr-defined,assignment]
    return lambda _: ahead.insert(0, float(moment) - clock())


def _fail(_: str) -> Callable[[int], object]:
    raise ValueError("it fell over")


DEEDS = {"loop": _loop, "unknown": _unknown, "sleep": _sleep, "linger": _linger, "fail": _fail}
