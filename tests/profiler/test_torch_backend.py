"""The PyTorch backend: one network in every form, what is refused, and what a model consists of."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest

needs.package("torch")

import torch  # noqa: E402
import torch_nets as nets  # noqa: E402
from torch import nn  # noqa: E402

from greengate.budget import WorkerLimits  # noqa: E402
from greengate.errors import Diagnostic  # noqa: E402
from greengate.metrics import METRICS  # noqa: E402
from greengate.profile import InputSpec, Measurement, Missing, WorkloadSpec, digest_files  # noqa: E402
from greengate.profiler.backends import format_of, torch_session  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.backends.torch_inputs import prepare  # noqa: E402
from greengate.profiler.backends.torch_open import open_model  # noqa: E402
from greengate.profiler.backends.torch_weights import weights  # noqa: E402
from greengate.profiler.instructions.callgrind import Simulated  # noqa: E402
from greengate.profiler.jobs import (  # noqa: E402
    Counted,
    CountJob,
    FootprintJob,
    LaunchJob,
    Refused,
    Sampled,
    SimulateJob,
)
from greengate.profiler.operations.torch_count import count_module  # noqa: E402
from greengate.recipe import Recipe  # noqa: E402

GOLDEN = Path(__file__).parent / "golden" / "torch"
X = WorkloadSpec(inputs=(InputSpec("input", (1, 4)),))
Write = Callable[[], str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in an empty folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        # A package without __init__.py has no file, but a path.
        places = [getattr(sys.modules[name], "__file__", None), *getattr(sys.modules[name], "__path__", ())]
        if any(str(place).startswith(str(tmp_path)) for place in places):
            del sys.modules[name]


def code(text: str, name: str = "own.py") -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(text))


def count(path: str, workload: WorkloadSpec = X, *, lenient: bool = False, **recipe: Any) -> Counted:
    given = Recipe(recipe.get("weights"), json.dumps(recipe.get("args", {})))
    answer = torch_session.run(CountJob(str(Path.cwd() / path), workload, lenient, given), lambda _: None)
    assert isinstance(answer, Counted)
    return answer


def refused(path: str, workload: WorkloadSpec = X, **recipe: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        count(path, workload, **recipe)
    return caught.value


def forget() -> None:
    """Forget the code of this folder and where it lies, as another process would not know it."""
    sys.path[:] = [entry for entry in sys.path if not entry.startswith(str(Path.cwd()))]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("own", "draws")]:
        del sys.modules[name]


def value(found: Counted, metric: str) -> float:
    measured = found.measurements[metric]
    assert isinstance(measured, Measurement), measured
    return measured.value


LINEAR = "def make(): return nn.Sequential(nn.Linear(4, 3), nn.ReLU())\n"


# --- one network, every form --------------------------------------------------------------------

#: What a network calls its input, where that is not `x`.
NAMES = {"encoder": "src", "separable": "input"}
FORMS: dict[str, Callable[[nets.Net, str], str]] = {}


def form(write: Callable[[nets.Net, str], str]) -> Callable[[nets.Net, str], str]:
    FORMS[write.__name__] = write
    return write


@form
def traced(net: nets.Net, name: str) -> str:
    with nets.quiet():
        torch.jit.save(nets.traced(net), "net.pt")
    return "net.pt"


@form
def scripted(net: nets.Net, name: str) -> str:
    with nets.quiet():
        torch.jit.save(nets.scripted(net), "net.jit")
    return "net.jit"


@form
def exported(net: nets.Net, name: str) -> str:
    with nets.quiet():
        torch.export.save(nets.exported(net), "net.pt2")
    return "net.pt2"


@form
def factory(net: nets.Net, name: str) -> str:
    code(f"import torch_nets\ndef make(): return torch_nets.NETS[{name!r}].build()\n", "nets/made.py")
    return "nets.made:make"


@pytest.mark.parametrize("name", nets.NETS)
def test_every_form_of_a_network_has_equal_params_and_macs(name: str) -> None:
    net = nets.NETS[name]
    found = {}
    for write in FORMS.values():
        path = write(net, name)
        spec = WorkloadSpec(net.shape[0], inputs=(InputSpec(NAMES.get(name, "x"), net.shape),))
        counted = count(path, spec)
        found[path] = (value(counted, "macs") * net.shape[0], value(counted, "params"))
        assert counted.inputs[0].shape == net.shape
    assert set(found.values()) == {(net.macs, sum(item.numel() for item in net.build().parameters()))}, found


def test_every_metric_is_answered_and_what_is_missing_says_why() -> None:
    code(LINEAR)
    found = count("own:make")
    exact = {name for name, row in METRICS.items() if row.kind == "exact" and row.measured}
    assert set(found.measurements) == {name for name in exact if not METRICS[name].simulated}
    missing = {name: item for name, item in found.measurements.items() if isinstance(item, Missing)}
    assert set(missing) == {"elementwise_ops", "size"}
    assert "name its `weights`" in missing["size"].help  # type: ignore[union-attr]
    assert found.runtime == {"torch": torch.__version__}
    assert dict(found.settings) == {"device": "cpu", "compile": "off", "channels_last": "off"}


def test_the_size_is_what_is_on_disk() -> None:
    path = scripted(nets.NETS["separable"], "separable")
    spec = WorkloadSpec(inputs=(InputSpec("input", (1, 8, 10, 10)),))
    assert value(count(path, spec), "size") == Path(path).stat().st_size
    code(LINEAR)
    torch.save(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).state_dict(), "w.pt")
    assert value(count("own:make", weights=str(Path("w.pt").absolute())), "size") == Path("w.pt").stat().st_size


def test_activation_memory_by_hand() -> None:
    """Two results of 1,000 floats are alive at once, never three; a lazy third one would show."""
    code("def make(): return nn.Sequential(nn.Threshold(0, 1), nn.Threshold(0, 1), nn.Threshold(0, 1))")
    spec = WorkloadSpec(inputs=(InputSpec("input", (1, 1000)),))
    assert value(count("own:make", spec), "activation_memory") == 2 * 4000


def test_a_batch_costs_the_same_per_item() -> None:
    code(LINEAR)
    one, four = count("own:make"), count("own:make", WorkloadSpec(batch_size=4, inputs=(InputSpec("input", (4, 4)),)))
    assert value(one, "macs") == value(four, "macs") == 12
    assert value(four, "activation_memory") > value(one, "activation_memory")


# --- quantised and frozen -----------------------------------------------------------------------

QUANTISED = """
def make():
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, torch.qint8)
"""


class Tied(nn.Module):
    """Logits by the table of embeddings, which a stored program keeps under both names; or by a view of it."""

    def __init__(self, view: bool) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(50, 4), nn.Linear(4, 50, bias=False)
        self.head.weight = nn.Parameter(self.table.weight.view(50, 4)) if view else self.table.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(tokens))


@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_weights_that_share_memory_count_once(view: bool, stored: bool) -> None:
    module: Any = Tied(view).eval()
    if stored:
        torch.export.save(torch.export.export(module, (torch.zeros(3, dtype=torch.long),)), "tied.pt2")
        module = torch.export.load("tied.pt2").module()
    told = weights(module)["params"]
    assert isinstance(told, Measurement)
    assert told.value == 200
    found = count_module(module, (torch.zeros(3, dtype=torch.long),), cross_check=False)
    assert [(layer.params, layer.weight_bytes) for layer in found.layers if layer.params] == [(200, 800)]


def test_weights_without_memory_and_parts_of_one_memory_are_not_joined() -> None:
    with torch.device("meta"):
        told = weights(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))["params"]
    assert isinstance(told, Measurement)
    assert told.value == 40
    whole = torch.ones(10)
    parts = [nn.Parameter(part) for part in (whole[:5], whole[5:], whole[:4], whole[::2])]
    told = weights(nn.ParameterList(parts))["params"]
    assert isinstance(told, Measurement)
    assert told.value == 5 + 5 + 4 + 5


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates what these models are made with
def test_packed_parameters_are_counted_in_both_forms() -> None:
    code(QUANTISED)
    spec = WorkloadSpec(inputs=(InputSpec("input", (1, 16)),))
    eager = count("own:make", spec)
    with nets.quiet():
        made: dict[str, Any] = {}
        exec(Path("own.py").read_text(), made)
        torch.jit.save(torch.jit.script(made["make"]()), "q.pt")
    for found in (eager, count("q.pt", spec)):
        assert value(found, "params") == 16 * 32 + 32 + 32 * 4 + 4
        assert value(found, "macs") == 16 * 32 + 32 * 4
        assert value(found, "quantized_share") == 1
        assert value(found, "weight_bits") == pytest.approx((8 * 640 + 32 * 36) / 676)


WIDE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.ones(16, 32, dtype=torch.int8))

    def forward(self, input):
        wide, scales = input.bfloat16(), torch.ones(16, dtype=torch.bfloat16)
        return torch._weight_int8pack_mm(wide, self.w, scales)

def make():
    return Net()
"""


