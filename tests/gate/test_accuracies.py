"""Several accuracies of one model, those of stored baselines, and those that other jobs took."""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
import sys
from pathlib import Path

import pytest
from repository import Repository

from greengate import codec, gate, profile_file
from greengate.cli import door, output
from greengate.comparison import Change, Comparison
from greengate.errors import GreengateError
from greengate.profile import Measurement, Missing, Profile, Trial
from greengate.verdict import Verdict

NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
DIGITS = Path(__file__).parent.parent.parent / "examples" / "digits"
TWO = "[{data: val.npz, metric: top1}, {name: rare, data: rare.npz, metric: top1}]"
RULES = ("metric: accuracy, max_decrease: 1 pp", "metric: rare, max_decrease: 1 pp")


def fake(hits: str, more: str = "") -> str:
    return (
        "fake: 1\nsize: 10 MB\nparams: 2.5 M\nmacs: 300 MMAC\nactivation_memory: 4 MB\nlatency: 10 ms\n"
        f"hits: {hits}\n{more}"
    )


def budget(sources: str, *rules: str, path: str = "net.fake.yaml", more: str = "") -> str:
    lines = "".join(f"  - {{{rule}}}\n" for rule in rules)
    return f"version: 1\nmodels:\n  - {{name: net, path: {path}, accuracy: {sources}}}\nrules:\n{lines}{more}"


def judged(folder: Path, **more: object) -> Verdict:
    request = gate.Request(static_only=True, **more)  # type: ignore[arg-type]
    with contextlib.chdir(folder):
        return gate.check(request, NOW).verdict


def found(verdict: Verdict, metric: str) -> Comparison:
    return verdict.case.models[0].comparisons[metric]


def change(verdict: Verdict, metric: str) -> Change:
    answer = found(verdict, metric).change
    assert isinstance(answer, Change), answer
    return answer


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with two accuracies, each on its own data, and a slightly better version of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "clock", lambda: NOW)
    monkeypatch.setattr(output, "environment", dict)
    (tmp_path / "budgets.yaml").write_text(budget(TWO, *RULES))
    (tmp_path / "old.fake.yaml").write_text(fake("900/1000, rare 40/100"))
    (tmp_path / "net.fake.yaml").write_text(fake("900/1000, rare 40/100"))
    (tmp_path / "val.npz").write_bytes(b"a thousand images")
    (tmp_path / "rare.npz").write_bytes(b"a hundred rare ones")
    return tmp_path


BETTER = fake("950/1000, rare 60/100")


def run(*words: str) -> int:
    return door.run(list(words))


# --- several ----------------------------------------------------------------------------------------------------------


def test_each_accuracy_has_its_own_data_and_both_are_paired(place: Path) -> None:
    (place / "net.fake.yaml").write_text(BETTER)
    verdict = judged(place, against="file:old.fake.yaml")
    for metric, gain, samples in (("accuracy", 0.05, 1000), ("accuracy.rare", 0.2, 100)):
        assert change(verdict, metric).value == pytest.approx(gain)
        assert change(verdict, metric).basis == "paired"
        candidate = found(verdict, metric).candidate
        assert isinstance(candidate, Measurement)
        assert (candidate.method, candidate.samples) == ("evaluated", samples)


