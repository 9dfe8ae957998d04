"""A calibration from end to end: made on counters of known truth, then asked for energy where nothing counts it."""

from __future__ import annotations

import datetime
import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greengate import calibration_file, gate
from greengate.calibration import FEWEST, Calibrated, Fit, Gauged
from greengate.compare import compare_trial
from greengate.comparison import Change
from greengate.errors import GreengateError
from greengate.metrics import SIMULATED
from greengate.profile import Measurement, Missing, Trial
from greengate.profiler.calibration_models import MAKERS, SIZES
from greengate.profiler.meters import Absent, Found, Row
from greengate.profiler.trial import silent
from greengate.tasks import calibrate as task
from greengate.verdict import Outcome, Status

NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
TRUE = Fit(1.2e-9, 0.8e-9, 5.0)
RULE = "metric: energy_per_1k, max_increase: 10%, allow_estimated: true"


def fake(name: str, instructions: float, traffic: float, seconds: float, more: str = "") -> str:
    """Write a model that draws what TRUE says."""
    joules = TRUE.joules(instructions, traffic, seconds)
    Path(name).write_text(
        f"fake: 1\ninstructions: {round(instructions)}\ndata_traffic: {round(traffic)} B\n"
        f"latency: {seconds * 1e3!r} ms\nenergy: {joules!r} J\nwindow_noise: 0.3%\n{more}"
    )
    return name


def models(count: int = FEWEST, more: str = "") -> tuple[str, ...]:
    chance = random.Random(7)
    found = []
    for number in range(count):
        instructions, share = 10 ** chance.uniform(6, 8), 10 ** chance.uniform(-2, 0.5)
        seconds = (instructions / 3e9 + share * instructions / 10e9) * chance.uniform(0.97, 1.03)
        found.append(fake(f"m{number}.fake.yaml", instructions, share * instructions, seconds, more))
    return tuple(found)


COEFFICIENTS = ("instruction_joules", "byte_joules", "watts", "instruction_seconds", "byte_seconds")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def calibrated(*paths: str) -> task.Done:
    return task.calibrate(gate.Request(models=paths), NOW, silent)


@pytest.fixture
def known(folder: Path) -> task.Done:
    """A calibration written beside the budget."""
    found = calibrated(*models())
    Path("e.json").write_text(calibration_file.dump(found.calibration))
    return found


def judged(
    factor: float, *, rule: str = RULE, more: str = "meter: absent\n", instructions: float = 1e7, **asked: object
) -> tuple[Outcome, gate.Checked]:
    """Judge a model of `factor` times the work of its baseline on a machine that counts no energy."""
    fake("old.fake.yaml", instructions, instructions / 10, 0.004, more)
    fake("net.fake.yaml", factor * instructions, factor * instructions / 10, 0.004, more + "note: new\n")
    Path("budgets.yaml").write_text(
        "version: 1\nmodels: [{name: net, path: net.fake.yaml}]\nenergy: {calibration: e.json}\n"
        f"rules:\n  - {{{rule}}}\n"
    )
    found = gate.check(gate.Request(against="file:old.fake.yaml", environ={"CI": "true"}, **asked), NOW)  # type: ignore[arg-type]
    return found.verdict.outcomes[0], found


def test_what_counters_say_is_found_again(known: task.Done) -> None:
    fit = known.calibration.fit
    joules = fit.joules(3e7, 3e6, 0.01)
    assert joules == pytest.approx(TRUE.joules(3e7, 3e6, 0.01), rel=0.02)
    assert 0 < known.calibration.error < 0.1
    assert known.calibration.machine == "fake CPU"
    assert known.calibration.counters == ("powercap:package-0",)
    assert len(known.misses) == len(known.calibration.models) == FEWEST
    assert calibration_file.read(Path("e.json"), "e.json") == known.calibration
    told = task.render(known)
    assert "nJ an instruction" in told
    assert told.count("\n  m") == FEWEST
    assert "left out" not in told


def test_an_estimate_says_what_it_is_and_how_far_off_it_may_be(known: task.Done) -> None:
    outcome, found = judged(1.0)
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    energy = trial.candidate.measurements["energy_per_1k"]
    assert isinstance(energy, Measurement)
    assert energy.interval is not None
    error = known.calibration.error
    assert (energy.method, energy.detail) == ("estimated", known.calibration.about)
    assert f"{FEWEST} models, ±{100 * error:.2g} %" in energy.detail
    counts = [trial.candidate.measurements[metric] for metric in SIMULATED]
    values = [one.value for one in counts if isinstance(one, Measurement)]
    assert energy.value == pytest.approx(1000 * known.calibration.fit.joules(*values))
    assert energy.interval.high == pytest.approx(energy.value * (1 + error))
    assert outcome.status is Status.PASS
    case = found.verdict.case.models[0]
    change = case.comparisons["energy_per_1k"].change
    assert isinstance(change, Change)
    assert (change.basis, change.irreducible) == ("counted", pytest.approx(2 * error))
    assert (change.low, change.high) == (pytest.approx(-2 * error), pytest.approx(2 * error))


