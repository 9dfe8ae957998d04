"""What the energy counter of a real NVIDIA board is worth, in one call: `python benchmarks/gpu_energy.py`.

Wants a board that is nobody else's, nvidia-ml-py and torch for CUDA. Four parts, each in a process of its own, each
writes OUT/PART.json with machine and date; a second call goes on where the first ended (`compare` appends), on another
machine if need be. The table, OUT/gpu_energy.md, is written from all that is there:

    ticks    how often the counter changes, what a read costs, idle and under load; saves the traces that tests replay
    beside   the counter beside the board's own power, instant and averaged, integrated: idle, compute, memory
    phase    whether energy depends on the phase of a square wave of work with a period of 20 to 200 ms
    compare  whole comparisons by the gate under +5 %: equal models, +5 % and +10 % of real work more; batch 1, 8, 64
    table    nothing anew: the table alone

Nothing is written into benchmarks/results where the library is the stand-in of the tests: no board was seen then.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gzip
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from greengate import gate, profile_file
from greengate.comparison import Change
from greengate.power import Domain
from greengate.profile import Measurement, Missing, Trial
from greengate.profiler.boards import boards
from greengate.profiler.meters import Tick
from greengate.profiler.meters.nvml import Nvml
from greengate.profiler.meters.ticks import Series
from greengate.verdict import Status

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PARTS = ("ticks", "beside", "phase", "compare")
LOADS = ("idle", "compute", "memory")
PERIODS = (0.02, 0.1, 0.137, 0.2)
#: Share of work more, items of a batch -> comparisons wanted; one of each first, since each takes minutes.
ROWS = {(0.10, 64): 5, (0.0, 64): 20, (0.05, 64): 5, (0.0, 1): 1, (0.0, 8): 1}
METRIC = "gpu_energy_per_1k"
LAYERS = 40
BUDGET = """version: 1
models: [{{name: net, path: {path}{more}}}]
workload: {{batch_size: {batch}, seed: {seed}}}
rules: [{{metric: gpu_energy_per_1k, max_increase: 5%}}]
"""
#: Every layer has weights of its own, copied from one, in what the board takes: drawing them all, or moving them
#: twice as wide, would take longer than what is measured.
CODE = """import torch
from torch import nn

def make():
    drawn = (torch.randn(4096, 4096) / 64).bfloat16()
    layers = [
        nn.utils.skip_init(nn.Linear, 4096, 4096, bias=False, dtype=torch.bfloat16) for _ in range({layers})
    ]
    for layer in layers:
        layer.weight.data.copy_(drawn)
    return nn.Sequential(*layers)
"""
ON_BOARD = ", device: cuda, precision: bf16, inputs: {{input: {{shape: [{batch}, 4096], dtype: float32}}}}"


class Loads(Protocol):
    """What puts work on the board."""

    def set(self, kind: str, period: float = 0.0, anchor: float = 0.0) -> int:
        """Change the work; return how many calls the work before came to."""
        ...


class Processes:
    """gpu_loads.py in a process of its own, so that reading the counter does not hold it up."""

    def __init__(self, device: str) -> None:
        command = [sys.executable, str(HERE / "gpu_loads.py"), "--device", device]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def set(self, kind: str, period: float = 0.0, anchor: float = 0.0) -> int:
        """Change the work; return how many calls the work before came to."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"kind": kind, "period": period, "anchor": anchor}) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._child.communicate("")

    def _answer(self) -> int:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("the process that loads the board ended; see above")
        return int(json.loads(line)["calls"])


@dataclass
class Trace:
    """What a counter and the power sensors said: a row for every change of the counter, and samples of watts.

    A change is (ns of the read before it, ns of the read that saw it, counts); watts are (ns, instant, average).
    """

    changes: list[tuple[int, int, int]] = field(default_factory=list)
    watts: list[tuple[int, float | None, float | None]] = field(default_factory=list)
    costs: array[int] = field(default_factory=lambda: array("q"))

    def reading(self, domain: Domain) -> tuple[float, float]:
        """Return watts from tick to tick and the seconds between the first and the last tick."""
        series = replayed(self.changes, domain)
        found = series.reading(0, self.changes[-1][1])
        if found is None:
            return math.nan, 0.0
        return found.counts * domain.joules / (found.ns * 1e-9), found.ns * 1e-9


