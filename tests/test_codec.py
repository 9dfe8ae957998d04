"""Nouns to JSON values and back."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import pytest
from any_noun import any_noun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greengate.codec import CodecError, decode, encode
from greengate.profile import Hardware, Measurement, Missing, Profile, Trial
from greengate.profiler.jobs import Answer, Job
from greengate.verdict import Case, Outcome, Verdict


class Level(IntEnum):
    LOW = 0
    HIGH = 1


@dataclass(frozen=True)
class Leaf:
    size: float
    name: str = ""


@dataclass(frozen=True)
class Other:
    reason: str


@dataclass(frozen=True)
class Noun:
    leaf: Leaf | Other
    leaves: tuple[Leaf, ...]
    by_role: Mapping[Literal["baseline", "candidate"], Leaf]
    level: Level
    day: datetime.date
    count: int
    flag: bool
    note: str | None = None

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("a count is not negative")


def fields(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "leaf": {"size": 1.5, "name": "a"},
        "leaves": [{"size": 2, "name": ""}],
        "by_role": {"baseline": {"size": 0.0, "name": ""}},
        "level": "high",
        "day": "2026-11-23",
        "count": 3,
        "flag": True,
        "note": None,
    }
    return whole | changes


NOUN = Noun(
    leaf=Leaf(1.5, "a"),
    leaves=(Leaf(2.0),),
    by_role={"baseline": Leaf(0.0)},
    level=Level.HIGH,
    day=datetime.date(2026, 11, 23),
    count=3,
    flag=True,
)


def test_a_noun_is_written_field_by_field() -> None:
    assert encode(NOUN) == fields()


def test_fields_make_the_noun_again() -> None:
    assert decode(Noun, fields()) == NOUN


def test_a_whole_number_becomes_a_float_where_one_is_due() -> None:
    assert type(decode(Noun, fields()).leaves[0].size) is float


def test_a_field_with_a_default_may_be_absent() -> None:
    without = {key: value for key, value in fields().items() if key != "note"}
    assert decode(Noun, without) == NOUN


def test_the_kind_of_a_union_is_told_by_its_fields() -> None:
    assert decode(Noun, fields(leaf={"reason": "lost"})).leaf == Other("lost")
    assert isinstance(decode(Measurement | Missing, {"reason": "r", "kind": "failed"}), Missing)  # type: ignore[arg-type]


REFUSED = [
    ("not an object", [], "$", "expected an object"),
    ("unknown field", fields(colour="red"), "$.colour", "is not a known field"),
    ("missing field", {k: v for k, v in fields().items() if k != "leaf"}, "$.leaf", "is missing"),
    ("unknown inner field", fields(leaves=[{"size": 1, "depth": 2}]), "$.leaves[0].depth", "is not a known field"),
    ("missing inner field", fields(leaves=[{"size": 1}, {}]), "$.leaves[1].size", "is missing"),
    ("no kind of a union", fields(leaf={"size": 1, "reason": "both"}), "$.leaf", "is none of Leaf, Other"),
    ("union of no object", fields(leaf=3), "$.leaf", "is none of Leaf, Other"),
    ("object for a list", fields(leaves={}), "$.leaves", "expected a list"),
    ("list for an object", fields(by_role=[]), "$.by_role", "expected an object"),
    ("key outside a literal", fields(by_role={"both": {"size": 1}}), "$.by_role", "'both' is not one of"),
    ("text for a number", fields(leaves=[{"size": "1"}]), "$.leaves[0].size", "expected float, got str"),
    ("bool for a number", fields(leaves=[{"size": True}]), "$.leaves[0].size", "expected float, got bool"),
    ("infinite", fields(leaves=[{"size": math.inf}]), "$.leaves[0].size", "is not a finite number"),
    ("not a number", fields(leaves=[{"size": math.nan}]), "$.leaves[0].size", "is not a finite number"),
    ("too large for a float", fields(leaves=[{"size": 10**400}]), "$.leaves[0].size", "is not a finite number"),
    ("fraction for a count", fields(count=3.0), "$.count", "expected int, got float"),
    ("bool for a count", fields(count=True), "$.count", "expected int, got bool"),
    ("number for a bool", fields(flag=1), "$.flag", "expected bool, got int"),
    ("null for text", fields(leaves=[{"size": 1, "name": None}]), "$.leaves[0].name", "expected str, got NoneType"),
    ("unknown level", fields(level="middle"), "$.level", "'middle' is not a Level"),
    ("number for a level", fields(level=1), "$.level", "expected Level, got int"),
    ("no date", fields(day="2026-13-01"), "$.day", "'2026-13-01' is not a date"),
    ("number for a date", fields(day=20261123), "$.day", "expected date, got int"),
    ("what the noun refuses", fields(count=-1), "$", "a count is not negative"),
]


@pytest.mark.parametrize(("value", "where", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_does_not_fit_is_refused_by_its_place(value: object, where: str, message: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode(Noun, value)
    assert caught.value.where == where
    assert message in caught.value.message


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}, object(), {1: "a"}, {None: 1}, b"x"]
)
def test_what_json_cannot_carry_is_not_written(value: object) -> None:
    with pytest.raises(CodecError) as caught:
        encode(value)
    assert caught.value.where == "$"


def test_a_level_is_written_by_name_and_a_bool_stays_a_bool() -> None:
    assert encode((Level.LOW, True, 1, None)) == ["low", True, 1, None]


@pytest.mark.parametrize("kind", [Noun, Hardware, Profile, Trial, Case, Outcome, Verdict, Job, Answer], ids=str)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_noun_survives_the_way_through_json(kind: type, data: st.DataObject) -> None:
    noun = NOUN if kind is Noun else data.draw(any_noun(kind))
    assert decode(kind, json.loads(json.dumps(encode(noun), allow_nan=False))) == noun


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(noun=any_noun(Trial), data=st.data())
def test_no_required_field_may_be_dropped(noun: Trial, data: st.DataObject) -> None:
    written = encode(noun)
    required = [item.name for item in dataclasses.fields(Trial) if item.name not in ("notes", "looks")]
    gone = data.draw(st.sampled_from(required))
    del written[gone]
    with pytest.raises(CodecError, match=rf"^\$\.{gone}: is missing$"):
        decode(Trial, written)
