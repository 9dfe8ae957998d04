"""`greengate.verdict/1`: what is written is what was judged, and only that is read back."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nouns
import pytest
from any_noun import any_noun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greengate.codec import CodecError
from greengate.comparison import Change
from greengate.errors import GreengateError
from greengate.judge import judge
from greengate.metrics import METRICS
from greengate.units import UNITS
from greengate.verdict import Status, Verdict
from greengate.verdict_file import SI, comparison_of, dump, load

GOLDEN = Path(__file__).parent / "report" / "golden"
sys.path.insert(0, str(GOLDEN.parent))
import verdicts  # noqa: E402


def judged() -> Verdict:
    size = nouns.compared("size", Change(0.25, 0.25, 0.25, "exact"), nouns.exact(80.0), nouns.exact(100.0))
    rule = nouns.rule("size", nouns.limit("max_increase", 0.1))
    return replace(judge(nouns.case([rule], {"size": size})), seconds=1.5, greengate="0.1.0")


@pytest.mark.parametrize("verdict", [judged(), *verdicts.ALL.values()], ids=["judged", *verdicts.ALL])
def test_a_verdict_comes_back_the_same(verdict: Verdict) -> None:
    assert load(dump(verdict), "v.json") == verdict


@pytest.mark.parametrize("name", verdicts.HOSTILE, ids=ascii)
def test_hostile_text_comes_back_the_same(name: str) -> None:
    verdict = verdicts.hostile(name)
    text = dump(verdict)
    assert load(text.encode("utf-8").decode("utf-8"), "v.json") == verdict


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(verdict=any_noun(Verdict), metrics=st.lists(st.sampled_from(list(METRICS)), min_size=2, max_size=2))
def test_any_verdict_comes_back_the_same(verdict: Verdict, metrics: list[str]) -> None:
    outcomes = tuple(replace(one, metric=metric) for one, metric in zip(verdict.outcomes, metrics, strict=False))
    verdict = replace(verdict, outcomes=outcomes)
    assert load(dump(verdict), "v.json") == verdict


def test_judging_what_was_read_gives_the_same_outcomes() -> None:
    read = load(dump(judged()), "v.json")
    assert judge(read.case).outcomes == read.outcomes


def test_a_rule_reads_by_itself() -> None:
    rule = json.loads(dump(judged()))["rules"][0]
    assert rule | {"span": None, "checks": None} == {
        "rule": "size",
        "model": "m",
        "metric": "size",
        "status": "fail",
        "limit": "max_increase: 0.1",
        "unit": "B",
        "baseline": {"value": 80.0, "unit": "B", "method": "executed", "interval": None, "samples": 1, "detail": ""},
        "candidate": {"value": 100.0, "unit": "B", "method": "executed", "interval": None, "samples": 1, "detail": ""},
        "change": {
            **{"value": 0.25, "low": 0.25, "high": 0.25, "basis": "exact", "relative": True},
            **{"noise": None, "launches": 0, "seconds": 0.0, "irreducible": 0.0},
        },
        "method": "executed",
        "at": "budgets.yaml:3:5",
        "reason": judged().outcomes[0].reason,
        "help": judged().outcomes[0].help,
        "span": None,
        "checks": None,
        "under": "",
        "proof": [],
    }


def test_what_is_missing_is_never_a_number() -> None:
    rules = {rule["rule"]: rule for rule in json.loads(dump(verdicts.undecided()))["rules"]}
    missing = {
        "missing": verdicts.NO_BASELINE.reason,
        "kind": verdicts.NO_BASELINE.kind,
        "help": verdicts.NO_BASELINE.help,
    }
    assert rules["compute"]["baseline"] == rules["compute"]["change"] == missing
    assert rules["compute"]["candidate"]["value"] == 1.29e9


def test_an_unmeasured_metric_is_missing_on_all_sides() -> None:
    verdict = verdicts.two_models()
    compared = comparison_of(verdict, verdict.outcomes[2])
    assert compared.baseline == compared.candidate == compared.change
    assert json.loads(dump(verdict))["rules"][2]["method"] is None


def test_status_and_exit_are_told_together() -> None:
    told = {(raw["status"], raw["exit"]) for raw in (json.loads(dump(one)) for one in verdicts.ALL.values())}
    assert told == {("pass", 0), ("fail", 1), ("inconclusive", 3), ("warn", 0), ("deferred", 0)}


def test_every_dimension_has_an_si_unit() -> None:
    assert SI.keys() == UNITS.keys()


def test_a_name_that_is_not_utf8_can_be_stored_and_read() -> None:
    verdict = replace(judged(), greengate="bad-\udcff-name é")
    text = dump(verdict)
    assert "bad-\\udcff-name é" in text
    assert load(text.encode().decode(), "v.json") == verdict


def test_a_number_that_is_not_finite_is_not_written() -> None:
    with pytest.raises(CodecError):
        dump(replace(judged(), seconds=math.nan))


def change(path: str, value: object) -> str:
    """Return the judged verdict's text with one place of it changed; a value of ... removes it."""
    raw = json.loads(dump(judged()))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inner: Any = raw
    for step in way:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(raw)


