"""METRICS: the one table of what can be measured; and what a user calls an accuracy of his own, by its family's row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from greengate.units import Dimension

Kind = Literal["exact", "noisy", "derived", "declared"]


@dataclass(frozen=True)
class Metric:
    """One thing that can be measured; `dimension` fixes its SI unit (see units.UNITS).

    exact: the same number wherever workload and feed match. noisy: compared only within one trial or against
    a profile of matching hardware. `workload_free` metrics are properties of the files alone.
    `runtime_bound` metrics compare only under equal runtime versions and vector extensions, `simulated` ones wherever
    runtime and simulated processor match.
    """

    id: str
    title: str
    dimension: Dimension
    kind: Kind
    better: Literal["lower", "higher"]
    about: str
    workload_free: bool = False
    runtime_bound: bool = False
    simulated: bool = False
    source: str = ""  # the metric that a derived one is computed from
    measured: bool = True  # False: known, but no code of this version measures it


_ROWS = (
    Metric("macs", "MACs", "macs", "exact", "lower", "multiply-accumulates per item, on the graph as executed"),
    Metric("flops", "FLOPs", "flops", "exact", "lower", "2 x MACs per item; element-wise operations are not in it"),
    Metric("elementwise_ops", "Element-wise ops", "count", "exact", "lower", "operations per item that are no MACs"),
    Metric(
        "quantized_share",
        "Quantised share",
        "ratio",
        "exact",
        "higher",
        "share of MACs that run in 8 bits or fewer",
        runtime_bound=True,
    ),
    Metric("params", "Parameters", "count", "exact", "lower", "elements of the stored weights", workload_free=True),
    Metric(
        "weight_bits", "Bits a weight", "count", "exact", "lower", "mean bits of a stored weight", workload_free=True
    ),
    Metric("size", "Size", "bytes", "exact", "lower", "bytes on disk, external data included", workload_free=True),
    Metric(
        "activation_memory",
        "Activation memory",
        "bytes",
        "exact",
        "lower",
        "peak of the runtime's arena during one call",
        runtime_bound=True,
    ),
    Metric(
        "instructions",
        "Instructions",
        "count",
        "exact",
        "lower",
        "instructions per item on a simulated processor",
        simulated=True,
    ),
    Metric(
        "data_traffic",
        "Data traffic",
        "bytes",
        "exact",
        "lower",
        "bytes per item that a simulated first-level cache fetches",
        simulated=True,
    ),
    Metric("latency_p50", "Latency p50", "time", "noisy", "lower", "median wall-clock time of a batch call"),
    Metric("latency_p95", "Latency p95", "time", "noisy", "lower", "95th percentile of the wall-clock time of a call"),
    Metric("latency_p99", "Latency p99", "time", "noisy", "lower", "99th percentile; from 1,000 calls on"),
    Metric("throughput", "Throughput", "rate", "noisy", "higher", "items per second of wall-clock time"),
    Metric(
        "time_to_first_token", "Time to first token", "time", "noisy", "lower", "from the prompt to the first new token"
    ),
    Metric(
        "tokens_per_second", "Tokens per second", "rate", "noisy", "higher", "new tokens; the prompt takes time too"
    ),
    Metric("cpu_time", "CPU time", "time", "noisy", "lower", "process CPU time per inference"),
    Metric("peak_memory", "Peak memory", "bytes", "noisy", "lower", "highest at load and run, above the empty worker"),
    Metric("load_time", "Load time", "time", "noisy", "lower", "from the file to a ready model"),
    Metric("energy_per_1k", "Energy per 1k", "energy", "noisy", "lower", "gross energy of 1,000 items"),
    Metric("cpu_energy_per_1k", "CPU energy per 1k", "energy", "noisy", "lower", "package and DRAM"),
    Metric("gpu_energy_per_1k", "GPU energy per 1k", "energy", "noisy", "lower", "every GPU used"),
    Metric("energy_per_1k_tokens", "Energy per 1k tokens", "energy", "noisy", "lower", "gross, prompt included"),
    Metric(
        "co2e_per_1k",
        "CO2e per 1k",
        "mass",
        "derived",
        "lower",
        "energy x a pinned intensity",
        source="energy_per_1k",
    ),
    Metric(
        "training_energy", "Training energy", "energy", "declared", "lower", "drawn by training", workload_free=True
    ),
    Metric("training_co2e", "Training CO2e", "mass", "declared", "lower", "what training emitted", workload_free=True),
    Metric(
        "error", "Error", "count", "declared", "lower", "any number, such as the mean squared error", measured=False
    ),
    Metric("error_rate", "Error rate", "ratio", "declared", "lower", "any ratio, lower is better", measured=False),
    Metric("score", "Score", "count", "declared", "higher", "any number, higher is better", measured=False),
    Metric("accuracy", "Accuracy", "ratio", "declared", "higher", "any ratio, higher is better", measured=False),
)

#: What a model is judged by beside what it costs: whether it is a ratio, which way is better.
FAMILIES: dict[tuple[bool, str], str] = {
    (row.dimension == "ratio", row.better): row.id for row in _ROWS if row.kind == "declared" and not row.measured
}


class _Table(dict[str, Metric]):
    """The rows by id, in order. An accuracy with a name of its own, `accuracy.f1`, has its family's row."""

    def __contains__(self, id: object) -> bool:
        return super().__contains__(id) or (isinstance(id, str) and bool(_named(id)))

    def __missing__(self, id: str) -> Metric:
        if not (name := _named(id)):
            raise KeyError(id)
        family = self[family_of(id)]
        return replace(family, id=id, title=name, about=f"{family.title.lower()} called {name}: {family.about}")


METRICS: dict[str, Metric] = _Table({row.id: row for row in _ROWS})

#: The metrics that a simulated processor gives; it is slow, so that they are measured only where they are asked for.
SIMULATED = tuple(name for name, row in METRICS.items() if row.simulated)


#: What training cost, by its record.
TRAINING = ("training_energy", "training_co2e")


def family_of(id: str) -> str:
    """Return the row that a metric has: `accuracy` for `accuracy.f1`, else its own id."""
    return id.partition(".")[0] if _named(id) else id


def name_of(id: str) -> str:
    """Return what a user calls an accuracy: `f1` for `accuracy.f1`, else the id."""
    return _named(id) or id


def ordered(ids: Iterable[str]) -> Iterator[str]:
    """Yield ids in the order of METRICS, those with names after their family, as they come; no others."""
    given = list(dict.fromkeys(ids))
    for row in METRICS:
        yield from sorted((id for id in given if family_of(id) == row), key=lambda id: id != family_of(id))


def _named(id: str) -> str:
    family, _, name = id.partition(".")
    return name if family in FAMILIES.values() else ""
