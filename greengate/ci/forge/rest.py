"""JSON over HTTP with the standard library: time limits, retries, and a token that never goes to another host."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from greengate import __version__
from greengate.errors import Diagnostic, GreengateError

#: Seconds that one request may take, tries that are made of it, and seconds that are waited at most between two.
TIMEOUT, TRIES, PATIENCE = 20.0, 3, 60.0
_LARGEST_ANSWER = 32 << 20
_REDIRECTS = 3
_BUSY = frozenset({429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 307, 308})


class ForgeError(GreengateError):
    """The forge did not do what was asked; `status` is its answer's, None where there was none.

    A spent rate limit has the status 429, whichever the forge answers it with: 403 is for a missing right.
    """

    def __init__(self, message: str, help: str, status: int | None = None) -> None:
        super().__init__(Diagnostic("forge-refused" if status else "forge-unreachable", message, help))
        self.status = status


@dataclass(frozen=True)
class Api:
    """Where a forge answers: `base` without a slash at its end, and headers that hold the token."""

    base: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Name the place without the token."""
        return f"Api({self.base!r})"


class Answer(NamedTuple):
    """What came back: the status, the JSON value, and the address of the next page where there is one."""

    status: int
    value: Any
    following: str | None


class _Raw(NamedTuple):
    status: int
    headers: Mapping[str, str]
    data: bytes


def ask(api: Api, method: str, where: str, value: object = None) -> Answer:
    """Send one request below the API's base and return the answer.

    What is busy (429, 5xx, a spent rate limit) is asked again after the seconds it names. Redirects are followed on
    the same host alone. Raises ForgeError for anything but success.
    """
    url = where if "://" in where else f"{api.base}/{where}"
    data = None if value is None else json.dumps(value).encode()
    for _ in range(_REDIRECTS + 1):
        raw = _patiently(api, method, url, data)
        if raw.status not in _MOVED:
            return _answer(raw, method, url)
        url = urljoin(url, raw.headers.get("location", ""))
    raise ForgeError(f"{_host(url)} redirects without end", "check the API's address in the environment")


def field(value: Any, *names: str) -> Any:
    """Return a field of an answer, names from the outside in. Raises ForgeError where the answer has none."""
    for name in names:
        if not isinstance(value, dict) or name not in value:
            help_ = "check the API's address in the environment"
            raise ForgeError(f"the forge's answer has no {'.'.join(names)}", help_, 200)
        value = value[name]
    return value


def pages(api: Api, where: str) -> Iterator[Any]:
    """Yield every item of a list that comes in pages. Raises ForgeError."""
    url: str | None = where
    seen: set[str] = set()
    while url is not None and url not in seen:
        seen.add(url)
        answer = ask(api, "GET", url)
        if not isinstance(answer.value, list):
            raise ForgeError(f"{_host(api.base)} answered no list", "check the API's address in the environment", 200)
        yield from answer.value
        url = answer.following


def _patiently(api: Api, method: str, url: str, data: bytes | None) -> _Raw:
    """Send until the forge is not busy, at most TRIES times. Raises ForgeError where it cannot be reached."""
    if _origin(url) != _origin(api.base):
        message = f"{_host(api.base)} points to {_host(url)}: the token stays where it belongs"
        raise ForgeError(message, "check the API's address in the environment")
    for attempt in range(1, TRIES + 1):
        raw = _once(api, method, url, data)
        wait = 2.0 ** (attempt - 1)
        if isinstance(raw, _Raw):
            if not _is_busy(raw):
                return raw
            wait = _asked(raw, wait)
            if attempt == TRIES or wait > PATIENCE:
                return raw
        elif attempt == TRIES:
            raise ForgeError(f"{_host(url)} cannot be reached: {raw}", "check network, proxy and the API's address")
        time.sleep(wait)
    raise AssertionError("unreachable: the last try returns or raises")


