"""PyTorch models and their ONNX twins: equal counts and outputs, and what cannot be exported said in words."""

from __future__ import annotations

import hashlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest

needs.package("torch")
needs.package("onnxscript")

import torch  # noqa: E402
import torch_nets as nets  # noqa: E402

from greengate import errors, profile_file  # noqa: E402
from greengate.budget import WorkerLimits  # noqa: E402
from greengate.cli import door, output  # noqa: E402
from greengate.errors import Diagnostic, ModelError  # noqa: E402
from greengate.gate import twin as twin_of  # noqa: E402
from greengate.profile import InputSpec, Measurement, Missing, Profile, WorkloadSpec  # noqa: E402
from greengate.profiler import exporting  # noqa: E402
from greengate.profiler.backends import FORMATS, onnx_session, torch_session  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.backends.torch_export import agreement  # noqa: E402
from greengate.profiler.exact import Subject  # noqa: E402
from greengate.profiler.jobs import (  # noqa: E402
    Agreement,
    Counted,
    CountJob,
    Exported,
    ExportJob,
    LaunchJob,
    Refused,
    Sampled,
)
from greengate.recipe import Recipe  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter deprecates parts of PyTorch
GOLDEN = Path(__file__).parent / "golden" / "torch"
X = WorkloadSpec(inputs=(InputSpec("x", (1, 4)),))
NAMES = {"encoder": "src", "separable": "input"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in an empty folder; threads and what is imported from it are as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(output, "environment", dict)
    threads, before = torch.get_num_threads(), set(sys.modules)
    yield tmp_path
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def code(text: str) -> str:
    Path("own.py").write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(text))
    return "own:make"


def net(forward: str, init: str = "pass") -> str:
    return code(f"""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            {init}
        def forward(self, {forward}
    make = Net
    """)


def job(path: str, spec: WorkloadSpec = X, recipe: Recipe = Recipe()) -> ExportJob:  # noqa: B008
    here = Path.cwd()
    return ExportJob(str(here / path), spec, str(here / "twin.onnx"), str(here / "feed.npz"), recipe)


def export(path: str, spec: WorkloadSpec = X) -> Exported:
    found = torch_session.run(job(path, spec), lambda _: None)
    assert isinstance(found, Exported)
    return found


def agreed(path: str, spec: WorkloadSpec = X) -> Agreement:
    found = export(path, spec).agreement
    assert isinstance(found, Agreement), found
    return found


def twin(spec: WorkloadSpec = X) -> WorkloadSpec:
    return WorkloadSpec(spec.batch_size, recorded=str(Path("feed.npz").absolute()))


def count(session: Any, path: str, spec: WorkloadSpec) -> Counted:
    found = session.run(CountJob(str(Path.cwd() / path), spec), lambda _: None)
    assert isinstance(found, Counted)
    return found


def value(found: Counted, metric: str) -> float:
    measured = found.measurements[metric]
    assert isinstance(measured, Measurement), measured
    return measured.value


# --- the same network -----------------------------------------------------------------------------------------------

#: What the exporter adds to the parameters: bounds and scales that it stores, less norms that it folds, and all but
#: one of layers that are copies of each other.
PARAMS = {"cnn": -32, "lstm": 20, "encoder": -2271}


@pytest.mark.parametrize("name", PARAMS)
def test_a_twin_computes_the_same_with_the_same_macs(name: str) -> None:
    net = nets.NETS[name]
    code(f"import torch_nets\nmake = torch_nets.NETS[{name!r}].build\n")
    spec = WorkloadSpec(net.shape[0], inputs=(InputSpec(NAMES.get(name, "x"), net.shape),))
    found = agreed("own:make", spec)
    assert (found.outputs, found.unequal) == (1, 0)
    assert found.apart < 1e-6
    assert found.largest > 0.1
    model, other = count(torch_session, "own:make", spec), count(onnx_session, "twin.onnx", twin(spec))
    assert value(model, "macs") == value(other, "macs") == net.macs / net.shape[0]
    assert value(other, "params") - value(model, "params") == PARAMS[name]
    assert model.feed == other.feed, "both are fed the same bytes under the same names"
    assert not any(layer.name.startswith("model") for layer in other.layers), "modules keep their own names"


