"""A model whose costs are written down (`*.fake.yaml`): the whole command line runs on it exactly, in milliseconds.

It runs in this process, on a clock of its own that advances by what the file says a launch takes.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

from greengate import yamlspan
from greengate.budget import WorkerLimits
from greengate.metrics import METRICS
from greengate.profile import File, Hardware, Input, Measurement, Missing, Role
from greengate.profiler.backends import fake_meters, fake_simulation
from greengate.profiler.backends.fake_meters import Draw, FakeBench
from greengate.profiler.instructions.callgrind import Simulated
from greengate.profiler.jobs import (
    UNFED,
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
    WorkerFailed,
)
from greengate.profiler.meters.bench import Bench, Energy
from greengate.units import Delta, QuantityError, parse_delta, parse_quantity

#: Seconds on this backend's clock that starting a worker takes.
STARTING = 0.5

_EXACT = ("size", "params", "macs", "activation_memory")
_COUNTED = (*_EXACT, *fake_simulation.EXACT)
_TIMES = ("latency", "cpu_time", "load_time")
_TEXT = ("first_token", "each_token", "token_energy")
_NOISES = ("noise", "launch_noise", "window_noise")
_WORDS = ("unknown_op", "breaks", "refuses", "cannot_run", "note", "meter", "hits", *fake_simulation.WORDS)
_KEYS = ("fake", *_COUNTED, *_TIMES, *_TEXT, *_NOISES, *_WORDS, *fake_meters.KEYS, "peak_memory", "input", "kernels")

_elapsed_ns = 0
#: The counters that are open, if any are.
_bench: FakeBench | None = None


@dataclass(frozen=True)
class Costs:
    """What the file says one call costs: SI units; noises are standard deviations of the logarithm."""

    file: File
    exact: Mapping[str, float]
    seconds: Mapping[str, float]
    peak_memory: float
    noise: Mapping[str, float]
    words: Mapping[str, str]
    input: tuple[int, ...]
    joules: Mapping[str, float]
    kernels: Mapping[str, float]

    @property
    def draw(self) -> Draw:
        """What the file says of energy."""
        return Draw(
            self.joules, self.seconds["latency"], self.noise["window_noise"], self.words.get("meter", "counter")
        )

    def text_seconds(self, tokens: int) -> float:
        """Return the seconds of a text of so many new tokens. Raises WorkerFailed where the file has none."""
        if "first_token" not in self.seconds:
            raise WorkerFailed("the fake says nothing of text", "write `first_token: 20 ms` and `each_token: 5 ms`")
        return self.seconds["first_token"] + (tokens - 1) * self.seconds.get("each_token", 0.0)

    def text_draw(self, tokens: int) -> Draw:
        """Return what a text of so many new tokens draws; its joules are the processor's."""
        joules = {"energy": tokens * self.joules.get("token_energy", 0.0)}
        return replace(self.draw, joules=joules, latency=self.text_seconds(tokens))


@overload
def run(job: CountJob, limits: WorkerLimits) -> Counted: ...
@overload
def run(job: LaunchJob | FootprintJob, limits: WorkerLimits) -> Sampled: ...
@overload
def run(job: EnergyJob, limits: WorkerLimits) -> Ran: ...
def run(job: CountJob | LaunchJob | FootprintJob | EnergyJob, limits: WorkerLimits) -> Counted | Sampled | Ran:
    """Do one job by reading the costs. Raises Refused and WorkerFailed where the file says so."""
    del limits
    if isinstance(job, CountJob):
        return _count(_read(job.path, "count", job.lenient), job)
    if isinstance(job, FootprintJob):
        return _footprint(_read(job.path, "footprint"), job)
    if isinstance(job, EnergyJob):
        read = {role: _read(path, "energy") for role, path in job.paths.items()}
        tokens = _tokens(job)
        return _energy({role: one.text_draw(tokens) if tokens else one.draw for role, one in read.items()}, job)
    return _launch({role: _read(path, "launch") for role, path in job.paths.items()}, job)


def score(job: ScoreJob, limits: WorkerLimits) -> Scored:
    """Return the samples that the fake says it gets right of how many: `90/100, rare 5/10, 3+7 5/10`.

    A word is a file rare.npz, a mask, or labels. Raises Refused where it says nothing.
    """
    del limits
    said = [item.split() for item in _read(job.path, "score").words.get("hits", "").split(",")]
    counts = {"".join(words[:-1]): words[-1] for words in said if words}
    part = job.slice.mask or "+".join(map(str, job.slice.labels))
    said_of = counts.get(part, "") if part else counts.get(Path(job.data).stem, counts.get("", ""))
    hits, _, n = said_of.partition("/")
    if not n or not job.metric.startswith("top"):
        message = f"the fake says nothing of {job.metric}{f' {job.slice}' if part else ''}"
        raise Refused("recorded-data", message, "write `hits: 90/100`")
    return Scored({"hit": (1.0,) * int(hits) + (0.0,) * (int(n) - int(hits))})


