"""What every backend's worker does around a model: pin the process, name a role's failure, read its memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greengate.profile import Role
from greengate.profiler.jobs import Refused, WorkerFailed
from greengate.profiler.worker import MORE_MEMORY

#: Calls that a model makes while the process is weighed.
FOOTPRINT_CALLS = 3


def displaced(seed: int) -> bytearray:
    """Return memory that moves what follows to other addresses; it must be held."""
    import random

    return bytearray(random.Random(seed).randrange(1 << 20))  # noqa: S311 - places buffers, keeps no secret


def pin(cpus: tuple[int, ...]) -> None:
    """Keep the process on these cores, where the system allows."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


@contextmanager
def naming(role: Role) -> Iterator[None]:
    """Put the role's name into whatever fails inside."""
    try:
        yield
    except Refused as refused:
        raise Refused(refused.code, f"{role}: {refused.message}", refused.help) from None
    except WorkerFailed as failed:
        raise WorkerFailed(f"the {role}: {failed.reason}", failed.help) from None
    except MemoryError:
        raise WorkerFailed(f"the {role} ran out of memory", MORE_MEMORY) from None
    except Exception as error:
        raise WorkerFailed(f"the {role} failed: {type(error).__name__}: {error}") from error


def reset_peak() -> int | None:
    """Set the process's memory high-water mark to what it holds now, in bytes; None where /proc cannot.

    What nobody needs is let go first, modules too, which refer to themselves: else it would weigh with what comes next.
    What was freed goes back to the system: else whatever comes next would find room there that nobody counts.
    """
    import ctypes
    import gc

    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return status("VmRSS")
    except OSError:
        return None


def peak(since: int | None) -> int | None:
    """Return the process's memory high-water mark in bytes, since `reset_peak` said `since`; None where it did not."""
    return None if since is None else status("VmHWM")


def above(before: int | None, *peaks: int | None) -> tuple[int | None, tuple[str, ...]]:
    """Return how far the highest peak lies above what was held before; None, and a note, where one is not told."""
    told = [each for each in peaks if each is not None]
    if before is None or len(told) < len(peaks):
        return None, ("this system does not tell a process's peak memory",)
    return max(0, max(told) - before), ()


def status(field: str) -> int:
    """Return a field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