def replayed(changes: Sequence[tuple[int, int, int]], domain: Domain) -> Series:
    """Give the changes of a trace to greengate's own series, as its reader would have."""
    series, last = Series(domain), None
    for before, seen, count in changes:
        if last is not None:
            series.add(Tick(before, last))
        series.add(Tick(seen, count))
        last = count
    return series


def follow(meter: Nvml, domain: Domain, seconds: float, pause: float = 0.0, every: float = 0.02) -> Trace:
    """Read the counter as fast as it can be read, or with pauses, and the sensors every so often."""
    trace, end, sampled = Trace(), time.monotonic() + seconds, 0.0
    last, before = -1, time.monotonic_ns()
    while time.monotonic() < end:
        begun = time.monotonic_ns()
        (tick,) = meter.read(domain)
        trace.costs.append(time.monotonic_ns() - begun)
        if tick.count != last:
            trace.changes.append((before, tick.ns, tick.count))
            last = tick.count
        before = tick.ns
        if time.monotonic() - sampled >= every:
            sampled = time.monotonic()
            trace.watts.append((time.monotonic_ns(), *_power(meter, domain)))
        if pause:
            time.sleep(pause)
    return trace


def _power(meter: Nvml, domain: Domain) -> tuple[float | None, float | None]:
    """Return the board's power at the instant and averaged, in watts, each None where it is not told."""
    nvml, handle = meter._nvml, meter._handles[domain.id]
    assert nvml is not None
    instant = average = None
    with contextlib.suppress(nvml.NVMLError):
        average = nvml.nvmlDeviceGetPowerUsage(handle) * 1e-3
    with contextlib.suppress(nvml.NVMLError):
        (told,) = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])
        instant = told.value.uiVal * 1e-3 if told.nvmlReturn == nvml.NVML_SUCCESS else None
    return instant, average


def integrated(samples: Sequence[tuple[int, float | None]]) -> float:
    """Return the mean of sampled watts by trapezoids; nan where there are too few."""
    known = [(ns, watts) for ns, watts in samples if watts is not None]
    if len(known) < 3:
        return math.nan
    area = sum((one + two) / 2 * (late - early) for (early, one), (late, two) in pairwise(known))
    return area / (known[-1][0] - known[0][0])


@contextlib.contextmanager
def opened() -> Iterator[tuple[Nvml, Domain]]:
    meter = Nvml()
    found = meter.discover()
    try:
        counted = [one for one in found.domains if one.method == "counter"]
        if not counted:
            raise SystemExit(f"no board with an energy counter: {[one.reason for one in found.absent]}")
        yield meter, counted[0]
    finally:
        meter.close()


# --- the parts --------------------------------------------------------------------------------------------------------


def ticks(loads: Loads, seconds: float, out: Path) -> Mapping[str, Any]:
    """Measure how often the counter changes and what a read costs; keep the traces."""
    found = {}
    with opened() as (meter, domain):
        for load in LOADS[:2]:
            loads.set(load)
            time.sleep(min(1.0, seconds / 4))
            trace = follow(meter, domain, seconds)
            seen = [at for _, at, _ in trace.changes]
            gaps = [later - earlier for earlier, later in pairwise(seen)]
            found[load] = {
                "changes": len(trace.changes),
                "tick_ms": _spread([one * 1e-6 for one in gaps]),
                "read_us": _spread([one * 1e-3 for one in trace.costs]),
                "watts": trace.reading(domain)[0],
            }
            (out / "traces").mkdir(parents=True, exist_ok=True)
            (out / "traces" / f"{load}.json").write_text(saved(load, domain, trace))
        loads.set("idle")
    return found


