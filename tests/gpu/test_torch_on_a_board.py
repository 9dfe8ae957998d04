"""PyTorch on a real NVIDIA board: the same counts as on the CPU, a paired trial, memory, what does not fit.

Skipped, counted and named where there is no board; they run on the torch found there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import needs
import pytest
from needs import ABSENT

needs.package("torch")

import torch  # noqa: E402
from nouns import WORKLOAD  # noqa: E402

from greengate import estimate  # noqa: E402
from greengate.profile import InputSpec, Launch, Measurement, Missing, WorkloadSpec  # noqa: E402
from greengate.profiler.backends import torch_session  # noqa: E402
from greengate.profiler.jobs import Counted, CountJob, FootprintJob, LaunchJob, Sampled, WorkerFailed  # noqa: E402

if not torch.cuda.is_available():
    pytest.skip(f"{ABSENT}NVIDIA GPU (continuous integration has none either)", allow_module_level=True)

WIDE = (InputSpec("input", (64, 1024)),)
CODE = """from torch import nn
def make(): return nn.Sequential(*[nn.Linear(1024, 1024, bias=False) for _ in range(LAYERS)])
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    torch.cuda.empty_cache()


def made(layers: int) -> str:
    folder = Path(f"layers{layers}")
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(CODE.replace("LAYERS", str(layers)))
    return str((folder / "own:make").absolute())


def spec(device: str = "cuda", inputs: tuple[InputSpec, ...] = WIDE) -> WorkloadSpec:
    return WorkloadSpec(batch_size=64, inputs=inputs, device=device, precision="bf16")


def test_counts_are_those_of_the_cpu() -> None:
    found = [torch_session.run(CountJob(made(4), spec(device)), lambda _: None) for device in ("cuda", "cpu")]
    for metric in ("macs", "params"):
        there, here = (one.measurements[metric] for one in found if isinstance(one, Counted))
        assert isinstance(there, Measurement)
        assert isinstance(here, Measurement)
        assert there.value == here.value == 4 * 1024**2


def test_a_trial_finds_the_extra_work_and_equal_models_equal() -> None:
    launches = []
    for seed in range(6):
        paths = {"baseline": made(20), "candidate": made(24), "control": made(20)}
        job = LaunchJob(paths, tuple(paths), spec(), seed, 0.5, 10, 200)  # type: ignore[arg-type]
        found = torch_session.run(job, lambda _: None)
        assert isinstance(found, Sampled)
        launches.append(Launch(seed, job.order, found.samples, found.seconds))
    change, noise = estimate.change(launches, "latency_p50", WORKLOAD), estimate.noise(launches, "latency_p50")
    assert not isinstance(change, Missing)
    assert noise is not None
    assert change.low > 0
    assert abs(noise.value) < change.value


def test_the_footprint_holds_at_least_the_weights() -> None:
    found = torch_session.run(FootprintJob(made(8), spec(), 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"]["peak"][0] >= 8 * 2 * 1024**2


def test_what_does_not_fit_is_said() -> None:
    rows = 2 * torch.cuda.get_device_properties(0).total_memory // (2 * 1024)
    folder = Path("huge")
    folder.mkdir()
    (folder / "own.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Linear):\n"
        f"    def forward(self, input): return super().forward(input[:1].expand({rows}, 1024).contiguous())\n"
        "def make(): return Net(1024, 1024)\n"
    )
    job = LaunchJob({"candidate": str((folder / "own:make").absolute())}, ("candidate",), spec(), 0, 0.1, 4, 40)
    with pytest.raises(WorkerFailed, match="out of memory") as caught:
        torch_session.run(job, lambda _: None)
    assert caught.value.out_of_memory
