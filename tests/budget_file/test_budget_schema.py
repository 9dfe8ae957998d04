"""The JSON schema and the reader agree: on every good and bad file, and on thousands of mutated budgets."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greengate import budget_file, yamlspan
from greengate.budget_file import scores
from greengate.budget_file.check import Findings, check
from greengate.budget_file.format import BUDGET
from greengate.errors import CODES, BudgetError
from greengate.metrics import METRICS

HERE = Path(__file__).parent
GOOD = sorted(HERE.glob("good/*.yaml"))
BAD = sorted(HERE.glob("bad/*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(budget_file.schema(), format_checker=jsonschema.FormatChecker())

#: What is wrong with the text itself, before there is a document to validate.
OF_THE_TEXT = set(list(CODES)[: list(CODES).index("unknown-key")]) - {"unreadable-file", "yaml-too-large"}
#: Bad files that only two places together show to be bad, which a schema cannot see.
UNSEEN = {
    "bad-value-accuracy-kind",
    "bad-value-accuracy-name",
    "bad-value-default-name",
    "bad-value-range",
    "contradictory-limits",
    "contradictory-limits-floor",
    "contradictory-limits-waiver",
    "duplicate-id",
    "duplicate-id-accuracy",
    "duplicate-id-carbon",
    "duplicate-id-model",
    "duplicate-id-waiver",
    "bad-value-gain",
    "bad-value-waiver",
    "bad-value-waiver-days",
    "contradictory-limits-grant",
    "contradictory-limits-nothing",
    "missing-key-gain",
    "missing-key-granted",
    "unknown-unit-gain",
    "unknown-unit-waiver",
    "unknown-metric-accuracy",
    "unmatched-selector",
    "unmatched-selector-approvers",
    "wrong-direction-gain",
    "wrong-direction-named",
}


def data_of(path: Path) -> Any:
    return yamlspan.data(yamlspan.load(path))


def codes(path: Path) -> set[str]:
    with pytest.raises(BudgetError) as caught:
        budget_file.read(path)
    return {item.code for item in caught.value.diagnostics}


@pytest.mark.parametrize(
    ("shared", "name", "title"),
    [(False, "budget", "greengate budget"), (True, "policy", "greengate shared policy")],
)
def test_it_is_a_schema_of_its_draft_and_says_of_what(shared: bool, name: str, title: str) -> None:
    schema = budget_file.schema(shared)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert {key: text for key, text in schema.items() if isinstance(text, str) and key != "type"} == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:greengate:{name}:1",
        "title": title,
        "description": "What a model may cost, and by how much a change may move it.",
    }


def test_every_key_is_described_and_every_mapping_closed() -> None:
    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "object":
                assert "additionalProperties" in part
                assert all("description" in value or "anyOf" in value for value in part.get("properties", {}).values())
            for value in part.values():
                walk(value)
        if isinstance(part, list):
            for value in part:
                walk(value)

    schema = budget_file.schema()
    schema["properties"]["rules"]["items"].pop("allOf")  # the limits once more, by metric
    schema.pop("allOf")  # the names of metrics once more, by models
    walk(schema)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_files_satisfy_it(path: Path) -> None:
    assert list(VALIDATOR.iter_errors(data_of(path))) == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_files_break_it_unless_it_cannot_see(path: Path) -> None:
    try:
        data = data_of(path)
    except yamlspan.YamlError as error:
        assert {item.code for item in error.diagnostics} <= OF_THE_TEXT
        return
    assert VALIDATOR.is_valid(data) is (path.stem in UNSEEN)


def test_the_codes_a_schema_cannot_see() -> None:
    unseen: set[str] = set().union(*(codes(HERE / "bad" / f"{stem}.yaml") for stem in UNSEEN))
    assert unseen == {
        "bad-value",
        "contradictory-limits",
        "duplicate-id",
        "missing-key",
        "percent-of-ratio",
        "unknown-metric",
        "unknown-unit",
        "unmatched-selector",
        "wrong-direction",
    }
    assert {code for path in BAD if path.stem.split("-")[0] in ("yaml", "empty") for code in codes(path)} >= {
        "yaml-tab",
        "yaml-alias",
        "yaml-tag",
    }


# --- mutated budgets ----------------------------------------------------------------------------

VALID: dict[str, Any] = {
    "version": 1,
    "baseline": "auto",
    "workload": {"batch_size": 1, "threads": 2, "seed": 0},
    "worker": {"timeout": "300 s", "memory": "8 GB"},
    "models": [
        {"path": "a.onnx", "accuracy": {"file": "e.json", "key": "f1"}},
        {
            "name": "b",
            "path": "b.onnx",
            "baseline": "file:old.onnx",
            "inputs": {
                "from": "data.npz",
                "x": {"shape": [1, 3], "dtype": "int64", "min": 0, "max": 5},
                "y": {"value": 1},
            },
            "accuracy": {"data": "d.npz", "metric": "top1"},
        },
    ],
    "rules": [
        {"metric": "latency_p95", "max": "45 ms", "max_increase": "5%", "ignore_below": "1 ms"},
        {"id": "compute", "metric": "flops", "max": "3 GFLOP", "severity": "warn", "models": ["a", "b*"]},
        {"id": "q", "metric": "accuracy", "min": 0.9, "max_decrease": "0.2 pp", "ignore_below": "0.1 pp"},
        {
            "metric": "throughput",
            "min": "200/s",
            "max_decrease": "5%",
            "unless": {"accuracy_gain": "1 pp", "approved": True, "max_decrease": "10%"},
        },
        {"metric": "params", "max": 5, "unless": {"accuracy_gain": "1 pp", "evaluated": True, "max": 6}},
        {
            "metric": "size",
            "max_increase": "5%",
            "suspicious_decrease": "60%",
            "on_inconclusive": "warn",
            "unless": {"metric": "latency_p50", "min_decrease": "20%", "max_increase": "15%"},
            "overrides": [{"models": ["b*"], "max": "3 MB", "max_increase": "9%", "severity": "off"}],
        },
    ],
    "on_inconclusive": "fail",
    "max_waiver_days": 90,
    "approvers": [{"who": ["lead@example.org"], "rules": ["q", "s*"], "needed": 2, "four_eyes": True}],
    "waivers": [
        {
            "rule": "q",
            "model": "b",
            "ceiling": 0.8,
            "reason": "because",
            "approved_by": "a@example.org",
            "granted": "2026-11-23",
            "expires": "2027-01-31",
        }
    ],
}

QUANTITIES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "+", "-", " "]),
    st.sampled_from(
        ["0", "5", "0.0", ".5", "5.", "1_000", "1_00", "1e3", "5e-3", "1e999", "99.9", "100", "007", "1,5", "٣"]
    ),
    st.sampled_from(["", " ", "  ", "\u00a0", "\n", "\t"]),
    st.sampled_from(
        ["", "%", "pp", "ms", "s", "µs", "MB", "GFLOP", "GMACs", "/s", "M", "Wh", "g", "parsecs", "ms\n", "MS"]
    ),
)
KEYS = st.sampled_from(
    [
        *(
            "version",
            "models",
            "rules",
            "path",
            "name",
            "from",
            "shape",
            "dtype",
            "value",
            "min",
            "max",
            "file",
            "command",
        ),
        *(
            "data",
            "key",
            "metric",
            "max_increase",
            "max_decrease",
            "ignore_below",
            "unless",
            "id",
            "severity",
            "approved",
        ),
        *("accuracy_gain", "accuracy", "inputs", "baseline", "nonsense", ""),
        *("min_decrease", "min_increase", "per_pp", "evaluated", "suspicious_decrease", "suspicious_increase"),
        *("overrides", "on_inconclusive", "approvers", "granted", "who", "needed", "four_eyes"),
    ]
)
LEAVES = st.one_of(
    QUANTITIES,
    st.sampled_from(list(METRICS)),
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            1,
            -1,
            1.0,
            1.5,
            0.9,
            2**40,
            10**20,
            "",
            " ",
            "a",
            "a b",
            "ä",
            "a\n",
            "../x",
            "auto",
            "file:x",
        ]
    ),
    st.sampled_from(
        ["warn", "off", "int64", "2027-01-31", "2027-02-31", "20270131", "2027-01-31\n", "yes", "f1", ".inf"]
    ),
    st.sampled_from([[], {}, ["a"], [1], [None], {"value": 1}, {"min": 0, "value": 1}, {"from": 5}]),
)


def places(part: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything inside a document."""
    inside = list(part.items()) if isinstance(part, dict) else list(enumerate(part)) if isinstance(part, list) else []
    return [(part, key) for key, _ in inside] + [place for _, value in inside for place in places(value)]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    document = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(0, 4))):
        found = places(document)
        if not found:
            break
        container, key = draw(st.sampled_from(range(len(found))).map(found.__getitem__))
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "swap"])):
            case "replace":
                container[key] = copy.deepcopy(draw(LEAVES))
            case "remove":
                del container[key]
            case "add" if isinstance(container, dict):
                container[draw(KEYS)] = copy.deepcopy(draw(LEAVES))
            case "add":
                container.append(copy.deepcopy(draw(LEAVES)))
            case "swap":
                other, name = draw(st.sampled_from(range(len(found))).map(found.__getitem__))
                container[key] = copy.deepcopy(other[name])
    return document


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_the_reader_and_the_schema_agree(document: Any) -> None:
    # JSON is YAML, so the document reaches the reader as it reached the schema.
    node = yamlspan.parse(json.dumps(document, ensure_ascii=False), "b.yaml")
    assert yamlspan.data(node) == document
    found = Findings(scores=scores.declared(node))
    check(BUDGET, node, "the budget", "version: 1", found)
    wrong = [f"{list(error.path)}: {error.message}" for error in VALIDATOR.iter_errors(document)]
    # Where models name their accuracies, which names those are stands in another place of the file.
    seen = found if wrong or not found.scores else [one for one in found if one.code not in OF_NAMES]
    assert bool(seen) == bool(wrong), f"reader: {found}\nschema: {wrong}"


