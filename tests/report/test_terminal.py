"""The report in a terminal: any width, with and without colour, in any encoding."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import verdicts

from greengate.report import terminal
from greengate.report.terminal.paper import STYLES, Cell, Column, render_page, safe, table
from greengate.verdict import Status

GOLDEN = Path(__file__).parent / "golden"
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("story", ["fail", "two-models"])
def test_at_other_widths(story: str, width: int, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"{story}.{width}.txt", terminal.render(verdicts.ALL[story], width=width))


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("story", verdicts.ALL)
def test_no_line_is_wider_than_the_page_nor_ends_in_blanks(story: str, width: int) -> None:
    for line in terminal.render(verdicts.ALL[story], width=width).splitlines():
        assert len(line) <= width
        assert line == line.rstrip()


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("story", verdicts.ALL)
def test_no_number_and_no_status_is_broken(story: str, width: int) -> None:
    verdict = verdicts.ALL[story]
    text = terminal.render(verdict, width=width)
    lines = text.splitlines()
    for outcome in verdict.outcomes:
        assert any(line.startswith(f"{outcome.status.name} ") and outcome.rule in line for line in lines)
    for written in re.findall(r"\[[^\]]*$", text, flags=re.MULTILINE):
        pytest.fail(f"an interval is broken: {written}")


def test_a_long_name_breaks_itself_and_no_number() -> None:
    verdict = verdicts.failing()
    long = tuple(replace(outcome, rule=f"{outcome.rule}-{'long-' * 12}") for outcome in verdict.outcomes)
    rows = terminal.render(replace(verdict, outcomes=long), width=40).splitlines()  # set as on a page of 80
    assert max(map(len, rows)) <= 80
    for whole in ("INCONCLUSIVE  p50-", "[45.4, 47.0]  [+3.9, +5.6]", "[+4.8, +6.0]", "1.29 GFLOP"):
        assert any(whole in row for row in rows)


def test_colour_only_adds_to_the_words() -> None:
    plain = terminal.render(verdicts.failing())
    coloured = terminal.render(verdicts.failing(), colour=True)
    assert "\x1b[" not in plain
    assert "\x1b[1;31mFAIL\x1b[0m\x1b[1m  2 of 4 rules over budget" in coloured
    assert "\x1b[2mmodel \x1b[0m\x1b[1mdigits\x1b[0m" in coloured
    bare = "\n".join(line.rstrip() for line in ESCAPES.sub("", coloured).splitlines()) + "\n"
    assert bare == plain


def test_the_environment_does_not_change_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    before = terminal.render(verdicts.failing()), terminal.render(verdicts.failing(), colour=True)
    for name, value in {"NO_COLOR": "1", "FORCE_COLOR": "1", "COLUMNS": "20", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    assert (terminal.render(verdicts.failing()), terminal.render(verdicts.failing(), colour=True)) == before


def test_every_status_has_a_style() -> None:
    assert set(STYLES) == set(Status)


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    text = terminal.render(verdicts.failing(), encoding="ascii")
    assert text.isascii()
    assert "<= 120 MB" in text
    assert "?" not in text


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_no_line_can_be_read_as_a_workflow_command(stranger: str) -> None:
    for width in (40, 80, 120):
        for line in terminal.render(verdicts.hostile(stranger), width=width).splitlines():
            assert not line.lstrip().startswith("::")
            assert "##[" not in line


def test_text_is_no_markup() -> None:
    assert "[bold red]markup[/] :smile:" in terminal.render(verdicts.hostile("[bold red]markup[/] :smile:"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("::error::x", ": :error: :x"), ("##[group]", "## [group]"), ("a:b", "a:b"), ("module::name", "module: :name")],
)
def test_safe(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_parts_of_a_cell_stand_beside_each_other_only_where_there_is_room() -> None:
    columns = [Column("name", folds=True), Column("value", number=True)]
    rows = [[Cell("a", "long title"), Cell("1.5 ms", "[1, 2]")], [Cell("bcd"), Cell("12.5 ms")]]
    wide, narrow = (render_page([table(columns, rows, width)], False, width, "utf-8") for width in (60, 24))
    assert wide.splitlines()[2:] == ["a    long title   1.5 ms  [1, 2]", "bcd              12.5 ms"]
    assert narrow.splitlines()[2:] == ["a           1.5 ms", "long title  [1, 2]", "bcd         12.5 ms"]


def test_a_name_gives_way_even_to_a_number_that_is_wider() -> None:
    columns = [Column("name", folds=True), Column("value", number=True)]
    rows = [[Cell("abcdefgh"), Cell("+1.5 %", "[+1.00000, +2.00000]")]]
    lines = render_page([table(columns, rows, 27)], False, 27, "utf-8").splitlines()
    assert lines[2:] == ["abcd  +1.5 %", "efgh  [+1.00000, +2.00000]"]


def test_an_unjudged_model_is_named() -> None:
    assert "no rule judges this model" in terminal.render(verdicts.unbound())


def test_a_rule_without_a_next_step_points_at_its_arithmetic() -> None:
    assert "see the arithmetic with `greengate explain tail`" in terminal.render(verdicts.failing())


def test_notes_of_a_model_are_shown() -> None:
    assert "the process was not pinned to a core" in terminal.render(verdicts.failing())
