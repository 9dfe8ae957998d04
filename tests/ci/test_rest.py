"""Requests to a forge: what is tried again, what is followed, and where a token never goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from greengate.ci.forge import rest
from greengate.ci.forge.rest import Api, ForgeError, ask, field, pages

Answers = list[tuple[int, dict[str, str], bytes]]


class Scripted(BaseHTTPRequestHandler):
    """Answers one request after another with what the test wrote down, the last one for ever."""

    answers: Answers
    heard: list[tuple[str, str, dict[str, str], bytes]]

    def _serve(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.heard.append((self.command, self.path, {key.lower(): text for key, text in self.headers.items()}, data))
        status, headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        for key, text in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


class Place:
    """A scripted server, and what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: Answers = [(200, {}, b'{"ok": true}')]
        handler = type("Handler", (Scripted,), {"answers": self.answers, "heard": self.heard})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.api = Api(f"{self.base}/api", {"Authorization": "Bearer secret-token"})

    def say(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers[:] = answers

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the waits instead of waiting."""
    found: list[float] = []
    monkeypatch.setattr(rest.time, "sleep", found.append)
    return found


def test_one_request(place: Place) -> None:
    assert ask(place.api, "POST", "notes", {"body": "ä"}).value == {"ok": True}
    ((method, path, headers, data),) = place.heard
    assert (method, path, data) == ("POST", "/api/notes", b'{"body": "\\u00e4"}')
    assert headers["authorization"] == "Bearer secret-token"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("greengate/")  # GitHub answers 403 without one


BUSY = b'{"message": "slow down"}'
GOOD = (200, {}, b"[]")


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        ([(429, {"Retry-After": "7"}, BUSY), GOOD], [7.0]),
        ([(503, {}, BUSY), (502, {}, BUSY), GOOD], [1.0, 2.0]),
        ([(500, {"Retry-After": "0"}, BUSY), GOOD], [0.0]),
        ([(403, {"Retry-After": "3"}, BUSY), GOOD], [3.0]),  # GitHub's secondary limit
        ([(403, {"X-RateLimit-Remaining": "0"}, BUSY), GOOD], [1.0]),
        ([(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1005"}, BUSY), GOOD], [5.0]),
        ([(503, {"Retry-After": "Wed, 25 Nov 2026 10:00:00 GMT"}, BUSY), GOOD], [1.0]),
    ],
)
def test_what_is_busy_is_asked_again_after_the_time_it_names(
    place: Place, waited: list[float], monkeypatch: pytest.MonkeyPatch, answers: Answers, waits: list[float]
) -> None:
    monkeypatch.setattr(rest.time, "time", lambda: 1000.0)
    place.say(*answers)
    assert ask(place.api, "GET", "x").value == []
    assert waited == waits
    assert len(place.heard) == len(answers)


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        ((503, {}, BUSY), 3),  # three tries and no more
        ((429, {"Retry-After": "3600"}, BUSY), 1),  # nobody waits an hour in a pipeline
        ((403, {"X-RateLimit-Remaining": "12"}, BUSY), 1),  # not a limit: the token may not
        ((404, {}, BUSY), 1),
        ((422, {}, BUSY), 1),
    ],
)
def test_giving_up(place: Place, waited: list[float], answer: tuple[int, dict[str, str], bytes], tries: int) -> None:
    place.say(answer)
    with pytest.raises(ForgeError) as caught:
        ask(place.api, "GET", "x")
    assert (len(place.heard), len(waited)) == (tries, tries - 1)
    assert caught.value.status == answer[0]
    (told,) = caught.value.diagnostics
    assert (told.code, "slow down" in told.message, bool(told.help)) == ("forge-refused", True, True)


SPENT = [
    (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1764151200"}, "until 2025-11-26 10:00:00 UTC"),
    (403, {"Retry-After": "3600"}, "until 2025-11-26 10:00:00 UTC"),
    (429, {"Retry-After": "3600"}, "until 2025-11-26 10:00:00 UTC"),
    (403, {"X-RateLimit-Remaining": "0"}, "is spent: try again later"),
]


@pytest.mark.parametrize("spent", SPENT)
def test_a_spent_rate_limit_is_no_missing_right(
    place: Place, waited: list[float], monkeypatch: pytest.MonkeyPatch, spent: tuple[int, dict[str, str], str]
) -> None:
    status, headers, words = spent
    monkeypatch.setattr(rest.time, "time", lambda: 1764147600.0)  # 9 o'clock
    place.say((status, headers, BUSY))
    with pytest.raises(ForgeError) as caught:
        ask(place.api, "GET", "x")
    assert caught.value.status == 429
    (told,) = caught.value.diagnostics
    assert f"answers GET with {status}: slow down" in told.message
    assert told.help.startswith("the rate limit is spent")
    assert words in told.help


def test_a_token_is_in_no_message(place: Place, waited: list[float]) -> None:
    place.say((401, {}, b'{"message": "Bad credentials"}'))
    with pytest.raises(ForgeError) as caught:
        ask(place.api, "GET", "x")
    assert "secret" not in f"{caught.value}{place.api!r}"


def test_redirects_stay_on_the_host_and_keep_method_and_body(place: Place) -> None:
    place.say((307, {"Location": "/api/repositories/9/comments"}, b""), (201, {}, b'{"id": 1}'))
    assert ask(place.api, "POST", "repos/old/name/comments", {"body": "x"}).value == {"id": 1}
    assert [(one[0], one[1], one[3]) for one in place.heard] == [
        ("POST", "/api/repos/old/name/comments", b'{"body": "x"}'),
        ("POST", "/api/repositories/9/comments", b'{"body": "x"}'),
    ]


def test_a_redirect_to_another_host_ends_before_the_token_leaves(place: Place) -> None:
    other = Place()
    try:
        for target in (f"{other.base}/api/x", "https://elsewhere.example/x", "file:///etc/passwd", "ftp://a/b"):
            place.say((302, {"Location": target}, b""))
            with pytest.raises(ForgeError) as caught:
                ask(place.api, "GET", "x")
            assert caught.value.diagnostics[0].code == "forge-unreachable"
        assert other.heard == []
    finally:
        other.close()


def test_a_redirect_without_end_ends(place: Place) -> None:
    place.say((301, {"Location": "/api/x"}, b""))
    with pytest.raises(ForgeError, match="without end"):
        ask(place.api, "GET", "x")
    assert len(place.heard) == 4


def test_all_pages_are_walked_and_a_circle_ends(place: Place) -> None:
    place.say(
        (200, {"Link": f'<{place.base}/api/x?page=2>; rel="next", <{place.base}/api/x?page=3>; rel="last"'}, b"[1, 2]"),
        (200, {"Link": "</api/x?page=3>; rel=next"}, b"[3]"),
        (200, {"Link": f'<{place.base}/api/x?page=2>; rel="next"'}, b"[4]"),
    )
    assert list(pages(place.api, "x")) == [1, 2, 3, 4]


def test_the_next_page_of_another_host_is_not_asked_for(place: Place) -> None:
    place.say((200, {"Link": '<https://elsewhere.example/x?page=2>; rel="next"'}, b"[1]"))
    with pytest.raises(ForgeError, match="the token stays where it belongs"):
        list(pages(place.api, "x"))


@pytest.mark.parametrize("body", [b"<html>login</html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_said(place: Place, body: bytes) -> None:
    place.say((200, {}, body))
    with pytest.raises(ForgeError, match="something else than JSON"):
        ask(place.api, "GET", "x")


def test_a_list_that_is_none_and_a_field_that_is_absent(place: Place) -> None:
    with pytest.raises(ForgeError, match="no list"):
        list(pages(place.api, "x"))
    assert field({"a": {"b": 1}}, "a", "b") == 1
    for value in ({"a": 1}, {"a": {}}, [], None):
        with pytest.raises(ForgeError, match=r"has no a\.b"):
            field(value, "a", "b")


def test_an_empty_answer_is_an_answer(place: Place) -> None:
    place.say((204, {}, b""))
    assert ask(place.api, "GET", "x").value is None


def test_nobody_there(waited: list[float]) -> None:
    gone = Place()
    gone.close()
    with pytest.raises(ForgeError) as caught:
        ask(gone.api, "GET", "x")
    assert (caught.value.status, caught.value.diagnostics[0].code) == (None, "forge-unreachable")
    assert waited == [1.0, 2.0]


def test_a_forge_that_does_not_answer_is_not_waited_for(waited: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(rest, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ForgeError, match="timed out"):
        ask(Api(f"http://127.0.0.1:{silent.getsockname()[1]}", {}), "GET", "x")


def test_what_is_said(place: Place, waited: list[float], golden: Callable[[Path, str], None]) -> None:
    here = Path(__file__).parent / "golden"
    place.say((404, {}, b'{"message": "Not Found"}'))
    with pytest.raises(ForgeError) as caught:
        ask(place.api, "GET", "x")
    golden(here / "forge-refused.txt", str(caught.value))
    place.say((302, {"Location": "https://elsewhere.example/x"}, b""))
    with pytest.raises(ForgeError) as caught:
        ask(place.api, "GET", "x")
    golden(here / "forge-unreachable.txt", str(caught.value))


@pytest.mark.parametrize("base", ["", "api.github.com", "file:///etc", "https://user:word@host/x", "https://"])
def test_an_address_that_is_none(base: str) -> None:
    with pytest.raises(ForgeError, match="is no address of an API"):
        ask(Api(base, {}), "GET", "x")