@pytest.mark.parametrize("model", ["candidates/slimmer.onnx"])
def test_real_networks_are_scored_in_two_ways_on_the_same_images(tmp_path: Path, model: str) -> None:
    for name in ("models/digits.onnx", model, "heldout.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(DIGITS / name, tmp_path / name)
    sources = "[{name: top1, data: heldout.npz, metric: top1}, {name: f1, data: heldout.npz, metric: f1}]"
    rules = ("metric: top1, min: 0.5", "metric: f1, min: 0.5")
    (tmp_path / "budgets.yaml").write_text(budget(sources, *rules, path=model))
    verdict = judged(tmp_path, against="file:models/digits.onnx")
    assert {change(verdict, f"accuracy.{name}").basis for name in ("top1", "f1")} == {"paired"}
    assert change(verdict, "accuracy.top1").value != change(verdict, "accuracy.f1").value
    assert found(verdict, "accuracy").candidate == found(verdict, "error").candidate or isinstance(
        found(verdict, "accuracy").candidate, Missing
    )


def test_one_command_tells_several_figures_and_runs_once_a_model(place: Path) -> None:
    script = "import json, pathlib, sys\nlog = pathlib.Path('ran')\n"
    script += "log.write_text((log.read_text() if log.exists() else '') + 'x')\n"
    script += "print(json.dumps({'f1': 0.9, 'wer': 0.1, 'psnr': 33.0, 'n': 400}))\n"
    (place / "eval.py").write_text(script)
    command = f"command: '{sys.executable} eval.py {{model}}'"
    sources = f"[{{name: f1, {command}, key: f1}}, {{name: wer, {command}, key: wer, better: lower}},"
    sources += f" {{name: psnr, {command}, key: psnr, ratio: false}}]"
    rules = ("metric: f1, min: 0.85", "metric: wer, max: 0.2", "metric: psnr, min: 30, max_decrease: 1%")
    (place / "budgets.yaml").write_text(budget(sources, *rules))
    verdict = judged(place, against="file:old.fake.yaml")
    assert verdict.exit == 0
    assert (place / "ran").read_text() == "xx"
    assert set(verdict.case.models[0].comparisons) >= {"accuracy.f1", "error_rate.wer", "score.psnr"}
    assert not change(verdict, "error_rate.wer").relative
    assert change(verdict, "score.psnr").relative
    lower = found(verdict, "error_rate.wer").candidate
    assert isinstance(lower, Measurement)
    assert lower.interval is not None
    psnr = found(verdict, "score.psnr").candidate
    assert isinstance(psnr, Measurement)
    assert psnr.interval is None, "n says nothing of a number that is no share"


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"a": {"f1": 0.9}, "n": 0}, "no whole number of samples"),
        ({"a": {"f1": 0.9, "n": 1e300}}, "no whole number of samples"),
        ({"a": {"f1": 0.9, "n": 10**400}}, "no whole number of samples"),
        ({"a": {"f1": 10**400}}, "has no number"),
        ({"a": {"f1": -0.1}}, "is no ratio"),
        ({"a": {"f1": 0.1, "model_sha256": "0" * 64}}, "about another model"),
        ({"a": {"f1": 0.1}, "model_sha256": 5}, "about another model"),
        ({"a": [{"f1": 0.1}]}, "has no number"),
    ],
)
def test_a_nested_figure_is_held_to_what_stands_around_it(place: Path, figures: object, words: str) -> None:
    (place / "e.json").write_text(json.dumps(figures))
    (place / "budgets.yaml").write_text(
        budget("{name: wer, file: e.json, key: a.f1, better: lower}", "metric: wer, max: 0.5")
    )
    with pytest.raises(GreengateError, match=words):
        judged(place, against="none")


def test_every_source_at_fault_is_told_before_anything_is_timed(place: Path) -> None:
    sources = "[{name: a, file: no.json, key: a}, {name: b, command: 'no-such-program', key: b}]"
    (place / "budgets.yaml").write_text(budget(sources, "metric: a, min: 0.1", "metric: latency_p50, max: 1 s"))
    with pytest.raises(GreengateError) as caught:
        judged(place, against="none")
    assert [one.code for one in caught.value.diagnostics] == ["accuracy-source"] * 2


# --- stored -----------------------------------------------------------------------------------------------------------


def accepted(place: Path) -> None:
    """Accept the old version, then change the model, so that only its numbers are left."""
    assert run("baseline", "accept", "--max-seconds", "3", "--reason", "first") == 0
    (place / "net.fake.yaml").write_text(BETTER)


def test_a_stored_baseline_holds_its_accuracies_but_not_the_samples(place: Path) -> None:
    accepted(place)
    (stored,) = (place / ".greengate").rglob("*0001*.json")
    profile = codec.decode(Profile, json.loads(stored.read_text())["profile"])
    assert profile.answers["accuracy.rare"].data.startswith("sha256:")
    assert not profile.answers["accuracy.rare"].columns
    verdict = judged(place)
    baseline = found(verdict, "accuracy.rare").baseline
    assert isinstance(baseline, Measurement)
    assert (baseline.value, baseline.method, baseline.samples) == (0.4, "evaluated", 100)
    answer = change(verdict, "accuracy.rare")
    assert (answer.value, answer.basis) == (pytest.approx(0.2), "stored")
    # Newcombe's interval of 60 of 100 less 40 of 100, as statsmodels has it.
    assert (answer.low, answer.high) == (pytest.approx(0.0605, abs=1e-3), pytest.approx(0.3281, abs=1e-3))


