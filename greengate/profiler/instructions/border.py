"""One process under valgrind, this side of its border: begun, heard, and what it left read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from greengate.budget import WorkerLimits
from greengate.profile import Missing
from greengate.profiler import isolation
from greengate.profiler.hardware import memory_limit
from greengate.profiler.hearing import Heard, answer_of, doing
from greengate.profiler.instructions import valgrind
from greengate.profiler.instructions.callgrind import Simulated, UnreadableError, middle, read
from greengate.profiler.jobs import Called, SimulateJob, WorkerFailed
from greengate.simulation import Simulation

_LONGER = "give it more with --max-seconds, or count a smaller batch or input"


def simulate(session: str, job: SimulateJob, limits: WorkerLimits) -> Simulated | Missing:
    """Count the calls of one model in a process of its own under valgrind; `session` does the work there.

    Returns Missing where this machine cannot, or not in time. Raises Refused, and WorkerFailed where it broke.
    """
    if (missing := valgrind.missing()) is not None:
        return missing
    seconds = job.deadline - time.monotonic()
    if seconds <= 0:
        return Missing("no time was left to count instructions in", "unsettled", _LONGER)
    try:
        version = valgrind.version()
    except OSError as error:
        return Missing(f"valgrind may not be run here: {error}", "unavailable", valgrind.install())
    heard, files = isolation.run_under(valgrind.command(job.cache), session, job, _limits(limits, seconds))
    return _understood(heard, files, job, limits, version)


def _limits(limits: WorkerLimits, seconds: float) -> WorkerLimits:
    """Return what the process may use: the time that is left, and memory for the tool beside the model's own."""
    own = limits.memory if limits.memory is not None else memory_limit() * 4 // 5
    return replace(limits, timeout=seconds, memory=own + valgrind.OWN_MEMORY if own else None)


def _understood(
    heard: Heard, files: Mapping[str, str], job: SimulateJob, limits: WorkerLimits, version: str
) -> Simulated | Missing:
    took, log = time.monotonic() - job.begun, files.get(valgrind.LOG, "")
    if (unknown := valgrind.unknown_instruction(log)) is not None:
        return unknown
    if heard.late:
        told = doing(heard)
        reason = f"no count was there after the {took:.0f} s given under valgrind" + (told and f",{told}")
        return Missing(reason, "unsettled", _LONGER + valgrind.newer(version))
    try:
        called = answer_of(heard, job, limits)
    except WorkerFailed as failed:
        raise WorkerFailed(": ".join(filter(None, (failed.reason, valgrind.fatal(log)))), failed.help) from None
    if not isinstance(called, Called):
        raise WorkerFailed("the worker answered another question")
    if called.needed:
        return _too_slow(called, job, version)
    try:
        found = [read(text) for text in valgrind.dumps(files)[: called.counted * called.calls]]
    except UnreadableError as error:
        raise WorkerFailed(f"what valgrind counted cannot be read: {error}") from error
    if len(found) < called.counted * called.calls:
        raise WorkerFailed(f"valgrind wrote {len(found)} of {called.counted * called.calls} counts")
    counts = tuple(middle(found[first : first + called.calls]) for first in range(0, len(found), called.calls))
    cache = valgrind.CACHE if job.cache else ""
    version = valgrind.counted_by(log) or version
    what = Simulation(version, valgrind.instruction_set(log), called.libraries, cache, counts[0].kernels)
    return Simulated(counts, what, took)


def _too_slow(called: Called, job: SimulateJob, version: str) -> Missing:
    given = job.deadline - job.begun
    reason = f"one call takes {called.call_seconds:.1f} s under valgrind, so that a count needs about "
    reason += f"{called.needed:.0f} s, and {given:.0f} s were left for it"
    return Missing(reason, "unsettled", _LONGER + valgrind.newer(version))
