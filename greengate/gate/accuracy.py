"""A model's accuracy beside its baseline's: evaluated here on labelled data, or declared by a file or a command."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greengate import git
from greengate.baselines import Found, extract
from greengate.budget import AccuracySource
from greengate.comparison import Change, Comparison
from greengate.errors import Diagnostic, ModelError
from greengate.gate.binding import stands
from greengate.gate.ready import limits_of, subject_of
from greengate.gate.request import Chosen, Setting
from greengate.profile import Interval, Measurement, Missing
from greengate.profiler import evaluation
from greengate.profiler.backends import format_of
from greengate.profiler.jobs import Refused, ScoreJob, WorkerFailed
from greengate.verdict import ModelCase

_SECONDS = 3600.0
_BATCH = 64
_NO_BASELINE = Missing("the baseline's model file is not at hand to be evaluated", "incomparable")
#: What a command needs to find its programs and its home; nothing else of the environment reaches it.
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Side:
    """One role: its model file where it is at hand, its digest, and the commit it comes from."""

    path: Path | None
    digest: str | None
    commit: str | None = None
    stored: Measurement | Missing | None = None
    weights: Path | None = None


def with_accuracy(case: ModelCase, one: Chosen, baseline: Found | Missing, setting: Setting) -> ModelCase:
    """Return a case with the comparison of its accuracy; unchanged where the budget names no source.

    Raises ModelError where the source of the candidate's own figure is at fault.
    """
    source = one.entry.accuracy
    if source is None:
        return case
    before = _before(case, baseline)
    after = Side(one.path if stands(one.path) else None, case.candidate.digest if case.candidate else None)
    if "data" in source.options:
        found = _evaluated(source, one, before, after, setting)
    elif "command" in source.options:
        found = _commanded(source, before, after, setting)
    else:
        found = _declared(source, before, after, setting)
    return replace(case, comparisons={**case.comparisons, found.metric: found})


def _before(case: ModelCase, baseline: Found | Missing) -> Side | Missing:
    if isinstance(baseline, Missing):
        return baseline
    digest = case.baseline.digest if case.baseline is not None else None
    profile = baseline.profile
    stored = None if profile is None else profile.measurements.get("accuracy")
    return Side(baseline.artifact, digest or baseline.ref.digest, baseline.ref.commit, stored, baseline.weights)


# --- evaluated --------------------------------------------------------------------------------------------------------


def _evaluated(
    source: AccuracySource, one: Chosen, before: Side | Missing, after: Side, setting: Setting
) -> Comparison:
    metric = source.options["metric"]
    name = "error" if evaluation.lower_is_better(metric) else "accuracy"
    new = _scored(source, one, after, setting)
    old = before if isinstance(before, Missing) else _scored(source, one, before, setting)
    if isinstance(old, Refused):
        old = Missing(f"the baseline cannot be evaluated: {old.message}", "incomparable", old.help)
    if isinstance(new, Refused):
        raise ModelError(Diagnostic(new.code, new.message, new.help, source.span))
    measured = _measurement(metric, new, source.options["data"])
    past = _measurement(metric, old, source.options["data"])
    stored = before.stored if isinstance(before, Side) else None
    if isinstance(past, Missing) and isinstance(stored, Measurement):
        return _apart(stored, measured, relative=name == "error", metric=name)
    if isinstance(measured, Missing):
        return Comparison(name, past, measured, measured)
    if isinstance(past, Missing):
        return Comparison(name, past, measured, past)
    if isinstance(old, Missing) or isinstance(new, Missing):
        raise ValueError("what was measured was scored")
    try:
        value, low, high = evaluation.paired(metric, old, new)
    except ValueError as error:
        return Comparison(
            name, past, measured, Missing(str(error), "incomparable", "evaluate both on the same samples")
        )
    return Comparison(name, past, measured, Change(value, low, high, "paired", relative=name == "error"))


def _scored(
    source: AccuracySource, one: Chosen, side: Side, setting: Setting
) -> Mapping[str, tuple[float, ...]] | Missing | Refused:
    if side.path is None:
        return _NO_BASELINE
    spec = one.entry.workload
    data = (setting.base_files.at if setting.base_files else setting.folder.joinpath)(source.options["data"])
    size = spec.batch_size if spec.batch_size > 1 else _BATCH
    subject = subject_of(one, side.path, setting, side.weights)
    run = (spec.threads, size, subject.workload, subject.recipe)
    job = ScoreJob(subject.path, str(data.absolute()), source.options["metric"], *run)
    limits = limits_of(setting.budget)
    try:
        return format_of(str(side.path)).load().score(job, limits).columns
    except WorkerFailed as failed:
        return Missing(failed.reason, "failed", failed.help)
    except Refused as refused:
        message = refused.message.replace(str(data.absolute()), source.options["data"])
        return Refused(refused.code, message, refused.help)


def _measurement(metric: str, found: Mapping[str, tuple[float, ...]] | Missing, data: str) -> Measurement | Missing:
    if isinstance(found, Missing):
        return found
    try:
        value, spread = evaluation.value(metric, found), evaluation.interval(metric, found)
    except ValueError as error:
        return Missing(f"{metric} on {data}: {error}", "unsettled", "evaluate on more samples")
    samples = len(next(iter(found.values())))
    return Measurement(value, "evaluated", spread, samples, f"{metric} on {samples:,} samples of {data}")


# --- declared ---------------------------------------------------------------------------------------------------------


def _declared(source: AccuracySource, before: Side | Missing, after: Side, setting: Setting) -> Comparison:
    name, key = source.options["file"], source.options["key"]
    try:
        content = (setting.folder / name).read_bytes()
    except OSError as error:
        help_ = "run the evaluation that writes it before the gate"
        raise _fault(source, f"{name} cannot be read: {error.strerror}", help_) from error
    new = _figure(content, name, key, after.digest)
    if isinstance(new, str):
        raise _fault(source, new, "write the figure of this very model, a number, and `n` where it is known")
    old = _declared_before(source, before, setting)
    return Comparison("accuracy", old, new, old) if isinstance(old, Missing) else _apart(old, new)


def _declared_before(source: AccuracySource, before: Side | Missing, setting: Setting) -> Measurement | Missing:
    """Return the figure the file had where the baseline comes from, else the stored one: never today's file again."""
    name, key = source.options["file"], source.options["key"]
    if isinstance(before, Missing):
        return before
    if isinstance(before.stored, Measurement):
        return before.stored
    unknown = f"{name} says nothing of the baseline"
    help_ = "commit the file beside the model, or let greengate evaluate both on labelled data"
    top = git.root(setting.folder)
    if before.commit is None or top is None or (path := extract.inside(top, setting.folder / name)) is None:
        return Missing(f"{unknown}, which is of no commit", "incomparable", help_)
    was = git.show(top, before.commit, path) if git.commit(top, before.commit) else None
    if was is None:
        return Missing(f"{unknown}: it is not in {before.commit[:12]}", "incomparable", help_)
    found = _figure(was, f"{name} at {before.commit[:12]}", key, before.digest)
    return Missing(found, "incomparable", help_) if isinstance(found, str) else found


