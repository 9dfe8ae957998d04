"""Every export against the other tool's own reader: Prometheus', CycloneDX's, Hugging Face's, csv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import nouns
import pytest
from needs import package

from greengate.judge import judge
from greengate.metrics import METRICS
from greengate.profile import Measurement, Missing
from greengate.report.exports import EXPORTS, MODULES
from greengate.report.exports.sheet import Sheet, of_profile, of_verdict
from greengate.report.exports.table import COLUMNS
from greengate.verdict import Status

GOLDEN = Path(__file__).parent / "golden"

MEASURED: dict[str, Measurement | Missing] = {
    "flops": nouns.exact(5.1e9),
    "size": Measurement(98_700_000.0, "read"),
    "latency_p50": nouns.noisy(0.0101, 0.0100, 0.0103),
    "throughput": Missing("no launch recorded wall", "skipped"),
    "energy_per_1k": Measurement(7200.0, "counter", nouns.noisy(1, 7100.0, 7300.0).interval, 5, "5 windows"),
    "co2e_per_1k": Measurement(0.00096, "estimated", None, 5, "400 g/kWh, a cited table"),
    "quantized_share": nouns.exact(0.25),
    "accuracy": Measurement(0.9, "evaluated", nouns.noisy(1, 0.88, 0.92).interval, 900, "top1 on 900 samples"),
    "accuracy.f1": Measurement(0.8, "declared", None, 1, "f1 of e.json"),
}


def sheet(**more: object) -> Sheet:
    return replace(of_profile(nouns.profile(MEASURED), Status.PASS), **more)  # type: ignore[arg-type]


def test_every_row_of_the_table_has_a_module() -> None:
    for module in MODULES.values():
        assert callable(import_module(f"greengate.report.exports.{module}").render)


@pytest.mark.parametrize("form", EXPORTS)
def test_the_page_as_printed(form: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"export-{form}.out", EXPORTS[form]([sheet()]))


def test_a_verdict_gives_a_sheet_for_each_model_measured() -> None:
    rules = [nouns.rule("size", nouns.limit("max", 50.0))]
    compared = nouns.compared("size", Missing("none"), candidate=nouns.exact(100.0))
    found = of_verdict(judge(nouns.case(rules, {"size": compared}, names=("a", "b"))))
    assert [(one.model.name, one.status, one.measured["size"].value) for one in found] == [
        ("a", Status.FAIL, 100.0),
        ("b", Status.FAIL, 100.0),
    ]


# openmetrics


def families(text: str) -> dict[str, object]:
    parser = package("prometheus_client.openmetrics.parser")
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def test_openmetrics_passes_the_parser_of_prometheus() -> None:
    twin = sheet(model=replace(sheet().model, name='we"ird\\na\nme'), status=Status.FAIL)
    found = families(EXPORTS["openmetrics"]([sheet(), twin]))
    (one, two) = found["greengate_latency_p50_seconds"].samples  # type: ignore[attr-defined]
    assert (one.labels, one.value) == ({"model": "m", "hardware": nouns.HARDWARE.id, "method": "timed"}, 0.0101)
    assert two.labels["model"] == 'we"ird\\na\nme'
    assert [sample.value for sample in found["greengate_latency_p50_low_seconds"].samples] == [0.01, 0.01]  # type: ignore[attr-defined]
    assert found["greengate_co2e_per_1k_grams"].samples[0].value == pytest.approx(0.96)  # type: ignore[attr-defined]
    assert found["greengate_flops"].unit == ""  # type: ignore[attr-defined]
    assert not any("throughput" in name for name in found)
    states = {
        sample.labels["greengate_status"]: sample.value
        for sample in found["greengate_status"].samples  # type: ignore[attr-defined]
        if sample.labels["model"] == "m"
    }
    assert [name for name, value in states.items() if value] == ["pass"]
    assert len(states) == len(Status)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_exported(metric: str) -> None:
    one = sheet(measurements={metric: nouns.noisy(0.5, 0.4, 0.6)})
    (name,) = (
        name
        for name in families(EXPORTS["openmetrics"]([one]))
        if name.startswith(f"greengate_{metric}") and "low" not in name and "high" not in name
    )
    assert name.startswith("greengate_")
    for form in EXPORTS:
        assert metric in EXPORTS[form]([one])


def test_nothing_is_still_a_file_the_parser_reads() -> None:
    assert families(EXPORTS["openmetrics"]([])) == {}


# cyclonedx


def refusals(text: str) -> list[str]:
    package("cyclonedx")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return [] if found is None else [str(found)]


@pytest.mark.parametrize(
    "one",
    [
        sheet(),
        sheet(measurements={}),
        sheet(measurements={"energy_per_1k": Missing("no counter here", "unavailable")}),
        sheet(status=None, model=replace(sheet().model, files=())),
        sheet(model=replace(sheet().model, files=(*nouns.MODEL_FILES, replace(nouns.MODEL_FILES[0], path="w.bin")))),
    ],
)
def test_the_bill_of_materials_is_valid_by_cyclonedx_own_schema(one: Sheet) -> None:
    text = EXPORTS["cyclonedx"]([one, replace(one, model=replace(one.model, name="n"))])
    assert refusals(text) == []


def test_the_validator_would_say_no() -> None:
    broken = json.loads(EXPORTS["cyclonedx"]([sheet()]))
    (consumption,) = broken["components"][0]["modelCard"]["considerations"]["environmentalConsiderations"][
        "energyConsumptions"
    ]
    consumption["activityEnergyCost"]["unit"] = "J"
    assert refusals(json.dumps(broken)) != []


def test_energy_is_per_thousand_inferences_in_kilowatt_hours() -> None:
    (component,) = json.loads(EXPORTS["cyclonedx"]([sheet()]))["components"]
    (found,) = component["modelCard"]["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    assert found["activityEnergyCost"] == {"value": 0.002, "unit": "kWh"}
    assert found["co2CostEquivalent"]["value"] == pytest.approx(9.6e-7)
    assert {"name": "greengate:scope", "value": "per 1000 inferences"} in found["properties"]


def test_energy_that_was_not_measured_says_why() -> None:
    missing = {"energy_per_1k": Missing("no counter here", "unavailable")}
    (component,) = json.loads(EXPORTS["cyclonedx"]([sheet(measurements=missing)]))["components"]
    found = component["modelCard"]["considerations"]["environmentalConsiderations"]
    assert found == {"properties": [{"name": "greengate:energy_per_1k", "value": "not measured: no counter here"}]}


# model card


def test_hugging_face_reads_the_card() -> None:
    hub = package("huggingface_hub")
    card = hub.ModelCard(EXPORTS["model-card"]([sheet()]) + "\n# A model\n")
    assert card.data.co2_eq_emissions["emissions"] == pytest.approx(0.96)
    assert "not of training" in card.data.co2_eq_emissions["source"]
    assert card.data.model_name == "m"
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["latency_p50"] == 0.0101
    assert "throughput" not in results


def test_a_card_without_carbon_claims_none() -> None:
    hub = package("huggingface_hub")
    text = EXPORTS["model-card"]([sheet(measurements={"size": nouns.exact(1.0)})])
    assert "# co2_eq_emissions: not measured: it was not asked for" in text
    assert hub.ModelCard(text).data.get("co2_eq_emissions") is None


# csv


def test_a_table_has_a_row_for_every_number_and_every_gap() -> None:
    rows = list(csv.DictReader(io.StringIO(EXPORTS["csv"]([sheet()]))))
    assert tuple(rows[0]) == COLUMNS
    by_metric = {row["metric"]: row for row in rows}
    assert set(by_metric) == set(MEASURED)
    assert by_metric["latency_p50"]["low"] == "0.01"
    assert (by_metric["throughput"]["value"], by_metric["throughput"]["missing"]) == ("", "no launch recorded wall")


def test_a_spreadsheet_takes_no_text_for_a_formula() -> None:
    evil = sheet(hardware=replace(nouns.HARDWARE, cpu="=1+1,\n"), measurements={"size": Missing("@SUM(1)")})
    (row,) = csv.DictReader(io.StringIO(EXPORTS["csv"]([evil])))
    assert (row["cpu"], row["missing"]) == ("'=1+1,\n", "'@SUM(1)")
