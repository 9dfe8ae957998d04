"""Whose word holds on a GPU: equal models, +5 % and +10 % of real extra work on ResNet-50 and BERT-base in bf16.

    make bench-gpu                                        # tests/gpu, then this, where there is a board
    .venv/bin/python benchmarks/gpu.py --minutes 9        # one call; again adds to what is there
    .venv/bin/python benchmarks/gpu.py --device cpu --small --folder /tmp/tried --minutes 4

A comparison is one `greengate check` of a copy of the code against another, as a user would run it, with a limit of
+3 % on latency_p50: equal models must pass, the others fail. Candidates for +5 % and +10 % carry a product whose width
is found by trying; what both truly cost is measured once, beside the network without it, by launches in this process.

Into the folder go gpu.jsonl (the machine, the truth of each change, every comparison), gpu.md (the table, which is told
from that alone) and gpu-trials/ (every trial with its raw samples, as `greengate profile -o` writes them). Without a
board, or with --small, benchmarks/results is refused: nothing there may look like a board's.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gzip
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from greengate import estimate, gate, profile_file, stats  # noqa: E402
from greengate.budget import WorkerLimits  # noqa: E402
from greengate.profile import InputSpec, Launch, Role, Trial, WorkloadSpec  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.backends import torch_session  # noqa: E402
from greengate.profiler.hardware import this_machine  # noqa: E402
from greengate.profiler.jobs import CountJob, LaunchJob, Sampled  # noqa: E402

RESULTS = HERE / "results"
LIMIT = 0.03
CHANGES = {"same": 0.0, "+5%": 0.05, "+10%": 0.10}
#: Batch, the shape of one item, and for token numbers how many there are.
MODELS: dict[str, tuple[int, tuple[int, ...], int | None]] = {
    "resnet50": (64, (3, 224, 224), None),
    "bert_384": (64, (384,), 30522),
}
SMALL: dict[str, tuple[int, tuple[int, ...], int | None]] = {
    "small_resnet50": (1, (3, 64, 64), None),
    "small_bert": (1, (64,), 30522),
}
#: Launches and seconds of each by which the truth of changes is measured, and a width tried before.
TRUTH, TRIED = (6, 1.0), (2, 0.5)
#: Columns that are tried first: a board does as many products in a millisecond as a core in a second.
FIRST = {"cuda": 262144, "cpu": 512}


# --- models ---------------------------------------------------------------------------------------------------------


def code(folder: Path, name: str, columns: int) -> Path:
    """Write a copy of the networks whose extra work has so many columns; return the folder that imports begin at."""
    home = folder / name.replace("%", "").replace("+", "plus")
    home.mkdir(exist_ok=True)
    text = (HERE / "gpu_nets.py").read_text(encoding="utf-8")
    (home / "nets.py").write_text(text.replace("EXTRA = 0\n", f"EXTRA = {columns}  # {name}\n"), encoding="utf-8")
    return home


def workload(options: argparse.Namespace, model: str) -> WorkloadSpec:
    batch, item, most = options.models[model]
    inputs = (InputSpec("x", (batch, *item), "int64" if most else None, max=most),)
    return WorkloadSpec(batch, inputs=inputs, device=options.device, precision="bf16")


def ratios(
    options: argparse.Namespace, model: str, folders: Mapping[Role, Path], effort: tuple[int, float]
) -> dict[Role, list[float]]:
    """Return ln(role / baseline) of latency_p50 of every other role, by several launches in this process."""
    found: dict[Role, list[float]] = {role: [] for role in folders if role != "baseline"}
    paths = {role: f"{folder}/nets:{model}" for role, folder in folders.items()}
    for seed in range(effort[0]):
        order = tuple(paths) if seed % 2 else tuple(reversed(paths))
        job = LaunchJob(paths, order, workload(options, model), seed, effort[1], 10, 100_000)
        told = torch_session.run(job, lambda _: None)
        assert isinstance(told, Sampled)
        launch = Launch(seed, order, told.samples, told.seconds)
        for role, logs in found.items():
            walls = [launch.samples[one]["wall"] for one in ("baseline", role)]
            logs.append(estimate.ESTIMATORS["latency_p50"].log_ratio(*walls))
    return found


def calibrate(options: argparse.Namespace, model: str, folder: Path) -> list[dict[str, Any]]:
    """Find the widths of extra work for all changes, and measure what each truly costs."""
    base, columns = code(folder, "base", 0), FIRST[options.device.partition(":")[0]]
    (*less, (most, share)) = [one for one in CHANGES.items() if one[1]]
    for _ in range(5):
        tried = ratios(options, model, {"baseline": base, "candidate": code(folder, most, columns)}, TRIED)
        cost = math.expm1(statistics.median(tried["candidate"]))
        if abs(cost - share) < 0.1 * share:
            break
        columns = max(16, round(columns * min(max(share / max(cost, 0.002), 0.1), 16) / 16) * 16)
    widths = {change: max(16, round(columns * part / share / 16) * 16) for change, part in (*less, (most, share))}
    roles: dict[Role, str] = dict(zip(("candidate", "control"), widths, strict=True))
    folders = {role: code(folder, change, widths[change]) for role, change in roles.items()}
    logs = ratios(options, model, {"baseline": base, **folders}, TRUTH)
    if options.device != "cpu":
        import torch

        torch.cuda.empty_cache()  # the board is the workers' again
    found = []
    for role, change in roles.items():
        told = stats.across_launches(logs[role], estimate.COMPUTED)
        true = {"true": math.expm1(told.value), "half_width": told.half_width, "columns": widths[change]}
        print(f"{model} {change}: truly {true['true']:+.2%} with {widths[change]} columns", flush=True)
        found.append({"kind": "truth", "model": model, "change": change} | true)
    return found


def counted(options: argparse.Namespace, model: str, folder: Path) -> dict[str, Any]:
    """Return what a model is, so that a reader can tell it is the network it is called after."""
    # In a process of its own: this one would keep the code, and take it for the next copy's.
    found = backend.run(CountJob(f"{code(folder, 'base', 0)}/nets:{model}", workload(options, model)), WorkerLimits())
    told = {name: getattr(found.measurements[name], "value", None) for name in ("macs", "params")}
    boards = [", ".join((gpu.name, *(f"{name} {text}" for name, text in gpu.facts.items()))) for gpu in found.gpus]
    return {"kind": "model", "model": model, "boards": boards, "batch": options.models[model][0]} | told


# --- comparing ------------------------------------------------------------------------------------------------------


def compare(
    options: argparse.Namespace, model: str, change: str, columns: int, folder: Path
) -> tuple[dict[str, Any], Trial]:
    """Ask greengate for its verdict, as a user would, and return what it said with the trial behind it."""
    before, after = code(folder, "base", 0), code(folder, change, columns)
    spec = workload(options, model)
    (given,) = spec.inputs
    more = f", dtype: {given.dtype}, max: {given.max:.0f}" if given.dtype else ""
    budget = folder / "budgets.yaml"
    budget.write_text(
        f"version: 1\nmodels:\n  - name: {model}\n    path: {after.name}/nets:{model}\n    device: {options.device}\n"
        f"    precision: bf16\n    inputs: {{x: {{shape: {list(given.shape or ())}{more}}}}}\n"
        f"workload: {{batch_size: {spec.batch_size}}}\n"
        f"rules:\n  - {{metric: latency_p50, max_increase: {LIMIT:.0%}}}\n",
        encoding="utf-8",
    )
    began = time.monotonic()
    request = gate.Request(budget=str(budget), against=f"file:{before}/nets:{model}", max_seconds=options.max_seconds)
    checked = gate.check(request, datetime.datetime.now(datetime.UTC))
    took = time.monotonic() - began
    found = checked.measured[model]
    if not isinstance(found, Trial):
        raise SystemExit(f"{model}: nothing was compared")
    told = checked.verdict.case.models[0].comparisons["latency_p50"].change
    said = {"status": checked.verdict.status.name.lower(), "seconds": round(took, 2), "launches": list(found.looks)}
    if (low := getattr(told, "low", None)) is not None:
        said |= {"value": told.value, "low": low, "high": told.high}  # type: ignore[union-attr]
    else:
        said["reason"] = told.reason  # type: ignore[union-attr]
    return {"kind": "comparison", "model": model, "change": change, "at": _now()} | said, found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def machine(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    here = this_machine()
    board = torch.cuda.get_device_name(0) if options.device != "cpu" else "no GPU: tried on the CPU"
    told = {"board": board, "cpu": here.cpu, "cores": here.cores, "system": here.system, "torch": torch.__version__}
    return {"kind": "machine", "date": _now()[:10], "revision": options.revision, "small": options.small} | told


def run(options: argparse.Namespace) -> None:
    """Calibrate what is not, then fill the cells in turn until time is up, and tell the table."""
    raw, deadline = options.folder / "gpu.jsonl", time.monotonic() + 60 * options.minutes
    (options.folder / "gpu-trials").mkdir(parents=True, exist_ok=True)
    append(raw, machine(options))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in options.models:
            if not any(one["kind"] == "model" and one["model"] == model for one in records(raw)):
                append(raw, counted(options, model, folder))
            if not any(known == model for known, _ in widths(records(raw))):
                for truth in calibrate(options, model, folder):
                    append(raw, truth)
        while time.monotonic() < deadline:
            model, change, index = emptiest(records(raw), list(options.models))
            said, trial = compare(options, model, change, widths(records(raw)).get((model, change), 0), folder)
            # The trial first: a comparison that is told has its samples, however this ends.
            trace = options.folder / "gpu-trials" / f"{model}{change.replace('%', '')}-{index}.json.gz"
            trace.write_bytes(gzip.compress(profile_file.dump_trial(trial).encode(), mtime=0))
            append(raw, said)
            print(f"{model} {change} #{index}: {said['status']} in {said['seconds']} s", flush=True)
    text = "\n".join(table(records(raw))) + "\n"
    (options.folder / "gpu.md").write_text(text, encoding="utf-8")
    print(text)


def records(raw: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.read_text(encoding="utf-8").splitlines()] if raw.exists() else []


def append(raw: Path, record: dict[str, Any]) -> None:
    with raw.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def widths(rows: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    return {(one["model"], one["change"]): one["columns"] for one in rows if one["kind"] == "truth"}


def emptiest(rows: list[dict[str, Any]], models: list[str]) -> tuple[str, str, int]:
    """Return the cell with the fewest comparisons, and how many it has."""
    done = [(one["model"], one["change"]) for one in rows if one["kind"] == "comparison"]
    count, _, model, change = min(
        (done.count((model, change)), place, model, change)
        for place, (change, model) in enumerate((change, model) for change in CHANGES for model in models)
    )
    return model, change, count


# --- telling --------------------------------------------------------------------------------------------------------


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Tell what the records say, whatever it is."""
    machines = [one for one in rows if one["kind"] == "machine"]
    for text in dict.fromkeys(
        f"{one['board']}; {one['cpu']}, {one['cores']} cores, {one['system']}; torch {one['torch']}; {one['date']}, "
        f"{one['revision']}"
        for one in machines
    ):
        yield f"# Verdicts on {text}"
    if any(one["small"] for one in machines):
        yield "\nSmall networks, to try the benchmark itself: **no figure here says anything of a GPU.**"
    yield ""
    for one in (one for one in rows if one["kind"] == "model"):
        macs, params = (f"{one[key]:,.0f}" if one[key] is not None else "not counted" for key in ("macs", "params"))
        where = "; ".join(one["boards"]) or "CPU"
        yield f"- {one['model']}, batch {one['batch']}: {macs} MACs an item, {params} parameters; {where}"
    yield f"\nLimit {LIMIT:+.0%} on latency_p50, bf16. Seconds are medians, from start to end of a check.\n"
    yield "| model | change | true | n | fail / pass / inconclusive | interval holds the truth | half-width | seconds |"
    yield "|:--|:--|--:|--:|--:|--:|--:|--:|"
    truth = {(one["model"], one["change"]): one for one in rows if one["kind"] == "truth"}
    for model in dict.fromkeys(one["model"] for one in rows if one["kind"] == "comparison"):
        for change in CHANGES:
            cell = [
                one for one in rows if one["kind"] == "comparison" and (one["model"], one["change"]) == (model, change)
            ]
            if cell:
                yield _row(model, change, truth.get((model, change)), cell)


