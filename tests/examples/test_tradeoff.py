"""The founding sentence on real models: refused, approved, refused again once the model was trained anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "tradeoff"


@pytest.mark.system("git")
def test_the_demo_is_refused_approved_and_refused_again():
    command = Path(sys.executable).with_name("greengate")
    environ = {key: value for key, value in os.environ.items() if key not in ("CI", "GITHUB_ACTIONS", "GITLAB_CI")}
    done = subprocess.run(
        [EXAMPLE / "demo.sh"],
        check=False,
        env=environ | {"GREENGATE": str(command)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = [line for line in done.stdout.splitlines() if line.startswith("exit code")]
    assert seen == ["exit code 1", "exit code 0", "exit code 1"]
    said = " ".join(done.stdout.split())  # lines break where the terminal ends
    assert "nobody approved it" in said
    assert "approved by lead@example.org" in said
    assert "it approves the candidate sha256:" in said
    assert not (EXAMPLE / ".greengate" / "approvals").exists(), "the demo works in a copy"
