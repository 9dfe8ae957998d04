"""Models that change their inputs in place: every call gets what the first one got, or nothing is told."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest

needs.package("torch")

import torch  # noqa: E402
from fake_board import Cuda  # noqa: E402

from greengate.profile import InputSpec, Measurement, WorkloadSpec  # noqa: E402
from greengate.profiler import pairing  # noqa: E402
from greengate.profiler.backends import torch_count, torch_renew, torch_run, torch_session  # noqa: E402
from greengate.profiler.backends.torch_device import BLOCK, Board  # noqa: E402
from greengate.profiler.backends.torch_memory import board_memory  # noqa: E402
from greengate.profiler.instructions import calls  # noqa: E402
from greengate.profiler.jobs import (  # noqa: E402
    Counted,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Sampled,
    ScoreJob,
    SimulateJob,
    WorkerFailed,
)
from greengate.recipe import NO_RECIPE  # noqa: E402

NET = """
import torch
from torch import nn
SEEN = []
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 100)
    def forward(self, x):
        SEEN.append(x.flatten()[0].item())
        {change}
        found = self.body(x)
        return self.head(found) if SEEN[-1] >= 1 else found
def make(): return Net()
"""
#: What changes an input in place, and leaves the next call another one.
CHANGE = {
    "divides": "x /= 255.0",
    "in a chain": "x.sub_(1.0).div_(9.0)",
    "resizes": "y = x.clone(); x.resize_(1, 1); x = y",
}
X = WorkloadSpec(inputs=(InputSpec("x", (1, 4), value=2.0),))
HEAVY = 4 * 4 + 4 * 100

pytestmark = pytest.mark.usefixtures("home")


def own(change: str = "x /= 255.0", text: str = NET) -> str:
    Path("own.py").write_text(textwrap.dedent(text).replace("{change}", change))
    return str(Path("own:make").absolute())


def run(job: Any) -> Any:
    return torch_session.run(job, lambda _: None)


def count(path: str, spec: WorkloadSpec = X) -> Counted:
    found = run(CountJob(path, spec))
    assert isinstance(found, Counted)
    return found


def macs(found: Counted) -> float:
    told = found.measurements["macs"]
    assert isinstance(told, Measurement), told
    return told.value


def seen() -> set[float]:
    """Return the first number of everything that any call got since the model was made."""
    return set(sys.modules["own"].SEEN)


# --- counting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGE)
def test_a_model_is_counted_on_its_inputs_as_they_were(change: str) -> None:
    found = count(own(CHANGE[change]))
    assert macs(found) == HEAVY
    assert seen() == {2.0}, "the trial, the count, the cross-check and the memory"
    assert torch_renew.NOTE in found.notes
    assert isinstance(found.measurements["activation_memory"], Measurement)


def test_the_memory_of_a_call_is_without_the_copy_of_its_inputs() -> None:
    wide = WorkloadSpec(inputs=(InputSpec("x", (1000, 4), value=2.0),))
    found, other = (count(own(change), wide).measurements["activation_memory"] for change in ("x /= 1.5", "pass"))
    assert isinstance(found, Measurement)
    assert isinstance(other, Measurement)
    assert abs(found.value - other.value) < 100


def test_ids_that_a_model_moves_do_not_leave_its_table() -> None:
    path = own(
        text="""
        import torch
        from torch import nn
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.table, self.head = nn.Embedding(100, 4), nn.Linear(4, 3)
            def forward(self, ids):
                ids += 10
                return self.head(self.table(ids))
        def make(): return Net()
        """
    )
    spec = WorkloadSpec(inputs=(InputSpec("ids", (1, 4), "int64", max=90),))
    assert macs(count(path, spec)) == 4 * 4 * 3
    assert run(LaunchJob({"candidate": path}, ("candidate",), spec, 1, 0.01, 20, 40)).samples


def test_inputs_that_share_memory_and_containers_are_as_they_were() -> None:
    path = own(
        text="""
        import torch
        from torch import nn
        class Net(nn.Linear):
            def forward(self, batch, *, states):
                whole, part = batch["whole"], batch.pop("parts")[1]
                assert whole.tolist() == list(range(8))
                whole += 1
                assert part.tolist() == [5.0, 6.0, 7.0, 8.0], "a view of the other"
                assert len(states) == 1
                states.append(part)
                return super().forward(part)
        def make(): return Net(4, 3)
        def inputs():
            whole = torch.arange(8.0)
            return {"batch": {"whole": whole, "parts": (0, whole[4:])}, "states": [whole[:1]]}
        """
    )
    spec = WorkloadSpec(inputs_from=path.replace("make", "inputs"))
    found = count(path, spec)
    assert macs(found) == 12
    assert torch_renew.NOTE in found.notes
    paths: Any = {"candidate": path, "baseline": path}
    assert run(LaunchJob(paths, tuple(paths), spec, 1, 0.01, 4, 40)).samples
    assert run(FootprintJob(path, spec, 0)).samples


def test_of_a_model_that_changes_nothing_nothing_is_said() -> None:
    found = count(own("x = x / 255.0"))
    assert torch_renew.NOTE not in found.notes
    assert macs(found) == HEAVY


# --- timing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGE)
@pytest.mark.parametrize("precision", [None, "bf16"])
def test_every_timed_call_gets_the_inputs_as_they_were(change: str, precision: Any) -> None:
    path = own(CHANGE[change])
    paths: Any = {"candidate": path, "baseline": path}
    run(LaunchJob(paths, tuple(paths), replace(X, precision=precision), 1, 0.01, 4, 40))
    assert seen() == {2.0}


def test_copies_are_made_outside_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    real, timed = torch_renew.copied, pairing.on_host
    monkeypatch.setattr(torch_renew, "copied", lambda call: (log.append("copy"), real(call))[1])

    def on_host(call: pairing.Call, feed: int) -> Any:
        log.append("clock")
        found = timed(call, feed)
        log.append("end")
        return found

    monkeypatch.setattr(pairing, "on_host", on_host)
    run(LaunchJob({"candidate": own()}, ("candidate",), X, 1, 0.01, 4, 8))
    assert log[:4] == ["copy", "copy", "clock", "end"], "one is kept from the first call, then one for each"
    assert set("".join(word[0] for word in log[1:]).split("cce")) == {""}


def test_a_model_that_changes_nothing_is_timed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    real = pairing.launch

    def launch(*told: Any) -> Any:
        given.append(told)
        return real(*told)

    monkeypatch.setattr(pairing, "launch", launch)
    run(LaunchJob({"candidate": own("pass")}, ("candidate",), X, 1, 0.01, 4, 8))
    (((called, _, _, timer)),) = given
    assert timer is pairing.on_host
    assert isinstance(called["candidate"].__self__, torch_run.Ready)


def test_models_that_are_compared_are_both_timed_on_copies_or_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy before each call of one would make it the slower one, whatever it computes."""
    given: list[Any] = []
    real = pairing.launch

    def launch(*told: Any) -> Any:
        given.append(told[0])
        return real(*told)

    monkeypatch.setattr(pairing, "launch", launch)
    careless = own()
    Path("neat.py").write_text(Path("own.py").read_text().replace("x /= 255.0", "x = x / 255.0"))
    paths: Any = {"candidate": careless, "baseline": careless.replace("own", "neat")}
    found = run(LaunchJob(paths, tuple(paths), X, 1, 0.01, 4, 8))
    for name in ("own", "neat"):
        sys.modules.pop(name, None)
    assert all(isinstance(call, torch_renew.Renewing) for call in given[0].values())
    assert torch_renew.PAIRED in found.notes
    assert torch_renew.PAIRED not in run(LaunchJob({"candidate": own("pass")}, ("candidate",), X, 1, 0.01, 4, 8)).notes


