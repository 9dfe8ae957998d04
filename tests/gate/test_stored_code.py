"""Models made by code against their stored versions, end to end: what is measured is what was accepted, or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import needs
import pytest
from repository import Repository

needs.package("torch")

import torch  # noqa: E402

from greengate.cli import door, output  # noqa: E402

NET = "from torch import nn\ndef build(width=64): return nn.Linear(width, width)\n"
SIZED = (
    "import json, pathlib\nfrom torch import nn\n"
    "def build(): return nn.Linear(*json.loads(pathlib.Path(__file__).with_name('sizes.json').read_text()))\n"
)

STEPS = """import json, pathlib
from torch import nn
def read(name): return json.loads(pathlib.Path(__file__).with_name(name).read_text())
def build():
    layer = nn.Linear(*read("sizes.json"))
    return nn.Sequential(*[layer] * read("steps.json"))
"""


def budget(metric: str, recipe: str = "", width: int = 64) -> str:
    entry = f"name: net, path: net:build, {recipe}inputs: {{input: {{shape: [1, {width}], dtype: float32}}}}"
    return f"version: 1\nmodels:\n  - {{{entry}}}\nrules:\n  - {{metric: {metric}, max_increase: 5%}}\n"


def weights(path: Path, width: int = 64, dtype: torch.dtype = torch.float32) -> None:
    torch.save({"weight": torch.zeros(width, width, dtype=dtype), "bias": torch.zeros(width, dtype=dtype)}, path)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repo = Repository(tmp_path / "repo")
    repo.write("net.py", NET)
    monkeypatch.chdir(repo.folder)
    monkeypatch.setattr(output, "environment", dict)
    return repo


def accept(repo: Repository) -> None:
    assert door.run(["profile", "net", "--static-only", "-o", "net.json"]) == 0
    assert door.run(["baseline", "accept", "--profile", "net.json", "--reason", "first"]) == 0
    repo.commit()


def judged(code: int) -> dict[str, Any]:
    assert door.run(["check", "--static-only", "--report", "json=said.json"]) == code
    (model,) = json.loads(Path("said.json").read_text())["case"]["models"]
    found: dict[str, Any] = model["comparisons"]
    return found


def test_a_stored_model_is_not_measured_with_the_candidates_weights(repo: Repository) -> None:
    repo.write("budgets.yaml", budget("size", "weights: w.pth, "))
    weights(repo.folder / "w.pth")
    accept(repo)
    assert judged(0)["size"]["change"]["value"] == 0
    weights(repo.folder / "w.pth", dtype=torch.float64)
    assert judged(1)["size"]["change"]["value"] > 0.5


def test_a_stored_model_is_not_measured_with_the_candidates_arguments(repo: Repository) -> None:
    repo.write("budgets.yaml", budget("params"))
    accept(repo)
    assert judged(0)["params"]["change"]["value"] == 0
    repo.write("budgets.yaml", budget("params", "args: {width: 80}, ", 80))
    assert judged(1)["params"]["change"]["value"] > 0.5


def test_stored_numbers_stand_in_for_code_that_cannot_be_run_as_it_was(repo: Repository) -> None:
    repo.write("budgets.yaml", budget("size", "weights: w.pth, "))
    weights(repo.folder / "w.pth")
    accept(repo)
    weights(repo.folder / "w.pth", 80)  # the arguments that these take do not fit the weights of before
    repo.write("budgets.yaml", budget("size", "weights: w.pth, args: {width: 80}, ", 80))
    assert judged(1)["size"]["change"]["value"] > 0.4


def test_stored_code_is_not_measured_with_other_files_than_it_was(repo: Repository) -> None:
    """What code reads beside itself is in no digest; here it is in no commit either."""
    repo.write("net.py", STEPS)
    repo.write("sizes.json", "[64, 64]")
    repo.write("steps.json", "1")
    repo.write(".gitignore", "*.json\n")
    repo.write("budgets.yaml", budget("macs"))
    accept(repo)
    repo.write("steps.json", "3")
    assert judged(1)["macs"]["change"]["value"] > 0.5
    repo.write("steps.json", "1")
    repo.write("sizes.json", "[80, 80]")
    repo.write("budgets.yaml", budget("params", width=80))
    assert judged(1)["params"]["change"]["value"] > 0.5


def test_stored_numbers_stand_in_for_code_that_lacks_a_file_it_reads(repo: Repository) -> None:
    repo.write("net.py", SIZED)
    repo.write("sizes.json", "[64, 64]")
    repo.write(".gitignore", "sizes.json\n")
    repo.write("budgets.yaml", budget("size", "weights: w.pth, "))
    weights(repo.folder / "w.pth")
    accept(repo)
    weights(repo.folder / "w.pth", dtype=torch.float64)
    assert judged(1)["size"]["change"]["value"] > 0.5