def test_a_stored_accuracy_on_other_data_is_not_compared(place: Path) -> None:
    accepted(place)
    (place / "rare.npz").write_bytes(b"easier ones")
    verdict = judged(place)
    lack = found(verdict, "accuracy.rare").change
    assert isinstance(lack, Missing)
    assert "another labelled data" in lack.reason
    assert change(verdict, "accuracy").value == pytest.approx(0.05)
    (place / "budgets.yaml").write_text(
        budget(TWO.replace("rare.npz, metric: top1", "rare.npz, metric: 'topk:2'"), *RULES)
    )
    lack = found(judged(place), "accuracy.rare").change
    assert isinstance(lack, Missing)
    assert "another score" in lack.reason


def test_a_stored_accuracy_of_another_slice_is_not_compared(place: Path) -> None:
    cut = TWO.replace("rare.npz, metric: top1", "val.npz, metric: top1, mask: night")
    (place / "budgets.yaml").write_text(budget(cut, *RULES))
    (place / "net.fake.yaml").write_text(fake("900/1000, night 40/100, 7 40/100"))
    accepted(place)
    (place / "net.fake.yaml").write_text(fake("950/1000, night 60/100, 7 60/100"))
    assert change(judged(place), "accuracy.rare").value == pytest.approx(0.2)
    (place / "budgets.yaml").write_text(budget(cut.replace("mask: night", "labels: [7]"), *RULES))
    lack = found(judged(place), "accuracy.rare").change
    assert isinstance(lack, Missing)
    assert "another slice of the data" in lack.reason


def test_a_stored_figure_of_a_file_is_the_baselines_not_todays(place: Path) -> None:
    (place / "budgets.yaml").write_text(budget("{file: e.json, key: f1}", RULES[0]))
    (place / "e.json").write_text('{"f1": 0.8}')
    accepted(place)
    (place / "e.json").write_text('{"f1": 0.9}')
    verdict = judged(place)
    assert change(verdict, "accuracy").value == pytest.approx(0.1)


def test_drift_of_an_accuracy_is_counted_from_stored_versions(place: Path) -> None:
    accepted(place)
    rule = "metric: rare, max_drift: {limit: 5 pp, over: 90 d}"
    (place / "budgets.yaml").write_text(budget(TWO, rule))
    (place / "net.fake.yaml").write_text(fake("900/1000, rare 4/100"))
    (outcome,) = judged(place, against="none").outcomes
    assert outcome.status.name == "FAIL", outcome.reason
    assert "since version 1" in outcome.reason


@pytest.mark.parametrize(("now", "status"), [('{"f1": 0.9, "n": 500}', "PASS"), ('{"f1": 0.9}', "INCONCLUSIVE")])
def test_drift_from_a_version_with_n_wants_n(place: Path, now: str, status: str) -> None:
    (place / "budgets.yaml").write_text(budget("{name: f1, file: e.json, key: f1}", "metric: f1, min: 0.1"))
    (place / "e.json").write_text('{"f1": 0.9, "n": 500}')
    accepted(place)
    rule = "metric: f1, max_drift: {limit: 9 pp, over: 90 d}"
    (place / "budgets.yaml").write_text(budget("{name: f1, file: e.json, key: f1}", rule))
    (place / "e.json").write_text(now)
    (outcome,) = judged(place, against="none", strict=True).outcomes
    assert outcome.status.name == status, outcome.reason


def test_history_draws_every_accuracy_by_its_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted(place)
    assert run("baseline", "accept", "--max-seconds", "3", "--reason", "second") == 0
    capsys.readouterr()
    assert run("history", "net", "--metric", "accuracy.rare") == 0
    heard = capsys.readouterr().out
    assert "rare" in heard
    assert "0.400" in heard
    assert "0.600" in heard
    assert "Size" not in heard


# --- other jobs -------------------------------------------------------------------------------------------------------


def part(place: Path, *more: str) -> Path:
    """Let a job measure its part; return the file it wrote."""
    assert run("check", "--static-only", "--part", "cpu", *more) in (0, 1, 3)
    (file,) = (place / ".greengate" / "parts" / "cpu").glob("*.json")
    return file


