"""The gate on two releases of a real classifier, and on one release against itself written again."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from realmodels import fetch

BUDGET = """version: 1
models:
  - {name: magika, path: candidate.onnx}
rules:
  - {metric: size, max_increase: 10%}
  - {metric: latency_p50, max_increase: 10%}
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    (tmp_path / "old.onnx").write_bytes(fetch("magika-v1").read_bytes())
    return tmp_path


def check(folder: Path, *more: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "greengate", "check", "--against", "file:old.onnx", "--report", "json=-", *more]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ran.returncode, json.loads(ran.stdout)


@pytest.mark.network
def test_the_newer_release_is_too_big(old: Path) -> None:
    (old / "candidate.onnx").write_bytes(fetch("magika-v3").read_bytes())
    code, said = check(old, "--static-only")
    assert code == 1
    rules = said["rules"]
    assert isinstance(rules, list)
    size = rules[0]
    assert (size["metric"], size["status"], size["at"]) == ("size", "fail", "budgets.yaml:5:5")
    assert size["baseline"]["value"] == 1055295
    assert size["candidate"]["value"] == 3163737
    assert size["change"]["low"] == size["change"]["high"] == pytest.approx(3163737 / 1055295 - 1)
    assert (size["limit"], size["method"]) == ("max_increase: 10%", "read")


@pytest.mark.network
def test_the_same_network_written_again_never_fails(old: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(old / "old.onnx")
    model.doc_string = "the same network, written again"
    (old / "candidate.onnx").write_bytes(model.SerializeToString(deterministic=True))
    assert (old / "candidate.onnx").read_bytes() != (old / "old.onnx").read_bytes()
    codes = []
    for _ in range(3):
        code, said = check(old)
        codes.append(code)
        # Equal networks are measured like any others.
        models = said["case"]["models"]  # type: ignore[index]
        assert models[0]["comparisons"]["latency_p50"]["change"]["launches"] >= 6
    assert 1 not in codes
    assert codes.count(0) >= 2  # on a machine disturbed enough, "cannot tell" is an honest answer


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    probe = Path(__file__).parents[2] / "greengate" / "profiler" / "probe.onnx"
    command = [sys.executable, "-m", "greengate", "doctor", str(probe), "--max-seconds", "4"]
    reading, writing = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing, cwd=tmp_path) as process:
        os.close(writing)
        shown = b""
        try:
            while chunk := os.read(reading, 4096):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        out, _ = process.communicate(timeout=60)
    os.close(reading)
    assert b"launch 1" in shown
    assert b"s left" in shown
    assert b"launch 1" not in out
    silent = subprocess.run(command, capture_output=True, cwd=tmp_path, check=True, timeout=60)
    assert silent.stderr == b""
