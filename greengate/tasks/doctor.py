"""`greengate doctor`: what can be measured on this machine, and how small a change can be told from noise."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from greengate import budget_file, estimate, stats
from greengate.budget import WorkerLimits
from greengate.errors import GreengateError
from greengate.gate.precision import metered_by
from greengate.judge import SHARE
from greengate.power import Domain
from greengate.profile import Missing, Trial, WorkloadSpec
from greengate.profiler import exact, hardware, trial
from greengate.profiler.exact import Subject
from greengate.profiler.instructions import valgrind
from greengate.profiler.metering import too_slow
from greengate.profiler.meters import METERS, Row
from greengate.profiler.meters.bench import Energy, opened
from greengate.profiler.meters.remedies import remedy
from greengate.profiler.trial import Effort, Progress
from greengate.units import format_quantity

#: The network that stands in where no model is named; tests/profiler/test_probe.py says how it was made.
PROBE = Path(hardware.__file__).with_name("probe.onnx")
_METRICS = ("latency_p50", "latency_p95", "cpu_time")
#: Builds of one runtime, all in one folder.
_ONNX = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
_RUNTIMES = (
    ("ONNX", _ONNX, ""),
    ("PyTorch", ("torch",), "pip install 'greengate-ci[torch]'"),
    ("export", ("onnxscript",), "pip install 'greengate-ci[export]'"),
)
_TIMES = (10, 60, 300)
_LIMITS = WorkerLimits()
#: Models of a comparison: baseline, candidate and the baseline's second copy.
_ROLES = 3


def examine(model: str | None, max_seconds: float, progress: Progress, budget: str | None = None) -> str:
    """Describe the machine, the runtimes, the energy counters and the noise. Raises GreengateError for a bad model.

    The external meter's log that a `budget` names is one of the counters.
    """
    energy = _energy(_metered(budget), _limits(budget))
    return "\n".join([*_machine(), "", *_runtimes(), "", *energy, "", *_noise(model, max_seconds, progress)])


def _machine() -> Iterator[str]:
    here = hardware.this_machine()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else here.cores
    yield "machine"
    yield f"  cpu        {here.cpu}, {here.architecture}"
    yield f"  cores      {here.cores}, {usable} usable by this process"
    yield f"  vectors    {' '.join(here.extensions) or 'none known'}"
    yield f"  memory     {format_quantity(here.memory, 'bytes')}"
    yield f"  system     {here.system}"
    yield f"  id         {here.id}"
    yield from (f"  note       {note}" for note in here.notes)


def _runtimes() -> Iterator[str]:
    yield "models that can be measured"
    for name, packages, install in _RUNTIMES:
        found = _installed(packages)
        said = f"no: {packages[0]} is not installed; {install}".removesuffix("; ")
        yield f"  {name.ljust(9)}  {', '.join(f'{package} {version}' for package, version in found.items()) or said}"
    if len(_installed(_ONNX)) > 1:
        yield f"  note       {_clash()}"
    yield f"  instructions  {_valgrind()}"


def _installed(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _clash() -> str:
    """Say that builds of onnxruntime overwrote each other, and how to have the one that is wanted."""
    both = list(_installed(_ONNX))
    return (
        f"{' and '.join(both)} lie in one folder: the last one installed overwrote the other, and models may "
        f"run on the CPU in silence; pip uninstall --yes {' '.join(both)}, then install the one that is wanted"
    )


def _valgrind() -> str:
    missing = valgrind.missing()
    if missing is not None:
        return f"no: {missing.reason}; {missing.help}".removesuffix("; ")
    try:
        version = valgrind.version()
        return f"valgrind {version} counts those of an inference, on the CPU{valgrind.newer(version)}"
    except OSError as error:
        return f"no: {error}"


def _metered(budget: str | None) -> Energy:
    """Return what meters energy by a budget; the machine's own counters where it has mistakes, which others tell."""
    if budget is not None:
        with contextlib.suppress(GreengateError):
            return metered_by(budget_file.read(Path(budget)), Path(budget).parent, estimates=False)
    return Energy()


def _limits(budget: str | None) -> WorkerLimits:
    if budget is not None:
        with contextlib.suppress(GreengateError):
            return budget_file.read(Path(budget)).worker
    return WorkerLimits()


