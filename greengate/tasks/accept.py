"""`greengate baseline`: accept what was measured as the next version, list and show versions."""

from __future__ import annotations

import datetime
import getpass
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from greengate import budget_file, gate, git, profile_file
from greengate.baselines import STORE, store
from greengate.baselines.store import Version
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.metrics import METRICS
from greengate.profile import Measurement, Profile, Trial
from greengate.profiler.trial import Progress
from greengate.tasks.record import keep_out_of_git
from greengate.units import format_quantity


def accept(request: gate.Request, reason: str, now: datetime.datetime, progress: Progress) -> str:
    """Store each chosen model as the next version of its baseline and say which.

    Measures every metric, or takes the candidates of `request.profiles`. Raises GreengateError; then nothing is stored.
    """
    if not reason.strip():
        raise BaselineError(Diagnostic("bad-value", "the reason is empty", "say why with --reason TEXT"))
    found = _given(request) if request.profiles else gate.measure_all(request, now, progress)
    if broken := [profile for profile in found.values() if not profile.model.files]:
        raise BaselineError(*(_nothing(profile) for profile in broken))
    versions = store_all(Path(request.budget or "budgets.yaml").parent, found, reason, now)
    return "\n".join(f"accepted {one.model} version {one.version} for {one.profile.hardware.cpu}" for one in versions)


def store_all(folder: Path, found: Mapping[str, Profile], reason: str, now: datetime.datetime) -> tuple[Version, ...]:
    """Add every profile to the store below `folder`. Raises BaselineError, ReportError."""
    by = git.user(folder) or _login()
    commit = git.head(folder)
    versions = tuple(
        store.accept(folder / STORE, profile, reason, now=now, by=by, commit=commit) for profile in found.values()
    )
    keep_out_of_git(folder / STORE.parent)
    return versions


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user: a container that runs as a bare number
        return "unknown"


def _nothing(profile: Profile) -> Diagnostic:
    missing = next((found for found in profile.measurements.values() if not isinstance(found, Measurement)), None)
    reason = missing.reason if missing is not None else "no reason was given"
    return Diagnostic("profile-invalid", f"nothing was measured of {profile.model.name}: {reason}", "measure it again")


def _given(request: gate.Request) -> dict[str, Profile]:
    budget = budget_file.read(Path(request.budget or "budgets.yaml"))
    names = {entry.name for entry in budget.models}
    found: dict[str, Profile] = {}
    for path in request.profiles:
        read = profile_file.read(Path(path))
        profile = read.candidate if isinstance(read, Trial) else read
        name = profile.model.name
        if name not in names or (request.models and name not in request.models):
            message = f"{path} measured {name!r}, which is not asked for"
            raise GreengateError(Diagnostic("profile-mismatch", message, f"{budget.path} has {', '.join(names)}"))
        if name in found:
            message = f"{path} is the second file for {name!r}"
            raise GreengateError(Diagnostic("profile-mismatch", message, "give one file a model"))
        found[name] = replace(profile, launches=(), looks=())  # a store keeps numbers, not samples
    return found


def listing(budget: str) -> str:
    """Return one line a version of every model, oldest first. Raises BaselineError where the store is damaged."""
    root = Path(budget).parent / STORE
    versions = [version for model in store.models(root) for version in store.history(root, model)]
    if not versions:
        return "no baseline is stored yet: run `greengate baseline accept --reason TEXT`"
    rows = [("model", "version", "accepted", "by", "hardware", "reason")]
    rows += [
        (one.model, str(one.version), one.accepted, one.by, one.profile.hardware.cpu, one.reason) for one in versions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def shown(budget: str, model: str, number: int | None) -> str:
    """Return one version in full: the newest, or `number`. Raises BaselineError `baseline-missing`."""
    root = Path(budget).parent / STORE
    found = [one for one in store.history(root, model) if number is None or one.version == number]
    if not found:
        what = f"version {number} of {model!r}" if number is not None else f"no version of {model!r}"
        known = ", ".join(store.models(root)) or "none"
        message = f"{what} is stored" if number is None else f"there is no {what}"
        raise BaselineError(Diagnostic("baseline-missing", message, f"models with versions: {known}"))
    return "\n\n".join(_full(one) for one in (found if number is not None else found[-1:]))


def _full(version: Version) -> str:
    profile = version.profile
    lines = [
        f"{version.model} version {version.version}",
        f"  accepted  {version.accepted} by {version.by}",
        f"  reason    {version.reason}",
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
