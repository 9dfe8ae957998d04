"""Policy tests: what a file says was measured is judged by the real reader and the real judge."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from greengate import budget_file
from greengate.budget import Budget
from greengate.cli import door, output
from greengate.errors import GreengateError
from greengate.profile import Measurement
from greengate.tasks.policy_tests import reading, running, telling

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "tradeoff"
TODAY = datetime.date(2026, 11, 23)
BUDGET = """version: 1
models: [{name: net, path: net.onnx}]
carbon: {intensity: 360 g/kWh, source: grid, year: 2025}
rules:
  - {metric: size, max: 100 MB, max_increase: 10%}
  - {id: tail, metric: latency_p95, max_increase: 10%, ignore_below: 1 ms, max_drift: {limit: 20%, over: 90 d}}
  - {id: rate, metric: throughput, min: 200/s, suspicious_increase: 300%}
  - {id: energy, metric: energy_per_1k, max: 1 Wh, max_increase: 5%, allow_estimated: true}
  - {id: carbon, metric: co2e_per_1k, max: 1 g}
  - {id: quality, metric: accuracy, min: 0.8, max_decrease: 0.5 pp}
  - {id: priced, metric: flops, max_increase: 5%, unless: {accuracy_gain: 1 pp, evaluated: true, approved: true}}
  - {id: idle, metric: macs, max: 1 GMAC, severity: "off"}
approvers: [{who: ["*@example.org"], rules: [priced], four_eyes: true}]
max_waiver_days: 90
waivers:
  - {rule: size, model: net, ceiling: 120 MB, reason: r, approved_by: a, granted: 2026-11-01, expires: 2026-11-23}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "clock", lambda: datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC))
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    (tmp_path / "policy_tests").mkdir()
    return tmp_path


def write(place: Path, text: str, name: str = "a.yaml") -> Path:
    path = place / "policy_tests" / name
    path.write_text(text)
    return path


def results(place: Path, tests: str, budget: Budget | None = None) -> list[running.Result]:
    held = budget or budget_file.read(Path("budgets.yaml"))
    read = reading.read(write(place, f"version: 1\ntests:\n{tests}"), held, TODAY)
    return [running.run(one, held, TODAY) for one in read]


def got(place: Path, measured: str, rule: str, more: str = "") -> str:
    """Return what a rule's outcome is, by expecting what it never is beside what is asked."""
    (one,) = results(place, f"  - {{name: t, measurements: {{{measured}}}, {more} expect: {{{rule}: warn}}}}\n")
    return one.misses[0].got if one.misses else "warn"


