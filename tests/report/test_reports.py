"""The table of reports: every row renders every verdict, as the golden files show it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import verdicts

from greengate.report import REPORTS

GOLDEN = Path(__file__).parent / "golden"
ENDINGS = {
    "terminal": "txt",
    "markdown": "md",
    "summary": "md",
    "json": "json",
    "junit": "xml",
    "github": "github",
    "codequality": "codequality.json",
    "metrics": "metrics",
    "dotenv": "env",
}


def test_the_table_has_these_rows() -> None:
    assert list(REPORTS) == list(ENDINGS)


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("story", verdicts.ALL)
def test_every_report_of_every_verdict(name: str, story: str, golden: Callable[[Path, str], None]) -> None:
    text = REPORTS[name](verdicts.ALL[story])
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    golden(GOLDEN / f"{story}.{ENDINGS[name]}", text)


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_every_report_survives_hostile_text(name: str, stranger: str) -> None:
    text = REPORTS[name](verdicts.hostile(stranger))
    text.encode("utf-8")
    if name not in ("json", "codequality"):  # JSON escapes what it carries
        assert not [
            char for char in text if char != "\n" and not char.isprintable() and char not in "\u2060\ufe0f\u00a0"
        ]


@pytest.mark.parametrize("name", ["terminal", "markdown"])
@pytest.mark.parametrize("story", verdicts.ALL)
def test_the_verdict_comes_first_in_words(name: str, story: str) -> None:
    first = REPORTS[name](verdicts.ALL[story]).splitlines()[0]
    assert verdicts.ALL[story].status.name in first


def test_naming_the_reports_loads_none_of_them() -> None:
    script = "import sys, greengate.report; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert not {"rich", "jinja2", "numpy", "onnx", "xml.etree", "greengate.report.markdown"} & set(found)
