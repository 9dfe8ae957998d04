"""What the reader makes of every part of a policy: each noun whole, with its place."""

from __future__ import annotations

from typing import Any

import pytest

from greengate import budget_file, intensity
from greengate.budget import Approvers, Budget, Carbon, CarbonBudget, Limit, Override, PowerLog, Rule, TradeOff
from greengate.errors import BudgetError, Span

MODEL = "version: 1\nmodels: [{path: m.onnx}]\n"
RULES = "rules: [{metric: macs, max: 1 MMAC}]\n"
TEXT = """version: 1
models: [{path: m.onnx}]
rules:
  - metric: accuracy
    id: quality
    max_decrease: 0.5 pp
    min: 0.9
    suspicious_increase: 20 pp
    ignore_below: 0.1 pp
    severity: warn
    on_inconclusive: fail
    allow_estimated: true
    models: [m, "m*"]
    overrides:
      - {models: [m], max_decrease: 1 pp, ignore_below: 0.2 pp, severity: fail, on_inconclusive: warn}
      - {models: ["?"], min: 0.8}
    unless: {metric: latency_p50, min_decrease: 20%, max_decrease: 2 pp, approved: true, evaluated: true}
approvers:
  - {who: [a@example.org, "*@example.com"], rules: ["qual*"], needed: 2, four_eyes: true}
  - {who: [b@example.org]}
"""


def read(text: str) -> Budget:
    return budget_file.parse(text, "b.yaml")


def at(found: Any, line: int, column: int) -> Span:
    """Return a span's own text as a whole, once its place is the one that is meant."""
    span: Span = found.span
    assert (span.file, span.line, span.column) == ("b.yaml", line, column)
    return span


def points(kind: str, value: float, text: str, found: Limit) -> Limit:
    return Limit(kind, value, text, found.span, relative=False)  # type: ignore[arg-type]


def test_every_key_of_a_rule_becomes_what_it_says() -> None:
    (rule,) = read(TEXT).rules
    low, drop, rise = rule.limits
    first, second = rule.overrides
    offer = rule.unless
    assert offer is not None
    assert rule == Rule(
        id="quality",
        metric="accuracy",
        limits=(
            Limit("min", 0.9, "0.9", at(low, 7, 10)),
            points("max_decrease", 0.005, "0.5 pp", drop),
            points("suspicious_increase", 0.2, "20 pp", rise),
        ),
        span=at(rule, 4, 5),
        ignore_below=0.001,
        unless=TradeOff(
            metric="latency_p50",
            gain=Limit("min_decrease", 0.2, "20%", offer.gain.span),
            span=at(offer, 17, 13),
            approved=True,
            limits=(points("max_decrease", 0.02, "2 pp", offer.limits[0]),),
            evaluated=True,
        ),
        severity="warn",
        models=("m", "m*"),
        on_inconclusive="fail",
        overrides=(
            Override(
                models=("m",),
                limits=(points("max_decrease", 0.01, "1 pp", first.limits[0]),),
                span=at(first, 15, 9),
                ignore_below=0.002,
                severity="fail",
                on_inconclusive="warn",
            ),
            Override(("?",), (Limit("min", 0.8, "0.8", second.limits[0].span),), at(second, 16, 9)),
        ),
        allow_estimated=True,
    )
    assert (at(drop, 6, 19).source, at(rise, 8, 26).length) == ("    max_decrease: 0.5 pp", 5)


def test_who_may_approve_becomes_what_it_says() -> None:
    first, second = read(TEXT).approvers
    who = ("a@example.org", "*@example.com")
    assert first == Approvers(("qual*",), who, at(first, 19, 5), needed=2, four_eyes=True)
    assert second == Approvers((), ("b@example.org",), at(second, 20, 5), needed=1, four_eyes=False)


@pytest.mark.parametrize(("more", "pue"), [("", 1.0), (", pue: 1.25", 1.25)])
def test_an_intensity_is_that_of_a_country_or_as_written(more: str, pue: float) -> None:
    known = intensity.table()["FRA"]
    found = read(f"{MODEL}{RULES}carbon: {{country: FRA{more}}}\n").carbon
    assert found == Carbon(known.kilograms_a_joule, known.source, at(found, 4, 9), pue)
    text = f"carbon: {{intensity: 50 g/kWh, source: the operator, year: 2025{more}}}\n"
    found = read(f"{MODEL}{RULES}{text}").carbon
    assert found == Carbon(pytest.approx(0.05 / 3.6e6), "the operator, 2025", at(found, 4, 9), pue)


