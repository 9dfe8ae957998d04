"""`greengate init`: a first budget written from what was measured, and version 1 of the baseline."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greengate import estimate, gate, stats
from greengate.errors import Diagnostic, GreengateError, ReportError
from greengate.files import write_atomic
from greengate.harmless import clean
from greengate.metrics import METRICS
from greengate.profile import Measurement, Profile, Trial
from greengate.profiler.backends import FORMATS
from greengate.profiler.trial import Progress
from greengate.report import steps
from greengate.tasks.accept import store_all
from greengate.units import format_quantity

NAME = "budgets.yaml"
#: The changes that exact metrics may show before someone has to say why.
_EXACT = {"size": 5, "params": 5, "flops": 5, "activation_memory": 10}
#: The noisy metric every model gets a rule on, the least it may change, and how far above the noise the limit stands.
_NOISY, _LEAST, _ABOVE_NOISE = "latency_p50", 10, 4
_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist"})


@dataclass(frozen=True)
class Found:
    """A model file below the folder: what was measured of it beside itself and by itself, or why nothing was."""

    name: str
    path: str
    trial: Trial | None
    profile: Profile | None
    problem: Diagnostic | None


def start(folder: Path, force: bool, max_seconds: float, now: datetime.datetime, progress: Progress) -> str:
    """Write budgets.yaml for the models below a folder and accept them as the baseline; return what was done.

    Raises GreengateError `already-exists`, `no-models-found`, or what is wrong with every model when none can be
    measured; then nothing is written.
    """
    target = folder / NAME
    if target.exists() and not force:
        raise ReportError(Diagnostic("already-exists", f"{target} exists", "use --force to overwrite it"))
    paths = list(model_files(folder))
    if not paths:
        endings = ", ".join(ending for row in FORMATS.values() for ending in row.endings if row.name != "fake")
        message = f"no model was found below {folder}"
        raise GreengateError(Diagnostic("no-models-found", message, f"put a file that ends in {endings} there"))
    names = _names(folder, paths)
    found = []
    for path in paths:
        request = gate.Request(budget=None, models=(str(path),), against=f"file:{path}", max_seconds=max_seconds)
        found.append(_measure(path.relative_to(folder).as_posix(), names[path], request, now, progress))
    measured = {one.name: one.trial for one in found if one.trial is not None}
    if not measured:
        raise GreengateError(*(one.problem for one in found if one.problem is not None))
    write_atomic(target, budget_text(found))
    versions = store_all(
        folder, {one.name: one.profile for one in found if one.profile is not None}, "first budget", now
    )
    return "\n".join(_summary(target, found, [f"{one.model} version {one.version}" for one in versions]))


def model_files(folder: Path) -> Iterator[Path]:
    """Yield every model file below a folder, sorted, leaving out hidden and built folders."""
    endings = tuple(ending for row in FORMATS.values() for ending in row.endings)
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED and not (Path(root, name) / "pyvenv.cfg").exists()
        )
        yield from (Path(root, name) for name in sorted(names) if name.endswith(endings))


def _names(folder: Path, paths: Sequence[Path]) -> Mapping[Path, str]:
    """Name each model after its file; after its path where two files share a name."""
    stems = [_plain(path.name.split(".")[0]) for path in paths]
    names: dict[Path, str] = {}
    for path, stem in zip(paths, stems, strict=True):
        wanted = stem if stems.count(stem) == 1 else _plain(path.relative_to(folder).with_suffix("").as_posix())
        taken = [name for name in names.values() if name == wanted or name.startswith(f"{wanted}.")]
        names[path] = f"{wanted}.{len(taken) + 1}" if wanted in taken else wanted
    return names


def _plain(text: str) -> str:
    """Return what a budget accepts as a name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "model"


