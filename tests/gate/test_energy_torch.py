"""Energy of PyTorch models: real workers, counters simulated as a file tree of known watts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import needs
import pytest

needs.package("torch")
needs.package("transformers")

from greengate import energy, estimate  # noqa: E402
from greengate.budget import WorkerLimits  # noqa: E402
from greengate.generation import Generation  # noqa: E402
from greengate.profile import InputSpec, Launch, Measurement, WorkloadSpec  # noqa: E402
from greengate.profiler import metering  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.exact import Subject  # noqa: E402
from greengate.profiler.jobs import Doing, EnergyJob, Ran  # noqa: E402
from greengate.profiler.meters.bench import Energy, opened  # noqa: E402

WATTS = 68.0
WRITER = """from transformers import GPT2Config, GPT2LMHeadModel
def make():
    config = GPT2Config(vocab_size=97, n_positions=64, n_embd=8, n_layer=1, n_head=1, bos_token_id=1, eos_token_id=2)
    return GPT2LMHeadModel(config)
"""
LINEAR = "from torch import nn\ndef make(): return nn.Linear(4, 3)\n"


def metered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subject: Subject, kinds: Sequence[Doing]) -> Launch:
    """Return one launch beside counters that a thread moves at known watts."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "profiler" / "meters"))
    import fakes

    tree = fakes.Tree(tmp_path / "powercap", fakes.SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path / "powercap"))
    monkeypatch.setattr(metering, "LEAST", dict.fromkeys(metering.LEAST, 0.4))
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})

    def run(job: EnergyJob) -> Ran:
        return backend.run(job, WorkerLimits(timeout=120))

    both = {"baseline": subject, "candidate": subject}
    try:
        with opened(Energy()) as bench:
            for _ in range(3):  # where the machine is busy the writer is held up, and the meter says so
                launch, said = metering.meter(run, bench, both, 1, together=True, kinds=kinds)  # type: ignore[arg-type]
                if not launch.faults:
                    break
    finally:
        tree.stop()
        thread.join()
    assert launch.faults == {}, said
    assert launch.devices == ("cpu",)
    return launch


@pytest.mark.parametrize(
    ("code", "spec", "kinds"),
    [
        (LINEAR, WorkloadSpec(inputs=(InputSpec("input", (1, 4)),)), ("inference",)),
        (WRITER, WorkloadSpec(batch_size=2, generate=Generation(8, 16)), ("inference", "generation")),
    ],
    ids=["inference", "text"],
)
def test_joules_are_watts_by_time(
    code: str, spec: WorkloadSpec, kinds: Sequence[Doing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "powercap").mkdir()
    (tmp_path / "own.py").write_text(code)
    subject = Subject("own", str(tmp_path / "own:make"), "own:make", spec)
    launch = metered(tmp_path, monkeypatch, subject, kinds)
    assert len(launch.windows) == 4 * len(kinds)
    for window in launch.windows:
        assert bool(window.tokens) == (launch.windows.index(window) >= 4)
        assert window.tokens == (16 * window.items if window.tokens else 0)
        assert window.items % spec.batch_size == 0
    for metric, of in (("energy_per_1k", "items"), ("energy_per_1k_tokens", "tokens")):
        windows = [one for one in launch.windows if bool(one.tokens) == (of == "tokens") and one.role == "candidate"]
        found = energy.per_thousand(launch, "candidate", metric)
        assert len(found) == len(windows) == (2 if of == "items" or "generation" in kinds else 0)
        for window, joules in zip(windows, found, strict=True):
            assert joules == pytest.approx(1000 * WATTS * window.ns * 1e-9 / getattr(window, of), rel=0.1)
    told = estimate.measure([launch] * 4, "candidate", "energy_per_1k", spec.batch_size)
    assert isinstance(told, Measurement)
    assert "2 windows: powercap:package-0" in told.detail


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        (["energy_per_1k"], ("inference",)),
        (["gpu_energy_per_1k", "cpu_energy_per_1k"], ("inference",)),
        (["energy_per_1k_tokens"], ("generation",)),
        (["energy_per_1k_tokens", "energy_per_1k"], ("inference", "generation")),
        ([], ()),
    ],
)
def test_only_what_is_asked_for_runs(wanted: list[str], kinds: tuple[str, ...]) -> None:
    assert metering.doings(wanted) == kinds


def teardown_module() -> None:
    sys.modules.pop("own", None)