def test_weights_of_8_bits_by_wider_numbers_are_no_quantised_product() -> None:
    code(WIDE)
    found = count("own:make", WorkloadSpec(inputs=(InputSpec("input", (4, 32)),)))
    assert (value(found, "macs"), value(found, "quantized_share")) == (4 * 32 * 16, 0)


#: Quantised modules that keep what is packed in other places; LSTMs keep it so that it cannot be taken apart.
OTHERS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: nn.LSTM(16, 8),
    "gru": lambda: nn.GRU(16, 8),
    "cell": lambda: nn.LSTMCell(16, 8),
    "bag": lambda: nn.EmbeddingBag(10, 4),
    "linear": lambda: nn.Linear(16, 32),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates what these models are made with
@pytest.mark.parametrize("form", ["eager", "scripted", "frozen"])
@pytest.mark.parametrize("name", OTHERS)
def test_packed_parameters_are_counted_or_missing_and_never_left_out(name: str, form: str) -> None:
    from torch.ao.quantization import float_qparams_weight_only_qconfig, quantize_dynamic

    plain = nn.Sequential(OTHERS[name]()).eval()
    kinds = {nn.EmbeddingBag: float_qparams_weight_only_qconfig} if name == "bag" else {type(plain[0])}
    module = quantize_dynamic(plain, kinds)
    if form != "eager":
        with nets.quiet():
            module = torch.jit.script(module)
            torch.jit.save(torch.jit.freeze(module) if form == "frozen" else module, "q.pt")
            module = torch.jit.load("q.pt")
    found = weights(module)["params"]
    if name in ("cell", "linear"):
        assert isinstance(found, Measurement)
        # An LSTMCell keeps its biases a second time, as tensors of its own.
        assert found.value >= sum(item.numel() for item in plain.parameters())
    else:
        assert isinstance(found, Missing)
        assert "cannot be read" in found.reason


