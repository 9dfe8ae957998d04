"""`file:PATH`: a model file, measured beside the candidate."""

from __future__ import annotations

from greengate.baselines import Found, Request
from greengate.errors import BaselineError, Diagnostic
from greengate.profile import Missing
from greengate.verdict import BaselineRef


def find(rest: str, request: Request) -> Found | Missing:
    """Return the file as the artifact. Raises BaselineError `baseline-missing`."""
    path = request.at(rest)
    if not path.is_file():
        message = f"the baseline {rest!r} is not a file"
        raise BaselineError(Diagnostic("baseline-missing", message, "check the path after `file:`"))
    return Found(BaselineRef(f"file:{rest}", f"the file {rest}"), artifact=path)
