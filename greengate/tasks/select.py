"""`greengate select`: the most efficient version that keeps what is required, and who is beaten by nobody."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from greengate import profile_file
from greengate.baselines import mlflow, opening, registry, store
from greengate.errors import Diagnostic, GreengateError
from greengate.metrics import METRICS
from greengate.profile import Interval, Measurement, Missing, Profile, Trial
from greengate.units import QuantityError, format_quantity, parse_quantity
from greengate.verdict import Status

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(<=|>=|<|>)\s*(\S.*?)\s*")


@dataclass(frozen=True)
class Candidate:
    """One model to choose from."""

    name: str
    measurements: Mapping[str, Measurement | Missing]


@dataclass(frozen=True)
class Requirement:
    """What a metric must keep to, in its SI unit."""

    metric: str
    sign: str
    bound: float
    text: str

    def judge(self, found: Measurement | Missing | None) -> Status:
        """Judge the whole interval, as a rule would; what was not measured is inconclusive."""
        if not isinstance(found, Measurement):
            return Status.INCONCLUSIVE
        ends = found.interval or Interval(found.value, found.value)
        kept = [self._keeps(end) for end in (ends.low, ends.high)]
        return Status.PASS if all(kept) else Status.INCONCLUSIVE if any(kept) else Status.FAIL

    def _keeps(self, value: float) -> bool:
        return {
            ">=": value >= self.bound,
            "<=": value <= self.bound,
            ">": value > self.bound,
            "<": value < self.bound,
        }[self.sign]


@dataclass(frozen=True)
class Choice:
    """The answer: the chosen name (None: nobody keeps all), how sure that is, and the table."""

    name: str | None
    status: Status
    table: str


def requirement(text: str) -> Requirement:
    """Read `accuracy >= 0.92` or `latency_p95 <= 45 ms`. Raises GreengateError."""
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        raise GreengateError(Diagnostic("usage", f"{text!r} is no requirement", 'write one like "accuracy >= 0.92"'))
    metric, sign, written = match.groups()
    _known(metric)
    try:
        bound = parse_quantity(written, METRICS[metric].dimension)
    except QuantityError as error:
        raise GreengateError(Diagnostic(error.code, f"{text!r}: {error.message}", error.help)) from error
    return Requirement(metric, sign, bound, f"{metric} {sign} {written}")


def select(candidates: Sequence[Candidate], required: Sequence[Requirement], minimize: str) -> Choice:
    """Choose the candidate with the smallest value among those that surely keep every requirement."""
    _known(minimize)
    judged = {
        one.name: max((need.judge(one.measurements.get(need.metric)) for need in required), default=Status.PASS)
        for one in candidates
    }
    measured = {one.name: one.measurements.get(minimize) for one in candidates}
    fit = [
        (found.value, name)
        for name, found in measured.items()
        if isinstance(found, Measurement) and judged[name] is Status.PASS
    ]
    chosen = min(fit)[1] if fit else None
    worst = Status.INCONCLUSIVE if any(status is not Status.FAIL for status in judged.values()) else Status.FAIL
    metrics = list(dict.fromkeys([minimize, *(need.metric for need in required)]))
    table = "\n".join(_table(candidates, judged, metrics, chosen))
    return Choice(chosen, Status.PASS if chosen is not None else worst, table)


def front(candidates: Sequence[Candidate], metrics: Sequence[str]) -> frozenset[str]:
    """Return who is beaten by nobody: no other is at least as good everywhere and better somewhere.

    A candidate that lacks one of the numbers is not compared.
    """
    points = {
        one.name: [
            found.value * (1 if METRICS[metric].better == "lower" else -1)
            for metric in metrics
            if isinstance(found := one.measurements.get(metric), Measurement)
        ]
        for one in candidates
    }
    whole = {name: point for name, point in points.items() if len(point) == len(metrics)}
    return frozenset(
        name
        for name, point in whole.items()
        if not any(
            other != point and all(theirs <= mine for theirs, mine in zip(other, point, strict=True))
            for other in whole.values()
        )
    )


def _table(
    candidates: Sequence[Candidate], judged: Mapping[str, Status], metrics: Sequence[str], chosen: str | None
) -> Iterator[str]:
    best = front(candidates, metrics)
    rows = [("", "candidate", *(METRICS[metric].title for metric in metrics), "requirements", "beaten by nobody")]
    for one in candidates:
        numbers = [_number(metric, one.measurements.get(metric)) for metric in metrics]
        mark = "*" if one.name == chosen else ""
        said = {Status.PASS: "kept", Status.FAIL: "broken"}.get(judged[one.name], "not sure")
        rows.append((mark, one.name, *numbers, said, "yes" if one.name in best else ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _number(metric: str, found: Measurement | Missing | None) -> str:
    if isinstance(found, Measurement):
        return format_quantity(found.value, METRICS[metric].dimension)
    return "not measured"


def _known(metric: str) -> None:
    if metric not in METRICS:
        raise GreengateError(
            Diagnostic("unknown-metric", f"no metric is called {metric!r}", f"use one of {', '.join(METRICS)}")
        )


def candidates(sources: Sequence[str]) -> list[Candidate]:
    """Read every candidate: profiles, folders of profiles, stores (dir:, git:), a registered model (mlflow:).

    Raises GreengateError, `usage` where two have one name or there is none.
    """
    found = [one for source in sources for one in _read(source)]
    names = [one.name for one in found]
    if not found:
        raise GreengateError(Diagnostic("usage", "there is nothing to choose from", "name profiles with --from"))
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise GreengateError(Diagnostic("usage", f"two candidates are called {twice!r}", "name each source once"))
    return found


def _read(source: str) -> Iterator[Candidate]:
    scheme, colon, rest = source.partition(":")
    if colon and scheme == "mlflow":
        yield from _registered(rest)
    elif colon and scheme in opening.STORES:
        place = opening.open_(source, Path())
        for model in store.models(place):
            for version in store.history(place, model):
                where = f"{version.profile.hardware.id}/{version.version}"
                yield Candidate(f"{model} version {where}", version.profile.measurements)
    else:
        path = Path(source)
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            found = profile_file.read(file)
            profile = found.candidate if isinstance(found, Trial) else found
            yield Candidate(str(file), profile.measurements)


def _registered(rest: str) -> Iterator[Candidate]:
    """Yield every version of a registered model; metrics that its own run logged under our names count as declared."""
    wanted = registry.address(rest)
    with tempfile.TemporaryDirectory(prefix="greengate-") as scratch:
        for one in registry.entries(wanted.name):
            profile: Profile | None = mlflow.profile_of(one, Path(scratch))
            logged = {
                metric: Measurement(value, "declared", detail=f"logged by run {one.run}")
                for metric, value in one.metrics.items()
                if metric in METRICS
            }
            measured = dict(profile.measurements) if profile is not None else {}
            kept = {metric: found for metric, found in measured.items() if isinstance(found, Measurement)}
            yield Candidate(f"models:/{one.name}/{one.version}", {**measured, **logged, **kept})
