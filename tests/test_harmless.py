"""Text from outside made harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate.harmless import clean, still, tame


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain name", "plain name"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("\x1b[31mred", "�[31mred"),
        ("a\x00b\x07c\x9bd", "a�b�c�d"),
        ("\u202edrow\u2066", "�drow�"),
        ("zero\u200bwidth", "zero�width"),
        ("para\u2029graph\u2028line", "para graph line"),
        ("bad-\udcff", "bad-�"),
        ("\ufffe\uffff", "��"),
        ("größe µs 模型 ✅", "größe µs 模型 ✅"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(alphabet=st.characters()))
def test_clean_text_is_one_printable_line_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned) == cleaned
    cleaned.encode("utf-8")


@given(st.text(alphabet=st.characters()))
def test_what_is_still_has_its_length_and_nothing_that_steers(text: str) -> None:
    shown = still(text)
    assert len(shown) == len(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "tamed"),
    [
        ("##[error]x", "## [error]x"),
        ("a ##[group]b##[c", "a ## [group]b## [c"),
        ("a\n##[error]b", "a ## [error]b"),
        ("aten::mul", "aten::mul"),
    ],
)
def test_tame(text: str, tamed: str) -> None:
    assert tame(text) == tamed
