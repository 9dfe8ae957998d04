"""Workflow commands: one a line, and none that a stranger wrote."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import verdicts

from greengate.harmless import clean
from greengate.report.github import render
from greengate.verdict import Status, Verdict

COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::(.*)")


def commands(verdict: Verdict) -> list[tuple[str, dict[str, str], str]]:
    """Read the commands as the runner does, with its unescaping."""
    found = []
    for line in render(verdict).splitlines():
        if match := COMMAND.fullmatch(line):
            pairs = (pair.partition("=") for pair in match[2].split(","))
            found.append((match[1], {key: unescaped(value) for key, _, value in pairs}, unescaped(match[3])))
    return found


def unescaped(text: str) -> str:
    for code, char in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, char)
    return text


def test_a_failure_stands_at_its_line() -> None:
    assert commands(verdicts.failing())[0] == (
        "error",
        {"file": "budgets.yaml", "line": "12", "col": "5", "title": "FAIL size (digits)"},
        "+19.8 % is beyond the limit of +10.0 %",
    )


def test_the_next_step_is_a_line_of_the_message() -> None:
    assert commands(verdicts.undecided())[0][2] == "there is no baseline\naccept one with `greengate baseline accept`"


@pytest.mark.parametrize(
    ("story", "kinds"),
    [
        ("pass", []),
        ("fail", ["error", "error", "error"]),
        ("mild", ["warning", "notice", "notice"]),
        ("unbound", ["error"]),
    ],
)
def test_what_each_status_becomes(story: str, kinds: list[str]) -> None:
    assert [command for command, _, _ in commands(verdicts.ALL[story])] == kinds


def test_worst_first() -> None:
    titles = [place["title"].split()[0] for _, place, _ in commands(verdicts.failing())]
    assert titles == ["FAIL", "FAIL", "INCONCLUSIVE"]


def test_the_last_line_is_the_headline() -> None:
    last = render(verdicts.failing()).splitlines()[-1]
    assert last == "greengate: FAIL 2 of 4 rules over budget: size, tail; 1 could not be decided"


def test_at_most_ten_of_a_kind_and_the_rest_is_counted() -> None:
    verdict = verdicts.failing()
    fails = [replace(verdict.outcomes[0], rule=f"f{index}") for index in range(12)]
    warns = [replace(verdict.outcomes[0], rule=f"w{index}", status=Status.WARN) for index in range(11)]
    many = replace(verdict, outcomes=(*warns, *fails))
    kinds = [command for command, _, _ in commands(many)]
    assert kinds == ["error"] * 10 + ["warning"] * 10
    assert render(many).splitlines()[-1].endswith("(3 more not shown as annotations)")


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_nothing_from_outside_starts_a_command(stranger: str) -> None:
    verdict = verdicts.hostile(stranger)
    lines = render(verdict).splitlines()
    assert len(lines) == 3
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "greengate:"]
    assert not any("##[" in line for line in lines)
    _, place, message = commands(verdict)[0]
    expected = clean(stranger).replace("##[", "## [")
    assert place["file"] == expected
    assert message == f"{expected}\n{expected}"
