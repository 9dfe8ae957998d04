"""From the raw launches of a trial to measurements and paired changes; anyone can recompute them from the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from greengate import energy, stats
from greengate.comparison import Change, Noise
from greengate.profile import Interval, Launch, Measurement, Method, Missing, Role, Workload

#: p99 of fewer calls than this rests on a handful of samples.
P99_CALLS = 1000

#: Intervals are computed at this confidence and cover 95 %: stopping when they are narrow costs the rest.
#: tests/test_stopping.py shows it by simulation.
COMPUTED = 0.97

#: A second copy of the baseline that differs from it at this confidence shows that the trial itself is at fault.
BROKEN = 0.999

#: Trials of one pair of different models differ by more than their launches tell: standard deviation as a share of
#: ln(change), for one thread and for several. Measured: docs/decisions/0005.
BETWEEN_ONE_THREAD, BETWEEN_SEVERAL = 0.03, 0.12
_AT_95 = 1.96

#: The share of the time that the first look may take, but for its fewest launches; the rest can confirm a failure.
FIRST_SHARE = 0.6

#: The most launches of one look: what is kept of a trial stays bounded.
MOST_LAUNCHES = 64

_MORE_TIME = "give it more time with --max-seconds"

Series = Sequence[float]


@dataclass(frozen=True)
class Estimator:
    """How one noisy metric comes out of one launch.

    `value` turns a series into SI (ns to s where the series is time) for a batch size; `log_ratio` gives
    ln(candidate / baseline) of one launch from both series, paired by index. A `metered` series is made of windows;
    its method is the weakest of the counters that were read. `generated`: of text, for models that are asked for some.
    `share` is set for quantiles of calls: such a value is told from all launches together, not launch by launch.
    """

    series: str
    value: Callable[[Series, int], float]
    log_ratio: Callable[[Series, Series], float]
    method: Method
    per_call: bool = True
    metered: bool = False
    generated: bool = False
    share: float | None = None


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


def _rate(series: Series, batch: int) -> float:
    return batch * len(series) / (sum(series) * 1e-9)


def _rate_ratio(baseline: Series, candidate: Series) -> float:
    return math.log(sum(baseline) / sum(candidate))


def _mean(series: Series, batch: int) -> float:
    del batch  # windows count items
    return math.fsum(series) / len(series)


def _mean_ratio(baseline: Series, candidate: Series) -> float:
    # As many windows of each, in turn and back again: a drift adds the same to both sums.
    return math.log(math.fsum(candidate) / math.fsum(baseline))


#: The noisy metrics and how each comes out of a launch.
ESTIMATORS: dict[str, Estimator] = {
    "latency_p50": Estimator("wall", _quantile(0.5), _median_pair_ratio, "timed", share=0.5),
    "latency_p95": Estimator("wall", _quantile(0.95), _quantile_ratio(0.95), "timed", share=0.95),
    "latency_p99": Estimator("wall", _quantile(0.99), _quantile_ratio(0.99), "timed", share=0.99),
    "throughput": Estimator("wall", _rate, _rate_ratio, "timed"),
    # Of each generation: ns to the first new token, and ns in all by the tokens made for one item.
    "time_to_first_token": Estimator("first", _quantile(0.5), _median_pair_ratio, "timed", generated=True),
    "tokens_per_second": Estimator("token", _rate, _rate_ratio, "timed", generated=True),
    "cpu_time": Estimator(
        "cpu", lambda series, batch: stats.median(series) * 1e-9 / batch, _median_pair_ratio, "timed"
    ),
    "peak_memory": Estimator("peak", lambda series, _: float(series[0]), _only_ratio, "observed", per_call=False),
    "load_time": Estimator("load", lambda series, _: series[0] * 1e-9, _only_ratio, "timed", per_call=False),
    **{
        metric: Estimator(
            metric, _mean, _mean_ratio, "counter", False, metered=True, generated=metric in energy.OF_TOKENS
        )
        for metric in energy.METRICS
    },
}

#: The metrics that are read from counters over windows; they have a time budget of their own.
METERED = frozenset(name for name, how in ESTIMATORS.items() if how.metered)

#: The metrics of text, for models whose workload generates some; and how that is done.
GENERATED = frozenset(name for name, how in ESTIMATORS.items() if how.generated)
GREEDY = "greedy, end of text switched off, key-value cache on, streamed token by token"


def of(launches: Sequence[Launch], metric: str) -> list[Launch]:
    """Return the launches that were made for a metric's kind: those that metered energy, or the others."""
    return [launch for launch in launches if bool(launch.windows) == ESTIMATORS[metric].metered]


