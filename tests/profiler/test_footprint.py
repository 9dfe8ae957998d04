"""What loading a model takes, in time and memory, and what it does not: making the inputs is greengate's own work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import needs
import pytest

needs.package("torch")

import torch  # noqa: E402

from greengate.profile import InputSpec, WorkloadSpec  # noqa: E402
from greengate.profiler import feed  # noqa: E402
from greengate.profiler.backends import torch_session  # noqa: E402
from greengate.profiler.jobs import FootprintJob, Sampled  # noqa: E402

X = (InputSpec("input", (1, 4)),)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own", None)


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
