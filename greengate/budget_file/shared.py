"""The policy files that a budget extends, followed one by one, each read where the one before it says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from greengate import yamlspan
from greengate.budget_file.check import Findings, Value, check
from greengate.budget_file.format_shared import SHARED
from greengate.budget_file.place import Place, UnreadableError, elsewhere

#: Files that one budget may extend, one after the other; more are told from a mistake by nobody.
MOST = 5


@dataclass(frozen=True)
class Read:
    """One shared file: its values, where it was read, and the digest of its bytes."""

    root: Value
    place: Place
    digest: str


def follow(root: Value, place: Place, found: Findings) -> list[Read]:
    """Return the files that a budget read at `place` extends, nearest first; what is wrong is noted where it stands."""
    read: list[Read] = []
    seen = {place.identity: place.shown}
    while (written := root.get("extends")) is not None and (named := _named(written)):
        try:
            place = elsewhere(*named) if len(named) > 1 else place.beside(*named)
            if place.identity in seen:
                chain = " -> ".join([*seen.values(), place.shown])
                found.note(
                    "extends-circular",
                    written.span,
                    f"the files extend each other: {chain}",
                    "let one of them extend nothing",
                )
                break
            if len(read) == MOST:
                message = f"more than {MOST} files extend each other"
                found.note("extends-circular", written.span, message, "let fewer files stand between")
                break
            seen[place.identity] = place.shown
            content = place.read()
        except UnreadableError as error:
            found.note("extends-unreadable", written.span, error.message, error.help)
            break
        values = examined(content, place.shown, found)
        if values is None:
            break
        root = values
        read.append(Read(root, place, digest(content)))
    return read


def examined(content: bytes, shown: str, found: Findings) -> Value | None:
    """Return the values of a shared file, None where none of it can be used; what is wrong is noted."""
    try:
        node, mistakes = yamlspan.examine(yamlspan.decode(content, shown), shown)
    except yamlspan.YamlError as error:
        found.extend(error.diagnostics)
        return None
    found.extend(mistakes)
    return None if node is None else check(SHARED, node, "the shared policy", "version: 1", found)


def digest(content: bytes) -> str:
    """Return the digest that verdicts name a policy file by."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _named(written: Value) -> tuple[str, ...]:
    """Return a path, or repository, commit and path; nothing where one of them could not be read."""
    if isinstance(written.content, str):
        return (written.content,)
    parts = [written.get(key) for key in ("git", "rev", "path")]
    return () if None in parts else tuple(str(part.content) for part in parts if part is not None)
