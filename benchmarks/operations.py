"""Greengate beside other counters of operations, on the same graphs in one run: `make bench-operations`.

Each counter meets each graph in a process of its own, in a scratch folder. A count is *exact* (to the last MAC),
*within 1 %*, *wrong*, *declined* (the counter itself says that it cannot tell) or *crashed*. Seconds are of counting
alone, imports and the making of the graph left out; memory is the process's high-water mark, imports included. The
yardsticks load and run the graph once and count nothing; they and greengate take turns, three processes each, of which
the middle one is kept. `--graphs` measures some of the graphs anew and leaves the rows of the others as they are, where
they were measured with the same packages on the same machine.

What is compared with stands in operations.requirements.txt, for an environment of its own: torch first (its CPU build
is enough), then that file, then greengate itself. Truth is arithmetic, written out in operations_graphs.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter as Tally
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from operations_counters import COUNTERS, Counter, DeclinedError, feed_for, prepare, quiet  # noqa: E402
from operations_graphs import GRAPHS, Graph  # noqa: E402

RESULTS = HERE / "results"
LIMIT = 300
OUTCOMES = ("exact", "within 1 %", "wrong", "declined", "crashed")
PACKAGES = (
    "greengate-ci",
    "torch",
    "onnx",
    "onnxruntime",
    "onnx-tool",
    "onnx-opcounter",
    "fvcore",
    "ptflops",
    "calflops",
)
ROUNDS = 3
COUNTING = ("greengate", "greengate (torch)")


@dataclass(frozen=True)
class Cell:
    """One counter on one graph. `said` is its figure or why there is none; memory in bytes."""

    graph: str
    counter: str
    outcome: str
    macs: float | None
    said: str
    seconds: float | None
    peak: int | None


# --- in a process of its own ----------------------------------------------------------------------


def one(graph: Graph, counter: Counter, folder: Path) -> dict[str, Any]:
    """Count once and tell the figure, the seconds and the memory."""
    with quiet():
        made = graph.make(folder)
        args = (made, feed_for(made, graph.name)) if graph.kind == "onnx" else made
    prepare(counter)
    _reset_peak()
    started = time.perf_counter()
    try:
        with quiet():
            macs = counter.count(*args)
        answer = {"macs": macs}
    except DeclinedError as declined:
        answer = {"declined": str(declined)[:300]}
    except Exception as error:  # noqa: BLE001 - foreign code
        answer = {"crashed": f"{type(error).__name__}: {error}"[:300]}
    return answer | {"seconds": time.perf_counter() - started, "peak": _peak()}


def _reset_peak() -> None:
    """Forget what making the graph took: only what is held now, and what counting adds, is measured."""
    with Path("/proc/self/clear_refs").open("w", encoding="ascii") as file:
        file.write("5")


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


# --- around them ----------------------------------------------------------------------------------


def cell(graph: Graph, counter: Counter, folder: Path) -> Cell:
    """Start one process and judge its answer."""
    command = [sys.executable, __file__, "--one", graph.name, counter.name, "--folder", str(folder)]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=scratch, check=False)
            answer = json.loads(ran.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            return Cell(graph.name, counter.name, "crashed", None, f"no answer within {LIMIT} s", None, None)
        except (IndexError, ValueError):
            last = (ran.stderr.strip().splitlines() or ["no answer"])[-1]
            return Cell(graph.name, counter.name, "crashed", None, last[:300], None, None)
    outcome, said = _judged(graph, counter, answer)
    return Cell(graph.name, counter.name, outcome, answer.get("macs"), said, answer["seconds"], answer["peak"])


def _judged(graph: Graph, counter: Counter, answer: dict[str, Any]) -> tuple[str, str]:
    if "macs" not in answer:
        outcome = "declined" if "declined" in answer else "crashed"
        return outcome, answer[outcome]
    if counter.yardstick:
        return "ran", ""
    macs = answer["macs"]
    error = abs(macs / graph.macs - 1)
    outcome = "exact" if macs == graph.macs else "within 1 %" if error <= 0.01 else "wrong"
    return outcome, f"{macs / 1e9:.6g} G ({macs / graph.macs - 1:+.2%})"


def machine() -> dict[str, Any]:
    """Return what the figures belong to."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def measure(graphs: list[Graph], folder: Path) -> list[Cell]:
    """Make every graph once, then let every counter of its kind meet it."""
    cells = []
    for graph in graphs:
        made = [sys.executable, __file__, "--make", graph.name, "--folder", str(folder)]
        subprocess.run(made, check=True, timeout=2 * LIMIT, capture_output=True)
        counters = [counter for counter in COUNTERS.values() if counter.kind == graph.kind]
        tries: dict[str, list[Cell]] = {counter.name: [] for counter in counters}
        for turn in range(ROUNDS):
            for counter in counters:
                if turn == 0 or counter.ours or counter.yardstick:
                    tries[counter.name].append(cell(graph, counter, folder))
        for name, found in tries.items():
            found.sort(key=lambda item: item.seconds or 0)
            cells.append(found[len(found) // 2])
            print(f"{graph.name:24s} {name:32s} {cells[-1].outcome:10s} {cells[-1].said}", file=sys.stderr)
    return cells


def merged(here: dict[str, Any], cells: list[Cell]) -> list[Cell]:
    """Add the rows of other graphs that were measured before, alike; in the order of GRAPHS."""
    record = RESULTS / "operations.json"
    before = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    alike = all(before.get("machine", {}).get(key) == here[key] for key in ("date", "cpu", "packages"))
    new = {item.graph for item in cells}
    kept = [Cell(**item) for item in before["cells"] if item["graph"] not in new] if alike else []
    order = list(GRAPHS)
    return sorted([*kept, *cells], key=lambda item: order.index(item.graph))


# --- telling --------------------------------------------------------------------------------------


def report(here: dict[str, Any], cells: list[Cell]) -> str:
    """Return the tables: totals, targets, then every cell."""
    packages = ", ".join(f"{name} {version}" for name, version in here["packages"].items())
    lines = [
        "# Counting operations: greengate beside other counters",
        "",
        f"Measured on {here['date']} on {here['cpu']}, {here['cores']} cores (load {here['load']}), {here['system']},",
        f"Python {here['python']}:",
        f"{packages}.",
        "",
        "Written by `make bench-operations`; what the columns mean and how truth is known stands in",
        "[benchmarks/operations.py](../operations.py) and [operations_graphs.py](../operations_graphs.py).",
        "",
        "| counter | graphs | " + " | ".join(OUTCOMES) + " | seconds in all | highest peak |",
        "|---|---|" + "---|" * (len(OUTCOMES) + 2),
    ]
    lines += [
        _total(counter, [item for item in cells if item.counter == counter.name]) for counter in COUNTERS.values()
    ]
    lines += ["", "## Targets", "", *_targets(cells), "", "## Every count", ""]
    lines += ["| graph | truth | counter | outcome | its figure | seconds | peak |", "|---|---|---|---|---|---|---|"]
    lines += [_row(item) for item in cells]
    return "\n".join(lines) + "\n"


def _total(counter: Counter, cells: list[Cell]) -> str:
    tally = Tally(item.outcome for item in cells)
    seconds = sum(item.seconds or 0 for item in cells)
    peak = max((item.peak or 0 for item in cells), default=0)
    counts = ["-" if counter.yardstick else str(tally[outcome]) for outcome in OUTCOMES]
    return f"| {counter.name} | {len(cells)} | {' | '.join(counts)} | {seconds:.1f} | {peak / 1e6:.0f} MB |"


def _targets(cells: list[Cell]) -> list[str]:
    """Return how each of our counters stands to the run of the graph that it must not cost much more than."""
    lines = [
        "| counter | exact | seconds by those of one run, median (worst) | peak less that of one run, median (worst) |"
    ]
    lines += ["|---|---|---|---|"]
    runs = {item.graph: item for item in cells if COUNTERS[item.counter].yardstick}
    for counter in COUNTERS.values():
        own = [item for item in cells if item.counter == counter.name]
        if not counter.ours or not own:
            continue
        exact = f"{sum(item.outcome == 'exact' for item in own)} of {len(own)}"
        ratios = [(item.seconds or 0) / (runs[item.graph].seconds or 1) for item in own]
        extra = [((item.peak or 0) - (runs[item.graph].peak or 0)) / 1e6 for item in own]
        times = f"{statistics.median(ratios):.2f} ({max(ratios):.2f})"
        lines.append(
            f"| {counter.name} | {exact} | {times} | {statistics.median(extra):+.0f} MB ({max(extra):+.0f} MB) |"
        )
    missed = [
        f"{item.graph} {item.seconds / run:.2f} ({run:.3f} s to {item.seconds:.3f} s)"
        for item in cells
        if item.counter in COUNTING and item.seconds and (run := runs[item.graph].seconds) and item.seconds > 1.5 * run
    ]
    return [
        *lines,
        "",
        f"Wanted of {' and '.join(COUNTING)}, which take the count alone (every exact metric needs a second run):",
        "exact everywhere; at most 1.5 times the seconds; at most +100 MB.",
        f"Above 1.5 times: {', '.join(missed) or 'none'}.",
    ]


def _row(item: Cell) -> str:
    said = item.said.replace("|", "\\|").replace("\n", " ")[:120]
    truth = f"{GRAPHS[item.graph].macs:,}"
    seconds = "-" if item.seconds is None else f"{item.seconds:.3f}"
    peak = "-" if item.peak is None else f"{item.peak / 1e6:.0f} MB"
    return f"| {item.graph} | {truth} | {item.counter} | {item.outcome} | {said} | {seconds} | {peak} |"


def main() -> None:
    """Compare, print the table, and write it with the figures beside it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--graphs", nargs="*", choices=list(GRAPHS), help="compare on these only, and keep the others")
    parser.add_argument("--folder", type=Path, help="where graphs are made; a scratch folder unless given")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(GRAPHS[options.one[0]], COUNTERS[options.one[1]], options.folder)))
    elif options.make:
        GRAPHS[options.make].make(options.folder)
    else:
        _compare(options)


def _compare(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        here = machine()
        cells = measure([GRAPHS[name] for name in options.graphs or GRAPHS], options.folder or Path(scratch))
    cells = merged(here, cells)
    text = report(here, cells)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "operations.md").write_text(text, encoding="utf-8")
    record = {"machine": here, "cells": [asdict(item) for item in cells]}
    (RESULTS / "operations.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
