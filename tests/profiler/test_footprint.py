"""What loading a model takes, in time and memory, and what it does not: making the inputs is greengate's own work."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import needs
import pytest

needs.package("torch")

import torch  # noqa: E402

from greengate.budget import WorkerLimits  # noqa: E402
from greengate.profile import InputSpec, WorkloadSpec  # noqa: E402
from greengate.profiler import feed  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.backends import torch_footprint, torch_session, worker_roles  # noqa: E402
from greengate.profiler.jobs import FootprintJob, Sampled  # noqa: E402

X = (InputSpec("input", (1, 4)),)

pytestmark = pytest.mark.usefixtures("home")


# --- time ---------------------------------------------------------------------------------------

SLEEP = 0.4
SLOW = f"""
import time
import torch
from torch import nn
def late(place):
    if place == SLOW:
        time.sleep({SLEEP})
late("import")
class Net(nn.Linear):
    fresh = True
    def to(self, *args, **kwargs):
        late("move")
        return super().to(*args, **kwargs)
    def forward(self, input):
        if self.fresh:
            self.fresh = False
            late("first call")
        return super().forward(input)
def make():
    late("make")
    return Net(4, 3)
def inputs():
    late("inputs")
    return torch.ones(1, 4)
"""


@pytest.mark.parametrize(
    ("place", "compiles", "loads"),
    [
        ("import", False, True),
        ("make", False, True),
        ("move", False, True),
        ("inputs", False, False),
        ("inputs", True, False),
        ("first call", False, False),
        ("first call", True, True),
    ],
)
def test_a_model_is_loaded_when_it_could_be_fed(
    place: str, compiles: bool, loads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, converted, moved and, where it is compiled, called once: that is its load time."""
    monkeypatch.setattr(torch, "compile", lambda module: module)
    Path("own.py").write_text(f"SLOW = {place!r}\n{SLOW}")
    spec = WorkloadSpec(inputs_from=str(Path("own:inputs").absolute()), compile=compiles)
    found = torch_session.run(FootprintJob(str(Path("own:make").absolute()), spec, 0), lambda _: None)
    assert isinstance(found, Sampled)
    (load,) = found.samples["candidate"]["load"]
    assert (load >= SLEEP * 1e9) is loads


def test_inputs_that_greengate_makes_are_not_in_the_load_time_either(monkeypatch: pytest.MonkeyPatch) -> None:
    real = feed._stream

    def late(seed: int, name: str, length: int) -> bytes:
        time.sleep(SLEEP)
        return real(seed, name, length)

    monkeypatch.setattr(feed, "_stream", late)
    Path("own.py").write_text(f"SLOW = None\n{SLOW}")
    found = torch_session.run(FootprintJob(str(Path("own:make").absolute()), WorkloadSpec(inputs=X), 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"]["load"][0] < SLEEP * 1e9


# --- memory -------------------------------------------------------------------------------------

MIB = 1 << 20
#: 36.75 MiB of floats, whose making takes more than three times that.
IMAGES = (InputSpec("input", (64, 3, 224, 224)),)
HELD = 64 * 3 * 224 * 224 * 4 / MIB
GROWS = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        if GROWS == "weights":
            self.weights = nn.Parameter(torch.ones(50 << 18))
        if GROWS == "load":
            torch.ones(100 << 18).sum()
    def forward(self, input):
        return input.sum() + (torch.ones(50 << 18).sum() if GROWS == "call" else 0)
def make(): return Net()
def inputs():
    torch.ones(200 << 18).sum()
    return torch.ones(64, 3, 224, 224)
"""


def weighed(grows: str, spec: WorkloadSpec) -> float:
    """Return the peak memory of a model that grows somewhere, in MiB, from a real worker."""
    Path("own.py").write_text(f"GROWS = {grows!r}\n{GROWS}")
    found = backend.run(FootprintJob("own:make", spec, 0), WorkerLimits(timeout=90))
    return found.samples["candidate"]["peak"][0] / MIB


@pytest.mark.parametrize("made", ["described", "by code"])
def test_peak_memory_is_the_models_where_making_its_inputs_takes_more(made: str) -> None:
    spec = WorkloadSpec(batch_size=64, inputs=IMAGES if made == "described" else ())
    spec = spec if made == "described" else replace(spec, inputs_from="own:inputs")
    plain = weighed("nowhere", spec)
    assert HELD < plain < HELD + 30
    assert weighed("weights", spec) - plain == pytest.approx(50, abs=5)
    if made == "described":
        assert weighed("call", spec) - plain == pytest.approx(50, abs=5)
        assert 100 < weighed("load", spec) < 130
        halves = weighed("nowhere", replace(spec, precision="bf16"))
        assert halves < plain - HELD / 2 + 5, "inputs as they were before they were converted are held no longer"


#: A data set where the function that makes inputs is defined, which closes a circle with its own module.
STORED = """
import torch
DATA = torch.ones(200 << 18)
def inputs():
    return DATA[: 64 * 3 * 224 * 224].reshape(64, 3, 224, 224).clone()
"""


def test_a_data_set_that_inputs_are_taken_from_hides_no_weights() -> None:
    """Held while the model runs it would be in its peak, and 50 MiB more would be a smaller share of that."""
    Path("feeds.py").write_text(STORED)
    spec = WorkloadSpec(batch_size=64, inputs_from="feeds:inputs")
    assert HELD < weighed("nowhere", spec) < HELD + 30
    assert HELD + 50 < weighed("weights", spec) < HELD + 80


@pytest.mark.parametrize("told", [(), (1000,)], ids=["never", "once"])
def test_memory_that_cannot_be_watched_anew_is_not_told(told: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time too: what was made in between would be the model's."""
    marks = iter([*told, None, None])
    monkeypatch.setattr(torch_footprint, "reset_peak", lambda: next(marks))
    Path("own.py").write_text(f"SLOW = None\n{SLOW}")
    found = torch_session.run(FootprintJob(str(Path("own:make").absolute()), WorkloadSpec(inputs=X), 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"].keys() == {"load"}
    assert found.notes == ("this system does not tell a process's peak memory",)


def test_where_proc_cannot_be_written_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", denied)
    assert worker_roles.reset_peak() is None
    assert worker_roles.peak(None) is None


def test_memory_that_was_freed_is_given_back_before_it_is_weighed() -> None:
    """Else what comes next would fit into it, and weigh nothing: small blocks lie in one heap, which stays."""
    if worker_roles.reset_peak() is None:
        pytest.skip("this system does not tell a process's peak memory")
    small = [bytearray(100_000) for _ in range(600)]
    held = worker_roles.reset_peak()
    del small[:-1]
    freed = worker_roles.reset_peak()
    assert held is not None
    assert freed is not None
    assert held - freed > 40 * MIB
