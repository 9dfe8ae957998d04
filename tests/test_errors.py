"""Diagnostics as people read them, and the tree of errors."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate.errors import (
    CODES,
    BaselineError,
    BudgetError,
    Diagnostic,
    Exit,
    GreengateError,
    ModelError,
    ReportError,
    Span,
)

LINE = "  - {metric: latency_p95, max: 45 parsecs}"
SPAN = Span("budgets.yaml", 10, 32, 10, LINE)


def test_a_diagnostic_shows_its_line_and_the_next_step() -> None:
    found = Diagnostic("unknown-unit", "'parsecs' is not a unit of time", "use one of ns, us, ms, s", SPAN)
    assert str(found) == (
        "error[unknown-unit]: 'parsecs' is not a unit of time\n"
        "  --> budgets.yaml:10:32\n"
        "    |\n"
        f" 10 | {LINE}\n"
        f"    | {' ' * 31}^^^^^^^^^^\n"
        "  = help: use one of ns, us, ms, s"
    )


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Diagnostic("usage", "no such option"), "error[usage]: no such option"),
        (Diagnostic("usage", "x", "run it", severity="warning"), "warning[usage]: x\n  = help: run it"),
        (Diagnostic("bad-yaml", "x", span=Span("b.yaml", 3)), "error[bad-yaml]: x\n  --> b.yaml:3:1"),
        (
            Diagnostic("yaml-tab", "x", span=Span("b.yaml", 3, 2, 1, "\ta: 1")),
            "error[yaml-tab]: x\n  --> b.yaml:3:2\n   |\n 3 |  a: 1\n   |  ^",
        ),
        (
            Diagnostic("bad-yaml", "x", span=Span("b.yaml", 3, 5, 1, "a: [")),
            "error[bad-yaml]: x\n  --> b.yaml:3:5\n   |\n 3 | a: [\n   |     ^",
        ),
        (
            Diagnostic("bad-yaml", "x", span=Span("b.yaml", 3, 1, 99, "a: [")),
            "error[bad-yaml]: x\n  --> b.yaml:3:1\n   |\n 3 | a: [\n   | ^^^^",
        ),
    ],
)
def test_diagnostics_without_some_part(found: Diagnostic, text: str) -> None:
    assert str(found) == text


@given(st.text("ab \t", min_size=1, max_size=1000), st.data())
def test_the_marks_stand_below_what_they_mark(source: str, data: st.DataObject) -> None:
    column = data.draw(st.integers(1, len(source)))
    length = data.draw(st.integers(1, len(source) - column + 1))
    found = Diagnostic("bad-value", "x", span=Span("b.yaml", 7, column, length, source))
    *_, shown, marks = str(found).split("\n")
    assert len(shown) <= 170
    assert len(marks) <= len(shown)
    start, end = marks.index("^"), marks.rindex("^") + 1
    assert marks[start:end] == "^" * (end - start)
    assert source[column - 1 :].replace("\t", " ").startswith(shown[start:end])


@pytest.mark.parametrize(
    ("length", "column", "first", "last"),
    [
        (160, 150, 1, 160),  # fits
        (161, 1, 1, 160),
        (161, 81, 1, 160),
        (161, 82, 2, 161),
        (500, 81, 1, 160),
        (500, 250, 170, 329),  # what is meant stands in the middle
        (500, 500, 420, 500),
    ],
)
def test_a_long_line_is_shown_around_what_is_meant(length: int, column: int, first: int, last: int) -> None:
    source = "".join(chr(0x4E00 + index) for index in range(length))
    *_, shown, marks = str(Diagnostic("bad-value", "x", span=Span("b.yaml", 7, column, 3, source))).split("\n")
    assert shown == f" 7 | {source[first - 1 : last]}"
    assert marks.rstrip("^") == "   | " + " " * (column - first)


def test_what_a_stranger_named_breaks_no_line_and_is_no_command() -> None:
    name = "x\n::error::pwned\r##[group]y\x1b[31m\u2028z"
    span = Span(f"{name}.yaml", 7, 4, 3, "a: ##[b]\x1b\x85c")
    told = str(Diagnostic("input-open", f"input {name} is open", f"say what {name} is", span))
    assert told == (
        "error[input-open]: input x ::error::pwned ## [group]y\ufffd[31m z is open\n"
        "  --> x ::error::pwned ## [group]y\ufffd[31m z.yaml:7:4\n"
        "   |\n"
        " 7 | a: ##\ufffdb]\ufffd\ufffdc\n"
        "   |    ^^^\n"
        "  = help: say what x ::error::pwned ## [group]y\ufffd[31m z is"
    )


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="'no-such-code' is not in CODES"):
        Diagnostic("no-such-code", "x")


@pytest.mark.parametrize("kind", [GreengateError, BudgetError, ModelError, BaselineError, ReportError])
def test_errors_carry_everything_found_and_exit_2(kind: type[GreengateError]) -> None:
    found = Diagnostic("usage", "one"), Diagnostic("bad-value", "two", span=SPAN)
    error = kind(*found)
    assert error.diagnostics == found
    assert str(error) == f"{found[0]}\n\n{found[1]}"
    assert error.exit is Exit.CANNOT_START
    assert isinstance(error, GreengateError)
    with pytest.raises(ValueError, match="at least one"):
        kind()


def test_exit_codes_are_a_published_contract() -> None:
    assert {item.name: item.value for item in Exit} == {
        "PASS": 0,
        "FAIL": 1,
        "CANNOT_START": 2,
        "INCONCLUSIVE": 3,
        "BUG": 70,
        "INTERRUPTED": 130,
    }


def test_nouns_are_frozen_and_codes_are_words() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPAN.line = 3  # type: ignore[misc]
    assert all(code == code.lower() and " " not in code and meaning for code, meaning in CODES.items())
