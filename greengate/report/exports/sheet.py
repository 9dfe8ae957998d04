"""What every export needs of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greengate.metrics import ordered
from greengate.profile import Hardware, Measurement, Missing, Model, Profile, Workload
from greengate.verdict import ModelCase, Status, Verdict


@dataclass(frozen=True)
class Sheet:
    """One model's numbers, on what and how they were made; `status` where it was judged. Values in SI units."""

    model: Model
    hardware: Hardware
    workload: Workload
    runtime: Mapping[str, str]
    measurements: Mapping[str, Measurement | Missing]
    created: str
    greengate: str
    status: Status | None = None

    @property
    def measured(self) -> Mapping[str, Measurement]:
        """What has a number, in the order of METRICS."""
        found = ((metric, self.measurements[metric]) for metric in ordered(self.measurements))
        return {metric: one for metric, one in found if isinstance(one, Measurement)}


def of_profile(profile: Profile, status: Status | None = None) -> Sheet:
    """Return the sheet of a profile."""
    return Sheet(
        profile.model,
        profile.hardware,
        profile.workload,
        profile.runtime,
        profile.measurements,
        profile.created,
        profile.greengate,
        status,
    )


def of_verdict(verdict: Verdict) -> tuple[Sheet, ...]:
    """Return a sheet for every model that the verdict measured."""
    return tuple(sheet for case in verdict.case.models if (sheet := _of_case(case, verdict)) is not None)


def _of_case(case: ModelCase, verdict: Verdict) -> Sheet | None:
    if case.candidate is None or case.hardware is None or case.workload is None:
        return None
    statuses = [outcome.status for outcome in verdict.outcomes if outcome.model == case.name]
    return Sheet(
        case.candidate,
        case.hardware,
        case.workload,
        case.runtime,
        {metric: one.candidate for metric, one in case.comparisons.items()},
        f"{verdict.case.today.isoformat()}T00:00:00+00:00",
        verdict.greengate,
        max(statuses, default=None),
    )
