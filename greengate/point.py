"""The noun of history: a model at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greengate.profile import Measurement, Missing
from greengate.verdict import Status


@dataclass(frozen=True)
class Point:
    """What one verdict, or one accepted version, says of a model: when, of which commit, on which hardware.

    `version` is set for an accepted version. `digest` is the model's.
    """

    model: str
    at: str
    status: Status | None
    commit: str | None
    digest: str
    hardware: str
    cpu: str
    measurements: Mapping[str, Measurement | Missing]
    version: int | None = None