def test_the_twin_of_a_model_that_changes_its_inputs_is_fed_what_the_model_was() -> None:
    path = net("x):\n            x.sub_(1.0).div_(0.01)\n            return x * 2")
    found = agreed(path)
    assert found.apart < 1e-4
    assert found.largest > 1
    with np.load("feed.npz") as fed:
        assert 0 <= fed["x"].min() <= fed["x"].max() <= 1, "as the seed made them"


def test_factory_torchscript_exported_program_and_onnx_are_one_network() -> None:
    """Equal parameters and MACs in four forms; each is timed by its own runtime, none beside another."""
    net, name = nets.NETS["mixed"], "mixed"
    code(f"import torch_nets\nmake = torch_nets.NETS[{name!r}].build\n")
    with nets.quiet():
        torch.jit.save(nets.traced(net), "net.pt")
        torch.export.save(nets.exported(net), "net.pt2")
    spec = WorkloadSpec(inputs=(InputSpec("x", net.shape),))
    agreed("net.pt2", spec)
    forms = {
        **dict.fromkeys(("own:make", "net.pt", "net.pt2"), (torch_session, spec)),
        "twin.onnx": (onnx_session, twin()),
    }
    counted = {path: count(session, path, asked) for path, (session, asked) in forms.items()}
    assert {(value(one, "macs"), value(one, "params")) for one in counted.values()} == {(net.macs, 164)}
    runtimes = [next(iter(one.runtime)) for one in counted.values()]
    assert runtimes == ["torch", "torch", "torch", "onnxruntime"]
    for path, (session, asked) in forms.items():
        timing = LaunchJob({"candidate": str(Path(path).absolute())}, ("candidate",), asked, 0, 0.01, 5, 20)
        timed = session.run(timing, lambda _: None)
        assert isinstance(timed, Sampled)
        assert min(timed.samples["candidate"]["wall"]) > 0


# --- what goes in and out -------------------------------------------------------------------------------------------


def test_nested_inputs_plain_numbers_and_odd_outputs_are_laid_flat() -> None:
    path = net(
        "batch, times: int, mask=None): "
        "out = batch['pair'][0] * mask, None, 3, torch.arange(4) + times; "
        "return {'a': self.l(batch['image']) * times, 'b': out}",
        "self.l = nn.Linear(4, 4)",
    )
    names = ("batch.image", "batch.pair.0", "batch.pair.1", "mask")
    spec = WorkloadSpec(inputs=(*(InputSpec(name, (1, 4)) for name in names), InputSpec("times", value=3)))
    found = agreed(path, spec)
    assert (found.outputs, found.elements, found.unequal) == (3, 12, 0)
    assert found.apart < 1e-6
    with np.load("feed.npz") as kept:
        assert set(kept) == set(names)
    other = count(onnx_session, "twin.onnx", twin())
    assert {item.name for item in other.inputs} >= {"batch.image", "mask"}
    assert value(other, "macs") == 16


def test_an_exported_program_keeps_its_names_and_its_structure() -> None:
    class Pair(torch.nn.Module):
        def forward(self, pair: Any, scale: float) -> Any:
            return pair[0] * scale - pair[1]

    args = ((torch.rand(1, 4), torch.rand(1, 4)), 2.5)
    with nets.quiet():
        torch.export.save(torch.export.export(Pair(), args), "net.pt2")
    assert agreed("net.pt2", WorkloadSpec()).apart < 1e-6
    with np.load("feed.npz") as kept:
        assert set(kept) == {"pair_0", "pair_1"}


def test_inputs_made_by_code_have_the_names_of_forward() -> None:
    net("first, *more): return first + more[0]")
    with Path("own.py").open("a") as file:
        file.write("\n\ndef made(): return torch.rand(1, 4), torch.rand(1, 4)\n")
    found = export("own:make", WorkloadSpec(inputs_from=str(Path("own:made").absolute())))
    assert "the inputs are made by code" in found.notes[0]
    with np.load("feed.npz") as kept:
        assert set(kept) == {"first", "input_1"}


