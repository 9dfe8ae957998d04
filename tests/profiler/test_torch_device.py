"""Devices and settings of PyTorch: boards through a stand-in for torch.cuda, what is set and put back, precisions."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import needs
import numpy as np
import pytest

needs.package("torch")

import torch  # noqa: E402
import torch_nets as nets  # noqa: E402
from fake_board import Cuda, OutOfMemoryError  # noqa: E402
from nouns import WORKLOAD  # noqa: E402
from torch import nn  # noqa: E402

from greengate import estimate  # noqa: E402
from greengate.budget import WorkerLimits  # noqa: E402
from greengate.profile import Gpu, InputSpec, Launch, Measurement, Missing, WorkloadSpec  # noqa: E402
from greengate.profiler import exact, pairing  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.backends import (  # noqa: E402
    torch_count,
    torch_footprint,
    torch_run,
    torch_session,
    torch_settings,
    torch_switches,
)
from greengate.profiler.backends.board_faults import out_of_memory  # noqa: E402
from greengate.profiler.backends.torch_device import BLOCK, Board, board  # noqa: E402
from greengate.profiler.backends.torch_inputs import prepare  # noqa: E402
from greengate.profiler.backends.torch_memory import activation_memory, board_memory  # noqa: E402
from greengate.profiler.backends.torch_open import open_model  # noqa: E402
from greengate.profiler.exact import Subject  # noqa: E402
from greengate.profiler.hardware import this_machine  # noqa: E402
from greengate.profiler.jobs import (  # noqa: E402
    Counted,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Ran,
    Refused,
    Sampled,
    ScoreJob,
    WorkerFailed,
)

X = (InputSpec("input", (1, 4)),)

pytestmark = pytest.mark.usefixtures("home")


def own(text: str = "def make(): return nn.Sequential(nn.Linear(4, 3), nn.ReLU())\n") -> str:
    Path("own.py").write_text(f"import torch\nfrom torch import nn\n{text}")
    return str(Path("own:make").absolute())


def count(spec: WorkloadSpec, path: str | None = None) -> Counted:
    found = torch_session.run(CountJob(path or own(), spec), lambda _: None)
    assert isinstance(found, Counted)
    return found


# --- boards -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "boards", "index"), [("cuda", 1, 0), ("cuda:0", 1, 0), ("cuda:1", 2, 1), ("cpu", 0, None)]
)
def test_which_board_a_device_is(device: str, boards: int, index: int | None) -> None:
    api = Cuda(boards)
    assert board(device, api) == (None if index is None else Board(api, index))


@pytest.mark.parametrize(
    ("device", "boards", "words"),
    [("cuda", 0, "sees no NVIDIA GPU"), ("cuda:1", 1, "sees 1 NVIDIA GPU here"), ("cuda:7", 2, "sees 2 NVIDIA GPUs")],
)
def test_a_board_that_is_not_there_is_missing_not_an_error(device: str, boards: int, words: str) -> None:
    found = board(device, Cuda(boards))
    assert isinstance(found, Missing)
    assert found.kind == "unavailable"
    assert f"the device {device} is not there" in found.reason
    assert words in found.reason


def test_a_board_knows_its_name() -> None:
    assert (Board(Cuda(), 0).name, Board(Cuda(2), 1).uuid) == ("Fake Board 0", "GPU-uuid-1")


def test_a_block_is_timed_call_by_call_and_synchronised_at_its_ends_only() -> None:
    api = Cuda()
    took = iter(range(1, BLOCK + 1))
    walls, cpus = Board(api, 0).timed(lambda _: api.work(next(took)), 0)
    assert list(walls) == [ms * 1_000_000 for ms in range(1, BLOCK + 1)]
    assert len(cpus) == BLOCK
    assert len(set(cpus)) == 1
    assert api.log == ["synchronize", *["call"] * BLOCK, "synchronize"]


def test_every_board_is_timed_by_its_own_clock() -> None:
    """Events go to the current board's stream unless told otherwise, and that is the first board's."""
    api = Cuda(2)
    walls, _ = Board(api, 1).timed(lambda _: api.work(3, board=1), 0)
    assert list(walls) == [3_000_000] * BLOCK


@pytest.mark.parametrize(("device", "current"), [("cpu", 0), ("cuda", 0), ("cuda:1", 1), ("cuda:7", 0)])
def test_the_workloads_board_is_the_current_one_inside(
    device: str, current: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that says just `cuda` means it, and so do kernels that a model brings itself."""
    api = Cuda(2)
    monkeypatch.setattr(torch, "cuda", api)
    with torch_settings.settings(WorkloadSpec(device=device)):
        assert api.current == current
    assert api.current == 0


