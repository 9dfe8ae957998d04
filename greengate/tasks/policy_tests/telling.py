"""Results of policy tests, in words and as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from greengate.harmless import clean
from greengate.tasks.policy_tests.running import Miss, Result


def render(results: Sequence[Result]) -> str:
    """Say of every test whether it holds, of one that does not why, and how many there are."""
    lines = [line for result in results for line in _told(result)]
    failed = sum(bool(result.misses) for result in results)
    many = f"{len(results)} policy test{'' if len(results) == 1 else 's'}"
    lines.append(f"{failed} of {many} failed" if failed else f"{many} passed")
    return "\n".join(lines) + "\n"


def _told(result: Result) -> Iterator[str]:
    test = result.test
    word = "FAIL" if result.misses else "ok"
    yield f"{word:<5} {clean(test.name)}  ({clean(str(test.span))})"
    for miss in result.misses:
        yield from _missed(miss)


def _missed(miss: Miss) -> Iterator[str]:
    what = f"rule {clean(miss.rule)}" if miss.rule else "the verdict"
    yield f"      {what}: expected {miss.expected}, got {miss.got}, at {clean(str(miss.span))}"
    outcome = miss.outcome
    if outcome is None:
        return
    yield f"        {clean(outcome.reason)}"
    yield f"        judged by {clean(str(outcome.span))}"
    for step in outcome.proof:
        why = f": {clean(step.reason)}" if step.reason else ""
        yield f"        {'  ' * step.depth}{step.status.name} {clean(step.claim)}{why}"


def junit(results: Sequence[Result]) -> str:
    """Write the results as JUnit XML: a suite for each file, a case for each test."""
    failed = sum(bool(result.misses) for result in results)
    counts = {"tests": str(len(results)), "failures": str(failed), "errors": "0", "skipped": "0"}
    root = ET.Element("testsuites", {"name": "greengate policy tests", **counts})
    for file in dict.fromkeys(result.test.span.file for result in results):
        mine = [result for result in results if result.test.span.file == file]
        bad = sum(bool(result.misses) for result in mine)
        suite = ET.SubElement(root, "testsuite", {"name": clean(file), "tests": str(len(mine)), "failures": str(bad)})
        for result in mine:
            span = result.test.span
            place = {"file": clean(file), "line": str(span.line)}
            case = ET.SubElement(
                suite, "testcase", {"classname": clean(file), "name": clean(result.test.name), **place}
            )
            if result.misses:
                told = "\n".join(line.strip() for miss in result.misses for line in _missed(miss))
                first = result.misses[0]
                message = f"{first.rule or 'the verdict'}: expected {first.expected}, got {first.got}"
                ET.SubElement(case, "failure", {"message": clean(message), "type": "unexpected"}).text = told
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
