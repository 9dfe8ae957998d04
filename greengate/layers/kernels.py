"""Where a change of instructions comes from: the few functions of libraries that hold most of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from greengate.comparison import Change, Comparison, Contribution
from greengate.metrics import METRICS
from greengate.profile import Measurement, Profile
from greengate.simulation import Simulation

#: Functions that are named, beside the rest, and the share of the change below which none is.
MOST, NEGLIGIBLE = 4, 0.01

#: What code is called that belongs to no library.
MADE = "code made while running"


def attribute_kernels(
    baseline: Profile, candidate: Profile, comparisons: Mapping[str, Comparison]
) -> dict[str, Comparison]:
    """Say of every metric of a simulated processor that changed for sure which functions it comes from."""
    found = dict(comparisons)
    before, after = baseline.simulation, candidate.simulation
    if before is None or after is None:
        return found
    for metric, compared in comparisons.items():
        if METRICS[metric].simulated and (total := _difference(compared)):
            per_call = _by_kernel(after, metric), _by_kernel(before, metric)
            where = contributions(*per_call, total, candidate.workload.batch_size)
            found[metric] = replace(compared, where=where)
    return found


def contributions(
    after: Mapping[str, int], before: Mapping[str, int], total: float, batch: int
) -> tuple[Contribution, ...]:
    """Return what a difference of `total` per item is made of, from counts per call by function, largest first.

    The contributions sum to the difference; () where no function holds a part worth naming.
    """
    deltas = {name: (after.get(name, 0) - before.get(name, 0)) / batch for name in {**after, **before}}
    largest = sorted(deltas.items(), key=lambda item: (-abs(item[1]), item[0]))[:MOST]
    named = [(name, delta) for name, delta in largest if abs(delta) >= NEGLIGIBLE * abs(total)]
    if not named:
        return ()
    rest = total - sum(delta for _, delta in named)
    told = [Contribution(name, delta, delta / total) for name, delta in named]
    return (*told, Contribution("", rest, rest / total))


def _difference(compared: Comparison) -> float:
    """Return by how much a metric changed per item; 0 where it may not have."""
    before, after, change = compared.baseline, compared.candidate, compared.change
    if not (isinstance(before, Measurement) and isinstance(after, Measurement) and isinstance(change, Change)):
        return 0.0
    return after.value - before.value if change.low > 0 or change.high < 0 else 0.0


def _by_kernel(simulation: Simulation, metric: str) -> dict[str, int]:
    """Return counts of a call by the function's name as reports write it."""
    found: dict[str, int] = {}
    for kernel in simulation.kernels:
        name = called(kernel.name, kernel.library)
        found[name] = found.get(name, 0) + (kernel.instructions if metric == "instructions" else kernel.traffic)
    return found


def called(name: str, library: str) -> str:
    """Return what a function is called in reports: its name and the library without its endings."""
    short = library.partition(".")[0]
    if not short:
        return name or MADE
    return f"{name} ({short})" if name else f"other functions of {short}"
