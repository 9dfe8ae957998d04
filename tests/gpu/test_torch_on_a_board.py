"""PyTorch on a real NVIDIA board: the same counts as on the CPU, a paired trial, memory, what does not fit.

Skipped, counted and named where there is no board; they run on the torch found there.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import needs
import pytest
from needs import ABSENT

needs.package("torch")

import torch  # noqa: E402
from nouns import WORKLOAD  # noqa: E402

from greengate import estimate  # noqa: E402
from greengate.budget import WorkerLimits  # noqa: E402
from greengate.generation import Generation  # noqa: E402
from greengate.profile import InputSpec, Launch, Measurement, Missing, WorkloadSpec  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.backends import torch_run, torch_session, torch_settings  # noqa: E402
from greengate.profiler.backends.torch_device import Board  # noqa: E402
from greengate.profiler.jobs import (  # noqa: E402
    Counted,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Refused,
    Sampled,
    WorkerFailed,
)
from greengate.recipe import NO_RECIPE  # noqa: E402

if not torch.cuda.is_available():
    pytest.skip(f"{ABSENT}NVIDIA GPU (continuous integration has none either)", allow_module_level=True)

#: These run on the torch and onnxruntime found there, whose warnings are theirs.
pytestmark = pytest.mark.filterwarnings("default")

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
    # A name of its own: here many jobs share a process, which keeps what it imported.
    (folder / f"own{layers}.py").write_text(CODE.replace("LAYERS", str(layers)))
    return str((folder / f"own{layers}:make").absolute())


def spec(device: str = "cuda", inputs: tuple[InputSpec, ...] = WIDE, **more: Any) -> WorkloadSpec:
    return WorkloadSpec(64, inputs=inputs, device=device, **({"precision": "bf16"} | more))


def test_counts_are_those_of_the_cpu() -> None:
    found = [torch_session.run(CountJob(made(4), spec(device)), lambda _: None) for device in ("cuda", "cpu")]
    for metric in ("macs", "params"):
        there, here = (one.measurements[metric] for one in found if isinstance(one, Counted))
        assert isinstance(there, Measurement)
        assert isinstance(here, Measurement)
        assert there.value == here.value == 4 * 1024**2


#: What a board runs by other operators than a processor: heads of 60 columns, which it pads to 64; a layer of cuDNN.
OTHERWISE = {
    "attention": (
        """
import torch
class Net(torch.nn.Module):
    def forward(self, input):
        heads = input[:, :960].view(1, 64, 16, 60).transpose(1, 2)
        return torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)
def make(): return Net()
""",
        "bf16",
        16 * 64 * 64 * (60 + 60),
    ),
    "recurrent": ("import torch\ndef make(): return torch.nn.LSTM(1024, 32)\n", None, 64 * 4 * 32 * (1024 + 32)),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_a_board_runs_otherwise_counts_the_same(name: str) -> None:
    text, precision, macs = OTHERWISE[name]
    Path(f"{name}_net.py").write_text(text)
    path = str(Path(f"{name}_net:make").absolute())
    for device in ("cuda", "cpu"):
        asked = spec(device, precision=precision)
        found = torch_session.run(CountJob(path, asked), lambda _: None)
        assert isinstance(found, Counted)
        counted = found.measurements["macs"]
        assert isinstance(counted, Measurement), counted
        assert counted.value == macs / 64


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


def test_a_second_board_is_timed_by_its_own_clock() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"{ABSENT}a second NVIDIA GPU")
    few, many = (statistics.median(walls(layers, spec("cuda:1"))) for layers in (20, 80))
    assert many > 2 * few


def test_the_footprint_holds_at_least_the_weights() -> None:
    found = torch_session.run(FootprintJob(made(8), spec(), 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"]["peak"][0] >= 8 * 2 * 1024**2


def test_what_does_not_fit_is_said() -> None:
    rows = 2 * torch.cuda.get_device_properties(0).total_memory // (2 * 1024)
    folder = Path("huge")
    folder.mkdir()
    (folder / "huge.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Linear):\n"
        f"    def forward(self, input): return super().forward(input[:1].expand({rows}, 1024).contiguous())\n"
        "def make(): return Net(1024, 1024)\n"
    )
    job = LaunchJob({"candidate": str((folder / "huge:make").absolute())}, ("candidate",), spec(), 0, 0.1, 4, 40)
    with pytest.raises(WorkerFailed, match="out of memory") as caught:
        torch_session.run(job, lambda _: None)
    assert caught.value.out_of_memory


def walls(layers: int, asked: WorkloadSpec) -> list[int]:
    job = LaunchJob({"candidate": made(layers)}, ("candidate",), asked, 0, 0.3, 10, 400)
    found = torch_session.run(job, lambda _: None)
    assert isinstance(found, Sampled)
    return sorted(found.samples["candidate"]["wall"])


def test_events_tell_what_a_synchronised_clock_tells() -> None:
    """The same blocks on the host's clock: events cannot tell more than the wait, nor much less than the work."""
    asked, board = spec(), Board(torch.cuda, 0)
    with torch_settings.settings(asked):
        model = torch_run.ready(made(40), NO_RECIPE, asked)
        for _ in range(20):
            model.call(0)
        ratios = []
        for _ in range(20):
            board.synchronize()
            began = time.perf_counter_ns()
            told, _ = board.timed(model.call, 0)
            ratios.append(sum(told) / (time.perf_counter_ns() - began))
    assert 0.5 < statistics.median(ratios) <= 1.01


