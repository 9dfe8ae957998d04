"""(baseline, candidate) -> one Comparison a metric: like is compared with like, or the first difference is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from greengate import estimate, stats
from greengate.comparison import Basis, Change, Comparison, FirstLook
from greengate.metrics import METRICS, Metric, name_of, ordered
from greengate.profile import Gpu, Hardware, Interval, Launch, Measurement, Missing, Profile, Trial, Workload
from greengate.simulation import Simulation
from greengate.units import format_quantity

Comparisons = Mapping[str, Comparison]

#: The metric that a calibration gives.
CALIBRATED = "energy_per_1k"

NOT_MEASURED = Missing("it was not measured", "skipped")


def compare_trial(trial: Trial) -> Comparisons:
    """Compare both roles of a trial: exact metrics by value, noisy ones by their launches.

    Where a second look was taken, the comparison of all launches carries that of the first look.
    """
    baseline, candidate = trial.baseline, trial.candidate
    # Both were asked for the same work: inputs that differ are the model's own change, not the workload's.
    found = {name: _compare(METRICS[name], baseline, candidate, together=True) for name in _asked(baseline, candidate)}
    for metric in estimate.ESTIMATORS:
        found[metric] = _paired(trial, metric, trial.launches)
        if _looked_twice(trial, metric):
            found[metric] = replace(found[metric], first=_at_first_look(trial, metric))
    return found


def _looked_twice(found: Trial | Profile, metric: str) -> bool:
    """Tell whether a second look was taken, and measured this metric."""
    fresh = found.launches[found.looks[0] :] if len(found.looks) > 1 else ()
    return any(estimate.series_of(launch, "candidate", metric) is not None for launch in fresh)


def _paired(trial: Trial, metric: str, launches: Sequence[Launch]) -> Comparison:
    before, after = _measured(trial.baseline, metric), _measured(trial.candidate, metric)
    missing = next((side for side in (after, before) if isinstance(side, Missing)), None)
    change = missing or _counted(trial, metric) or estimate.change(launches, metric, trial.candidate.workload)
    return Comparison(metric, before, after, change)


def _counted(trial: Trial, metric: str) -> Change | None:
    """Return the change of an estimate that both sides' counts were put into; None where it is none.

    Either may be off by the calibration's error, so that their ratio may be by twice as much, with launches or without.
    """
    before, after = (one.measurements.get(metric) for one in (trial.baseline, trial.candidate))
    known = trial.candidate.calibrated
    if metric != CALIBRATED or known is None or known != trial.baseline.calibrated:
        return None
    if not (isinstance(before, Measurement) and isinstance(after, Measurement)):
        return None
    ratio, twice = after.value / before.value, 2 * known.error
    return Change(ratio - 1, ratio * (1 - twice) - 1, ratio * (1 + twice) - 1, "counted", irreducible=twice)


def _at_first_look(trial: Trial, metric: str) -> FirstLook:
    launches = trial.launches[: trial.looks[0]]
    after = estimate.measure(launches, "candidate", metric, trial.candidate.workload.batch_size)
    return FirstLook(after, estimate.change(launches, metric, trial.candidate.workload))


def compare_profiles(baseline: Profile, candidate: Profile) -> Comparisons:
    """Compare two profiles made apart; noisy metrics only on matching hardware, workload and runtime."""

    def compared(candidate: Profile) -> Comparisons:
        return {name: _compare(METRICS[name], baseline, candidate) for name in _asked(baseline, candidate)}

    return _in_both_looks(candidate, compared)


def without_baseline(candidate: Profile, missing: Missing) -> Comparisons:
    """Return comparisons of a candidate with nothing: absolute limits can be judged, relative ones cannot."""

    def compared(candidate: Profile) -> Comparisons:
        return {name: Comparison(name, missing, _measured(candidate, name), missing) for name in _asked(candidate)}

    return _in_both_looks(candidate, compared)


def _in_both_looks(candidate: Profile, compared: Callable[[Profile], Comparisons]) -> Comparisons:
    """Compare all launches of a candidate, and beside them those of the first look where there was a second."""
    found = compared(candidate)
    again = [metric for metric in estimate.ESTIMATORS if _looked_twice(candidate, metric)]
    if not again:
        return found
    launches, batch = candidate.launches[: candidate.looks[0]], candidate.workload.batch_size
    early = {metric: estimate.measure(launches, "candidate", metric, batch) for metric in again}
    first = compared(replace(candidate, measurements={**candidate.measurements, **early}))
    looked = {m: replace(found[m], first=FirstLook(first[m].candidate, first[m].change)) for m in again}
    return {**found, **looked}


def _asked(*profiles: Profile) -> Sequence[str]:
    """Return every metric of the table, and the accuracies with names that a profile has."""
    return list(ordered([*METRICS, *(metric for profile in profiles for metric in profile.measurements)]))


def without_n(before: Measurement, after: Measurement) -> Missing | None:
    """Say what a declared figure lacks where the baseline's has an interval and it has none: it would decide more."""
    if after.method != "declared" or before.interval is None or after.interval is not None:
        return None
    help_ = "write `n`, how many samples it was taken on, beside the figure"
    return Missing("the figure does not say `n`, as the baseline's does", "incomparable", help_)


