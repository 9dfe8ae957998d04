"""(baseline, candidate) -> one Comparison a metric: like is compared with like, or the first difference is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from greengate import estimate, stats
from greengate.comparison import Basis, Change, Comparison, FirstLook
from greengate.differences import (
    hardware_difference,
    power_difference,
    runtime_difference,
    simulation_difference,
    training_difference,
    workload_difference,
)
from greengate.metrics import METRICS, TRAINING, Metric, name_of, ordered
from greengate.profile import Interval, Launch, Measurement, Missing, Profile, Trial

Comparisons = Mapping[str, Comparison]

#: The metric that a calibration gives.
CALIBRATED = "energy_per_1k"

_MEASURE = "measure the baseline's model file beside the candidate, or accept a new baseline here"
_TRACK = "track both trainings with the same counters, name one `carbon:` for both, or accept a new baseline"

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
    if not before.value > 0:
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
    # Trainings are apart, whoever was measured together.
    unlike = _difference(metric, baseline, candidate) if metric.id in TRAINING or not together else None
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
            _TRACK if metric.id in TRAINING else _MEASURE,
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
    if metric.id in TRAINING:
        return training_difference(baseline.trained, candidate.trained, emissions=metric.id == "training_co2e")
    if metric.workload_free:
        return None
    found = workload_difference(baseline.workload, candidate.workload)
    if found is None and (metric.runtime_bound or metric.simulated or metric.kind == "noisy"):
        found = runtime_difference(baseline.runtime, candidate.runtime)
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
