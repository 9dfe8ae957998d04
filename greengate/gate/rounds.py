"""A baseline's own numbers, measured several times apart: what one trial says differs from what the next would."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from greengate.answers import Answers
from greengate.metrics import METRICS
from greengate.profile import Interval, Measurement, Missing, Profile

#: Trials that a stored baseline rests on; two would leave its spread to luck.
ROUNDS = 3


def merge(profiles: Sequence[Profile]) -> Profile:
    """Return one profile of several made apart: each noisy value their geometric mean, with its spread between them.

    The interval spans those of all rounds. What is exact comes from the first, as do accuracies; what any round lacks
    is Missing.
    """
    first = profiles[0]
    found = {
        metric: value
        if METRICS[metric].kind == "exact" or not METRICS[metric].measured
        else _merged([one.measurements.get(metric, value) for one in profiles])
        for metric, value in first.measurements.items()
    }
    return replace(first, measurements=found, launches=(), looks=(), answers=told(first.answers))


def told(answers: Mapping[str, Answers]) -> Mapping[str, Answers]:
    """Return answers as a store keeps them: by what score and on which data, without the samples."""
    return {metric: replace(one, columns={}) for metric, one in answers.items()}


def _merged(rounds: Sequence[Measurement | Missing]) -> Measurement | Missing:
    measured = [one for one in rounds if isinstance(one, Measurement)]
    if len(measured) < len(rounds):
        return next(one for one in rounds if isinstance(one, Missing))
    intervals = [one.interval for one in measured if one.interval is not None]
    if len(intervals) < len(measured) or len(measured) < 2:
        return measured[0]
    logs = [math.log(one.value) for one in measured]
    mean = math.fsum(logs) / len(logs)
    between = math.sqrt(math.fsum((one - mean) ** 2 for one in logs) / (len(logs) - 1))
    return replace(
        measured[0],
        value=math.exp(mean),
        interval=Interval(min(one.low for one in intervals), max(one.high for one in intervals)),
        samples=sum(one.samples for one in measured),
        detail=f"{len(measured)} trials apart, each {measured[0].detail}",
        between=between,
        trials=len(measured),
    )