def saved(load: str, domain: Domain, trace: Trace) -> str:
    """Return a trace as text, small: differences in whole numbers, and what greengate's series made of it."""
    start, _, counts = trace.changes[0]
    watts, span = trace.reading(domain)
    told = {
        **where(),
        "load": load,
        "domain": {"id": domain.id, "kind": domain.kind, "method": domain.method, "joules": domain.joules},
        "changes": [(before - start, seen - before, count - counts) for before, seen, count in trace.changes],
        "watts": [(ns - start, *(one and round(one, 1) for one in both)) for ns, *both in trace.watts[::5]],
        "found": {"watts": watts, "seconds": span},
    }
    return json.dumps(told, separators=(",", ":")) + "\n"


def beside(loads: Loads, seconds: float, _: Path) -> Mapping[str, Any]:
    """Hold the counter beside integrated power, under every load."""
    found = {}
    with opened() as (meter, domain):
        for load in LOADS:
            loads.set(load)
            time.sleep(min(2.0, seconds / 4))
            trace = follow(meter, domain, seconds, pause=0.002)
            watts, _span = trace.reading(domain)
            sides = {
                "instant": integrated([(ns, one) for ns, one, _ in trace.watts]),
                "average": integrated([(ns, one) for ns, _, one in trace.watts]),
            }
            found[load] = {"counter": watts, **sides, **{f"{name}_ratio": watts / one for name, one in sides.items()}}
        loads.set("idle")
    return found


def phase(loads: Loads, seconds: float, _: Path, phases: int = 5) -> Mapping[str, Any]:
    """Run waves of every period at several phases to the counter's tick; beside them, work without a wave."""
    found = {}
    with opened() as (meter, domain):
        for period in (0.0, *PERIODS):
            watts, each = [], []
            for step in range(phases):
                trace = follow(meter, domain, 0.35, pause=0.001)
                anchor = trace.changes[-1][1] * 1e-9 + step / phases * (period or 0.1)
                loads.set("wave" if period else "compute", period, anchor)
                begun = time.monotonic()
                time.sleep(0.2)
                trace = follow(meter, domain, seconds, pause=0.001)
                took = time.monotonic() - begun
                calls = loads.set("idle")
                watts.append(trace.reading(domain)[0])
                each.append(watts[-1] * took / max(1, calls))
            found[f"{period * 1e3:.0f} ms" if period else "no wave"] = {
                "watts": statistics.fmean(watts),
                "spread": (max(watts) - min(watts)) / statistics.fmean(watts),
                "spread_a_call": (max(each) - min(each)) / statistics.fmean(each),
            }
    return found


class Models(Protocol):
    """Where the models of comparisons come from."""

    def written(self, folder: Path, more: float, batch: int, seed: int) -> str:
        """Write budget and models into a folder; return what the candidate is compared with."""
        ...


class OnBoard:
    """Stacks of matrix products, made by code, on the board."""

    def written(self, folder: Path, more: float, batch: int, seed: int) -> str:
        """Write budget and models into a folder; return what the candidate is compared with."""
        for role, layers in (("old", LAYERS), ("new", round(LAYERS * (1 + more)))):
            (folder / role).mkdir(exist_ok=True)
            (folder / role / "own.py").write_text(CODE.format(layers=layers) + f"# {role}\n")
        budget = BUDGET.format(path="'new/own:make'", more=ON_BOARD.format(batch=batch), batch=batch, seed=seed)
        (folder / "budgets.yaml").write_text(budget)
        return "file:old/own:make"


def compare(models: Models, minutes: float, out: Path, seconds: float = 240.0) -> list[dict[str, Any]]:
    """Make comparisons until all are there or the next would not end in time; what was made before counts."""
    kept = out / "compare.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    end, longest = time.monotonic() + minutes * 60, 0.0
    while (row := _fewest(rows)) is not None:
        begun = time.monotonic()
        if longest and begun + longest > end:
            break
        rows.append(_compared(models, row, out, seconds))
        longest = max(longest, time.monotonic() - begun)
        with kept.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    return rows