def test_more_work_fails_without_a_second_look(known: task.Done) -> None:
    outcome, found = judged(1.0 + 0.1 + 3 * known.calibration.error)
    assert outcome.status is Status.FAIL
    assert isinstance(found.measured["net"], Trial)
    assert not found.measured["net"].launches


def test_no_limit_tighter_than_twice_the_error_is_judged_not_even_by_a_large_change(known: task.Done) -> None:
    twice = 200 * known.calibration.error
    tight = RULE.replace("10%", f"{0.99 * twice:.3f}%")
    outcome, _ = judged(2.0, rule=tight)
    assert outcome.status is Status.INCONCLUSIVE
    assert "judges no limit tighter than twice what it may be off" in outcome.reason
    assert judged(2.0, rule=RULE.replace("10%", f"{1.01 * twice:.3f}%"))[0].status is Status.FAIL


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (RULE.replace(", allow_estimated: true", ""), "no counter"),
        ("metric: energy_per_1k, max: 1 Wh, allow_estimated: true", "judged only as a change within one trial"),
    ],
)
def test_it_judges_only_changes_and_only_where_the_rule_allows_it(known: task.Done, rule: str, words: str) -> None:
    outcome, _ = judged(1.0, rule=rule)
    assert outcome.status is Status.INCONCLUSIVE
    assert words in outcome.reason


def test_emissions_follow(known: task.Done) -> None:
    rule = RULE.replace("energy_per_1k", "co2e_per_1k") + "}\ncarbon: {country: FRA"
    outcome, _ = judged(1.5, rule=rule)
    assert outcome.status is Status.FAIL


def test_what_lies_outside_is_refused_and_said(known: task.Done) -> None:
    outcome, found = judged(1.0, instructions=1e10)
    assert outcome.status is Status.INCONCLUSIVE
    assert "says nothing of a model of 1e+10 instructions an inference" in outcome.reason
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    assert isinstance(trial.candidate.measurements["energy_per_1k"], Missing)


def test_a_calibration_says_more_than_a_model_of_processor_time(known: task.Done) -> None:
    _, found = judged(1.0, more="meter: estimated\n")
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    energy = trial.candidate.measurements["energy_per_1k"]
    assert isinstance(energy, Measurement)
    assert energy.detail == known.calibration.about


def test_a_counter_says_more_than_a_calibration(known: task.Done) -> None:
    outcome, found = judged(1.5, more="")
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    energy = trial.candidate.measurements["energy_per_1k"]
    assert isinstance(energy, Measurement)
    assert energy.method == "counter"
    assert trial.candidate.calibrated is None
    assert outcome.status is Status.FAIL


def test_estimates_by_two_calibrations_are_no_change(known: task.Done) -> None:
    _, found = judged(1.0)
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    assert isinstance(compare_trial(trial)["energy_per_1k"].change, Change)
    other = replace(trial, baseline=replace(trial.baseline, calibrated=Calibrated("of another machine", 0.01)))
    assert isinstance(compare_trial(other)["energy_per_1k"].change, Missing)
    none = replace(trial, baseline=replace(trial.baseline, calibrated=None))
    assert isinstance(compare_trial(none)["energy_per_1k"].change, Missing)


def test_a_second_look_at_something_else_leaves_it(known: task.Done) -> None:
    outcome, found = judged(1.0, rule=RULE + "}\n  - {metric: latency_p50, max: 1 ms")
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    assert len(trial.looks) == 2
    assert outcome.status is Status.PASS


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("meter: absent\ninstruction_set: other64\n", "its instruction set was fake64, this one's is other64"),
        ("meter: absent\nno_valgrind: install it\n", "needs instructions: valgrind is not installed"),
    ],
)
def test_what_was_counted_otherwise_does_not_fit(known: task.Done, more: str, words: str) -> None:
    outcome, _ = judged(1.0, more=more)
    assert outcome.status is Status.INCONCLUSIVE
    assert words in outcome.reason


def test_without_time_for_anything_but_exact_metrics_nothing_is_estimated(known: task.Done) -> None:
    outcome, _ = judged(1.0, static_only=True)
    assert "only exact metrics were measured" in outcome.reason


def refusal(folder: Path, *paths: str) -> str:
    with pytest.raises(GreengateError) as caught:
        calibrated(*paths)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "cannot-calibrate"
    return str(diagnostic)


def test_too_few_are_refused(folder: Path, golden) -> None:  # type: ignore[no-untyped-def]
    text = refusal(folder, *models(FEWEST - 1))
    golden(Path(__file__).parent / "golden" / "cannot-calibrate.txt", text + "\n")


def test_a_machine_without_counters_is_told_at_the_first_model(folder: Path) -> None:
    said = refusal(folder, *models(more="meter: absent\n"))
    assert "this machine cannot: no energy_per_1k" in said
    said = refusal(folder, *models(more="meter: estimated\n"))
    assert "energy_per_1k is only estimated here (6 launches x 2 windows: processor time x 4 W" in said


