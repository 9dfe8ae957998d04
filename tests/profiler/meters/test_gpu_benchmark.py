"""benchmarks/gpu_energy.py on the stand-in for NVIDIA's library, whose truth is known; and the replay of its traces."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import json
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import needs
import pytest

from greengate import energy, estimate, gate, profile_file
from greengate.power import Domain
from greengate.profile import Missing, Trial
from greengate.profiler.meters.ticks import Series
from greengate.verdict import Status

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
TRACES = sorted((Path(__file__).parent / "traces").glob("*.json"))
WATTS = {"idle": 60.0, "compute": 400.0, "memory": 250.0, "wave": 400.0}

sys.path.insert(0, str(BENCHMARKS))
import gpu_energy  # noqa: E402
import gpu_loads  # noqa: E402


class Knobs:
    """Puts work on the stand-in: its watts follow the environment. A wave draws 400 W, and 100 W in between."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def set(self, kind: str, period: float = 0.0, anchor: float = 0.0) -> int:
        del anchor
        os.environ["FAKE_NVML_WATTS"] = str(WATTS[kind])
        os.environ["FAKE_NVML_WAVE_MS"] = str(period * 1e3)
        self.said.append(kind)
        return 100


@pytest.fixture
def loads(board: pytest.MonkeyPatch) -> Iterator[Knobs]:
    board.setenv("FAKE_NVML_PERIOD_MS", "20")
    board.setenv("FAKE_NVML_WATTS", "60")  # so that they are put back
    board.setenv("FAKE_NVML_WAVE_MS", "0")
    yield Knobs()


@pytest.mark.system("gcc")
def test_tick_and_cost_of_a_read_are_measured_and_traces_saved(loads: Knobs, tmp_path: Path) -> None:
    found = gpu_energy.ticks(loads, 0.8, tmp_path)
    assert loads.said == ["idle", "compute", "idle"]
    for load, row in found.items():
        assert 15 < row["tick_ms"]["p50"] < 80, "20 ms, or a few of them where the machine is busy"
        assert 0 < row["read_us"]["p50"] <= row["read_us"]["p99"]
        assert row["watts"] == pytest.approx(WATTS[load], rel=0.1)
        trace = json.loads((tmp_path / "traces" / f"{load}.json").read_text())
        assert trace["load"] == load
        assert "Fake H100" in trace["machine"]
        assert replay(trace)[0] == pytest.approx(trace["found"]["watts"], rel=1e-9)
        assert (tmp_path / "traces" / f"{load}.json").stat().st_size < 20_000


@pytest.mark.system("gcc")
def test_the_counter_is_held_beside_integrated_power(loads: Knobs, board: pytest.MonkeyPatch, tmp_path: Path) -> None:
    board.setenv("FAKE_NVML_GAIN", "1.25")
    found = gpu_energy.beside(loads, 0.5, tmp_path)
    assert list(found) == ["idle", "compute", "memory"]
    for load, row in found.items():
        assert row["counter"] == pytest.approx(WATTS[load], rel=0.1)
        assert row["instant_ratio"] == pytest.approx(1 / 1.25, rel=0.1)
        assert row["average_ratio"] == pytest.approx(1 / 1.25, rel=0.1)


@pytest.mark.system("gcc")
def test_waves_run_at_every_period_and_phase(loads: Knobs, board: pytest.MonkeyPatch, tmp_path: Path) -> None:
    board.setattr(gpu_energy, "PERIODS", (0.04,))
    found = gpu_energy.phase(loads, 0.3, tmp_path, phases=2)
    assert list(found) == ["no wave", "40 ms"]
    assert found["no wave"]["watts"] == pytest.approx(400, rel=0.1)
    assert found["40 ms"]["watts"] == pytest.approx(250, rel=0.25), "half of the time on, a quarter of it in between"
    assert all(row["spread"] >= 0 for row in found.values())


class Files:
    """Models that say what they draw; the clock is the simulation's."""

    def written(self, folder: Path, more: float, batch: int, seed: int) -> str:
        for name, joules in (("old", 3.0), ("new", 3.0 * (1 + more))):
            text = f"fake: 1\nlatency: 10 ms\ngpu_energy: {joules!r} J\nwindow_noise: 0.3%\nnote: {name}\n"
            (folder / f"{name}.fake.yaml").write_text(text)
        budget = gpu_energy.BUDGET.format(path="new.fake.yaml", more=", device: cuda", batch=batch, seed=seed)
        (folder / "budgets.yaml").write_text(budget)
        return "file:old.fake.yaml"