BROKEN = [
    ("empty", "", "it is not JSON, expecting value"),
    ("a list", "[]", "it holds no JSON object"),
    ("no schema", "{}", "its schema is None"),
    ("a later version", change("schema", "greengate.verdict/2"), "this version reads 'greengate.verdict/1'"),
    ("a profile", change("schema", "greengate.profile/1"), "its schema is 'greengate.profile/1'"),
    ("too deep", '{"a":' * 100_000, "nests too deep"),
    ("too long a number", '{"a": ' + "9" * 5000 + "}", "a number too long"),
    ("NaN", change("seconds", math.nan), "$.seconds: is not a finite number"),
    ("no case", change("case", ...), "$.case: is missing"),
    ("no rules", change("rules", ...), "$.rules: is missing"),
    ("rules no list", change("rules", {}), "$.rules: expected a list of objects"),
    ("a rule no object", change("rules.0", "size"), "$.rules: expected a list of objects"),
    ("a rule without status", change("rules.0.status", ...), "$.rules[0].status: is missing"),
    ("an unknown status", change("status", "fine"), "$.status: 'fine' is not a Status"),
    ("an unknown metric", change("rules.0.metric", "beauty"), "'beauty' is no metric of this version"),
    ("an unknown field", change("mood", 1), "$.mood: is not a known field"),
    ("an unknown field of a rule", change("rules.0.mood", 1), "$.rules[0].mood: is not a known field"),
    ("an unknown field of the case", change("case.mood", 1), "$.case.mood: is not a known field"),
    ("another exit", change("exit", 0), "$.exit: contradicts"),
    ("another candidate", change("rules.0.candidate.value", 1.0), "$.rules[0].candidate.value: contradicts"),
    ("another change", change("rules.0.change.high", 0.0), "$.rules[0].change.high: contradicts"),
    ("another limit", change("rules.0.limit", "max: 1"), "$.rules[0].limit: contradicts"),
    ("another place", change("rules.0.at", "x:1:1"), "$.rules[0].at: contradicts"),
    (
        "another case",
        change("case.models.0.comparisons.size.candidate.value", 81.0),
        "$.rules[0].candidate.value: contradicts",
    ),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_verdict_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(GreengateError) as caught:
        load(text, "v.json")
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.code == "profile-invalid"
    assert message in diagnostic.message
    assert diagnostic.span is not None
    assert diagnostic.span.file == "v.json"
    assert diagnostic.help


def test_a_field_that_a_later_version_adds_may_be_absent_in_an_older_file() -> None:
    assert load(change("rules.0.method", ...), "v.json") == judged()


def test_the_message_as_printed(golden: Callable[[Path, str], None]) -> None:
    with pytest.raises(GreengateError) as caught:
        load('{\n  "schema" "greengate.verdict/1"\n}', "v.json")
    golden(GOLDEN / "profile-invalid.txt", str(caught.value))


def test_the_worst_status_decides_the_exit() -> None:
    assert judged().status is Status.FAIL
    assert json.loads(dump(judged()))["exit"] == 1
