"""The pull-request report: its shape as a Markdown parser sees it, and text that tries to break out."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
import verdicts
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from greengate.harmless import clean
from greengate.report.markdown import code, escape, prose, render
from greengate.report.numbers import ABSENT
from greengate.verdict import Verdict

INERT = {"text", "text_special", "code_inline", "inline"} | {
    f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")
}
HTML = re.compile(r"</?details>|</?summary>|</?sub>|<br>")


def parse(text: str) -> list[Token]:
    """Return every token of GitHub's dialect, without the links that only a forge makes."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [inner for token in tokens for inner in (token, *(token.children or ()))]


def shown(text: str) -> str:
    """Return what a reader of one escaped line sees."""
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).renderInline(text)
    return html.unescape(re.sub(r"</?code>", "", rendered)).replace("\u2060", "")


def shape(verdict: Verdict) -> list[str]:
    return [token.type for token in parse(render(verdict)) if token.type not in ("text", "code_inline", "text_special")]


def test_the_first_line_is_the_verdict_in_plain_words() -> None:
    first, second = render(verdicts.failing()).splitlines()[:2]
    assert first == "❌ **FAIL** 2 of 4 rules over budget: size, tail; 1 could not be decided"
    assert second == ""


def test_what_is_judged_is_one_table_with_the_worst_first() -> None:
    lines = render(verdicts.failing()).splitlines()
    rows = [line for line in lines[: lines.index("<details><summary>Reasons and next steps</summary>")] if "|" in line]
    assert [row.split(" | ")[2] for row in rows[2:]] == [
        "`size`",
        "`tail` Latency p95",
        "`p50` Latency p50",
        "`compute` FLOPs",
    ]
    assert rows[4].replace("\N{NO-BREAK SPACE}", " ") == (
        "| ❔ INCONCLUSIVE | `digits` | `p50` Latency p50 "
        "| 4.29 ms | 4.52 ms | +5.4 % [+4.8, +6.0] | ≤ +5 % or +0.2 ms |"
    )


def test_numbers_break_between_limits_and_before_an_interval_only() -> None:
    (row,) = (line for line in render(verdicts.failing()).splitlines() if "`p50`" in line and "≤" in line)
    change, limit = row.strip("| ").split(" | ")[-2:]
    assert change.split(" ") == ["+5.4\N{NO-BREAK SPACE}%", "[+4.8,\N{NO-BREAK SPACE}+6.0]"]
    assert limit.split(" ") == ["≤\N{NO-BREAK SPACE}+5\N{NO-BREAK SPACE}%", "or", "+0.2\N{NO-BREAK SPACE}ms"]


@pytest.mark.parametrize("story", verdicts.ALL)
def test_everything_else_is_folded_and_every_fold_opens_and_closes(story: str) -> None:
    lines = render(verdicts.ALL[story]).splitlines()
    opened = [index for index, line in enumerate(lines) if line.startswith("<details>")]
    closed = [index for index, line in enumerate(lines) if line == "</details>"]
    assert len(opened) == len(closed) >= len(verdicts.ALL[story].case.models)
    for index in opened:
        assert lines[index].endswith("</summary>")
        assert lines[index + 1] == ""  # without it a forge shows the table as text
    assert all(first < last for first, last in zip(opened, closed, strict=True))


@pytest.mark.parametrize("story", verdicts.ALL)
def test_every_row_of_a_table_has_every_cell(story: str) -> None:
    tokens = parse(render(verdicts.ALL[story]))
    widths = {7, 6}
    cells = 0
    for token in tokens:
        if token.type == "tr_open":
            cells = 0
        cells += token.type in ("td_open", "th_open")
        if token.type == "tr_close":
            assert cells in widths


def test_every_number_says_how_it_was_obtained() -> None:
    text = render(verdicts.failing())
    assert "| paired, side by side in the same processes | timed, 7 launches x 812 calls |" in text
    assert "| exact | executed |" in text


def test_the_footer_names_what_the_numbers_rest_on() -> None:
    footer = render(verdicts.failing()).rpartition("<sub>")[2]
    for word in (
        "AMD EPYC 7B13",
        "batch size 1",
        "onnxruntime 1.32.0",
        "budgets.yaml",
        "file:models/old.onnx",
        "41.2 s",
    ):
        assert word in footer


def test_a_missing_number_is_a_dash_with_its_reason_in_sight() -> None:
    text = render(verdicts.undecided())
    assert f"| `compute` FLOPs | {ABSENT} | 1.29\N{NO-BREAK SPACE}GFLOP | {ABSENT} |" in text
    before_folds = text[: text.index("<details>")]
    assert "compute, size, tail: there is no baseline; accept one with" in before_folds