def _fewest(rows: Sequence[Mapping[str, Any]]) -> tuple[float, int, int] | None:
    """Return the row with the fewest comparisons of those that want more, with how many it has; None: all are there."""
    done = Counter((one["more"], one["batch"]) for one in rows)
    open_rows = [row for row, wanted in ROWS.items() if done[row] < wanted]
    if not open_rows:
        return None
    more, batch = min(open_rows, key=lambda row: done[row])
    return more, batch, done[more, batch]


def _compared(models: Models, row: tuple[float, int, int], out: Path, seconds: float) -> dict[str, Any]:
    more, batch, seed = row
    folder, kept = out / "models", out / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    against = models.written(folder, more, batch, seed)
    with contextlib.chdir(folder):
        request = gate.Request("budgets.yaml", against=against, environ={"CI": "true"}, energy_seconds=seconds)
        found = gate.check(request, datetime.datetime.now(datetime.UTC))
    (outcome,) = found.verdict.outcomes
    trial = found.measured.get("net")
    candidate = None
    if isinstance(trial, Trial):
        candidate = trial.candidate.measurements.get(METRIC)
        # The trial first: a comparison that is told has its windows, however this ends.
        kept.mkdir(parents=True, exist_ok=True)
        text = profile_file.dump_trial(trial).encode()
        (kept / f"{more * 100:+.0f}-{batch}-{seed}.json.gz").write_bytes(gzip.compress(text, mtime=0))
    return {
        "more": more,
        "batch": batch,
        "seed": seed,
        "status": outcome.status.name.lower(),
        "reason": outcome.reason,
        **where(),
        "given": seconds,
        "seconds": found.verdict.seconds,
        "joules_per_1k": candidate.value if isinstance(candidate, Measurement) else None,
        **_intervals(found.verdict.case.models[0].comparisons[METRIC].change),
    }


def _intervals(change: Change | Missing) -> dict[str, Sequence[float]]:
    """Return the change with its interval, and the same of the control: the baseline beside itself."""
    if isinstance(change, Missing):
        return {}
    control = {"control": [change.noise.value, change.noise.low, change.noise.high]} if change.noise else {}
    return {"change": [change.value, change.low, change.high], **control}


# --- the table --------------------------------------------------------------------------------------------------------


def machine() -> str:
    """Say which boards and which driver this machine has."""
    found = boards()
    told = (
        ", ".join(f"{one.name} (driver {one.facts.get('driver', '?')})" for one in found)
        if isinstance(found, tuple)
        else found.reason
    )
    return f"{told}; {platform.system()} {platform.release()}, Python {platform.python_version()}"


def where() -> dict[str, str]:
    """Say on which machine something is measured, and when."""
    return {"machine": machine(), "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"}


def stands_in() -> bool:
    """Tell whether the library is the one that the tests compile."""
    return "Fake" in machine()


