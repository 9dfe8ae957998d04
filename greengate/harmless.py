"""Text from outside, made harmless to show: nothing in it steers a terminal, a log or a parser."""

from __future__ import annotations

import unicodedata

#: Control, format (bidirectional overrides, zero-width), surrogate, line and paragraph separators.
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def still(text: str) -> str:
    """Return `text` with every character that steers something replaced, each by one, so that columns stay."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _STEERING or char in "\ufffe\uffff" else char
        for char in text
    )


def clean(text: str) -> str:
    """Return `text` as one line with nothing in it that steers a terminal, a log or a parser."""
    return still(" ".join(text.split()))


def tame(text: str) -> str:
    """Return `text` as a part of one line that a CI server does not read as a command, wherever in it that stands.

    The older form of a command, `##[name]`, counts anywhere; `::name::` only where a line begins: that is the caller's
    to see to.
    """
    return clean(text).replace("##[", "## [")
