"""Nodes of a YAML document: plain values, mappings and lists, each with its place.

Plain scalars are read as YAML 1.2's core schema does, with dates besides: `on`, `yes` and `1_000` are text. Numbers
are finite: `.inf`, `.nan` and `1e999` are text as well, since no reader of this project has a use for them.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from greengate.errors import Span

Kind = Literal["str", "int", "float", "bool", "null", "date"]
Plain = dict[str, Any] | list[Any] | str | int | float | bool | None

_PATTERNS: dict[Kind, str] = {
    "null": "null|Null|NULL|~|",
    "bool": "true|True|TRUE|false|False|FALSE",
    "int": "[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,80}",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
    "date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
}
_ANY = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()))


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: its text without quotes, and what kind of value that text is."""

    text: str
    kind: Kind
    span: Span

    @property
    def value(self) -> str | int | float | bool | None:
        """The plain value; a date is its ISO text."""
        match self.kind:
            case "int":
                return int(self.text, {"0o": 8, "0x": 16}.get(self.text[:2], 10))
            case "float":
                return float(self.text)
            case "bool":
                return self.text[0] in "tT"
            case "null":
                return None
        return self.text


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the file's order; no key stands twice."""

    pairs: tuple[tuple[Scalar, Node], ...]
    span: Span

    def get(self, key: str) -> Node | None:
        """Return the value of a key, None where it is absent."""
        return next((value for name, value in self.pairs if name.text == key), None)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span


Node = Scalar | Mapping | Sequence


def data(node: Node) -> Plain:
    """Return a node as plain JSON-like values; a date is its ISO text."""
    match node:
        case Mapping():
            return {key.text: data(value) for key, value in node.pairs}
        case Sequence():
            return [data(item) for item in node.items]
    return node.value


def kind_of(text: str) -> Kind:
    """Return what kind of value an unquoted text is."""
    match = _ANY.fullmatch(text)
    kind: Kind = "str" if match is None else cast("Kind", match.lastgroup)
    if kind == "float" and not math.isfinite(float(text)):
        return "str"
    if kind == "date":
        try:
            datetime.date.fromisoformat(text)
        except ValueError:
            return "str"
    return kind
