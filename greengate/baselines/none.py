"""`none`: nothing to compare with, because the user said so."""

from __future__ import annotations

from greengate.baselines import Found, Request
from greengate.profile import Missing


def find(rest: str, request: Request) -> Found | Missing:  # noqa: ARG001 - one signature for every scheme
    """Return why there is no baseline."""
    return Missing("no baseline was asked for (`none`)", "incomparable", "name one with `--against`, or leave it out")