class Hidden(nn.Module):
    """Keeps what is packed under a name that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.quantize_per_tensor(torch.rand(3, 4), 0.1, 0, torch.qint8)
        self.hidden = torch.ops.quantized.linear_prepack(weight, torch.rand(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized.linear_dynamic(x, self.hidden)


@pytest.mark.filterwarnings("ignore")
def test_what_is_packed_under_an_unknown_name_is_noticed() -> None:
    """TorchScript tells how many such objects a module holds, and gives them by name only."""
    eager = weights(Hidden())["params"]
    assert isinstance(eager, Measurement)
    assert eager.value == 15
    found = weights(torch.jit.script(Hidden()))["params"]
    assert isinstance(found, Missing)
    assert "Hidden" in found.reason


def test_parameters_that_cannot_be_unpacked_are_missing() -> None:
    code("""
    class Odd(nn.Linear):
        def __init__(self):
            super().__init__(4, 3)
            self.kept = torch.classes.profiling._ScriptProfile()
    def make(): return Odd()
    """)
    found = count("own:make").measurements["params"]
    assert isinstance(found, Missing)
    assert "Odd" in found.reason


def test_frozen_torchscript_keeps_its_parameters() -> None:
    with nets.quiet():
        frozen = torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()))
        torch.jit.save(frozen, "f.pt")
    assert not list(frozen.parameters())
    assert value(count("f.pt", WorkloadSpec(inputs=(InputSpec("input", (1, 4)),))), "params") == 15


# --- refusals -----------------------------------------------------------------------------------


class Evil:
    def __reduce__(self) -> Any:
        return (os.system, ("touch ran",))


def _whole() -> str:
    torch.save(nn.Linear(4, 3), "m.pt")
    return "m.pt"


def _own(text: str) -> Write:
    def write() -> str:
        code(text)
        return "own:make"

    return write


def _bytes(data: bytes, name: str = "m.pt") -> Write:
    def write() -> str:
        Path(name).write_bytes(data)
        return name

    return write


def _script() -> str:
    with nets.quiet():
        torch.jit.save(torch.jit.script(nn.Linear(4, 3)), "m.pt")
    return "m.pt"


def _cut() -> str:
    data = Path(_script()).read_bytes()
    return _bytes(data[: len(data) // 2])()


def _folder(*files: str) -> Write:
    def write() -> str:
        Path("model").mkdir()
        for name in files:
            (Path("model") / name).write_text("{}")
        return "model"

    return write


#: One example of every code and the workload it is fed.
REFUSALS: dict[str, tuple[Write, WorkloadSpec]] = {
    "model-missing": (lambda: "m.pt", X),
    "model-empty": (_bytes(b""), X),
    "model-lfs-pointer": (_bytes(b"version https://git-lfs.github.com/spec/v1\n"), X),
    "model-truncated": (_cut, X),
    "model-invalid": (_bytes(b"# a text that was given another name\n"), X),
    "model-pickle": (_whole, X),
    "model-unsupported": (_script, WorkloadSpec(inputs=X.inputs, precision="tf32")),
    "code-failed": (_own("def make(): raise ValueError('width must be even')"), X),
    "input-open": (_script, WorkloadSpec()),
    "input-mismatch": (_script, WorkloadSpec(inputs=(InputSpec("input", (1, 5)),))),
    "batch-mismatch": (_script, WorkloadSpec(batch_size=8, inputs=(InputSpec("input", (1, 4)),))),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_reads_as_its_golden_text(name: str, golden: Callable[[Path, str], None]) -> None:
    write, workload = REFUSALS[name]
    found = refused(write(), workload)
    text = str(Diagnostic(found.code, found.message, found.help))
    assert text.startswith(f"error[{name}]: ")
    shown = name if name in ("model-pickle", "code-failed") else f"{name}-torch"
    golden(GOLDEN / f"{shown}.txt", text.replace(f"{Path.cwd()}/", ""))


@pytest.mark.parametrize(
    ("write", "name", "words"),
    [
        (_own("def make(): return 3"), "code-failed", "returns a int, not a torch.nn.Module"),
        (_own("def make(): pass"), "code-failed", "returns nothing"),
        (_own("x = 1"), "code-failed", "own has no function 'make'"),
        (_own("import nowhere_at_all\n"), "code-failed", "importing own raises ModuleNotFoundError"),
        (_own("def make(: pass"), "code-failed", "importing own raises SyntaxError"),
        (_own("def make(): raise SystemExit(3)"), "code-failed", "ends the process"),
        (_own("def make(width): pass"), "code-failed", "missing 1 required positional argument: 'width'"),
        (lambda: "absent.module:make", "code-failed", "there is no module absent"),
        (_bytes(b"\x80\x02}q\x00."), "model-pickle", "is a pickle"),
        (_folder(), "model-missing", "without config.json"),
        (_folder("config.json"), "model-missing", "no file ends in .safetensors"),
        (_folder("config.json", "pytorch_model.bin"), "model-pickle", "pytorch_model.bin is a pickle"),
    ],
)
def test_what_is_wrong_is_named(write: Write, name: str, words: str) -> None:
    found = refused(write())
    assert found.code == name
    assert words in found.message
    assert found.help


@pytest.mark.parametrize("weights", [False, True])
def test_a_compiled_module_is_refused_by_name(weights: bool) -> None:
    """Described inputs and weights do not fit it, and it would be timed as compiled under a workload that says not."""
    code("def make(): return torch.compile(nn.Sequential(nn.Linear(4, 3)))")
    torch.save(nn.Sequential(nn.Linear(4, 3)).state_dict(), "w.pt")
    with nets.quiet():
        found = refused("own:make", **({"weights": str(Path("w.pt").absolute())} if weights else {}))
    assert (found.code, found.message) == ("model-unsupported", "own:make returns a module that torch.compile wraps")
    assert "write `compile: true`" in found.help


LAZY = """
def make(): return nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
def called():
    net = make()
    net.eval()(torch.rand(1, 4))
    return net
"""


def test_parameters_without_a_shape_are_refused_and_get_one_from_a_call_or_weights() -> None:
    code(LAZY)
    found = refused("own:make")
    assert found.code == "model-unsupported"
    named = "0.weight, 0.bias, 1.weight and 3 more"
    assert found.message == f"own:make returns a module with parameters that have no shape yet: {named}"
    assert found.help == "call it once in the function that makes it"
    assert value(count("own:called"), "params") == 15 + 6
    made: dict[str, Any] = {}
    exec(Path("own.py").read_text(), made)
    torch.save(made["called"]().state_dict(), "w.pt")
    filled = count("own:make", weights=str(Path("w.pt").absolute()))
    assert (value(filled, "macs"), value(filled, "params")) == (12, 15 + 6)


def test_a_pickle_that_wants_to_run_code_never_does() -> None:
    torch.save({"a": Evil()}, "m.pt")
    found = refused("m.pt")
    assert (found.code, Path("ran").exists()) == ("model-pickle", False)
    assert "posix.system" in found.message
    code(LINEAR)
    found = refused("own:make", weights=str(Path("m.pt").absolute()))
    assert (found.code, Path("ran").exists()) == ("model-pickle", False)
    assert "posix.system" in found.message


class Plain(nn.Linear):
    """A network with everything that an exported program keeps: weights, constants, example inputs of several kinds."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.scale = torch.ones(3)  # no buffer: a constant of the program

    def forward(self, x: torch.Tensor, pair: tuple[torch.Tensor, int], *, times: float = 2.0) -> torch.Tensor:
        return super().forward(x) * self.scale * times + pair[0] * pair[1]


