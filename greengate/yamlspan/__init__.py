"""YAML text to nodes that know their place: one document, no anchors, no tags, no surprises.

The only room that imports yaml. What it refuses (aliases, tags, tabs, deep nesting ...) it refuses everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greengate.errors import Diagnostic, GreengateError, Span
from greengate.yamlspan.nodes import Mapping, Node, Plain, Scalar, Sequence, data, kind_of
from greengate.yamlspan.words import in_plain_words

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Mapping",
    "Node",
    "Plain",
    "Scalar",
    "Sequence",
    "YamlError",
    "data",
    "decode",
    "examine",
    "load",
    "parse",
    "read_bytes",
]

if TYPE_CHECKING:
    import yaml

    Event = Any  # the stubs let an event lack its marks; a parsed one has them

#: Bytes and nesting that no file of this project reaches; beyond them a file is refused before it is read.
MAX_BYTES = 1 << 20
MAX_DEPTH = 50
#: Mistakes told of one text; a bomb of a million aliases is not told a million times.
MAX_MISTAKES = 100

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TABS = "a tab is used for indentation"
_TAB = re.compile("( *)([ \t]*\t[ \t]*)(?=[^ \t#])")


class YamlError(GreengateError):
    """A YAML file cannot be read; carries every mistake found."""


def load(path: Path, shown: str | None = None) -> Node:
    """Read a file's one document; places name the file as `shown`. Raises YamlError with every mistake found."""
    name = str(path) if shown is None else shown
    return parse(decode(read_bytes(path, name), name), name)


def read_bytes(path: Path, file: str) -> bytes:
    """Return the bytes of a file of at most MAX_BYTES. Raises YamlError."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"cannot read {file}: {reason}"
        raise YamlError(Diagnostic("unreadable-file", message, "check the path and who may read it")) from error
    if len(content) > MAX_BYTES:
        raise YamlError(_too_large(file))
    return content


def decode(content: bytes, file: str) -> str:
    """Return UTF-8 bytes as text, without a byte-order mark. Raises YamlError at the first byte that is not UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise YamlError(Diagnostic("bad-encoding", f"{file} is UTF-16 text", "save the file as UTF-8", Span(file, 1)))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start
        text = content.decode("utf-8", "replace")
        line, column = _place(content[:start].decode("utf-8", "replace"))
        message = f"the byte 0x{content[start]:02x} is not UTF-8 text"
        place = _Source(_UNPRINTABLE.sub("\ufffd", text), file).span(line, column, 1)
        raise YamlError(Diagnostic("bad-encoding", message, "save the file as UTF-8", place)) from error


def parse(text: str, file: str) -> Node:
    """Read YAML text of one document. Raises YamlError with every mistake found, by place."""
    node, mistakes = examine(text, file)
    if node is None or mistakes:
        raise YamlError(*mistakes)
    return node


def examine(text: str, file: str) -> tuple[Node | None, list[Diagnostic]]:
    """Return the document and the mistakes in it, by place; no document where a mistake leaves nothing to trust."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return None, [_too_large(file)]
    if (control := _UNPRINTABLE.search(text)) is not None:
        place = _Source(_UNPRINTABLE.sub("\ufffd", text), file).span(*_place(text[: control.start()]), 1)
        message = f"the character U+{ord(control[0]):04X} cannot stand in a YAML file"
        return None, [Diagnostic("bad-yaml", message, "delete it, or write it as an escape in double quotes", place)]
    reader = _Reader(_Source(text, file))
    reader.read(text)
    mistakes = sorted(reader.mistakes, key=lambda item: (item.span.line, item.span.column) if item.span else (0, 0))
    trusted = all(item.code == "duplicate-key" for item in mistakes)
    return reader.root if trusted else None, mistakes


def _too_large(file: str) -> Diagnostic:
    message = f"{file} is larger than {MAX_BYTES >> 20} MiB"
    return Diagnostic("yaml-too-large", message, "check that this is the file you meant")


def _place(before: str) -> tuple[int, int]:
    """Return line and column, from 0, of what follows a text."""
    lines = _BREAK.split(before)
    return len(lines) - 1, len(lines[-1])


class _Source:
    """The text by lines, to turn the parser's marks into spans."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.lines = _BREAK.split(text)

    def span(self, line: int, column: int, length: int | None = None) -> Span:
        """Return a span from marks that count from 0; without a length it runs to the end of the line."""
        while line > 0 and (line >= len(self.lines) or not self.lines[line]):
            line -= 1  # behind the end of the text: point behind its last line
            column = len(self.lines[line]) if line < len(self.lines) else 0
        text = self.lines[line]
        rest = len(text.rstrip()) - column if length is None else length
        return Span(self.file, line + 1, column + 1, max(1, rest), text)


