"""A drift from the store to the report: twenty accepted steps, none of them beyond its own limit."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from greengate.cli import door, output

START = datetime.datetime(2026, 9, 1, 12, tzinfo=datetime.UTC)
BUDGET = """version: 1
models:
  - {name: net, path: net.fake.yaml}
rules:
  - {id: compute, metric: macs, max_increase: 1%, max_drift: {limit: 12%, over: 90 d}}
"""


def net(kilos: float) -> str:
    return f"fake: 1\nsize: 10 MB\nparams: 2 M\nmacs: {kilos:.4f} KMAC\nactivation_memory: 4 MB\nlatency: 10 ms\n"


def run(*arguments: str) -> int:
    return door.run(list(arguments))


def test_twenty_small_steps_fail_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "environment", dict)
    Path("budgets.yaml").write_text(BUDGET)
    codes = []
    for step in range(20):
        monkeypatch.setattr(output, "clock", lambda day=step: START + datetime.timedelta(days=4 * day))
        Path("net.fake.yaml").write_text(net(1000 * 1.009**step))
        codes.append(run("check", "--static-only", "--report", "json=said.json"))
        if step == 0:
            why = ["--reason", "first"]
        elif codes[-1] == 0:
            why = []
        else:
            break
        assert run("baseline", "accept", "--max-seconds", "3", *why) == 0
    # 1.009^12 is 1.1135, 1.009^13 is 1.1235: the step that passes 12 % since the first one fails.
    assert codes == [3, *[0] * 12, 1]
    (case,) = json.loads(Path("said.json").read_text())["case"]["models"]
    assert [version["version"] for version in case["past"]] == list(range(1, 14))
    capsys.readouterr()
    assert run("explain", "compute") == 0
    said = capsys.readouterr().out
    assert "+12.4 % is beyond the limit of +12.0 % since version 1 of 2026-09-01" in said
    assert "max_drift: 12% in 90 d" in said
    assert run("baseline", "accept", "--max-seconds", "3", "--reason", "the larger head is worth it") == 0
    Path("net.fake.yaml").write_text(net(1000 * 1.009**14))
    assert run("check", "--static-only") == 0
