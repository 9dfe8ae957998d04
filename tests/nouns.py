"""Small nouns for tests: a profile, a comparison, a case, each with only what a test cares about."""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from greengate.budget import Budget, Limit, ModelEntry, Rule
from greengate.comparison import Change, Comparison
from greengate.errors import Span
from greengate.profile import (
    File,
    Hardware,
    Input,
    Interval,
    Launch,
    Measurement,
    Missing,
    Model,
    Profile,
    Trial,
    Workload,
    WorkloadSpec,
    digest_files,
)
from greengate.verdict import Case, Context, ModelCase, Policy

SPAN = Span("budgets.yaml", 3, 5, 4, "  - {id: size}")
HARDWARE = Hardware("Test CPU", "x86_64", 2, ("avx2",), 8_000_000_000, "Linux 6.1")
WORKLOAD = Workload(1, 1, 0, (Input("x", "float32", (1, 4), "synthesised"),), "sha256:feed")
MODEL_FILES = (File("m.onnx", "a" * 64, 100),)


def limit(kind: str, value: float, relative: bool = True) -> Limit:
    return Limit(kind, value, f"{value}", SPAN, relative)  # type: ignore[arg-type]


def rule(metric: str, *limits: Limit, **more: Any) -> Rule:
    return Rule(more.pop("id", metric), metric, limits, SPAN, **more)


def exact(value: float) -> Measurement:
    return Measurement(value, "executed")


def noisy(value: float, low: float, high: float) -> Measurement:
    return Measurement(value, "timed", Interval(low, high), 500, "5 launches x 100 calls")


def compared(
    metric: str,
    change: Change | Missing,
    baseline: Measurement | Missing | None = None,
    candidate: Measurement | Missing | None = None,
) -> Comparison:
    return Comparison(metric, baseline or exact(100.0), candidate or exact(100.0), change)


def case(
    rules: Sequence[Rule],
    comparisons: Mapping[str, Comparison],
    *,
    strict: bool = False,
    part: str | None = None,
    names: Sequence[str] = ("m",),
) -> Case:
    entries = tuple(ModelEntry(name, f"{name}.onnx", SPAN, WorkloadSpec()) for name in names)
    budget = Budget("budgets.yaml", "sha256:b", 1, entries, tuple(rules))
    models = tuple(
        ModelCase(
            name,
            comparisons,
            None,
            Model(name, f"{name}.onnx", "onnx", "sha256:c", MODEL_FILES),
            HARDWARE,
            WORKLOAD,
            {},
        )
        for name in names
    )
    context = Context("laptop", strict, part)
    return Case(budget, Policy("budgets.yaml", "sha256:b"), models, context, datetime.date(2026, 11, 23))


def profile(measurements: Mapping[str, Measurement | Missing], **more: Any) -> Profile:
    base = Profile(
        Model("m", "m.onnx", "onnx", digest_files(MODEL_FILES), MODEL_FILES),
        HARDWARE,
        WORKLOAD,
        {"onnxruntime": "1.32.0"},
        measurements,
        "2026-11-23T00:00:00+00:00",
        "0.1.0",
    )
    return replace(base, **more)


def launches(
    count: int,
    ratio: float,
    *,
    calls: int = 40,
    noise: float = 0.02,
    between: float = 0.005,
    drift: float = 0.0,
    order: str = "ABBA",
    seed: int = 0,
) -> tuple[Launch, ...]:
    """Simulate launches: `drift` is the relative slow-down over a launch, `order` ABBA or AABB (blocks)."""
    rng = random.Random(seed)
    made = []
    for index in range(count):
        tilt = rng.gauss(0, between)
        alternating = "".join("AB" if pair % 2 == 0 else "BA" for pair in range(calls))
        slots = alternating if order == "ABBA" else "A" * calls + "B" * calls
        series: dict[str, list[int]] = {"A": [], "B": []}
        for position, who in enumerate(slots):
            base = 1e6 * (ratio * math.exp(tilt) if who == "B" else 1.0)
            slower = 1 + drift * position / len(slots)
            series[who].append(max(1, round(base * slower * math.exp(abs(rng.gauss(0, noise))))))
        peaks = {"A": round(1e7), "B": round(1e7 * ratio)}
        samples = {
            role: {"wall": tuple(series[who]), "cpu": tuple(series[who]), "peak": (peaks[who],)}
            for role, who in (("baseline", "A"), ("candidate", "B"))
        }
        made.append(Launch(index, ("baseline", "candidate"), samples, 1.0))
    return tuple(made)


def trial(found: Sequence[Launch], baseline: Profile, candidate: Profile) -> Trial:
    return Trial(baseline, candidate, tuple(found), "precision", 5.0)
