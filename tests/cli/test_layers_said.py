"""Where a change comes from, from the command line: compare, check, explain, profile --layers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nouns
import pytest

from greengate import profile_file
from greengate.cli import door, output
from greengate.profile import Input, Layer, Profile

BUDGET = """version: 1
models:
  - {name: m, path: m.onnx}
rules:
  - {id: compute, metric: macs, max_increase: 5%}
"""


def layers(wide: int = 100) -> list[Layer]:
    blocks = [f"/encoder/layer.{index}/{part}/MatMul" for index in range(12) for part in ("attention", "ffn")]
    inner = [Layer(name, "MatMul", wide if "ffn" in name else 50, 10, 40, 8) for name in blocks]
    return [*inner, Layer("/head/Gemm", "Gemm", 10 * wide, 10, 40, 8)]


def profiled(found: Sequence[Layer]) -> Profile:
    counts = {"macs": sum(one.macs or 0 for one in found), "params": sum(one.params for one in found)}
    made = nouns.profile({name: nouns.exact(float(count)) for name, count in counts.items()}, layers=tuple(found))
    workload = replace(made.workload, inputs=(Input("x", "float32", (1, 4), "synthesised"),))
    return replace(made, workload=workload)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a budget and two profiles of a network whose feed-forward part and head were widened."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "environment", dict)
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    (tmp_path / "old.json").write_text(profile_file.dump_profile(profiled(layers())))
    (tmp_path / "new.json").write_text(profile_file.dump_profile(profiled(layers(wide=200))))
    return tmp_path


def run(*arguments: str) -> int:
    return door.run(list(arguments))


def test_compare_says_where(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "old.json", "new.json") == 0
    assert "where  MACs +2.20 KMAC: 55 % in encoder/layer.0-11/ffn, 45 % in head\n" in capsys.readouterr().out


def test_a_trial_says_where(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (profile_file.read(here / name) for name in ("old.json", "new.json"))
    assert isinstance(old, Profile)
    assert isinstance(new, Profile)
    (here / "trial.json").write_text(profile_file.dump_trial(nouns.trial((), old, new)))
    assert run("check", "--profile", "trial.json") == 1
    assert "55 % in encoder/layer.0-11/ffn" in capsys.readouterr().out


def test_check_says_where_and_explain_says_it_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = ["--report", "terminal=-", "--report", "json=said.json", "--report", "markdown=said.md"]
    assert run("check", "--profile", "new.json", "--against", "profile:old.json", *reports) == 1
    assert "where  MACs +2.20 KMAC: 55 % in encoder/layer.0-11/ffn, 45 % in head\n" in capsys.readouterr().out
    assert "- MACs +2.20 KMAC: 55 % in `encoder/layer.0-11/ffn`, 45 % in `head`\n" in (here / "said.md").read_text()
    assert run("explain", "compute", "--from", "said.json") == 0
    assert "  where      +2.20 KMAC: 55 % in encoder/layer.0-11/ffn" in capsys.readouterr().out


def test_a_verdict_carries_the_result_and_no_layers(here: Path) -> None:
    run("check", "--profile", "new.json", "--against", "profile:old.json", "--report", "json=said.json")
    text = (here / "said.json").read_text()
    (model,) = json.loads(text)["case"]["models"]
    assert model["comparisons"]["macs"]["where"] == [
        {"path": "encoder/layer.0-11/ffn", "delta": 1200.0, "share": 1200 / 2200, "kind": "changed"},
        {"path": "head", "delta": 1000.0, "share": 1000 / 2200, "kind": "changed"},
    ]
    assert model["comparisons"]["params"]["where"] == []
    assert "Gemm" not in text


def test_profile_prints_a_tree_only_when_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "net.fake.yaml").write_text("fake: 1\nmacs: 300 MMAC\n")
    assert run("profile", "net.fake.yaml", "--static-only") == 0
    assert "layers" not in capsys.readouterr().out
    assert run("profile", "net.fake.yaml", "--static-only", "--layers") == 0
    assert capsys.readouterr().out.endswith("\n\nthe layers of this model are not known\n")
