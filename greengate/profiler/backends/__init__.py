"""One interface and one table: which backend measures which kind of file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, overload

from greengate.budget import WorkerLimits
from greengate.profile import Hardware, Missing
from greengate.profiler.instructions.callgrind import Simulated
from greengate.profiler.jobs import (
    Counted,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Ran,
    Refused,
    Sampled,
    Scored,
    ScoreJob,
    SimulateJob,
)
from greengate.profiler.meters.bench import Bench, Energy
from greengate.recipe import names_code


class Backend(Protocol):
    """A module that measures one kind of model file.

    `run` does one job and returns its answer. Raises jobs.Refused when the model or its inputs are at fault and
    jobs.WorkerFailed when measuring broke. `hardware` says what it ran on, `clock` is what its seconds mean.
    """

    @overload
    def run(self, job: CountJob, limits: WorkerLimits) -> Counted: ...
    @overload
    def run(self, job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
    @overload
    def run(self, job: EnergyJob, limits: WorkerLimits) -> Ran: ...
    def score(self, job: ScoreJob, limits: WorkerLimits) -> Scored:
        """Run a model over labelled samples; return what its score needs of each. Raises as `run` does."""
        ...

    def simulate(self, job: SimulateJob, limits: WorkerLimits) -> Simulated | Missing:
        """Count the instructions of one call on a simulated processor, or say why not. Raises as `run` does."""
        ...

    def hardware(self) -> Hardware:
        """Return the machine its measurements belong to."""
        ...

    def clock(self) -> float:
        """Return seconds on the clock that time budgets are counted on."""
        ...

    def meters(self, path: str, energy: Energy) -> AbstractContextManager[Bench]:
        """Open the counters of energy that the model at `path` is metered with."""
        ...


@dataclass(frozen=True)
class Format:
    """One row of the table: a format's name, the endings of its files, and the module that measures it.

    `recognises` tells its paths where endings cannot, `about` names those in words. `timed` formats run on this
    machine's clock, and want the machine for themselves while they do. `unexported` says why one has no ONNX twin.
    """

    name: str
    endings: tuple[str, ...]
    load: Callable[[], Backend]
    timed: bool = True
    recognises: Callable[[str], bool] = lambda _: False
    about: str = ""
    unexported: str = ""


def _module(name: str) -> Callable[[], Backend]:
    return lambda: import_module(f"greengate.profiler.backends.{name}")


def _is_folder(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "config.json"))  # noqa: PTH113, PTH118 - asked of every path


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format("onnx", (".onnx",), _module("onnx"), unexported="it is an ONNX model already"),
        Format("torchscript", (".pt", ".jit"), _module("torch"), unexported="PyTorch does not export TorchScript"),
        Format("torch.export", (".pt2",), _module("torch")),
        Format("code", (), _module("torch"), recognises=names_code, about="code, `package.module:function`"),
        Format("transformers", (), _module("torch"), recognises=_is_folder, about="a folder with config.json"),
        Format("fake", (".fake.yaml",), _module("fake"), timed=False, unexported="there is no network behind it"),
    )
}


def format_of(path: str) -> Format:
    """Return the format of a file by its ending. Raises jobs.Refused where no backend reads it."""
    for row in FORMATS.values():
        if path.endswith(row.endings) or row.recognises(path):
            return row
    known = ", ".join(ending for row in FORMATS.values() for ending in row.endings if row.name != "fake")
    others = " or ".join(row.about for row in FORMATS.values() if row.about)
    raise Refused("model-format", f"no backend reads {path!r}", f"name a file that ends in one of {known}; {others}")
