"""Every code has a heading in docs/diagnostics.md and a golden message; the page shows the golden messages."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from greengate.errors import CODES

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "diagnostics.md"
SECTION = re.compile(r"^### (?P<code>\S+)\n(?P<body>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"```text\n(?P<text>.*?)\n```", re.DOTALL)
FIRST_LINE = re.compile(r"^(?:error|warning)\[([a-z0-9-]+)\]: .")


def goldens() -> dict[str, Path]:
    """Return one golden message a code; files named after their code come first."""
    found: dict[str, Path] = {}
    paths = [path for kind in ("txt", "err") for path in sorted(TESTS.rglob(f"*.{kind}"))]
    for path in sorted(paths, key=lambda path: path.stem not in CODES):
        match = FIRST_LINE.match(path.read_text("utf-8"))
        if match is not None:
            found.setdefault(match[1], path)
    return found


def sections() -> dict[str, str]:
    return {match["code"]: match["body"] for match in SECTION.finditer(PAGE.read_text("utf-8"))}


def test_every_code_has_one_heading_and_no_heading_is_idle() -> None:
    headings = [match["code"] for match in SECTION.finditer(PAGE.read_text("utf-8"))]
    assert headings == list(CODES), "one heading a code, in the order of errors.CODES"


@pytest.mark.parametrize("code", CODES)
def test_a_heading_says_what_it_means_shows_it_and_says_what_to_do(code: str) -> None:
    means, example, do = re.split(r"(?s)```text\n(.*?)\n```", sections()[code])
    assert len(means.split()) >= 5
    assert len(do.split()) >= 3
    assert FIRST_LINE.match(example)
    assert re.search(rf"^(error|warning)\[{code}\]: .", example)


def test_every_code_has_a_golden_message() -> None:
    found = goldens()
    assert set(CODES) - set(found) == set(), "write a golden .txt whose first line has the code"
    assert set(found) - set(CODES) == set()


def test_every_golden_message_says_what_to_do() -> None:
    for code, path in goldens().items():
        first = path.read_text("utf-8").split("\n\n")[0]
        assert "\n  = help: " in first, f"{path} ({code}) has no next step"


def test_the_page_shows_the_golden_messages(golden: Callable[[Path, str], None]) -> None:
    found = goldens()

    def with_example(match: re.Match[str]) -> str:
        path = found.get(match["code"])
        if path is None or path.stem != match["code"]:
            return match[0]
        message = path.read_text("utf-8").split("\n\n")[0].rstrip("\n")
        return EXAMPLE.sub(lambda _: f"```text\n{message}\n```", match[0], count=1)

    golden(PAGE, SECTION.sub(with_example, PAGE.read_text("utf-8")))


def test_the_greater_part_of_the_page_is_golden() -> None:
    assert len([path for code, path in goldens().items() if path.stem == code]) > 40
