"""Recorded verdicts: appended by several jobs at once, read back as they were, and edits found."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import nouns
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import Repository, unprivileged
from test_store import accept, profile

from greengate.baselines import store
from greengate.baselines.branch import open_
from greengate.baselines.place import Directory, Place
from greengate.baselines.points import append, of_verdict, of_version, recorded
from greengate.errors import BaselineError, ReportError
from greengate.judge import judge
from greengate.point import Point
from greengate.stats import change_points
from greengate.verdict import Status

NOW = datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)


def point(days: int = 0, size: float = 100.0, name: str = "m") -> Point:
    rules = [nouns.rule("size", nouns.limit("max", 150.0))]
    compared = nouns.compared("size", nouns.compared("size", None).change, candidate=nouns.exact(size))  # type: ignore[arg-type]
    verdict = judge(nouns.case(rules, {"size": compared}, names=(name,)))
    (made,) = of_verdict(verdict, NOW + datetime.timedelta(days=days), "c" * 40)
    return made


@pytest.fixture(params=["folder", "branch"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Directory(tmp_path / "store")
    repo = Repository(tmp_path / "repo")
    repo.commit({"m.onnx": "x"})
    return open_("history", repo.folder)


def test_a_point_says_what_was_judged() -> None:
    made = point(size=200.0)
    assert (made.status, made.at, made.commit) == (Status.FAIL, "2026-11-23T09:30:00Z", "c" * 40)
    assert made.hardware == nouns.HARDWARE.id
    assert made.measurements["size"] == nouns.exact(200.0)
    assert point(size=100.0).status is Status.PASS


def test_points_come_back_in_their_order_and_the_same_one_twice_is_one(place: Place) -> None:
    for days in (2, 0, 1, 0):
        append(place, point(days))
    append(place, point(name="other"))
    assert recorded(place, "m") == (point(0), point(1), point(2))
    assert recorded(place, "absent") == ()


def test_points_lie_beside_versions_and_neither_disturbs_the_other(tmp_path: Path) -> None:
    accept(tmp_path)
    append(Directory(tmp_path), point())
    assert len(store.history(tmp_path, "m")) == 1
    assert store.models(tmp_path) == ("m",)
    append(Directory(tmp_path), point(name="only-verdicts"))
    assert store.models(tmp_path) == ("m",)
    assert of_version(accept(tmp_path)).version == 2
    assert of_version(accept(tmp_path, profile())).measurements == profile().measurements


def test_an_edit_and_a_later_format_are_found(tmp_path: Path) -> None:
    append(Directory(tmp_path), point())
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text().replace("100.0", "99.0"))
    with pytest.raises(BaselineError, match="its name is not its digest"):
        recorded(Directory(tmp_path), "m")
    path.unlink()
    later = dataclasses.replace(point(), at="2026-11-24T00:00:00Z")
    append(Directory(tmp_path), later)
    (path,) = tmp_path.rglob("*.json")
    text = path.read_text().replace("greengate.point/1", "greengate.point/2")
    import hashlib

    path.with_name(f"{path.name[:17]}{hashlib.sha256(text.encode()).hexdigest()[:12]}.json").write_text(text)
    path.unlink()
    with pytest.raises(BaselineError, match=r"the schema 'greengate\.point/2'"):
        recorded(Directory(tmp_path), "m")


def test_a_store_that_may_not_be_written_is_an_error_and_nothing_is_left() -> None:
    with unprivileged() as root:
        (root / "store").mkdir(mode=0o500)
        with pytest.raises(ReportError, match=r"cannot-write"):
            append(Directory(root / "store"), point())
        assert list((root / "store").iterdir()) == []


# level changes


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], ()),
        ([1.0], ()),
        ([1.0, 1.0], ()),
        ([1.0, 2.0], ()),  # one step cannot be told from noise of that size
        ([1.0, 1.0, 1.0, 2.0], (3,)),
        ([1.0, 1.0, 2.0, 2.0, 1.0, 1.0], (2, 4)),
        ([0.00, 0.01, -0.01, 0.01, 1.00, 1.01, 0.99, 1.0], (4,)),
        ([0.00, 0.01, -0.01, 0.01, 0.00, 0.01, -0.01], ()),
    ],
)
def test_levels(values: list[float], found: tuple[int, ...]) -> None:
    assert change_points(values) == found


@given(st.lists(st.floats(-1e3, 1e3), max_size=25), st.floats(-100, 100))
def test_levels_do_not_depend_on_where_the_series_lies(values: list[float], shift: float) -> None:
    rounded = [round(value, 3) for value in values]
    found = change_points(rounded)
    assert all(0 < place < len(values) for place in found)
    assert list(found) == sorted(set(found))
    assert len(change_points([value + round(shift) for value in rounded])) == len(found) or len(set(rounded)) > 1


@given(st.integers(2, 12), st.integers(2, 12), st.floats(5, 100))
def test_one_clear_step_is_found_where_it_is(before: int, after: int, height: float) -> None:
    wiggle = [0.01, -0.01]
    values = [wiggle[index % 2] for index in range(before)] + [height + wiggle[index % 2] for index in range(after)]
    assert change_points(values) == (before,)