def test_comparisons_go_on_where_they_ended_and_the_table_says_what_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_energy, "ROWS", {(0.10, 64): 1, (0.0, 64): 2})
    (first,) = gpu_energy.compare(Files(), -1.0, tmp_path)
    assert (first["more"], first["batch"], first["status"]) == (0.10, 64, "fail")
    rows = gpu_energy.compare(Files(), 5.0, tmp_path)
    assert rows[0] == first
    assert [one["status"] for one in rows[1:]] == ["pass", "pass"]
    assert [one["seed"] for one in rows] == [0, 0, 1]
    assert rows[1]["joules_per_1k"] == pytest.approx(3000 / 64, rel=0.05)
    (tmp_path / "compare.json").write_text(json.dumps({**gpu_energy.where(), "found": rows}))
    said = gpu_energy.table(tmp_path)
    assert "+10 %, batch 64: 1 of 1: 0 pass, 1 fail, 0 inconclusive" in said
    assert "Not measured: ticks." in said
    assert "Not measured: compare." not in said


@pytest.mark.parametrize("batch", [1, 64])
def test_models_of_the_board_take_the_batch_that_their_budget_names(batch: int, tmp_path: Path) -> None:
    """The gate reads them and runs them, on the processor."""
    needs.package("torch")
    against = gpu_energy.OnBoard().written(tmp_path, 0.10, batch, 0)
    budget = (tmp_path / "budgets.yaml").read_text().replace("device: cuda", "device: cpu")
    (tmp_path / "budgets.yaml").write_text(budget.replace("gpu_energy_per_1k", "macs"))
    for name in ("old", "new"):
        text = (tmp_path / name / "own.py").read_text()
        (tmp_path / name / "own.py").write_text(text.replace("4096", "64"))
    (tmp_path / "budgets.yaml").write_text((tmp_path / "budgets.yaml").read_text().replace("4096", "64"))
    with contextlib.chdir(tmp_path):
        request = gate.Request("budgets.yaml", against=against, static_only=True)
        verdict = gate.check(request, datetime.datetime.now(datetime.UTC)).verdict
    (outcome,) = verdict.outcomes
    assert outcome.status is Status.FAIL, "44 layers against 40 are 10 % more"


def test_one_comparison_of_each_kind_comes_before_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_energy, "ROWS", {(0.10, 64): 2, (0.0, 1): 1, (0.0, 64): 3})
    rows: list[dict[str, float]] = []
    while row := gpu_energy._fewest(rows):
        rows.append(dict(zip(("more", "batch", "seed"), row, strict=True)))
    assert [(one["more"], one["batch"], one["seed"]) for one in rows] == [
        *((0.10, 64, 0), (0.0, 1, 0), (0.0, 64, 0)),
        *((0.10, 64, 1), (0.0, 64, 1), (0.0, 64, 2)),
    ]


def test_what_was_measured_is_in_the_table(tmp_path: Path) -> None:
    spread = {"p5": 99.0, "p50": 100.0, "p95": 101.0, "p99": 102.0}
    row = {"changes": 60, "tick_ms": spread, "read_us": spread, "watts": 70.0}
    sides = {"counter": 70.0, "instant": 71.0, "average": 72.0, "instant_ratio": 0.986, "average_ratio": 0.972}
    one, other = ({"machine": f"Board {name}", "date": "2026-11-26"} for name in "AB")
    (tmp_path / "ticks.json").write_text(json.dumps({**one, "found": {"idle": row}}))
    (tmp_path / "beside.json").write_text(json.dumps({**other, "found": {"idle": sides}}))
    wave = {"100 ms": {"watts": 300.0, "spread": 0.031, "spread_a_call": 0.02}}
    (tmp_path / "phase.json").write_text(json.dumps({**one, "found": wave}))
    assert gpu_energy.main(["table", "--out", str(tmp_path)]) == 0
    said = (tmp_path / "gpu_energy.md").read_text()
    assert "ticks, phase on 2026-11-26: Board A.\n\nbeside on 2026-11-26: Board B.\n" in said
    for part in ("tick 100.00 ms (99.00 to 101.00)", "(ratio 0.986)", "wave 100 ms: 300.0 W, over phases 3.1 % apart"):
        assert part in said


@pytest.mark.system("gcc")
def test_nothing_is_written_as_a_result_where_no_board_is(loads: Knobs) -> None:
    del loads
    before = (gpu_energy.RESULTS / "gpu_energy" / "ticks.json").read_bytes()
    with pytest.raises(SystemExit, match="stand-in"):
        gpu_energy.main(["ticks"])
    assert (gpu_energy.RESULTS / "gpu_energy" / "ticks.json").read_bytes() == before


@pytest.mark.system("gcc")
def test_a_board_without_a_counter_ends_it_with_the_reason(loads: Knobs, board: pytest.MonkeyPatch) -> None:
    board.setenv("FAKE_NVML_MIG", "1")
    with pytest.raises(SystemExit, match="split by MIG"):
        gpu_energy.ticks(loads, 0.1, Path())


