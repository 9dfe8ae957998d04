"""GitLab's REST API, version 4: notes of a merge request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from greengate.ci import gitlab
from greengate.ci.forge import Comment, Head, NowhereToPost, Thread
from greengate.ci.forge.rest import Api, ForgeError, ask, field, pages
from greengate.ci.target import bad_value

#: GitLab refuses a note of more than 1,000,000 characters; bytes are at least as many.
LONGEST = 999_000
_LONGEST_TEXT = 255


def thread(environ: Mapping[str, str], number: int | None) -> Thread:
    """Return the merge request named, or the pipeline's. Raises NowhereToPost, and GreengateError `bad-value`."""
    token = environ.get("GREENGATE_GITLAB_TOKEN")
    # The pipeline of a fork runs in the fork's project; the merge request is the target's.
    project = environ.get("CI_MERGE_REQUEST_PROJECT_ID") or environ.get("CI_PROJECT_ID", "")
    number = number if number is not None else gitlab.number(environ)
    if number is None:
        raise NowhereToPost("this pipeline belongs to no merge request")
    if not token:
        raise NowhereToPost("there is no token: set GREENGATE_GITLAB_TOKEN, since a job's own token may not comment")
    if not project.isdecimal():
        raise bad_value("CI_MERGE_REQUEST_PROJECT_ID is not a number")
    if not (base := environ.get("CI_API_V4_URL", "")):
        raise bad_value("CI_API_V4_URL is not set")
    api = Api(base.rstrip("/"), {"PRIVATE-TOKEN": token})
    return Thread(api, f"projects/{project}", number)


def link(environ: Mapping[str, str]) -> str:
    """Return the address of this job, or nothing."""
    return environ.get("CI_JOB_URL", "")


def me(thread: Thread) -> str:
    """Return the token's own user name."""
    return str(field(ask(thread.api, "GET", "user").value, "username"))


def comments(thread: Thread) -> Iterator[Comment]:
    """Yield the notes people and tools wrote, all pages; GitLab's own are left out."""
    for value in pages(thread.api, f"{_notes(thread)}?sort=asc&order_by=created_at&per_page=100"):
        if not field(value, "system"):
            yield _comment(value)


def create(thread: Thread, body: str) -> Comment:
    """Write a note."""
    return _comment(ask(thread.api, "POST", _notes(thread), {"body": body}).value)


def update(thread: Thread, comment: Comment, body: str) -> Comment:
    """Write a note anew, in its place."""
    return _comment(ask(thread.api, "PUT", f"{_notes(thread)}/{comment.id}", {"body": body}).value)


def delete(thread: Thread, comment: Comment) -> None:
    """Delete a note; one that is gone already is no error."""
    try:
        ask(thread.api, "DELETE", f"{_notes(thread)}/{comment.id}")
    except ForgeError as error:
        if error.status != 404:
            raise


def head(thread: Thread) -> Head:
    """Return the merge request's last commit and the project it comes from."""
    found = ask(thread.api, "GET", f"{thread.project}/merge_requests/{thread.number}").value
    return Head(str(field(found, "sha")), str(field(found, "source_project_id")))


def status(thread: Thread, commit: str, passed: bool, text: str, link: str) -> None:
    """Set the commit's status called `greengate`."""
    value = {"state": "success" if passed else "failed", "name": "greengate", "description": text[:_LONGEST_TEXT]}
    more = {"target_url": link} if link and len(link) <= _LONGEST_TEXT else {}
    ask(thread.api, "POST", f"{thread.project}/statuses/{quote(commit, safe='')}", value | more)


def _notes(thread: Thread) -> str:
    return f"{thread.project}/merge_requests/{thread.number}/notes"


def _comment(value: Any) -> Comment:
    return Comment(int(field(value, "id")), str(field(value, "author", "username")), str(field(value, "body")), "")
