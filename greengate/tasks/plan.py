"""`greengate plan`: which job of a matrix measures which models."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from greengate import estimate, gate
from greengate.bound import paying_or_paid, policies
from greengate.budget import Budget, ModelEntry
from greengate.errors import Diagnostic, GreengateError
from greengate.gate.parts import Part
from greengate.gate.precision import precision_for
from greengate.metrics import METRICS, SIMULATED

HOSTED, BOX = "hosted", "box"
#: Seconds that reading and counting one model takes, beside the time that its noisy metrics may take.
_COUNTING = 5.0


def plan(
    request: gate.Request, now: datetime.datetime, shards: int, hosted: Sequence[str], box: Sequence[str]
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Return the parts, and a line for each model that should have a machine of its own and has none.

    Hosted runners share their models so that each has about the same to do; `box` gets those that only it can decide.
    The same budget and change give the same plan, on whatever machine. What a check leaves out as unchanged has no
    part, unless that is everything. Raises GreengateError.
    """
    binding, judging = gate.bound(request, now)
    left = gate.untouched(request, now) if request.skip_unchanged else ()
    # A matrix of no job is a mistake to the forges: where nothing is touched, the jobs find that out in seconds.
    models = [entry for entry in binding.models if entry.name not in left] or binding.models
    costs = {entry.name: _cost(entry, judging, request) for entry in models}
    owned = {entry.name: why for entry in models if (why := _why_own(entry, judging))}
    lacks = (
        ()
        if box
        else tuple(f"{name} wants a machine of its own ({why}): name it with --box" for name, why in owned.items())
    )
    shared = [name for name in costs if not (box and name in owned)]
    parts = [
        Part(f"{HOSTED}-{index + 1}", names, tuple(hosted)) for index, names in enumerate(_share(shared, costs, shards))
    ]
    if box and owned:
        parts.append(Part(BOX, tuple(owned), tuple(box)))
    if not parts:
        raise GreengateError(Diagnostic("empty-budget", "the budget names no model", "add one under `models`"))
    return tuple(parts), lacks


def tools(request: gate.Request, now: datetime.datetime) -> tuple[str, ...]:
    """Return what the policies that bind need beside Python and git: `valgrind`, or nothing. Raises GreengateError."""
    _, binding = gate.bound(request, now)
    rules = (rule for budget in binding for policy in policies(budget) for rule in policy.rules)
    asked = {METRICS[metric].source or metric for rule in rules for metric in paying_or_paid(rule)}
    return ("valgrind",) if asked & set(SIMULATED) else ()


def _cost(entry: ModelEntry, judging: Iterable[Budget], request: gate.Request) -> float:
    asked = set(precision_for(judging, entry.bound_as))
    timed = request.max_seconds if asked - estimate.METERED else 0.0
    return _COUNTING + timed + (request.energy_seconds if asked & estimate.METERED else 0.0)


def _why_own(entry: ModelEntry, judging: Sequence[Budget]) -> str:
    """Say why a hosted runner cannot decide a model; empty where it can."""
    asked = set(precision_for(judging, entry.bound_as))
    if entry.workload.device != "cpu":
        return f"it runs on {entry.workload.device}"
    if asked & estimate.METERED:
        return "its energy is metered"
    if asked and any(policy.reference is not None for policy in judging):
        return "its timing is judged on the reference hardware"
    return ""


def _share(names: Sequence[str], costs: dict[str, float], shards: int) -> list[tuple[str, ...]]:
    """Deal models out, the longest first, each to whoever has least to do; in the budget's order within a share."""
    load, dealt = [0.0] * shards, [set[str]() for _ in range(shards)]
    for name in sorted(names, key=lambda name: -costs[name]):
        least = load.index(min(load))
        load[least] += costs[name]
        dealt[least].add(name)
    return [tuple(name for name in names if name in mine) for mine in dealt if mine]
