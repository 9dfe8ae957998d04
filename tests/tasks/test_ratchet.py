"""Limits proposed from what is met: tighter, never looser, with comments and layout as they were."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nouns import HARDWARE

from greengate import budget_file
from greengate.cli import door
from greengate.comparison import Comparison, FirstLook
from greengate.errors import GreengateError
from greengate.judge import judge
from greengate.metrics import METRICS
from greengate.profile import Interval, Measurement, Method, Missing, Model
from greengate.tasks import ratchet as task
from greengate.tasks import record
from greengate.tasks.ratchet import ratchet, render
from greengate.verdict import Case, Context, ModelCase, Policy, Verdict

HERE = Path(__file__).parent
BUDGET = """# what our models may cost
version: 1
models: [{name: net, path: net.onnx}, {name: big, path: big.onnx}]   # two of them

rules:
  - {metric: size, max: 120 MB, max_increase: 10%}  # a comment
  - id: tail
    metric:   latency_p95
    max: "45 ms"      # quoted
  - {metric: params, max: 60000000, overrides: [{models: [big], max: 300M}]}
  - {metric: throughput, min: 100/s}
  - {id: quality, metric: accuracy, min: 0.8}
  - {metric: flops, max: 9 GFLOP, unless: {accuracy_gain: 1 pp, max: 12 GFLOP}}
waivers:
  - {rule: size, model: net, ceiling: 130 MB, reason: r, approved_by: a, expires: 2027-01-31}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    return tmp_path


def noisy(value: float, half: float, method: Method = "timed") -> Measurement:
    return Measurement(value, method, Interval(value - half, value + half), 500)


MEASURED: dict[str, dict[str, Any]] = {
    "net": {
        "size": Measurement(80_123_456, "read"),
        "latency_p95": noisy(0.030, 0.001),
        "params": Measurement(54_321_987, "read"),
        "throughput": noisy(150, 10),
        "accuracy": Measurement(0.9137, "evaluated"),
        "flops": Measurement(8.95e9, "executed"),
    },
    "big": {
        "size": Measurement(99_000_000, "read"),
        "latency_p95": noisy(0.0333, 0.002),
        "params": Measurement(250_000_001, "read"),
        "throughput": noisy(200, 10),
        "accuracy": Measurement(0.95, "evaluated"),
        "flops": Measurement(7e9, "executed"),
    },
}


def verdict(measured: dict[str, dict[str, Any]] = MEASURED, budget: str = "budgets.yaml") -> Verdict:
    held = budget_file.read(Path(budget))
    none = Missing("no baseline", "incomparable")
    models = []
    for name, found in measured.items():
        compared = {}
        for metric, value in found.items():
            first = FirstLook(value, none) if METRICS[metric].kind == "noisy" else None
            compared[metric] = Comparison(metric, none, value, none, (), first)
        model = Model(name, f"{name}.onnx", "onnx", "sha256:c", ())
        models.append(ModelCase(name, compared, None, model, HARDWARE, None, {}))
    policy = Policy(held.path, held.digest)
    return judge(Case(held, policy, tuple(models), Context("ci", True), datetime.date(2026, 11, 23)))


def changed(metric: str, value: Any, model: str = "net") -> dict[str, dict[str, Any]]:
    return {name: {**found, **({metric: value} if name == model else {})} for name, found in MEASURED.items()}


def texts(found: Any) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for one in found.proposals:
        said.setdefault(one.rule, []).append(one.text)
    return said


def test_limits_are_tightened_to_what_every_model_needs(place: Path, golden: Callable[[Path, str], None]) -> None:
    found = ratchet(verdict())
    assert texts(found) == {
        "size": ["99.0 MB"],
        "tail": ["37.3 ms"],  # 33.3 + 2 + 2
        "params": ["54400000", "251M"],
        "throughput": ["130/s"],  # 150 - 10 - 10
        "quality": ["0.913"],
    }
    golden(HERE / "golden" / "ratchet.txt", render(found))


def test_all_but_the_numbers_stays_as_it_was(place: Path) -> None:
    found = ratchet(verdict())
    expected = BUDGET
    for old, new in [
        ("max: 120 MB", "max: 99.0 MB"),
        ('"45 ms"', '"37.3 ms"'),
        ("60000000", "54400000"),
        ("300M", "251M"),
        ("100/s", "130/s"),
        ("min: 0.8", "min: 0.913"),
    ]:
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert found.after == expected


@pytest.mark.parametrize("before", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_line_ends_and_a_byte_order_mark_stay(place: Path, before: str, mark: str) -> None:
    text = mark + "{version: 1, models: [{path: net.onnx}], rules: [{metric: size, max: 120 MB}]}\n# end"
    (place / "budgets.yaml").write_bytes(text.replace("\n", before).encode())
    found = ratchet(verdict({"net": MEASURED["net"]}))
    assert found.after == text.replace("120", "80.2").replace("\n", before)


def test_what_cannot_be_tightened_says_why(place: Path) -> None:
    (place / "org.yaml").write_text("version: 1\nrules: [{metric: macs, max: 9 GMAC}]\n")
    (place / "budgets.yaml").write_text(f"extends: org.yaml\n{BUDGET}reference: {{hardware: 'Test CPU'}}\n")
    left = ratchet(verdict(changed("flops", Missing("an operator is not understood")))).left
    assert left == (
        "size: max_increase: 10% is left: it compares with the baseline, which `greengate baseline accept` moves",
        "flops: max: 9 GFLOP is left: net: an operator is not understood",
        "macs: max: 9 GMAC is left: it stands in org.yaml, which is shared",
    )


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (changed("size", Measurement(125e6, "read")), "net needs it (125.0 MB)"),
        (changed("size", Measurement(119.5e6, "read")), "net is near it already (119.5 MB)"),
        (changed("latency_p95", Measurement(0.03, "timed")), "net: it is noisy, and nobody knows by how much"),
        (changed("latency_p95", noisy(0.03, 0.001, "estimated")), "net: it is only estimated"),
        (changed("latency_p95", Missing("it crashed")), "net: it crashed"),
        (changed("throughput", noisy(10, 6)), "nothing tighter can be written"),
        ({"net": MEASURED["net"]}, "big was not judged"),
    ],
)
def test_a_limit_is_left_where_a_model_needs_it_or_nobody_knows(place: Path, measured: Any, words: str) -> None:
    assert any(words in line for line in ratchet(verdict(measured)).left)


