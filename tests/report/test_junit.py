"""JUnit XML as a CI server reads it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
import verdicts

from greengate.harmless import clean
from greengate.report.junit import render


def parsed(story: str) -> ET.Element:
    return ET.fromstring(render(verdicts.ALL[story]))


@pytest.mark.parametrize("story", verdicts.ALL)
def test_the_counts_are_those_of_the_cases(story: str) -> None:
    root = parsed(story)
    for node in [root, *root.findall("testsuite")]:
        assert int(node.get("tests", "")) == len(list(node.iter("testcase")))
        assert int(node.get("failures", "")) == len(list(node.iter("failure")))
        assert int(node.get("errors", "")) == len(list(node.iter("error")))
        assert int(node.get("skipped", "")) == len(list(node.iter("skipped")))


def test_a_rule_over_budget_is_a_failure_with_its_place() -> None:
    case = parsed("fail").find(".//testcase[@name='tail']")
    assert case is not None
    assert dict(case.attrib) == {"classname": "digits", "name": "tail", "file": "budgets.yaml", "line": "15"}
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "46.2 ms [45.4, 47.0] is beyond the limit of 45.0 ms"
    assert "at budgets.yaml:15:5" in (failure.text or "")


@pytest.mark.parametrize(
    ("story", "rule", "element"),
    [
        ("fail", "size", "failure"),
        ("fail", "p50", "error"),
        ("mild", "energy", "skipped"),
        ("mild", "size", "system-out"),
        ("mild", "compute", "system-out"),
        ("mild", "tail", "system-out"),
    ],
)
def test_how_each_status_is_told(story: str, rule: str, element: str) -> None:
    case = parsed(story).find(f".//testcase[@name='{rule}']")
    assert case is not None
    assert [child.tag for child in case] == [element]


def test_a_plain_pass_has_nothing_to_say() -> None:
    assert not [child for case in parsed("pass").iter("testcase") for child in case]


def test_the_next_step_is_told() -> None:
    error = parsed("inconclusive").find(".//error")
    assert error is not None
    assert "next: accept one with `greengate baseline accept`" in (error.text or "")


def test_each_model_is_a_suite_with_its_own_facts() -> None:
    suites = {suite.get("name"): suite for suite in parsed("two-models").findall("testsuite")}
    assert list(suites) == ["sentiment-small", "vision"]
    hardware = suites["vision"].findall(".//property[@name='hardware']")
    assert [one.get("value") for one in hardware] == ["Apple M2, 8 cores, 8.23 GB, Darwin 24.1"]


def test_a_verdict_that_no_rule_carries_is_not_lost() -> None:
    error = parsed("unbound").find("./testsuite[@name='greengate']/testcase/error")
    assert error is not None
    assert error.get("message") == "no rule judges digits"


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_text_comes_through_as_text(stranger: str) -> None:
    root = ET.fromstring(render(verdicts.hostile(stranger)))
    assert [case.get("classname") for case in root.iter("testcase")] == [clean(stranger)] * 2
    assert {node.tag for node in root.iter()} == {
        *("testsuites", "testsuite", "properties", "property", "testcase", "failure", "error"),
    }