def series_of(launch: Launch, role: Role, metric: str) -> Series | None:
    """Return what one launch holds of a metric for a role; None where it holds nothing."""
    how = ESTIMATORS[metric]
    if how.metered:
        return energy.per_thousand(launch, role, how.series) or None
    return launch.samples.get(role, {}).get(how.series)


def measure(launches: Sequence[Launch], role: Role, metric: str, batch_size: int) -> Measurement | Missing:
    """Return one noisy metric of one role, in SI, with its interval between launches."""
    how = ESTIMATORS[metric]
    launches = of(launches, metric)
    series = [one for launch in launches if (one := series_of(launch, role, metric)) is not None]
    if not series:
        return _none(launches, metric, how)
    if (unsettled := _unsettled(metric, launches, series)) is not None:
        return unsettled
    calls = sum(len(one) for one in series)
    said = f"generations, {GREEDY}" if how.generated else "calls"
    counted = f"{len(series)} launches" + (f" x {calls // len(series):,} {said}" if how.per_call else "")
    if how.metered:
        counted += f" x {calls // len(series)} windows: {energy.made_of(launches, metric)}"
    try:
        found = _located(launches, series, how, batch_size)
    except ValueError:  # the logarithm of 0: below what the clock or the system resolves
        return Missing(f"{metric} is 0 here: below what this machine resolves", "unsettled")
    interval = Interval(math.exp(found.low), math.exp(found.high))
    method = energy.method(launches, metric) if how.metered else how.method
    return Measurement(math.exp(found.value), method, interval, calls, counted)


def _located(launches: Sequence[Launch], series: Sequence[Series], how: Estimator, batch_size: int) -> stats.Estimate:
    """Return ln of a metric in SI across launches. Raises ValueError where it is 0."""
    if how.share is None:
        return stats.across_launches([math.log(how.value(one, batch_size)) for one in series], COMPUTED)
    # Launches that went through all inputs differ by their level alone; others by their inputs as well.
    whole = min(map(len, series)) >= 2 * max(launch.feeds for launch in launches)
    seconds = [[nanoseconds * 1e-9 for nanoseconds in one] for one in series]
    return stats.quantile(seconds, how.share, COMPUTED, levelled=whole)


def _none(launches: Sequence[Launch], metric: str, how: Estimator) -> Missing:
    if how.metered and launches:
        return Missing(energy.why_not(launches, metric), "failed", "see `greengate doctor`")
    return Missing(f"no launch recorded {how.series}", "skipped")


def change(launches: Sequence[Launch], metric: str, workload: Workload) -> Change | Missing:
    """Return the paired change of one noisy metric across launches, with the noise of the same launches.

    The interval of a timed metric holds what trials of one pair differ by beyond their launches.
    """
    found = log_ratio(launches, metric)
    if isinstance(found, Missing):
        return found
    how = ESTIMATORS[metric]
    # An estimate is of processor time, and differs from trial to trial as that does.
    timed = how.method == "timed" or (how.metered and energy.method(launches, metric) == "estimated")
    between = between_trials(found.value, workload) if timed else 0.0
    half = math.hypot(found.half_width, between)
    value, low, high = (math.expm1(found.value + end) for end in (0.0, -half, half))
    seconds = math.fsum(launch.took for launch in of(launches, metric))
    fixed = math.expm1(between)
    return Change(value, low, high, "paired", True, noise(launches, metric), found.launches, seconds, fixed)