def test_what_was_measured_off_the_reference_machine_proposes_nothing(place: Path) -> None:
    (place / "budgets.yaml").write_text(BUDGET + "reference: {hardware: 'NVIDIA H200*'}\n")
    found = ratchet(verdict())
    assert "tail" not in texts(found)
    assert "size" in texts(found)
    assert any("tail: max: 45 ms is left: net: the reference hardware is" in line for line in found.left)


def test_the_looser_of_two_looks_counts(place: Path) -> None:
    made = verdict()
    (net, big) = made.case.models
    tail = net.comparisons["latency_p95"]
    slower = replace(tail, first=FirstLook(noisy(0.040, 0.001), tail.change))
    case = replace(made.case, models=(replace(net, comparisons={**net.comparisons, "latency_p95": slower}), big))
    assert texts(ratchet(judge(case)))["tail"] == ["42.0 ms"]


def test_head_room_is_a_share_of_what_was_measured(place: Path) -> None:
    assert texts(ratchet(verdict(), 0.1)) == {
        "size": ["109 MB"],
        "tail": ["40.7 ms"],
        "params": ["276M"],  # 59.8 M would be no news
        "throughput": ["115/s"],
        "quality": ["0.822"],
    }


def test_a_proposal_that_would_change_the_verdict_is_dropped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine, wrong = ratchet(verdict()).proposals[:2]
    wrong = replace(wrong, text="30 ms")  # less than was measured, as a mistake in working it out would have it
    monkeypatch.setattr(task, "_proposals", lambda _case, _headroom: ([fine, wrong], []))
    found = ratchet(verdict())
    assert found.proposals == (fine,)
    assert found.left == ("tail: 45 ms is left, or the verdict would change",)
    assert "45 ms" in found.after


def test_a_budget_that_changed_since_is_refused(place: Path) -> None:
    made = verdict()
    (place / "budgets.yaml").write_text(BUDGET + "# more\n")
    with pytest.raises(GreengateError, match="it was changed since"):
        ratchet(made)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_patch_applies_and_a_second_turn_finds_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record.remember(verdict())
    assert door.run(["ratchet"]) == 0
    said = capsys.readouterr().out
    assert (place / "budgets.yaml").read_text() == BUDGET
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "apply", "--whitespace=nowarn"], input=said.encode(), check=True)
    patched = (place / "budgets.yaml").read_text()
    (place / "budgets.yaml").write_text(BUDGET)
    assert door.run(["ratchet", "--write"]) == 0
    assert (place / "budgets.yaml").read_text() == patched != BUDGET
    capsys.readouterr()
    record.remember(verdict())
    assert door.run(["ratchet"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to tighten"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "verdict-missing"),
        (["--headroom", "lots"], "bad-number"),
        (["--headroom", "5 pp"], "unknown-unit"),
        (["--headroom", "-5%"], "bad-value"),
        (["--headroom", "100%"], "bad-value"),
    ],
)
def test_what_cannot_start(place: Path, words: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["ratchet", *words]) == 2
    assert f"error[{code}]" in capsys.readouterr().err


# --- properties -------------------------------------------------------------------------------------------------------

amounts = st.floats(1e-3, 2.0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.fixed_dictionaries({name: st.tuples(*[amounts] * 6, st.floats(0, 0.2)) for name in MEASURED}),
    st.sampled_from([0.0, 0.05]),
)
def test_a_ratchet_never_loosens_and_never_changes_the_verdict(place: Path, drawn: Any, headroom: float) -> None:
    measured: dict[str, dict[str, Any]] = {}
    for name, (size, tail, params, rate, quality, flops, half) in drawn.items():
        measured[name] = {
            "size": Measurement(size * 1e8, "read"),
            "latency_p95": noisy(tail * 0.04, tail * 0.04 * half),
            "params": Measurement(float(round(params * 1e8)) + 1, "read"),
            "throughput": noisy(rate * 200, rate * 200 * half),
            "accuracy": Measurement(min(1.0, quality), "evaluated"),
            "flops": Measurement(flops * 9e9, "executed"),
        }
    made = verdict(measured)
    found = ratchet(made, headroom)
    after = budget_file.parse(found.after, "budgets.yaml")
    for old, new in zip(made.case.budget.rules, after.rules, strict=True):
        for one, other in zip(old.limits, new.limits, strict=True):
            assert other.value <= one.value if one.upper else other.value >= one.value
    again = judge(replace(made.case, budget=after))
    assert [(one.rule, one.model, one.status) for one in again.outcomes] == [
        (one.rule, one.model, one.status) for one in made.outcomes
    ]