def no_source(metric: str) -> Missing:
    """Say that a model has no accuracy of this name."""
    help_ = "name one with the model's `accuracy`"
    return Missing(f"the budget names no source of {name_of(metric)}", "unsupported", help_)


def _measured(profile: Profile, metric: str) -> Measurement | Missing:
    missing = NOT_MEASURED if METRICS[metric].measured else no_source(metric)
    return profile.measurements.get(metric, missing)


def _compare(metric: Metric, baseline: Profile, candidate: Profile, together: bool = False) -> Comparison:
    before, after = _measured(baseline, metric.id), _measured(candidate, metric.id)
    unlike = None if together else _difference(metric, baseline, candidate)
    return Comparison(metric.id, before, after, _change(metric, before, after, unlike))


def _change(
    metric: Metric, before: Measurement | Missing, after: Measurement | Missing, unlike: str | None
) -> Change | Missing:
    # The candidate's own gap says most; a baseline without the number is the baseline's to mend.
    if isinstance(after, Missing):
        return after
    if isinstance(before, Missing):
        return Missing(f"the baseline has no {metric.id}: {before.reason}", before.kind, before.help)
    if unlike is not None:
        return Missing(
            f"not comparable with the baseline: {unlike}",
            "incomparable",
            "measure the baseline's model file beside the candidate, or accept a new baseline here",
        )
    relative, plain = metric.dimension != "ratio", before.interval is None and after.interval is None
    steady = metric.kind in ("exact", "declared")
    if (lack := without_n(before, after)) is not None:
        return lack
    basis: Basis = "exact" if metric.kind == "exact" or (steady and plain) else "stored"
    return _apart(before, after, relative, steady, basis)


def _apart(before: Measurement, after: Measurement, relative: bool, steady: bool, basis: Basis) -> Change | Missing:
    """Compare two numbers; `steady` ones do not differ from trial to trial."""
    low, high = _bounds(after)
    base_low, base_high = _bounds(before)
    if not relative:
        return Change(after.value - before.value, low - base_high, high - base_low, basis, relative=False)
    if before.value == after.value == 0:
        return Change(0.0, 0.0, 0.0, basis)
    if base_low <= 0:
        return Missing("the baseline is 0: a relative change is not defined", "incomparable")
    if steady:
        return Change(after.value / before.value - 1, low / base_high - 1, high / base_low - 1, basis)
    if before.between is None:
        return Missing(
            "the stored baseline does not say how much it differs from trial to trial",
            "incomparable",
            "have its model file at hand, committed or named by --against, or accept it again: `greengate baseline"
            " accept` measures it several times apart",
        )
    # Both sides are one draw from the spread between trials; interval arithmetic on top of it is wider than need be.
    share = 1 - (1 - estimate.COMPUTED) / 2
    wider = math.exp(stats.student_t(share, before.trials - 1) * before.between * math.sqrt(2))
    return Change(after.value / before.value - 1, low / base_high / wider - 1, high / base_low * wider - 1, basis)


def _bounds(measurement: Measurement) -> tuple[float, float]:
    interval = measurement.interval or Interval(measurement.value, measurement.value)
    return interval.low, interval.high


def _difference(metric: Metric, baseline: Profile, candidate: Profile) -> str | None:
    """Name the first thing that makes two profiles unlike for a metric, or None."""
    if metric.workload_free:
        return None
    found = workload_difference(baseline.workload, candidate.workload)
    if found is None and (metric.runtime_bound or metric.simulated or metric.kind == "noisy"):
        found = _first("runtime", dict(baseline.runtime), dict(candidate.runtime))
    if found is None and metric.kind == "noisy":
        found = hardware_difference(baseline.hardware, candidate.hardware)
    if found is None and metric.id in estimate.METERED:
        found = power_difference(baseline, candidate)
    if found is None and metric.simulated:
        found = simulation_difference(baseline.simulation, candidate.simulation, cache=metric.id == "data_traffic")
    if found is None and metric.runtime_bound:
        # The runtime picks its kernels, and with them its buffers, by what the processor can do.
        found = hardware_difference(baseline.hardware, candidate.hardware, ("architecture", "extensions"))
    return found


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