def _measure(shown: str, name: str, request: gate.Request, now: datetime.datetime, progress: Progress) -> Found:
    try:
        trial = gate.profile(request, now, progress, twice=False)
        if not isinstance(trial, Trial):
            raise TypeError("a model measured beside itself gives a trial")
        if not trial.candidate.model.files:
            missing = next(iter(trial.candidate.measurements.values()))
            reason = "" if isinstance(missing, Measurement) else missing.reason
            problem = Diagnostic("model-unsupported", f"{shown}: {reason}", "run it by hand first")
            return Found(name, shown, None, None, problem)
        # Measured apart like all that is accepted: its file may be gone when something is compared with it.
        profile = gate.measure(request, now, progress)
    except GreengateError as error:
        return Found(name, shown, None, None, error.diagnostics[0])
    return Found(name, shown, trial, replace(profile, model=replace(profile.model, name=name, path=shown)), None)


def budget_text(found: Sequence[Found]) -> str:
    """Write the budget: models with what was measured of them, rules with why their limits stand where they do."""
    measured = {one.name: one.trial for one in found if one.trial is not None}
    lines = [
        "# What these models may cost. `greengate check` compares each with its baseline and judges every rule.",
        "# Every key: budgets.example.yaml of greengate, or `greengate schema`.",
        "version: 1",
        "",
        "models:",
    ]
    for one in found:
        lines += _entry(one)
    lines += ["", "# One item a call, one thread: the steadiest numbers. Say here what your service really runs."]
    lines += ["workload: {batch_size: 1, threads: 1}", "", "rules:"]
    for metric, percent in _EXACT.items():
        where = "under equal runtimes and processors" if METRICS[metric].runtime_bound else "on every machine"
        lines += _rule(metric, percent, measured, f"exact: the same number {where}")
    noise = {name: _half_width(trial) for name, trial in measured.items()}
    steady = {name: half for name, half in noise.items() if half is not None}
    if steady:
        worst = max(steady.values())
        percent = max(_LEAST, 5 * math.ceil(100 * worst * _ABOVE_NOISE / 5))
        why = f"measured beside the baseline; the noise here was +-{100 * worst:.1f} %"
        lines += _rule(_NOISY, percent, {name: measured[name] for name in steady}, why, len(measured))
    return "\n".join(lines) + "\n"


def _entry(one: Found) -> list[str]:
    head = f"- {{name: {json.dumps(one.name)}, path: {json.dumps(one.path)}}}"
    if one.trial is None:
        problem = one.problem
        said = [] if problem is None else [problem.message, problem.help]
        comments = [f"  # {line}" for text in said for line in text.splitlines()]
        return [f"  # {head}", "  # ^ not measured yet:", *comments]
    numbers = [
        format_quantity(value.value, METRICS[name].dimension) + (f" {name}" if name == "params" else "")
        for name in ("size", "params", "flops", "latency_p50")
        if isinstance(value := one.trial.candidate.measurements.get(name), Measurement)
    ]
    return [f"  {head}  # {', '.join(numbers)}"]


def _rule(metric: str, percent: int, trials: Mapping[str, Trial], why: str, among: int | None = None) -> list[str]:
    having = [name for name, trial in trials.items() if _has(trial.candidate, metric)]
    if not having:
        return []
    only = f", models: {json.dumps(having)}" if len(having) < (among or len(trials)) else ""
    return [f"  # {METRICS[metric].about}; {why}.", f"  - {{metric: {metric}, max_increase: {percent}%{only}}}"]


def _has(profile: Profile, metric: str) -> bool:
    return isinstance(profile.measurements.get(metric), Measurement)


def _half_width(trial: Trial) -> float | None:
    found = estimate.log_ratio(trial.launches, _NOISY)
    return max(abs(found.low), abs(found.high)) if isinstance(found, stats.Estimate) else None


def _summary(target: Path, found: Sequence[Found], accepted: Sequence[str]) -> Iterator[str]:
    yield f"wrote {target}"
    yield from (f"accepted {text} as the baseline" for text in accepted)
    for one in found:
        if one.problem is not None:
            yield clean(f"left out {one.path}: {one.problem.message}; the file says what to add")
    kept = shlex.join(["git", "add", str(target.parent / ".greengate"), str(target)])
    yield f"next: {kept} && greengate check{steps.option(str(target))}"