#: What is wrong with a rule may depend on what kind of number the accuracy is that it names.
OF_NAMES = ("unknown-metric", "wrong-direction", "percent-of-ratio", "unknown-unit", "bad-value")


@pytest.mark.parametrize(
    ("accuracy", "metric", "limit", "flagged"),
    [
        (None, "latncy_p95", {"max": "45 ms"}, True),
        (None, "f1", {"min": 0.5}, True),
        ({"file": "e.json", "key": "f1"}, "latncy_p95", {"max_increase": "5%"}, True),
        ({"file": "e.json", "key": "f1"}, "accuracy.f1", {"min": 0.5}, False),
        ({"file": "e.json", "key": "f1"}, "accuracy.", {"min": 0.5}, True),
        ({"file": "e.json", "key": "f1"}, "accuracy.a b", {"min": 0.5}, True),
        ({"file": "e.json", "key": "f1"}, "accuracy." + 100 * "x", {"min": 0.5}, False),
        ({"file": "e.json", "key": "f1"}, "accuracy." + 101 * "x", {"min": 0.5}, True),
        ({"file": "e.json", "key": "f1"}, "precision.f1", {"min": 0.5}, True),
        ({"file": "e.json", "key": "f1", "name": "f1"}, "f1", {"min": 0.5}, False),
        ([{"file": "e.json", "key": "f1", "name": 100 * "x"}], 100 * "x", {"min": 0.5}, False),
        ([{"file": "e.json", "key": "f1", "name": "f1"}], "latncy_p95", {"max": "45 ms"}, True),
        ([{"file": "e.json", "key": "f1", "name": "f1", "ratio": False}], "f1", {"max_decrease": "5%"}, False),
        ([{"file": "e.json", "key": "f1", "name": "f1"}], "accuracy.f1", {"min": 1.5}, True),
    ],
)
def test_a_metric_that_is_none_is_flagged_by_both(accuracy: Any, metric: str, limit: Any, flagged: bool) -> None:
    model = {"path": "a.onnx"} if accuracy is None else {"path": "a.onnx", "accuracy": accuracy}
    paying = {"metric": "size", "max_increase": "5%", "unless": {"metric": metric, "min_increase": "1 pp"}}
    if flagged and limit == {"min": 0.5}:
        assert not VALIDATOR.is_valid({"version": 1, "models": [model], "rules": [paying]})
    document = {"version": 1, "models": [model], "rules": [{"metric": metric, **limit}]}
    assert VALIDATOR.is_valid(document) is not flagged
    if flagged:
        with pytest.raises(BudgetError):
            budget_file.parse(json.dumps(document), "b.yaml")
    else:
        budget_file.parse(json.dumps(document), "b.yaml")


