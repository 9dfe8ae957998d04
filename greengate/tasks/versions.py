"""`greengate baseline`: list, show, compare, bring back and verify accepted versions."""

from __future__ import annotations

import datetime
from pathlib import Path

from greengate import budget_file
from greengate.baselines import opening, store
from greengate.baselines import verify as proving
from greengate.baselines.place import Place
from greengate.baselines.store import Version
from greengate.compare import Comparisons, compare_profiles
from greengate.errors import BaselineError, Diagnostic
from greengate.layers import attribute
from greengate.metrics import METRICS
from greengate.profile import Measurement
from greengate.report import steps
from greengate.tasks.accept import login
from greengate.units import format_quantity

_JUDGED = {True: "passed", False: "over budget", None: "not judged"}


def opened(budget: str, uri: str | None, model: str | None = None) -> Place:
    """Open the store that is meant: `uri`, else the one the budget names for the model, else the default one."""
    path = Path(budget)
    read = budget_file.read(path) if path.is_file() else None
    own = next((entry.baseline for entry in read.models if entry.name == model), None) if read is not None else None
    return opening.open_(uri or opening.uri_of(own, read.baseline if read is not None else None), path.parent)


def listing(place: Place, budget: str) -> str:
    """Return one line a version of every model, oldest first. Raises BaselineError where the store is damaged."""
    versions = [version for model in store.models(place) for version in store.history(place, model)]
    if not versions:
        return steps.of(budget, "no baseline is stored yet: run `greengate baseline accept --reason TEXT`")
    rows = [("model", "version", "accepted", "by", "verdict", "hardware", "reason")]
    rows += [
        (one.model, str(one.version), one.accepted, one.by, _JUDGED[one.passed], one.profile.hardware.cpu, one.reason)
        for one in versions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def shown(place: Place, model: str, written: str | None) -> str:
    """Return one version in full: the newest, or the one that is written. Raises BaselineError `baseline-missing`."""
    found = store.history(place, model)[-1:] if written is None else _matching(place, model, written)
    if not found:
        raise _unknown(place, f"no version of {model!r} is stored")
    return "\n\n".join(_full(one) for one in found)


def differing(place: Place, model: str, older: str, newer: str) -> tuple[Comparisons, Version, Version]:
    """Compare two versions: noisy metrics only where hardware and workload match. Raises BaselineError."""
    one, other = pick(place, model, older), pick(place, model, newer)
    before, after = one.profile, other.profile
    return attribute(before, after, compare_profiles(before, after)), one, other


def rollback(
    place: Place, model: str, written: str | None, *, folder: Path, reason: str, now: datetime.datetime
) -> str:
    """Accept an earlier version again, as a new one; without a number, the one before the newest.

    Nothing is removed: versions are never changed. Raises BaselineError `baseline-missing` where there is none.
    """
    history = store.history(place, model)
    if not history:
        raise _unknown(place, f"no version of {model!r} is stored")
    newest = history[-1]
    if written is None:
        same = [one for one in history[:-1] if one.profile.hardware.id == newest.profile.hardware.id]
        if not same:
            raise _unknown(place, f"{model} has no version before {newest.version}")
        old = same[-1]
    else:
        old = pick(place, model, written)
    why = reason.strip() or f"rolled back from version {newest.version} to {old.version}"
    made = store.accept(
        place,
        old.profile,
        why,
        now=now,
        by=login(folder),
        commit=old.commit,
        passed=old.passed,
        restores=old.version,
    )
    return f"accepted {model} version {made.version} for {made.profile.hardware.cpu}: version {old.version} again"


def verified(place: Place, model: str | None, seal: str | None) -> str:
    """Return what was proved of a store. Raises BaselineError with everything that was found wrong."""
    proof = proving.verify(place, model, seal)
    if proof.wrong:
        raise BaselineError(*proof.wrong)
    if not proof.seals:
        raise _unknown(place, "there is nothing to verify" if model is None else f"no version of {model!r} is stored")
    lines = [
        f"{one.model} on {one.hardware}: {one.versions} version{'s' * (one.versions > 1)}, chain intact, "
        f"seal {one.digest}"
        for one in proof.seals
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in proof.notes)])


def pick(place: Place, model: str, written: str) -> Version:
    """Return the version written as NUMBER, or HARDWARE/NUMBER where several machines have that number.

    Raises BaselineError `baseline-missing`.
    """
    found = _matching(place, model, written)
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{one.profile.hardware.id}/{one.version}" for one in found)
    message = f"several machines have a version {written} of {model!r}"
    raise BaselineError(Diagnostic("baseline-missing", message, f"say which: {known}"))


def _matching(place: Place, model: str, written: str) -> list[Version]:
    hardware, _, number = written.rpartition("/")
    found = [
        one
        for one in store.history(place, model)
        if str(one.version) == number and one.profile.hardware.id.startswith(hardware)
    ]
    if not found:
        raise _unknown(place, f"there is no version {written} of {model!r}")
    return found


def _unknown(place: Place, message: str) -> BaselineError:
    known = ", ".join(store.models(place)) or "none"
    return BaselineError(Diagnostic("baseline-missing", message, f"models with versions: {known}"))


def _full(version: Version) -> str:
    profile = version.profile
    again = f" (version {version.restores} again)" if version.restores is not None else ""
    lines = [
        f"{version.model} version {version.version}{again}",
        f"  accepted  {version.accepted} by {version.by}",
        f"  reason    {version.reason}",
        f"  verdict   {_JUDGED[version.passed]}",
        f"  commit    {version.commit or 'none'}",
        f"  previous  {version.previous or 'none: the first version'}",
        f"  model     {profile.model.path} {profile.model.digest}",
        f"  hardware  {profile.hardware.cpu}, {profile.hardware.cores} cores ({profile.hardware.id})",
        f"  workload  batch size {profile.workload.batch_size}, threads {profile.workload.threads}",
    ]
    width = max(map(len, METRICS))
    for name, found in profile.measurements.items():
        text = (
            format_quantity(found.value, METRICS[name].dimension)
            if isinstance(found, Measurement)
            else f"missing: {found.reason}"
        )
        lines.append(f"  {name.ljust(width)}  {text}")
    return "\n".join(lines)
