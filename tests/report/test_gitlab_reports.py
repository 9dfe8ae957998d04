"""Code Quality, metrics and dotenv, held against what reads them."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import pytest
import verdicts

from greengate.report import REPORTS
from greengate.verdict import Status, Verdict

SEVERITIES = {"info", "minor", "major", "critical", "blocker"}


def findings(verdict: Verdict) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(REPORTS["codequality"](verdict))
    return found


@pytest.mark.parametrize("story", verdicts.ALL)
def test_every_finding_has_what_gitlab_asks_for(story: str) -> None:
    verdict = verdicts.ALL[story]
    found = findings(verdict)
    # What a change does not touch needs no look.
    assert bool(found) is (verdict.status not in (Status.PASS, Status.TRADED) and story != "unchanged")
    for one in found:
        assert set(one) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert one["severity"] in SEVERITIES
        assert re.fullmatch(r"[0-9a-f]{32}", str(one["fingerprint"]))
        path = one["location"]["path"]  # type: ignore[index]
        assert not path.startswith(("/", "./"))
    prints = [one["fingerprint"] for one in found]
    assert len(set(prints)) == len(prints)


def test_a_finding_that_moves_a_little_is_the_same_finding() -> None:
    before = verdicts.failing()
    moved = replace(before, outcomes=tuple(replace(one, reason=f"{one.reason} and more") for one in before.outcomes))
    assert [one["fingerprint"] for one in findings(before)] == [one["fingerprint"] for one in findings(moved)]
    assert findings(before) != findings(moved)


def gitlab_reads(text: str) -> dict[str, str]:
    """Read as GitLab's Metrics::Generic does: cut at `#`, split as a shell, the first two words count."""
    found = {}
    for line in text.splitlines():
        words = shlex.split(line.split("#")[0])
        if words:
            found[words[0]] = words[1]
    return found


@pytest.mark.parametrize("story", verdicts.ALL)
def test_metrics_are_read_by_prometheus_and_by_gitlab(story: str) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    text = REPORTS["metrics"](verdicts.ALL[story])
    families = list(text_string_to_metric_families(text))
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    assert samples["greengate_status"] == int(verdicts.ALL[story].status)
    read = gitlab_reads(text)
    assert len(read) == sum(len(family.samples) for family in families)
    assert all(float(value) == float(value) for value in read.values())


def test_hostile_names_stay_one_label() -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    for name in ('a b"c#d\\', "x{y}=z", "\n# EOF", "ü"):
        text = REPORTS["metrics"](verdicts.hostile(name))
        assert list(text_string_to_metric_families(text))
        assert text.count("# EOF") == 1
        gitlab_reads(text)


@pytest.mark.parametrize(
    ("verdict", "outcome", "code"),
    [
        (verdicts.passing(), "pass", "0"),
        (verdicts.failing(), "fail", "1"),
        (verdicts.undecided(), None, None),
        (verdicts.mild(), "warn", "0"),
        (verdicts.unbound(), "inconclusive", "3"),
    ],
)
def test_the_variables_say_what_the_exit_code_says(verdict: Verdict, outcome: str | None, code: str | None) -> None:
    text = REPORTS["dotenv"](verdict)
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert list(found) == [f"GREENGATE_{key}" for key in ("OUTCOME", "EXIT_CODE", "VIOLATIONS", "CANDIDATE_DIGEST")]
    assert found["GREENGATE_EXIT_CODE"] == str(int(verdict.exit))
    assert int(found["GREENGATE_VIOLATIONS"]) == sum(one.status is Status.FAIL for one in verdict.outcomes)
    if outcome is not None:
        assert (found["GREENGATE_OUTCOME"], found["GREENGATE_EXIT_CODE"]) == (outcome, code)


def test_no_name_reaches_the_variables() -> None:
    for name in ("$(touch x)", "a\nB=1", "`id`"):
        text = REPORTS["dotenv"](verdicts.hostile(name))
        assert re.fullmatch(r"(GREENGATE_[A-Z_]+=[\w:]*\n){4}", text)