def _program(**changed: bytes) -> str:
    """Write an exported program; `changed` are records of its archive, `data__x` for `data/x`."""
    with nets.quiet():
        program = torch.export.export(Plain().eval(), (torch.rand(1, 4), (torch.rand(1, 3), 2)), {"times": 3.0})
        torch.export.save(program, "plain.pt2")
    with zipfile.ZipFile("plain.pt2") as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    records |= {name.replace("__", "/"): data for name, data in changed.items()}
    writer = torch._C.PyTorchFileWriter("m.pt2")
    for name, data in records.items():
        if not name.startswith(("byteorder", ".")):  # the writer's own
            writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return "m.pt2"


def _saved(held: object) -> bytes:
    file = io.BytesIO()
    torch.save(held, file)
    return file.getvalue()


def _config(name: str, **changed: Any) -> bytes:
    entry = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None} | changed
    return json.dumps({"config": {"scale": entry}}).encode()


#: Every place of an exported program that PyTorch unpickles without limits, or loads as machine code.
EVIL = {
    "example inputs": {"data__sample_inputs__model.pt": _saved(((Evil(),), {}))},
    "a weight": {
        "data__weights__model_weights_config.json": _config("weight_9"),
        "data__weights__weight_9": _saved(Evil()),
    },
    "weights of old": {"data__weights__model.pt": _saved({"weight": Evil()})},
    "a constant": {
        "data__constants__model_constants_config.json": _config("tensor_9"),
        "data__constants__tensor_9": _saved(Evil()),
    },
    "an opaque object": {
        "data__constants__model_constants_config.json": _config("opaque_obj_0"),
        "data__constants__opaque_obj_0": pickle.dumps(Evil(), 2),
    },
    "one under another case": {
        "data__constants__model_constants_config.json": _config("opaque_obj_0"),
        "data__constants__OPAQUE_obj_0": pickle.dumps(Evil(), 2),
    },
    "machine code": {"data__aotinductor__model__model.so": b"\x7fELF"},
}


@pytest.mark.parametrize("name", EVIL)
def test_an_exported_program_that_wants_to_run_code_never_does(name: str) -> None:
    found = refused(_program(**EVIL[name]), WorkloadSpec())
    assert not Path("ran").exists()
    assert found.code == ("model-unsupported" if name == "machine code" else "model-pickle")
    told = {"machine code": "data/aotinductor/model/model.so"}.get(name, "posix.system")
    assert ("data/constants/opaque_obj_0" if EVIL[name].keys() & OPAQUE else told) in found.message
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


OPAQUE = {f"data__constants__{word}_obj_0" for word in ("opaque", "OPAQUE")}


def test_an_exported_program_of_tensors_and_numbers_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, constants, nested example inputs; and what the user set of reading pickles is as it was."""
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "no")
    found = count(_program(), WorkloadSpec())
    assert value(found, "params") == 15
    assert [item.shape for item in found.inputs] == [(1, 4), (1, 3)]
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "no"


def test_an_exported_program_under_a_torchscript_name_is_told_apart() -> None:
    Path(exported(nets.NETS["attention"], "attention")).rename("net.pt")
    assert refused("net.pt").message.endswith("net.pt is an exported program")
    Path(_script()).rename("m.pt2")
    assert refused("m.pt2").message.endswith("m.pt2 is TorchScript")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"0.weight": (4, 4), "0.bias": (3,)}, "size mismatch for 0.weight"),
        ({"0.weight": (3, 4)}, 'Missing key(s) in state_dict: "0.bias"'),
        ({"0.weight": (3, 4), "0.bias": (3,), "1.scale": (1,)}, 'Unexpected key(s) in state_dict: "1.scale"'),
    ],
)
def test_weights_that_do_not_fit(
    state: dict[str, tuple[int, ...]], words: str, golden: Callable[[Path, str], None]
) -> None:
    code(LINEAR)
    torch.save({name: torch.zeros(shape) for name, shape in state.items()}, "w.pth")
    found = refused("own:make", weights=str(Path("w.pth").absolute()))
    assert found.code == "weights-mismatch"
    assert words in found.message
    if "size mismatch" in words:
        text = str(Diagnostic(found.code, found.message, found.help)).replace(f"{Path.cwd()}/", "")
        golden(GOLDEN / "weights-mismatch.txt", text)


@pytest.mark.parametrize(
    ("held", "name", "words"),
    [
        ([torch.zeros(1)], "weights-mismatch", "holds a list"),
        ({"epoch": 3}, "weights-mismatch", "holds a dict"),
    ],
)
def test_files_that_hold_no_state_dict(held: object, name: str, words: str) -> None:
    code(LINEAR)
    torch.save(held, "w.pth")
    found = refused("own:make", weights=str(Path("w.pth").absolute()))
    assert found.code == name
    assert words in found.message


TIED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(5, 4), nn.Linear(4, 5)
        self.head.weight = self.table.weight
    def forward(self, ids):
        out = self.head(self.table(ids))
        assert torch.equal(self.head.weight, torch.full((5, 4), 7.0)) and self.head.weight is self.table.weight
        return out
def make(): return Net()
"""