@pytest.mark.parametrize(
    ("measured", "rule", "expected"),
    [
        # The candidate alone, a change alone, both sides.
        ("size: 100 MB", "size", "waived"),
        ("size: 121 MB", "size", "fail"),
        ("size: {candidate: 100 MB, change: +10%}", "size", "pass"),
        ("size: {baseline: 90 MB, change: +10%}", "size", "pass"),
        ("size: {baseline: 95 MB, change: +10%}", "size", "waived"),
        ("size: {baseline: 110 MB, change: +10%}", "size", "fail"),
        ("size: {baseline: 90 MB, candidate: 100 MB}", "size", "waived"),
        ("size: +10%", "size", "inconclusive"),
        ("", "size", "inconclusive"),
        ("size: {missing: no file}", "size", "inconclusive"),
        # What is noisy: intervals, noise, and the second look.
        ("latency_p95: {baseline: 40 ms, change: [+8%, +9%]}", "tail", "inconclusive"),  # no version to drift from
        ("latency_p95: {baseline: 40 ms, change: [+8%, +9%], drift: +20%}", "tail", "pass"),
        ("latency_p95: {baseline: 40 ms, change: [+8%, +9%], drift: +21%}", "tail", "fail"),
        ("latency_p95: {baseline: 40 ms, change: [+8%, +12%], drift: 0%}", "tail", "inconclusive"),
        ("latency_p95: {baseline: 40 ms, change: [+11%, +12%], drift: 0%}", "tail", "fail"),
        ("latency_p95: {baseline: 40 ms, change: [+11%, +12%], drift: 0%, confirmed: false}", "tail", "inconclusive"),
        ("latency_p95: {baseline: 40 ms, change: [+11%, +12%], drift: 0%, noise: 15%}", "tail", "inconclusive"),
        ("latency_p95: {baseline: 5 ms, change: [+11%, +12%], drift: 0%}", "tail", "pass"),  # less than a millisecond
        # The change is as wide as both sides make it: +3.6 % to +11 %.
        ("latency_p95: {baseline: [40 ms, 42 ms], candidate: [43.5 ms, 44.4 ms], drift: 0%}", "tail", "inconclusive"),
        ("latency_p95: {baseline: [40 ms, 42 ms], candidate: [43.5 ms, 43.9 ms], drift: 0%}", "tail", "pass"),
        # Where more is better.
        ("throughput: {candidate: 210/s, change: +5%}", "rate", "pass"),
        ("throughput: {candidate: [190/s, 210/s], change: +5%}", "rate", "inconclusive"),
        ("throughput: {candidate: 190/s, change: +5%}", "rate", "fail"),
        ("throughput: {candidate: 900/s, change: +350%}", "rate", "inconclusive"),
        # Energy: counted, estimated, and what becomes of it.
        ("energy_per_1k: {baseline: 0.9 Wh, candidate: 0.9 Wh}", "energy", "pass"),
        ("energy_per_1k: {baseline: 0.9 Wh, candidate: 0.9 Wh, method: estimated}", "energy", "inconclusive"),
        ("energy_per_1k: {baseline: 0.9 Wh, candidate: 2.7 Wh}", "carbon", "pass"),
        ("energy_per_1k: {baseline: 0.9 Wh, candidate: 2.8 Wh}", "carbon", "fail"),
        ("co2e_per_1k: 2 g, energy_per_1k: 1 Wh", "carbon", "fail"),
        # Ratios.
        ("accuracy: {baseline: 0.90, candidate: 0.896}", "quality", "pass"),
        ("accuracy: {baseline: 0.90, candidate: 0.894}", "quality", "fail"),
        ("accuracy: {candidate: 0.9, change: -0.6 pp}", "quality", "fail"),
        ("accuracy: {baseline: 0.81, change: -1.1 pp}", "quality", "fail"),
        ("macs: 2 GMAC", "idle", "unjudged"),
    ],
)
def test_what_a_test_says_was_measured_is_judged_as_a_check_would(
    place: Path, measured: str, rule: str, expected: str
) -> None:
    assert got(place, measured, rule) == expected


GAINED = "flops: +9%, accuracy: {baseline: 0.9, candidate: 0.92}"
YES = "{rule: priced, by: lead@example.org, max_increase: 10%"


@pytest.mark.parametrize(
    ("measured", "more", "expected"),
    [
        (GAINED, "", "fail"),
        (GAINED, f"authors: [dev@example.org], approvals: [{YES}}}],", "traded"),
        (GAINED, f"approvals: [{YES}}}],", "inconclusive"),  # who wrote it is not known
        (GAINED, f"authors: [lead@example.org], approvals: [{YES}}}],", "fail"),
        (GAINED, f"authors: [d], approvals: [{YES.replace('example.org', 'example.com')}}}],", "fail"),
        (GAINED, f"authors: [d], approvals: [{YES.replace('10%', '8%')}}}],", "fail"),
        (GAINED, f"authors: [d], approvals: [{YES}, other_candidate: true}}],", "fail"),
        (GAINED, f"authors: [d], approvals: [{YES}, expires: 2026-11-22}}],", "fail"),
        (GAINED, f"authors: [d], approvals: [{YES}, granted: 2026-11-24}}],", "fail"),
        (GAINED, f"authors: [d], today: 2026-11-24, approvals: [{YES}, granted: 2026-11-24}}],", "traded"),
        (GAINED.replace("0.92}", "0.92, method: declared}"), f"authors: [d], approvals: [{YES}}}],", "fail"),
        (GAINED.replace("0.92", "0.905"), f"authors: [d], approvals: [{YES}}}],", "fail"),
    ],
)
def test_approvals_count_as_in_a_check(place: Path, measured: str, more: str, expected: str) -> None:
    assert got(place, measured, "priced", more) == expected


