"""What makes two measurements unlike: the first difference of workload, machine, counters or training, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from greengate.power import Trained
from greengate.profile import Gpu, Hardware, Profile, Workload
from greengate.simulation import Simulation
from greengate.units import format_quantity


def workload_difference(baseline: Workload, candidate: Workload) -> str | None:
    """Name the first field in which two workloads differ, or None."""
    for field in ("batch_size", "threads", "precision"):
        if (found := _first(field, getattr(baseline, field), getattr(candidate, field))) is not None:
            return found
    if (found := _first("setting", dict(baseline.settings), dict(candidate.settings))) is not None:
        return found
    before = {item.name: (item.dtype, item.shape) for item in baseline.inputs}
    after = {item.name: (item.dtype, item.shape) for item in candidate.inputs}
    # Two versions of a network may name and shape their inputs differently; that is a difference in the work.
    return _first("inputs", before, after) or _first("feed", baseline.feed, candidate.feed)


def runtime_difference(baseline: Mapping[str, str], candidate: Mapping[str, str]) -> str | None:
    """Name the first library whose versions differ, or None."""
    return _first("runtime", dict(baseline), dict(candidate))


def hardware_difference(
    baseline: Hardware,
    candidate: Hardware,
    fields: Sequence[str] = ("cpu", "architecture", "cores", "extensions", "cpu_share", "gpus"),
) -> str | None:
    """Name the first of the fields in which two machines differ, or None."""
    for name in fields:
        before, after = getattr(baseline, name), getattr(candidate, name)
        if name == "gpus":
            before, after = _boards(before), _boards(after)
        if (found := _first(_SPOKEN.get(name, name), before, after)) is not None:
            return found
    return None


def simulation_difference(baseline: Simulation | None, candidate: Simulation | None, cache: bool) -> str | None:
    """Name the first field in which two simulated processors differ, or None; `cache`: theirs counts too."""
    if baseline is None or candidate is None:
        return "a profile does not say on which simulated processor it was counted"
    return (
        _first("instruction set", baseline.instruction_set, candidate.instruction_set)
        or _first("valgrind", baseline.valgrind, candidate.valgrind)
        or _first("library", dict(baseline.libraries), dict(candidate.libraries))
        or (_first("simulated cache", baseline.cache, candidate.cache) if cache else None)
    )


#: By which share two intensities may differ that are one: that of a file follows from rounded numbers.
_ROUNDING = 1e-3

#: How messages call a field whose name is not a word.
_SPOKEN = {"cpu_share": "the CPU limit of the container", "gpus": "GPU"}


def _boards(gpus: Sequence[Gpu]) -> dict[str, dict[str, object]]:
    """Return what is compared of each board, by its place."""
    return {
        str(place): {
            "name": gpu.name,
            "memory": format_quantity(gpu.memory, "bytes"),
            "power limit": f"{gpu.power_limit:g} W",
            "partition": gpu.partition or "none",
        }
        for place, gpu in enumerate(gpus)
    }


def power_difference(baseline: Profile, candidate: Profile) -> str | None:
    """Name the counters of energy that one profile rests on and the other does not, or None."""
    before, after = (
        {domain.id: domain.method for domain in profile.power.domains} if profile.power is not None else {}
        for profile in (baseline, candidate)
    )
    if gone := [name for name in before if name not in after]:
        return f"the counter {', '.join(gone)} that the baseline was metered with is not here any more"
    if new := [name for name in after if name not in before]:
        return f"the counter {', '.join(new)} was not there for the baseline"
    return next(
        (f"{name} was {before[name]}, is {after[name]}" for name in before if before[name] != after[name]), None
    )


def training_difference(baseline: Trained | None, candidate: Trained | None, emissions: bool) -> str | None:
    """Name the first thing that makes two trainings' costs unlike, or None; `emissions`: their intensities count too.

    What counted is compared by kind and method, not by name: a training on other machines costs what they draw.
    """
    if baseline is None or candidate is None:
        return f"the {'baseline' if baseline is None else 'candidate'} does not say how its training was counted"
    found = _first("the training's counter of", dict(baseline.counters), dict(candidate.counters))
    if found is not None or not emissions:
        return found
    before, after = baseline.intensity, candidate.intensity
    if before is None or after is None or math.isclose(before, after, rel_tol=_ROUNDING):
        return None
    return _first("intensity", *(format_quantity(one, "intensity", digits=6) for one in (before, after)))


def _first(name: str, before: object, after: object) -> str | None:
    if before == after:
        return None
    if isinstance(before, dict) and isinstance(after, dict):
        key = next(key for key in [*before, *after] if before.get(key) != after.get(key))
        return _first(f"{name} {key}", before.get(key, "absent"), after.get(key, "absent"))
    return f"{name} was {_plain(before)}, is {_plain(after)}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("name", value))
    return "none" if value is None else " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
