"""Accuracies that somebody declares: a figure in a JSON file, or in what a command prints."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greengate import git
from greengate.baselines import extract
from greengate.budget import AccuracySource
from greengate.gate.request import Setting
from greengate.metrics import METRICS
from greengate.profile import Interval, Measurement, Missing
from greengate.profiler import evaluation

_SECONDS = 3600.0
#: What a command needs to find its programs and its home; nothing else of the environment reaches it.
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
_HELP = "commit the file beside the model, or let greengate evaluate both on labelled data"


@dataclass(frozen=True)
class Side:
    """One role: its model where it is at hand, its digest, the commit it comes from, weights in a file of their own.

    `printed` keeps what a command said of it, so that one command may tell several figures.
    """

    path: Path | None
    digest: str | None
    commit: str | None = None
    weights: Path | None = None
    printed: dict[str, bytes | str] = field(default_factory=dict)


def now(source: AccuracySource, digest: str | None, setting: Setting) -> Measurement | str:
    """Return the figure that a file declares today, or in words why there is none."""
    name = source.options["file"]
    try:
        content = (setting.folder / name).read_bytes()
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return _figure(content, name, source, digest)


def before(source: AccuracySource, side: Side, setting: Setting) -> Measurement | Missing:
    """Return the figure that a file had where the baseline comes from: never today's file again."""
    name = source.options["file"]
    unknown = f"{name} says nothing of the baseline"
    top = git.root(setting.folder)
    if side.commit is None or top is None or (path := extract.inside(top, setting.folder / name)) is None:
        return Missing(f"{unknown}, which is of no commit", "incomparable", _HELP)
    was = git.show(top, side.commit, path) if git.commit(top, side.commit) else None
    if was is None:
        return Missing(f"{unknown}: it is not in {side.commit[:12]}", "incomparable", _HELP)
    found = _figure(was, f"{name} at {side.commit[:12]}", source, side.digest)
    return Missing(found, "incomparable", _HELP) if isinstance(found, str) else found


def run(source: AccuracySource, side: Side, setting: Setting) -> Measurement | str:
    """Run the command for one model in the budget's folder; the JSON that it prints is the answer."""
    written = source.options["command"]
    if side.path is None:
        return "the model file is not at hand"
    if written not in side.printed:
        side.printed[written] = _printed(written, side.path, setting)
    said = side.printed[written]
    return said if isinstance(said, str) else _figure(said, f"what `{written}` printed", source, side.digest)


def _printed(written: str, model: Path, setting: Setting) -> bytes | str:
    """Return what a command prints, or in words why it did not."""
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        words = [word.replace("{model}", str(model.absolute())) for word in shlex.split(written)]
        done = subprocess.run(  # noqa: S603 - the budget says so, and the target branch's budget binds
            words, cwd=setting.folder, env=environ, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return f"`{written}` did not run: {error}"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"`{written}` ended with {done.returncode}: {said[-1] if said else 'no word'}"
    return done.stdout


def _figure(content: bytes, name: str, source: AccuracySource, digest: str | None) -> Measurement | str:
    """Return a declared figure, or in words why there is none.

    `n` and `model_sha256` stand beside the figure, or in an object around it.
    """
    key, metric = source.options["key"], METRICS[source.metric]
    try:
        raw = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        return str(error) if isinstance(error, _TwiceError) else f"{name} is not JSON"
    around = list(_around(raw, key))
    value = around[-1]
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        return f"{name} has no number at {key!r}"
    low = 0 if metric.better == "lower" else -1
    if metric.dimension == "ratio" and not low <= value <= 1:
        return f"{name} has {value:g} at {key!r}, which is no ratio"
    objects = [one for one in around[:-1] if isinstance(one, dict)]
    bound = [str(one["model_sha256"]) for one in objects if one.get("model_sha256") is not None]
    if any(f"sha256:{one.removeprefix('sha256:')}" != digest for one in bound):
        return f"{name} is about another model: its `model_sha256` is not that of this one"
    n = next((one["n"] for one in reversed(objects) if one.get("n") is not None), None)
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MOST):
        return f"{name} has no whole number of samples at 'n'"
    said = f"{key} of {name}" + ("" if bound else ", which does not say of which model (no `model_sha256`)")
    share = _share(value, n) if metric.dimension == "ratio" else None
    return Measurement(float(value), "declared", share, n or 1, said)


#: Samples that somebody may claim to have labelled; more are a slip, or a way to a narrow interval.
_MOST = 10**12


class _TwiceError(ValueError):
    """A name that stands twice in one object: which figure was meant is not known."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"{twice!r} stands twice in one object of the figures")
    return found


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _around(raw: object, key: str) -> Iterator[object]:
    """Yield the whole, every object on the way to a key, and what stands there; None where there is nothing."""
    yield raw
    for part in key.split("."):
        raw = raw.get(part) if isinstance(raw, dict) else None
        yield raw


def _share(value: float, n: int | None) -> Interval | None:
    """Return Wilson's interval of a share of so many samples; None where it is none, or their number is not known."""
    return None if n is None or not 0 <= value <= 1 else evaluation.wilson(value, n)