def simulate(job: SimulateJob, limits: WorkerLimits) -> Simulated | Missing:
    """Return the instructions that the file says. Raises Refused and WorkerFailed where the file says so."""
    del limits
    costs = _read(job.path, "simulate")
    return fake_simulation.simulate(costs.exact, costs.kernels, costs.words, job)


def hardware() -> Hardware:
    """Return a machine that exists nowhere else, so that nothing real is ever compared with it."""
    return Hardware("fake CPU", "fake", 2, ("fake",), 8 * 1024**3, "fake")


def clock() -> float:
    """Return the seconds that this backend's launches took by their own account."""
    return _elapsed_ns * 1e-9


def _spend(seconds: float) -> None:
    global _elapsed_ns  # noqa: PLW0603 - a clock is one for the process
    _elapsed_ns += round(seconds * 1e9)


def _read(path: str, doing: str, lenient: bool = False) -> Costs:
    if not Path(path).is_file():
        raise Refused("model-missing", f"{path} does not exist", "check `path`; it starts at the budget's folder")
    try:
        node = yamlspan.data(yamlspan.load(Path(path), Path(path).name))
    except yamlspan.YamlError as error:
        first = error.diagnostics[0]
        raise Refused("model-invalid", first.message, first.help) from error
    if not isinstance(node, dict) or node.get("fake") != 1:
        raise Refused("model-invalid", f"{path} does not begin with `fake: 1`", "write the costs of one call")
    if unknown := [key for key in node if key not in _KEYS]:
        raise Refused("model-invalid", f"{path} has the unknown key {unknown[0]!r}", f"use {', '.join(_KEYS)}")
    words = {key: str(node[key]) for key in _WORDS if key in node}
    if words.get("breaks", "").startswith(f"{doing}:"):
        raise WorkerFailed(words["breaks"].partition(":")[2].strip(), "this model breaks on purpose")
    if "refuses" in words:
        code, _, message = words["refuses"].partition(":")
        if lenient and code in UNFED:
            return _costs(Path(path), node, words)
        raise Refused(code, message.strip(), "this model refuses on purpose")
    try:
        return _costs(Path(path), node, words)
    except QuantityError as error:
        raise Refused(error.code, f"{path}: {error}", error.help) from error


def _costs(path: Path, node: Mapping[str, object], words: Mapping[str, str]) -> Costs:
    def si(key: str, metric: str) -> float:
        return parse_quantity(str(node[key]), METRICS[metric].dimension)

    latency = si("latency", "latency_p50") if "latency" in node else 0.01
    shares = {key: parse_delta(str(node.get(key, "0%")), "time") for key in _NOISES}
    shape, kernels = node.get("input", [1, 4]), node.get("kernels")
    kernels = kernels if isinstance(kernels, dict) else {}
    return Costs(
        file=File(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size),
        exact={key: si(key, key) for key in _COUNTED if key in node},
        seconds={
            "latency": latency,
            "cpu_time": si("cpu_time", "cpu_time") if "cpu_time" in node else latency,
            "load_time": si("load_time", "load_time") if "load_time" in node else 0.1,
            **{key: si(key, "latency_p50") for key in _TEXT[:2] if key in node},
        },
        peak_memory=si("peak_memory", "peak_memory") if "peak_memory" in node else 50e6,
        noise={key: share.value for key, share in shares.items() if isinstance(share, Delta)},
        words=words,
        joules={key: si(key, "energy_per_1k") for key in (*fake_meters.KEYS, _TEXT[2]) if key in node},
        input=tuple(int(str(item)) for item in shape) if isinstance(shape, list) else (1, 4),
        kernels={name: parse_quantity(str(count), "count") for name, count in kernels.items()},
    )


