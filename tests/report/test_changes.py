"""Tables without a budget: two models compared, one model profiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nouns
import pytest
import verdicts

from greengate.metrics import METRICS
from greengate.profile import Missing, Profile, Trial
from greengate.report.changes import render_changes, render_profile, render_trial

GOLDEN = Path(__file__).parent / "golden"
CASE = verdicts.failing().case.models[0]


def profile(role: str = "candidate", **changes: object) -> Profile:
    assert CASE.candidate is not None
    assert CASE.hardware is not None
    assert CASE.workload is not None
    measurements = {name: getattr(compared, role) for name, compared in CASE.comparisons.items()}
    made = Profile(
        replace(CASE.candidate, name=role, path=f"models/{role}.onnx"),
        CASE.hardware,
        CASE.workload,
        CASE.runtime,
        measurements,
        "2026-11-23T10:00:00Z",
        "0.1.0",
        ("the process was not pinned to a core",),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [80, 100])
def test_a_profile(width: int, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"profile.{width}.txt", render_profile(profile(), width=width))


@pytest.mark.parametrize("width", [80, 100])
def test_changes(width: int, golden: Callable[[Path, str], None]) -> None:
    text = render_changes(CASE.comparisons, profile("baseline"), profile(), width=width)
    golden(GOLDEN / f"changes.{width}.txt", text)


def test_facts_of_both_profiles_are_told_once_where_they_agree() -> None:
    text = render_changes(CASE.comparisons, profile("baseline"), profile(runtime={"onnxruntime": "1.22.0"}))
    assert text.count("hardware  ") == 1
    assert "onnxruntime 1.32.0, python 3.11.9  (baseline)" in text
    assert "onnxruntime 1.22.0  (candidate)" in text


def test_what_no_version_measures_is_no_news() -> None:
    unmeasured = [name for name, metric in METRICS.items() if not metric.measured]
    text = render_profile(profile(measurements={name: Missing(f"no {name}", "unsupported") for name in unmeasured}))
    assert not any(name in text for name in unmeasured)


def test_what_is_missing_says_why() -> None:
    text = render_profile(profile(measurements={"latency_p99": verdicts.P99, "latency_p95": verdicts.P99}))
    assert "latency_p95, latency_p99: 1,000 calls are needed, 812 were made; give it more time" in text


@pytest.mark.parametrize("ended", ["precision", "time", "failure", "none"])
def test_a_trial_says_how_it_ended(ended: str) -> None:
    trial = Trial(profile("baseline"), profile(), (), ended, 12.5, ("two launches were dropped",))  # type: ignore[arg-type]
    text = render_trial(trial)
    assert "0 launches, 12.5 s" in text
    assert "two launches were dropped" in text
    assert "+19.8 %" in text  # exact metrics compare without launches


def test_a_trial_of_launches_shows_their_intervals() -> None:
    before, after = profile("baseline"), profile()
    made = nouns.trial(nouns.launches(5, 1.25), before, after)
    text = render_trial(made)
    assert "5 launches, 5.0 s, ended when the intervals were narrow enough" in text
    assert any("+2" in line and line.endswith("paired") for line in text.splitlines())


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_names_stay_in_their_line(stranger: str) -> None:
    strange = profile(runtime={stranger: stranger}, created=stranger, notes=(stranger,))
    strange = replace(strange, model=replace(strange.model, name=stranger, path=stranger))
    for text in (render_profile(strange), render_changes(CASE.comparisons, strange, strange)):
        for line in text.splitlines():
            assert len(line) <= 100
            assert not line.lstrip().startswith("::")
            assert "\x1b" not in line
