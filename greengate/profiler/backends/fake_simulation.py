"""Instructions of a fake: what its file says of kernels, on a simulated processor that exists nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from greengate.profile import Missing
from greengate.profiler.instructions.callgrind import Count, Simulated
from greengate.profiler.jobs import SimulateJob
from greengate.simulation import Kernel, Simulation

#: Keys of the file: `instructions` and `data_traffic` of one call, `kernels` by name, how counts differ by process.
EXACT = ("instructions", "data_traffic")
WORDS = ("instruction_set", "no_valgrind", "other_values", "wobble")


def simulate(
    exact: Mapping[str, float], kernels: Mapping[str, float], words: Mapping[str, str], job: SimulateJob
) -> Simulated | Missing:
    """Return the counts that are written down; each further process counts `wobble` more, one in a million."""
    if "no_valgrind" in words:
        return Missing("valgrind is not installed", "unavailable", words["no_valgrind"])
    if "instructions" not in exact:
        return Missing("the fake does not say instructions")
    total = round(exact["instructions"] * (1 + float(words.get("wobble", 1e-6)) * job.seed))
    traffic = round(exact["data_traffic"]) if job.cache and "data_traffic" in exact else None
    told = tuple(Kernel(name, "libfake.so", round(count)) for name, count in kernels.items())
    rest = total - sum(kernel.instructions for kernel in told)
    count = Count(total, traffic, (*told, Kernel("", "libfake.so", rest, traffic or 0)))
    others = (Count(round(total * float(words["other_values"])), traffic, ()),) if "other_values" in words else ()
    what = Simulation(
        "3.19.0", words.get("instruction_set", "fake64"), {}, "fake cache" if job.cache else "", count.kernels
    )
    return Simulated((count, *others) if job.other else (count,), what)
