"""Comparing two profiles that were measured apart."""

from __future__ import annotations

from pathlib import Path

from greengate import profile_file
from greengate.compare import Comparisons, compare_profiles
from greengate.errors import Diagnostic, GreengateError
from greengate.layers import attribute
from greengate.profile import Profile, Trial


def compare(baseline: str, candidate: str) -> tuple[Comparisons, Profile, Profile]:
    """Read two profiles (of a trial, its candidate) and compare them: noisy metrics only where hardware matches.

    Raises GreengateError `usage` where one of the two is a model: measured now, it has no twin in a file.
    """
    if not (baseline.endswith(".json") and candidate.endswith(".json")):
        message = "a model and a profile cannot be compared"
        raise GreengateError(Diagnostic("usage", message, "give two model files, or two profiles (.json)"))
    before, after = _read(baseline), _read(candidate)
    return attribute(before, after, compare_profiles(before, after)), before, after


def _read(path: str) -> Profile:
    found = profile_file.read(Path(path))
    return found.candidate if isinstance(found, Trial) else found