def _spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values) or [math.nan]
    return {f"p{share}": ordered[min(len(ordered) - 1, share * len(ordered) // 100)] for share in (5, 50, 95, 99)}


def table(out: Path) -> str:
    """Return the results as text, with machines and dates; a part that was not run is named so."""
    kept = {part: json.loads((out / f"{part}.json").read_text()) for part in PARTS if (out / f"{part}.json").exists()}
    told = {part: one["found"] for part, one in kept.items()}
    measured: dict[str, list[str]] = {}
    for part, one in kept.items():
        for row in told[part] if part == "compare" else [one]:
            parts = measured.setdefault(f"on {row['date']}: {row['machine']}", [])
            parts += [] if part in parts else [part]
    lines = ["# The energy counter of a real board", ""]
    lines += [f"{', '.join(parts)} {text}.\n" for text, parts in measured.items()]
    lines += [f"Not measured: {part}.\n" for part in PARTS if part not in told]
    for load, row in told.get("ticks", {}).items():
        tick, cost = row["tick_ms"], row["read_us"]
        lines.append(
            f"- {load}: {row['changes']} changes, tick {tick['p50']:.2f} ms ({tick['p5']:.2f} to {tick['p95']:.2f}), "
            f"a read {cost['p50']:.1f} us (p99 {cost['p99']:.1f}), {row['watts']:.1f} W"
        )
    for load, row in told.get("beside", {}).items():
        lines.append(
            f"- {load}: counter {row['counter']:.1f} W, instant power integrated {row['instant']:.1f} W (ratio "
            f"{row['instant_ratio']:.3f}), averaged power {row['average']:.1f} W ({row['average_ratio']:.3f})"
        )
    for period, row in told.get("phase", {}).items():
        lines.append(
            f"- wave {period}: {row['watts']:.1f} W, over phases {row['spread'] * 100:.1f} % apart, joules a call "
            f"{row['spread_a_call'] * 100:.1f} %"
        )
    return "\n".join([*lines, *_verdicts(told.get("compare", []))]) + "\n"


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    said = []
    for (more, batch), wanted in ROWS.items():
        mine = [one for one in rows if (one["more"], one["batch"]) == (more, batch)]
        if mine:
            counts = Counter(one["status"] for one in mine)
            joules = [one["joules_per_1k"] for one in mine if one["joules_per_1k"] is not None]
            each = f"{statistics.median(joules):.4g} J a thousand" if joules else "no joules"
            told = ", ".join(
                f"{counts[one.name.lower()]} {one.name.lower()}"
                for one in (Status.PASS, Status.FAIL, Status.INCONCLUSIVE)
            )
            longest = max(one["seconds"] for one in mine)
            widths = "".join(
                f"; {name} within {_half_width(mine, key) * 100:.1f} % to either side"
                for name, key in (("change", "change"), ("equal models", "control"))
                if any(key in one for one in mine)
            )
            said.append(
                f"- {more * 100:+.0f} %, batch {batch}: {len(mine)} of {wanted}: {told}; {each}{widths}; "
                f"longest {longest:.0f} s"
            )
    return said


def _half_width(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return statistics.median((one[key][2] - one[key][1]) / 2 for one in rows if key in one)


#: Seconds that are followed at a time.
SECONDS = {"ticks": 6.0, "beside": 8.0, "phase": 2.0}


def run(part: str, out: Path, minutes: float, given: float) -> object:
    """Do one part and return what it found."""
    if part == "compare":
        # It must have the board to itself: who loads it would be another process on it.
        return compare(OnBoard(), minutes, out, given)
    loads = Processes("cuda")
    try:
        return {"ticks": ticks, "beside": beside, "phase": phase}[part](loads, SECONDS[part], out)
    finally:
        loads.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}, or table; all parts if none is named")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu_energy")
    parser.add_argument("--minutes", type=float, default=6.0, help="for comparisons; call again for the rest")
    parser.add_argument("--energy-seconds", type=float, default=240.0, help="for one comparison, as `check` has it")
    asked = parser.parse_args(arguments)
    telling = asked.parts == ["table"]
    if not telling and stands_in() and asked.out.is_relative_to(RESULTS):
        raise SystemExit("the management library is the tests' stand-in: no board is here to be measured")
    asked.out.mkdir(parents=True, exist_ok=True)
    if len(asked.parts) == 1 and not telling:
        (part,) = asked.parts
        found = run(part, asked.out, asked.minutes, asked.energy_seconds)
        (asked.out / f"{part}.json").write_text(json.dumps({**where(), "found": found}, indent=1) + "\n")
    elif not telling:
        for part in asked.parts or PARTS:
            more = ["--minutes", str(asked.minutes), "--energy-seconds", str(asked.energy_seconds)]
            command = [sys.executable, __file__, part, "--out", str(asked.out), *more]
            subprocess.run(command, check=False)
    (asked.out / "gpu_energy.md").write_text(table(asked.out))
    print(table(asked.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
