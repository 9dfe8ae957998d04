"""The machine-readable report: `greengate.verdict/1`, see docs/formats.md."""

from __future__ import annotations

from greengate import verdict_file
from greengate.verdict import Verdict


def render(verdict: Verdict) -> str:
    """Write the verdict as JSON."""
    return verdict_file.dump(verdict)