@pytest.mark.parametrize(
    ("text", "baseline", "candidate"),
    [
        ("accuracy: {candidate: 0.9, change: -0.6 pp}", 0.906, 0.9),
        ("accuracy: {baseline: 0.9, change: -0.6 pp}", 0.9, 0.894),
        ("size: {candidate: 110 MB, change: +10%}", 100e6, 110e6),
        ("size: {baseline: 100 MB, change: +10%}", 100e6, 110e6),
    ],
)
def test_the_side_that_a_test_leaves_out_follows_from_the_change(
    place: Path, text: str, baseline: float, candidate: float
) -> None:
    (one,) = results(place, f"  - {{name: t, measurements: {{{text}}}, expect: {{size: pass}}}}\n")
    (found,) = one.test.comparisons.values()
    assert isinstance(found.baseline, Measurement)
    assert isinstance(found.candidate, Measurement)
    assert (found.baseline.value, found.candidate.value) == pytest.approx((baseline, candidate))


def test_the_day_decides_about_waivers(place: Path) -> None:
    heavy = "size: {baseline: 100 MB, candidate: 118 MB}"
    assert got(place, heavy, "size") == "waived"
    assert got(place, heavy, "size", "today: 2026-11-24,") == "fail"


def test_a_laptop_defers_what_it_cannot_measure(place: Path) -> None:
    gap = "energy_per_1k: {unavailable: no counter}"
    assert got(place, gap, "energy") == "inconclusive"
    assert got(place, gap, "energy", "where: laptop,") == "deferred"


def test_the_machine_is_the_reference_unless_the_test_names_another(place: Path) -> None:
    text = BUDGET + "reference: {hardware: 'AMD EPYC*', runtime: 'onnxruntime 1.3*'}\n"
    (place / "budgets.yaml").write_text(text)
    slow = "throughput: 100/s"
    assert got(place, slow, "rate") == "fail"
    assert got(place, slow, "rate", "hardware: AMD EPYC 7763,") == "fail"
    assert got(place, slow, "rate", "hardware: some laptop,") == "inconclusive"
    assert got(place, slow, "rate", "runtime: onnxruntime 1.32.0,") == "fail"
    assert got(place, slow, "rate", "runtime: onnxruntime 1.22.0,") == "inconclusive"
    assert got(place, slow, "rate", "hardware: AMD EPYC, runtime: onnxruntime 1.22.0,") == "inconclusive"


def test_shared_rules_are_tested_with_their_locks(place: Path) -> None:
    (place / "org.yaml").write_text("version: 1\nrules: [{metric: params, max: 5M, locked: true}]\n")
    loose = "version: 1\nextends: org.yaml\nmodels: [{path: net.onnx}]\nrules: [{metric: params, max: 9M}]\n"
    (place / "budgets.yaml").write_text(loose)
    assert got(place, "params: 6M", "params") == "fail"
    assert got(place, "params: 5M", "params") == "pass"


def test_the_whole_verdict_may_be_expected(place: Path) -> None:
    test = ONE.replace("1 MB", "{baseline: 90 MB, candidate: 90 MB}").replace("pass}}", "pass}, verdict: pass}")
    (one,) = results(place, test)
    assert [(miss.rule, miss.expected, miss.got) for miss in one.misses] == [("", "pass", "inconclusive")]


# --- the command line -------------------------------------------------------------------------------------------------