def test_an_unjudged_model_is_named() -> None:
    assert "No rule judges `digits`." in render(verdicts.unbound())


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_text_changes_nothing_but_text(stranger: str) -> None:
    assert shape(verdicts.hostile(stranger)) == shape(verdicts.hostile("harmless"))


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_text_brings_no_html_link_or_image(stranger: str) -> None:
    for token in parse(render(verdicts.hostile(stranger))):
        assert token.type not in ("link_open", "image", "em_open", "s_open", "fence", "heading_open")
        if token.type in ("html_inline", "html_block"):
            rest = HTML.sub("", token.content)
            assert "<" not in rest


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_text_notifies_and_links_nobody(stranger: str) -> None:
    text = render(verdicts.hostile(stranger))
    assert not re.search(r"@\w|#\d|GH-\d|://|www\.", text)


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
@pytest.mark.parametrize("write", [escape, code])
def test_a_reader_sees_the_name_itself(stranger: str, write: object) -> None:
    assert shown(write(stranger)) == clean(stranger)  # type: ignore[operator]


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_reads_as_itself(text: str) -> None:
    assert shown(f"x {escape(text)} y") == f"x {clean(text)} y"


@given(st.text(alphabet="`|\\*_[]()<>@#:/!&;~$ ab1\n", max_size=30))
def test_any_text_stays_one_cell_in_a_table(text: str) -> None:
    for write in (escape, code, prose):
        table = parse(f"| a | b |\n|--|--|\n| {write(text)} | end |\n")
        cells = [token for token in table if token.type == "td_open"]
        assert len(cells) == 2
        assert {token.type for token in table} <= INERT
        assert table[-4].content == "end" or "end" in [token.content for token in table]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("models/a_b-1.onnx", "`models/a_b-1.onnx`"),
        ("two words", "`two words`"),
        ("a|b", r"a\|b"),
        ("a`b", r"a\`b"),
        ("@me", "@\u2060me"),
        ("", ""),
    ],
)
def test_code(name: str, written: str) -> None:
    assert code(name) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            'run `greengate baseline accept --reason "..."` first',
            'run `greengate baseline accept --reason "..."` first',
        ),
        ("a lone ` stays", r"a lone \` stays"),
        ("`a|b` and *c*", r"a\|b and \*c\*"),
        (" edges ", "edges"),
    ],
)
def test_prose(text: str, written: str) -> None:
    assert prose(text) == written


def test_several_models_are_told_apart() -> None:
    text = render(verdicts.two_models())
    assert "All measurements, model 1 of 2" in text
    assert "Model `vision`: nothing was measured" in text
    assert "Hardware: Apple M2, 8 cores, 8.23 GB, Darwin 24.1 (vision)" in text


def test_what_holds_for_every_measured_model_is_told_once() -> None:
    verdict = verdicts.passing()
    (first,) = verdict.case.models
    other = verdicts.grown("flops", 1, 2, method="static")
    more = {**first.comparisons, "flops": other}
    second = replace(first, name="b", comparisons=more, notes=("of b alone",))
    third = replace(first, name="c", hardware=None, comparisons={}, candidate=None)
    shown = replace(first, notes=("the same",)), replace(second, notes=("the same", "of b alone")), third
    text = render(replace(verdict, case=replace(verdict.case, models=shown)))
    common, one, two, _ = re.findall(r"<details><summary>(?:What holds|All meas).*?</details>", text, re.DOTALL)
    assert "What holds for every measured model" in common
    assert "- Note: the same" in common
    assert re.search(r"^- .*Size.*: read$", common, re.MULTILINE)
    assert "FLOPs" not in common
    assert "Note: the same" not in one + two
    assert "Note: of b alone" in two
    assert re.search(r"^\| FLOPs .* executed \|$", one, re.MULTILINE)
    assert re.search(r"^\| FLOPs .* static \|$", two, re.MULTILINE)
    assert re.search(r"^\| Size .* as for all \|$", two, re.MULTILINE)
    assert "What holds" not in render(verdict), "of one model nothing is common"


def test_a_verdict_of_nothing_is_still_a_report() -> None:
    verdict = verdicts.unbound()
    text = render(replace(verdict, case=replace(verdict.case, models=())))
    assert text.startswith("❔ **INCONCLUSIVE** no rule was judged\n")
