"""Where a change comes from, from the command line: compare, check, explain, profile --layers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nouns
import numpy as np
import pytest
import realmodels

from greengate import profile_file
from greengate.budget import WorkerLimits
from greengate.cli import door, output
from greengate.layers import outline
from greengate.profile import Input, Layer, Profile
from greengate.profiler import exact
from greengate.report.outline import render

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
    asked = "sha256:" + hashlib.sha256(b"{}").hexdigest()  # a budget that says nothing of its workload
    workload = replace(made.workload, inputs=(Input("x", "float32", (1, 4), "synthesised"),), asked=asked)
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


# --- real networks, counted by running them --------------------------------------------------------

DIGITS = Path(__file__).parents[2] / "examples/digits"


def network(path: Path, *, inner: int = 16, prefix: str = "", named: bool = True, blocks: int = 4) -> None:
    """Write a network of equal blocks, each of an attention and a feed-forward part that is `inner` wide."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for index in range(blocks):
        block = f"{prefix}/encoder/layer.{index}"
        for part, rows, columns in (("attention/query", 8, 8), ("ffn/up", 8, inner), ("ffn/down", inner, 8)):
            name = f"{block}/{part}"
            values = rng.standard_normal((rows, columns), np.float32)
            weights.append(numpy_helper.from_array(values, f"{name}.weight"))
            nodes.append(
                helper.make_node("MatMul", [last, f"{name}.weight"], [name], f"{name}/MatMul" if named else "")
            )
            last = name
    nodes.append(helper.make_node("Relu", [last], ["y"], f"{prefix}/head/Relu" if named else ""))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def compared(here: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what `compare` says of where old.onnx became new.onnx, a line a metric."""
    (here / "budgets.yaml").unlink()
    assert run("compare", "old.onnx", "new.onnx", "--static-only") == 0
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("where  ") for line in lines if line.startswith("where  ")]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"inner": 24}, "100 % in encoder/layer.0-3/ffn"),
        ({"inner": 24, "prefix": "/model/net"}, "100 % in model/net/encoder/layer.0-3/ffn"),
        ({"blocks": 5}, "100 % in encoder/layer.4 (new)"),
        ({"blocks": 2}, "100 % in encoder/layer.2-3 (removed)"),
    ],
)
def test_the_part_of_a_real_network_that_changed_is_named(
    change: dict[str, Any], place: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(here / "old.onnx")
    network(here / "new.onnx", **change)
    macs = next(line for line in compared(here, capsys) if line.startswith("MACs"))
    assert macs.endswith(f": {place}")


@pytest.mark.parametrize("change", [{"prefix": "/model/net"}, {"named": False}])
def test_a_real_network_that_was_only_renamed_changed_nowhere(
    change: dict[str, Any], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(here / "old.onnx")
    network(here / "new.onnx", **change)
    found = compared(here, capsys)
    assert all(line.startswith("Size") and line.endswith(": outside the layers that ran") for line in found)


def test_check_names_the_layers_of_the_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, source in (("old.onnx", "models/digits.onnx"), ("m.onnx", "candidates/wider.onnx")):
        shutil.copy(DIGITS / source, here / name)
    assert run("check", "--against", "file:old.onnx", "--static-only") == 1
    assert "where  MACs +45.7 KMAC: 85 % in layer1, 13 % in layer0, 1 % in layer2\n" in capsys.readouterr().out


def test_profile_shows_the_layers_of_the_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(DIGITS / "models/digits.onnx", here / "m.onnx")
    assert run("profile", "m.onnx", "--static-only", "--layers") == 0
    tree = capsys.readouterr().out.partition("share of all MACs")[2].splitlines()
    shown = [line.split()[0] for line in tree if line.startswith("layer")]
    assert shown == ["layer", "layer1", "layer0", "layer2"]


@pytest.mark.network
@pytest.mark.parametrize("name", ["magika-v3", "silero-half", "ocr-det"])
def test_a_tree_of_a_public_model_sums_to_its_macs_and_fits_a_screen(name: str) -> None:
    model = realmodels.REAL_MODELS[name]
    subject = exact.Subject(name, str(realmodels.fetch(name)), name, model.workload)
    found = exact.count(subject, WorkerLimits(), "2026-11-23T00:00:00Z")
    assert outline(found.layers).sums.macs == model.macs
    lines = render(found).splitlines()
    assert 8 <= len(lines) <= 46
    assert all(len(line) <= 100 for line in lines)