@pytest.mark.parametrize(
    ("more", "records", "estimated"),
    [
        ("", ("training/*.json",), False),
        (", records: [runs/*.json, more.json], allow_estimated: true", ("runs/*.json", "more.json"), True),
    ],
)
def test_a_carbon_budget_counts_the_records_it_names(more: str, records: tuple[str, ...], estimated: bool) -> None:
    found = read(f"{MODEL}{RULES}carbon_budget: {{max: 50 kg, period: 2026-Q4{more}}}\n").carbon_budget
    assert found is not None
    limit = Limit("max", 50.0, "50 kg", at(found.limit, 4, 22))
    assert found == CarbonBudget(limit, "2026-Q4", at(found, 4, 16), records, estimated)


@pytest.mark.parametrize(
    ("more", "offset"),
    [
        ("", 0.0),
        (", clock_offset: -1.5 s", -1.5),
        (", clock_offset: 200 ms", 0.2),
        (", clock_offset: 0 s", 0.0),
    ],
)
def test_a_power_log_is_read_with_its_clock(more: str, offset: float) -> None:
    found = read(f"{MODEL}{RULES}energy: {{power_log: meter.csv{more}}}\n").power_log
    assert found == PowerLog("meter.csv", at(found, 4, 21), offset)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("{country: FRB}", "did you mean `SRB`? write `intensity`, `source` and `year` instead"),
        ("{country: ZZZ}", "write `intensity`, `source` and `year` instead"),
        ("{country: FRA, pue: 0.99}", "write for example `1.2`"),
        ("{country: FRA, pue: 10.1}", "write for example `1.2`"),
    ],
)
def test_a_country_or_a_pue_that_nobody_knows_says_what_to_write(more: str, told: str) -> None:
    with pytest.raises(BudgetError) as caught:
        read(f"{MODEL}{RULES}carbon: {more}\n")
    assert [(one.code, one.help) for one in caught.value.diagnostics] == [("bad-value", told)]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("56 kg/kWh", "no grid emits 56 kg/kWh"),
        ("0.001 g/kWh", "no grid emits 0.001 g/kWh"),
        ("2 kg/kWh, pue: 8", "no grid emits 2 kg/kWh, with a PUE of 8"),
        ("0.01 g/kWh", ""),
        ("10 kg/kWh", ""),
        ("2 kg/kWh, pue: 5", ""),
    ],
)
def test_an_intensity_that_cannot_be_is_a_mistaken_unit(written: str, told: str) -> None:
    """A record made with it would be none."""
    text = f"{MODEL}{RULES}carbon: {{intensity: {written}, source: the operator, year: 2025}}\n"
    if not told:
        assert read(text).carbon is not None
        return
    with pytest.raises(BudgetError) as caught:
        read(text)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("bad-value", told)
    assert found.help.startswith("write what the grid emits a kWh, such as `56 g/kWh`")


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        ("metric: latency_p50, min_decrease: 0%", "'0%' is not more than zero"),
        ("metric: latency_p50, min_decrease: 100%", "'100%' allows everything"),
        ("metric: accuracy, min_increase: 0 pp", "'0 pp' is not more than zero"),
        ("metric: accuracy, min_increase: 100 pp", "'100 pp' allows everything"),
    ],
)
def test_a_gain_that_asks_nothing_or_cannot_be_is_refused(gain: str, told: str) -> None:
    with pytest.raises(BudgetError) as caught:
        read(f"{MODEL}rules: [{{metric: macs, max_increase: 5%, unless: {{{gain}}}}}]\n")
    assert [(one.code, one.message) for one in caught.value.diagnostics] == [("bad-value", told)]


def test_an_override_for_a_model_that_is_not_there_is_told_where_it_stands() -> None:
    with pytest.raises(BudgetError) as caught:
        read(f"{MODEL}rules: [{{metric: size, max: 1 MB, overrides: [{{models: [nope], max: 2 MB}}]}}]\n")
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("unmatched-selector", "'nope' matches no model")


def test_what_grows_may_be_asked_to_double() -> None:
    paid = "{metric: macs, max_increase: 5%, unless: {metric: throughput, min_increase: 150%, max_increase: 9%}}"
    (rule,) = read(f"{MODEL}rules: [{paid}]\n").rules
    assert rule.unless is not None
    assert (rule.unless.gain.kind, rule.unless.gain.value) == ("min_increase", 1.5)


@pytest.mark.parametrize("path", ["m.onnx", "m.pt", "m.jit", "m.pt2"])
def test_only_a_language_model_generates(path: str) -> None:
    with pytest.raises(BudgetError) as caught:
        read(f"version: 1\nmodels: [{{path: {path}, generate: {{prompt_tokens: 8, new_tokens: 8}}}}]\n{RULES}")
    what = "language models, made by code or in a folder with config.json"
    assert [(one.code, one.message, one.help) for one in caught.value.diagnostics] == [
        ("bad-value", f"`generate` is for {what}, and '{path}' is none", "remove `generate`, or check the `path`")
    ]
