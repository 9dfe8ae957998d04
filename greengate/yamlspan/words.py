"""What the YAML parsers say, in plain words."""

from __future__ import annotations

#: A part of what a parser says, what it means, and what to do about it.
_WORDS: tuple[tuple[str, str, str], ...] = (
    (
        "mapping values are not allowed",
        "a `:` stands where no key can be",
        "begin a line for each key, or quote a text",
    ),
    (
        "sequence entries are not allowed",
        "a `- ` stands where no list can begin",
        "begin the list on its own line",
    ),
    ("could not find expected ':'", "a key has no `: ` behind it", "write `key: value`"),
    ("unexpected end of stream", "a quote is not closed", "close it, or double a quote that belongs to the text"),
    ("'}'", "a `{` is not closed, or a comma is missing", "separate its entries by `,` and close it with `}`"),
    ("']'", "a `[` is not closed, or a comma is missing", "separate its items by `,` and close it with `]`"),
    ("cannot start any token", "a value cannot start with this character", "put the value in quotes"),
    ("unknown escape", "an unknown escape in a text", "write `\\\\` for a backslash, or use single quotes"),
    ("'-' indicator", "the indentation does not fit the lines above", "align the items of a list"),
    ("<block end>", "the indentation does not fit the lines above", "align the keys of a mapping"),
    ("expected key", "the indentation does not fit the lines above", "align the keys of a mapping"),
    ("alphabetic or numeric", "a `*` or `&` begins an alias or an anchor", "put the value in quotes"),
    ("comment or line break", "nothing can follow `|` or `>` here", "begin the text on the next line"),
    ("<document start>", "nothing can follow the end of the document", "delete what follows, or mend its indentation"),
    ("node content", "a value is missing here, or a bracket is not closed", "write the value or close the bracket"),
)


def in_plain_words(problem: str) -> tuple[str, str]:
    """Return what a parser's message means and what to do; the message itself where it is not known."""
    return next(((means, do) for part, means, do in _WORDS if part in problem), (problem, "see the YAML reference"))
