"""`greengate baseline accept`: what was measured becomes the next version, if a verdict or a reason speaks for it."""

from __future__ import annotations

import datetime
import getpass
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from greengate import budget_file, gate, git, profile_file, verdict_file
from greengate.baselines import STORE, opening, store
from greengate.baselines.store import Version
from greengate.budget import Budget
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.gate.rounds import told
from greengate.profile import Measurement, Profile, Trial
from greengate.profiler.trial import Progress
from greengate.report import steps
from greengate.tasks.record import FOLDER, LAST, keep_out_of_git
from greengate.verdict import Status, Verdict


def accept(
    request: gate.Request,
    uri: str | None,
    reason: str,
    now: datetime.datetime,
    progress: Progress,
    *,
    anywhere: bool = False,
) -> str:
    """Store each chosen model as the next version of its baseline and say which.

    Without a reason, the last verdict must have passed the very model that is accepted. Where the budget names a
    reference, it must have been measured there, unless `anywhere` will do. Measures every metric, or takes the
    candidates of `request.profiles`. Raises GreengateError; then nothing is stored.
    """
    budget = budget_file.read(Path(request.budget or "budgets.yaml"))
    folder = Path(budget.path).parent
    verdict = _last(folder)
    if not reason.strip():
        _must_have_passed(verdict, budget, request)
    found = _given(request, budget) if request.profiles else gate.measure_all(request, now, progress)
    if broken := [profile for profile in found.values() if not profile.model.files]:
        raise BaselineError(*(_nothing(profile) for profile in broken))
    if not anywhere and (off := list(_off_reference(budget, found))):
        raise BaselineError(*off)
    passed = {name: _passed(verdict, budget, profile) for name, profile in found.items()}
    if not reason.strip() and (others := [name for name, yes in passed.items() if not yes]):
        why = "judged another file than the one measured now"
        raise BaselineError(*(_unproven(name, why, budget.path) for name in others))
    versions = store_all(folder, found, reason, now, uri=uri, budget=budget, passed=passed)
    return "\n".join(_said(version) for version in versions)


def _off_reference(budget: Budget, found: Mapping[str, Profile]) -> Iterator[Diagnostic]:
    if budget.reference is None:
        return
    for name, profile in found.items():
        if why := budget.reference.differs(profile.hardware, profile.runtime):
            help_ = "accept it there, or a profile made there with --profile FILE; --anywhere takes it all the same"
            yield Diagnostic("not-accepted", f"{name}: {why}", help_, budget.reference.span)


def store_all(
    folder: Path,
    found: Mapping[str, Profile],
    reason: str,
    now: datetime.datetime,
    *,
    uri: str | None = None,
    budget: Budget | None = None,
    passed: Mapping[str, bool | None] | None = None,
) -> tuple[Version, ...]:
    """Add every profile to its store: `uri`, else what its model or the budget names, else the default below `folder`.

    Raises BaselineError, ReportError, and GreengateError `git-failed` where a branch cannot be shared.
    """
    by = login(folder)
    commit = git.head(folder)
    own = {entry.name: entry.baseline for entry in budget.models} if budget is not None else {}
    versions = []
    for name, profile in found.items():
        where = uri or opening.uri_of(own.get(name), budget.baseline if budget is not None else None)
        yes = (passed or {}).get(name)
        why = reason.strip() or f"passed the budget {budget.digest[:19] if budget else ''}".rstrip()
        place = opening.open_(where, folder)
        versions.append(store.accept(place, profile, why, now=now, by=by, commit=commit, passed=yes))
        if where == f"dir:{STORE.as_posix()}":
            keep_out_of_git(folder / STORE.parent)
    return tuple(versions)


def login(folder: Path) -> str:
    """Return who acts here: as git knows them, else as the system does."""
    try:
        return git.user(folder) or getpass.getuser()
    except (OSError, KeyError):  # no such user: a container that runs as a bare number
        return "unknown"


def _said(version: Version) -> str:
    mark = {True: "", False: ", over its budget", None: ", not judged"}[version.passed]
    return f"accepted {version.model} version {version.version} for {version.profile.hardware.cpu}{mark}"


def _last(folder: Path) -> Verdict | None:
    """Return the last verdict beside the budget; None where there is none that can be read."""
    path = folder / FOLDER / LAST
    try:
        return verdict_file.load(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeError, GreengateError):
        return None


def _must_have_passed(verdict: Verdict | None, budget: Budget, request: gate.Request) -> None:
    """Refuse before minutes are spent on measuring what cannot be accepted."""
    chosen = [one.entry.name for one in gate.choose(budget, request.models)]
    if verdict is None or not _judged_by(budget, verdict):
        why = "there is no verdict yet" if verdict is None else "the last verdict judged another budget"
        raise BaselineError(*(_unproven(name, why, budget.path) for name in chosen))
    statuses = {name: _status(verdict, name) for name in chosen}
    wrong = [
        _unproven(name, _lacking(status), budget.path)
        for name, status in statuses.items()
        if status is None or status >= Status.INCONCLUSIVE
    ]
    if wrong:
        raise BaselineError(*wrong)


def _judged_by(budget: Budget, verdict: Verdict) -> bool:
    """Tell whether a verdict rests on this very budget, with the same shared policies."""
    now, then = ((one.digest, *(shared.digest for shared in one.shared)) for one in (budget, verdict.case.budget))
    return now == then


def _status(verdict: Verdict, model: str) -> Status | None:
    return max((outcome.status for outcome in verdict.outcomes if outcome.model == model), default=None)


def _passed(verdict: Verdict | None, budget: Budget, profile: Profile) -> bool | None:
    """Return whether the last verdict let this very model pass under this budget; None where nobody judged it."""
    if verdict is None or not _judged_by(budget, verdict):
        return None
    case = next((one for one in verdict.case.models if one.name == profile.model.name), None)
    if case is None or case.candidate is None or case.candidate.digest != profile.model.digest:
        return None
    status = _status(verdict, profile.model.name)
    if status is None or status is Status.INCONCLUSIVE:
        return None
    return status < Status.INCONCLUSIVE


def _lacking(status: Status | None) -> str:
    return "the last verdict did not judge it" if status is None else f"its last verdict is {status.name}"


def _unproven(name: str, why: str, budget: str) -> Diagnostic:
    help = steps.of(budget, 'run `greengate check` first, or say why it is accepted all the same: --reason "..."')
    return Diagnostic("not-accepted", f"nothing speaks for {name} as a baseline: {why}", help)


def _nothing(profile: Profile) -> Diagnostic:
    missing = next((found for found in profile.measurements.values() if not isinstance(found, Measurement)), None)
    reason = missing.reason if missing is not None else "no reason was given"
    return Diagnostic("profile-invalid", f"nothing was measured of {profile.model.name}: {reason}", "measure it again")


def _given(request: gate.Request, budget: Budget) -> dict[str, Profile]:
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
        found[name] = replace(profile, launches=(), looks=(), answers=told(profile.answers))  # numbers, not samples
    return found
