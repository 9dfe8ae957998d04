"""Stand-in forges on loopback: GitHub's built on its own OpenAPI description, which every request and answer is held
against; GitLab's on what its documentation says. Both remember what was written to them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openapi_schema_validator import OAS30Validator

DESCRIPTION: dict[str, Any] = json.loads((Path(__file__).parent / "github" / "openapi.json").read_text("utf-8"))
WHEN = "2026-11-25T10:00:00Z"


@dataclass
class Told:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    value: Any


@dataclass
class State:
    """What a forge holds, and how it behaves: `me` owns the token, `may_write` is the token's right to comment.

    `trouble` are answers given instead of work, first come first served: (status, headers); to the requests that come
    once `trouble_after` are answered.
    """

    me: str = "github-actions[bot]"
    workflow_token: bool = True
    may_write: bool = True
    token: str = "secret-token"
    head: tuple[str, str] = ("a" * 40, "owner/name")
    page: int = 100
    comments: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    heard: list[Told] = field(default_factory=list)
    trouble: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    trouble_after: int = 0
    violations: list[str] = field(default_factory=list)
    before_create: Callable[[State], None] | None = None

    def seed(self, author: str, body: str) -> int:
        number = 1000 + len(self.comments) + sum(told.method == "DELETE" for told in self.heard)
        self.comments.append({"id": number, "author": author, "body": body})
        return number

    def bodies(self, author: str | None = None) -> list[str]:
        return [one["body"] for one in self.comments if author in (None, one["author"])]


Answer = tuple[int, Any, dict[str, str]]


class Forge(BaseHTTPRequestHandler):
    """Reads a request, notes it, and answers what `respond` of the kind gives."""

    state: State
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        value = json.loads(data) if data else None
        headers = {key.lower(): text for key, text in self.headers.items()}
        told = Told(self.command, self.path, headers, value)
        self.state.heard.append(told)
        if self.state.trouble and len(self.state.heard) > self.state.trouble_after:
            status, more = self.state.trouble.pop(0)
            self._say(status, {"message": "trouble"}, dict(more))
            return
        self._say(*self.respond(told))

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815

    def respond(self, told: Told) -> Answer:
        raise NotImplementedError

    def _say(self, status: int, value: Any, headers: dict[str, str]) -> None:
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for key, text in ({"Content-Type": "application/json"} | headers | {"Content-Length": str(len(data))}).items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(data)

    def _before_create(self) -> None:
        if self.state.before_create is not None:
            self.state.before_create(self.state)

    def log_message(self, *_: Any) -> None:
        pass

    def _paged(self, told: Told, items: list[Any]) -> tuple[list[Any], dict[str, str]]:
        asked = parse_qs(urlsplit(told.path).query)
        size = min(self.state.page, int(asked.get("per_page", ["30"])[0]))
        number = int(asked.get("page", ["1"])[0])
        shown = items[(number - 1) * size : number * size]
        if number * size >= len(items):
            return shown, {}
        host = f"http://{self.headers['Host']}{urlsplit(told.path).path}"
        return shown, {"Link": f'<{host}?per_page={size}&page={number + 1}>; rel="next", <{host}?page=9>; rel="last"'}


# --- GitHub -----------------------------------------------------------------------------------------------------------


class GitHub(Forge):
    def respond(self, told: Told) -> Answer:
        path = urlsplit(told.path).path
        for template, methods in DESCRIPTION["paths"].items():
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
            if (found := re.fullmatch(pattern, path)) and told.method.lower() in methods:
                operation = methods[told.method.lower()]
                return self._checked(operation, told, found.groupdict())
        return 404, {"message": "Not Found"}, {}

    def _checked(self, operation: dict[str, Any], told: Told, named: dict[str, str]) -> Answer:
        state = self.state
        if (
            "greengate" not in told.headers.get("user-agent", "")
            and "pygithub" not in told.headers["user-agent"].lower()
        ):
            state.violations.append("no User-Agent of ours")
        if told.headers.get("authorization", "").split(" ")[-1] != state.token:
            return 401, {"message": "Bad credentials"}, {}
        if told.value is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            state.violations += [f"{told.method} {told.path}: {e.message}" for e in _errors(schema, told.value)]
        answer = getattr(self, operation["operationId"].split("/")[1].replace("-", "_"))(told, operation, **named)
        status, value, headers = answer
        if str(status) in operation["responses"] and value is not None:
            schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
            state.violations += [f"answer to {told.method} {told.path}: {e.message}" for e in _errors(schema, value)]
        return status, value, headers

    def get_authenticated(self, told: Told, operation: dict[str, Any]) -> Answer:
        if self.state.workflow_token:
            return 403, {"message": "Resource not accessible by integration"}, {}
        return 200, filled(_schema(operation, "200")) | {"login": self.state.me}, {}

    def list_comments(self, told: Told, operation: dict[str, Any], **_: str) -> Answer:
        items = [self._comment(_schema(operation, "200")["items"], one) for one in self.state.comments]
        shown, headers = self._paged(told, items)
        return 200, shown, headers

    def create_comment(self, told: Told, operation: dict[str, Any], **_: str) -> Answer:
        if (refused := self._refused(told)) is not None:
            return refused
        self._before_create()
        number = self.state.seed(self.state.me, told.value["body"])
        (made,) = (one for one in self.state.comments if one["id"] == number)
        return 201, self._comment(_schema(operation, "201"), made), {}

    def update_comment(self, told: Told, operation: dict[str, Any], comment_id: str, **_: str) -> Answer:
        if (refused := self._refused(told)) is not None:
            return refused
        for one in self.state.comments:
            if one["id"] == int(comment_id):
                one["body"] = told.value["body"]
                return 200, self._comment(_schema(operation, "200"), one), {}
        return 404, {"message": "Not Found"}, {}

    def delete_comment(self, told: Told, operation: dict[str, Any], comment_id: str, **_: str) -> Answer:
        kept = [one for one in self.state.comments if one["id"] != int(comment_id)]
        if len(kept) == len(self.state.comments):
            return 404, {"message": "Not Found"}, {}
        self.state.comments[:] = kept
        return 204, None, {}

    def get(self, told: Told, operation: dict[str, Any], **_: str) -> Answer:
        found = filled(_schema(operation, "200"))
        found["head"]["sha"], project = self.state.head[0], self.state.head[1]
        found["head"]["repo"] = found["head"].get("repo") or filled(_property(operation, "head", "repo"))
        found["head"]["repo"]["full_name"] = project
        return 200, found, {}

    def create_commit_status(self, told: Told, operation: dict[str, Any], sha: str, **_: str) -> Answer:
        if (refused := self._refused(told)) is not None:
            return refused
        self.state.statuses.append({"sha": sha} | told.value)
        return 201, filled(_schema(operation, "201")) | {"state": told.value["state"]}, {}

    def _refused(self, told: Told) -> Answer | None:
        if not self.state.may_write:
            return 403, {"message": "Resource not accessible by integration"}, {}
        if len(told.value.get("body", "")) > 65_536:
            return 422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}, {}
        return None

    def _comment(self, schema: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
        found = filled(schema)
        found["user"] = filled(schema["properties"]["user"]) | {"login": one["author"]}
        return found | {
            "id": one["id"],
            "body": one["body"],
            "html_url": f"https://github.example/owner/name/pull/7#issuecomment-{one['id']}",
        }


def _schema(operation: dict[str, Any], status: str) -> dict[str, Any]:
    schema: dict[str, Any] = operation["responses"][status]["content"]["application/json"]["schema"]
    return schema


def _property(operation: dict[str, Any], *names: str) -> dict[str, Any]:
    schema = _schema(operation, "200")
    for name in names:
        schema = schema["properties"][name]
    return schema


def _errors(schema: dict[str, Any], value: Any) -> Iterator[Any]:
    return OAS30Validator(schema).iter_errors(value)


def filled(schema: dict[str, Any]) -> Any:
    """Return the smallest value a schema allows: required fields alone, the first of every choice."""
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return filled(schema[choice][0])
    if "allOf" in schema:
        return {key: item for part in schema["allOf"] for key, item in filled(part).items()}
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {name: filled(schema["properties"][name]) for name in schema.get("required", [])}
    formats = {"uri": "https://github.example/x", "date-time": WHEN, "email": "a@example.org"}
    values = {"array": [], "integer": 1, "number": 1.0, "boolean": False}
    return values.get(kind, formats.get(schema.get("format", ""), "x")) if isinstance(kind, str) else "x"


# --- GitLab -----------------------------------------------------------------------------------------------------------


class GitLab(Forge):
    """The notes of merge request 7 of project 42, as GitLab's documentation describes them."""

    def respond(self, told: Told) -> Answer:
        state, path = self.state, urlsplit(told.path).path.removeprefix("/api/v4")
        if told.headers.get("private-token") != state.token:
            return 401, {"message": "401 Unauthorized"}, {}
        notes = "/projects/42/merge_requests/7/notes"
        match told.method, path:
            case "GET", "/user":
                return 200, {"id": 5, "username": state.me, "name": state.me}, {}
            case "GET", "/projects/42/merge_requests/7":
                return 200, {"id": 1, "iid": 7, "sha": state.head[0], "source_project_id": state.head[1]}, {}
            case "GET", found if found == notes:
                shown, headers = self._paged(told, [self._note(one) for one in state.comments])
                return 200, shown, headers
            case "POST", found if found == notes:
                if not state.may_write:
                    return 403, {"message": "403 Forbidden"}, {}
                if len(told.value["body"]) > 1_000_000:
                    return 400, {"message": {"note": ["is too long"]}}, {}
                self._before_create()
                number = state.seed(state.me, told.value["body"])
                return 201, self._note(next(one for one in state.comments if one["id"] == number)), {}
            case "POST", found if re.fullmatch(r"/projects/42/statuses/[0-9a-f]{40}", found):
                if len(told.value.get("target_url", "")) > 255:
                    return 400, {"message": "target_url is too long"}, {}
                state.statuses.append({"sha": found.rpartition("/")[2]} | told.value)
                return 201, {"id": 1, "sha": found.rpartition("/")[2], "status": told.value["state"]}, {}
        if (found := re.fullmatch(rf"{notes}/(\d+)", path)) is not None:
            return self._one(told, int(found[1]))
        return 404, {"message": "404 Not Found"}, {}

    def _one(self, told: Told, number: int) -> Answer:
        for one in self.state.comments:
            if one["id"] == number:
                if told.method == "PUT":
                    one["body"] = told.value["body"]
                    return 200, self._note(one), {}
                if told.method == "DELETE":
                    self.state.comments.remove(one)
                    return 204, None, {}
                return 200, self._note(one), {}
        return 404, {"message": "404 Note Not Found"}, {}

    def _note(self, one: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": one["id"],
            "body": one["body"],
            "author": {"id": 5, "username": one["author"]},
            "system": one.get("system", False),
            "created_at": WHEN,
            "updated_at": WHEN,
            "noteable_type": "MergeRequest",
        }


@contextmanager
def serving(kind: type[Forge], state: State) -> Iterator[str]:
    """Serve on a free port of loopback; yield the address."""
    handler = type(kind.__name__, (kind,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
