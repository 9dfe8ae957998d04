"""GitHub's REST API, version 2022-11-28; also that of GitHub Enterprise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from greengate.ci import github
from greengate.ci.forge import Comment, Head, NowhereToPost, Thread
from greengate.ci.forge.rest import Api, ForgeError, ask, field, pages
from greengate.ci.target import bad_value

#: GitHub refuses a body of more than 65,536 characters; bytes are at least as many.
LONGEST = 65_000
#: Who comments when the token is that of a workflow: such a token may not ask who it is.
_WORKFLOW = "github-actions[bot]"
_PROJECT = re.compile(r"[\w.-]+/[\w.-]+")
_LONGEST_TEXT = 140


def thread(environ: Mapping[str, str], number: int | None) -> Thread:
    """Return the pull request named, or the event's. Raises NowhereToPost, and GreengateError `bad-value`."""
    token = environ.get("GREENGATE_GITHUB_TOKEN") or environ.get("GITHUB_TOKEN")
    project = environ.get("GITHUB_REPOSITORY", "")
    number = number if number is not None else github.number(environ)
    if number is None:
        raise NowhereToPost("this run belongs to no pull request")
    if not token:
        raise NowhereToPost("there is no token: set GITHUB_TOKEN on the step that comments")
    if not _PROJECT.fullmatch(project):
        raise bad_value("GITHUB_REPOSITORY is not OWNER/NAME")
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    base = environ.get("GITHUB_API_URL") or "https://api.github.com"
    return Thread(Api(base.rstrip("/"), headers), f"repos/{project}", number)


def link(environ: Mapping[str, str]) -> str:
    """Return the address of this workflow run, or nothing."""
    server, project, run = (environ.get(f"GITHUB_{key}", "") for key in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{project}/actions/runs/{run}" if server and project and run.isdigit() else ""


def me(thread: Thread) -> str:
    """Return the token's own login."""
    try:
        return str(field(ask(thread.api, "GET", "user").value, "login"))
    except ForgeError as error:
        if error.status == 403:
            return _WORKFLOW
        raise


def comments(thread: Thread) -> Iterator[Comment]:
    """Yield the comments of the pull request's conversation, all pages."""
    yield from map(_comment, pages(thread.api, f"{thread.project}/issues/{thread.number}/comments?per_page=100"))


def create(thread: Thread, body: str) -> Comment:
    """Write a comment."""
    where = f"{thread.project}/issues/{thread.number}/comments"
    return _comment(ask(thread.api, "POST", where, {"body": body}).value)


def update(thread: Thread, comment: Comment, body: str) -> Comment:
    """Write a comment anew, in its place."""
    where = f"{thread.project}/issues/comments/{comment.id}"
    return _comment(ask(thread.api, "PATCH", where, {"body": body}).value)


def delete(thread: Thread, comment: Comment) -> None:
    """Delete a comment; one that is gone already is no error."""
    try:
        ask(thread.api, "DELETE", f"{thread.project}/issues/comments/{comment.id}")
    except ForgeError as error:
        if error.status != 404:
            raise


def head(thread: Thread) -> Head:
    """Return the pull request's last commit and the repository it comes from; empty where that was deleted."""
    found = field(ask(thread.api, "GET", f"{thread.project}/pulls/{thread.number}").value, "head")
    origin = field(found, "repo", "full_name") if field(found, "repo") else ""
    return Head(str(field(found, "sha")), str(origin))


def status(thread: Thread, commit: str, passed: bool, text: str, link: str) -> None:
    """Set the commit's status called `greengate`."""
    value = {"state": "success" if passed else "failure", "context": "greengate", "description": text[:_LONGEST_TEXT]}
    ask(thread.api, "POST", f"{thread.project}/statuses/{commit}", value | ({"target_url": link} if link else {}))


def _comment(value: Any) -> Comment:
    author = field(value, "user", "login") if field(value, "user") else ""  # a deleted account has none
    return Comment(int(field(value, "id")), str(author), str(field(value, "body") or ""), str(field(value, "html_url")))