def surer(change: Change, confidence: float) -> Change:
    """Return a paired change with the interval that its launches give at another confidence."""
    level, freedom = (1 + confidence) / 2, change.launches - 1
    between = math.log1p(change.irreducible)
    own = math.sqrt(max(0.0, (math.log1p(change.high) - math.log1p(change.low)) ** 2 / 4 - between * between))
    own *= stats.student_t(level, freedom) / stats.student_t((1 + COMPUTED) / 2, freedom)
    half = math.hypot(own, between * NormalDist().inv_cdf(level) / _AT_95)
    place = math.log1p(change.value)
    return replace(change, low=math.expm1(place - half), high=math.expm1(place + half))


def between_trials(ratio: float, workload: Workload) -> float:
    """Return by how much another trial may differ from this ln(change), however many launches both have, at 95 %."""
    one_thread = workload.threads == 1 and workload.settings.get("device", "cpu") == "cpu"
    return _AT_95 * (BETWEEN_ONE_THREAD if one_thread else BETWEEN_SEVERAL) * abs(ratio)


def noise(launches: Sequence[Launch], metric: str) -> Noise | None:
    """Return what the baseline differs from its second copy by; None where no launch held one."""
    found = log_ratio(launches, metric, "control")
    if isinstance(found, Missing):
        return None
    sure = log_ratio(launches, metric, "control", BROKEN)
    broken = isinstance(sure, stats.Estimate) and not sure.low <= 0 <= sure.high
    return Noise(math.expm1(found.value), math.expm1(found.low), math.expm1(found.high), broken)


def log_ratio(
    launches: Sequence[Launch], metric: str, against: Role = "candidate", confidence: float | None = None
) -> stats.Estimate | Missing:
    """Return ln(candidate / baseline) of one metric, or of the control, with its interval between launches."""
    how = ESTIMATORS[metric]
    launches = of(launches, metric)
    pairs = [
        (before, after, launch.together)
        for launch in launches
        if (before := series_of(launch, "baseline", metric)) is not None
        and (after := series_of(launch, against, metric)) is not None
    ]
    if (unsettled := _unsettled(metric, launches, [baseline for baseline, _, _ in pairs])) is not None:
        return unsettled
    try:
        ratios = [
            how.log_ratio(before, after) if together else math.log(how.value(after, 1) / how.value(before, 1))
            for before, after, together in pairs
        ]
        return stats.across_launches(ratios, COMPUTED if confidence is None else confidence)
    except (ValueError, ZeroDivisionError):
        return Missing(f"{metric} is 0 here: a change of it is not defined", "unsettled")


def _unsettled(metric: str, launches: Sequence[Launch], series: Sequence[Series]) -> Missing | None:
    if len(series) < stats.MIN_LAUNCHES:
        few = len(series)
        lost = len(launches) - few if ESTIMATORS[metric].metered else 0
        said = f"{few} of {len(launches)} launches can be used" if lost else f"{few} launches fit in the time"
        return Missing(
            f"{said}, {stats.MIN_LAUNCHES} are needed",
            "unsettled",
            _needed(launches, "--energy-seconds" if ESTIMATORS[metric].metered else "--max-seconds", lost),
        )
    calls = sum(len(one) for one in series)
    if metric == "latency_p99" and calls < P99_CALLS:
        return Missing(f"p99 needs {P99_CALLS:,} calls, {calls:,} fit in the time", "unsettled", _MORE_TIME)
    return None


def _needed(launches: Sequence[Launch], option: str, lost: int) -> str:
    if not launches:
        return f"give it more time with {option}"
    longest = max(launch.took or launch.seconds for launch in launches)
    return f"give it about {math.ceil(1.1 * longest * (stats.MIN_LAUNCHES + lost) / FIRST_SHARE):,} s with {option}"


def measure_all(launches: Sequence[Launch], role: Role, batch_size: int) -> Mapping[str, Measurement | Missing]:
    """Return every noisy metric of one role."""
    return {metric: measure(launches, role, metric, batch_size) for metric in ESTIMATORS}
