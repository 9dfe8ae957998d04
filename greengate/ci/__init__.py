"""Where the gate runs: GitHub, GitLab, another CI or a laptop; and what a pull or merge request goes into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from greengate.ci import github, gitlab
from greengate.ci.policy_ref import Source
from greengate.ci.policy_ref import source as policy_source
from greengate.ci.target import Target, merge_base
from greengate.verdict import Context

__all__ = ["Source", "Target", "context", "head_of", "merge_base", "people", "policy_source", "root", "target"]

Place = Literal["github", "gitlab", "ci", "laptop"]

#: What people write into CI to say that this is none.
_NO = ("", "0", "false", "no", "off")


def context(
    environ: Mapping[str, str], strict: bool = False, part: str | None = None, static_only: bool = False
) -> Context:
    """Say where the gate runs; in any CI what cannot be measured is inconclusive, not deferred."""
    where = place(environ)
    return Context(where, strict or where != "laptop", part, static_only)


def people(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names under which a forge knows who asks for a change, beside those its commits carry."""
    match place(environ):
        case "github":
            return github.people(environ)
        case "gitlab":
            return gitlab.people(environ)
        case _:
            return ()


def place(environ: Mapping[str, str]) -> Place:
    """Return which kind of machine the environment speaks of."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return "github"
    if environ.get("GITLAB_CI") == "true":
        return "gitlab"
    return "laptop" if environ.get("CI", "").strip().lower() in _NO else "ci"


def root(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that the forge checked the repository out in; None where it does not say."""
    variable = {"github": "GITHUB_WORKSPACE", "gitlab": "CI_PROJECT_DIR"}.get(place(environ), "")
    found = environ.get(variable)
    return Path(found).resolve() if found else None


def target(environ: Mapping[str, str]) -> Target | None:
    """Return what the pull or merge request being judged goes into; None outside of one.

    Raises GreengateError `bad-value` for an environment or event file that no forge writes.
    """
    match place(environ):
        case "github":
            return github.target(environ)
        case "gitlab":
            return gitlab.target(environ)
        case _:
            return None


def head_of(environ: Mapping[str, str], number: int) -> str | None:
    """Return the last commit that request `number` had when this run began; None where the run is not of it.

    Raises GreengateError `bad-value`.
    """
    numbers = {"github": github.number, "gitlab": gitlab.number}
    own = numbers.get(place(environ))
    found = target(environ) if own is not None and own(environ) == number else None
    return None if found is None else found.head
