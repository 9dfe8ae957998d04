"""The benchmark for GPUs, as far as it can be tested without one: its networks, how it searches, what it tells."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import needs
import pytest

needs.package("torch")

import torch  # noqa: E402

from greengate import estimate, profile_file  # noqa: E402
from greengate.profile import Missing, Trial  # noqa: E402
from greengate.profiler.jobs import Sampled  # noqa: E402

HOME = Path(__file__).parents[1] / "benchmarks"
GOLDEN = Path(__file__).parent / "golden"


def loaded(name: str) -> ModuleType:
    spec = util.spec_from_file_location(f"benchmark_{name}", HOME / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return loaded("gpu")


@pytest.mark.parametrize(("name", "params"), [("resnet50", 25_557_032), ("bert_384", 109_482_240)])
def test_the_networks_have_the_published_sizes(name: str, params: int) -> None:
    net = getattr(loaded("gpu_nets"), name)()
    assert sum(item.numel() for item in net.parameters()) == params
    assert all(item.isfinite().all() for item in net.state_dict().values())


@pytest.mark.parametrize("name", ["small_resnet50", "small_bert"])
def test_extra_work_depends_on_the_input_and_leaves_the_answer_alone(name: str, gpu: ModuleType) -> None:
    nets = loaded("gpu_nets")
    _, item, most = gpu.SMALL[name]
    given = torch.randint(most, (1, *item)) if most else torch.rand(1, *item)
    torch.manual_seed(0)
    (plain,) = getattr(nets, name)().eval()(given)
    nets.EXTRA = 16
    torch.manual_seed(0)
    answer, extra = getattr(nets, name)().eval()(given)
    assert torch.equal(answer, plain)
    assert extra.shape == (128, 16)
    assert extra.abs().max() > 0


def test_copies_of_the_code_differ_in_the_width_alone(gpu: ModuleType, tmp_path: Path) -> None:
    folders = [gpu.code(tmp_path, "base", 0), gpu.code(tmp_path, "+10%", 48)]
    assert [folder.name for folder in folders] == ["base", "plus10"]
    before, after = (folder.joinpath("nets.py").read_text().splitlines() for folder in folders)
    assert [(one, other) for one, other in zip(before, after, strict=True) if one != other] == [
        ("EXTRA = 0  # base", "EXTRA = 48  # +10%")
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--device", "cpu"],
        ["--small"],
        ["--device", "cpu", "--small", "--folder", str(HOME / "results")],
        *([] if torch.cuda.is_available() else [[]]),
    ],
)
def test_nothing_pretends_to_be_a_boards(arguments: list[str], gpu: ModuleType) -> None:
    with pytest.raises(SystemExit) as caught:
        gpu.asked(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("per_column", [0.00002, 0.0001, 0.002])
def test_the_width_of_a_change_is_found(per_column: float, gpu: ModuleType, tmp_path: Path) -> None:
    """A stand-in takes so much longer for each column; the network itself takes 10 ms."""
    options = gpu.asked(["--device", "cpu", "--small", "--folder", str(tmp_path)])

    def run(job: Any, _: object) -> Sampled:
        def wall(path: str) -> tuple[int, ...]:
            (line,) = [line for line in (Path(path).parent / "nets.py").read_text().splitlines() if "EXTRA = " in line]
            return (round(1e7 * (1 + per_column * int(line.split()[2]))),) * 20

        return Sampled({role: {"wall": wall(path), "cpu": wall(path)} for role, path in job.paths.items()}, 1.0)

    gpu.torch_session = SimpleNamespace(run=run)
    less, most = gpu.calibrate(options, "small_bert", tmp_path)
    assert [one["change"] for one in (less, most)] == ["+5%", "+10%"]
    for found in (less, most):
        assert found["columns"] % 16 == 0
        assert found["true"] == pytest.approx(found["columns"] * per_column, abs=1e-6)
    assert most["true"] == pytest.approx(0.10, rel=0.1) or most["columns"] == 32
    assert most["columns"] == pytest.approx(2 * less["columns"], abs=16)


MACHINE = {
    "kind": "machine",
    "board": "Some Board",
    "cpu": "Some CPU",
    "cores": 16,
    "system": "Linux 6.1",
    "torch": "2.13.0",
    "date": "2026-11-26",
    "revision": "0123456789ab",
    "small": False,
}


def compared(change: str, status: str, low: float | None, high: float = 0.0) -> dict[str, Any]:
    interval = {"reason": "no launch fitted"} if low is None else {"low": low, "high": high, "value": (low + high) / 2}
    return {"kind": "comparison", "model": "bert", "change": change, "status": status, "seconds": 40.0} | interval


RECORDS = [
    MACHINE,
    MACHINE,
    {
        "kind": "model",
        "model": "bert",
        "batch": 32,
        "macs": 11174215680.0,
        "params": None,
        "boards": ["Some Board, {}"],
    },
    {"kind": "truth", "model": "bert", "change": "+5%", "true": 0.051, "half_width": 0.002, "columns": 64},
    compared("same", "pass", -0.01, 0.01),
    compared("same", "inconclusive", 0.002, 0.04),
    compared("+5%", "fail", 0.04, 0.06),
    compared("+5%", "inconclusive", None),
]


def test_the_table_is_told_from_the_records_alone(gpu: ModuleType, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / "gpu_benchmark.md", "\n".join(gpu.table(RECORDS)))


def test_a_trial_run_says_that_it_is_one(gpu: ModuleType) -> None:
    told = "\n".join(gpu.table([MACHINE | {"small": True}]))
    assert "no figure here says anything of a GPU" in told


def test_cells_are_filled_in_turn(gpu: ModuleType) -> None:
    rows: list[dict[str, Any]] = []
    for _ in range(7):
        model, change, index = gpu.emptiest(rows, ["a", "b"])
        rows.append({"kind": "comparison", "model": model, "change": change, "index": index})
    told = [(one["change"], one["model"], one["index"]) for one in rows]
    assert told[:6] == [(change, model, 0) for change in gpu.CHANGES for model in ("a", "b")]
    assert told[6] == ("same", "a", 1)


def test_records_are_read_back(gpu: ModuleType, tmp_path: Path) -> None:
    raw = tmp_path / "gpu.jsonl"
    assert gpu.records(raw) == []
    for one in RECORDS:
        gpu.append(raw, one)
    assert gpu.records(raw) == json.loads(json.dumps(RECORDS))
    assert gpu.widths(gpu.records(raw)) == {("bert", "+5%"): 64}


# --- what a real board gave -----------------------------------------------------------------------------------------


def test_the_results_are_told_from_their_records(gpu: ModuleType) -> None:
    told = "\n".join(gpu.table(gpu.records(HOME / "results" / "gpu.jsonl"))) + "\n"
    assert told == (HOME / "results" / "gpu.md").read_text()


def compared_there() -> list[tuple[str, dict[str, Any]]]:
    """Every comparison with the name of its trial: those of a kind are numbered in the order of the records."""
    rows = (json.loads(line) for line in (HOME / "results" / "gpu.jsonl").read_text().splitlines())
    found: list[tuple[str, dict[str, Any]]] = []
    for one in (one for one in rows if one["kind"] == "comparison"):
        kind = f"{one['model']}{one['change'].replace('%', '')}"
        found.append((f"{kind}-{sum(name.startswith(f'{kind}-') for name, _ in found)}.json.gz", one))
    return found


def test_every_trial_that_was_kept_has_its_comparison() -> None:
    kept = (HOME / "results" / "gpu-trials").iterdir()
    assert {path.name for path in kept} == {name for name, _ in compared_there()}


@pytest.mark.parametrize(("name", "said"), compared_there(), ids=[name for name, _ in compared_there()])
def test_the_raw_samples_of_a_comparison_still_give_its_interval(name: str, said: dict[str, Any]) -> None:
    """Whoever doubts a verdict of the board can do so from what was kept of it."""
    text = gzip.decompress((HOME / "results" / "gpu-trials" / name).read_bytes()).decode()
    trial = profile_file.load(text, name)
    assert isinstance(trial, Trial)
    assert [*trial.looks] == said["launches"]
    found = estimate.change(trial.launches, "latency_p50", trial.candidate.workload)
    if "low" not in said:
        assert isinstance(found, Missing)
        return
    assert not isinstance(found, Missing)
    assert [found.value, found.low, found.high] == pytest.approx([said["value"], said["low"], said["high"]], rel=1e-6)
    assert all("H100" in board.name for board in trial.candidate.hardware.gpus)
