"""From the raw launches of a trial to measurements and paired changes; anyone can recompute them from the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from greengate import stats
from greengate.profile import Interval, Launch, Measurement, Method, Missing, Role
from greengate.verdict import Change

#: p99 of fewer calls than this rests on a handful of samples.
P99_CALLS = 1000

Series = Sequence[int]


@dataclass(frozen=True)
class Estimator:
    """How one noisy metric comes out of one launch.

    `value` turns a series into SI (ns to s where the series is time) for a batch size; `log_ratio` gives
    ln(candidate / baseline) of one launch from both series, paired by index.
    """

    series: str
    value: Callable[[Series, int], float]
    log_ratio: Callable[[Series, Series], float]
    method: Method
    per_call: bool = True


def _quantile(share: float) -> Callable[[Series, int], float]:
    return lambda series, _: stats.percentile(series, share) * 1e-9


def _quantile_ratio(share: float) -> Callable[[Series, Series], float]:
    def ratio(baseline: Series, candidate: Series) -> float:
        return math.log(stats.percentile(candidate, share) / stats.percentile(baseline, share))

    return ratio


def _median_pair_ratio(baseline: Series, candidate: Series) -> float:
    return stats.median([math.log(mine / theirs) for theirs, mine in zip(baseline, candidate, strict=True)])


def _only_ratio(baseline: Series, candidate: Series) -> float:
    return math.log(candidate[0] / baseline[0])


#: The noisy metrics and how each comes out of a launch.
ESTIMATORS: dict[str, Estimator] = {
    "latency_p50": Estimator("wall", _quantile(0.5), _median_pair_ratio, "timed"),
    "latency_p95": Estimator("wall", _quantile(0.95), _quantile_ratio(0.95), "timed"),
    "latency_p99": Estimator("wall", _quantile(0.99), _quantile_ratio(0.99), "timed"),
    "throughput": Estimator(
        "wall",
        lambda series, batch: batch * len(series) / (sum(series) * 1e-9),
        lambda baseline, candidate: math.log(sum(baseline) / sum(candidate)),
        "timed",
    ),
    "cpu_time": Estimator(
        "cpu", lambda series, batch: stats.median(series) * 1e-9 / batch, _median_pair_ratio, "timed"
    ),
    "peak_memory": Estimator("peak", lambda series, _: float(series[0]), _only_ratio, "observed", per_call=False),
    "load_time": Estimator("load", lambda series, _: series[0] * 1e-9, _only_ratio, "timed", per_call=False),
}


def measure(launches: Sequence[Launch], role: Role, metric: str, batch_size: int) -> Measurement | Missing:
    """Return one noisy metric of one role, in SI, with its interval between launches."""
    how = ESTIMATORS[metric]
    series = [samples[how.series] for launch in launches if how.series in (samples := launch.samples.get(role, {}))]
    if not series:
        return Missing(f"no launch recorded {how.series}", "skipped")
    if (unsettled := _unsettled(metric, series)) is not None:
        return unsettled
    calls = sum(len(one) for one in series)
    counted = f"{len(series)} launches" + (f" x {calls // len(series):,} calls" if how.per_call else "")
    try:
        found = stats.across_launches([math.log(how.value(one, batch_size)) for one in series])
    except ValueError:  # the logarithm of 0: below what the clock or the system resolves
        return Missing(f"{metric} is 0 here: below what this machine resolves", "unsettled")
    interval = Interval(math.exp(found.low), math.exp(found.high))
    return Measurement(math.exp(found.value), how.method, interval, calls, counted)


def change(launches: Sequence[Launch], metric: str) -> Change | Missing:
    """Return the paired change of one noisy metric across launches."""
    found = log_ratio(launches, metric)
    if isinstance(found, Missing):
        return found
    value, low, high = (math.expm1(x) for x in (found.value, found.low, found.high))
    return Change(value, low, high, "paired")


def log_ratio(launches: Sequence[Launch], metric: str) -> stats.Estimate | Missing:
    """Return ln(candidate / baseline) of one metric with its interval between launches."""
    how = ESTIMATORS[metric]
    pairs = [
        (launch.samples["baseline"][how.series], launch.samples["candidate"][how.series])
        for launch in launches
        if all(how.series in launch.samples.get(role, {}) for role in ("baseline", "candidate"))
    ]
    if (unsettled := _unsettled(metric, [baseline for baseline, _ in pairs])) is not None:
        return unsettled
    try:
        return stats.across_launches([how.log_ratio(baseline, candidate) for baseline, candidate in pairs])
    except (ValueError, ZeroDivisionError):
        return Missing(f"{metric} is 0 here: a change of it is not defined", "unsettled")


def _unsettled(metric: str, series: Sequence[Series]) -> Missing | None:
    more = "give it more time with --max-seconds"
    if len(series) < stats.MIN_LAUNCHES:
        return Missing(f"{len(series)} launches fit in the time, {stats.MIN_LAUNCHES} are needed", "unsettled", more)
    calls = sum(len(one) for one in series)
    if metric == "latency_p99" and calls < P99_CALLS:
        return Missing(f"p99 needs {P99_CALLS:,} calls, {calls:,} fit in the time", "unsettled", more)
    return None


def measure_all(launches: Sequence[Launch], role: Role, batch_size: int) -> Mapping[str, Measurement | Missing]:
    """Return every noisy metric of one role."""
    return {metric: measure(launches, role, metric, batch_size) for metric in ESTIMATORS}
