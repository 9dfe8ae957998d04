"""How long a gate looks, and what for: each kind of metric by its own time, and nothing that broke is forgotten."""

from __future__ import annotations

import datetime
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greengate import gate, profile_file
from greengate.budget import Limit, Rule
from greengate.compare import compare_trial
from greengate.errors import Span
from greengate.judge.limits import judge_limit
from greengate.profile import Trial
from greengate.profiler.backends import fake, fake_meters
from greengate.profiler.jobs import WorkerFailed
from greengate.verdict import Context, Status, Verdict

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
ENERGY = "{id: energy, metric: gpu_energy_per_1k, max_increase: 5%}"
LATENCY = "{id: lat, metric: latency_p50, max_increase: 3%}"
BOARD = Path(__file__).parents[2] / "benchmarks" / "results" / "gpu_energy" / "trials" / "+10-64-0.json.gz"


def checked(
    folder: Path, rules: str, *, slower: float = 1.0, seed: int = 1, noise: str = "", spread: str = "1%"
) -> Any:
    text = f"latency: {{}} ms\ngpu_energy: 3 J\nwindow_noise: {noise or spread}\nlaunch_noise: {spread}\n"
    (folder / "baseline.fake.yaml").write_text(f"fake: 1\nnote: old\n{text.format(220)}")
    (folder / "net.fake.yaml").write_text(f"fake: 1\nnote: new\n{text.format(220 * slower)}")
    (folder / "budgets.yaml").write_text(
        "version: 1\nmodels: [{name: net, path: net.fake.yaml, device: cuda}]\n"
        f"workload: {{seed: {seed}}}\nrules: [{rules}]\n"
    )
    against = f"file:{folder / 'baseline.fake.yaml'}"
    return gate.check(gate.Request(str(folder / "budgets.yaml"), against=against, environ={"CI": "true"}), NOW)


def outcome(verdict: Verdict, rule: str) -> Any:
    (found,) = [one for one in verdict.outcomes if one.rule == rule]
    return found


def metered(found: Any) -> float:
    return sum(launch.took for launch in found.measured["net"].launches if launch.windows)


@pytest.mark.parametrize("severity", ["fail", "warn"])
def test_energy_that_is_open_goes_on_whatever_latency_says(severity: str, tmp_path: Path) -> None:
    """Each has a time of its own: a latency that fails or seems to takes none of energy's."""
    alone = checked(tmp_path, ENERGY, seed=3, noise="2%", spread="4%")
    beside = checked(
        tmp_path,
        f"{ENERGY}, {LATENCY[:-1]}, severity: {severity}}}",
        slower=1.04,
        seed=3,
        noise="2%",
        spread="4%",
    )
    assert outcome(alone.verdict, "energy").status is Status.PASS
    assert outcome(beside.verdict, "energy").status is Status.PASS
    assert metered(beside) == pytest.approx(metered(alone), rel=0.05)


def test_a_worker_that_breaks_while_a_first_look_goes_on_leaves_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was good before it, and nothing is measured anew as if it had not been."""
    real, told = fake._launch, []

    def launch(costs: Any, job: Any) -> Any:
        told.append(job)
        if len(told) == 7:  # the first that goes on
            raise WorkerFailed("it was killed by SIGSEGV", "")
        return real(costs, job)

    monkeypatch.setattr(fake, "_launch", launch)
    found = checked(tmp_path, LATENCY, slower=226.4 / 220, seed=1, noise="0%", spread="1%")
    assert len(told) == 7
    assert outcome(found.verdict, "lat").status is Status.INCONCLUSIVE
    assert "SIGSEGV" in outcome(found.verdict, "lat").reason


def test_a_spoiled_launch_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three launches fit into the share of 240 s, and two of them judge nothing while time is left."""
    seen: list[int] = []

    def faults(*_: object) -> dict[str, str]:
        seen.append(1)
        return {"nvml:GPU-fake": "1 other process computed on nvml:GPU-fake"} if len(seen) == 2 else {}

    monkeypatch.setattr(fake_meters.FakeBench, "faults", faults)
    found = checked(tmp_path, ENERGY, noise="0.3%")
    assert outcome(found.verdict, "energy").status is Status.PASS
    assert len(found.measured["net"].launches) >= 4


def test_launches_that_are_all_spoiled_but_two_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def faults(*_: object) -> dict[str, str]:
        seen.append(1)
        return {"nvml:GPU-fake": "1 other process computed on nvml:GPU-fake"} if len(seen) > 2 else {}

    monkeypatch.setattr(fake_meters.FakeBench, "faults", faults)
    found = outcome(checked(tmp_path, ENERGY, noise="0.3%").verdict, "energy")
    made = len(seen)
    assert found.status is Status.INCONCLUSIVE
    assert f"2 of {made} launches can be used, 3 are needed" in found.reason
    seconds = int("".join(one for one in found.help.partition(" s with")[0] if one.isdigit()))
    assert seconds > 240, "no less than was given"


def board() -> Trial:
    found = profile_file.load(gzip.decompress(BOARD.read_bytes()).decode(), BOARD.name)
    assert isinstance(found, Trial)
    return found


@pytest.mark.parametrize(
    ("looks", "edge", "status"),
    [
        ((5,), 0.05, Status.INCONCLUSIVE),
        ((3, 5), 0.05, Status.FAIL),
        ((3, 5), 0.07, Status.INCONCLUSIVE),  # beyond at 95 %, not at 99 %
    ],
)
def test_what_a_board_gave_in_four_minutes_is_decided(looks: tuple[int, ...], edge: float, status: Status) -> None:
    """An H100, +10 % of real work under +5 %: no launch was left to confirm what all five together said."""
    comparison = compare_trial(replace(board(), looks=looks))["gpu_energy_per_1k"]
    span = Span("budgets.yaml", 1)
    limit = Limit("max_increase", edge, f"{edge:.0%}", span)
    rule = Rule("energy", "gpu_energy_per_1k", (limit,), span)
    found = judge_limit(limit, rule, comparison, Context("ci", strict=True))
    assert found.status is status, found.reason
