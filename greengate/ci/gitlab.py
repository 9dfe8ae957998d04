"""What GitLab CI says about a merge request."""

from __future__ import annotations

from collections.abc import Mapping

from greengate.ci.target import Target, bad_value, branch, commit

_DEEPER = "set the variable `GIT_DEPTH: 0` on the job"
_MERGED = ("merged_result", "merge_train")


def target(environ: Mapping[str, str]) -> Target | None:
    """Return what a merge request goes into; None in any other pipeline. Raises GreengateError `bad-value`."""
    into = branch(environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"), "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    if into is None:
        return None
    merged = environ.get("CI_MERGE_REQUEST_EVENT_TYPE") in _MERGED
    head = "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA" if merged else "CI_COMMIT_SHA"
    tip, base = "CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA"
    return Target(
        into,
        _DEEPER,
        tip=commit(environ.get(tip), tip),
        head=commit(environ.get(head), head),
        merge=commit(environ.get("CI_COMMIT_SHA"), "CI_COMMIT_SHA") if merged else None,
        base=commit(environ.get(base), base),
    )


def number(environ: Mapping[str, str]) -> int | None:
    """Return the number of the merge request this pipeline is of; None in any other. Raises GreengateError."""
    written = environ.get("CI_MERGE_REQUEST_IID", "")
    if written and not written.isdecimal():
        raise bad_value("CI_MERGE_REQUEST_IID is not a number")
    return int(written) if written else None


def people(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of who set off the pipeline."""
    return tuple(name for key in ("GITLAB_USER_EMAIL", "GITLAB_USER_LOGIN") if (name := environ.get(key)))
