"""What was measured elsewhere is held against the budget: what was asked for, and the very files."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greengate import gate, profile_file
from greengate.errors import GreengateError
from greengate.verdict import Status

NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
BUDGET = "version: 1\nmodels:\n  - {{name: net, path: {path}{more}}}\nrules: [{{metric: size, max: 1 MB}}]\n"
FAKE = "fake: 1\nsize: 10 kB\n"


def asking(path: str = "net.fake.yaml", more: str = "") -> None:
    Path("budgets.yaml").write_text(BUDGET.format(path=path, more=f", {more}" if more else ""))


def check(*profiles: str) -> gate.Checked:
    return gate.check(gate.Request(against="none", static_only=True, profiles=profiles), NOW)


def measured() -> str:
    """Measure as a job of a matrix does, and leave the file behind."""
    (found,) = check().measured.values()
    text = profile_file.dump_profile(found)  # type: ignore[arg-type]
    Path("part.json").write_text(text)
    return "part.json"


def refused(file: str) -> list[str]:
    with pytest.raises(GreengateError) as caught:
        check(file)
    assert {one.code for one in caught.value.diagnostics} == {"profile-mismatch"}
    return [one.message for one in caught.value.diagnostics]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.fake.yaml").write_text(FAKE)
    for name, value in (("a", 1.0), ("b", 2.0)):
        np.savez(f"{name}.npz", x=np.full((3, 1, 4), value, np.float32))
    return tmp_path


@pytest.mark.parametrize(
    "more",
    [
        "inputs: {x: {shape: [1, 64]}}",
        "inputs: {x: {shape: [1, 4], min: 0, max: 9}}",
        "inputs: {x: {value: 1}}",
        "inputs: {from: a.npz}",
        "device: cuda",
        "precision: bf16",
        "compile: true",
        "channels_last: true",
        "generate: {prompt_tokens: 8, new_tokens: 4}",
    ],
)
def test_another_workload_is_another_measurement(more: str) -> None:
    asking()
    plain = measured()
    assert check(plain).verdict.status is Status.PASS
    asking(more=more)
    assert refused(plain) == ["part.json ran with other inputs or settings than the budget asks for"]


def test_recorded_inputs_count_by_what_is_in_them() -> None:
    asking(more="inputs: {from: a.npz}")
    part = measured()
    Path("copy.npz").write_bytes(Path("a.npz").read_bytes())
    asking(more="inputs: {from: copy.npz}")
    assert check(part).verdict.status is Status.PASS, "the same inputs under another name"
    asking(more="inputs: {from: b.npz}")
    assert refused(part) == ["part.json ran with other inputs or settings than the budget asks for"]
    oid = hashlib.sha256(Path("a.npz").read_bytes()).hexdigest()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n"
    Path("pointer.npz").write_text(pointer.format(oid))
    asking(more="inputs: {from: pointer.npz}")
    assert check(part).verdict.status is Status.PASS, "a pointer of Git LFS speaks for its content"
    Path("pointer.npz").write_text(pointer.format("0" * 64))
    assert len(refused(part)) == 1
    asking(more="inputs: {from: gone.npz}")
    assert check(part).verdict.status is Status.PASS, "what is not at hand where parts are merged cannot be compared"
    asking()
    assert len(refused(part)) == 1


def test_trials_beside_different_baselines_do_not_belong_together() -> None:
    """Whichever came first would decide: the baseline moved while a matrix ran."""
    asking()
    for name, size in (("small", "5 kB"), ("large", "10 kB")):
        Path(f"{name}.fake.yaml").write_text(FAKE.replace("10 kB", size) + "note: before\n")
        request = gate.Request(against=f"file:{name}.fake.yaml", static_only=True)
        (found,) = gate.check(request, NOW).measured.values()
        Path(f"{name}.json").write_text(profile_file.dump_trial(found))  # type: ignore[arg-type]
        assert check(f"{name}.json").verdict.status is Status.PASS
    with pytest.raises(GreengateError) as caught:
        check("small.json", "large.json")
    assert [one.message for one in caught.value.diagnostics] == [
        "the trials of 'net' were held beside different baselines"
    ]


# --- the very files ---------------------------------------------------------------------------------------------------

CODE = "import torch\n\n\ndef make(wide: int = 2) -> torch.nn.Module:\n    return torch.nn.Linear(4, 2)\n"


def weights(width: float) -> None:
    import torch

    torch.manual_seed(round(width * 10))
    torch.save({"weight": torch.full((2, 4), width), "bias": torch.zeros(2)}, "w.pth")


def other_weights() -> None:
    weights(0.5)


def other_code() -> None:
    Path("net.py").write_text(CODE + "# another word\n")


def other_arguments() -> None:
    asking("net:make", "weights: w.pth, args: {wide: 3}, inputs: {input: {shape: [1, 4], dtype: float32}}")


def fewer_arguments() -> None:
    asking("net:make", "weights: w.pth, inputs: {input: {shape: [1, 4], dtype: float32}}")


@pytest.mark.parametrize("change", [other_weights, other_code, other_arguments, fewer_arguments])
def test_code_is_held_by_its_weights_its_modules_and_its_arguments(change: Callable[[], None]) -> None:
    pytest.importorskip("torch")
    Path("net.py").write_text(CODE)
    weights(1.0)
    asking("net:make", "weights: w.pth, args: {wide: 2}, inputs: {input: {shape: [1, 4], dtype: float32}}")
    part = measured()
    assert check(part).verdict.status is Status.PASS
    change()
    assert refused(part) == ["part.json measured another file than net:make holds now"]


def test_a_folder_is_held_by_what_lies_in_it(here: Path) -> None:
    """Names of such files start in the folder itself."""
    from dataclasses import replace

    from greengate import files
    from greengate.profile import File

    asking()
    (found,) = check().measured.values()
    folder = here / "bert"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name)
    made = tuple(
        File(one.name, files.sha256(one).removeprefix("sha256:"), one.stat().st_size) for one in folder.iterdir()
    )
    told = replace(found, model=replace(found.model, path="bert", files=made))  # type: ignore[union-attr]
    Path("part.json").write_text(profile_file.dump_profile(told))  # type: ignore[arg-type]
    asking("bert")
    assert check("part.json").verdict.status is Status.PASS
    (folder / "model.safetensors").write_text("trained again")
    assert refused("part.json") == ["part.json measured another file than bert holds now"]
