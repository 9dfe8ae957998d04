"""docs/formats.md names every field that the files have, with its unit, and no other."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from pathlib import Path

import nouns
import pytest

from greengate import budget, comparison, errors, point, power, profile, verdict
from greengate.baselines.store import Version
from greengate.calibration import Calibration
from greengate.carbon.record import Record
from greengate.judge import judge
from greengate.metrics import METRICS
from greengate.tasks import machine
from greengate.verdict_file import SI, dump

PAGE = (Path(__file__).parent.parent / "docs" / "formats.md").read_text("utf-8")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def reachable(kind: object) -> set[type]:
    """Return every noun among the fields of a noun, itself included."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        inner = (reachable(hint) for hint in typing.get_type_hints(kind).values())
        return {kind}.union(*inner)
    return set().union(*(reachable(one) for one in typing.get_args(kind)))


NOUNS = {
    kind.__name__: kind
    for whole in (
        *(verdict.Case, verdict.Cost, verdict.Check, point.Point, profile.Profile, profile.Trial, Version),
        *(Calibration, Record),
    )
    for kind in reachable(whole)
}


def section(title: str) -> str:
    start = re.search(rf"^#+ {re.escape(title)}$", PAGE, re.MULTILINE)
    assert start, f"docs/formats.md has no heading {title}"
    rest = PAGE[start.end() :]
    following = HEADING.search(rest)
    return rest[: following.start()] if following else rest


def rows(title: str) -> dict[str, list[str]]:
    """Return the table below a heading: field -> type, unit, meaning."""
    table = {}
    for line in section(title).splitlines():
        if line.startswith("| `"):
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            table[name.strip("`")] = cells
    return table


def test_every_kind_of_file_has_a_row_and_a_section() -> None:
    package = Path(verdict.__file__).parent
    code = "\n".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    kinds = set(re.findall(r'"(greengate\.[a-z]+/\d+)"', code))
    table = dict(re.findall(r"^\| \[`([^`]+)`\]\(#([^)]+)\) \|", PAGE, re.MULTILINE))
    assert set(table) == kinds
    assert all(anchor == kind.replace(".", "").replace("/", "") and section(kind) for kind, anchor in table.items())


def test_every_field_of_a_machine_is_documented() -> None:
    written = json.loads(machine.as_json())
    fields = [item.name for item in dataclasses.fields(profile.Hardware)]
    assert set(written) == {"schema", *fields, *rows("greengate.hardware/1")}


def test_the_nouns_are_found() -> None:
    assert {"Case", "Span", "Limit", "Measurement", "Missing", "Launch", "Version", "WorkerLimits"} <= NOUNS.keys()
    assert {budget.Rule, errors.Span, profile.Interval, comparison.Change} <= set(NOUNS.values())


@pytest.mark.parametrize("name", sorted(NOUNS))
def test_every_field_of_a_noun_is_documented(name: str) -> None:
    assert list(rows(name)) == [item.name for item in dataclasses.fields(NOUNS[name])]


def test_every_field_of_a_verdict_is_documented() -> None:
    judged = judge(nouns.case([nouns.rule("size", nouns.limit("max", 1.0))], {}))
    written = json.loads(dump(dataclasses.replace(judged, cost=verdict.Cost(1.0, profile.Missing("why")))))
    assert list(rows("greengate.verdict/1")) == list(written)
    assert list(rows("A rule")) == list(written["rules"][0])


@pytest.mark.parametrize("name", [*sorted(NOUNS), "greengate.verdict/1", "A rule"])
def test_every_number_with_a_dimension_has_a_unit(name: str) -> None:
    for field, (kind, unit, meaning) in rows(name).items():
        assert meaning
        if kind.startswith("number") and name != "InputSpec":  # what a tensor holds has no unit
            assert re.fullmatch(r"1|s|B|W|J|kg|kg/J|J/B|s/B|the metric's.*", unit), (
                f"{name}.{field} has the unit {unit!r}"
            )


@pytest.mark.parametrize("name", sorted(NOUNS))
def test_the_types_are_those_of_the_nouns(name: str) -> None:
    hints = typing.get_type_hints(NOUNS[name])
    words = {int: "integer", float: "number", str: ("text", "moment"), bool: "true"}
    for field, (kind, _, _) in rows(name).items():
        word = words.get(hints[field])
        if word is not None:
            assert kind.startswith(word), f"{name}.{field} is {hints[field].__name__}, not {kind}"
        if type(None) in typing.get_args(hints[field]):
            assert kind.endswith("null")


def test_every_metric_has_its_unit() -> None:
    table = section("What holds in every file")
    for metric in METRICS.values():
        row = next((line for line in table.splitlines() if f"`{metric.id}`" in line), "")
        assert row.split("|")[2].split()[0] == SI[metric.dimension]


@pytest.mark.parametrize(
    ("noun", "field"),
    [
        (profile.Measurement, "method"),
        (profile.Missing, "kind"),
        (profile.Trial, "ended_by"),
        (power.Domain, "kind"),
        (power.Window, "role"),
        (comparison.Change, "basis"),
        (comparison.Contribution, "kind"),
        (verdict.Context, "place"),
        (budget.Limit, "kind"),
        (budget.Rule, "severity"),
    ],
)
def test_every_word_a_field_may_hold_is_documented(noun: type, field: str) -> None:
    meaning = rows(noun.__name__)[field][2]
    assert {*typing.get_args(typing.get_type_hints(noun)[field])} <= set(re.findall(r"`([^`]+)`", meaning))


def test_every_status_is_documented() -> None:
    assert set(re.findall(r"`(\w+)`", section("Status"))) == {status.name.lower() for status in verdict.Status}


def test_every_link_leads_to_a_heading() -> None:
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(PAGE)}
    assert set(re.findall(r"\(#([^)]+)\)", PAGE)) <= anchors