class _Reader:
    """Builds nodes from the parser's events, without recursion, and notes what it refuses."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.mistakes: list[Diagnostic] = []
        self.root: Node | None = None
        self.open: list[tuple[Event, list[Node]]] = []
        self.ends: dict[int, int] = {}  # line: the column where its last value ends
        self.texts: set[int] = set()  # lines inside a text of several lines, where tabs are the text's own

    def read(self, text: str) -> None:
        import yaml

        documents = 0
        try:
            for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                documents += isinstance(event, yaml.DocumentStartEvent)
                self.take(event)
                if documents > 1:
                    self.refuse("yaml-documents", event, "a second document starts here", "use one file for each")
                    return
                if len(self.open) > MAX_DEPTH:
                    self.refuse("yaml-too-deep", event, f"more than {MAX_DEPTH} levels are nested", "flatten it")
                    return
        except yaml.YAMLError as error:
            self.broken(error)
            return
        self.tabs(len(self.source.lines))
        if self.root is None:
            message = f"{self.source.file} has nothing in it"
            self.mistakes.append(Diagnostic("empty-file", message, "write it, or name another file"))

    def take(self, event: Event) -> None:
        import yaml

        match event:
            case yaml.AliasEvent():
                self.refuse(
                    "yaml-alias",
                    event,
                    f"`*{event.anchor}` is an alias",
                    "write the value out, or put a pattern in quotes",
                )
                self.add(Scalar("", "null", self.span(event)))
            case yaml.ScalarEvent():
                self.unmarked(event)
                kind = kind_of(event.value) if event.style in (None, "") else "str"
                self.add(Scalar(event.value, kind, self.span(event)))
            case yaml.CollectionStartEvent():
                self.unmarked(event)
                self.open.append((event, []))
            case yaml.CollectionEndEvent():
                self.close(event)

    def close(self, event: Event) -> None:
        import yaml

        self.note_end(event)
        start, nodes = self.open.pop()
        line, column = start.start_mark.line, start.start_mark.column
        span = self.source.span(line, column, self.ends.get(line, column) - column)
        if isinstance(start, yaml.SequenceStartEvent):
            self.add(Sequence(tuple(nodes), span))
        else:
            self.add(Mapping(tuple(self.pairs(nodes)), span))

    def pairs(self, nodes: list[Node]) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, Span] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.mistake("bad-yaml", key.span, "a key must be a plain text", "write `key: value`")
            elif key.text == "<<":
                self.mistake("yaml-alias", key.span, "`<<` merges another mapping", "write the keys out")
            elif key.text in seen:
                first = f"it stands first in line {seen[key.text].line}; keep one of them"
                self.mistake("duplicate-key", key.span, f"the key `{key.text}` stands twice in one mapping", first)
            else:
                seen[key.text] = key.span
                yield key, value

    def add(self, node: Node) -> None:
        if self.open:
            self.open[-1][1].append(node)
        else:
            self.root = node

    def unmarked(self, event: Event) -> None:
        if event.anchor is not None:
            self.refuse("yaml-alias", event, f"`&{event.anchor}` is an anchor", "write the value out where it is used")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.refuse("yaml-tag", event, f"the tag `{tag}` is not accepted", "remove it")

    def span(self, event: Event) -> Span:
        start, end = event.start_mark, event.end_mark
        self.note_end(event)
        length = end.column - start.column if start.line == end.line else None
        return self.source.span(start.line, start.column, length)

    def note_end(self, event: Event) -> None:
        start, end = event.start_mark, event.end_mark
        if start.line == end.line:
            self.ends[end.line] = end.column
            return
        self.ends[start.line] = len(self.source.lines[start.line].rstrip())
        if getattr(event, "style", None):
            self.texts.update(range(start.line + 1, end.line + (end.column > 0)))

    def tabs(self, stop: int) -> None:
        """Note every line before `stop` that is indented with a tab."""
        for number, line in enumerate(self.source.lines[:stop]):
            if "\t" in line and number not in self.texts and (tab := _TAB.match(line)):
                place = self.source.span(number, tab.end(1), tab.end(2) - tab.end(1))
                self.mistake("yaml-tab", place, _TABS, "indent with spaces")

    def broken(self, error: yaml.YAMLError) -> None:
        """Note where the parser gave up, in plain words."""
        import yaml

        problem = str(getattr(error, "problem", None) or error)
        mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        if context is not None and (mark is None or "end of stream" in problem):
            mark = context
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        self.tabs(line + 1)
        for start, nodes in self.open:  # what stands before is still worth a word
            if not isinstance(start, yaml.SequenceStartEvent):
                list(self.pairs(nodes[: len(nodes) // 2 * 2]))
        place = self.source.span(line, column, 1)
        if any(item.code == "yaml-tab" and item.span and item.span.line == place.line for item in self.mistakes):
            return
        if place.source[place.column - 1 : place.column] == "\t":
            self.mistake("yaml-tab", place, _TABS, "indent with spaces")
        else:
            self.mistake("bad-yaml", place, *in_plain_words(problem))

    def refuse(self, code: str, event: Event, message: str, help: str) -> None:
        self.mistake(code, self.source.span(event.start_mark.line, event.start_mark.column, 1), message, help)

    def mistake(self, code: str, span: Span, message: str, help: str) -> None:
        if len(self.mistakes) < MAX_MISTAKES:
            self.mistakes.append(Diagnostic(code, message, help, span))
