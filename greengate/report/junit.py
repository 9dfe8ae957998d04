"""JUnit XML: a suite for each model, a case for each rule; CI servers show it as test results."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from greengate.errors import Span
from greengate.harmless import clean
from greengate.report.facts import facts
from greengate.report.lines import NOWHERE, Checkout, line_of
from greengate.report.steps import addressed
from greengate.report.words import headline, stands_alone
from greengate.verdict import Outcome, Status, Verdict

#: How an outcome that is not a plain pass is told; the others pass, with their reason as output.
_ELEMENTS = {Status.FAIL: "failure", Status.INCONCLUSIVE: "error", Status.DEFERRED: "skipped"}
_COUNTS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def render(verdict: Verdict, checkout: Checkout = NOWHERE) -> str:
    """Write the verdict as JUnit XML."""
    verdict = addressed(verdict)
    alone = stands_alone(verdict) and verdict.status in _ELEMENTS
    counts = _counts([outcome.status for outcome in verdict.outcomes] + [verdict.status] * alone)
    root = ET.Element("testsuites", {"name": "greengate", **counts, "time": f"{verdict.seconds:.3f}"})
    if alone:
        suite = ET.SubElement(root, "testsuite", {"name": "greengate", **_counts([verdict.status])})
        case = ET.SubElement(suite, "testcase", {"classname": "greengate", "name": "verdict"})
        ET.SubElement(case, _ELEMENTS[verdict.status], {"message": headline(verdict)})
    models = dict.fromkeys([model.name for model in verdict.case.models] + [one.model for one in verdict.outcomes])
    for model in models:
        _suite(root, verdict, model, checkout)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, verdict: Verdict, model: str, checkout: Checkout) -> None:
    outcomes = tuple(outcome for outcome in verdict.outcomes if outcome.model == model)
    suite = ET.SubElement(root, "testsuite", {"name": clean(model), **_counts([one.status for one in outcomes])})
    properties = ET.SubElement(suite, "properties")
    for fact in facts(verdict, whole=True):
        if not fact.models or model in fact.models:
            ET.SubElement(properties, "property", {"name": fact.label.lower(), "value": fact.text})
    for outcome in outcomes:
        _case(suite, outcome, line_of(verdict, outcome, checkout))


def _case(suite: ET.Element, outcome: Outcome, span: Span) -> None:
    place = {"file": clean(span.file), "line": str(span.line)}
    case = ET.SubElement(suite, "testcase", {"classname": clean(outcome.model), "name": clean(outcome.rule), **place})
    told = f"{outcome.status.name}: {clean(outcome.reason)}\nat {clean(str(outcome.span))}"
    if outcome.help:
        told += f"\nnext: {clean(outcome.help)}"
    element = _ELEMENTS.get(outcome.status)
    if element is not None:
        found = ET.SubElement(case, element, {"message": clean(outcome.reason)})
        if element != "skipped":
            found.set("type", outcome.status.name.lower())
        found.text = told
    elif outcome.status is not Status.PASS:
        ET.SubElement(case, "system-out").text = told


def _counts(statuses: list[Status]) -> dict[str, str]:
    elements = [_ELEMENTS.get(status) for status in statuses]
    return {"tests": str(len(statuses))} | {name: str(elements.count(kind)) for kind, name in _COUNTS.items()}