def test_a_trial_on_a_board_alternates_blocks_and_finds_the_change() -> None:
    api = Cuda()
    calls = {
        "baseline": lambda _: api.work(10, "b"),
        "candidate": lambda _: api.work(11, "c"),
    }
    job = LaunchJob({"baseline": "b", "candidate": "c"}, ("baseline", "candidate"), WorkloadSpec(), 1, 0.5, 4, 400)
    found = pairing.launch(calls, 1, job, Board(api, 0).timed)  # type: ignore[arg-type]
    blocks = [api.log[i : i + BLOCK] for i in range(1, len(api.log), BLOCK + 2)]
    assert all(len(set(block)) == 1 for block in blocks)
    order = "".join(block[0] for block in blocks)
    assert "bccb" in order
    assert abs(order.count("b") - order.count("c")) <= 1
    launches = [Launch(i, job.order, found.samples, found.seconds) for i in range(5)]
    change = estimate.change(launches, "latency_p50", WORKLOAD)
    assert not isinstance(change, Missing)
    assert change.value == pytest.approx(0.1)


def test_the_memory_of_a_board_is_the_peak_above_what_was_held() -> None:
    api = Cuda()
    api.hold(1000)

    def call() -> None:
        api.hold(300)
        api.hold(-300)

    found = board_memory(Board(api, 0), call)
    assert found.value == 300
    assert "CUDA allocator" in found.detail
    assert "2,600 B reserved" in found.detail


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfMemoryError("Tried to allocate 20.00 MiB"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_board_out_of_memory_is_told_from_a_wrong_input(error: RuntimeError, expected: bool) -> None:
    assert out_of_memory(error) is expected
    told = torch_run.fault("m.pt", error)
    assert isinstance(told, WorkerFailed if expected else Refused)
    if isinstance(told, WorkerFailed):
        assert told.out_of_memory, "the trial tries again with one model at a time"
        assert "the GPU ran out of memory" in told.reason


ILLEGAL = "CUDA error: an illegal memory access was encountered"
ASSERTED = "CUDA error: device-side assert triggered"
MORE = "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.AcceleratorError(f"{ILLEGAL}\n{MORE}"), ILLEGAL),
        (torch.AcceleratorError("in words of its own"), "in words of its own"),
        (torch.AcceleratorError(""), "AcceleratorError"),
        (RuntimeError(f"The following operation failed in the TorchScript interpreter.\n{ILLEGAL}\n{MORE}"), ILLEGAL),
        (RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"), "CUDA unknown er"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`"),
            "CUDA error: CU",
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        (RuntimeError("cuFFT error: CUFFT_EXEC_FAILED"), "cuFFT error: CUFFT_EXEC_FAILED"),
        (type("Failed", (Exception,), {"__module__": "torch._inductor.exc"})(ILLEGAL), ILLEGAL),
    ],
)
def test_a_board_that_fails_is_no_wrong_input(error: Exception, said: str) -> None:
    told = torch_run.fault("m.pt", error)
    assert isinstance(told, WorkerFailed)
    assert told.reason.startswith(f"the GPU failed: {said}")
    assert MORE not in told.reason
    assert "nvidia-smi" in told.help
    assert not told.out_of_memory


def test_an_assert_of_a_kernel_says_that_an_index_lies_beyond_a_table() -> None:
    """So it is nearly always: a token beyond the embeddings, which the CPU names and a board does not."""
    told = torch_run.fault("m.pt", torch.AcceleratorError(f"{ASSERTED}\n{MORE}"))
    assert isinstance(told, Refused)
    assert told.code == "input-mismatch"
    assert "an index beyond a table" in told.message
    assert told.message.endswith(ASSERTED)
    assert "max" in told.help


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """Let the worker run on a board that holds 1,000 bytes already, and 500 more with a model."""
    api, real = Cuda(), torch_run.open_model
    api.hold(1000)

    def opened(*given: Any) -> Any:
        api.hold(500)
        return real(*given)

    monkeypatch.setattr(torch_session, "on_board", lambda _: Board(api, 0))
    monkeypatch.setattr(torch_run, "open_model", opened)
    return api


