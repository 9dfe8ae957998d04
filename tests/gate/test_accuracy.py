"""Accuracy of two models: real ones on real labels, files out of git, commands."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from repository import Repository

from greengate import gate
from greengate.comparison import Change, Comparison
from greengate.errors import GreengateError
from greengate.profile import Measurement, Missing
from greengate.verdict import Verdict

NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
DIGITS = Path(__file__).parent.parent.parent / "examples" / "digits"
FAKE = "fake: 1\nsize: 10 MB\nparams: 2.5 M\nmacs: 300 MMAC\nactivation_memory: 4 MB\n"


def judged(folder: Path, **more: object) -> Verdict:
    request = gate.Request(static_only=True, **more)  # type: ignore[arg-type]
    with contextlib.chdir(folder):
        return gate.check(request, NOW).verdict


def accuracy(verdict: Verdict, metric: str = "accuracy") -> Comparison:
    return verdict.case.models[0].comparisons[metric]


def budget(folder: Path, source: str, path: str = "net.fake.yaml", rule: str = "metric: accuracy, min: 0.1") -> None:
    text = f"version: 1\nmodels:\n  - {{name: net, path: {path}, accuracy: {source}}}\nrules:\n  - {{{rule}}}\n"
    (folder / "budgets.yaml").write_text(text)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for name in ("models/digits.onnx", "candidates/slimmer.onnx", "heldout.npz"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(DIGITS / name, target)
    return tmp_path


def labelled(folder: Path, **more: object) -> None:
    held = dict(np.load(folder / "heldout.npz"))
    np.savez(folder / "val.npz", **(held | more))


@pytest.mark.parametrize("metric", ["top1", "topk:3", "f1"])
def test_real_models_are_scored_as_scikit_learn_scores_them(digits: Path, metric: str) -> None:
    import onnxruntime
    from sklearn import metrics as oracle

    budget(digits, f"{{data: heldout.npz, metric: '{metric}'}}", "candidates/slimmer.onnx")
    found = accuracy(judged(digits, against=f"file:{digits}/models/digits.onnx"))
    held = dict(np.load(digits / "heldout.npz"))
    labels = held.pop("labels")
    for side, path in ((found.baseline, "models/digits.onnx"), (found.candidate, "candidates/slimmer.onnx")):
        assert isinstance(side, Measurement)
        said = onnxruntime.InferenceSession(str(digits / path)).run(None, held)[0]
        expected = {
            "top1": lambda said: oracle.accuracy_score(labels, said.argmax(1)),
            "topk:3": lambda said: oracle.top_k_accuracy_score(labels, said, k=3, labels=range(10)),
            "f1": lambda said: oracle.f1_score(labels, said.argmax(1), average="macro"),
        }[metric](said)
        assert side.value == pytest.approx(expected)
        assert (side.method, side.samples) == ("evaluated", 360)
        assert side.interval is not None
        assert side.interval.low < side.value <= side.interval.high
    assert isinstance(found.change, Change)
    assert (found.change.basis, found.change.relative) == ("paired", False)
    assert found.change.low < found.change.value < found.change.high


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": np.zeros(7, int)}, "inputs and labels differ in length"),
        ({"labels": np.zeros(360)}, "are no classes"),
        ({"labels": np.full(360, 99)}, None),  # a label no class has is simply never hit
    ],
)
def test_labelled_data_that_does_not_fit_cannot_start(digits: Path, arrays: dict[str, object], words: str) -> None:
    labelled(digits, **arrays)
    budget(digits, "{data: val.npz, metric: top1}", "candidates/slimmer.onnx")
    if words is None:
        found = accuracy(judged(digits, against="none")).candidate
        assert isinstance(found, Measurement)
        assert found.value == 0
        return
    with pytest.raises(GreengateError, match=words) as caught:
        judged(digits, against="none")
    assert str(caught.value.diagnostics[0].span).startswith("budgets.yaml:3:")


def test_data_without_labels_or_inputs_cannot_start(digits: Path) -> None:
    held = dict(np.load(digits / "heldout.npz"))
    for absent in ("labels", next(name for name in held if name != "labels")):
        np.savez(digits / "val.npz", **{name: array for name, array in held.items() if name != absent})
        budget(digits, "{data: val.npz, metric: top1}", "candidates/slimmer.onnx")
        with pytest.raises(GreengateError, match=f"has no array .{absent}"):
            judged(digits, against="none")


@pytest.mark.parametrize("metric", ["top1", "topk:3", "f1"])
@pytest.mark.parametrize("some", [False, True])
def test_a_network_whose_weights_are_nan_has_no_accuracy(digits: Path, metric: str, some: bool) -> None:
    """Fine-tuning that diverged: every comparison with NaN is false, which must not come out as a hit."""
    model = onnx.load(digits / "models/digits.onnx")
    weights = next(one for one in model.graph.initializer if one.name == "bias0")
    values = onnx.numpy_helper.to_array(weights).copy()
    values[: 1 if some else None] = np.nan
    weights.CopyFrom(onnx.numpy_helper.from_array(values, "bias0"))
    onnx.save(model, digits / "net.onnx")
    budget(digits, f"{{data: heldout.npz, metric: '{metric}'}}", "net.onnx")
    verdict = judged(digits, against=f"file:{digits}/models/digits.onnx", strict=True)
    found = accuracy(verdict).candidate
    assert isinstance(found, Missing)
    assert (found.kind, "the model says NaN for 360 of 360 samples" in found.reason) == ("failed", True)
    assert verdict.exit == 3


# --- declared ---------------------------------------------------------------------------------------------------------


def written(value: float, **more: object) -> str:
    return json.dumps({"f1": value, **more})


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "work")
    made.write("net.fake.yaml", FAKE)
    made.write("e.json", written(0.90, n=10_000))
    budget(made.folder, "{file: e.json, key: f1}")
    made.commit()
    return made


def test_the_baselines_figure_is_that_of_its_commit(repository: Repository) -> None:
    repository.write("e.json", written(0.93, n=10_000))
    found = accuracy(judged(repository.folder, against="ref:HEAD"))
    assert isinstance(found.baseline, Measurement)
    assert isinstance(found.candidate, Measurement)
    assert (found.baseline.value, found.candidate.value) == (0.90, 0.93)
    assert found.baseline.detail.startswith("f1 of e.json at ")
    assert isinstance(found.change, Change)
    # Newcombe's interval of two independent shares, near Wald's for so many.
    assert (found.change.low, found.change.high) == (pytest.approx(0.0223, abs=3e-4), pytest.approx(0.0377, abs=3e-4))


def test_without_n_there_is_no_interval_and_a_stranger_figure_is_none(repository: Repository) -> None:
    repository.write("e.json", written(0.90))
    repository.commit()
    repository.write("e.json", written(0.93))
    change = accuracy(judged(repository.folder, against="ref:HEAD")).change
    assert isinstance(change, Change)
    assert (change.low, change.high) == (pytest.approx(0.03), pytest.approx(0.03))
    old = hashlib.sha256(FAKE.encode()).hexdigest()
    repository.write("e.json", written(0.90, model_sha256="1" * 64))
    repository.commit()
    repository.write("e.json", written(0.93, model_sha256=f"sha256:{old}"))
    found = accuracy(judged(repository.folder, against="ref:HEAD"))
    assert isinstance(found.change, Missing)
    assert "is about another model" in found.change.reason
    assert isinstance(found.candidate, Measurement)
    assert "does not say of which model" not in found.candidate.detail


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ((0.90, 200), (0.91, None), "the figure does not say `n`, as the baseline's does"),
        ((0.90, 200), (0.80, None), "the figure does not say `n`, as the baseline's does"),
        ((0.90, 200), (0.91, 200), None),
        ((0.90, None), (0.91, 200), None),
        ((0.90, None), (0.91, None), None),
    ],
)
@pytest.mark.parametrize("kind", ["", ", better: lower"])
def test_to_say_less_decides_no_more(
    repository: Repository, then: tuple[float, int], now: tuple[float, int], words: str | None, kind: str
) -> None:
    name, metric, bound = ("wer", "error_rate.wer", "max: 1") if kind else ("accuracy", "accuracy", "min: 0.1")
    budget(repository.folder, f"{{name: {name}, file: e.json, key: f1{kind}}}", rule=f"metric: {name}, {bound}")
    repository.write("e.json", written(then[0], **({"n": then[1]} if then[1] else {})))
    repository.commit()
    repository.write("e.json", written(now[0], **({"n": now[1]} if now[1] else {})))
    change = accuracy(judged(repository.folder, against="ref:HEAD"), metric).change
    if words is not None:
        assert isinstance(change, Missing)
        assert (change.reason, "write `n`" in change.help) == (words, True)
        return
    assert isinstance(change, Change)
    assert change.value == pytest.approx(now[0] - then[0])
    exact = then[1] is None and now[1] is None
    assert (change.low == change.high, change.basis) == ((True, "exact") if exact else (False, "stored"))
    assert exact or change.low < 0.005 < change.high


def test_a_file_that_the_baseline_did_not_have_is_missing(repository: Repository) -> None:
    (repository.folder / ".gitignore").write_text("e.json\n")
    repository.git("rm", "--quiet", "--cached", "--ignore-unmatch", "e.json")
    repository.commit()
    found = accuracy(judged(repository.folder, against="ref:HEAD"))
    assert isinstance(found.change, Missing)
    assert "it is not in" in found.change.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ('{"f1": "high"}', "has no number at 'f1'"),
        ('{"f1": true}', "has no number at 'f1'"),
        ('{"f1": NaN}', "has no number at 'f1'"),
        ('{"f1": 93}', "is no ratio"),
        ('{"f1": 0.9, "n": 0}', "no whole number of samples"),
        ('{"f1": 0.9, "n": 1.5}', "no whole number of samples"),
        ("[]", "has no number at 'f1'"),
    ],
)
def test_a_figure_that_is_none_cannot_start(repository: Repository, content: str, words: str) -> None:
    repository.write("e.json", content)
    with pytest.raises(GreengateError, match=words):
        judged(repository.folder, against="ref:HEAD")


# --- commands ---------------------------------------------------------------------------------------------------------

SCRIPT = """import json, os, pathlib, sys
model = pathlib.Path(sys.argv[1]).read_text()
print(json.dumps({"score": {"f1": 0.95 if "better" in model else 0.9}, "secret": os.environ.get("A_TOKEN")}))
"""


def test_a_command_is_run_for_both_models_without_secrets(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "hidden")
    repository.write("eval.py", SCRIPT + "assert 'A_TOKEN' not in os.environ\n")
    budget(repository.folder, f"{{command: '{sys.executable} eval.py {{model}}', key: score.f1}}")
    repository.write("net.fake.yaml", FAKE + "# better\n")
    found = accuracy(judged(repository.folder, against="ref:HEAD"))
    assert isinstance(found.baseline, Measurement)
    assert isinstance(found.candidate, Measurement)
    assert (found.baseline.value, found.candidate.value, found.candidate.method) == (0.9, 0.95, "declared")


@pytest.mark.parametrize(
    ("script", "words"),
    [("import sys; sys.exit('no data')", "ended with 1: no data"), ("print('hello')", "is not JSON")],
)
def test_a_command_that_fails_cannot_start(repository: Repository, script: str, words: str) -> None:
    repository.write("eval.py", script)
    budget(repository.folder, f"{{command: '{sys.executable} eval.py {{model}}', key: f1}}")
    with pytest.raises(GreengateError, match=words):
        judged(repository.folder, against="none")


def test_a_command_that_is_not_there_cannot_start(repository: Repository, golden: Callable[[Path, str], None]) -> None:
    budget(repository.folder, "{command: 'no-such-program {model}', key: f1}")
    with pytest.raises(GreengateError) as caught:
        judged(repository.folder, against="none")
    shown = str(caught.value).replace(f"{repository.folder}/", "")
    golden(Path(__file__).parent / "golden" / "accuracy-source.txt", shown)
