from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate import estimate
from greengate.budget import WorkerLimits
from greengate.profiler.meters import Row
from greengate.profiler.meters.bench import Energy
from greengate.profiler.trial import silent
from greengate.stats import Estimate
from greengate.tasks.doctor import _energy, _metered, _runtimes, decidable, examine

sys.path.insert(0, str(Path(__file__).parents[1] / "profiler" / "meters"))
from fakes import SERVER, Tree


def measured(half: float, launches: int = 6) -> Estimate:
    return Estimate(0.0, -half, half, launches)


@pytest.mark.parametrize(
    ("launch_seconds", "seconds", "possible"), [(1.0, 10, True), (2.0, 10, True), (3.0, 10, False), (3.0, 60, True)]
)
def test_three_launches_must_fit_into_the_first_look(launch_seconds: float, seconds: float, possible: bool) -> None:
    assert (decidable(measured(0.01), launch_seconds, seconds) is not None) is possible


def test_by_hand() -> None:
    # 36 s for the first look hold 6 launches of 6 s: the same half-width as measured, and twice that is the limit.
    found = decidable(measured(0.02, launches=6), 6.0, 60)
    assert found == pytest.approx(math.expm1(0.04))


def test_no_time_buys_more_launches_than_a_trial_makes() -> None:
    most = decidable(measured(0.02), 1.0, 64 / estimate.FIRST_SHARE + 0.1)
    assert decidable(measured(0.02), 1.0, 300) == decidable(measured(0.02), 1.0, 3000) == most
    assert decidable(measured(0.02), 1.0, 60) != most


@given(st.floats(0.0001, 0.2), st.integers(3, 40), st.floats(0.1, 3))
def test_more_time_decides_smaller_limits(half: float, launches: int, launch_seconds: float) -> None:
    limits = [decidable(measured(half, launches), launch_seconds, seconds) for seconds in (10, 60, 300)]
    told = [limit for limit in limits if limit is not None]
    assert told == sorted(told, reverse=True)


def test_a_loud_model_has_a_higher_floor(tmp_path: object) -> None:
    from pathlib import Path

    def floor(noise: str) -> float:
        path = Path(str(tmp_path)) / "m.fake.yaml"
        path.write_text(f"fake: 1\nnoise: 1%\nlaunch_noise: {noise}\n")
        (line,) = [one for one in examine(str(path), 60, silent).splitlines() if "latency_p50" in one]
        return float(line.split()[1])

    assert floor("5%") > 3 * floor("0.5%")


def test_what_breaks_is_said_not_measured(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "m.fake.yaml"
    path.write_text("fake: 1\nbreaks: 'launch: the worker was killed'\n")
    assert "not measured: the worker was killed" in examine(str(path), 60, silent)


def test_every_domain_is_listed_with_its_reason_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path, SERVER)
    (tree.root / "intel-rapl:0:1" / "energy_uj").write_text("none\n")
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path))
    thread = tree.run({"intel-rapl:0": 55.0})
    try:
        said = dict(line.strip().split("  ", 1) for line in _energy(Energy()) if line.startswith("  "))
    finally:
        tree.stop()
        thread.join()
    assert re.search(r"yes: processor package.*counter, 5\d(\.\d)? W now, changes every", said["powercap:package-0"])
    assert "contains the packages" in said["psys"]
    assert "part of its package" in said["core"]
    assert "cannot be read" in said["dram-0"]
    assert "pip install" in said["AMD"] or "amd-smi" in said["AMD"]
    assert any(name in said for name in ("NVIDIA", "nvml:GPU-fake-1"))
    assert "allow_estimated: true" in said["cpu-time"]


def test_a_model_of_energy_that_breaks_is_listed_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: Any = SimpleNamespace(discover=lambda: 1 // 0, close=lambda: None)
    row = Row("codecarbon", "", lambda: broken, estimates=True)
    monkeypatch.setattr("greengate.tasks.doctor.METERS", {"codecarbon": row})
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    (said,) = [line for line in _energy(Energy()) if line.strip().startswith("codecarbon")]
    assert "no: looking for it failed: ZeroDivisionError" in said


def test_counters_that_stand_still_are_listed_with_the_command_that_tells_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tree(tmp_path, SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path))
    said = dict(line.strip().split("  ", 1) for line in _energy(Energy()) if line.startswith("  "))
    assert "frozen" in said["powercap:package-0"]
    assert "; `sudo grep . /sys/class/powercap/*/energy_uj`, twice, shows" in said["powercap:package-0"]
    assert "no command mends that: name an external meter" in said["powercap:package-0"]
    assert "; nothing is to be done: memory whose counter never changes" in said["powercap:dram-0"]


