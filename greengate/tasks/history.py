"""`greengate history`, and `check --record`: what became of a model over time."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from greengate import git
from greengate.baselines import opening, points, store
from greengate.baselines.place import Place
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.metrics import METRICS
from greengate.point import Point
from greengate.report import history as drawing
from greengate.report import steps
from greengate.verdict import Verdict


def record(verdict: Verdict, now: datetime.datetime) -> tuple[str, ...]:
    """Append a verdict to its models' stores and return what was recorded where.

    Raises BaselineError, ReportError, GreengateError `git-failed` where a store cannot be written.
    """
    budget = verdict.case.budget
    folder = Path(budget.path).parent
    own = {entry.name: entry.baseline for entry in budget.models}
    said = []
    for point in points.of_verdict(verdict, now, git.head(folder)):
        uri = opening.uri_of(own.get(point.model), budget.baseline)
        points.append(opening.open_(uri, folder), point)
        said.append(f"recorded {point.model} in {uri}")
    return tuple(said)


def drawn(place: Place, model: str, budget: str, *, verdicts: bool, form: str, metrics: Sequence[str] = ()) -> str:
    """Draw a model's accepted versions, or its recorded verdicts; `budget` is for the next step where there are none.

    Raises GreengateError `unknown-metric`, BaselineError `baseline-missing` where there is nothing to draw.
    """
    if unknown := [name for name in metrics if name not in METRICS]:
        raise GreengateError(
            *(Diagnostic("unknown-metric", f"no metric is called {name!r}", _known()) for name in unknown)
        )
    found = _recorded(place, model, budget) if verdicts else _accepted(place, model)
    title = f"{model}: {'verdicts' if verdicts else 'accepted versions'}"
    return drawing.render(title, found, form, metrics)


def _known() -> str:
    return f"use one of {', '.join(METRICS)}"


def _accepted(place: Place, model: str) -> tuple[Point, ...]:
    found = tuple(points.of_version(version) for version in store.history(place, model))
    if not found:
        known = ", ".join(store.models(place)) or "none"
        message = f"no version of {model!r} is stored"
        raise BaselineError(Diagnostic("baseline-missing", message, f"models with versions: {known}"))
    return found


def _recorded(place: Place, model: str, budget: str) -> tuple[Point, ...]:
    if not (found := points.recorded(place, model)):
        message = f"no verdict of {model!r} is recorded"
        help = steps.of(budget, "record them with `greengate check --record`")
        raise BaselineError(Diagnostic("baseline-missing", message, help))
    return found