def test_every_recorded_batch_is_compared_and_fed() -> None:
    path = net("x, y): return x * y")
    rows, one = np.arange(24, dtype=np.float32).reshape(6, 4), np.array(1, np.float32)
    np.savez("data.npz", allow_pickle=False, x=rows, y=one)
    spec = WorkloadSpec(2, recorded=str(Path("data.npz").absolute()))
    found = agreed(path, spec)
    assert (found.outputs, found.elements, found.largest) == (1, 24, 23.0)
    with np.load("feed.npz") as kept:
        np.testing.assert_array_equal(kept["x"], rows)
        np.testing.assert_array_equal(kept["y"], one)
    assert count(torch_session, path, spec).feed == count(onnx_session, "twin.onnx", twin(spec)).feed


@pytest.mark.parametrize(("precision", "bits"), [("fp16", 16), ("fp32", 32), ("tf32", 32)])
def test_a_twin_is_stored_in_the_models_precision(precision: Any, bits: int) -> None:
    path = net("x): return self.l(x)", "self.l = nn.Linear(4, 4)")
    spec = WorkloadSpec(
        inputs=X.inputs, precision=precision, device="cuda" if precision == "tf32" else "cpu", compile=True
    )
    assert agreed(path, spec).apart < 1e-3
    assert value(count(onnx_session, "twin.onnx", twin()), "weight_bits") == bits


def test_what_draws_at_random_does_not_agree_and_says_how_far() -> None:
    found = agreed(net("x): return x + torch.rand_like(x)"))
    assert found.apart > 1e-4


# --- comparing outputs ----------------------------------------------------------------------------------------------


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("one", "other", "apart", "unequal"),
    [
        ([floats(1, 2)], [floats(1, 2.5)], 0.5, 0),
        ([floats(-3, 2)], [floats(-1, 2.5)], 2.0, 0),
        ([floats(np.nan, np.inf)], [floats(np.nan, np.inf)], 0.0, 0),
        ([floats(np.nan, 1)], [floats(1, np.nan)], 0.0, 2),
        ([floats(np.inf, 1)], [floats(-np.inf, 1)], 0.0, 1),
        ([np.array([1, 2, 3])], [np.array([1, 5, 4])], 0.0, 2),
        ([np.array([True])], [np.array([False])], 0.0, 1),
        ([floats(1), floats(1)], [floats(2), floats(4)], 3.0, 0),
        ([floats()], [floats()], 0.0, 0),
    ],
)
def test_how_far_outputs_are_apart(one: list[Any], other: list[Any], apart: float, unequal: int) -> None:
    found = agreement([one], [other])
    assert isinstance(found, Agreement)
    assert (found.apart, found.unequal, found.elements) == (apart, unequal, sum(array.size for array in one))


def test_outputs_of_other_shapes_are_not_compared() -> None:
    found = agreement([[floats(1, 2)]], [[floats(1)]])
    assert isinstance(found, Missing)
    assert "[(1,)], in PyTorch [(2,)]" in found.reason
    assert isinstance(agreement([[floats(1)]], [[]]), Missing)


def test_the_worst_of_all_runs_counts() -> None:
    found = agreement([[floats(1)], [floats(9)]], [[floats(1.5)], [floats(9)]])
    assert found == Agreement(1, 2, 0.5, 9.0, 0)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Agreement(1, 4, 0.0, 1.0, 0), "its output is equal to PyTorch's on the workload's inputs; the largest value"),
        (Agreement(2, 4, 3e-7, 0.0, 0), "its 2 outputs are within 3e-07 of PyTorch's on the workload's inputs"),
        (Agreement(1, 4000, 0.0, 2.0, 1234), ", but for 1,234 of 4,000 elements; the largest value is 2"),
        (Missing("the outputs were not compared: no kernel"), "the outputs were not compared: no kernel"),
    ],
)
def test_agreement_in_words(found: Agreement | Missing, words: str) -> None:
    assert words in exporting.agreed(found)


