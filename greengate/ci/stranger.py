"""A verdict that a pull request's own job measured, reported by a job that has a token: what is checked before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greengate.ci import github
from greengate.ci.forge import Head
from greengate.errors import Diagnostic, GreengateError

#: Events whose jobs hold the repository's secrets while a stranger's code may lie in the checkout.
_HOLDS_SECRETS = ("pull_request_target", "workflow_run")


@dataclass(frozen=True)
class Measured:
    """The run that measured: its last commit, the repository it was in, and whether that is a fork."""

    commit: str
    project: str
    fork: bool


def refuse(environ: Mapping[str, str]) -> None:
    """Refuse to load models where the job holds secrets. Raises GreengateError `untrusted-event`."""
    event = environ.get("GITHUB_EVENT_NAME", "")
    if environ.get("GITHUB_ACTIONS") == "true" and event in _HOLDS_SECRETS:
        message = f"models are not loaded under {event}: such a job holds secrets, and a model can run code"
        help_ = "measure under `pull_request`; report with `greengate comment --from verdict.json` (docs/ci.md)"
        raise GreengateError(Diagnostic("untrusted-event", message, help_))


def measured(environ: Mapping[str, str]) -> Measured | None:
    """Return the run that a workflow_run event is about; None for any other event. Raises GreengateError."""
    if environ.get("GITHUB_EVENT_NAME") != "workflow_run":
        return None
    commit, project, here = github.measuring_run(environ)
    return Measured(commit, project, project != here)


def check(run: Measured, head: Head) -> None:
    """Hold the request that is named against the run that measured. Raises GreengateError `untrusted-report`."""
    if (head.commit, head.project) != (run.commit, run.project):
        message = (
            f"the request's last commit is {head.commit[:12]} of {head.project or 'a deleted repository'}, "
            f"the report is of {run.commit[:12]} of {run.project}"
        )
        help_ = "nothing is posted: the number came from the job that measured, and a newer push has its own report"
        raise GreengateError(Diagnostic("untrusted-report", message, help_))
