"""Accepting a baseline, and merging jobs, where the budget names a reference machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greengate.cli import door, output

NET = "fake: 1\nsize: 10 MB\nlatency: 10 ms\nnoise: 2%\n"
BUDGET = """version: 1
models:
  - {name: net, path: net.fake.yaml}
reference: {hardware: HARDWARE}
rules:
  - {metric: size, max: 20 MB}
  - {id: speed, metric: latency_p50, max: 1 ms}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "environment", dict)
    (tmp_path / "net.fake.yaml").write_text(NET)
    return tmp_path


def budget(hardware: str) -> None:
    Path("budgets.yaml").write_text(BUDGET.replace("HARDWARE", f'"{hardware}"'))


def run(*arguments: str) -> int:
    return door.run(list(arguments))


def measured_on(name: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Write a profile of the model as another machine would have made it."""
    assert run("profile", "net", "-o", name) == 0
    raw = json.loads(Path(name).read_text())
    change(raw)
    Path(name).write_text(json.dumps(raw))
    return name


def another(raw: dict[str, Any]) -> None:
    raw["hardware"]["cpu"] = "Reference CPU"


def static(raw: dict[str, Any]) -> None:
    for name, found in raw["measurements"].items():
        if name.startswith(("latency", "cpu_time", "throughput", "peak", "load")) and "value" in found:
            raw["measurements"][name] = {"reason": "not here", "kind": "skipped", "help": ""}
    raw["launches"], raw["looks"] = [], []


def test_a_baseline_is_accepted_on_the_reference_hardware(here: Path) -> None:
    budget("fake*")
    assert run("baseline", "accept", "--reason", "first") == 0
    assert len(list(here.rglob("0001.json"))) == 1


def test_elsewhere_it_is_refused_at_the_budgets_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget("Reference*")
    assert run("baseline", "accept", "--reason", "first") == 2
    said = capsys.readouterr().err
    assert "error[not-accepted]: net: the reference hardware is 'Reference*', this was measured on fake CPU" in said
    assert "--> budgets.yaml:4:" in said
    assert "--anywhere" in said
    assert list(here.rglob("0001.json")) == []


def test_unless_told_otherwise_or_measured_there(here: Path) -> None:
    budget("Reference*")
    assert run("baseline", "accept", "--reason", "first", "--anywhere") == 0
    assert run("baseline", "accept", "--reason", "there", "--profile", measured_on("there.json", another)) == 0
    assert len(list(here.rglob("0*.json"))) == 2


def test_merged_jobs_are_judged_by_the_machine_of_each_metric(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The hosted runner counts, the reference times: neither speaks for the other."""
    budget("Reference*")
    timed, counted = measured_on("a-timed.json", another), measured_on("b-counted.json", static)
    assert run("check", "--against", "none", "--strict", "--profile", counted, timed) == 1
    assert run("check", "--against", "none", "--strict", "--profile", timed, counted) == 1
    capsys.readouterr()
    budget("Nobody's")
    assert run("check", "--against", "none", "--strict", "--profile", timed, counted) == 3
    assert "the reference hardware is" in " ".join(capsys.readouterr().out.split())