def test_what_is_tied_may_be_stored_once() -> None:
    """As safetensors does, which keeps one of the names."""
    safetensors = needs.package("safetensors.torch")
    code(TIED)
    made: dict[str, Any] = {}
    exec(Path("own.py").read_text(), made)
    net = made["make"]()
    nn.init.constant_(net.table.weight, 7.0)
    safetensors.save_model(net, "w.safetensors")
    assert len(safetensors.load_file("w.safetensors")) == 2
    spec = WorkloadSpec(inputs=(InputSpec("ids", (1, 3), "int64", max=5),))
    assert value(count("own:make", spec, weights=str(Path("w.safetensors").absolute())), "params") == 25
    # A name that nothing stands in for is still missing.
    safetensors.save_file({"head.bias": torch.zeros(5)}, "w.safetensors")
    assert "Missing key(s)" in refused("own:make", spec, weights=str(Path("w.safetensors").absolute())).message


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates what these models are made with
def test_weights_of_quantised_modules_hold_more_than_tensors() -> None:
    """Types, numbers, and tuples of tensors or nothing."""
    quantised = QUANTISED.replace("nn.Linear(32, 4)", "nn.Linear(32, 4, bias=False)")
    code(quantised)
    spec = WorkloadSpec(inputs=(InputSpec("input", (1, 16)),))
    made: dict[str, Any] = {}
    exec(Path("own.py").read_text(), made)
    state = made["make"]().state_dict()
    assert {type(item).__name__ for item in state.values()} == {"Tensor", "dtype", "tuple"}
    torch.save(state, "w.pt")
    assert value(count("own:make", spec, weights=str(Path("w.pt").absolute())), "params") == 16 * 32 + 32 + 32 * 4
    # What was not quantised, and what is quantised otherwise, does not fit.
    torch.save(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).state_dict(), "w.pt")
    found = refused("own:make", spec, weights=str(Path("w.pt").absolute()))
    assert found.code == "weights-mismatch"
    assert "KeyError" in found.message
    torch.save({**state, "0._packed_params._packed_params": 3}, "w.pt")
    assert refused("own:make", spec, weights=str(Path("w.pt").absolute())).code == "weights-mismatch"


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_change_what_is_computed_and_not_what_is_counted(wrapped: bool) -> None:
    safetensors = needs.package("safetensors.torch")
    code("""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Parameter(torch.zeros(()))
            self.a = nn.Linear(4, 3)
        def forward(self, x):
            return self.a(self.a(x)[:, :1].expand(1, 4)) if self.gate > 0 else self.a(x)
    def make(): return Net()
    """)
    state = {"gate": torch.ones(()), "a.weight": torch.zeros(3, 4), "a.bias": torch.zeros(3)}
    if wrapped:
        torch.save({"state_dict": state, "epoch": 3}, "w.pt")
    else:
        safetensors.save_file(state, "w.safetensors")
    path = str(Path("w.pt" if wrapped else "w.safetensors").absolute())
    spec = WorkloadSpec(inputs=(InputSpec("x", (1, 4)),))
    assert value(count("own:make", spec), "macs") == 12
    assert value(count("own:make", spec, weights=path), "macs") == 24


def test_damaged_safetensors_are_named() -> None:
    needs.package("safetensors")
    code(LINEAR)
    Path("w.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    assert "is not a safetensors file" in refused("own:make", weights=str(Path("w.safetensors").absolute())).message


def test_weights_for_a_model_in_a_file_are_refused() -> None:
    assert "for code that makes one" in refused(_script(), weights="w.pt").message


def test_a_lenient_job_tells_what_the_files_tell() -> None:
    found = count(_script(), WorkloadSpec(inputs=(InputSpec("input", (1, 5)),)), lenient=True)
    assert found.feed == ""
    assert found.unrun is not None
    assert (value(found, "params"), value(found, "size")) == (15, Path("m.pt").stat().st_size)
    assert isinstance(found.measurements["macs"], Missing)


# --- without the extra --------------------------------------------------------------------------


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, golden: Callable[[Path, str], None]) -> None:
    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "torch" else real(name))
    with pytest.raises(Refused) as caught:
        backend.run(CountJob("m.pt", X), WorkerLimits())
    text = str(Diagnostic(caught.value.code, caught.value.message, caught.value.help))
    golden(GOLDEN / "extra-missing.txt", text)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/m.pt", "torchscript"),
        ("m.jit", "torchscript"),
        ("m.pt2", "torch.export"),
        ("src/a.b:make", "code"),
        ("m.onnx", "onnx"),
    ],
)
def test_which_format_a_path_is(path: str, name: str) -> None:
    assert format_of(path).name == name


def test_a_folder_is_a_model_when_it_has_a_config() -> None:
    with pytest.raises(Refused, match="no backend reads"):
        format_of("model")
    _folder("config.json")()
    assert format_of("model").name == "transformers"


# --- inputs -------------------------------------------------------------------------------------

NESTED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(5, 2)
    def forward(self, batch, pair, *, scale: float = 1.0, times=1):
        for _ in range(times):
            y = self.a(batch["image"]["left"]) * scale
        return y, self.b(pair[0]) + self.b(pair[1])
def make(): return Net()
def inputs():
    left = torch.rand(1, 4)
    return {"batch": {"image": {"left": left}}, "pair": (torch.rand(1, 5), torch.rand(1, 5)), "times": 2}