def _row(model: str, change: str, truth: dict[str, Any] | None, cell: list[dict[str, Any]]) -> str:
    statuses = [one["status"] for one in cell]
    verdicts = " / ".join(str(statuses.count(status)) for status in ("fail", "pass", "inconclusive"))
    known = [one for one in cell if "low" in one]
    true = truth["true"] if truth else 0.0
    held = sum(one["low"] <= true <= one["high"] for one in known)
    half = statistics.median((one["high"] - one["low"]) / 2 for one in known) if known else math.nan
    seconds = statistics.median(one["seconds"] for one in cell)
    told = f"{true:+.2%} ± {truth['half_width']:.2%}" if truth else "0 %"
    counts = f"{len(cell)} | {verdicts} | {held} of {len(known)}"
    return f"| {model} | {change} | {told} | {counts} | {half:.2%} | {seconds:.0f} |"


def revision() -> str:
    """Return which revision of greengate this is; empty where git or its folder is not at hand."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return ""


def asked(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line. Ends the process where a result would pretend to be a board's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="small networks, to try the benchmark itself")
    parser.add_argument("--minutes", type=float, default=9, help="no comparison begins later")
    parser.add_argument("--max-seconds", type=float, default=60, help="for one look of a comparison")
    parser.add_argument("--folder", type=Path, default=RESULTS)
    parser.add_argument("--revision", default=revision(), help="of greengate, where a copy of its files runs")
    options = parser.parse_args(arguments)
    options.models = SMALL if options.small else MODELS
    if (options.small or options.device == "cpu") and options.folder.resolve() == RESULTS:
        parser.error("results of the CPU or of small networks do not go there: name another --folder")
    if options.device != "cpu":
        import torch

        if not torch.cuda.is_available():
            parser.error("PyTorch sees no NVIDIA GPU here; try it with --device cpu --small --folder FOLDER")
    return options


if __name__ == "__main__":
    run(asked())
