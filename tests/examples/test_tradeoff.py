"""The founding sentence on real models: refused, approved, refused again once the model was trained anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLE = ROOT / "examples" / "tradeoff"


@pytest.fixture
def counted(tmp_path):
    """greengate with a counter of energy whose truth is known: so many joules an operation."""
    path = tmp_path / "counted"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "{HERE / "counted.py"}" "$@"\n')
    path.chmod(0o755)
    return path


def demo(gate: Path) -> list[str]:
    """Run the demo; return what each of its checks said, lines joined. Each ends with its exit code."""
    environ = {key: value for key, value in os.environ.items() if key not in ("CI", "GITHUB_ACTIONS", "GITLAB_CI")}
    done = subprocess.run(
        [EXAMPLE / "demo.sh"],
        check=False,
        env=environ | {"GREENGATE": str(gate), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (EXAMPLE / ".greengate").exists(), "the demo works in a copy"
    # Lines break where the terminal ends.
    return [" ".join(check.split()) for check in done.stdout.split("$ greengate check")[1:]]


@pytest.mark.system("git")
def test_energy_is_refused_approved_and_refused_again_exactly_on_a_counter(counted):
    """24,000 operations instead of 12,928: the counter says +85.6 %, not about as much."""
    first, approved, again = demo(counted)
    row, twin = "energy Energy per 1k 0.0718 uWh 0.133 uWh +85.6 %", "compute FLOPs 25.9 KFLOP 48.0 KFLOP +85.6 %"
    assert f"FAIL {row}" in first
    assert f"FAIL {twin}" in first
    assert "energy of digits: +85.6 % [+85.6, +85.6] is beyond the limit of +5.0 %, confirmed" in first
    assert "look; nobody approved it" in first
    assert f"TRADED {row}" in approved
    assert f"TRADED {twin}" in approved
    assert "+85.6 % of energy_per_1k is paid for by accuracy: +9.7 pp" in approved
    assert "approved by lead@example.org" in approved
    assert f"FAIL {row}" in again
    assert f"FAIL {twin}" in again
    assert "the approval of lead@example.org does not count: it approves the candidate sha256:" in again
    assert "≈ 0." not in first + approved + again, "a counter is no estimate"
    assert ["exit code 1" in first, "exit code 0" in approved, "exit code 1" in again] == [True] * 3


@pytest.mark.parametrize("answers", ["1 0 1", "0 0 1", "1 1 1", "1 0 0", "1 3 1", "70 0 1"])
def test_the_demo_holds_the_gate_to_its_answers_and_passes_options_on(tmp_path, answers):
    heard = tmp_path / "heard"
    body = f'[ "$1" = check ] || exit 0\necho "$@" >> "{heard}"\nn=$(wc -l < "{heard}")\n'
    gate = tmp_path / "gate"
    gate.write_text(f"#!/bin/sh\n{body}exit $(echo {answers} | cut -d' ' -f$n)\n")
    gate.chmod(0o755)
    done = subprocess.run(
        [EXAMPLE / "demo.sh", "--static-only", "--quiet"],
        env=os.environ | {"GREENGATE": str(gate)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    held = answers == "1 0 1"
    assert done.returncode == (0 if held else 1)
    assert ("error: the demo expected exit code" in done.stderr) is not held
    assert {line.rpartition(" ")[0] for line in heard.read_text().splitlines()} == {"check --static-only --quiet"}
