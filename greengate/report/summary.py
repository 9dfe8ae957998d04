"""The Markdown report as GitHub's step summary takes it: one that is too long is dropped as a whole there."""

from __future__ import annotations

from greengate.report import fit, markdown
from greengate.verdict import Verdict

#: GitHub drops a summary of more than 1 MiB.
_MOST = (1 << 20) - 1024


def render(verdict: Verdict) -> str:
    """Write the Markdown report, without its last sections where it would be too long."""
    return fit.fit(markdown.render(verdict), _MOST)
