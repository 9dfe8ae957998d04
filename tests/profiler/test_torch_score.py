"""Labelled data through PyTorch models: the digits of the example, in every form, scored as their ONNX twin is."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import needs
import numpy as np
import onnx
import pytest

needs.package("torch")

import torch  # noqa: E402
import torch_nets as nets  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from greengate import gate  # noqa: E402
from greengate.answers import Slice  # noqa: E402
from greengate.budget import WorkerLimits  # noqa: E402
from greengate.comparison import Change  # noqa: E402
from greengate.errors import GreengateError  # noqa: E402
from greengate.profile import InputSpec, Measurement, WorkloadSpec  # noqa: E402
from greengate.profiler.backends import onnx_session, torch_session  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.jobs import Refused, Scored, ScoreJob, WorkerFailed  # noqa: E402
from greengate.recipe import Recipe  # noqa: E402
from greengate.verdict import Status  # noqa: E402

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
NOW = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.UTC)
CODE = """import torch
from torch import nn

class Digits(nn.Module):
    def __init__(self, widths):
        super().__init__()
        sizes = [64, *widths, 10]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, images):
        for layer in self.layers[:-1]:
            images = torch.relu(layer(images))
        return torch.softmax(self.layers[-1](images), 1)

def make(widths):
    return Digits(widths)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("nets", None)
    (tmp_path / "nets.py").write_text(CODE)
    shutil.copy(DIGITS / "heldout.npz", tmp_path)
    yield tmp_path
    sys.modules.pop("nets", None)


def weights(name: str) -> tuple[dict[str, torch.Tensor], list[int]]:
    """Return the weights of one of the example's networks, and its widths."""
    stored = {
        item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(DIGITS / f"{name}.onnx").graph.initializer
    }
    found = {}
    for index in range(len(stored) // 2):
        found[f"layers.{index}.weight"] = torch.from_numpy(stored[f"weights{index}"].T.copy())
        found[f"layers.{index}.bias"] = torch.from_numpy(stored[f"bias{index}"].copy())
    return found, [len(item) for key, item in found.items() if key.endswith("bias")][:-1]


def network(name: str = "models/digits") -> Any:
    made: dict[str, Any] = {}
    exec(CODE, made)
    stored, widths = weights(name)
    net = made["make"](widths)
    net.load_state_dict(stored)
    return net.eval()


def scored(path: str, metric: str = "top1", data: str = "heldout.npz", **more: Any) -> Scored:
    job = ScoreJob(str(Path(path).absolute()), str(Path(data).absolute()), metric, 1, more.pop("batch", 64), **more)
    found = torch_session.run(job, lambda _: None)
    assert isinstance(found, Scored)
    return found


def twin(metric: str = "top1", name: str = "models/digits") -> Scored:
    job = ScoreJob(str(DIGITS / f"{name}.onnx"), str(DIGITS / "heldout.npz"), metric, 1, 64)
    found = onnx_session.run(job, lambda _: None)
    assert isinstance(found, Scored)
    return found


# --- every form ---------------------------------------------------------------------------------


def made_by_code() -> tuple[str, dict[str, Any]]:
    stored, widths = weights("models/digits")
    save_file(stored, "digits.safetensors")
    recipe = Recipe(str(Path("digits.safetensors").absolute()), f'{{"widths": {widths}}}')
    return "nets:make", {"recipe": recipe}


def as_script() -> tuple[str, dict[str, Any]]:
    with nets.quiet():
        torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 64), check_trace=False), "digits.pt")
    return "digits.pt", {}


def exported(rows: int) -> Callable[[], tuple[str, dict[str, Any]]]:
    def write() -> tuple[str, dict[str, Any]]:
        with nets.quiet():
            torch.export.save(torch.export.export(network(), (torch.zeros(rows, 64),)), "digits.pt2")
        return "digits.pt2", {}

    return write


def described_elsewhere() -> tuple[str, dict[str, Any]]:
    """What the budget says of inputs is about inference; the data brings its own."""
    path, more = made_by_code()
    spec = WorkloadSpec(inputs=(InputSpec("images", (1, 64)),), compile=True, threads=2)
    return path, {**more, "workload": spec}


def test_a_slice_is_what_the_whole_says_of_its_samples(home: Path) -> None:
    path, more = made_by_code()
    whole = scored(path, "f1", **more)
    part = scored(path, "f1", slice=Slice(labels=(3, 7)), **more)
    places = [index for index, label in enumerate(whole.columns["label"]) if label in (3, 7)]
    assert 0 < len(places) < len(whole.columns["label"])
    for name, column in whole.columns.items():
        assert list(part.columns[name]) == [column[index] for index in places]