@pytest.mark.parametrize(("precision", "faster"), [("fp16", "fp32"), ("bf16", "fp32"), ("tf32", "fp32")])
def test_lower_precision_is_not_slower_on_large_products(precision: str, faster: str) -> None:
    if torch.cuda.get_device_capability(0) < (8, 0):
        pytest.skip("this board has no tensor cores for it")
    wide = (InputSpec("input", (8192, 1024)),)
    low, high = (walls(8, replace(spec(inputs=wide, precision=one), batch_size=8192)) for one in (precision, faster))
    assert low[len(low) // 2] < high[len(high) // 2]


def test_the_board_is_named_and_its_settings_are_put_back() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark
    found = torch_session.run(CountJob(made(2), spec(precision="tf32")), lambda _: None)
    assert isinstance(found, Counted)
    assert found.gpus[0].name == torch.cuda.get_device_name(0)
    assert found.gpus[0].memory > 0
    assert (found.settings["device"], found.settings["tf32 products"]) == ("cuda", "on")
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark) == before


def test_a_limit_on_its_memory_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from the environment of a worker; put back, since the limit is the process's."""
    monkeypatch.setenv("GREENGATE_GPU_MEMORY", str(64 * 1024**2))
    try:
        with pytest.raises(WorkerFailed, match="out of memory"):
            torch_session.run(FootprintJob(made(64), spec(), 0), lambda _: None)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)


def test_a_device_that_is_not_there_leaves_the_counts() -> None:
    found = torch_session.run(CountJob(made(2), spec(f"cuda:{torch.cuda.device_count()}")), lambda _: None)
    assert isinstance(found, Counted)
    assert isinstance(found.measurements["macs"], Measurement)
    assert found.unrun is not None
    assert "is not there" in found.unrun.reason


def test_in_a_real_worker_as_a_user_has_it() -> None:
    """The whole way: confined worker, watched memory, energy's devices; the answer crosses the border."""
    counted = backend.run(CountJob(made(4), spec()), WorkerLimits(timeout=120))
    assert counted.gpus
    assert counted.unrun is None
    timed = backend.run(
        LaunchJob({"candidate": made(4)}, ("candidate",), spec(), 0, 0.2, 10, 200), WorkerLimits(timeout=120)
    )
    assert min(timed.samples["candidate"]["wall"]) > 0
    ran = backend.run(EnergyJob({"candidate": made(4)}, ("candidate",), spec(), 0, 0.2, 1, 0.0), WorkerLimits())
    assert ran.devices == ("cpu", counted.gpus[0].facts["UUID"])


def test_text_is_generated_there() -> None:
    transformers = needs.package("transformers")
    asked = WorkloadSpec(device="cuda", precision="bf16", generate=Generation(32, 16))
    config = transformers.GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=500, n_positions=64)
    transformers.GPT2LMHeadModel(config).save_pretrained("writer")
    folder = str(Path("writer").absolute())
    job = LaunchJob({"candidate": folder}, ("candidate",), asked, 0, 0.2, 6, 20, doing="generation")
    found = torch_session.run(job, lambda _: None)
    assert isinstance(found, Sampled)
    assert min(found.samples["candidate"]["token"]) > 0


def test_a_compiled_model_runs_there() -> None:
    assert walls(4, spec(compile=True))[0] > 0


class Making(torch.nn.Module):
    """Makes something in a call, on the device of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(1024, 1024)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.inner(input) + torch.arange(1024, device=input.device)


@pytest.mark.parametrize("kind", ["exported", "scripted"])
def test_a_stored_model_that_was_made_on_the_cpu_runs_there(kind: str) -> None:
    """An exported program names devices in its graph: what it makes in a call must be made on the board."""
    path = str(Path("net.pt2" if kind == "exported" else "net.pt").absolute())
    if kind == "exported":
        torch.export.save(torch.export.export(Making().eval(), (torch.zeros(64, 1024),)), path)
    else:
        torch.jit.save(torch.jit.script(Making().eval()), path)
    asked = spec(precision=None)
    found = torch_session.run(LaunchJob({"candidate": path}, ("candidate",), asked, 0, 0.2, 8, 80), lambda _: None)
    assert isinstance(found, Sampled)
    assert min(found.samples["candidate"]["wall"]) > 0
    counted = torch_session.run(CountJob(path, asked), lambda _: None)
    assert isinstance(counted, Counted)
    assert counted.unrun is None, counted.unrun


def test_a_model_that_was_traced_on_the_cpu_says_that_it_stays_there() -> None:
    torch.jit.save(torch.jit.trace(Making().eval(), torch.zeros(64, 1024)), "net.pt")
    job = LaunchJob({"candidate": str(Path("net.pt").absolute())}, ("candidate",), spec(precision=None), 0, 0.1, 8, 80)
    with pytest.raises(Refused, match="does not follow to its device"):
        torch_session.run(job, lambda _: None)