def test_the_load_works_as_it_is_told() -> None:
    """On the processor: the same code, with smaller matrices."""
    needs.package("torch")
    loads = gpu_energy.Processes("cpu")
    loads.set("compute")
    counts = [loads.set(kind, period=0.05) for kind in ("memory", "wave", "idle")]
    assert all(count >= 0 for count in counts)
    loads.close()


@pytest.mark.parametrize(
    ("now", "worked"), [(10.0, True), (10.04, True), (10.06, False), (10.101, True), (9.96, False)]
)
def test_a_wave_works_in_the_first_half_of_each_period(now: float, worked: bool) -> None:
    assert gpu_loads.on({"kind": "wave", "period": 0.1, "anchor": 10.0}, now) == worked
    assert gpu_loads.on({"kind": "compute"}, now)


# --- traces -----------------------------------------------------------------------------------------------------------


def replay(trace: dict[str, object]) -> tuple[float, float, Series]:
    """Give a saved trace to greengate's series, as its reader did; return watts and seconds."""
    told = trace["domain"]
    assert isinstance(told, dict)
    domain = Domain(about="", **told)
    changes = [(before, before + later, count) for before, later, count in trace["changes"]]  # type: ignore[attr-defined]
    series = gpu_energy.replayed(changes, domain)
    found = series.reading(0, changes[-1][1])
    assert found is not None
    return found.counts * domain.joules / (found.ns * 1e-9), found.ns * 1e-9, series


def test_there_are_traces() -> None:
    assert TRACES, "those of a real board belong here once one was measured"


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_recorded_trace_still_gives_the_same_joules(path: Path) -> None:
    trace = json.loads(path.read_text())
    watts, seconds, series = replay(trace)
    assert watts == pytest.approx(trace["found"]["watts"], rel=1e-9)
    assert seconds == pytest.approx(trace["found"]["seconds"], rel=1e-9)
    assert series.fault(0, 1 << 62) == ""
    if "Fake" in trace["machine"]:
        truth = {"idle": 60.0, "compute": 400.0}[trace["load"]]
        assert watts == pytest.approx(truth, rel=0.005)
        assert sorted(series.gaps())[len(series.gaps()) // 2] * 1e-9 == pytest.approx(0.02, rel=0.2)


# --- comparisons on a real board --------------------------------------------------------------------------------------

RESULTS = BENCHMARKS / "results" / "gpu_energy"
COMPARED = [json.loads(line) for line in (RESULTS / "compare.jsonl").read_text().splitlines()]
WITH_TRIAL = {
    f"{one['more'] * 100:+.0f}-{one['batch']}-{one['seed']}.json.gz": one for one in COMPARED if "change" in one
}


def kept(name: str) -> Trial:
    found = profile_file.load(gzip.decompress((RESULTS / "trials" / name).read_bytes()).decode(), name)
    assert isinstance(found, Trial)
    return found


def test_the_table_of_the_board_is_told_from_its_records() -> None:
    assert gpu_energy.table(RESULTS) == (RESULTS / "gpu_energy.md").read_text()


def test_every_comparison_that_told_a_change_kept_its_trial() -> None:
    assert {path.name for path in (RESULTS / "trials").iterdir()} == set(WITH_TRIAL)


@pytest.mark.parametrize("name", WITH_TRIAL)
def test_the_windows_of_a_comparison_still_give_its_intervals(name: str) -> None:
    """Whoever doubts a verdict of the board can do so from what was kept of it."""
    trial, said = kept(name), WITH_TRIAL[name]
    change = estimate.change(trial.launches, gpu_energy.METRIC, trial.candidate.workload)
    assert not isinstance(change, Missing)
    assert [change.value, change.low, change.high] == pytest.approx(said["change"], rel=1e-6)
    noise = estimate.noise(trial.launches, gpu_energy.METRIC)
    assert noise is not None
    assert [noise.value, noise.low, noise.high] == pytest.approx(said["control"], rel=1e-6)


def test_a_late_host_adds_what_the_board_draws_idly() -> None:
    """Where each call was waited for, joules follow time by the watts of the idle board: hence the blocks."""
    launches = kept("+10-64-0.json.gz").launches
    (idle,) = energy.idle_watts(launches).values()
    for roles in (("baseline", "control"), ("candidate",)):
        seconds, joules = [], []  # of a thousand items
        for launch in launches:
            for role in roles:
                seconds += [one.ns * 1e-6 / one.items for one in launch.windows if one.role == role]
                joules += energy.per_thousand(launch, role, gpu_energy.METRIC)
        assert statistics.linear_regression(seconds, joules).slope == pytest.approx(idle, rel=0.05)