@pytest.mark.parametrize(
    "write", [made_by_code, as_script, exported(1), exported(7), described_elsewhere],
    ids=["code", "script", "exported-1", "exported-7", "described"],
)  # fmt: skip
def test_every_form_says_of_every_sample_what_the_onnx_twin_says(
    write: Callable[[], tuple[str, dict[str, Any]]],
) -> None:
    """360 samples: neither 64 nor 7 divides them, so the last batch is filled up and what is said of that left out."""
    path, more = write()
    assert scored(path, **more) == twin()
    assert len(scored(path, "f1", **more).columns["predicted"]) == 360


@pytest.mark.parametrize("metric", ["topk:3", "f1"])
def test_scores_are_those_of_the_twin(metric: str) -> None:
    path, more = made_by_code()
    assert scored(path, metric, **more) == twin(metric)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_precision_is_that_of_the_workload(precision: str) -> None:
    """In half precision the network answers a little differently, and is asked in half precision at all."""
    (Path.cwd() / "strict.py").write_text(
        CODE.replace(
            "def forward(self, images):\n", "def forward(self, images):\n        assert images.dtype.itemsize == 2\n"
        )
    )
    _, more = made_by_code()
    more["workload"] = WorkloadSpec(precision=precision)  # type: ignore[arg-type]
    hits = scored("strict:make", **more).columns["hit"]
    assert len(hits) == 360
    assert abs(sum(hits) - sum(twin().columns["hit"])) <= 4
    with pytest.raises(Refused, match="AssertionError"):
        scored("strict:make", recipe=more["recipe"])
    sys.modules.pop("strict", None)


def test_a_folder_with_other_inputs_and_logits_among_its_outputs(tmp_path: Path) -> None:
    needs.package("transformers")
    import transformers
    from transformers import BertConfig, BertForSequenceClassification

    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_labels=3
    )
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained("bert")
    ids = np.random.default_rng(0).integers(0, 50, (10, 6))
    mask = np.ones_like(ids)
    mask[:, 4:] = 0
    with torch.no_grad():
        truth = model(torch.from_numpy(ids), torch.from_numpy(mask)).logits.argmax(1).numpy()
        unmasked = model(torch.from_numpy(ids)).logits.argmax(1).numpy()
    np.savez("val.npz", input_ids=ids, attention_mask=mask, y=truth)
    assert sum(scored("bert", data="val.npz", batch=4).columns["hit"]) == 10
    # A constant of the budget stands for what the data does not hold, in batches of the data's size.
    np.savez("plain.npz", input_ids=ids, y=unmasked)
    spec = WorkloadSpec(inputs=(InputSpec("attention_mask", (1, 6), value=1), InputSpec("input_ids", (1, 6), max=50)))
    assert sum(scored("bert", data="plain.npz", batch=4, workload=spec).columns["hit"]) == 10


@pytest.mark.parametrize("returned", ["(out, images)", "[out]", "{'logits': out, 'loss': images}", "{'out': out}"])
def test_the_first_output_is_found(returned: str) -> None:
    wrapped = f"    def __call__(self, images):\n        out = super().__call__(images)\n        return {returned}\n\n"
    code = CODE.replace("def make", f"{wrapped}def make")
    Path("nets.py").write_text(code)
    path, more = made_by_code()
    assert scored(path, **more) == twin()


@pytest.mark.parametrize("metric", ["top1", "topk:3", "f1"])
def test_weights_that_are_nan_give_no_answer(metric: str) -> None:
    stored, widths = weights("models/digits")
    save_file({name: torch.full_like(one, float("nan")) for name, one in stored.items()}, "broken.safetensors")
    recipe = Recipe(str(Path("broken.safetensors").absolute()), f'{{"widths": {widths}}}')
    with pytest.raises(WorkerFailed, match="the model says NaN for 360 of 360 samples"):
        scored("nets:make", metric, recipe=recipe)


# --- what does not fit --------------------------------------------------------------------------


def held(**more: Any) -> dict[str, Any]:
    return {**np.load(DIGITS / "heldout.npz"), **more}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((3, 64), np.float32)}, "has no array `labels`"),
        ({"x": np.zeros((3, 64), np.float32), "labels": np.zeros(3, int)}, "has no array 'images'"),
        ({"images": np.zeros((4, 64), np.float32), "labels": np.zeros(3, int)}, "differ in length"),
        ({"images": np.zeros((3, 63), np.float32), "labels": np.zeros(3, int)}, "fails on its inputs"),
        ({"images": np.zeros((3, 64), np.float32), "labels": np.zeros(3)}, "are no classes"),
    ],
)
def test_data_that_does_not_fit_is_refused(arrays: dict[str, Any], words: str) -> None:
    path, more = made_by_code()
    np.savez("val.npz", **arrays)
    with pytest.raises(Refused, match=words):
        scored(path, data="val.npz", **more)


