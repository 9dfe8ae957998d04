"""Nothing that measures or judges opens a socket: whole commands, with all they start, where the kernel allows none.

A C program (tests/no_sockets.c) has the kernel hand it every socket() of the command, its workers and whatever else
runs below it; it refuses and writes down who asked. So an attempt is seen though whoever made it swallows the error.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import needs
import pytest

pytestmark = [
    pytest.mark.system("gcc"),
    pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's"),
]

SOURCE = Path(__file__).parents[1] / "no_sockets.c"
DIGITS = Path(__file__).parents[2] / "examples" / "digits"

#: A command of greengate with windows of energy that are short, so that a test need not wait for what they hold.
GREENGATE = """
import sys
from greengate.profiler import metering
from greengate.profiler.meters.carbon import Codecarbon
metering.LEAST, metering.IDLE = dict.fromkeys(metering.LEAST, 0.3), 0.1
Codecarbon.every = 0.02
from greengate.cli import door
sys.exit(door.run(sys.argv[1:]))
"""

#: What a change could add to a repository, and what of it codecarbon would do by itself: ask, post, and triple joules.
HOSTILE = """[codecarbon]
pue = 3.0
emissions_endpoint = http://127.0.0.1:9/post
electricitymaps_api_token = token
country_2letter_iso_code = FR
output_methods = csv,api,prometheus
output_dir = no-such-folder
rapl_prefer_psys = true
"""

Run = Callable[[Sequence[str]], tuple[int, str, list[str]]]


@pytest.fixture(scope="module")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("watcher") / "no_sockets"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(built), str(SOURCE)], check=True)
    return built


@pytest.fixture
def run(watcher: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return run(command): its exit code, what it said, and a line for every socket that somebody asked for."""

    def watched(command: Sequence[str]) -> tuple[int, str, list[str]]:
        told = tmp_path / "asked.txt"
        environ = {name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS")}
        environ |= {"GREENGATE_POWERCAP": "/nowhere", "CODECARBON_PUE": "5", "CODECARBON_SAVE_TO_API": "1"}
        # A folder of its own for what is temporary: the lock of who measures lies there.
        environ |= {"TMPDIR": str(tmp_path_factory.mktemp("own"))}
        done = subprocess.run(
            [str(watcher), str(told), *command],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode not in (97, 98, 99), f"the command could not be watched: {done.stdout}"
        return done.returncode, done.stdout, told.read_text().splitlines()

    return watched


@pytest.mark.parametrize(
    ("opens", "family"),
    [
        ("socket.socket(socket.AF_INET)", 2),
        ("socket.socket(socket.AF_INET6)", 10),
        ("socket.socket(socket.AF_UNIX)", 1),
        ("socket.socketpair()", 1),
        ("socket.getaddrinfo('example.invalid', 80)", 2),
    ],
)
def test_an_attempt_is_seen_though_it_is_swallowed_and_made_by_a_grandchild(opens: str, family: int, run: Run) -> None:
    swallowing = f"import socket\ntry: {opens}\nexcept OSError: print('refused')"
    starting = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {swallowing!r}]); sys.exit(7)"
    code, said, asked = run([sys.executable, "-c", starting])
    assert (code, said) == (7, "refused\n")
    assert any(line.startswith(f"family {family} ") for line in asked)


def test_what_a_training_drew_is_estimated_without_a_socket(run: Run, tmp_path: Path) -> None:
    """Codecarbon's settings are not its user's here: not the folder's, not the environment's."""
    needs.package("codecarbon")
    (tmp_path / ".codecarbon.config").write_text(HOSTILE)
    code, said, asked = run([sys.executable, "-m", "greengate", "track", "-o", "t.json", "--", "sleep", "0.6"])
    assert asked == [], said
    assert code == 0, said
    record = json.loads((tmp_path / "t.json").read_text())
    assert [domain["id"] for domain in record["domains"]] == ["codecarbon:cpu"]
    assert {path.name for path in tmp_path.iterdir()} == {".codecarbon.config", "asked.txt", "t.json"}


BUDGET = """version: 1
models: [{name: digits, path: slimmer.onnx, inputs: {from: heldout.npz}}]
rules:
  - {metric: size, max: 10 MB}
  - {metric: flops, max_increase: 10%}
  - {metric: latency_p50, max_increase: 900%}
  - {metric: peak_memory, max: 10 GB}
  - {metric: energy_per_1k, max_increase: 900%, allow_estimated: true}
  - {metric: co2e_per_1k, max_increase: 900%, allow_estimated: true}
carbon: {country: FRA}
"""


def test_a_whole_check_opens_no_socket(run: Run, tmp_path: Path) -> None:
    """ONNX in workers, times, memory, energy by codecarbon, every report; then what is made of the verdict."""
    needs.package("codecarbon")
    for name in ("candidates/slimmer.onnx", "models/digits.onnx", "heldout.npz"):
        shutil.copy(DIGITS / name, tmp_path)
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    (tmp_path / ".codecarbon.config").write_text(HOSTILE)
    greengate = [sys.executable, "-c", GREENGATE]
    check = [*greengate, "check", "--against", "file:digits.onnx", "--max-seconds", "2", "--energy-seconds", "6"]
    reports = [f"--report={kind}={kind}.out" for kind in ("terminal", "json", "markdown", "junit", "codequality")]
    code, said, asked = run([*check, *reports])
    assert asked == [], said
    assert code in (0, 3), said  # a busy machine measures too little in so short a time
    (model,) = json.loads((tmp_path / "json.out").read_text())["case"]["models"]
    assert any("idle with both models loaded: codecarbon:cpu" in note for note in model["notes"]), said
    for more in (["verify", "json.out"], ["doctor"]):
        code, said, asked = run([*greengate, *more])
        assert asked == [], said
        assert code in (0, 3), said


def test_profiling_a_pytorch_model_opens_no_socket(run: Run, tmp_path: Path) -> None:
    needs.package("torch")
    (tmp_path / "own.py").write_text("from torch import nn\ndef make(): return nn.Linear(8, 8)\n")
    (tmp_path / "budgets.yaml").write_text(
        "version: 1\nmodels: [{name: net, path: 'own:make', inputs: {input: {shape: [1, 8], dtype: float32}}}]\n"
        "rules: [{metric: params, max: 1 K}]\n"
    )
    code, said, asked = run([sys.executable, "-m", "greengate", "profile", "net", "--max-seconds", "1", "-o", "p.json"])
    assert asked == [], said
    assert code == 0, said
    assert json.loads((tmp_path / "p.json").read_text())["measurements"]["params"]["value"] == 72