def test_a_model_that_changes_its_inputs_in_later_calls_only_is_not_timed() -> None:
    path = own("x.mul_(1 + (len(SEEN) > 3))")
    job = LaunchJob({"candidate": path}, ("candidate",), X, 1, 0.01, 4, 8)
    with pytest.raises(WorkerFailed, match=r"candidate: it changes its inputs in place, and not in its first") as told:
        run(job)
    assert "x = x / 255" in told.value.help


def test_a_model_that_changes_its_inputs_is_not_metered() -> None:
    path = own()
    with pytest.raises(WorkerFailed, match=r"the candidate: it changes its inputs in place, .* draw energy") as told:
        run(EnergyJob({"candidate": path}, ("candidate",), X, 0, 0.01, 3, 0.0))
    assert "x = x / 255" in told.value.help


def test_on_a_board_all_copies_of_a_block_are_there_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    api, path = Cuda(), own()
    monkeypatch.setattr(torch_session, "on_board", lambda _: Board(api, 0))
    real = torch_renew.copied
    monkeypatch.setattr(torch_renew, "copied", lambda call: (api.log.append("copy"), real(call))[1])
    renewing = torch_renew.Renewing(torch_run.ready(path, NO_RECIPE, X))
    walls, _ = torch_renew.on_board(Board(api, 0))(renewing, 0)
    assert len(walls) == BLOCK
    assert api.log == ["copy"] * BLOCK + ["synchronize"] * 2
    sys.modules.pop("own")
    run(LaunchJob({"candidate": path}, ("candidate",), X, 1, 0.01, 16, 40))
    assert seen() == {2.0}


