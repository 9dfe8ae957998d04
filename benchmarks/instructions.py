"""Whose word holds on +0.5 %: counted instructions beside wall clock, on models whose true change is known.

    make bench-instructions                   # until every cell is full; may be stopped and started again
    .venv/bin/python benchmarks/instructions.py verdicts --minutes 30
    .venv/bin/python benchmarks/instructions.py models
    .venv/bin/python benchmarks/instructions.py table

Every comparison is appended to a raw file (one JSON object a line) as it ends, so a run can be cut into parts.

`verdicts`: a check with the rule `instructions, max_increase 0.5%`, both models counted anew in processes of their own,
and on every other pair `latency_p50, max_increase 0.5%`, both beside a process on each core that burns and pauses
for random times. `same` re-serialises the model with another doc string (other bytes, same work); `+1%` adds a block of
real work, sized until two counts differ by about 1 %; what it truly adds is told in FLOPs too, which are counted
without valgrind.

`models`: real models, each counted several times over by processes apart: what it takes and how far they are apart.

The valgrind is the first on PATH; with VALGRIND_LIB where it was unpacked and not installed. Rows name the version that
counted, which its own log tells; of the first rows it is not known, and they fill no cell.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import instruction_models
from pairs import HERE, append, heavier, machine, neighbour, originals, records, reserialised, revision

from greengate import gate
from greengate.budget import WorkerLimits
from greengate.profile import InputSpec, Measurement, Missing, Profile, WorkloadSpec
from greengate.profiler import exact
from greengate.profiler.exact import Subject
from greengate.profiler.instructions import counting, valgrind
from greengate.profiler.stopping import silent

RAW = HERE / "results" / "instructions.jsonl"
TABLE = HERE / "results" / "instructions.md"
LIMIT = "0.5%"
#: Comparisons wanted of each change, over the models in turn; and what each verdict should be.
WANTED = {"same": 50, "+1%": 50}
RIGHT = {"same": "pass", "+1%": "fail"}
MODELS = ("cnn", "classifier", "recogniser")
INPUTS = {"recogniser": (InputSpec("x", (1, 3, 48, 320)),)}
#: Stands for the version in rows that had it from a command which may have run another's tool.
UNKNOWN = "not known"
#: Lines of the product that is added: few, so that 1 % of the smallest model has room for it.
LINES = 16
#: Seconds given to count both models, and to time them; the clock is asked about every other pair.
COUNTING, TIMING = 600.0, 20.0
#: What the clock was given before rows told it.
FIRST_TIMING = 8.0
#: How often a real model is counted over.
REPEATED = 4


def counted(name: str, path: str, workload: WorkloadSpec) -> Profile:
    """Count one model, as a check does."""
    subject = Subject(name, path, path, workload)
    found = exact.count(subject, WorkerLimits(), "")
    return counting.simulate(
        subject, found, frozenset({"instructions"}), COUNTING, WorkerLimits(timeout=COUNTING), progress=silent
    )


def value_of(profile: Profile, metric: str) -> float:
    found = profile.measurements[metric]
    if not isinstance(found, Measurement):
        raise SystemExit(f"{profile.model.name}: {metric}: {found.reason}")
    return found.value


def counted_by(found: Measurement | Missing) -> str:
    """Return the version of valgrind that counted; of what was not counted, that of the command."""
    told = re.match(r"callgrind ([\w.]+)", found.detail) if isinstance(found, Measurement) else None
    return told[1] if told else valgrind.version()


def here() -> dict[str, Any]:
    """Return what figures belong to: machine, versions, valgrind."""
    return machine() | {"valgrind": valgrind.version()}


# --- verdicts -------------------------------------------------------------------------------------------------------


def prepared(raw: Path, folder: Path) -> dict[tuple[str, str], Path]:
    """Write every file; size the work of those whose truth is not in the raw file yet."""
    known = {one["model"]: one for one in records(raw) if one["kind"] == "truth"}
    sources = originals(folder)
    found: dict[tuple[str, str], Path] = {}
    for model in MODELS:
        found[model, "baseline"] = sources[model]
        found[model, "same"] = reserialised(sources[model], folder / f"{model}-same.onnx")
        found[model, "+1%"] = folder / f"{model}-heavier.onnx"
        if model not in known:
            append(raw, {"kind": "truth", "model": model} | sized(model, sources[model], found[model, "+1%"]))
        else:
            heavier(sources[model], found[model, "+1%"], known[model]["columns"], LINES)
    return found


def sized(model: str, source: Path, target: Path) -> dict[str, Any]:
    """Write a model with about 1 % more instructions; return what it truly has more of."""
    workload = WorkloadSpec(inputs=INPUTS.get(model, ()))
    before = counted(model, str(source), workload)
    columns, added = 16, 0.0
    for _ in range(8):
        heavier(source, target, columns, LINES)
        after = counted(model, str(target), workload)
        added = value_of(after, "instructions") / value_of(before, "instructions") - 1
        if 0.0085 < added < 0.0115:
            break
        columns = max(1, round(columns * 0.01 / added))
    flops = value_of(after, "flops") / value_of(before, "flops") - 1
    print(f"{model}: {added:+.3%} instructions, {flops:+.3%} FLOPs with {columns} columns", flush=True)
    return {"instructions": added, "flops": flops, "columns": columns}


def asked(model: str, before: Path, after: Path, folder: Path, metric: str) -> dict[str, Any]:
    """Ask greengate for its verdict on one rule, as a user would."""
    inputs = "".join(f", inputs: {{{one.name}: {{shape: {list(one.shape or ())}}}}}" for one in INPUTS.get(model, ()))
    budget = folder / f"{model}-{metric}.yaml"
    budget.write_text(
        f"version: 1\nmodels:\n  - {{name: {model}, path: {after}{inputs}}}\n"
        f"rules:\n  - {{metric: {metric}, max_increase: {LIMIT}}}\n"
    )
    began = time.monotonic()
    request = gate.Request(
        budget=str(budget), against=f"file:{before}", max_seconds=TIMING, simulation_seconds=COUNTING
    )
    checked = gate.check(request, datetime.datetime.now(datetime.UTC))
    said: dict[str, Any] = {"status": checked.verdict.status.name.lower(), "seconds": time.monotonic() - began}
    compared = checked.verdict.case.models[0].comparisons[metric]
    if hasattr(compared.change, "low"):
        said |= {end: getattr(compared.change, end) for end in ("value", "low", "high")}
    for role in ("baseline", "candidate"):
        found = getattr(compared, role)
        said[role] = found.value if isinstance(found, Measurement) else found.reason
    more = {"valgrind": counted_by(compared.candidate)} if metric == "instructions" else {"given": TIMING}
    return said | more


def verdicts(options: argparse.Namespace) -> None:
    """Fill the cells in turn until all are full or the time is up."""
    raw: Path = options.raw
    deadline = time.monotonic() + 60 * options.minutes
    append(raw, here())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = prepared(raw, folder)
        while time.monotonic() < deadline and (cell := _next(raw)) is not None:
            clocked = [(one["model"], one["change"], one["index"]) for one in records(raw) if one.get("wall")]
            append(raw, _compare(*cell, files, folder, clock=not (cell[2] % 2 or cell in clocked)))
    table(options)


def known(row: dict[str, Any]) -> bool:
    """Tell whether it is known which valgrind counted."""
    return bool(row["valgrind"] != UNKNOWN)


def _next(raw: Path) -> tuple[str, str, int] | None:
    done = [(one["model"], one["change"]) for one in records(raw) if one["kind"] == "verdict" and known(one)]
    for number in range(max(WANTED.values())):
        for change, wanted in WANTED.items():
            cell = MODELS[number % len(MODELS)], change
            if number < wanted and done.count(cell) <= number // len(MODELS):
                return *cell, number
    return None


def _compare(
    model: str, change: str, index: int, files: dict[tuple[str, str], Path], folder: Path, *, clock: bool
) -> dict[str, Any]:
    before, after = files[model, "baseline"], files[model, change]
    seed = random.Random(f"{model} {change} {index}").randrange(10**6)
    with neighbour("noisy", seed):
        ours = asked(model, before, after, folder, "instructions")
        wall = asked(model, before, after, folder, "latency_p50") if clock else None
    beside = f"; wall clock {wall['status']}" if wall else ""
    print(f"{model} {change} #{index}: {ours['status']} in {ours['seconds']:.0f} s{beside}", flush=True)
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    cell = {"kind": "verdict", "model": model, "change": change, "index": index, "at": when, "revision": revision()}
    return cell | {"valgrind": ours.pop("valgrind"), "ours": ours, "wall": wall, "load_average": os.getloadavg()[0]}


# --- real models ----------------------------------------------------------------------------------------------------


def models(options: argparse.Namespace) -> None:
    """Count every real model several times over."""
    raw: Path = options.raw
    append(raw, here())
    with tempfile.TemporaryDirectory() as name:
        for entry in instruction_models.ENTRIES:
            if options.only and entry.name not in options.only:
                continue
            path = entry.make(Path(name))
            for _ in range(options.repeat):
                began = time.monotonic()
                found = counted(entry.name, path, entry.workload)
                took = time.monotonic() - began
                said = found.measurements["instructions"]
                record: dict[str, Any] = {"kind": "model", "model": entry.name, "seconds": took}
                if isinstance(said, Measurement) and said.interval is not None:
                    record |= {"value": said.value, "low": said.interval.low, "high": said.interval.high}
                    record |= {"processes": said.samples}
                else:
                    record |= {"missing": getattr(said, "reason", "")}
                print(record, flush=True)
                record |= {"valgrind": counted_by(said), "runtime": dict(found.runtime), "revision": revision()}
                append(raw, record | {"notes": list(found.notes), "load_average": os.getloadavg()[0]})
    table(options)


# --- telling --------------------------------------------------------------------------------------------------------


def table(options: argparse.Namespace) -> None:
    """Print what the raw file holds, and write it beside it."""
    rows = records(options.raw)
    text = "\n".join([*_head(rows), *told(rows), *_models(rows)]) + "\n"
    if options.raw == RAW:
        TABLE.write_text(text)
    print(text)


def _head(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "# Instructions: verdicts at +0.5 %, and real models"
    yield ""
    yield "Written by `make bench-instructions`; what the columns mean stands in"
    yield "[benchmarks/instructions.py](../instructions.py)."
    machines = dict.fromkeys(
        f"{one['cpu']}, {one['cores']} cores, {one['system']}, onnxruntime {one['onnxruntime']}, "
        f"valgrind {one['valgrind']}, {one['date']}"
        for one in rows
        if one["kind"] == "machine"
    )
    yield from ("", *(f"- {one}" for one in machines))


def told(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of verdicts: of counted instructions, and of wall clock on the same pairs."""
    truth = {one["model"]: one for one in rows if one["kind"] == "truth"}
    found = [one for one in rows if one["kind"] == "verdict"]
    yield from (
        "",
        "Limit +0.5 %, beside a noisy neighbour on every core. Fail / pass / inconclusive; seconds are medians.",
    )
    loads = sorted(one["load_average"] for one in found)
    if loads:
        most = "processes, the neighbour and the counts among them"
        yield f"The machine's load average was {loads[0]:.0f} to {loads[-1]:.0f} {most}."
    yield ""
    heads = ("model", "change", "true, instructions", "true, FLOPs", "valgrind", "n", "instructions", "seconds")
    yield f"| {' | '.join((*heads, 'farthest off', 'wall clock', 'seconds'))} |"
    yield "|:--|:--|--:|--:|:--|--:|--:|--:|--:|--:|--:|"
    for change in WANTED:
        for model in (*MODELS, ""):
            mine = [one for one in found if one["change"] == change and model in ("", one["model"])]
            for version in dict.fromkeys(one["valgrind"] for one in mine):
                cell = [one for one in mine if one["valgrind"] == version]
                yield _row(model, change, truth.get(model, {}), version, cell)
    yield ""
    for change, right in RIGHT.items():
        cell = [one for one in found if one["change"] == change]
        if cell:
            counts = [one["ours"]["status"] == right for one in cell if known(one)]
            clocks = [one["wall"]["status"] == right for one in cell if one["wall"]]
            told = f"{sum(counts)} of {len(counts)} counts of a known valgrind say so"
            yield f"`{change}`, where {right} is right: {told}, {sum(clocks)} of {len(clocks)} clocks."
            yield ""
    clocks = [one["wall"] for one in found if one["wall"]]
    for given in dict.fromkeys(one.get("given", FIRST_TIMING) for one in clocks):
        mine = [one for one in clocks if one.get("given", FIRST_TIMING) == given]
        few = sum(isinstance(one["candidate"], str) for one in mine)
        yield f"{len(mine)} clocks were given {given:.0f} s, too little for the launches that {few} of them need."