def test_what_the_runtime_cannot_run_is_exported_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> Any:
        raise Refused("model-unsupported", "twin.onnx: onnxruntime has no implementation", "help")

    monkeypatch.setattr("greengate.profiler.backends.onnx_runtime.load", load)
    found = export(net("x): return x * 2")).agreement
    assert isinstance(found, Missing)
    assert "no implementation" in found.reason


# --- what cannot be exported ----------------------------------------------------------------------------------------

FAILS: dict[str, tuple[Callable[[], str], WorkloadSpec]] = {
    "branch": (lambda: net("x):\n            return x * 2 if x.sum() > 0 else x"), X),
    "operator": (
        lambda: net("x): return torch.linalg.eigvals(x)"),
        WorkloadSpec(inputs=(InputSpec("x", (3, 3)),)),
    ),
    "nothing": (lambda: net("x): pass"), X),
    "bf16": (lambda: net("x): return x"), WorkloadSpec(inputs=X.inputs, precision="bf16")),
    "own-error": (
        lambda: net(
            "x):\n            if torch.compiler.is_exporting(): raise ValueError('not when traced')\n"
            "            return x"
        ),
        X,
    ),
}


@pytest.mark.parametrize("name", FAILS)
def test_why_a_model_cannot_be_exported_is_said(name: str, golden: Callable[[Path, str], None]) -> None:
    write, spec = FAILS[name]
    with pytest.raises(Refused) as caught:
        torch_session.run(job(write(), spec), lambda _: None)
    text = str(Diagnostic(caught.value.code, caught.value.message, caught.value.help))
    assert text.startswith("error[export-failed]: ")
    shown = "export-failed" if name == "branch" else f"export-{name}"
    golden(GOLDEN / f"{shown}.txt", text.replace(f"{Path.cwd()}/", ""))


def test_running_out_of_memory_is_not_the_models_fault() -> None:
    path = net(
        "x):\n            if torch.compiler.is_exporting(): raise MemoryError('Unable to allocate')\n"
        "            return x"
    )
    with pytest.raises(MemoryError, match="Unable"):
        torch_session.run(job(path), lambda _: None)


def subject(path: str) -> Subject:
    return Subject("net", str(Path(path).absolute()), path, X)


@pytest.mark.parametrize("path", ["net.onnx", "net.pt", "net.jit", "net.fake.yaml"])
def test_only_what_pytorch_exports_is_tried(path: str) -> None:
    with pytest.raises(ModelError, match=rf"{path} cannot be exported: ") as caught:
        exporting.export(subject(path), Path("t.onnx"), Path("f.npz"), WorkerLimits())
    assert caught.value.exit == errors.Exit.CANNOT_START
    assert "--export" in caught.value.diagnostics[0].help


def test_every_format_says_whether_it_has_a_twin() -> None:
    assert [name for name, row in FORMATS.items() if not row.unexported] == ["torch.export", "code", "transformers"]


@pytest.mark.parametrize("absent", ["torch", "onnxscript"])
def test_without_what_it_needs_the_extra_is_named(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == absent else real(name))
    with pytest.raises(Refused, match=f"{absent}, which is not installed") as caught:
        backend.export(job("own:make"), WorkerLimits())
    assert caught.value.code == "extra-missing"
    assert {"torch": "[torch]", "onnxscript": "[export]"}[absent] in caught.value.help


def test_a_worker_that_breaks_gives_no_twin() -> None:
    path = net("x):\n            if torch.compiler.is_exporting(): import os; os.abort()\n            return x")
    found = exporting.export(subject(path), Path("t.onnx"), Path("f.npz"), WorkerLimits(timeout=100))
    assert isinstance(found, Missing)
    assert "SIGABRT while exporting the model" in found.reason
    assert (found.kind, Path("t.onnx").exists()) == ("failed", False)