"""
PARTS = (InputSpec("batch.image.left", (1, 4)), InputSpec("pair.0", (1, 5)), InputSpec("pair.1", (1, 5)))


def test_dicts_and_tuples_are_described_by_dots() -> None:
    code(NESTED)
    found = count("own:make", WorkloadSpec(inputs=PARTS))
    assert value(found, "macs") == 12 + 2 * 10
    assert [item.name for item in found.inputs] == ["batch.image.left", "pair.0", "pair.1"]
    more = count("own:make", WorkloadSpec(inputs=(*PARTS, InputSpec("times", value=3), InputSpec("scale", value=2))))
    assert value(more, "macs") == 3 * 12 + 2 * 10


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (PARTS[:2], "NotFound"),
        ((*PARTS, InputSpec("pair.7", (1, 5))), "number the parts of a tuple from 0"),
        ((*PARTS, InputSpec("pair", (1, 5))), "described whole and in parts"),
        ((*PARTS, InputSpec("tiems", value=2)), "did you mean 'times'"),
    ],
)
def test_parts_that_do_not_fit(inputs: tuple[InputSpec, ...], words: str) -> None:
    code(NESTED)
    found = refused("own:make", WorkloadSpec(inputs=inputs))
    assert found.code == "input-mismatch"
    if words != "NotFound":
        assert words in f"{found.message} {found.help}"


def test_inputs_can_come_from_code_and_repeat() -> None:
    code(NESTED)
    spec = WorkloadSpec(inputs_from=str(Path("own:inputs").absolute()))
    found = count("own:make", spec)
    assert value(found, "macs") == 2 * 12 + 2 * 10
    assert [(item.name, item.shape) for item in found.inputs] == [
        ("batch.image.left", (1, 4)),
        ("pair.0", (1, 5)),
        ("pair.1", (1, 5)),
    ]
    assert count("own:make", spec).feed == found.feed
    other = WorkloadSpec(inputs_from=spec.inputs_from, seed=1)
    assert count("own:make", other).feed != found.feed


@pytest.mark.parametrize(
    ("text", "words"), [("return []", "returns no tensor"), ("return 1 / 0", "calling own:inputs raises ZeroDivision")]
)
def test_code_that_makes_no_inputs(text: str, words: str) -> None:
    code(f"{LINEAR}def inputs(): {text}\n")
    found = refused("own:make", WorkloadSpec(inputs_from=str(Path("own:inputs").absolute())))
    assert found.code == "code-failed"
    assert words in found.message


def test_recorded_inputs_tell_shapes_and_types() -> None:
    code(LINEAR)
    np.savez("d.npz", input=np.ones((6, 4), "float32"))
    found = count("own:make", WorkloadSpec(batch_size=2, recorded="d.npz"))
    assert (found.inputs[0].shape, found.inputs[0].source) == ((2, 4), "recorded")
    assert value(found, "macs") == 12


def test_an_exported_program_knows_its_inputs_and_their_structure() -> None:
    made: dict[str, Any] = {}
    code(NESTED)
    exec(Path("own.py").read_text(), made)
    given = made["inputs"]()
    given.pop("times")
    batch = torch.export.Dim("batch")
    shapes = {
        "batch": {"image": {"left": {0: batch}}},
        "pair": ({0: batch}, {0: batch}),
    }
    two = {"batch": {"image": {"left": torch.rand(2, 4)}}, "pair": (torch.rand(2, 5), torch.rand(2, 5))}
    with nets.quiet():
        torch.export.save(torch.export.export(made["make"]().eval(), (), two, dynamic_shapes=shapes), "n.pt2")
    found = count("n.pt2", WorkloadSpec(batch_size=3))
    assert {item.shape for item in found.inputs} == {(3, 4), (3, 5)}
    assert value(found, "macs") == 12 + 2 * 10


def test_an_exported_program_may_take_halves_that_numpy_does_not_know() -> None:
    with nets.quiet():
        program = torch.export.export(nn.Linear(4, 3).bfloat16().eval(), (torch.rand(1, 4).bfloat16(),))
        torch.export.save(program, "b.pt2")
    found = count("b.pt2", WorkloadSpec(inputs=(InputSpec("input", min=2, max=3),)))
    assert value(found, "macs") == 12
    assert [(item.dtype, item.shape) for item in found.inputs] == [("bfloat16", (1, 4))]
    opened = open_model("b.pt2")
    (call,) = prepare(opened, WorkloadSpec(), None).calls
    assert call.args[0].dtype is torch.bfloat16
    # The digest is of what is fed, and floats that become the same halves are the same.
    recorded = {"input": np.full((1, 4), 1.0, "float32")}
    spec = WorkloadSpec(recorded="r.npz")
    one, near, far = (
        prepare(opened, spec, {"input": recorded["input"] + more}).digest for more in (0, np.float32(1e-6), 1)
    )
    assert one == near != far


# --- evaluation mode ----------------------------------------------------------------------------

MERGING = """
class Low(nn.Linear):  # as loralib's: merged by eval(), apart in training
    def __init__(self):
        super().__init__(4, 4)
        self.a, self.b = nn.Parameter(torch.rand(1, 4)), nn.Parameter(torch.rand(4, 1))
        self.merged = False
    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * (self.b @ self.a)
            self.merged = not mode
        return self
    def forward(self, input):
        out = super().forward(input)
        return out if self.merged else out + input @ self.a.T @ self.b.T
class Kept(nn.Linear):
    def train(self, mode=True):  # forgets to tell its children, and itself
        return self
    def forward(self, input):
        assert not self.training
        return super().forward(input)
def make(): return nn.Sequential(Low(), nn.Dropout(), Kept(4, 4))
def stored():
    program = torch.export.export(nn.Linear(4, 4).eval(), (torch.rand(1, 4),)).module()
    return nn.Sequential(Low(), program)
def program(): return stored()[1]
def failing():
    net = Low()
    net.a = None
    return net
"""


def test_a_model_goes_to_evaluation_by_its_own_eval() -> None:
    """What it merges there is measured merged, with its weights; what forgets a part of itself is told all the same."""
    code(MERGING)
    assert value(count("own:make"), "macs") == 2 * 16
    made: dict[str, Any] = {}
    exec(Path("own.py").read_text(), made)
    net = made["make"]()
    torch.save(net.state_dict(), "w.pt")
    opened = open_model(str(Path("own:make").absolute()), Recipe(str(Path("w.pt").absolute())))
    assert torch.equal(opened.module[0].weight, net[0].weight + net[0].b @ net[0].a)


@pytest.mark.parametrize(("name", "macs"), [("stored", 2 * 16), ("program", 16)])
def test_an_exported_program_that_code_returns_refuses_eval_and_is_measured(name: str, macs: int) -> None:
    code(MERGING)
    with nets.quiet():
        assert value(count(f"own:{name}"), "macs") == macs


def test_what_eval_raises_is_told_as_the_codes_own() -> None:
    code(MERGING)
    found = refused("own:failing")
    assert found.code == "code-failed"
    assert "calling eval() of own:failing raises TypeError" in found.message
    assert "own.py:" in found.message


# --- what is drawn ------------------------------------------------------------------------------

DRAWN = """
import random, numpy as np
TABLE = torch.rand(1)  # drawn where it is imported
class Net(nn.Linear):
    def forward(self, input):
        with open(SEEN, "a") as file:
            print(TABLE.item(), self.weight.sum().item(), file=file)
        for _ in range(int(torch.randint(1, 1 << 16, ())) % 200 + random.randrange(200) + np.random.randint(200)):
            out = super().forward(input)
        return super().forward(input)