MIXED = """version: 1
tests:
  - name: small models pass
    measurements: {size: {baseline: 90 MB, candidate: 90 MB}}
    expect: {size: pass}
  - name: more FLOPs are paid for
    measurements: {flops: +9%, accuracy: {baseline: 0.9, candidate: 0.92}}
    expect: {priced: traded, idle: pass}
    verdict: traded
"""


def test_a_failed_test_says_what_was_expected_and_why_it_is_not(
    place: Path, golden: Callable[[Path, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(place, MIXED)
    assert door.run(["test", "--report", "junit=out.xml"]) == 1
    golden(HERE / "golden" / "policy-tests.txt", capsys.readouterr().out)
    root = ET.parse("out.xml").getroot()
    assert root.attrib == {
        "name": "greengate policy tests",
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    (suite,) = root
    assert [(case.get("name"), case.get("line"), len(case)) for case in suite] == [
        ("small models pass", "3", 0),
        ("more FLOPs are paid for", "6", 1),
    ]
    assert suite[1][0].get("message") == "priced: expected traded, got fail"
    assert "nobody approved it" in (suite[1][0].text or "")


def test_tests_that_hold_exit_0(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(
        place, MIXED.replace("priced: traded, idle: pass", "priced: fail, idle: unjudged").replace(": traded", ": fail")
    )
    write(place, "not read: true", "notes.txt")
    for words in ([], [str(file)], ["policy_tests"]):
        assert door.run(["test", *words]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "2 policy tests passed"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["test"], "no-policy-tests"),
        (["test", "policy_tests"], "no-policy-tests"),
        (["test", "absent.yaml"], "unreadable-file"),
        (["test", "-b", "absent.yaml"], "unreadable-file"),
        (["test", "--report", "html=a"], "report-format"),
        (["test", "--report", "junit="], "report-format"),
    ],
)
def test_what_cannot_be_tested_exits_2(
    place: Path, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.run(words) == 2
    assert f"error[{code}]" in capsys.readouterr().err


def test_without_a_folder_of_tests(
    place: Path, golden: Callable[[Path, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "policy_tests").rmdir()
    assert door.run(["test"]) == 2
    golden(HERE / "golden" / "no-policy-tests.txt", capsys.readouterr().err)


ONE = "  - {name: t, measurements: {size: 1 MB}, expect: {size: pass}}\n"


@pytest.mark.parametrize(
    ("tests", "codes"),
    [
        ("  []\n", ["bad-value"]),
        ("  - {name: t}\n", ["missing-key"]),
        ("  - {expect: {size: pass}}\n", ["missing-key"]),
        ("  - {name: t, expect: {}}\n", ["missing-key"]),
        ("  - {name: t, expect: [size]}\n", ["wrong-type"]),
        ("  - {name: t, expect: {sise: pass}}\n", ["unknown-rule"]),
        ("  - {name: t, expect: {size: passed}}\n", ["bad-value"]),
        ("  - {name: t, expect: {size: [pass]}}\n", ["wrong-type"]),
        (ONE.replace("name: t", "name: t, model: nat"), ["unknown-model"]),
        (ONE.replace("name: t", "name: t, colour: red"), ["unknown-key"]),
        (ONE.replace("{size: 1 MB}", "5"), ["wrong-type"]),
        (ONE.replace("size: 1 MB", "sise: 1 MB"), ["unknown-metric"]),
        (ONE.replace("1 MB", "1 parsec"), ["unknown-unit"]),
        (ONE.replace("1 MB", "{}"), ["missing-key"]),
        (ONE.replace("1 MB", "{before: 1 MB}"), ["unknown-key"]),
        (ONE.replace("1 MB", "[1 MB, 2 MB, 3 MB]"), ["wrong-type"]),
        (ONE.replace("1 MB", "[2 MB, 1 MB]"), ["bad-value"]),
        (ONE.replace("1 MB", "{candidate: {a: 1}}"), ["wrong-type"]),
        (ONE.replace("1 MB", "-100%"), ["bad-value"]),
        (ONE.replace("1 MB", "1 pp"), ["unknown-unit"]),
        (ONE.replace("1 MB", "{change: 1%, method: guessed}"), ["bad-value", "missing-key"]),
        (ONE.replace("1 MB", "{change: 1%, method: declared}"), ["missing-key"]),
        (ONE.replace("1 MB", "{candidate: 1 MB, confirmed: maybe}"), ["wrong-type"]),
        (ONE.replace("1 MB", "{missing: [a]}"), ["wrong-type"]),
        (ONE.replace("size: 1 MB", "latency_p95: +3%"), ["missing-key"]),  # its rule has a floor
        (ONE.replace("name: t", "name: t, approvals: [x]"), ["missing-key"]),
        (ONE.replace("name: t", "name: t, approvals: [{rule: sise, by: a, max: 1 MB}]"), ["unknown-rule"]),
        (ONE.replace("name: t", "name: t, approvals: [{rule: size, by: a}]"), ["missing-key"]),
        (ONE.replace("name: t", "name: t, approvals: [{rule: size, max: 1 MB}]"), ["missing-key"]),
        (
            ONE.replace("name: t", "name: t, approvals: [{rule: size, by: a, min: 1 MB}]"),
            ["unknown-key", "missing-key"],
        ),
        (
            ONE.replace("name: t", "name: t, approvals: [{rule: size, by: a, max: 1 MB, max_increase: 1%}]"),
            ["bad-value"],
        ),
        (ONE.replace("name: t", "name: t, today: 2026-02-31"), ["bad-value"]),
    ],
)
def test_mistakes_in_a_test_are_told_in_its_file(place: Path, tests: str, codes: list[str]) -> None:
    with pytest.raises(GreengateError) as caught:
        results(place, tests)
    assert sorted(one.code for one in caught.value.diagnostics) == sorted(codes)
    assert {one.span and one.span.file for one in caught.value.diagnostics} == {str(place / "policy_tests" / "a.yaml")}


def test_mistakes_of_all_files_are_told_at_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place, "version: 2\ntests: []\n")
    write(place, "version: 1\n", "b.yaml")
    assert door.run(["test"]) == 2
    err = capsys.readouterr().err
    assert ("a.yaml:1" in err, "b.yaml:1" in err, "unsupported-version" in err) == (True, True, True)


def test_a_model_must_be_named_where_there_are_several(place: Path) -> None:
    (place / "budgets.yaml").write_text(BUDGET.replace("[{name: net,", "[{path: b.onnx}, {name: net,"))
    with pytest.raises(GreengateError) as caught:
        results(place, ONE)
    assert [one.code for one in caught.value.diagnostics] == ["missing-key"]
    assert not results(
        place, ONE.replace("{name: t,", "{name: t, model: b,").replace("size: pass", "size: inconclusive")
    )[0].misses


# --- what is documented -----------------------------------------------------------------------------------------------


def test_the_tests_of_the_example_hold() -> None:
    budget = budget_file.read(EXAMPLE / "budgets.yaml")
    (file,) = reading.find((), EXAMPLE)
    found = [running.run(one, budget, TODAY) for one in reading.read(file, budget, TODAY)]
    assert len(found) == 10
    assert [miss for one in found for miss in one.misses] == []


def test_the_documented_test_holds(place: Path) -> None:
    page = (HERE.parents[1] / "docs" / "policy.md").read_text("utf-8")
    text = page.split("## Testing a policy")[1].split("```yaml\n")[1].split("```")[0]
    held = (EXAMPLE / "budgets.yaml").read_text()
    (place / "budgets.yaml").write_text(held)
    budget = budget_file.read(Path("budgets.yaml"))
    (one,) = [running.run(one, budget, TODAY) for one in reading.read(write(place, text), budget, TODAY)]
    assert one.misses == ()
    assert telling.render([one]).endswith("1 policy test passed\n")