def _once(api: Api, method: str, url: str, data: bytes | None) -> _Raw | str:
    """Send once; return what came back, or in words why nothing did."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        """Follows nothing: the caller looks where it leads first."""

        def redirect_request(self, *_: Any) -> None:
            return None

    headers = {"User-Agent": f"greengate/{__version__}", "Content-Type": "application/json", **api.headers}
    request = Request(url, data, headers, method=method)  # noqa: S310 - the origin was checked
    try:
        try:
            with build_opener(Stay).open(request, timeout=TIMEOUT) as found:
                return _Raw(found.status, _lower(found.headers), found.read(_LARGEST_ANSWER))
        except HTTPError as error:
            with error:
                return _Raw(error.code, _lower(error.headers), error.read(_LARGEST_ANSWER))
    except URLError as error:
        return str(error.reason)
    except (OSError, HTTPException) as error:  # timed out, reset, cut short
        return str(error) or type(error).__name__


def _lower(headers: Message) -> dict[str, str]:
    return {key.lower(): str(value) for key, value in headers.items()}


def _is_busy(raw: _Raw) -> bool:
    return raw.status in _BUSY or _is_limited(raw)


def _is_limited(raw: _Raw) -> bool:
    """Tell whether GitHub answers that its rate limit is spent, as it does with the status of a missing right."""
    spent = "retry-after" in raw.headers or raw.headers.get("x-ratelimit-remaining") == "0"
    return raw.status == 403 and spent


def _again(raw: _Raw) -> str:
    """Return when to ask again where the rate limit is spent."""
    wait = _asked(raw, 0.0)
    if not wait:
        return "the rate limit is spent: try again later"
    until = datetime.datetime.fromtimestamp(time.time() + wait, datetime.UTC)
    return f"the rate limit is spent until {until:%Y-%m-%d %H:%M:%S} UTC: try again then"


def _asked(raw: _Raw, otherwise: float) -> float:
    """Return the seconds the forge asks to wait."""
    told = raw.headers.get("retry-after", "")
    if told.isdigit():
        return float(told)
    until = raw.headers.get("x-ratelimit-reset", "")
    if until.isdigit() and raw.headers.get("x-ratelimit-remaining") == "0":
        return max(0.0, float(until) - time.time())
    return otherwise


def _answer(raw: _Raw, method: str, url: str) -> Answer:
    if not 200 <= raw.status < 300:
        message = f"{_host(url)} answers {method} with {raw.status}{_told(raw.data)}"
        if raw.status == 429 or _is_limited(raw):
            raise ForgeError(message, _again(raw), 429)
        raise ForgeError(message, _NEXT.get(raw.status, "try again later"), raw.status)
    if raw.status == 204 or not raw.data:
        return Answer(raw.status, None, None)
    try:
        value = json.loads(raw.data)
    except (ValueError, RecursionError) as error:
        help_ = "check the API's address in the environment"
        raise ForgeError(f"{_host(url)} answers with something else than JSON", help_, raw.status) from error
    return Answer(raw.status, value, _following(raw.headers, url))


_NEXT = {
    401: "check the token: it is wrong or has expired",
    403: "give the token the right to write: `permissions: {pull-requests: write}`, or scope `api` on GitLab",
    404: "check project and number, and that the token may see them",
    422: "report this with the report's file",
}


def _told(data: bytes) -> str:
    """Return the forge's own words, on one line."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    told = value.get("message") or value.get("error") if isinstance(value, dict) else None
    return f": {' '.join(str(told).split())[:200]}" if told else ""


def _following(headers: Mapping[str, str], url: str) -> str | None:
    """Return the next page's address from a Link header (RFC 8288)."""
    for link in headers.get("link", "").split(","):
        target, *parameters = (part.strip() for part in link.split(";"))
        if target.startswith("<") and any(one.replace('"', "") == "rel=next" for one in parameters):
            return urljoin(url, target.strip("<>"))
    return None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None:
        raise ForgeError(f"{url!r} is no address of an API", "set it as the forge's runner does: https://host/path")
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}[parts.scheme]


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
