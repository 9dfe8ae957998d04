"""Whose word holds on a noisy machine: greengate beside what other tools do, on models whose true change is known.

    make bench-verdicts                       # runs until every cell is full; may be stopped and started again
    .venv/bin/python benchmarks/verdicts.py run --minutes 30 --load quiet
    .venv/bin/python benchmarks/verdicts.py table

Every comparison is appended to a raw file (one JSON object a line) as it ends, so a run can be cut into parts. A cell
is a model, a change and a load; cells are filled in turn, so that what stops early is balanced. The limit is +5 % on
latency_p50 for everyone.

Loads: `quiet` is the machine as it is; `noisy` adds a process on each core that measures, which burns and pauses for
random times. Changes: `same` re-serialises the model with another doc string (other bytes, same work); the others add a
block of real work, sized by calibration, whose true cost is measured by one long careful trial.

Intervals are computed anew from the raw ratios of each launch, by the rule of the revision that tells the table;
statuses are those of the revision that measured.

Rivals, all on single-model processes of the same length, on every other pair of files, and on every fourth once a cell
has ten: A-then-B medians; minimum of N; Welch's t-test on the calls (p < 0.05 and mean ratio beyond the limit);
Mann-Whitney on two interleaved rounds as asv does (p < 0.002 and median ratio beyond the limit).
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import instructions
from pairs import HERE, append, heavier, machine, neighbour, originals, records, reserialised, revision

from greengate import estimate, gate, stats
from greengate.budget import WorkerLimits
from greengate.profile import InputSpec, Workload, WorkloadSpec
from greengate.profiler import exact, trial
from greengate.profiler.backends import onnx as backend
from greengate.profiler.exact import Subject
from greengate.profiler.jobs import LaunchJob

RAW = HERE / "results" / "verdicts.jsonl"
TABLE = HERE / "results" / "verdicts.md"
LIMIT = 0.05
#: The revision whose records count warm-up calls as time outside of calls.
WITHOUT_WARM_UP = "b53018520c29"
#: Comparisons of a cell of which every other is given to the rivals too; after them every fourth.
RIVALS_OFTEN = 10
PAIRED = ("baseline", "candidate")
CHANGES = {"same": 0.0, "+3%": 0.03, "+7%": 0.07, "+10%": 0.10, "-10%": -0.10}
#: Comparisons wanted in a cell, by change: over three models, 201 and 42.
WANTED = {"same": 67, "+3%": 14, "+7%": 14, "+10%": 14, "-10%": 14}
MODELS = {"cnn": 1, "classifier": 1, "recogniser": 2}  # threads
INPUTS = {"recogniser": (InputSpec("x", (1, 3, 48, 320)),)}


# --- measuring ------------------------------------------------------------------------------------------------------


def workload(model: str) -> WorkloadSpec:
    return WorkloadSpec(threads=MODELS[model], inputs=INPUTS.get(model, ()))


def careful(model: str, before: Path, after: Path, seconds: float) -> stats.Estimate:
    """Measure ln(after / before) of latency_p50 for a long time."""
    spec = workload(model)
    roles = {"baseline": Subject(model, str(before), "", spec), "candidate": Subject(model, str(after), "", spec)}
    counted = {role: exact.count(one, WorkerLimits(), "") for role, one in roles.items()}
    effort = trial.Effort({"latency_p50": 0.0}, seconds / estimate.FIRST_SHARE)
    found = trial.trial(roles, counted, effort, WorkerLimits())  # type: ignore[arg-type]
    ratio = estimate.log_ratio(found.launches, "latency_p50")
    if not isinstance(ratio, stats.Estimate):
        raise SystemExit(f"{model}: {ratio.reason}")
    return ratio


def calibrate(model: str, source: Path, wanted: float, target: Path) -> stats.Estimate:
    """Write a model that takes `wanted` more (a fraction) and return ln of the true change by a long trial."""
    columns = 512
    for _ in range(6):
        heavier(source, target, columns)
        found = math.expm1(careful(model, source, target, 14).value)
        if abs(found - wanted) < 0.1 * wanted:
            break
        columns = max(16, round(columns * wanted / max(found, 0.002) / 16) * 16)
    return careful(model, source, target, 40)


def ours(model: str, before: Path, after: Path, folder: Path) -> dict[str, Any]:
    """Ask greengate for its verdict on the limit, as a user would."""
    inputs = "".join(f", inputs: {{{one.name}: {{shape: {list(one.shape or ())}}}}}" for one in INPUTS.get(model, ()))
    budget = folder / f"{model}.yaml"
    budget.write_text(
        f"version: 1\nmodels:\n  - {{name: {model}, path: {after}{inputs}}}\nworkload: {{threads: {MODELS[model]}}}\n"
        "rules:\n  - {metric: latency_p50, max_increase: 5%}\n"
    )
    began = time.monotonic()
    request = gate.Request(budget=str(budget), against=f"file:{before}")
    checked = gate.check(request, datetime.datetime.now(datetime.UTC))
    took = time.monotonic() - began
    found = checked.measured[model]
    change = checked.verdict.case.models[0].comparisons["latency_p50"].change
    said: dict[str, Any] = {
        "status": checked.verdict.status.name.lower(),
        "seconds": round(took, 2),
        "launches": list(found.looks),  # type: ignore[union-attr]
        "inside": round(sum(one.seconds for one in found.launches) / max(found.seconds, 1e-9), 3),  # type: ignore[union-attr]
    }
    said["ratios"] = {metric: _by_launch(found, metric) for metric in ("latency_p50", "cpu_time")}
    if hasattr(change, "low"):
        noise = change.noise  # type: ignore[union-attr]
        said |= {"value": change.value, "low": change.low, "high": change.high}  # type: ignore[union-attr]
        said |= {"floor": noise.floor, "broken": noise.broken} if noise else {}
    return said


def _by_launch(found: Any, metric: str) -> list[list[float]]:
    """Return ln(candidate / baseline) and ln(control / baseline) of every launch, so that other rules can be tried."""
    how = estimate.ESTIMATORS[metric]
    series = [[launch.samples[role][how.series] for role in (*PAIRED, "control")] for launch in found.launches]
    return [[round(how.log_ratio(first, other), 6) for other in others] for first, *others in series]


def alone(model: str, path: Path, seed: int, seconds: float) -> tuple[int, ...]:
    """Time one model in a process of its own, as most tools do."""
    job = LaunchJob({"candidate": str(path)}, ("candidate",), workload(model), seed, seconds, 30, 100_000)
    return backend.run(job, WorkerLimits()).samples["candidate"]["wall"]


def rivals(model: str, before: Path, after: Path, seed: int) -> dict[str, Any]:
    """Run what others do on the same work: two interleaved rounds of one process a model."""
    from scipy.stats import mannwhitneyu, ttest_ind

    began = time.monotonic()
    rounds = [alone(model, path, seed + index, 2.0) for index, path in enumerate((before, after, before, after))]
    took = time.monotonic() - began
    first, second, third, fourth = rounds
    ratio = statistics.median(second) / statistics.median(first)
    means = statistics.fmean(second) / statistics.fmean(first)
    p_welch = ttest_ind(second, first, equal_var=False, alternative="greater").pvalue
    pooled = statistics.median(second + fourth) / statistics.median(first + third)
    p_ranks = mannwhitneyu(second + fourth, first + third, alternative="greater").pvalue
    return {
        "seconds": round(took, 2),
        "medians": {"ratio": ratio, "fail": ratio > 1 + LIMIT},
        "minimum": {"ratio": min(second) / min(first), "fail": min(second) / min(first) > 1 + LIMIT},
        "welch": {"ratio": means, "fail": bool(p_welch < 0.05 and means > 1 + LIMIT)},
        "mann-whitney": {"ratio": pooled, "fail": bool(p_ranks < 0.002 and pooled > 1 + LIMIT)},
    }


Cell = tuple[str, str, str, int]

# --- running --------------------------------------------------------------------------------------------------------


def prepared(raw: Path, folder: Path, models: Sequence[str], changes: Sequence[str]) -> dict[tuple[str, str], Path]:
    """Write every candidate; calibrate those whose true change is not in the raw file yet."""
    known = {(one["model"], one["change"]): one for one in records(raw) if one["kind"] == "truth"}
    sources = originals(folder)
    found: dict[tuple[str, str], Path] = {}
    for model in models:
        found[model, "baseline"] = sources[model]
        for change in changes:
            target = folder / f"{model}{change.replace('%', '')}.onnx"
            if change == "same":
                reserialised(sources[model], target)
            elif (model, change) in known:
                heavier(sources[model], target, known[model, change]["columns"])
            else:
                true = calibrate(model, sources[model], _work(CHANGES[change]), target)
                said = {"true": math.expm1(true.value), "half_width": true.half_width, "columns": _columns(target)}
                append(raw, {"kind": "truth", "model": model, "change": change} | said)
                print(f"{model} {change}: truly {said['true']:+.2%}, {said['columns']} columns", flush=True)
            found[model, change] = target
    return found


def _work(change: float) -> float:
    """Return the extra work that makes a change; a lighter candidate has it in its baseline."""
    return change if change > 0 else -change / (1 + change)


def _columns(path: Path) -> int:
    import onnx

    (right,) = [one for one in onnx.load(path).graph.initializer if one.name == "gg_right"]
    return int(right.dims[1])


def run(options: argparse.Namespace) -> None:
    """Fill the cells in turn until all are full or the time is up."""
    raw: Path = options.raw
    raw.parent.mkdir(exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes
    if not any(one["kind"] == "machine" for one in records(raw)):
        append(raw, machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = prepared(raw, folder, options.models, options.changes)
        while time.monotonic() < deadline:
            cell = _emptiest(raw, options)
            if cell is None:
                break
            append(raw, _compare(cell, files, folder))
    table(options)


def _emptiest(raw: Path, options: argparse.Namespace) -> Cell | None:
    done: dict[tuple[str, str, str], int] = {}
    for one in records(raw):
        if one["kind"] == "comparison":
            key = one["model"], one["change"], one["load"]
            done[key] = done.get(key, 0) + 1
    cells = [
        (done.get((model, change, load), 0) / WANTED[change], model, change, load)
        for load in options.load
        for change in options.changes
        for model in options.models
        if done.get((model, change, load), 0) < WANTED[change]
    ]
    if not cells:
        return None
    _, model, change, load = min(cells)
    return model, change, load, done.get((model, change, load), 0)


def _compare(cell: Cell, files: dict[tuple[str, str], Path], folder: Path) -> dict[str, Any]:
    model, change, load, index = cell
    before, after = files[model, "baseline"], files[model, change]
    if CHANGES[change] < 0:  # the lighter one is the original
        before, after = after, before
    seed = random.Random(f"{model} {change} {load} {index}").randrange(10**6)
    with neighbour(load, seed):
        said = ours(model, before, after, folder)
        others = None if index % (2 if index < RIVALS_OFTEN else 4) else rivals(model, before, after, seed)
    print(f"{load} {model} {change} #{index}: {said['status']} in {said['seconds']} s", flush=True)
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    cell_of = {"kind": "comparison", "model": model, "change": change, "load": load, "index": index, "at": when}
    return cell_of | {
        "revision": revision(),
        "ours": said,
        "rivals": others,
        "load_average": os.getloadavg()[0],
    }


# --- telling --------------------------------------------------------------------------------------------------------


def table(options: argparse.Namespace) -> None:
    """Print the table of what the raw file holds, and write it beside it."""
    rows = records(options.raw)
    text = "\n".join(_table(rows)) + "\n"
    TABLE.write_text(text)
    print(text)


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    for one in rows:
        if one["kind"] == "machine":
            told = (
                one["cpu"],
                f"{one['cores']} cores",
                one["system"],
                f"onnxruntime {one['onnxruntime']}",
                one["date"],
            )
            yield f"# Verdicts: {', '.join(told)}"
    truth = {(one["model"], one["change"]): one["true"] for one in rows if one["kind"] == "truth"}
    yield ""
    yield "Limit +5 % on latency_p50. Fails, passes and inconclusive verdicts of all comparisons; seconds are medians."
    yield ""
    heads = ("load", "model", "change", "true", "n", "greengate fail / pass / inconclusive", "seconds", "inside calls")
    heads += ("fails: A then B", "minimum", "Welch", "Mann-Whitney", "seconds")
    yield f"| {' | '.join(heads)} |"
    yield f"|{':--|' * 3}{'--:|' * 10}"
    found = [one for one in rows if one["kind"] == "comparison"]
    for load in ("quiet", "noisy"):
        for change, kind in CHANGES.items():
            for model in MODELS:
                cell = [one for one in found if (one["model"], one["change"], one["load"]) == (model, change, load)]
                if cell:
                    true = truth.get((model, change), 0.0)
                    yield _row(load, model, change, -true / (1 + true) if kind < 0 else true, cell)
    yield ""
    yield from _targets(found, truth)
    yield from ("", "Counted instructions, on pairs of their own ([instructions.md](instructions.md)):")
    yield from instructions.told(records(instructions.RAW))


def _row(load: str, model: str, change: str, true: float, cell: list[dict[str, Any]]) -> str:
    statuses = [one["ours"]["status"] for one in cell]
    beside = [one["rivals"] for one in cell if one["rivals"]]
    fails = [f"{sum(one[name]['fail'] for one in beside)} of {len(beside)}" for name in RIVALS]
    verdicts = " / ".join(str(statuses.count(status)) for status in ("fail", "pass", "inconclusive"))
    seconds = statistics.median(one["ours"]["seconds"] for one in cell)
    inside = _median([one["ours"]["inside"] for one in cell if _counts_warm_up(one)], ".0%")
    others = statistics.median(one["seconds"] for one in beside)
    rivals_said = " | ".join(fails)
    return (
        f"| {load} | {model} | {change} | {true:+.1%} | {len(cell)} | {verdicts} | {seconds:.1f} | {inside} "
        f"| {rivals_said} | {others:.1f} |"
    )


RIVALS = ("medians", "minimum", "welch", "mann-whitney")


def _targets(found: list[dict[str, Any]], truth: dict[tuple[str, str], float]) -> Iterator[str]:
    """Yield what the comparisons say of each target, whatever it says."""
    yield "| target | quiet | noisy |"
    yield "|:--|:--|:--|"
    loads = [[one for one in found if one["load"] == load] for load in ("quiet", "noisy")]
    rows = {
        "equal models called fail: none in 200 quiet, 1 in 200 noisy": lambda of: _share(of, "same", "fail"),
        "equal models inconclusive: 2 % quiet, 10 % noisy": lambda of: _share(of, "same", "inconclusive"),
        "+10 % called fail: 99 % quiet, 95 % noisy": lambda of: _share(of, "+10%", "fail"),
        "intervals that hold the true change: 93 %": lambda of: _covered(of, truth),
        "the same for first looks alone": lambda of: _covered(of, truth, first=True),
        "the same, the truth being what the cell's other trials say": lambda of: _covered(of, None),
        "the same, equal models alone": lambda of: _covered([one for one in of if one["change"] == "same"], truth),
        "median seconds, cnn and classifier: 10 quiet, 30 noisy": lambda of: _median(
            [one["ours"]["seconds"] for one in of if one["model"] != "recogniser"], ".1f"
        ),
        "time inside calls, recogniser: 80 %": lambda of: _median(
            [one["ours"]["inside"] for one in of if one["model"] == "recogniser" and _counts_warm_up(one)], ".0%"
        ),
    }
    for name, told in rows.items():
        yield f"| {name} | {' | '.join(told(of) if of else 'not run' for of in loads)} |"


def _share(found: list[dict[str, Any]], change: str, status: str) -> str:
    mine = [one["ours"]["status"] == status for one in found if one["change"] == change]
    return f"{sum(mine)} of {len(mine)} ({sum(mine) / len(mine):.1%})" if mine else "not run"


def _covered(found: list[dict[str, Any]], truth: dict[tuple[str, str], float] | None, *, first: bool = False) -> str:
    """Count the intervals that hold the truth: the calibration's, or without it the mean of the cell's other trials."""
    held = []
    for one in found:
        if "low" not in one["ours"]:
            continue
        low, high = _interval(one, _logs(one)[: one["ours"]["launches"][0]] if first else _logs(one))
        true = 0.0
        if one["change"] != "same" and truth is not None:
            true = truth[one["model"], one["change"]]
            true = -true / (1 + true) if CHANGES[one["change"]] < 0 else true
        elif one["change"] != "same":
            cell = [two for two in found if (two["model"], two["change"]) == (one["model"], one["change"])]
            others = [statistics.fmean(_logs(two)) for two in cell if two is not one]
            if not others:
                continue
            true = math.expm1(statistics.fmean(others))
        held.append(low <= true <= high)
    return f"{sum(held)} of {len(held)} ({sum(held) / len(held):.1%})" if held else "not run"


def _interval(one: dict[str, Any], ratios: list[float]) -> tuple[float, float]:
    """Return the interval of the change that greengate gives such launches now."""
    found = stats.across_launches(ratios, estimate.COMPUTED)
    workload = Workload(1, MODELS[one["model"]], 0, (), "")
    half = math.hypot(found.half_width, estimate.between_trials(found.value, workload))
    return math.expm1(found.value - half), math.expm1(found.value + half)


def _logs(one: dict[str, Any]) -> list[float]:
    """Return ln(candidate / baseline) of every launch."""
    return [candidate for candidate, _ in one["ours"]["ratios"]["latency_p50"]]


def _counts_warm_up(one: dict[str, Any]) -> bool:
    return one.get("revision") != WITHOUT_WARM_UP


def _median(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}}" if values else "not run"


def _changes(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(CHANGES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(CHANGES)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("verb", choices=["run", "table"])
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--load", nargs="+", choices=["quiet", "noisy"], default=["quiet", "noisy"])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--changes", type=_changes, default=list(CHANGES), help="--changes=+10%%,-10%% and so on")
    options = parser.parse_args()
    (run if options.verb == "run" else table)(options)


if __name__ == "__main__":
    main()
