"""What GitHub Actions says about a pull request: variables and the event file, which strangers can shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greengate.ci.target import Target, bad_value, branch, commit

_LARGEST_EVENT = 25 << 20
_MERGE_REF = re.compile(r"refs/pull/[0-9]+/merge")
_DEEPER = "set `fetch-depth: 0` on the checkout step"
_PULL_REQUEST = ("pull_request", "pull_request_target")


def target(environ: Mapping[str, str]) -> Target | None:
    """Return what a pull request or a merge queue's group goes into; None for any other event.

    Raises GreengateError `bad-value`.
    """
    kind = environ.get("GITHUB_EVENT_NAME", "")
    if kind == "merge_group":
        return _merge_group(_part(_event(environ), "merge_group"))
    if kind not in _PULL_REQUEST:
        return None
    request = _part(_event(environ), "pull_request")
    base, head = _part(request, "base"), _part(request, "head")
    into = branch(environ.get("GITHUB_BASE_REF") or base.get("ref"), "GITHUB_BASE_REF")
    if into is None:
        raise bad_value(f"GITHUB_EVENT_NAME is {kind}, but GITHUB_BASE_REF is not set")
    merged = kind == "pull_request" and _MERGE_REF.fullmatch(environ.get("GITHUB_REF", ""))
    return Target(
        into,
        _DEEPER,
        tip=commit(base.get("sha"), "pull_request.base.sha of the event file"),
        head=commit(head.get("sha"), "pull_request.head.sha of the event file"),
        merge=commit(environ.get("GITHUB_SHA"), "GITHUB_SHA") if merged else None,
    )


def people(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the logins of who opened the pull request and who set off this run. Raises GreengateError."""
    user = _part(_part(_event(environ), "pull_request"), "user").get("login")
    return tuple(name for name in (user, environ.get("GITHUB_ACTOR")) if isinstance(name, str) and name)


def _merge_group(group: dict[str, Any]) -> Target:
    ref = group.get("base_ref")
    into = branch(ref.removeprefix("refs/heads/") if isinstance(ref, str) else ref, "merge_group.base_ref")
    base = commit(group.get("base_sha"), "merge_group.base_sha")
    if into is None or base is None:
        raise bad_value("the event file of a merge group names no base")
    return Target(into, _DEEPER, tip=base, head=commit(group.get("head_sha"), "merge_group.head_sha"), base=base)


def _event(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the event; empty where the runner gives none."""
    if not (name := environ.get("GITHUB_EVENT_PATH")):
        return {}
    try:
        with Path(name).open("rb") as file:
            data = file.read(_LARGEST_EVENT + 1)
        if len(data) > _LARGEST_EVENT:
            raise bad_value("the file GITHUB_EVENT_PATH names is too large for an event")
        value = json.loads(data)
    except OSError as error:
        raise bad_value(f"the file GITHUB_EVENT_PATH names cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise bad_value("the file GITHUB_EVENT_PATH names is not JSON") from error
    if not isinstance(value, dict):
        raise bad_value("the file GITHUB_EVENT_PATH names is not an event")
    return value


def number(environ: Mapping[str, str]) -> int | None:
    """Return the number of the pull request this event is about; None for any other event."""
    if environ.get("GITHUB_EVENT_NAME", "") not in _PULL_REQUEST:
        return None
    found = _part(_event(environ), "pull_request").get("number")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise bad_value("pull_request.number of the event file is not a number")
    return found


def measuring_run(environ: Mapping[str, str]) -> tuple[str, str, str]:
    """Return commit and repository of the run a workflow_run event is about, and this repository.

    Raises GreengateError `bad-value`.
    """
    event = _event(environ)
    run = _part(event, "workflow_run")
    projects = [_part(run, "head_repository").get("full_name"), _part(event, "repository").get("full_name")]
    sha = commit(run.get("head_sha"), "workflow_run.head_sha of the event file")
    if sha is None or not all(isinstance(name, str) and name for name in projects):
        raise bad_value("the event file of a workflow_run names no commit and repositories")
    return sha, str(projects[0]), str(projects[1])


def _part(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key) or {}
    if not isinstance(part, dict):
        raise bad_value(f"{key} of the event file is not an object")
    return part
