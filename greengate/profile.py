"""Nouns of measuring: what was measured, on what, with what, and how it was obtained.

All floats are SI base units (s, B, J, kg, MAC, FLOP, 1); metrics.METRICS names each metric's unit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from greengate.answers import Answers
from greengate.calibration import Calibrated
from greengate.generation import Generation
from greengate.power import Domain, Power, Trained, Window
from greengate.simulation import Simulation

Method = Literal[
    "executed",  # counted on the graph as it ran
    "static",  # counted on the graph without running it
    "read",  # read off the files
    "timed",  # a clock around real inferences
    "observed",  # read off the operating system while it ran
    "declared",  # written down by a person
    "evaluated",  # computed on labelled data
    "metered",  # an external meter
    "counter",  # a cumulative hardware counter
    "integrated",  # power samples, integrated
    "estimated",  # a model of the hardware
    "simulated",  # counted on a simulated processor
]

MissingKind = Literal[
    "unsupported",  # this version of greengate cannot measure it anywhere
    "unavailable",  # this machine cannot measure it
    "skipped",  # the caller asked for it not to be measured
    "unsettled",  # measured, but too little data for an honest number
    "incomparable",  # measured on both sides, but not alike enough to compare
    "failed",  # measuring was tried and failed
    "unchanged",  # left out, as the change does not touch the model; never of something that was measured
]

Role = Literal[
    "baseline",
    "candidate",
    "control",  # the baseline a second time: what it differs by is noise
]

Ended = Literal[
    "precision",  # every interval was narrow enough
    "time",  # the time given was spent
    "failure",  # a worker broke
    "none",  # no noisy metric was asked for
]


@dataclass(frozen=True)
class Missing:
    """What was not measured, why, and what to do about it. Never a number."""

    reason: str
    kind: MissingKind = "failed"
    help: str = ""


@dataclass(frozen=True)
class Interval:
    """A confidence interval; `confidence` is its nominal coverage."""

    low: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Measurement:
    """A value of one metric, with how it was obtained.

    `interval` is None only for exact values; `samples` counts the independent observations behind it. `between` is
    the standard deviation of ln(value) between `trials` made apart; None where one trial alone was made.
    """

    value: float
    method: Method
    interval: Interval | None = None
    samples: int = 1
    detail: str = ""
    between: float | None = None
    trials: int = 1


@dataclass(frozen=True)
class File:
    """One file of a model: path relative to the model's folder, content digest, bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Model:
    """A model as found on disk; `digest` covers the file and its external data."""

    name: str
    path: str
    format: str
    digest: str
    files: tuple[File, ...]


def digest_files(files: tuple[File, ...]) -> str:
    """Return the digest of a model's files.

    One file: its own sha256. Several: the sha256 of the lines `sha256sum` prints for them, in order.
    """
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return f"sha256:{files[0].sha256 if len(files) == 1 else hashlib.sha256(lines.encode()).hexdigest()}"


@dataclass(frozen=True)
class Gpu:
    """A board that a model runs on: memory in bytes, the power it may draw in watts (0: not told).

    `partition` is the MIG profile, like `3g.40gb`; empty for a whole board. `facts` are what is worth knowing and
    changes no identity: driver, clocks, the board's own name for itself.
    """

    name: str
    memory: int
    power_limit: float = 0.0
    partition: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hardware:
    """The machine, as far as it changes measurements. Memory in bytes.

    `cpu_share` is how many cores' worth of time a container may use (None: no limit). `gpus` are those the model runs
    on, none where it runs on the CPU. `facts` are what is worth knowing and is no part of the identity.
    """

    cpu: str
    architecture: str
    cores: int
    extensions: tuple[str, ...]
    memory: int
    system: str
    notes: tuple[str, ...] = ()
    cpu_share: float | None = None
    gpus: tuple[Gpu, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """A short stable name for machines whose noisy measurements may be compared."""
        identity = [self.cpu, self.architecture, self.cores, sorted(self.extensions)]
        if self.cpu_share is not None:
            identity += ["cpu_share", self.cpu_share]
        for gpu in self.gpus:
            identity += ["gpu", gpu.name, gpu.memory, gpu.power_limit, gpu.partition]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class InputSpec:
    """How the user describes one input: what the model leaves open. `value` fills the whole tensor."""

    name: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    min: float | None = None
    max: float | None = None
    value: float | None = None


@dataclass(frozen=True)
class Input:
    """One input as it was fed: resolved shape and dtype, and where its values came from."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: str


Precision = Literal["fp32", "tf32", "fp16", "bf16"]


@dataclass(frozen=True)
class WorkloadSpec:
    """What the user asks to be run; `recorded` is an .npz file with inputs, `inputs_from` code that makes them.

    `precision` None: as stored. `compile` and `channels_last` are PyTorch's, `generate` is for language models.
    """

    batch_size: int = 1
    threads: int = 1
    seed: int = 0
    inputs: tuple[InputSpec, ...] = ()
    recorded: str | None = None
    inputs_from: str | None = None
    device: str = "cpu"
    precision: Precision | None = None
    compile: bool = False
    channels_last: bool = False
    generate: Generation | None = None


@dataclass(frozen=True)
class Workload:
    """What was run: batch, threads, the bytes fed and what was `asked` for, by digest, and the runtime's settings."""

    batch_size: int
    threads: int
    seed: int
    inputs: tuple[Input, ...]
    feed: str
    precision: str = "as stored"
    settings: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""


@dataclass(frozen=True)
class Layer:
    """One node as it ran, per call: `macs` None where not understood, bytes of its own weights and outputs."""

    name: str
    op: str
    macs: int | None
    params: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0


@dataclass(frozen=True)
class Profile:
    """All measurements of one model, on one hardware, under one workload.

    `launches` are the raw samples of a model measured by itself, `looks` their number at each look, as in a Trial; a
    profile within a trial, or in a store, has none. `answers` of accuracies are by metric, `calibrated` is of energy.
    """

    model: Model
    hardware: Hardware
    workload: Workload
    runtime: Mapping[str, str]
    measurements: Mapping[str, Measurement | Missing]
    created: str
    greengate: str
    notes: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    launches: tuple[Launch, ...] = ()
    looks: tuple[int, ...] = ()
    power: Power | None = None
    simulation: Simulation | None = None
    answers: Mapping[str, Answers] = field(default_factory=dict)
    calibrated: Calibrated | None = None
    trained: Trained | None = None


@dataclass(frozen=True)
class Launch:
    """Raw samples of one fresh worker process.

    `samples[role][series]` are integers: `wall` and `cpu` in ns per call, paired by index across roles unless the
    models ran in processes of their own (not `together`); `load` in ns and `peak` in bytes, one each. `seconds` were
    spent inside calls, warm-up included, `took` in all. Of `feeds` inputs call i of a role got (first + i // 2) % feeds
    (see pairing.first_feed). A launch that metered energy has `windows` and no samples, with the `domains` read, the
    `devices` that the models ran on, and `faults`: why readings cannot be used.
    """

    seed: int
    order: tuple[Role, ...]
    samples: Mapping[str, Mapping[str, tuple[int, ...]]]
    seconds: float
    together: bool = True
    took: float = 0.0
    feeds: int = 1
    windows: tuple[Window, ...] = ()
    domains: tuple[Domain, ...] = ()
    devices: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """Baseline and candidate measured together, why it ended, and how many launches there were at each look."""

    baseline: Profile
    candidate: Profile
    launches: tuple[Launch, ...]
    ended_by: Ended
    seconds: float
    notes: tuple[str, ...] = field(default=())
    looks: tuple[int, ...] = ()