def test_a_merged_part_says_of_accuracies_what_a_direct_check_says(place: Path) -> None:
    (place / "net.fake.yaml").write_text(BETTER)
    direct = judged(place, against="file:old.fake.yaml")
    merged = judged(place, profiles=(str(part(place, "--against", "file:old.fake.yaml")),))
    for metric in ("accuracy", "accuracy.rare"):
        assert found(merged, metric) == found(direct, metric)
    assert [(one.rule, one.status, one.reason) for one in merged.outcomes] == [
        (one.rule, one.status, one.reason) for one in direct.outcomes
    ]


def test_a_merged_part_of_one_model_is_compared_with_the_stored_baseline(place: Path) -> None:
    accepted(place)
    direct = judged(place)
    merged = judged(place, profiles=(str(part(place)),))
    assert found(merged, "accuracy.rare") == found(direct, "accuracy.rare")


def test_a_part_on_other_labelled_data_or_by_another_score_is_refused(place: Path) -> None:
    file = part(place, "--against", "file:old.fake.yaml")
    (place / "rare.npz").write_bytes(b"easier ones")
    with pytest.raises(GreengateError, match=r"evaluated rare on other labelled data than rare.npz holds now"):
        judged(place, profiles=(str(file),))
    (place / "rare.npz").write_bytes(b"a hundred rare ones")
    (place / "budgets.yaml").write_text(budget(TWO.replace("val.npz, metric: top1", "val.npz, metric: f1"), *RULES))
    with pytest.raises(GreengateError, match="evaluated accuracy by top1, the budget asks for f1"):
        judged(place, profiles=(str(file),))
    cut = TWO.replace("rare.npz, metric: top1", "rare.npz, metric: top1, mask: night")
    (place / "budgets.yaml").write_text(budget(cut, *RULES))
    with pytest.raises(GreengateError, match="evaluated rare on all samples, the budget asks for samples where night"):
        judged(place, profiles=(str(file),))


def test_what_no_part_evaluated_is_inconclusive_by_name(place: Path) -> None:
    file = part(place, "--against", "file:old.fake.yaml")
    trial = profile_file.read(file)
    assert isinstance(trial, Trial)
    (place / "budgets.yaml").write_text(
        budget("[{data: val.npz, metric: top1}, {name: new, data: rare.npz, metric: top1}]", "metric: new, min: 0.1")
    )
    verdict = judged(place, profiles=(str(file),), strict=True)
    (outcome,) = verdict.outcomes
    assert (outcome.status.name, outcome.reason) == ("INCONCLUSIVE", "no file that was given evaluated it")


def test_a_trial_without_the_baselines_figure_does_not_take_todays_for_it(place: Path) -> None:
    (place / "budgets.yaml").write_text(budget("{file: e.json, key: f1}", RULES[0]))
    (place / "e.json").write_text('{"f1": 0.8}')
    file = part(place, "--against", "file:old.fake.yaml")
    merged = judged(place, profiles=(str(file),))
    candidate = found(merged, "accuracy").candidate
    assert isinstance(candidate, Measurement)
    assert candidate.value == 0.8
    assert isinstance(found(merged, "accuracy").change, Missing)


def test_a_declared_figure_is_read_where_the_parts_hold_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "clock", lambda: NOW)
    monkeypatch.setattr(output, "environment", dict)
    work = Repository(tmp_path)
    work.write(".gitignore", ".greengate\n")
    work.write(
        "budgets.yaml", budget("{file: e.json, key: f1}", RULES[0]).replace(", accuracy: {file: e.json, key: f1}", "")
    )
    work.write("net.fake.yaml", fake("1/2"))
    work.write("e.json", '{"f1": 0.8}')
    work.commit()
    file = part(tmp_path, "--against", "none")
    work.write("budgets.yaml", budget("{file: e.json, key: f1}", RULES[0]))
    work.write("e.json", '{"f1": 0.9}')
    merged = judged(tmp_path, profiles=(str(file),), against="ref:HEAD")
    assert change(merged, "accuracy").value == pytest.approx(0.1)
    work.write("e.json", '{"f1": "none"}')
    with pytest.raises(GreengateError, match="has no number at 'f1'"):
        judged(tmp_path, profiles=(str(file),), against="ref:HEAD")