def test_the_memory_of_a_call_on_a_board_is_without_the_copy_too() -> None:
    api = Cuda()
    told = board_memory(Board(api, 0), lambda: None, lambda: api.hold(5000))
    assert told.value == 0


# --- weighing, counting instructions, scoring ----------------------------------------------------


@pytest.mark.parametrize("change", CHANGE)
def test_every_call_that_is_weighed_gets_the_inputs_as_they_were(change: str) -> None:
    found = run(FootprintJob(own(CHANGE[change]), X, 0))
    assert isinstance(found, Sampled)
    assert found.samples["candidate"].keys() == {"load", "peak"}
    assert seen() == {2.0}


class Tool:
    """Stands in for callgrind: counts nothing, and notes when it does."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def count(self, call: Any) -> None:
        self.log.append("count")
        call()
        self.log.append("end")

    def counted(self) -> int:
        return 5_000_000

    def forget(self) -> None:
        """Forget nothing."""


def test_instructions_are_counted_on_inputs_as_they_were_and_without_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(calls, "Callgrind", lambda: Tool(log))
    real = torch_renew.copied
    monkeypatch.setattr(torch_renew, "copied", lambda call: (log.append("copy"), real(call))[1])
    found = run(SimulateJob(own(), X, 0, 0.0, 1e12))
    assert found.calls == 3
    assert seen() == {2.0}
    inside = "".join(word[0] for word in log).replace("ce", "|")  # copy or count, then end
    assert inside.count("|") == 4
    assert log.count("end") == 4
    assert all(after == "end" for before, after in pairwise(log) if before == "count")


def test_every_labelled_sample_is_seen_as_it_is() -> None:
    path = own()
    np.savez("val.npz", x=np.full((4, 4), 2.0, "float32"), labels=np.zeros(4, int))
    run(ScoreJob(path, str(Path("val.npz").absolute()), "top1", 1, 2, X))
    assert seen() == {2.0}


def test_a_board_has_its_copies_where_operations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_count, "device_of", lambda _: Board(Cuda(), 0))
    assert macs(count(own())) == HEAVY
    assert seen() == {2.0}
    assert not torch.is_inference_mode_enabled()
