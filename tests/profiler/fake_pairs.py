"""Pairs of models of the fake backend, and a trial of them."""

from __future__ import annotations

from pathlib import Path

from greengate.budget import WorkerLimits
from greengate.errors import Span
from greengate.profile import Trial, WorkloadSpec
from greengate.profiler import exact, trial
from greengate.profiler.exact import Subject
from greengate.profiler.trial import Effort

LIMITS = WorkerLimits()
STEADY = {"latency_p50": 0.02}


def subject(folder: Path, name: str, costs: str, **spec: int) -> Subject:
    path = folder / f"{name}.fake.yaml"
    path.write_text(f"fake: 1\n{costs}")
    return Subject("m", str(path), path.name, WorkloadSpec(**spec), Span("budgets.yaml", 3))


def run(before: Subject, after: Subject, effort: Effort) -> Trial:
    counted = {"baseline": exact.count(before, LIMITS, "now"), "candidate": exact.count(after, LIMITS, "now")}
    return trial.trial({"baseline": before, "candidate": after}, counted, effort, LIMITS)  # type: ignore[arg-type]
