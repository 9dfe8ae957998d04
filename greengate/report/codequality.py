"""GitLab's Code Quality report: one finding for each outcome that needs a look, on the budget's line."""

from __future__ import annotations

import hashlib
import json

from greengate.harmless import clean
from greengate.report.facts import place_text
from greengate.report.lines import NOWHERE, Checkout, from_root, is_own, line_of
from greengate.report.steps import addressed
from greengate.report.words import headline, is_unchanged, stands_alone, worst_first
from greengate.verdict import Outcome, Status, Verdict

_SEVERITIES = {
    Status.FAIL: "critical",
    Status.INCONCLUSIVE: "major",
    Status.WARN: "minor",
    Status.WAIVED: "info",
    Status.DEFERRED: "info",
}


def render(verdict: Verdict, checkout: Checkout = NOWHERE) -> str:
    """Write the findings as JSON, worst first; an empty list where every rule passed."""
    verdict = addressed(verdict)
    told = (one for one in worst_first(verdict) if one.status in _SEVERITIES and not is_unchanged(one, verdict))
    found = [_finding(outcome, verdict, checkout) for outcome in told]
    if stands_alone(verdict) and verdict.status in _SEVERITIES:
        path = from_root(verdict.case.budget.path, checkout)
        whole = _entry("verdict", headline(verdict), verdict.status, path=path, line=1, identity="verdict")
        found.insert(0, whole)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _finding(outcome: Outcome, verdict: Verdict, checkout: Checkout) -> dict[str, object]:
    at = "" if is_own(verdict, outcome.span) else f"by {place_text(verdict.case, outcome.span)}"
    said = "; ".join(part for part in (outcome.reason, at, outcome.help) if part)
    told = f"{outcome.rule} of {outcome.model}: {said}"
    # No number goes into the fingerprint: a finding that moves a little is the same finding.
    identity = "\0".join((outcome.model, outcome.metric, outcome.rule))
    span = line_of(verdict, outcome, checkout)
    return _entry(outcome.rule, told, outcome.status, path=span.file, line=span.line, identity=identity)


def _entry(rule: str, told: str, status: Status, *, path: str, line: int, identity: str) -> dict[str, object]:
    return {
        "description": clean(f"{status.name} {told}"),
        "check_name": clean(f"greengate/{rule}"),
        "fingerprint": hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        "severity": _SEVERITIES[status],
        "location": {"path": clean(path).removeprefix("./"), "lines": {"begin": line}},
    }
