"""Names of nodes as paths of modules, whichever exporter wrote them, and back to text with numbers folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

Path = tuple[str, ...]

#: Names from outside can nest without end; what lies deeper stays one name.
_DEEPEST = 24
_NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]{0,8})", re.DOTALL)
_GAP = "._@-"
_MOST_RANGES = 3


@dataclass(frozen=True)
class Numbered:
    """Siblings that differ only by a number: what their names begin with, and the numbers in order."""

    stem: str
    numbers: tuple[int, ...]


Level = str | Numbered


def path_of(name: str, op: str) -> Path:
    """Split a node's name into its modules, outermost first, then the node.

    `/encoder/layer.0/query/MatMul`, `encoder.layer.0.query` and `/layer1/layer1.0/conv/Conv` become `encoder layer 0
    query MatMul`, `encoder layer 0 query` and `layer1 0 conv Conv`. A name that tells no module (`node_12`, `Conv@3`,
    none at all) stands under its operator.
    """
    parts: list[str] = []
    for part in filter(None, name.split("/")):
        # torch writes the child of a sequence after its parent, with the parent's name before its own.
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    if len(parts) < 2 and _anonymous(name.strip("/"), op):
        operator = op or "node"
        return (operator, name) if name.strip("/") not in ("", op) else (operator,)
    path = [segment for part in parts for segment in part.split(".") if segment] or [name]
    return (*path[: _DEEPEST - 1], ".".join(path[_DEEPEST - 1 :])) if len(path) > _DEEPEST else tuple(path)


def _anonymous(name: str, op: str) -> bool:
    bare = name.rstrip("0123456789").rstrip(_GAP).lower()
    return bare in ("", "n", "op", "node", op.lower()) or bare.startswith("node_")


def numbered(segment: str) -> tuple[str, int] | None:
    """Split `layer_12` into `layer_` and 12, `0` into nothing and 0; None for a name that ends in no number."""
    match = _NUMBERED.fullmatch(segment)
    return (match[1], int(match[2])) if match else None


@lru_cache(maxsize=100_000)
def family(segment: str) -> tuple[str, int]:
    """Return what a module's name shares with siblings that differ by number, and its number; the first may lack it."""
    stem, number = numbered(segment) or (segment, -1)
    return stem.rstrip(_GAP), number


def level_of(segments: Iterable[str]) -> Level:
    """Fold names of siblings, all of one stem, into one level; a single name stays as it is."""
    names = sorted(set(segments))
    if len(names) == 1:
        return names[0]
    found = [one for one in map(numbered, names) if one is not None]
    if len(found) < len(names) or len({stem for stem, _ in found}) > 1:
        return f"{family(names[0])[0]}*"
    return Numbered(found[0][0], tuple(sorted(number for _, number in found)))


def written(levels: Sequence[Level]) -> str:
    """Write levels as one path: `encoder/layer.0-11/ffn`. A node under its operator is not named twice."""
    text, last = "", ""
    for level in levels:
        word = level if isinstance(level, str) else level.stem + _ranges(level.numbers)
        bare = last.removesuffix("*")
        if text and word.startswith(bare) and word[len(bare) : len(bare) + 1] in set(_GAP):
            text = text[: len(text) - len(last)]
        elif text:
            text += "." if word[0].isdigit() else "/"
        text, last = text + word, word
    return text


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    texts = [str(low) if low == high else f"{low}-{high}" for low, high in runs]
    return ",".join(texts if len(texts) <= _MOST_RANGES else [*texts[: _MOST_RANGES - 1], "…", texts[-1]])
