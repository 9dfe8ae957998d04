"""The example is what its script makes, and the demo holds the gate to three exit codes."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DIGITS = ROOT / "examples/digits"


@pytest.fixture(scope="module")
def train():
    """The training script, as a module."""
    spec = importlib.util.spec_from_file_location("digits_train", DIGITS / "train.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def example(tmp_path):
    """A copy of the example that a test may change."""
    skip = shutil.ignore_patterns("last.json", "__pycache__")
    return Path(shutil.copytree(DIGITS, tmp_path / "digits", ignore=skip))


def test_committed_files_are_what_the_script_makes(train):
    assert train.check(train.load()) == []


@pytest.mark.parametrize("path", ["README.md", "heldout.npz", "candidates/slimmer.onnx"])
def test_check_sees_a_file_that_is_not(train, example, monkeypatch, path):
    monkeypatch.setattr(train, "HERE", example)
    monkeypatch.setattr(train, "NETWORKS", train.NETWORKS[1:2])  # one network is enough to see it
    data = train.load()
    (example / "README.md").write_text(train._readme(train.table(_files(train, example), data)))
    assert train.check(data) == []
    _spoil(train, example / path)
    assert next(line.split(":")[0].split()[0] for line in train.check(data)) == path


def _files(train, example):
    return {network.path: (example / network.path).read_bytes() for network in train.NETWORKS}


def _spoil(train, path):
    if path.suffix == ".md":
        path.write_text(path.read_text().replace("of 360)", "of 361)"))
    elif path.suffix == ".npz":
        data = train.load()
        train.np.savez_compressed(path, images=data.images, labels=data.labels[::-1])
    else:
        layers = train.read_layers(path.read_bytes())
        path.write_bytes(train.to_onnx([(weights * 1.01, bias) for weights, bias in layers]))


def test_same_layers_give_the_same_bytes(train):
    content = (DIGITS / "models/digits.onnx").read_bytes()
    assert train.to_onnx(train.read_layers(content)) == content


def test_held_out_images_are_not_trained_on(train):
    data = train.load()
    assert (len(data.train_images), len(data.images)) == (1437, 360)
    known = {image.tobytes() for image in data.train_images}
    assert sum(image.tobytes() in known for image in data.images) == 0


def run_demo(folder: Path, gate: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GREENGATE": str(gate)}
    return subprocess.run(
        [folder / "demo.sh"], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_demo_ends_with_three_verdicts(example, tmp_path):
    gate = script(tmp_path / "gate", f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m greengate "$@"')
    done = run_demo(example, gate)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:3] for line in done.stdout.splitlines()[-3:]] == [
        ["exit", "0", "pass"],
        ["exit", "1", "fail"],
        ["exit", "3", "inconclusive"],
    ]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("answers", ["0 0 3", "0 1 0", "1 1 3", "0 70 3", "2 1 3"])
def test_demo_fails_when_the_gate_answers_otherwise(example, tmp_path, answers):
    body = f'n=$(cat "{tmp_path}/n" 2>/dev/null || echo 1); echo $((n + 1)) > "{tmp_path}/n"\n'
    gate = script(tmp_path / "gate", f'{body}exit $(echo {answers} | cut -d" " -f$n)')
    done = run_demo(example, gate)
    assert done.returncode == 1
    assert "error: the demo expected exit code" in done.stderr


def test_demo_passes_when_the_gate_answers_as_it_should(example, tmp_path):
    body = f'n=$(cat "{tmp_path}/n" 2>/dev/null || echo 1); echo $((n + 1)) > "{tmp_path}/n"\n'
    gate = script(tmp_path / "gate", f'{body}exit $(echo 0 1 3 | cut -d" " -f$n)')
    assert run_demo(example, gate).returncode == 0