def make(): return Net(4, random.randrange(1, 1000) + np.random.randint(1, 1000))
"""


def test_a_model_that_draws_is_the_same_one_in_every_job_and_role() -> None:
    """Its weights, its sizes, what it draws where it is imported, and how often its call goes round."""
    seen = Path("seen").absolute()
    text = f"SEEN = {str(seen)!r}\n{DRAWN}"
    found = []
    for seed in (0, 0, 1):
        forget()
        code(text)
        random.seed()  # as another process begins
        np.random.seed()
        torch.seed()
        found.append(count("own:make", WorkloadSpec(seed=seed, inputs=X.inputs)))
    assert found[0].measurements == found[1].measurements
    assert isinstance(found[0].measurements["activation_memory"], Measurement)
    assert value(found[2], "macs") != value(found[0], "macs")
    assert len(set(seen.read_text().splitlines())) == 2
    seen.unlink()
    code(text, "old/own/net.py")
    code(text, "new/own/net.py")
    forget()
    torch_session.run(_job({"baseline": "old", "candidate": "new", "control": "old"}), lambda _: None)
    assert len(set(seen.read_text().splitlines())) == 1


def test_what_is_counted_and_weighed_is_what_the_first_call_drew() -> None:
    """Of seed 0 the first number drawn is 0.496, and of those that follow none is near for a while."""
    code("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.small, self.large = nn.Linear(4, 4, bias=False), nn.Linear(4, 4000, bias=False)
            def forward(self, input):
                return self.large(input) if abs(torch.rand(()).item() - 0.496) < 0.001 else self.small(input)
        def make(): return Net()
    """)
    found = count("own:make", WorkloadSpec(seed=0, inputs=X.inputs))
    assert value(found, "macs") == 4 * 4000
    assert value(found, "activation_memory") >= 4 * 4000


def test_a_file_that_samples_is_counted_alike_every_time() -> None:
    class Sampling(nn.Module):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            for _ in range(int(torch.randint(1, 1 << 9, (1,)).item())):
                input = input @ torch.eye(4)
            return input

    with nets.quiet():
        torch.jit.save(torch.jit.script(Sampling()), "m.pt")
    found = []
    for _ in range(2):
        torch.seed()
        found.append(value(count("m.pt"), "macs"))
    assert found[0] == found[1]


# --- what a model made by code consists of ------------------------------------------------------


def test_the_digest_covers_weights_arguments_and_the_modules_that_were_loaded() -> None:
    code("from own.parts import head\ndef make(width=3): return nn.Sequential(head(width))\n", "own/net.py")
    code("def head(width): return nn.Linear(4, width)\n", "own/parts.py")
    code("idle = 1\n", "own/idle.py")
    torch.save(nn.Sequential(nn.Linear(4, 3)).state_dict(), "w.pt")
    weights = str(Path("w.pt").absolute())

    def digest(**recipe: Any) -> str:
        forget()
        found = count("own.net:make", WorkloadSpec(inputs=(InputSpec("input", (1, 4)),)), **recipe)
        return digest_files(found.files)

    first = digest(weights=weights)
    assert digest(weights=weights) == first
    Path("own/idle.py").write_text("idle = 2\n")
    assert digest(weights=weights) == first
    changed = {first, digest(), digest(args={"width": 3}), digest(args={"width": 5})}
    Path("own/parts.py").write_text(Path("own/parts.py").read_text() + "# another word\n")
    changed.add(digest(weights=weights))
    torch.save(nn.Sequential(nn.Linear(4, 3)).state_dict(), "w.pt")
    changed.add(digest(weights=weights))
    assert len(changed) == 6
    names = [file.path for file in count("own.net:make", args={"width": 3}, weights=weights).files]
    assert names == ["w.pt", "args", "own/net.py", "own/parts.py"]


def test_inputs_that_code_makes_leave_the_digest_alone() -> None:
    """Of the model's code, all and no more; of code that it loads when it is called, too."""
    code(
        "class Net(nn.Linear):\n    def forward(self, input):\n        from own import late\n"
        "        return super().forward(input)\ndef make(): return Net(4, 3)\n",
        "own/net.py",
    )
    code("", "own/late.py")
    code("from own import net\nfrom own import sizes\ndef inputs(): return torch.ones(sizes.ROWS, 4)\n", "own/feed.py")
    code("ROWS = 1\n", "own/sizes.py")
    fed = WorkloadSpec(inputs_from=str(Path("own.feed:inputs").absolute()))

    def files(spec: WorkloadSpec) -> tuple[Any, ...]:
        forget()
        return count("own.net:make", spec).files

    plain = files(X)
    assert [file.path for file in plain] == ["own/late.py", "own/net.py"]
    assert files(fed) == plain
    Path("own/net.py").write_text(Path("own/net.py").read_text() + "# another word\n")
    assert files(fed) != plain
    assert "own.feed" not in sys.modules


def test_code_behind_a_link_is_the_models_own() -> None:
    code(LINEAR, "elsewhere/own.py")
    Path("root").mkdir()
    Path("root/own.py").symlink_to(Path("elsewhere/own.py").absolute())
    assert [file.path for file in count("root/own:make").files] == ["own.py"]
    forget()
    assert count("torch.nn:Identity").files == (), "an installed package is not"


FEEDS = """
import random, numpy as np
from own.sizes import OFFSET
try:
    from own import relic
    OFFSET += 1
except ImportError:  # as it should be
    pass
TABLE = torch.rand(1, 4)  # drawn where it is imported
import draws
def inputs():
    return torch.rand(1, 4) + TABLE + np.random.rand() + random.random() + OFFSET
class Net(nn.Linear):
    def forward(self, x):
        with open(SEEN, "a") as file:
            print(repr(x.tolist()), file=file)
        return super().forward(x)
def make(): return Net(4, 3)
"""