# --- the command ----------------------------------------------------------------------------------------------------

BUDGET = """version: 1
models:
  - name: net
    path: own:make
    inputs: {x: {shape: [1, 4]}}
rules: [{metric: macs, max: 1 GMAC}]
"""


def profiled(*more: str, budget: str = BUDGET) -> int:
    Path("budgets.yaml").write_text(budget)
    return door.run(["profile", "net", "--export", "onnx", "--static-only", *more])


def test_both_are_measured_shown_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    net("x): return self.l(x)", "self.l = nn.Linear(4, 4, bias=False); nn.init.eye_(self.l.weight)")
    np.savez("val.npz", allow_pickle=False, x=np.eye(4, dtype=np.float32), labels=np.array([0, 1, 2, 0]))
    scored = BUDGET.replace("rules:", "    accuracy: {data: val.npz, metric: top1}\nrules:")
    assert profiled("--keep", "kept.onnx", "-o", "net.json", budget=scored) == 0
    told = capsys.readouterr().out
    assert "model net and its ONNX twin" in told
    assert [line.split()[-1] for line in told.splitlines() if line.startswith(("MACs", "Parameters"))] == ["equal"] * 2
    assert "note      exported from own:make for these inputs, by torch " in told
    assert "PyTorch's on the workload's inputs" in told
    model, other = (profile_file.read(Path(name)) for name in ("net.json", "net-onnx.json"))
    assert isinstance(model, Profile)
    assert isinstance(other, Profile)
    assert [one.model.name for one in (model, other)] == ["net", "net-onnx"]
    assert [one.measurements["accuracy"].value for one in (model, other)] == [0.75, 0.75]  # type: ignore[union-attr]
    assert other.model.path == "kept.onnx"
    digests = {file.path: file.sha256 for file in other.model.files}
    assert digests == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().glob("kept.onnx*")}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a budget of a model that costs nothing to measure; who exports is a stand-in."""
    Path("net.fake.yaml").write_text("fake: 1\nsize: 10 MB\nmacs: 300 MMAC\nlatency: 10 ms\n")
    return "version: 1\nmodels: [{name: net, path: net.fake.yaml}]\nrules: [{metric: size, max: 1 GB}]\n"


def test_without_a_twin_the_model_is_told_and_the_exit_code_is_3(
    fake: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "export", lambda *_: Missing("the worker did not answer", "failed", "more time"))
    assert profiled("-o", "net.json", "--layers", budget=fake) == 3
    told = capsys.readouterr().out
    assert "not made  the worker did not answer; more time" in told
    assert not Path("net-onnx.json").exists()
    assert Path("net.json").exists()


def test_what_is_kept_has_its_weights_beside_it(tmp_path: Path) -> None:
    made, kept = tmp_path / "made" / "net.onnx", tmp_path / "kept" / "net.onnx"
    for folder in (made.parent, kept.parent):
        folder.mkdir()
    for weights, found in (("weights", {"net.onnx", "net.onnx.data"}), ("", {"net.onnx"})):
        made.write_text("graph")
        made.with_name("net.onnx.data").write_text(weights)
        assert twin_of._kept(made, kept) == kept
        assert {path.name for path in kept.parent.iterdir()} == found
        for path in kept.parent.iterdir():
            path.unlink()


def test_a_place_that_cannot_be_written_is_named(
    fake: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "export", lambda _, onnx, *__: onnx.write_text("made"))
    assert profiled("--keep", "nowhere/kept.onnx", budget=fake) == 2
    assert "error[cannot-write]: nowhere/kept.onnx cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--export", "onnx", "--against", "auto"], "leave out --against"),
        (["--export", "onnx", "-o", "-"], "name a file"),
        (["--export", "onnx", "--keep", "net.pt"], "let the name end in .onnx"),
        (["--keep", "net.onnx"], "name both"),
        (["--export", "pt2"], "is not 'onnx'"),
    ],
)
def test_options_that_do_not_go_together(more: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["profile", "own:make", *more]) == 2
    assert words in capsys.readouterr().err