def test_a_shared_file_names_metrics_and_ids_only() -> None:
    validator = jsonschema.Draft202012Validator(budget_file.schema(shared=True))
    for metric, limit, right in (
        ("latency_p95", {"max": "45 ms"}, True),
        ("accuracy.f1", {"min": 0.5}, True),
        ("latncy_p95", {"max_increase": "5%"}, False),
        ("f1", {"min": 0.5}, False),
    ):
        assert validator.is_valid({"version": 1, "rules": [{"metric": metric, **limit}]}) is right


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_a_budget_is_built_or_refused_whatever_it_says(document: Any) -> None:
    try:
        budget = budget_file.parse(json.dumps(document, ensure_ascii=False), "b.yaml")
    except BudgetError as error:
        assert all(item.help for item in error.diagnostics)
    else:
        assert VALIDATOR.is_valid(document)
        assert [rule.metric for rule in budget.rules] == [rule["metric"] for rule in document["rules"]]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(METRICS)),
    st.sampled_from(
        ["max", "min", "max_increase", "max_decrease", "ignore_below", "suspicious_increase", "suspicious_decrease"]
    ),
    st.one_of(QUANTITIES, st.floats(-2, 2), st.integers(-2, 2)),
)
def test_they_agree_on_every_limit(metric: str, kind: str, value: Any) -> None:
    bound = "max" if METRICS[metric].better == "lower" else "min"
    change = "max_increase" if bound == "max" else "max_decrease"
    size = "0.5 pp" if METRICS[metric].dimension == "ratio" else "5%"
    rule = {"metric": metric, change: size, kind: value}
    document = {"version": 1, "models": [{"path": "a.onnx"}], "rules": [rule]}
    text = json.dumps(document, ensure_ascii=False)
    try:
        budget_file.parse(text, "b.yaml")
    except BudgetError as error:
        assert not VALIDATOR.is_valid(document), str(error)
    else:
        assert VALIDATOR.is_valid(document)


def test_the_mutations_reach_both_verdicts() -> None:
    assert VALIDATOR.is_valid(VALID)
    assert budget_file.parse(json.dumps(VALID), "b.yaml").waivers[0].ceiling == 0.8
