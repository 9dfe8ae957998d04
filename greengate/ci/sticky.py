"""One comment a request and a key, written anew in its place: a hidden marker and its author tell it from others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from greengate.ci.forge import Comment, Forge, Thread

Done = Literal["created", "updated", "unchanged", "left out"]


@dataclass(frozen=True)
class Posted:
    """What was done, and the comment that stands now; None where none was wanted and none was there."""

    done: Done
    comment: Comment | None = None


def post(forge: Forge, thread: Thread, key: str, body: str, wanted: bool) -> Posted:
    """Bring the one comment of this key up to date; without one, write it where it is `wanted`.

    Own duplicates, which two jobs at once can make, are deleted: the oldest stays. Raises ForgeError.
    """
    marker = f"<!-- greengate:report key={key} v1 -->"
    text = f"{marker}\n{body}"
    me = forge.me(thread)
    mine = _mine(forge.comments(thread), marker, me)
    if not mine:
        if not wanted:
            return Posted("left out")
        made = forge.create(thread, text)
        # Another job may have written its own meanwhile.
        mine = _mine(forge.comments(thread), marker, made.author) or [made]
        _delete(forge, thread, mine[1:])
        return Posted("created", mine[0])
    first, *others = mine
    _delete(forge, thread, others)
    if _same(first.body, text):
        return Posted("unchanged", first)
    return Posted("updated", forge.update(thread, first, text))


def _mine(comments: Iterable[Comment], marker: str, author: str) -> list[Comment]:
    """Return own comments of this key, oldest first. A stranger can write the marker, but not be the author."""
    return sorted(
        (one for one in comments if one.author == author and one.body.startswith(marker)), key=lambda one: one.id
    )


def _delete(forge: Forge, thread: Thread, comments: Iterable[Comment]) -> None:
    for one in comments:
        forge.delete(thread, one)


def _same(before: str, after: str) -> bool:
    """Compare as forges store: they may trim the end and write line ends their own way."""
    return before.replace("\r\n", "\n").rstrip() == after.rstrip()