def test_the_log_that_the_budget_names_is_one_of_the_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    monkeypatch.chdir(tmp_path)
    Path("m.fake.yaml").write_text("fake: 1\n")
    assert "power log" not in examine("m.fake.yaml", 60, silent)
    budget = "version: 1\nmodels: [{name: m, path: m.fake.yaml}]\nrules: [{metric: size, max: 2 MB}]\n"
    Path("budgets.yaml").write_text(budget + "energy: {power_log: logs/meter.csv}\n")
    said = examine("m.fake.yaml", 60, silent, "budgets.yaml")
    (line,) = [line for line in said.splitlines() if "power log" in line]
    assert re.search(r"power log +no: logs/meter.csv cannot be read: No such file .*; start the meter's log", line)


def test_a_log_that_is_too_slow_for_a_comparison_is_told_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    log = tmp_path / "meter.csv"
    log.write_text("".join(f"{time.time() - 90 + 3 * k:.1f},50\n" for k in range(30)))
    said = "\n".join(_energy(Energy(log=str(log)), WorkerLimits(timeout=100)))
    assert "yes: external meter, meter.csv; metered, 50 W now, changes every 3.0 s" in said
    assert "3 launches take at least 608 s of 240 s, a worker's job 204 s of 100 s" in said
    assert "give --energy-seconds 1114 and `worker: {timeout: 307 s}` in the budget, or let the meter" in said


def test_a_budget_with_mistakes_does_not_keep_the_machine_s_counters_from_being_told(tmp_path: Path) -> None:
    path = tmp_path / "budgets.yaml"
    path.write_text("version: 9\n")
    assert _metered(str(path)) == _metered(None) == Energy()


@pytest.mark.system("valgrind")
def test_valgrind_is_said_to_count_instructions() -> None:
    (line,) = [line for line in _runtimes() if "instructions" in line]
    assert re.search(r"instructions  valgrind \d+\.\d+", line)


def test_without_valgrind_the_command_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dnf").write_text("#!/bin/sh\n")
    (tmp_path / "dnf").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = [line for line in _runtimes() if "instructions" in line]
    assert line == "  instructions  no: valgrind is not installed; dnf install valgrind"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return installed(name, ...): what is said of runtimes where these distributions alone are installed."""

    def lines(*names: str) -> list[str]:
        for name in names:
            folder = tmp_path / f"{name.replace('-', '_')}-1.2.3.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        return [line for line in _runtimes() if "instructions" not in line]

    return lines


def test_a_runtime_that_is_installed_is_said_to_measure_its_models(installed: Callable[..., list[str]]) -> None:
    told = [line.split() for line in installed("onnxruntime", "torch", "onnxscript")[1:]]
    assert told == [
        ["ONNX", "onnxruntime", "1.2.3"],
        ["PyTorch", "torch", "1.2.3"],
        ["export", "onnxscript", "1.2.3"],
    ]


def test_the_build_for_gpus_measures_onnx_models_too(installed: Callable[..., list[str]]) -> None:
    told = installed("onnxruntime-gpu")
    assert told[1].split() == ["ONNX", "onnxruntime-gpu", "1.2.3"]
    assert told[2].endswith("no: torch is not installed; pip install 'greengate-ci[torch]'")
    assert not any("note" in line for line in told)


def test_builds_that_overwrite_each_other_are_found(installed: Callable[..., list[str]]) -> None:
    """By what is installed, not by what is in the folder: that is the last one's alone."""
    told = installed("onnxruntime-gpu", "onnxruntime")
    assert told[1].split() == ["ONNX", "onnxruntime", "1.2.3,", "onnxruntime-gpu", "1.2.3"]
    (note,) = [line for line in told if "note" in line]
    assert "onnxruntime and onnxruntime-gpu lie in one folder" in note
    assert "pip uninstall --yes onnxruntime onnxruntime-gpu, then install the one" in note