def test_a_model_weighs_what_the_board_holds_more(stand_in: Cuda) -> None:
    found = torch_session.run(FootprintJob(own(), WorkloadSpec(inputs=X), 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"]["peak"] == (500,)
    assert "had reserved 3,000 B" in found.notes[0]


def test_what_placing_inputs_takes_on_the_way_weighs_nothing(stand_in: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch_settings.placed_call

    def placed(*given: Any) -> Any:
        stand_in.hold(9000)
        stand_in.hold(-8000)
        return real(*given)

    monkeypatch.setattr(torch_settings, "placed_call", placed)
    found = torch_session.run(FootprintJob(own(), WorkloadSpec(inputs=X), 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"]["peak"] == (500 + 1000,)


def test_calls_of_a_window_come_in_blocks_and_none_is_under_way_at_its_end(
    stand_in: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else work of one window would draw its energy in the next; and a board that waits for each call draws idly."""
    placed = torch_session.ready

    def counted(*given: Any, **more: Any) -> Any:
        made = placed(*given, **more)
        made.module.register_forward_hook(lambda *_: stand_in.log.append("call"))
        return made

    monkeypatch.setattr(torch_session, "ready", counted)
    job = EnergyJob({"candidate": own()}, ("candidate",), WorkloadSpec(inputs=X), 0, 0.01, 3, 0.0)
    ran = torch_session.run(job, lambda _: None)
    assert isinstance(ran, Ran)
    assert ran.devices == ("cpu", "GPU-uuid-0")
    blocks = "".join("c" if one == "call" else "|" for one in stand_in.log if one in ("call", "synchronize")).split("|")
    first, *whole, last = blocks
    assert last == ""
    assert first == "c", "the very first call is no window's, and is waited for"
    assert set(whole) == {"c" * BLOCK}
    windows = [one.calls for one in ran.stretches]
    assert all(calls % BLOCK == 0 and calls >= 3 for calls in windows)
    assert sum(windows) < stand_in.log.count("call"), "some were to warm up"


def test_every_launch_places_its_models_elsewhere_on_the_board_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as a seed says so: the same one places them alike."""
    sizes = []
    for seed in (1, 1, 2):
        held: list[Any] = []
        monkeypatch.setattr(torch_session, "_HELD", held)
        torch_session._displace(random.Random(seed), "m.pt", "meta")
        host, board_ = held
        sizes.append((len(host), board_.numel()))
        assert 0 < board_.numel() < 1 << 25
    assert sizes[0] == sizes[1]
    assert all(one != other for one, other in zip(sizes[0], sizes[2], strict=True))


def test_a_board_too_full_to_place_anything_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutOfMemoryError("Tried to allocate 20.00 MiB")

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(WorkerFailed) as caught:
        torch_session._displace(random.Random(1), "m.pt", "cuda")
    assert caught.value.out_of_memory, "the trial tries again with one model at a time"


def test_a_board_that_takes_nothing_is_no_wrong_input() -> None:
    """This machine's PyTorch has no such device, and says so itself."""
    if torch.cuda.is_available():
        pytest.skip("there is a board here")
    with pytest.raises(WorkerFailed, match=r"m\.pt could not be put on the device cuda: ") as caught:
        torch_session._displace(random.Random(1), "m.pt", "cuda")
    assert not caught.value.out_of_memory


TWO = """
def make(): return nn.Linear(4, 3)
def other(): return nn.Linear(4, 3)
"""


def failing(stand_in: Cuda, monkeypatch: pytest.MonkeyPatch, error: Exception, *, at: int) -> dict[Any, str]:
    """Return two roles' models; the candidate's call of this number goes wrong on the board, which tells it late."""
    placed, candidate, made = torch_session.ready, own(TWO).replace("make", "other"), []

    def ready(path: str, *given: Any, **more: Any) -> Any:
        found = placed(path, *given, **more)
        if path == candidate:
            found.module.register_forward_hook(lambda *_: made.append(1) or len(made) != at or fail())
        return found

    def fail() -> None:
        stand_in.late = error

    monkeypatch.setattr(torch_session, "ready", ready)
    return {"candidate": candidate, "baseline": candidate.replace("other", "make")}


LATE = [
    (torch.AcceleratorError(ILLEGAL), WorkerFailed, f"^the candidate: the GPU failed: {ILLEGAL}$"),
    (torch.AcceleratorError(ASSERTED), Refused, "^candidate: .*: the model fails on its inputs .* beyond a table"),
]


@pytest.mark.parametrize(("error", "kind", "words"), LATE, ids=["broken", "asserted"])
@pytest.mark.parametrize("at", [1, 3], ids=["in the first call", "while it is timed"])
@pytest.mark.parametrize("doing", ["timed", "metered"])
def test_what_a_board_tells_late_is_told_of_the_model_that_did_it(
    doing: str,
    at: int,
    *,
    error: Exception,
    kind: type[Exception],
    words: str,
    stand_in: Cuda,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever role is called after it waits for the board next."""
    paths = failing(stand_in, monkeypatch, error, at=at)
    spec, order = WorkloadSpec(inputs=X), ("baseline", "candidate")
    job = EnergyJob(paths, order, spec, 0, 0.01, 3, 0.0)  # type: ignore[arg-type]
    timed = LaunchJob(paths, order, spec, 1, 0.01, 4, 40)  # type: ignore[arg-type]
    with pytest.raises(kind, match=words):
        torch_session.run(timed if doing == "timed" else job, lambda _: None)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (torch.AcceleratorError(ILLEGAL), WorkerFailed, f"^the GPU failed: {ILLEGAL}$"),
        (torch.AcceleratorError(ASSERTED), Refused, "beyond a table"),
    ],
    ids=["broken", "asserted"],
)
def test_what_a_board_tells_late_is_told_before_anything_is_counted(
    error: Exception, kind: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Cuda(late=error)
    monkeypatch.setattr(torch_count, "device_of", lambda _: Board(api, 0))
    with pytest.raises(kind, match=words):
        count(WorkloadSpec(inputs=X))
    assert api.log == ["synchronize"]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (torch.AcceleratorError(ILLEGAL), WorkerFailed, f"^the GPU failed: {ILLEGAL}$"),
        (torch.AcceleratorError(ASSERTED), Refused, "beyond a table"),
    ],
    ids=["broken", "asserted"],
)
@pytest.mark.parametrize("waits", [1, 2], ids=["while it loads", "while it runs"])
def test_what_a_board_tells_late_is_told_of_the_model_that_is_weighed(
    waits: int,
    error: Exception,
    *,
    kind: type[Exception],
    words: str,
    stand_in: Cuda,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, seen = torch_footprint.wait, []

    def wait(place: Board | None, path: str) -> None:
        seen.append(path)
        stand_in.late = error if len(seen) == waits else None
        real(place, path)

    monkeypatch.setattr(torch_footprint, "wait", wait)
    with pytest.raises(kind, match=words):
        torch_session.run(FootprintJob(own(), WorkloadSpec(inputs=X), 0), lambda _: None)


def test_feeds_of_a_window_take_turns_within_its_blocks(stand_in: Cuda) -> None:
    fed: list[int] = []
    block = torch_session._block(fed.append, 3, BLOCK, Board(stand_in, 0))
    block(0)
    block(BLOCK)
    assert fed == [place % 3 for place in range(2 * BLOCK)]


def test_a_model_that_does_not_follow_to_its_device_is_no_wrong_input() -> None:
    """A traced model makes its constants where it was traced; in these words an H100 said so of one."""
    words = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
    told = torch_run.fault("m.pt", RuntimeError(words))
    assert isinstance(told, Refused)
    assert told.code == "model-unsupported"
    assert "cuda:0 and cpu" in told.message
    assert "trace it there" in told.help


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"), MemoryError),
        (MemoryError("no more"), MemoryError),
        (WorkerFailed("it broke"), WorkerFailed),
        (type("Unsupported", (Exception,), {"__module__": "torch._dynamo.exc"})("no graph"), WorkerFailed),
        (ValueError(""), Refused),
    ],
)
def test_what_other_failures_mean(error: Exception, kind: type[Exception]) -> None:
    assert isinstance(torch_run.fault("m.pt", error), kind)


def test_where_the_board_is_not_there_the_model_is_counted_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = WorkloadSpec(inputs=X, device="cuda", precision="tf32")
    found = count(spec)
    assert found.unrun is not None
    assert found.unrun.kind == "unavailable"
    macs, memory = found.measurements["macs"], found.measurements["activation_memory"]
    assert isinstance(macs, Measurement)
    assert macs.value == 12
    assert isinstance(memory, Missing)
    assert found.settings["device"] == "cuda"
    assert found.settings["tf32 products"] == "on"
    for job in (
        LaunchJob({"candidate": own()}, ("candidate",), spec, 1, 0.1, 4, 40),
        FootprintJob(own(), spec, 0),
    ):
        with pytest.raises(WorkerFailed, match="the device cuda is not there"):
            torch_session.run(job, lambda _: None)


def test_what_of_a_board_changes_measurements() -> None:
    """Without NVIDIA's management library what PyTorch knows, and why the rest is not told."""
    gpu = Board(Cuda(2), 1).gpu
    assert (gpu.name, gpu.memory, gpu.power_limit) == ("Fake Board 1", 80 * 1024**3, 0.0)
    assert gpu.facts["UUID"] == "GPU-uuid-1"
    assert gpu.facts["power limit"].startswith("not told: ")


def test_the_management_library_tells_more_of_the_very_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """By UUID: CUDA_VISIBLE_DEVICES gives boards other numbers."""
    known = tuple(Gpu("NVIDIA H100", 80, 700.0, "", {"UUID": f"GPU-uuid-{index}"}) for index in (1, 0))
    monkeypatch.setattr("greengate.profiler.boards.boards", lambda: known)
    assert Board(Cuda(2), 0).gpu is known[1]
    strange = Cuda(1)
    monkeypatch.setattr(strange, "get_device_properties", lambda _: SimpleNamespace(total_memory=5))
    assert Board(strange, 0).gpu.facts["power limit"] == "not told: it does not know the board"
    assert "UUID" not in Board(strange, 0).gpu.facts


def test_the_board_is_part_of_the_profiles_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker tells which board it was; the hardware's name changes with it."""
    board_ = Gpu("NVIDIA H100", 80, 700.0)
    counted = replace(count(WorkloadSpec(inputs=X)), gpus=(board_,))
    here = SimpleNamespace(run=lambda *_: counted, hardware=this_machine)
    monkeypatch.setattr(exact, "format_of", lambda _: SimpleNamespace(load=lambda: here, name="code"))
    found = exact.count(Subject("m", own(), "own:make", WorkloadSpec(inputs=X)), WorkerLimits(), "")
    assert found.hardware.gpus == (board_,)
    assert found.hardware.id != this_machine().id
    assert count(WorkloadSpec(inputs=X)).gpus == ()


@pytest.mark.parametrize(("most", "left"), [(20 * 1024**3, 20 * 1024**3), (200 * 1024**3, 80 * 1024**3), (None, None)])
def test_a_limit_on_the_boards_memory_is_honoured(
    most: int | None, left: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Cuda(2)
    monkeypatch.setattr(torch, "cuda", api)
    if most is not None:
        monkeypatch.setenv("GREENGATE_GPU_MEMORY", str(most))
    found = torch_run.on_board(WorkloadSpec(device="cuda:1"))
    assert found is not None
    assert api.log == (["limit of board 1"] if most else [])
    assert api.memory == (left or 80 * 1024**3)
    if most == left and most:
        with pytest.raises(OutOfMemoryError) as caught:
            api.hold(most + 1)
        assert out_of_memory(caught.value)


def test_a_full_board_in_a_trial_is_said_with_its_role() -> None:
    api = Cuda(memory=1000)

    def call(_: int) -> None:
        try:
            api.hold(2000)
        except RuntimeError as error:
            raise torch_run.fault("m.pt", error) from error

    job = LaunchJob({"candidate": "c"}, ("candidate",), WorkloadSpec(), 1, 0.1, 4, 40)
    with pytest.raises(pairing.RoleFailed, match="the candidate failed: the GPU ran out of memory") as failed:
        pairing.launch({"candidate": call}, 1, job, Board(api, 0).timed)
    assert isinstance(failed.value.error, WorkerFailed)
    assert failed.value.error.out_of_memory


# --- settings -----------------------------------------------------------------------------------


def flags() -> tuple[object, ...]:
    return (
        torch.get_num_threads(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.is_inference_mode_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.fp32_precision,
        torch.backends.mkldnn.conv.fp32_precision,
    )


def test_settings_hold_inside_and_are_put_back_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = flags()
    with pytest.raises(ZeroDivisionError), torch_settings.settings(WorkloadSpec(threads=2, precision="tf32")):
        assert flags() == (2, True, True, False, False, True, "high", "none", "none")
        raise ZeroDivisionError
    assert flags() == before
    with torch_settings.settings(WorkloadSpec()):
        assert flags() == (1, False, False, False, False, True, "highest", "none", "none")
    assert flags() == before


SETS = """
torch.set_num_threads(2)
torch.set_float32_matmul_precision("medium")
torch.backends.cudnn.benchmark = True
"""
#: What a model asserts of its call: everything is as the workload has it.
ASSERTS = """
class Net(nn.Linear):
    def forward(self, input):
        assert torch.get_num_threads() == 1
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.mkldnn.fp32_precision == torch.backends.mkldnn.conv.fp32_precision == "none"
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cudnn.benchmark
        assert torch.is_inference_mode_enabled()
        return super().forward(input)
def make():
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    return Net(4, 3)
def inputs():
    return torch.ones(1, 4)
"""


def jobs(path: str, spec: WorkloadSpec) -> list[Any]:
    labelled = ScoreJob(path, str(Path("val.npz").absolute()), "top1", 1, 2, replace(spec, inputs_from=None))
    paths: Any = {"candidate": path, "baseline": path}
    return [
        CountJob(path, spec),
        LaunchJob(paths, tuple(paths), spec, 1, 0.01, 4, 40),
        EnergyJob(paths, tuple(paths), spec, 0, 0.01, 3, 0.0),
        FootprintJob(path, spec, 0),
        labelled,
    ]


@pytest.mark.parametrize(
    "sets",
    [
        SETS,
        'torch.backends.fp32_precision = "tf32"',
        'torch.backends.cuda.matmul.fp32_precision = "tf32"',
        'torch.backends.cudnn.conv.fp32_precision = "tf32"',
        'torch.backends.mkldnn.conv.fp32_precision = "bf16"',
    ],
)
@pytest.mark.parametrize("made", ["described", "by code"])
def test_what_code_sets_where_it_is_imported_does_not_reach_the_calls(sets: str, made: str) -> None:
    """Else the times are those of other settings than the workload has, and says that it has."""
    before = flags()
    path = own(sets + ASSERTS)
    np.savez("val.npz", input=np.ones((4, 4), "float32"), labels=np.zeros(4, int))
    spec = WorkloadSpec(inputs=X) if made == "described" else WorkloadSpec(inputs_from=path.replace("make", "inputs"))
    for job in jobs(path, spec):
        sys.modules.pop("own", None)
        torch_session.run(job, lambda _: None)
    assert flags() == before


def test_the_profile_says_which_settings_the_code_had_changed() -> None:
    (note,) = [note for note in count(WorkloadSpec(inputs=X), own(SETS + ASSERTS)).notes if "sets" in note]
    assert note == (
        "the model's code sets num_threads to 2 (measured with 1), float32_matmul_precision to medium (measured with "
        "highest), cuda.matmul.allow_tf32 to True (measured with False), cudnn.benchmark to True (measured with False)"
    )
    sys.modules.pop("own", None)
    assert not [note for note in count(WorkloadSpec(inputs=X), own(ASSERTS)).notes if "sets" in note]


NET = "class Net(nn.Linear):\n    def forward(self, input):\n        {}\n        return super().forward(input)\n"


@pytest.mark.parametrize(
    ("sets", "lasting"),
    [
        ("torch.backends.cudnn.benchmark = True", True),
        ("vars(self).pop('fresh', 0) and torch.set_num_threads(2)", False),
    ],
    ids=["in every call", "in the first call"],
)
def test_settings_that_a_call_changes_are_put_right_or_nothing_is_told(sets: str, lasting: bool) -> None:
    path = own(NET.format(sets) + "def make():\n    net = Net(4, 3)\n    net.fresh = 1\n    return net\n")
    spec = WorkloadSpec(inputs=X)
    for job in jobs(path, spec)[1:3]:
        if not lasting:
            torch_session.run(job, lambda _: None)
            continue
        with pytest.raises(WorkerFailed, match=r"the model sets cudnn.benchmark to True \(measured with False\) while"):
            torch_session.run(job, lambda _: None)
    assert isinstance(count(spec, path).measurements["macs"], Measurement)


ENGINE = torch.backends.quantized.engine
OTHER_ENGINE = next((name for name in torch.backends.quantized.supported_engines if name not in ("none", ENGINE)), "")

#: Of every switch that no workload chooses: how code sets it, what tells it, and as what PyTorch begins with.
SWITCHES = {
    "deterministic_algorithms": ("use_deterministic_algorithms(True)", "get_deterministic_debug_mode()", "0"),
    "cudnn.enabled": ("backends.cudnn.enabled = False", "backends.cudnn.enabled", "True"),
    "mkldnn.enabled": ("backends.mkldnn.enabled = False", "backends.mkldnn.enabled", "True"),
    "mkldnn.deterministic": ("backends.mkldnn.deterministic = True", "backends.mkldnn.deterministic", "False"),
    "cuda.flash_sdp": ("backends.cuda.enable_flash_sdp(False)", "backends.cuda.flash_sdp_enabled()", "True"),
    "cuda.mem_efficient_sdp": (
        "backends.cuda.enable_mem_efficient_sdp(False)",
        "backends.cuda.mem_efficient_sdp_enabled()",
        "True",
    ),
    "cuda.math_sdp": ("backends.cuda.enable_math_sdp(False)", "backends.cuda.math_sdp_enabled()", "True"),
    "cuda.cudnn_sdp": ("backends.cuda.enable_cudnn_sdp(False)", "backends.cuda.cudnn_sdp_enabled()", "True"),
    "mha.fastpath": ("backends.mha.set_fastpath_enabled(False)", "backends.mha.get_fastpath_enabled()", "True"),
    "default_dtype": ("set_default_dtype(torch.float64)", "get_default_dtype()", "torch.float32"),
    "default_device": ("set_default_device('meta')", "get_default_device().type", "cpu"),
    "autocast.cpu": ("set_autocast_enabled('cpu', True)", "is_autocast_enabled('cpu')", "False"),
    "autocast.cpu.dtype": (
        "set_autocast_dtype('cpu', torch.float16)",
        "get_autocast_dtype('cpu')",
        "torch.bfloat16",
    ),
    "autocast.cuda": ("set_autocast_enabled('cuda', True)", "is_autocast_enabled('cuda')", "False"),
    "autocast.cuda.dtype": (
        "set_autocast_dtype('cuda', torch.bfloat16)",
        "get_autocast_dtype('cuda')",
        "torch.float16",
    ),
    "autocast.cache": ("set_autocast_cache_enabled(False)", "is_autocast_cache_enabled()", "True"),
    "quantized.engine": (f"backends.quantized.engine = {OTHER_ENGINE!r}", "backends.quantized.engine", ENGINE),
    "cuda.matmul.allow_fp16_accumulation": (
        "backends.cuda.matmul.allow_fp16_accumulation = True",
        "backends.cuda.matmul.allow_fp16_accumulation",
        "False",
    ),
    "cuda.matmul.allow_fp16_reduced_precision_reduction": (
        "backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False",
        "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
        "True",
    ),
    "cuda.matmul.allow_bf16_reduced_precision_reduction": (
        "backends.cuda.matmul.allow_bf16_reduced_precision_reduction = (False, False)",
        "backends.cuda.matmul.allow_bf16_reduced_precision_reduction_split_k",
        "True",
    ),
    "flush_denormal": ("set_flush_denormal(True)", "finfo(torch.float64).tiny/2==0", "False"),
    "jit.onednn_fusion": ("jit.enable_onednn_fusion(True)", "jit.onednn_fusion_enabled()", "False"),
    # Told only by setting it, as PyTorch begins with it; its public name warns.
    "jit.fusion_strategy": (
        "_C._jit_set_fusion_strategy([('STATIC', 0)])",
        "_C._jit_set_fusion_strategy([('STATIC', 2), ('DYNAMIC', 10)])[0][1]",
        "2",
    ),
}


@pytest.fixture
def switched_back() -> Iterator[None]:
    """What a failed test leaves switched would fail the next."""
    yield
    torch_settings.hold(WorkloadSpec(threads=torch.get_num_threads()))


def told(name: str) -> str:
    return str(eval(f"torch.{SWITCHES[name][1]}"))


def switching(name: str, where: str, sure: bool = True) -> str:
    """Write a model whose code sets a switch where it is imported, or called, or not; else each call makes sure of it.

    Not `sure`: no call does.
    """
    sets, tells, begins = SWITCHES[name]
    return own(
        (f"torch.{sets}\n" if where == "import" else "")
        + f"""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3, device="cpu", dtype=torch.float32))
    def forward(self, input):
        found = str(torch.{tells})
        if {where!r} == "call":
            torch.{sets}
        elif {sure}:
            assert found == {begins!r}, found
        return input @ self.weight
def make(): return Net()
"""
    )


def test_every_switch_that_no_workload_chooses_is_in_the_table() -> None:
    assert [switch.name for switch in torch_switches.untouched()] == list(SWITCHES)


def test_switches_are_held_as_pytorch_begins_with_them() -> None:
    """In a process of its own, where nothing has switched anything."""
    tells = ", ".join(f"torch.{tell}" for _, tell, _ in SWITCHES.values())
    script = f"import torch; print(*[{tells}], sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [begins for *_, begins in SWITCHES.values()]


@pytest.mark.parametrize("name", SWITCHES)
def test_what_the_code_of_one_role_switches_reaches_neither(name: str, switched_back: None) -> None:
    """Both run in one process, where a switch of the baseline's code would be the candidate's too, and unseen."""
    before = told(name)
    paths = {}
    for role, where in (("baseline", "import"), ("candidate", "nowhere")):
        Path(role).mkdir()
        Path(switching(name, where).partition(":")[0] + ".py").rename(Path(role) / "own.py")
        paths[role] = str((Path(role) / "own:make").absolute())
    spec = WorkloadSpec(inputs=X)
    job = LaunchJob(paths, ("baseline", "candidate"), spec, 1, 0.01, 4, 40)  # type: ignore[arg-type]
    torch_session.run(job, lambda _: None)
    assert told(name) == before
    # Counting has the fast path of attention off by itself, so its calls are left alone.
    (note,) = [note for note in count(spec, switching(name, "import", sure=False)).notes if "code sets" in note]
    assert f" {name} to " in note
    assert told(name) == before


@pytest.mark.parametrize("name", SWITCHES)
def test_a_model_that_switches_in_every_call_is_not_timed(name: str, switched_back: None) -> None:
    before = told(name)
    job = LaunchJob({"candidate": switching(name, "call")}, ("candidate",), WorkloadSpec(inputs=X), 1, 0.01, 4, 40)
    with pytest.raises(WorkerFailed, match=rf"the model sets {name} to .* while it runs") as caught:
        torch_session.run(job, lambda _: None)
    assert "put it back within the call" in caught.value.help
    assert told(name) == before


def test_what_one_role_packs_is_packed_for_the_same_engine_as_the_others(switched_back: None) -> None:
    """Another engine would be in its packed weights, where no later setting reaches it."""
    if not OTHER_ENGINE:
        pytest.skip("PyTorch has one engine here")
    spec = WorkloadSpec(threads=torch.get_num_threads())
    with torch_settings.settings(spec):
        torch.backends.quantized.engine = OTHER_ENGINE
        with torch_settings.loose(spec) as changed:
            assert torch.backends.quantized.engine == ENGINE
        assert changed == [f"quantized.engine to {OTHER_ENGINE} (measured with {ENGINE})"]


def test_a_default_device_that_is_not_there_is_told_and_taken_back(switched_back: None) -> None:
    if torch.cuda.is_available():
        pytest.skip("it is there")
    torch.set_default_device("cuda")
    spec = WorkloadSpec(threads=torch.get_num_threads())
    assert torch_settings.hold(spec) == ("default_device to one that is not there (measured with cpu)",)
    assert torch.ones(1).device.type == "cpu"


def test_what_the_compiler_was_told_of_determinism_goes_with_it(switched_back: None) -> None:
    from torch._inductor import config

    torch.use_deterministic_algorithms(True)
    assert config.deterministic
    torch_settings.hold(WorkloadSpec())
    assert not config.deterministic


@pytest.mark.parametrize(("precision", "bits"), [(None, 32), ("fp32", 32), ("fp16", 16), ("bf16", 16)])
def test_the_precision_is_what_the_model_computes_in(precision: str | None, bits: int) -> None:
    path = own(f"""
class Net(nn.Linear):
    def forward(self, input):
        assert torch.finfo(input.dtype).bits == {bits}, input.dtype
        assert self.weight.dtype == input.dtype
        return super().forward(input)
def make(): return Net(4, 3)
""")
    found = count(WorkloadSpec(inputs=X, precision=precision), path)  # type: ignore[arg-type]
    macs = found.measurements["macs"]
    assert isinstance(macs, Measurement)
    assert macs.value == 12


def test_images_lie_channels_last_where_that_is_asked_for() -> None:
    path = own("""
class Net(nn.Conv2d):
    def forward(self, input):
        for one in (input, self.weight):
            assert one.is_contiguous(memory_format=torch.channels_last) and not one.is_contiguous()
        return super().forward(input)
def make(): return Net(3, 4, 3)
""")
    image = (InputSpec("input", (1, 3, 8, 8)),)
    found = count(WorkloadSpec(inputs=image, channels_last=True), path)
    assert found.settings["channels_last"] == "on"
    with pytest.raises(Refused, match="AssertionError"):
        count(WorkloadSpec(inputs=image), path)


def test_torchscript_cannot_be_compiled() -> None:
    with nets.quiet():
        torch.jit.save(torch.jit.script(nn.Linear(4, 3)), "m.pt")
    with pytest.raises(Refused, match="TorchScript cannot be compiled"):
        count(WorkloadSpec(inputs=X, compile=True), str(Path("m.pt").absolute()))


def test_the_compiled_model_is_what_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
    spec = WorkloadSpec(inputs=X, compile=True)
    found = torch_session.run(FootprintJob(own(), spec, 0), lambda _: None)
    assert len(compiled) == 1
    assert found.samples["candidate"]["load"][0] > 0  # type: ignore[union-attr]
    assert count(spec).settings["compile"] == "on"
    assert len(compiled) == 1, "what is counted is never compiled"


def test_half_precision_that_the_model_cannot_have_is_refused() -> None:
    path = own("""
class Net(nn.Linear):
    def to(self, *args, **kwargs):
        raise RuntimeError("this one stays as it is")
def make(): return Net(4, 3)
""")
    with pytest.raises(Refused, match=r"cannot be brought to bf16: this one stays"):
        count(WorkloadSpec(inputs=X, precision="bf16"), path)


TOO_LARGE = "torch.empty(1 << 50, dtype=torch.uint8)"


@pytest.mark.parametrize(
    ("raised", "keyword", "kind", "words"),
    [
        (TOO_LARGE, "dtype", MemoryError, "can't allocate memory"),
        (TOO_LARGE, "device", MemoryError, "can't allocate memory"),
        ("raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')", "dtype", WorkerFailed, "the GPU ran out"),
        ("raise RuntimeError('CUDA error: unspecified launch failure')", "dtype", WorkerFailed, "the GPU failed: CUDA"),
        (
            "raise RuntimeError('CUDA error: unspecified launch failure')",
            "device",
            WorkerFailed,
            "the GPU failed: CUDA",
        ),
        (
            "raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')",
            "device",
            WorkerFailed,
            "the GPU ran out",
        ),
        ("raise TypeError('only floats')", "dtype", Refused, "cannot be brought to bf16: only floats"),
        ("raise RuntimeError('no such board')", "device", WorkerFailed, r"put on the device cpu: .*no such board"),
        ("raise AssertionError('not compiled for it')", "device", WorkerFailed, r"put on the device cpu: .*not comp"),
    ],
)
def test_what_a_failure_to_place_a_model_means(raised: str, keyword: str, kind: type[Exception], words: str) -> None:
    """A model at fault is one thing (exit 2), a full or broken machine another (exit 3)."""
    path = own(f"""
class Net(nn.Linear):
    def to(self, *args, **kwargs):
        if {keyword!r} == (next(iter(kwargs), "device")):
            {raised}
        return super().to(*args, **kwargs)
def make(): return Net(4, 3)
""")
    with pytest.raises(kind, match=words):
        count(WorkloadSpec(inputs=X, precision="bf16"), path)


def test_devices_that_a_program_names_follow_it() -> None:
    """Tensors that an exported program makes itself are made where it was exported, unless it is moved as a whole."""

    class Net(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + torch.arange(3, device=x.device) + torch.zeros(3)

    with nets.quiet():
        torch.export.save(torch.export.export(Net(4, 3).eval(), (torch.rand(1, 4),)), "m.pt2")
    opened = open_model("m.pt2")
    fed = prepare(opened, WorkloadSpec(), None)
    with torch.inference_mode():
        ready = torch_run.put(opened, fed, WorkloadSpec(), "meta")
        assert ready.call(0).device.type == "meta"
        assert not any(item.training for item in ready.module.modules())


def test_memory_that_differs_from_call_to_call_is_missing() -> None:
    sizes = iter([1, 1, 1, 1000, 2000])
    found = activation_memory(lambda: torch.ones(next(sizes)))
    assert isinstance(found, Missing)
    assert "4,000 and 8,000 bytes" in found.reason


def test_compiled_for_real_it_is_ready_after_it_was_compiled() -> None:
    """torch.compile with a C++ compiler, in a real worker: its first call is part of the time to load."""
    if shutil.which("g++") is None:
        needs.absent("system tool g++")
    spec = WorkloadSpec(inputs=X, compile=True)
    limits = WorkerLimits(timeout=200)
    made = backend.run(FootprintJob(own(), spec, 0), limits).samples["candidate"]["load"][0]
    plain = backend.run(FootprintJob(own(), replace(spec, compile=False), 0), limits).samples["candidate"]["load"][0]
    assert made > 3 * plain
    assert count(spec).settings["compile"] == "on"