@pytest.mark.parametrize("before", ["another function", "no function"])
def test_every_model_is_fed_by_the_function_of_the_work_tree(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is counted and where it is timed, the baseline like the candidate, and not by a function of its own.

    Nor by code that only the baseline has, and whether or not its model has loaded a package that draws.
    """
    seen = Path("seen").absolute()
    text = f"SEEN = {str(seen)!r}\n{FEEDS}"
    code("torch.rand(1)\n", "site-packages/draws.py")
    monkeypatch.syspath_prepend("site-packages")  # relative, and stays there
    code(text, "new/own/net.py")
    code("OFFSET = 0\n", "new/own/sizes.py")
    old = text.replace("import draws\n", "").replace("inputs", "none" if before == "no function" else "inputs")
    code(old, "old/own/net.py")
    code("OFFSET = 100\n", "old/own/sizes.py")
    code("", "old/own/relic.py")
    spec = WorkloadSpec(inputs_from=str(Path("new/own.net:inputs").absolute()))
    counted = set()
    for root in ("old", "new"):
        forget()
        counted.add(count(f"{root}/own.net:make", spec).feed)
    for roots in ({"baseline": "old", "candidate": "new"}, {"baseline": "new", "candidate": "new"}):
        forget()
        torch_session.run(_job(roots, spec), lambda _: None)
    assert len(counted) == 1
    assert len(set(seen.read_text().splitlines())) == 1


def test_the_models_own_modules_are_back_after_its_inputs_were_made() -> None:
    """A class imported anew is another one: what the model asks of itself must stay the same."""
    code("""
    class Net(nn.Linear):
        def forward(self, x):
            from own import Net as known
            assert type(self) is known
            return super().forward(x)
    def make(): return Net(4, 3)
    def inputs(): return torch.ones(1, 4)
    """)
    path = list(sys.path)
    assert value(count("own:make", WorkloadSpec(inputs_from=str(Path("own:inputs").absolute()))), "macs") == 12
    assert sys.path == [str(Path.cwd()), *path]


def _job(roots: dict[str, str], spec: WorkloadSpec = X) -> LaunchJob:
    paths = {role: str(Path(root).absolute() / "own.net:make") for role, root in roots.items()}
    return LaunchJob(paths, tuple(paths), spec, 1, 0.02, 4, 40)  # type: ignore[arg-type]


def test_two_versions_of_one_package_never_meet() -> None:
    for root, layers in (("old", 1), ("new", 40)):
        code(f"LAYERS = {layers}\n", f"{root}/own/sizes.py")
        code(
            "from own import sizes\n"
            "def make(): return nn.Sequential(*[nn.Linear(64, 64) for _ in range(sizes.LAYERS)])\n",
            f"{root}/own/net.py",
        )
    spec = WorkloadSpec(inputs=(InputSpec("input", (1, 64)),))
    found = torch_session.run(_job({"baseline": "old", "candidate": "new"}, spec), lambda _: None)
    assert isinstance(found, Sampled)
    medians = {role: sorted(kept["wall"])[len(kept["wall"]) // 2] for role, kept in found.samples.items()}
    assert medians["candidate"] > 5 * medians["baseline"]
    assert not [name for name in sys.modules if name.partition(".")[0] == "own"]


def test_code_that_imports_late_fails_loudly_beside_another_version() -> None:
    from greengate.profiler.jobs import WorkerFailed

    for root in ("old", "new"):
        code("", f"{root}/own/late.py")
        code(
            "class Net(nn.Linear):\n"
            "    def forward(self, x):\n"
            "        from own import late\n"
            "        return super().forward(x)\n"
            "def make(): return Net(4, 3)\n",
            f"{root}/own/net.py",
        )
    spec = WorkloadSpec(inputs=(InputSpec("x", (1, 4)),))
    with pytest.raises((Refused, WorkerFailed), match="No module named 'own'"):
        torch_session.run(_job({"baseline": "old", "candidate": "new"}, spec), lambda _: None)
    found = torch_session.run(_job({"baseline": "old", "candidate": "old"}, spec), lambda _: None)
    assert isinstance(found, Sampled)


# --- through real workers -----------------------------------------------------------------------


def test_launch_and_footprint_in_workers() -> None:
    code(LINEAR)
    limits = WorkerLimits(timeout=90)
    spec = WorkloadSpec(inputs=(InputSpec("input", (1, 4)),))
    job = LaunchJob({"baseline": "own:make", "candidate": "own:make"}, ("candidate", "baseline"), spec, 1, 0.05, 6, 60)
    found = backend.run(job, limits)
    lengths = {len(series) for kept in found.samples.values() for series in kept.values()}
    assert len(lengths) == 1
    assert lengths.pop() >= 6
    weighed = backend.run(FootprintJob("own:make", spec, 0), limits)
    assert weighed.samples["candidate"]["load"][0] > 0
    assert weighed.samples["candidate"]["peak"][0] >= 0


def test_a_factory_that_hangs_is_ended_with_all_that_it_started() -> None:
    from greengate.profiler.jobs import WorkerFailed

    pids = Path("pids").absolute()
    code(f"""
    import os, pathlib, subprocess, sys, time
    def make():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        pathlib.Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(60)
    """)
    with pytest.raises(WorkerFailed, match=r"did not answer within 8 s while loading the model"):
        backend.run(CountJob("own:make", X), WorkerLimits(timeout=8))
    for _ in range(50):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids.read_text().split()):
            return
        time.sleep(0.1)
    pytest.fail("a process that the factory started is still there")


@pytest.mark.system("valgrind")
def test_instructions_of_a_model_are_counted_and_named_by_library() -> None:
    code(
        """
        def make():
            torch.manual_seed(0)
            return nn.Linear(64, 4096)
        """
    )
    now = time.monotonic()
    workload = WorkloadSpec(inputs=(InputSpec("input", (8, 64)),))
    job = SimulateJob("own:make", workload, 0, now, now + 120)
    found = backend.simulate(job, WorkerLimits(120))
    assert isinstance(found, Simulated), found
    macs = 8 * 64 * 4096
    assert macs / 16 < found.counts[0].instructions < 4 * macs
    assert any(kernel.library.startswith("libtorch") for kernel in found.counts[0].kernels[:5])
    assert found.simulation.libraries["numpy"] == np.__version__