def _count(costs: Costs, job: CountJob) -> Counted:
    _spend(STARTING)
    found: dict[str, Measurement | Missing] = {
        name: Measurement(costs.exact[name], "declared", detail="written in the fake")
        for name in _EXACT
        if name in costs.exact
    }
    for name in _EXACT:
        found.setdefault(name, Missing(f"the fake does not say {name}"))
    if "unknown_op" in costs.words:
        found["macs"] = Missing(f"the operator {costs.words['unknown_op']} is not understood", "failed")
    if "refuses" in costs.words:
        missing = Missing(f"it cannot run under this workload: {costs.words['refuses']}", "incomparable")
        read = {name: value for name, value in found.items() if METRICS[name].workload_free}
        unfed = {**dict.fromkeys(("macs", "flops", "activation_memory"), missing), **read}
        return Counted((costs.file,), (), "", {}, unfed, unrun=missing)
    macs = found["macs"]
    found["flops"] = macs if isinstance(macs, Missing) else Measurement(2 * macs.value, macs.method, detail=macs.detail)
    shape = (job.workload.batch_size, *costs.input[1:])
    inputs = (Input("x", "float32", shape, "written in the fake"),)
    feed = "sha256:" + hashlib.sha256(repr((shape, job.workload.seed)).encode()).hexdigest()
    notes = (costs.words["note"],) if "note" in costs.words else ()
    if "cannot_run" not in costs.words:
        return Counted((costs.file,), inputs, feed, {"fake": "1"}, found, notes)
    missing = Missing(f"the model cannot run here: {costs.words['cannot_run']}", "failed", "install another runtime")
    static = {
        name: replace(one, method="static")
        for name, one in found.items()
        if name in ("macs", "flops") and isinstance(one, Measurement)
    }
    exact = {**found, **static, "activation_memory": missing}
    return Counted((costs.file,), inputs, feed, {}, exact, notes, unrun=missing)


def _launch(costs: Mapping[Role, Costs], job: LaunchJob) -> Sampled:
    for one in costs.values():
        when, _, why = one.words.get("breaks", "").partition(":")
        begin = when.removeprefix("launch from ")
        if (when == "together" and len(costs) > 1) or (begin.isdigit() and job.seed % 1000 + 1 >= int(begin)):
            raise WorkerFailed(why.strip(), "this model breaks on purpose")
    tokens = _tokens(job)
    seconds = {role: one.text_seconds(tokens) if tokens else one.seconds["latency"] for role, one in costs.items()}
    per_round = sum(seconds.values())
    enough = min(job.enough_calls, math.ceil(job.most_seconds / per_round))
    calls = min(max(job.min_calls, enough, math.ceil(job.seconds / per_round)), job.max_calls)
    samples: dict[str, dict[str, tuple[int, ...]]] = {}
    for role, one in costs.items():
        rng = random.Random(f"{role} launch {job.seed}")  # noqa: S311 - noise, not a secret
        tilt = math.exp(rng.gauss(0, one.noise["launch_noise"]))
        factors = [tilt * math.exp(abs(rng.gauss(0, one.noise["noise"]))) for _ in range(calls)]
        told = {"wall": one.seconds["latency"], "cpu": one.seconds["cpu_time"]}
        if tokens:
            told = {"token": seconds[role] / tokens, "first": one.seconds["first_token"]}
        samples[role] = {name: tuple(round(each * 1e9 * factor) for factor in factors) for name, each in told.items()}
    in_calls = sum(sum(series["token" if tokens else "wall"]) for series in samples.values()) * (tokens or 1) * 1e-9
    _spend(STARTING + in_calls)
    return Sampled(samples, in_calls)


def _tokens(job: LaunchJob | EnergyJob) -> int:
    """Return how many tokens each text has; 0 where inferences are run."""
    spec = job.workload.generate
    return spec.new_tokens if job.doing == "generation" and spec is not None else 0


def _footprint(costs: Costs, job: FootprintJob) -> Sampled:
    rng = random.Random(f"{job.seed} footprint {costs.file.path}")  # noqa: S311 - noise, not a secret
    tilt = math.exp(rng.gauss(0, costs.noise["launch_noise"]))
    _spend(STARTING + costs.seconds["load_time"])
    series = {"load": (round(costs.seconds["load_time"] * 1e9 * tilt),), "peak": (round(costs.peak_memory * tilt),)}
    return Sampled({"candidate": series}, costs.seconds["load_time"])


@contextmanager
def meters(path: str, energy: Energy) -> Iterator[Bench]:
    """Open the counters of the machine that the file describes."""
    global _bench  # noqa: PLW0603 - one machine, one set of counters
    _bench = fake_meters.bench(_read(path, "meters").draw, energy)
    try:
        yield _bench
    finally:
        _bench = None


def _energy(draws: Mapping[Role, Draw], job: EnergyJob) -> Ran:
    _spend(STARTING)
    if _bench is None:
        raise WorkerFailed("nobody opened the counters")
    ran = fake_meters.run(draws, job, _bench)
    _spend((ran.stretches[-1].end - ran.stretches[0].start) * 1e-9)
    return ran