@pytest.mark.parametrize(
    ("body", "words"),
    [("return 3", "first output is a int"), ("return images.sum()", "not one row a sample"), ("return ()", "a tuple")],
)
def test_outputs_that_are_no_answers_are_refused(body: str, words: str) -> None:
    Path("odd.py").write_text(
        "from torch import nn\ndef make(): return Odd()\n"
        f"class Odd(nn.Module):\n    def forward(self, images): {body}\n"
    )
    with pytest.raises(Refused, match=words):
        scored("odd:make")
    sys.modules.pop("odd", None)


def test_a_board_that_is_not_there_is_no_fault_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path, more = made_by_code()
    with pytest.raises(WorkerFailed, match="the device cuda is not there"):
        scored(path, workload=WorkloadSpec(device="cuda"), **more)


def test_a_board_that_fails_while_its_answer_is_fetched_is_no_fault_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fetched(_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("greengate.profiler.backends.torch_score._first_output", fetched)
    path, more = made_by_code()
    with pytest.raises(WorkerFailed, match="the GPU failed: CUDA error: an illegal memory access"):
        scored(path, **more)


# --- through the gate ---------------------------------------------------------------------------

BUDGET = """version: 1
models:
  - name: digits
    path: nets:make
    args: {{widths: {widths}}}
    weights: new.safetensors
    inputs: {{images: {{shape: [1, 64]}}}}
    accuracy: {{data: heldout.npz, metric: top1}}
rules:
  - {{metric: accuracy, max_decrease: 0.5 pp}}
  - {{metric: accuracy, id: floor, min: 0.9}}
"""


def judged(**more: Any) -> gate.Checked:
    return gate.check(gate.Request(static_only=True, environ={"CI": "true"}, **more), NOW)


def test_both_models_are_evaluated_on_the_same_samples_in_real_workers() -> None:
    """The candidate has lost what one unit of its last layer knew; the baseline is the same code with other weights."""
    stored, widths = weights("models/digits")
    save_file(stored, "old.safetensors")
    worse = {**stored, "layers.2.bias": stored["layers.2.bias"] + torch.tensor([0.0] * 9 + [1.5])}
    save_file(worse, "new.safetensors")
    Path("budgets.yaml").write_text(BUDGET.format(widths=widths))
    found = judged(against="file:old.safetensors").verdict
    compared = found.case.models[0].comparisons["accuracy"]
    assert isinstance(compared.candidate, Measurement)
    assert isinstance(compared.baseline, Measurement)
    assert isinstance(compared.change, Change)
    hits = twin().columns["hit"]
    assert compared.baseline.value == pytest.approx(sum(hits) / 360)
    assert (compared.candidate.method, compared.candidate.samples) == ("evaluated", 360)
    assert compared.change.value == pytest.approx(compared.candidate.value - compared.baseline.value)
    assert compared.change.value < 0
    assert {outcome.rule: outcome.status for outcome in found.outcomes}["floor"] is Status.PASS


def test_data_at_fault_points_at_the_budget() -> None:
    stored, widths = weights("models/digits")
    save_file(stored, "new.safetensors")
    Path("budgets.yaml").write_text(BUDGET.format(widths=widths))
    np.savez("heldout.npz", **{key: value for key, value in held().items() if key != "labels"})
    with pytest.raises(GreengateError) as caught:
        judged(against="none")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.span and diagnostic.span.line) == ("recorded-data", 8)
    assert "heldout.npz has no array `labels`" in diagnostic.message


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.util, "find_spec", lambda _: None)
    with pytest.raises(Refused, match="need torch") as caught:
        backend.score(ScoreJob("nets:make", "heldout.npz", "top1", 1, 64), WorkerLimits())
    assert caught.value.code == "extra-missing"


def test_messages_name_the_data_as_the_user_does() -> None:
    path, more = made_by_code()
    np.savez("val.npz", labels=np.zeros(3, int))
    job = ScoreJob(path, "val.npz", "top1", 1, 64, recipe=more["recipe"])
    with pytest.raises(Refused, match=r"^val\.npz has no array 'images'"):
        backend.score(job, WorkerLimits(timeout=60))
