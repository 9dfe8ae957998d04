"""Energy where nothing counts it: estimated from counted instructions, by a calibration that the budget names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from greengate import calibration_file
from greengate.bound import policies, rules_for
from greengate.calibration import Calibrated, Calibration, outside
from greengate.compare import CALIBRATED
from greengate.gate.request import Setting
from greengate.metrics import METRICS
from greengate.profile import Interval, Measurement, Missing, Profile, Trial


def named(setting: Setting, model: str) -> Calibration | None:
    """Return the calibration by which energy of a model may be estimated; None where none is named, or allowed.

    In a request it is read from the branch that judges. Raises GreengateError `calibration-invalid`.
    """
    budget, request = setting.budget, setting.request
    if budget is None or budget.calibration is None or request.static_only:
        return None
    if not (request.energy or _allowed(setting, model)):
        return None
    at = setting.base_files.at if setting.base_files is not None else setting.folder.joinpath
    file = budget.calibration
    return calibration_file.read(at(file.file), file.file, file.span)


def _allowed(setting: Setting, model: str) -> bool:
    known = setting.policies or (() if setting.budget is None else (setting.budget,))
    rules = [rule for one in known for each in policies(one) for rule in rules_for(each, model)]
    return any(rule.allow_estimated and CALIBRATED in (rule.metric, METRICS[rule.metric].source) for rule in rules)


def estimated(found: Profile | Trial, known: Calibration | None) -> Profile | Trial:
    """Return what was measured with its energy estimated where nothing counted it."""
    if known is None:
        return found
    if isinstance(found, Profile):
        return _with(found, known)
    if isinstance(found.candidate.measurements.get(CALIBRATED), Measurement):
        return found  # what counters say of one side is not held beside an estimate of the other
    return replace(found, baseline=_with(found.baseline, known), candidate=_with(found.candidate, known))


def _with(profile: Profile, known: Calibration) -> Profile:
    if isinstance(profile.measurements.get(CALIBRATED), Measurement):
        return profile
    said = _of(profile, known)
    measurements = {**profile.measurements, CALIBRATED: said}
    if isinstance(said, Missing):
        return replace(profile, measurements=measurements)
    return replace(profile, measurements=measurements, calibrated=Calibrated(known.about, known.error))


def _of(profile: Profile, known: Calibration) -> Measurement | Missing:
    counts: list[float] = []
    for metric in ("instructions", "data_traffic"):
        found = profile.measurements.get(metric, Missing(f"{metric} was not counted", "skipped"))
        if isinstance(found, Missing):
            return Missing(f"nothing counts energy here, and an estimate needs {metric}: {found.reason}", found.kind)
        counts.append(found.value)
    if unlike := next(_differences(profile, known), ""):
        return Missing(f"the calibration does not fit: {unlike}", "incomparable", "calibrate with what runs here")
    if beyond := outside(known.models, *counts):
        reason = f"the calibration says nothing of a model of {beyond}"
        return Missing(reason, "unsettled", "calibrate with models below and above it")
    joules = 1000 * known.fit.joules(*counts)
    interval = Interval(joules * (1 - known.error), joules * (1 + known.error))
    return Measurement(joules, "estimated", interval, 1, known.about)


def _differences(profile: Profile, known: Calibration) -> Iterator[str]:
    """Yield in what a profile was counted otherwise than the calibration."""
    what = profile.simulation
    here = (
        ("valgrind", what.valgrind if what else ""),
        ("instruction_set", what.instruction_set if what else ""),
        ("cache", what.cache if what else ""),
        ("runtime", dict(profile.runtime)),
        ("threads", profile.workload.threads),
    )
    for name, own in here:
        if (its := getattr(known, name)) != own:
            spoken = name.replace("_", " ")
            yield f"its {spoken} was {_plain(its)}, this one's is {_plain(own)}"


def _plain(value: object) -> str:
    return ", ".join(f"{key} {text}" for key, text in value.items()) if isinstance(value, dict) else str(value)
