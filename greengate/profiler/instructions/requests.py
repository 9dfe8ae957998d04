"""Client requests: how a process under valgrind talks to it. Runs in the worker.

A request is a sequence of instructions that changes nothing on a real processor and that valgrind recognises; C
programs have it from valgrind.h, Python has to write it.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from greengate.profiler.jobs import WorkerFailed

#: Callgrind numbers its dumps by itself: `calls.1`, `calls.2`, ...
CALLS = "calls"

#: A function of (what to answer natively, address of the request's six words) for each processor.
MACHINE_CODE = {
    # mov rdx,rdi; mov rax,rsi; rol rdi,3; rol rdi,13; rol rdi,61; rol rdi,51; xchg rbx,rbx; mov rax,rdx; ret
    "x86_64": bytes.fromhex("4889fa 4889f0 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3"),
    # mov x3,x0; mov x4,x1; ror x12,x12,#3, #13, #51, #61; orr x10,x10,x10; mov x0,x3; ret
    "aarch64": b"".join(
        word.to_bytes(4, "little")
        for word in (
            *(0xAA0003E3, 0xAA0103E4),
            *(0x93CC0D8C, 0x93CC358C, 0x93CCCD8C, 0x93CCF58C),
            *(0xAA0A014A, 0xAA0303E0, 0xD65F03C0),
        )
    ),
}

#: The start of the line in which a dump sums up, and where it is; instructions are the first event.
_TOTAL, _HEAD = re.compile(rb"^summary: (\d+)", re.MULTILINE), 4096

_RUNNING_ON_VALGRIND = 0x1001
_CALLGRIND = (ord("C") << 24) + (ord("T") << 16)
_DUMP, _ZERO, _START = _CALLGRIND, _CALLGRIND + 1, _CALLGRIND + 4


class Callgrind:
    """The tool this process runs under. Raises WorkerFailed where there is none to talk to."""

    def __init__(self) -> None:
        self._door = request = _door()  # what the requests jump into lives as long as it
        if not request(_RUNNING_ON_VALGRIND)():
            raise WorkerFailed("this process does not run under valgrind")
        # Made ready before, so that little but the call lies between two of them.
        self._start, self._zero, self._dump = (request(number) for number in (_START, _ZERO, _DUMP))
        self._dumps = 0

    def count(self, call: Callable[[], object]) -> None:
        """Count the instructions of one call, and write them to a file of their own, the next number of `calls`.

        From the first on the tool counts whatever runs: each switch makes it translate all code again.
        """
        zero, dump = self._zero, self._dump
        if not self._dumps:
            self._start()
        zero()
        call()
        dump()
        self._dumps += 1

    def counted(self) -> int:
        """Return the instructions of the newest count. Raises WorkerFailed where its file does not say."""
        with self._newest().open("rb") as file:
            found = _TOTAL.search(file.read(_HEAD))
        if found is None:
            raise WorkerFailed("valgrind wrote no count of instructions")
        return int(found[1])

    def forget(self) -> None:
        """Delete the file of the newest count."""
        self._newest().unlink()

    def _newest(self) -> Path:
        return Path(f"{CALLS}.{self._dumps}")


def _door() -> Callable[[int], Callable[[], int]]:
    """Return what makes a request ready by its number."""
    try:
        code = MACHINE_CODE[platform.machine()]
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except KeyError:
        raise WorkerFailed(f"no requests to valgrind are known for {platform.machine()}") from None
    except OSError as error:
        raise WorkerFailed(
            f"this system lets no process make code, so valgrind cannot be talked to: {error}"
        ) from error
    page.write(code)
    call = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)(
        ctypes.addressof(ctypes.c_char.from_buffer(page))
    )

    kept: list[object] = [page]

    def request(number: int) -> Callable[[], int]:
        words = (ctypes.c_size_t * 6)(number)
        kept.append(words)
        return partial(call, 0, ctypes.addressof(words))

    request.kept = kept  # type: ignore[attr-defined]
    return request
