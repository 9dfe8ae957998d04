"""Cutting a Markdown report to a forge's limit by whole sections, never in the middle of one."""

from __future__ import annotations

import re

_SECTION = re.compile(r"^<details>.*?^</details>\n*", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"https?://[\w.:/?&=%~+,;@-]+", re.ASCII)


def fit(text: str, most: int, link: str = "") -> str:
    """Return the report in at most `most` bytes: the last folded sections are left out first, then the last lines.

    What is left out is said, with a link to the full report where there is one.
    """
    if _size(text) <= most:
        return text
    more = _more(link)
    sections = _SECTION.findall(text)
    left = 0
    while left < len(sections) and _size(text) + _size(_said(left, 0, more)) > most:
        left += 1
        start = text.rindex(sections[-left])
        text = text[:start] + text[start + len(sections[-left]) :]
    if _size(text) + _size(_said(left, 0, more)) <= most:
        return text + _said(left, 0, more)
    # No section is left: what is cut now is the table and what stands around it.
    lines = text.rstrip("\n").split("\n")
    kept, size = [], _size(_said(left, len(lines), more))
    for line in lines:
        size += _size(line) + 1
        if size > most:
            break
        kept.append(line)
    return "\n".join(kept).rstrip("\n") + "\n" + _said(left, len(lines) - len(kept), more)


def _said(sections: int, lines: int, more: str) -> str:
    parts = [
        f"{count:,} {word}{'s' * (count > 1)}" for count, word in ((sections, "section"), (lines, "line")) if count
    ]
    return f"\n<sub>Left out here for length: {' and '.join(parts)}{more}</sub>\n"


def _more(link: str) -> str:
    return (
        f'; <a href="{link}">the full report</a> has them' if _LINK.fullmatch(link) else "; the report's file has them"
    )


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