def test_without_models_of_ones_own_it_is_told_before_anything_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    def row(name: str, *domains: object) -> Row:
        found = Found(domains, (Absent(name, "not on this machine"),))  # type: ignore[arg-type]
        meter: Any = SimpleNamespace(discover=lambda: found, close=lambda: closed.append(name))
        return Row(name, "", lambda: meter, estimates=name == "a model")

    monkeypatch.setattr(task, "METERS", {name: row(name) for name in ("nvml", "powercap")} | {"m": row("a model", 1)})
    said = refusal(folder)
    assert "nothing counts energy here: nvml: not on this machine; powercap: not on this machine" in said
    assert closed == ["nvml", "powercap"]
    broken: Any = SimpleNamespace(discover=lambda: 1 // 0, close=lambda: closed.append("amdsmi"))
    monkeypatch.setattr(task, "METERS", {"amdsmi": Row("amdsmi", "", lambda: broken)})
    assert "amdsmi: looking for it failed: ZeroDivisionError" in task._uncounted()
    monkeypatch.setattr(task, "METERS", {"nvml": row("nvml"), "powercap": row("powercap", 1)})
    assert not task._uncounted()


def test_a_model_that_cannot_be_used_is_left_out_by_name(folder: Path) -> None:
    paths = models(FEWEST + 1)
    text = Path(paths[5]).read_text()
    Path(paths[5]).write_text(text + "instruction_set: other64\n")
    found = calibrated(*paths)
    assert len(found.calibration.models) == FEWEST
    assert found.left_out == (
        "m5.fake.yaml: it was counted otherwise than the first model: instruction set was fake64, is other64",
    )
    assert "left out  m5.fake.yaml" in task.render(found)
    assert "20 are needed: m5.fake.yaml: it was counted otherwise" in refusal(folder, *paths[:-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "greengate.profile/1"}, "$.schema: 'greengate.profile/1' is not 'greengate.calibration/1'"),
        ({"models": []}, "it has 0 models, and 20 of two families or more are needed"),
        ({"error": 0}, "its error is not that of its models: 0, where families held out give 0.0"),
        ({"error": 0.001}, "its error is not that of its models: 0.001, where"),
        ({"error": 1e308}, "its error is not that of its models"),
        ({"counters": []}, "it names no counter"),
        ({"fit": dict.fromkeys(COEFFICIENTS, 0.0)}, "its fit is not that of its models: 0 J for m0"),
        ({"fit": dict.fromkeys(COEFFICIENTS, 1e308)}, "its fit is not that of its models: inf J for m0"),
        ({"fit": dict.fromkeys(COEFFICIENTS, -1e-9)}, "a coefficient of its fit is below zero"),
        ({"fit": dict.fromkeys(COEFFICIENTS, 1e999)}, "finite"),
        ({"fit": {}}, "fit"),
    ],
)
def test_a_file_that_is_no_calibration_stops_the_check_at_its_line(
    known: task.Done, change: dict[str, object], words: str
) -> None:
    told = json.loads(Path("e.json").read_text())
    Path("e.json").write_text(json.dumps(told | change))
    with pytest.raises(GreengateError) as caught:
        judged(1.0)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "calibration-invalid"
    assert words in diagnostic.message
    assert diagnostic.span is not None
    assert diagnostic.span.line == 3


def test_a_device_is_no_calibration(folder: Path) -> None:
    Path("e.json").symlink_to("/dev/zero")
    with pytest.raises(GreengateError, match="It is no regular file"):
        judged(1.0)


def test_a_file_that_is_not_there_is_named(folder: Path, golden) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GreengateError) as caught:
        judged(1.0)
    golden(Path(__file__).parent / "golden" / "calibration-invalid.txt", f"{caught.value.diagnostics[0]}\n")


def test_the_own_models_differ_in_size_and_run() -> None:
    import onnxruntime

    assert sum(map(len, SIZES.values())) >= FEWEST
    for family, make in MAKERS.items():
        model = make(min(SIZES[family]))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        import numpy

        (found,) = session.run(None, {given.name: numpy.full(given.shape, 0.5, numpy.float32)})
        assert numpy.isfinite(found).all()
        assert numpy.abs(found).max() > 1e-6, "not a number so small that the processor slows down"
        assert list(SIZES[family]) == sorted(set(SIZES[family]))


def test_points_have_the_units_of_one_inference(known: task.Done) -> None:
    point = next(one for one in known.calibration.models if one.model == "m0")
    assert isinstance(point, Gauged)
    told = Path("m0.fake.yaml").read_text()
    assert f"instructions: {round(point.instructions / (1 + 5e-7))}" in told
    assert f"energy: {point.joules:.1g}"[:10] in told
    assert point.seconds == pytest.approx(float(told.split("latency: ")[1].split(" ms")[0]) / 1e3, rel=0.01)
