"""Energy on a real NVIDIA board: the counter ticks, agrees with the board's power, and finds real extra work.

Skipped, counted and named where there is no board. benchmarks/gpu_energy.py measures how well it does so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import needs
import pytest
from needs import ABSENT

needs.package("torch")
needs.package("pynvml")

import torch  # noqa: E402
from nouns import WORKLOAD  # noqa: E402

from greengate import energy, estimate  # noqa: E402
from greengate.budget import WorkerLimits  # noqa: E402
from greengate.power import Domain  # noqa: E402
from greengate.profile import InputSpec, Launch, Missing, WorkloadSpec  # noqa: E402
from greengate.profiler import metering  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.exact import Subject  # noqa: E402
from greengate.profiler.meters.bench import Energy, Meters, opened  # noqa: E402
from greengate.profiler.meters.nvml import Nvml  # noqa: E402

if not torch.cuda.is_available():
    pytest.skip(f"{ABSENT}NVIDIA GPU (continuous integration has none either)", allow_module_level=True)

#: These run on the torch and onnxruntime found there, whose warnings are theirs.
pytestmark = pytest.mark.filterwarnings("default")

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import gpu_energy  # noqa: E402


@pytest.fixture
def meter() -> Iterator[tuple[Nvml, Domain]]:
    with gpu_energy.opened() as found:
        yield found


@pytest.fixture
def loads() -> Iterator[gpu_energy.Processes]:
    made = gpu_energy.Processes("cuda")
    yield made
    made.close()


def test_the_counter_ticks_and_follows_the_load(meter: tuple[Nvml, Domain], loads: gpu_energy.Processes) -> None:
    watts = {}
    for load in ("idle", "compute"):
        loads.set(load)
        time.sleep(1.0)
        trace = gpu_energy.follow(*meter, seconds=3.0)
        assert len(trace.changes) >= 15, "at least every 200 ms"
        watts[load], seconds = trace.reading(meter[1])
        assert seconds > 2.0
        power = gpu_energy.integrated([(ns, instant or average) for ns, instant, average in trace.watts])
        assert watts[load] == pytest.approx(power, rel=0.25), "the counter and the sensor mean the same board"
    assert watts["compute"] > 1.5 * watts["idle"]


def test_a_stranger_on_the_board_is_a_fault(loads: gpu_energy.Processes) -> None:
    loads.set("compute")
    with opened(Energy()) as bench:
        board = [one for one in bench.absent if one.what.startswith("nvml:")]
        assert any("computes on it" in one.reason for one in board), "another process was there when it was calibrated"


def test_extra_work_costs_more_joules_and_equal_models_the_same(tmp_path: Path) -> None:
    """Three launches of three models in windows as the gate has them; a quarter more work is a quarter more joules."""
    spec = WorkloadSpec(
        batch_size=64, inputs=(InputSpec("input", (1, 4096), "float32"),), device="cuda", precision="bf16"
    )
    subjects = {}
    for role, layers in (("baseline", 40), ("candidate", 50), ("control", 40)):
        (tmp_path / role).mkdir()
        (tmp_path / role / "own.py").write_text(gpu_energy.CODE.format(layers=layers))
        subjects[role] = Subject(role, str(tmp_path / role / "own:make"), "own:make", spec)
    launches: list[Launch] = []
    with opened(Energy()) as bench:
        assert isinstance(bench, Meters)
        for index in range(3):
            launch, said = metering.meter(
                lambda job: backend.run(job, WorkerLimits()),
                bench,
                subjects,  # type: ignore[arg-type]
                index,
                together=True,
            )
            assert launch.faults == {}, said
            launches.append(launch)
    assert energy.parts(launches[0], "gpu_energy_per_1k")
    change = estimate.change(launches, "gpu_energy_per_1k", WORKLOAD)
    assert not isinstance(change, Missing)
    assert 0.15 < change.value < 0.35
    noise = estimate.noise(launches, "gpu_energy_per_1k")
    assert noise is not None
    assert abs(noise.value) < 0.05
