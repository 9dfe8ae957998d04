"""One interface and one table: the forges a report can be posted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from greengate.ci.forge.rest import Api, ForgeError

__all__ = ["FORGES", "Api", "Comment", "Forge", "ForgeError", "Head", "NowhereToPost", "Thread"]


@dataclass(frozen=True)
class Thread:
    """The pull or merge request that is commented on: `project` as the API's paths name it."""

    api: Api
    project: str
    number: int


@dataclass(frozen=True)
class Comment:
    """One comment of a thread, and who wrote it."""

    id: int
    author: str
    body: str
    url: str


@dataclass(frozen=True)
class Head:
    """The last commit of a request, and the project it comes from."""

    commit: str
    project: str


class NowhereToPost(Exception):  # noqa: N818 - an answer, not an accident
    """There is no request to comment on, or no token to do it with: said, and no failure."""


class Forge(Protocol):
    """A module that speaks to one kind of forge. All of its functions raise ForgeError, `thread` NowhereToPost too."""

    #: Bytes that a comment may have.
    LONGEST: int

    def thread(self, environ: Mapping[str, str], number: int | None) -> Thread:
        """Return the request named, or the one the environment speaks of, reached with the environment's token."""
        ...

    def link(self, environ: Mapping[str, str]) -> str:
        """Return the address of the run that is going on, or nothing."""
        ...

    def me(self, thread: Thread) -> str:
        """Return the name the token's comments carry."""
        ...

    def comments(self, thread: Thread) -> Iterator[Comment]:
        """Yield every comment, oldest first."""
        ...

    def create(self, thread: Thread, body: str) -> Comment:
        """Write a comment."""
        ...

    def update(self, thread: Thread, comment: Comment, body: str) -> Comment:
        """Write a comment anew, in its place."""
        ...

    def delete(self, thread: Thread, comment: Comment) -> None:
        """Delete a comment; one that is gone already is no error."""
        ...

    def head(self, thread: Thread) -> Head:
        """Return the request's last commit."""
        ...

    def status(self, thread: Thread, commit: str, passed: bool, text: str, link: str) -> None:
        """Set the commit's status called `greengate`."""
        ...


def _module(name: str) -> Callable[[], Forge]:
    return lambda: import_module(f"greengate.ci.forge.{name}")


#: Every forge, named as the place it is, and how its module is loaded.
FORGES: dict[str, Callable[[], Forge]] = {name: _module(name) for name in ("github", "gitlab")}
