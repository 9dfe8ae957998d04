"""The verdict in a few variables, for the steps and jobs that follow: GitLab's dotenv report, GitHub's outputs."""

from __future__ import annotations

import re

from greengate.errors import Exit
from greengate.report.words import judged
from greengate.verdict import Status, Verdict

_OUTCOMES = {Exit.PASS: "pass", Exit.FAIL: "fail", Exit.INCONCLUSIVE: "inconclusive"}
_DIGEST = re.compile(r"[\w:]*")


def render(verdict: Verdict) -> str:
    """Write KEY=VALUE lines; no value holds anything that a shell would act on.

    The digest is the candidate's where there is one model, else empty.
    """
    digests = [model.candidate.digest for model in verdict.case.models if model.candidate is not None]
    digest = digests[0] if len(digests) == 1 and _DIGEST.fullmatch(digests[0]) else ""
    # Nothing was judged: that is no pass for whoever goes on from here.
    idle = bool(verdict.outcomes) and not judged(verdict)
    warned = verdict.exit is Exit.PASS and verdict.status is Status.WARN
    values = {
        "OUTCOME": "unchanged" if idle else "warn" if warned else _OUTCOMES.get(verdict.exit, "error"),
        "EXIT_CODE": str(int(verdict.exit)),
        "VIOLATIONS": str(sum(outcome.status is Status.FAIL for outcome in verdict.outcomes)),
        "CANDIDATE_DIGEST": digest,
    }
    return "".join(f"GREENGATE_{key}={value}\n" for key, value in values.items())