def _energy(energy: Energy, limits: WorkerLimits = _LIMITS) -> Iterator[str]:
    yield "energy counters, each watched for a moment"
    with opened(energy) as bench:
        rows = [(one.id, _counted(one)) for one in bench.domains]
        rows += [(one.what, f"no: {one.reason}; {remedy(one)}".removesuffix("; ")) for one in bench.absent]
        slow = too_slow(bench.domains, _ROLES, energy.seconds, limits.timeout)
        notes = [*bench.notes, *([] if slow is None else [f"{slow.reason}; {slow.help}"])]
    rows += [(name, _model(row)) for name, row in METERS.items() if row.estimates]
    width = max(len(name) for name, _ in rows)
    yield from (f"  {name.ljust(width)}  {text}" for name, text in rows)
    yield from (f"  note       {note}" for note in notes)


def _counted(domain: Domain) -> str:
    tick = format_quantity(domain.tick, "time", digits=2)
    return f"yes: {domain.about}; {domain.method}, {domain.watts:.3g} W now, changes every {tick}"


def _model(row: Row) -> str:
    meter = row.make()
    found = row.discover(meter)
    meter.close()
    if not found.domains:
        (absent,) = found.absent
        return f"no: {absent.reason}; {absent.help}".removesuffix("; ")
    return f"a model, used where nothing counts and a rule says `allow_estimated: true`: {found.domains[0].about}"


def _noise(model: str | None, max_seconds: float, progress: Progress) -> Iterator[str]:
    found = _against_itself(model, max_seconds, progress)
    count = len(found.launches)
    yield f"noise: {model or 'a small built-in network'} against itself, {count} launches in {found.seconds:.0f} s"
    if not count:
        missing = found.candidate.measurements[_METRICS[0]]
        yield f"  not measured: {missing.reason if isinstance(missing, Missing) else 'no launch fitted into the time'}"
        return
    times = ", ".join(f"{seconds} s" for seconds in _TIMES)
    yield f"  {''.ljust(11)}  {'noise floor'.ljust(12)}  smallest limit decided in {times}"
    for metric in _METRICS:
        estimated = estimate.log_ratio(found.launches, metric)
        if isinstance(estimated, Missing):
            yield f"  {metric.ljust(11)}  {estimated.reason}"
            continue
        floor = math.expm1(max(estimated.high, -estimated.low))
        limits = [decidable(estimated, found.seconds / count, seconds) for seconds in _TIMES]
        told = ", ".join("none" if limit is None else f"{100 * limit:.1f} %" for limit in limits)
        yield f"  {metric.ljust(11)}  {f'{100 * floor:.2f} %'.ljust(12)}  {told}"
    yield from (f"  note       {note}" for note in found.notes)


def decidable(measured: stats.Estimate, launch_seconds: float, seconds: float) -> float | None:
    """Return the smallest limit that a check of `seconds` can decide, from what an A/A run measured; None for none.

    The spread between launches is taken from the run; a limit is decided where the half-width is at most
    judge.SHARE of it.
    """
    count = min(int(seconds * estimate.FIRST_SHARE / launch_seconds), estimate.MOST_LAUNCHES)
    if count < stats.MIN_LAUNCHES:
        return None
    share = 1 - (1 - estimate.COMPUTED) / 2
    spread = measured.half_width * math.sqrt(measured.launches) / stats.student_t(share, measured.launches - 1)
    half = stats.student_t(share, count - 1) * spread / math.sqrt(count)
    return math.expm1(half / SHARE)


def _against_itself(model: str | None, max_seconds: float, progress: Progress) -> Trial:
    # Never narrow enough: the noise is wanted that the whole time gives.
    precision = dict.fromkeys(_METRICS, 0.0)
    path = Path(model) if model is not None else PROBE
    subject = Subject(path.stem, str(path.absolute()), str(path), WorkloadSpec())
    counted = exact.count(subject, WorkerLimits(), "")
    return trial.trial(
        {"baseline": subject, "candidate": subject},
        {"baseline": counted, "candidate": counted},
        Effort(precision, max_seconds),
        WorkerLimits(),
        progress,
    )
