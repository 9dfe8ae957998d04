"""`profile:FILE`: numbers measured before, by `greengate profile MODEL -o FILE`."""

from __future__ import annotations

from greengate import profile_file
from greengate.baselines import Found, Request
from greengate.errors import Diagnostic, GreengateError
from greengate.profile import Missing, Trial
from greengate.verdict import BaselineRef


def find(rest: str, request: Request) -> Found | Missing:
    """Return the stored profile. Raises BaselineError `baseline-missing`, GreengateError `profile-invalid`."""
    path = request.at(rest)
    if not path.is_file():
        raise request.lacking(f"the baseline {rest!r} is not a file", "check the path after `profile:`")
    found = profile_file.read(path)
    if isinstance(found, Trial):
        message = f"{rest}: holds a trial; a baseline is one profile"
        help = "write one with `greengate profile MODEL -o FILE`, without --against"
        raise GreengateError(Diagnostic("profile-invalid", message, help))
    about = f"the profile {rest} of {found.model.name}, measured {found.created} on {found.hardware.cpu}"
    return Found(BaselineRef(f"profile:{rest}", about, found.model.digest), profile=found)
