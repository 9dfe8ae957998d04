"""Instructions are counted where they are asked for, for both sides, in the time given; end to end on the real tool."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nouns
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from greengate import gate
from greengate.gate import simulating
from greengate.metrics import SIMULATED
from greengate.profile import Measurement, Missing, Profile, Trial
from greengate.profiler.backends import fake
from greengate.profiler.instructions import counting

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
FAKE = "fake: 1\nsize: 10 MB\ninstructions: 250 M\ndata_traffic: 4 MB\n"
Call = tuple[str, frozenset[str], float]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Stand in a folder with two fakes, and note what is counted under valgrind: path, metrics, seconds."""
    monkeypatch.chdir(tmp_path)
    Path("net.fake.yaml").write_text(FAKE)
    Path("old.fake.yaml").write_text(FAKE + "params: 3\n")
    noted: list[Call] = []
    real = counting.simulate

    def simulate(subject, counted, asked, seconds, limits, *, progress):  # type: ignore[no-untyped-def]
        noted.append((Path(subject.path).name, asked, seconds))
        return real(subject, counted, asked, seconds, limits, progress=progress)

    monkeypatch.setattr(simulating.counting, "simulate", simulate)
    return noted


def budget(*rules: str, path: str = "net.fake.yaml") -> None:
    lines = "".join(f"  - {{{rule}}}\n" for rule in rules)
    Path("budgets.yaml").write_text(f"version: 1\nmodels:\n  - {{name: net, path: {path}}}\nrules:\n{lines}")


def check(**asked: object) -> gate.Checked:
    return gate.check(gate.Request(**asked), NOW)  # type: ignore[arg-type]


def sides(found: Profile | Trial) -> list[Measurement | Missing]:
    return (
        [one.measurements["instructions"] for one in (found.baseline, found.candidate)]
        if isinstance(found, Trial)
        else []
    )


def test_nothing_is_counted_that_no_rule_names(calls: list[Call]) -> None:
    budget("metric: size, max: 20 MB")
    found = check(against="file:old.fake.yaml").measured["net"]
    assert not calls
    assert [one.kind for one in sides(found) if isinstance(one, Missing)] == ["skipped", "skipped"]


def test_both_sides_are_counted_each_in_its_half_of_the_time(calls: list[Call]) -> None:
    budget("metric: instructions, max_increase: 5%")
    found = check(against="file:old.fake.yaml", simulation_seconds=40.0).measured["net"]
    asked = frozenset({"instructions"})
    assert calls[0] == ("net.fake.yaml", asked, 20.0)
    assert calls[1] == ("old.fake.yaml", asked, 40.0)  # all that is left, on the fake's clock
    assert all(isinstance(one, Measurement) for one in sides(found))


@pytest.mark.parametrize(("spent", "left"), [(15.0, 25.0), (50.0, 0.0)])
def test_what_the_first_took_is_not_there_for_the_second(
    calls: list[Call], monkeypatch: pytest.MonkeyPatch, spent: float, left: float
) -> None:
    noting = simulating.counting.simulate

    def simulate(*args, progress):  # type: ignore[no-untyped-def]
        found = noting(*args, progress=progress)
        fake._spend(spent)
        return found

    monkeypatch.setattr(simulating.counting, "simulate", simulate)
    budget("metric: instructions, max_increase: 5%")
    check(against="file:old.fake.yaml", simulation_seconds=40.0)
    assert [one[2] for one in calls] == [20.0, pytest.approx(left)]


@pytest.mark.parametrize(
    ("digest", "feed", "after", "same"),
    [
        ("d", "f", "f", True),
        ("other", "f", "f", False),
        ("d", "f", "g", False),
        ("", "f", "f", False),
        ("d", "", "", False),
    ],
)
def test_the_same_bytes_fed_otherwise_are_not_the_same(digest: str, feed: str, after: str, same: bool) -> None:
    before, now = nouns.profile({}), nouns.profile({})
    before = replace(before, model=replace(before.model, digest=digest), workload=replace(before.workload, feed=feed))
    now = replace(now, model=replace(now.model, digest=digest and "d"), workload=replace(now.workload, feed=after))
    ready = SimpleNamespace(counted_before=before, counted=now)
    assert simulating._same(ready) is same  # type: ignore[arg-type]
    assert not simulating._same(SimpleNamespace(counted_before=None, counted=now))  # type: ignore[arg-type]


def test_the_very_same_model_is_counted_once(calls: list[Call]) -> None:
    budget("metric: instructions, max_increase: 5%")
    before, after = sides(check(against="file:net.fake.yaml", simulation_seconds=40.0).measured["net"])
    assert len(calls) == 1
    assert calls[0][2] == 40.0
    assert before == after


def test_beside_a_candidate_without_a_count_the_baseline_is_not_counted(calls: list[Call]) -> None:
    budget("metric: instructions, max_increase: 5%")
    Path("net.fake.yaml").write_text("fake: 1\nno_valgrind: install it\n")
    before, after = sides(check(against="file:old.fake.yaml").measured["net"])
    assert len(calls) == 1
    assert isinstance(after, Missing)
    assert before == after


def test_what_pays_for_a_rule_is_counted_too(calls: list[Call]) -> None:
    budget("metric: size, max_increase: 1%, unless: {metric: data_traffic, min_decrease: 5%, max_increase: 9%}")
    check(against="file:old.fake.yaml")
    assert {one[1] for one in calls} == {frozenset({"data_traffic"})}


def test_static_only_counts_none_unless_asked(calls: list[Call]) -> None:
    budget("metric: instructions, max_increase: 5%")
    check(against="file:old.fake.yaml", static_only=True)
    assert not calls
    request = gate.Request(models=("net",), against="none", static_only=True, simulated=SIMULATED)
    found = gate.profile(request, NOW)
    assert calls[0][1] == frozenset(SIMULATED)
    assert isinstance(found, Profile)
    assert all(isinstance(found.measurements[name], Measurement) for name in SIMULATED)


def test_a_stored_baseline_is_counted_once_for_all_its_rounds(calls: list[Call]) -> None:
    budget("metric: instructions, max_increase: 5%", "metric: latency_p50, max_increase: 5%")
    found = gate.measure_all(gate.Request(), NOW)["net"]
    assert len(calls) == 1
    counted, timed = found.measurements["instructions"], found.measurements["latency_p50"]
    assert isinstance(counted, Measurement)
    assert isinstance(timed, Measurement)
    assert (counted.value, counted.trials, timed.trials) == (250e6 + 125, 1, 3)
    assert found.simulation is not None


# --- with the real tool -------------------------------------------------------------------------


def product(path: str, columns: int) -> None:
    weights = np.random.default_rng(0).standard_normal((64, columns)).astype("float32")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [16, 64])],
        [helper.make_tensor_value_info("y", 1, [16, columns])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.system("valgrind")
def test_a_larger_product_fails_and_its_kernel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    product("old.onnx", 256)
    product("net.onnx", 384)
    budget("metric: instructions, max_increase: 5%", path="net.onnx")
    checked = check(against="file:old.onnx", simulation_seconds=300.0)
    (outcome,) = checked.verdict.outcomes
    assert outcome.status.name == "FAIL", outcome.reason
    (model,) = checked.verdict.case.models
    first, *_ = model.comparisons["instructions"].where
    assert first.share > 0.5
    assert "onnxruntime" in first.path