def _row(model: str, change: str, truth: dict[str, Any], version: str, cell: list[dict[str, Any]]) -> str:
    ours, wall = ([one[way] for one in cell if one[way]] for way in ("ours", "wall"))
    heavy = change != "same"
    true = [
        f"{truth[what]:+.3%}" if heavy and truth else "0 %" if not heavy else "" for what in ("instructions", "flops")
    ]
    known = truth.get("instructions") if heavy else 0.0
    off = [abs(one["value"] - known) for one in ours if "value" in one] if known is not None else []
    farthest = f"{max(off):.4%}" if off else ""
    return (
        f"| {model or 'all'} | {change} | {true[0]} | {true[1]} | {version} | {len(cell)} | {_split(ours)} "
        f"| {_seconds(ours)} | {farthest} | {_split(wall)} | {_seconds(wall)} |"
    )


def _split(said: Sequence[dict[str, Any]]) -> str:
    statuses = [one["status"] for one in said]
    return " / ".join(str(statuses.count(status)) for status in ("fail", "pass", "inconclusive"))


def _seconds(said: Sequence[dict[str, Any]]) -> str:
    return f"{statistics.median(one['seconds'] for one in said):.0f}" if said else ""


def _models(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [one for one in rows if one["kind"] == "model"]
    yield from ("", "## Real models", "")
    yield "Every count is made by two processes or more, until two agree within 0.1 %: it is the middle of those two."
    yield "`counts apart` is the range of what was told by the smallest, `processes apart` that of all processes."
    yield ""
    heads = ("model", "valgrind", "runtime", "instructions", "counts", "counts apart", "processes", "processes apart")
    yield f"| {' | '.join((*heads, 'seconds a count, median', 'note'))} |"
    yield "|:--|:--|:--|--:|--:|--:|--:|--:|--:|:--|"
    groups = dict.fromkeys((one["model"], one["valgrind"]) for one in found)
    for model, version in groups:
        mine = [one for one in found if (one["model"], one["valgrind"]) == (model, version)]
        good = [one for one in mine if "value" in one]
        runtime = ", ".join(f"{name} {number}" for name, number in mine[-1]["runtime"].items())
        notes = "; ".join(dict.fromkeys(note for one in mine for note in one["notes"] if "depends" in note))
        lost = "; ".join(dict.fromkeys(one["missing"] for one in mine if "missing" in one))
        value = told = apart = "missing"
        if good:
            value = f"{statistics.median(one['value'] for one in good):,.0f}"
            told = f"{max(one['value'] for one in good) / min(one['value'] for one in good) - 1:.4%}"
            apart = f"{max(one['high'] for one in good) / min(one['low'] for one in good) - 1:.4%}"
        seconds = statistics.median(one["seconds"] for one in mine)
        yield (
            f"| {model} | {version} | {runtime} | {value} | {len(mine)} | {told} "
            f"| {sum(one['processes'] for one in good)} | {apart} | {seconds:.1f} | {notes or lost} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("verb", choices=["verdicts", "models", "table"])
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--repeat", type=int, default=REPEATED)
    parser.add_argument("--only", nargs="*", choices=[one.name for one in instruction_models.ENTRIES])
    options = parser.parse_args()
    {"verdicts": verdicts, "models": models, "table": table}[options.verb](options)


if __name__ == "__main__":
    main()