def _figure(content: bytes | str, name: str, key: str, digest: str | None) -> Measurement | str:
    """Return a declared figure, or in words why there is none."""
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        return f"{name} is not JSON"
    value: Any = raw
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"{name} has no number at {key!r}"
    if not -1 <= value <= 1:
        return f"{name} has {value:g} at {key!r}, which is no ratio"
    bound, n = raw.get("model_sha256"), raw.get("n")
    if bound is not None and f"sha256:{str(bound).removeprefix('sha256:')}" != digest:
        return f"{name} is about another model: its `model_sha256` is not that of this one"
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        return f"{name} has no whole number of samples at 'n'"
    said = f"{key} of {name}" + ("" if bound is not None else ", which does not say of which model (no `model_sha256`)")
    return Measurement(float(value), "declared", _share(value, n), n or 1, said)


def _share(value: float, n: int | None) -> Interval | None:
    """Return the interval of a share of so many samples; None where it is none, or their number is not known."""
    if n is None or not 0 <= value <= 1:
        return None
    hits = round(value * n)
    return evaluation.interval("top1", {"hit": [1.0] * hits + [0.0] * (n - hits)})


def _commanded(source: AccuracySource, before: Side | Missing, after: Side, setting: Setting) -> Comparison:
    new = _run(source, after, setting)
    if isinstance(new, str):
        raise _fault(source, new, "run the command by hand to see what it says")
    if isinstance(before, Missing):
        return Comparison("accuracy", before, new, before)
    old = _run(source, before, setting) if before.path is not None else None
    if old is None and isinstance(before.stored, Measurement):
        return _apart(before.stored, new)
    past = _NO_BASELINE if old is None else Missing(old, "incomparable") if isinstance(old, str) else old
    return Comparison("accuracy", past, new, past) if isinstance(past, Missing) else _apart(past, new)


def _run(source: AccuracySource, side: Side, setting: Setting) -> Measurement | str:
    """Run the command for one model in the budget's folder; what it prints last as JSON is the answer."""
    written, key = source.options["command"], source.options["key"]
    if side.path is None:
        return "the model file is not at hand"
    words = [word.replace("{model}", str(side.path.absolute())) for word in shlex.split(written)]
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - the budget says so, and the target branch's budget binds
            words, cwd=setting.folder, env=environ, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`{written}` did not run: {error}"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"`{written}` ended with {done.returncode}: {said[-1] if said else 'no word'}"
    return _figure(done.stdout, f"what `{written}` printed", key, side.digest)


def _apart(
    before: Measurement, after: Measurement | Missing, relative: bool = False, metric: str = "accuracy"
) -> Comparison:
    """Compare two figures that were not taken sample by sample: the interval is that of their difference."""
    if isinstance(after, Missing):
        return Comparison(metric, before, after, after)
    value = after.value / before.value - 1 if relative and before.value else after.value - before.value
    if before.interval is None or after.interval is None or relative:
        return Comparison(metric, before, after, Change(value, value, value, "exact", relative))
    # Newcombe's square-and-add interval of a difference of two shares.
    down = math.hypot(after.value - after.interval.low, before.interval.high - before.value)
    up = math.hypot(after.interval.high - after.value, before.value - before.interval.low)
    return Comparison(metric, before, after, Change(value, value - down, value + up, "stored", relative=False))


def _fault(source: AccuracySource, message: str, help_: str) -> ModelError:
    return ModelError(Diagnostic("accuracy-source", message, help_, source.span))
