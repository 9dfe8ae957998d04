"""A matrix of jobs: the plan that says which part measures which models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greengate.comparison import Comparison
from greengate.errors import Diagnostic, GreengateError
from greengate.metrics import METRICS
from greengate.profile import Missing
from greengate.profile_file import parse
from greengate.verdict import ModelCase

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Part:
    """One job of a matrix: its name, the models it measures, and the labels of the machine it runs on."""

    name: str
    models: tuple[str, ...]
    runs_on: tuple[str, ...]


def dump(parts: Iterable[Part]) -> str:
    """Write a plan on one line, as GitHub's `matrix` takes it."""
    rows = [{"part": one.name, "models": one.models, "runs-on": one.runs_on} for one in parts]
    return json.dumps({"include": rows}) + "\n"


def read(path: Path) -> tuple[Part, ...]:
    """Read a plan. Raises GreengateError `unreadable-file` or `profile-invalid`."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        raise GreengateError(Diagnostic("unreadable-file", message, "write one with `greengate plan`")) from error
    rows = parse(text, str(path)).get("include")
    parts = [_part(row) for row in rows] if isinstance(rows, list) else [None]
    found = tuple(one for one in parts if one is not None)
    if len(found) < len(parts) or len({one.name for one in found}) < len(found):
        message = f"{path} is not a plan: one row for each part, with `part`, `models` and `runs-on`"
        raise GreengateError(Diagnostic("profile-invalid", message, "write one with `greengate plan`"))
    return found


def _part(row: Any) -> Part | None:
    if not isinstance(row, dict) or set(row) != {"part", "models", "runs-on"}:
        return None
    name, models, runs_on = row["part"], row["models"], row["runs-on"]
    texts = isinstance(models, list) and isinstance(runs_on, list) and all(isinstance(x, str) for x in models + runs_on)
    if not (isinstance(name, str) and _NAME.fullmatch(name) and texts and models):
        return None
    return Part(name, tuple(models), tuple(runs_on))


def models_of(path: Path, part: str) -> tuple[str, ...]:
    """Return the models that a part measures; none where the plan does not have it. Raises GreengateError."""
    return next((one.models for one in read(path) if one.name == part), ())


def unmeasured(model: str, parts: Sequence[Part]) -> ModelCase:
    """Return the case of a model that no file measured: every metric is Missing, with the part that owes it."""
    owes = next((one.name for one in parts if model in one.models), None)
    note = f"no file measured {model}"
    if owes is None:
        return ModelCase(model, {}, None, None, None, None, {}, (note,))
    reason = f"part {owes!r}, which was to measure it, has left no numbers"
    missing = Missing(reason, "skipped", f"look at the job of part {owes!r}, and run it again")
    compared = {metric: Comparison(metric, missing, missing, missing) for metric in METRICS}
    return ModelCase(model, compared, None, None, None, None, {}, (f"{note}: {reason}",))
