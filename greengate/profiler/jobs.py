"""What a backend is asked to do, and what it answers; plain nouns that cross a process border as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from greengate.answers import WHOLE, Slice
from greengate.power import WindowRole
from greengate.profile import File, Gpu, Input, Layer, Measurement, Missing, Role, WorkloadSpec
from greengate.recipe import NO_RECIPE, Recipe

#: Codes by which a model refuses a workload, not the gate.
UNFED = frozenset({"input-open", "input-mismatch", "recorded-data", "batch-mismatch", "model-unsupported"})


@dataclass(frozen=True)
class CountJob:
    """Read the files, resolve the inputs, and take every exact metric of one model.

    `lenient`: a model that cannot be fed under this workload is not refused; what its files tell is answered, with
    no inputs and no feed. It is what a baseline may be that was made for other inputs.
    """

    path: str
    workload: WorkloadSpec
    lenient: bool = False
    recipe: Recipe = NO_RECIPE


@dataclass(frozen=True)
class Counted:
    """Answer to CountJob. `measurements` has size, params, macs, flops and activation_memory.

    `unrun` is why the model cannot run here, so that its operations were counted without running it, or not at all.
    `gpus` are the boards it ran on.
    """

    files: tuple[File, ...]
    inputs: tuple[Input, ...]
    feed: str
    runtime: Mapping[str, str]
    measurements: Mapping[str, Measurement | Missing]
    notes: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    unrun: Missing | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()


#: What a timed or metered call is: the workload's inference, or a text that it asks to be generated.
Doing = Literal["inference", "generation"]


@dataclass(frozen=True)
class LaunchJob:
    """Load every model of `paths` in the given order, warm up, and time single calls in turn.

    `paths` maps a role to a file; one role alone is timed by itself. Timing goes on for `seconds` of calls and
    `min_calls` calls of each role; then until there are `enough_calls` or `most_seconds` are spent; never beyond
    `max_calls`. `cpus` pin the process where the system allows. A call is what `doing` says.
    """

    paths: Mapping[Role, str]
    order: tuple[Role, ...]
    workload: WorkloadSpec
    seed: int
    seconds: float
    min_calls: int
    max_calls: int
    cpus: tuple[int, ...] = ()
    enough_calls: int = 0
    most_seconds: float = 0.0
    recipes: Mapping[Role, Recipe] = field(default_factory=dict)
    doing: Doing = "inference"


@dataclass(frozen=True)
class EnergyJob:
    """Load every model of `paths`, stay idle for a while, then run each in windows: `order`, and back again.

    A window lasts at least `seconds` and `min_calls` calls. Counters are read by whoever asks, by the monotonic clock.
    """

    paths: Mapping[Role, str]
    order: tuple[Role, ...]
    workload: WorkloadSpec
    seed: int
    seconds: float
    min_calls: int
    idle: float
    cpus: tuple[int, ...] = ()
    recipes: Mapping[Role, Recipe] = field(default_factory=dict)
    doing: Doing = "inference"


@dataclass(frozen=True)
class Stretch:
    """A window as a worker ran it: begin and end in ns of the monotonic clock, and the calls in between."""

    role: WindowRole
    start: int
    end: int
    calls: int


@dataclass(frozen=True)
class Ran:
    """Answer to EnergyJob: the windows, and the devices the models ran on, `cpu` or a board's UUID."""

    stretches: tuple[Stretch, ...]
    devices: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FootprintJob:
    """Load one model in a process of its own and run it: load time and peak memory above the empty worker."""

    path: str
    workload: WorkloadSpec
    seed: int
    cpus: tuple[int, ...] = ()
    recipe: Recipe = NO_RECIPE


@dataclass(frozen=True)
class SimulateJob:
    """Load one model under valgrind, run it to warm up, then once more or several times while instructions are counted.

    `begun` and `deadline` are seconds of the system's monotonic clock; a call that would end later is not begun.
    `cache`: one is simulated too. `other`: calls on other values tell whether the count depends on them.
    """

    path: str
    workload: WorkloadSpec
    seed: int
    begun: float
    deadline: float
    cache: bool = False
    other: bool = False
    recipe: Recipe = NO_RECIPE


@dataclass(frozen=True)
class Called:
    """Answer to SimulateJob: on how many feeds calls were counted, the workload's first, and how many calls on each.

    `call_seconds` is what one call took there; with none counted, `needed` is how many seconds it would have taken.
    """

    counted: int
    calls: int
    call_seconds: float
    needed: float = 0.0
    libraries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sampled:
    """Answer to LaunchJob and FootprintJob: samples[role][series], see profile.Launch; a footprint's role is candidate.

    `seconds` is the time spent inside calls, `notes` what a reader should know (not steady ...), `feeds` how many
    inputs the calls went through.
    """

    samples: Mapping[str, Mapping[str, tuple[int, ...]]]
    seconds: float
    notes: tuple[str, ...] = ()
    feeds: int = 1


@dataclass(frozen=True)
class ScoreJob:
    """Run one model over the labelled samples of an .npz file, in batches, for one of evaluation.SCORES.

    Samples outside of `slice` are left out.
    Of the workload counts how the model is run, and inputs of one value that the file does not hold.
    """

    path: str
    data: str
    metric: str
    threads: int
    batch_size: int
    workload: WorkloadSpec = field(default_factory=WorkloadSpec)
    recipe: Recipe = NO_RECIPE
    slice: Slice = WHOLE


@dataclass(frozen=True)
class Scored:
    """Answer to ScoreJob: what the score needs of each sample, see evaluation.columns."""

    columns: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class ExportJob:
    """Write one model to `onnx` as an ONNX file, and what it is fed under this workload to the .npz file `feed`."""

    path: str
    workload: WorkloadSpec
    onnx: str
    feed: str
    recipe: Recipe = NO_RECIPE


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of two forms of a model are apart: `outputs` of them, on all that the workload feeds.

    `apart` is the largest absolute difference of two finite floats and `largest` the largest magnitude on the first
    side. `unequal` of all `elements` are whole numbers that differ, or not finite on one side only.
    """

    outputs: int
    elements: int
    apart: float
    largest: float
    unequal: int


@dataclass(frozen=True)
class Exported:
    """Answer to ExportJob. `agreement` is Missing where the runtime cannot run what was exported."""

    by: Mapping[str, str]
    agreement: Agreement | Missing
    notes: tuple[str, ...] = ()


#: What every backend does; only models of PyTorch are exported.
Measuring = CountJob | LaunchJob | FootprintJob | EnergyJob | SimulateJob | ScoreJob

Job = Measuring | ExportJob
Answer = Counted | Sampled | Ran | Called | Scored | Exported

#: What each job is answered with.
ANSWERS: Mapping[type[Job], type[Answer]] = {
    CountJob: Counted,
    LaunchJob: Sampled,
    FootprintJob: Sampled,
    EnergyJob: Ran,
    SimulateJob: Called,
    ScoreJob: Scored,
    ExportJob: Exported,
}


class Refused(Exception):  # noqa: N818 - an answer, not an accident
    """The model cannot be measured as given: the user's input is at fault (exit 2). Crosses the process border."""

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


class WorkerFailed(Exception):  # noqa: N818
    """The worker crashed, hung or ran out of memory: its metrics become Missing (exit 3), with this reason."""

    def __init__(self, reason: str, help: str = "") -> None:
        super().__init__(reason)
        self.reason, self.help = reason, help

    @property
    def out_of_memory(self) -> bool:
        """Whether less work at once might have fitted."""
        return "out of memory" in self.reason
