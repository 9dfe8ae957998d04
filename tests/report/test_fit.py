from __future__ import annotations

import pytest
import verdicts
from hypothesis import given
from hypothesis import strategies as st

from greengate.report import REPORTS, fit, markdown
from greengate.report.summary import _MOST

LINK = "https://github.example/o/n/actions/runs/1"


def section(name: str, size: int) -> str:
    return f"<details><summary>{name}</summary>\n\n{'x' * size}\n\n</details>\n\n"


REPORT = (
    f"**FAIL** one\n\n| a |\n|:--|\n| 1 |\n| 2 |\n\n{section('first', 300)}{section('second', 200)}<sub>facts</sub>\n"
)


def test_what_fits_is_left_as_it_is() -> None:
    assert fit.fit(REPORT, len(REPORT)) == REPORT


def test_the_last_sections_go_first_and_whole() -> None:
    cut = fit.fit(REPORT, len(REPORT) - 1, LINK)
    assert "first</summary>" in cut
    assert "second</summary>" not in cut
    assert cut.count("<details>") == cut.count("</details>") == 1
    assert "<sub>facts</sub>" in cut
    assert f'Left out here for length: 1 section; <a href="{LINK}">the full report</a> has them' in cut
    assert fit.fit(REPORT, 300).count("<details>") == 0
    assert "2 sections; the report's file has them" in fit.fit(REPORT, 300)


def test_then_lines_from_the_end_and_the_headline_stays() -> None:
    long = "**FAIL** one\n\n" + "".join(f"| row {index} |\n" for index in range(1000))
    cut = fit.fit(long, 1000)
    assert cut.startswith("**FAIL** one\n\n| row 0 |\n")
    rows = cut.count("| row")
    assert f"{1002 - rows - 2:,} lines" in cut
    assert len(cut) <= 1000


@pytest.mark.parametrize("link", ["", "javascript:alert(1)", 'https://a/"onclick=x', "https://a b", "ftp://a"])
def test_an_address_that_is_none_is_not_linked(link: str) -> None:
    assert "<a" not in fit.fit(REPORT, 400, link)


@given(st.integers(300, 5000), st.lists(st.integers(0, 900), max_size=5), st.integers(0, 90))
def test_any_report_fits(most: int, sizes: list[int], rows: int) -> None:
    text = "**FAIL** é\n\n" + "| é |\n" * rows + "".join(section(f"é{index}", size) for index, size in enumerate(sizes))
    cut = fit.fit(text, most, LINK)
    assert len(cut.encode()) <= most
    assert cut.startswith("**FAIL** é\n")
    assert cut.count("<details>") == cut.count("</details>")


def test_real_reports_keep_their_head() -> None:
    for made in (verdicts.failing(), verdicts.two_models(), verdicts.undecided()):
        whole = markdown.render(made)
        cut = fit.fit(whole, len(whole.encode()) - 1, LINK)
        assert cut.split("\n")[0] == whole.split("\n")[0]
        assert whole.count("<details>") > cut.count("<details>") == cut.count("</details>") > 0


def test_a_summary_is_the_markdown_below_githubs_limit() -> None:
    assert REPORTS["summary"](verdicts.failing()) == markdown.render(verdicts.failing())
    assert _MOST < 1 << 20
