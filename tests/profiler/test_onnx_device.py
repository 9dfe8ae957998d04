"""ONNX models on a GPU: what is there, which node ran where, what stays on the board. A stand-in plays the GPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_cuda
import graphs
import numpy as np
import onnxruntime
import pytest
from fake_cuda import UUID, Driver
from onnx import helper, numpy_helper

from greengate.profile import Gpu, InputSpec, Measurement, Missing, WorkloadSpec
from greengate.profiler import boards, cuda
from greengate.profiler.backends import onnx_device, onnx_runtime, onnx_session
from greengate.profiler.backends.onnx_device import CPU, CUDA, Assigned, Place, assigned, fallback
from greengate.profiler.cuda import Device
from greengate.profiler.jobs import (
    Counted,
    CountJob,
    EnergyJob,
    FootprintJob,
    LaunchJob,
    Ran,
    Refused,
    Sampled,
    WorkerFailed,
)

AZURE = "AzureExecutionProvider"
BOARD = Device(0, "NVIDIA Fake 0", UUID, fake_cuda.SIZE)
X = (InputSpec("x", (2, 8)),)
SPEC = WorkloadSpec(inputs=X, device="cuda")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


# --- the driver -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_device_is_named_by_the_driver(name: str, index: int) -> None:
    found = cuda.device(name, Driver(2))
    assert found == Device(index, f"NVIDIA Fake {index}", UUID.replace("-00", f"-{index:02}", 1), fake_cuda.SIZE)


@pytest.mark.parametrize(
    ("driver", "words"),
    [(Driver(1), "has 1 NVIDIA GPU here"), (Driver(0), "no NVIDIA GPU is here"), (Driver(2, broken=True), "no NVIDIA")],
)
def test_a_device_that_is_not_there_is_said(driver: Driver, words: str) -> None:
    found = cuda.device("cuda:1", driver)
    assert isinstance(found, Missing)
    assert found.reason.startswith("the device cuda:1 is not there: ")
    assert words in found.reason
    assert found.kind == "unavailable"


def test_without_a_driver_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_LIBRARIES", ("libnowhere.so.1",))
    assert isinstance(cuda.device("cuda"), Missing)


def test_a_partition_has_a_uuid_of_its_own() -> None:
    found = cuda.device("cuda", Driver(name="NVIDIA H100 MIG 1g.10gb"))
    assert isinstance(found, Device)
    assert found.uuid.startswith("MIG-")


def test_the_board_is_the_one_that_the_management_library_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Gpu("NVIDIA Real", 80, 700.0, "", {"UUID": UUID})
    monkeypatch.setattr(boards, "boards", lambda: (Gpu("other", 1, facts={"UUID": "GPU-else"}), known))
    assert BOARD.gpu is known
    assert replace(BOARD, uuid="").gpu.facts == {"power limit": "not told: it does not know the board"}


# --- where a workload runs ------------------------------------------------------------------------------------------


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime say it has CUDA, and the driver that there is a board."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(cuda, "_load", Driver)


def test_a_workload_of_the_cpu_stays_there() -> None:
    assert onnx_device.place_of(WorkloadSpec()) == Place()
    assert onnx_device.described(WorkloadSpec()) == {}


def test_a_build_without_cuda_is_named_with_the_way_out() -> None:
    """The real runtime of this environment, whose CPU build would run everything on the CPU with a warning."""
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this is the GPU build of onnxruntime")
    found = onnx_device.place_of(SPEC)
    assert isinstance(found, Missing)
    assert found.reason.startswith("the device cuda is not there: onnxruntime ")
    assert "pip uninstall onnxruntime onnxruntime-gpu" in found.help


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(("precision", "tf32"), [(None, "0"), ("tf32", "1")])
def test_a_board_is_asked_for_with_its_options(precision: Any, tf32: str) -> None:
    spec = replace(SPEC, precision=precision)
    found = onnx_device.placed(spec)
    assert found.device == BOARD
    assert found.providers == [
        (CUDA, {"device_id": "0", "use_tf32": tf32, "cudnn_conv_algo_search": "HEURISTIC"}),
        CPU,
    ]
    assert onnx_device.described(spec)["tf32"] == {"0": "off", "1": "on"}[tf32]


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("known", [True, False])
def test_libraries_that_pip_installed_are_loaded_before_a_session(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    if known:
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: loaded.append("all"))
    else:  # onnxruntime before 1.21
        monkeypatch.delattr(onnxruntime, "preload_dlls")
    onnx_device.placed(WorkloadSpec())
    assert not loaded, "the CPU wants none"
    onnx_device.placed(SPEC)
    assert loaded == ["all"] * known


@pytest.mark.usefixtures("there")
def test_a_limit_on_the_boards_memory_is_the_arenas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_GPU_MEMORY", "16000000000")
    options = onnx_device.placed(SPEC).options
    assert options is not None
    assert options["gpu_mem_limit"] == "16000000000"


@pytest.mark.usefixtures("there")
def test_a_board_that_is_not_there_fails_the_job() -> None:
    with pytest.raises(WorkerFailed, match="cuda:3 is not there: the driver has 1 NVIDIA GPU"):
        onnx_device.placed(replace(SPEC, device="cuda:3"))


def test_a_provider_that_does_not_start_is_noticed() -> None:
    """What a GPU build without CUDA's libraries does: it lists the provider, warns, and runs on the CPU."""
    session = fake_cuda.Session(None, [], {}, silent=True)
    with pytest.raises(WorkerFailed, match=f"could not start {CUDA} and took {CPU}"):
        onnx_device.check(session, Place(CUDA, device=BOARD))


# --- which node ran where -------------------------------------------------------------------------------------------


def graph() -> str:
    """Return a product, an activation, and a shape that is worked out from the input."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], "product"),
        helper.make_node("Relu", ["p"], ["r"], "relu"),
        helper.make_node("Shape", ["x"], ["s"], "shape"),
        helper.make_node("Gather", ["s", "order"], ["t"], "turned"),
        helper.make_node("Reshape", ["r", "t"], ["y"], "reshape"),
    ]
    order = numpy_helper.from_array(np.array([1, 0]), "order")
    given = [graphs.value("x", ("rows", "wide"))]
    return graphs.save(graphs.model(nodes, given, [graphs.weight("w", (8, 8)), order]), Path("net.onnx").absolute())


def test_a_provider_that_takes_no_node_is_found_out() -> None:
    """A real silent fallback: Azure's provider starts, the session lists it first, and every node runs on the CPU."""
    path = graph()
    place = Place(AZURE, device=BOARD)
    if AZURE not in onnxruntime.get_available_providers():
        pytest.skip("this build of onnxruntime has no provider for Azure")
    loaded = onnx_runtime.load(path, 1, str(Path.cwd() / "trace"), place=place)
    assert loaded.session.get_providers() == [AZURE, CPU], "it has started, and says nothing"
    loaded.call({"x": np.ones((2, 8), np.float32)})
    found = assigned(Path(loaded.session.end_profiling()), place)
    assert found.there == {}
    assert found.fallen["MatMul"] == 1
    missing = fallback(found, place)
    assert isinstance(missing, Missing)
    count = sum(found.fallen.values())
    assert missing.reason.startswith(f"{count} of {count} nodes fell back to the CPU ({AZURE} does not take them): ")


def profile(*nodes: tuple[Any, ...]) -> Path:
    """Write a profile: operator, provider, type of what it puts out, and type and shape of what it reads."""
    events = [
        {
            "cat": "Node",
            "name": f"n{place}_kernel_time",
            "args": {
                "op_name": op,
                "provider": provider,
                "input_type_shape": [{one: shape} for one, shape in read],
                "output_type_shape": [{kind: [2]}] if kind else [],
            },
        }
        for place, (op, provider, kind, *read) in enumerate(nodes)
    ]
    noise = [{"cat": "Session", "name": "run", "args": {}}, {"cat": "Node", "name": "n_fence_before", "args": {}}]
    Path("profile.json").write_text(json.dumps([*events, *noise]))
    return Path("profile.json")


@pytest.mark.parametrize(
    ("node", "where"),
    [
        (("Conv", CUDA, "float"), "there"),
        (("Shape", CUDA, "int64"), "there"),
        (("Shape", CPU, "int64"), "steering"),
        (("Greater", CPU, "bool"), "steering"),
        (("Gather", CPU, "int32"), "steering"),
        (("Gather", CPU, "float"), "fallen"),
        (("Cast", CPU, "float16"), "fallen"),
        (("TreeEnsemble", CPU, ""), "fallen"),
        (("QLinearConv", CPU, "uint8"), "fallen"),
        (("QLinearMatMul", CPU, "int8"), "fallen"),
        (("QLinearAdd", CPU, "int8"), "fallen"),
        (("QLinearGlobalAveragePool", CPU, "uint8"), "fallen"),
        (("QuantizeLinear", CPU, "uint8"), "fallen"),
        (("QuantizeLinear", CPU, "int16"), "fallen"),
        (("DynamicQuantizeLinear", CPU, "uint8"), "fallen"),
        (("ConvInteger", CPU, "int32"), "fallen"),
        (("MatMulInteger", CPU, "int32"), "fallen"),
        (("MatMul", CPU, "int64"), "fallen"),
        (("ArgMax", CPU, "int64", ("float", [1, 128, 30522])), "fallen"),
        (("Greater", CPU, "bool", ("float16", [64, 65]), ("float16", [])), "fallen"),
        (("Cast", CPU, "int64", ("uint8", [1, 3, 64, 64])), "fallen"),
        (("Cast", CPU, "int64", ("float", [2])), "steering"),
        (("Shape", CPU, "int64", ("float", [64, 3, 224, 224])), "steering"),
        (("Where", CPU, "int64", ("bool", [1, 1, 512, 512]), ("int64", [1]), ("int64", [1])), "steering"),
    ],
)
def test_where_a_node_counts(node: tuple[Any, ...], where: str) -> None:
    found = assigned(profile(node), Place(CUDA))
    assert {name: sum(getattr(found, name).values()) for name in ("there", "steering", "fallen")} == {
        **dict.fromkeys(("there", "steering", "fallen"), 0),
        where: 1,
    }


def test_a_node_that_puts_out_both_computes() -> None:
    path = profile(("TopK", CPU, "int64"))
    events = json.loads(path.read_text())
    events[0]["args"]["output_type_shape"] = [{"float": [2]}, {"int64": [2]}]
    path.write_text(json.dumps(events))
    assert assigned(path, Place(CUDA)).fallen == {"TopK": 1}


def test_what_is_said_of_nodes() -> None:
    place = Place(CUDA)
    found = Assigned({"Conv": 3, "MemcpyToHost": 2}, {"Shape": 1, "Gather": 2}, {})
    assert fallback(found, place) is None
    assert onnx_device.notes(found, place) == (
        f"all 5 nodes that compute ran on {CUDA}, as its profile says of each; 3 that work out shapes ran on the CPU: "
        "Gather x2, Shape; 2 copies between CPU and board in a call",
    )
    missing = fallback(Assigned({"Conv": 3}, {"Shape": 9}, dict.fromkeys("ABCDEFG", 1)), place)
    assert missing is not None
    assert "7 of 10 nodes fell back" in missing.reason
    assert missing.reason.endswith("A, B, C, D, E and 2 more")
    assert "device: cpu" in missing.help


# --- the whole backend on a stand-in --------------------------------------------------------------------------------


@pytest.fixture
def fallen(there: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let sessions say they run on a board; return the operators that fall back, to be filled. `` makes all fall."""
    ops: dict[str, str] = {}
    real = onnxruntime.InferenceSession

    def session(path: str, options: Any, providers: list[Any], enable_fallback: int) -> Any:
        assert enable_fallback == 0
        made = real(path, options, providers=[CPU])
        if providers == [CPU]:
            return made
        assert providers[0][0] == CUDA
        return fake_cuda.Session(made, providers, ops, silent="" in ops)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    of = onnx_device.place_of
    monkeypatch.setattr(
        onnx_device,
        "place_of",
        lambda spec: replace(found, memory="cpu") if isinstance(found := of(spec), Place) else found,
    )
    return ops


def count(spec: WorkloadSpec = SPEC) -> Counted:
    found = onnx_session.run(CountJob(graph(), spec), lambda _: None)
    assert isinstance(found, Counted)
    return found


def test_a_model_on_a_board_is_counted_and_says_where_it_ran(fallen: dict[str, str]) -> None:
    found = count()
    macs = found.measurements["macs"]
    assert isinstance(macs, Measurement)
    assert macs.value == 2 * 64
    assert found.unrun is None
    assert found.runtime["provider"] == CUDA
    assert found.settings["inputs and outputs"] == "on the board"
    assert found.gpus[0].name == "NVIDIA Fake 0"
    assert found.notes[-1].startswith("all ")
    memory = found.measurements["activation_memory"]
    assert isinstance(memory, Missing)
    assert "arena" in memory.reason


def test_a_model_that_falls_back_is_counted_and_not_timed(fallen: dict[str, str]) -> None:
    fallen["MatMul"] = "on the CPU"
    found = count()
    assert isinstance(found.measurements["macs"], Measurement)
    assert found.unrun is not None
    assert found.unrun.reason.endswith("does not take them): MatMul")
    assert found.measurements["activation_memory"] == found.unrun
    assert not any(note.startswith("all ") for note in found.notes)


def test_a_board_that_cannot_be_used_leaves_the_counts(fallen: dict[str, str]) -> None:
    fallen[""] = "everything"
    found = count()
    assert isinstance(found.measurements["macs"], Measurement)
    assert found.unrun is not None
    assert found.unrun.reason == f"onnxruntime could not start {CUDA} and took {CPU}"
    with pytest.raises(WorkerFailed, match="could not start"):
        onnx_session.run(FootprintJob(graph(), SPEC, 0), lambda _: None)


def test_without_a_board_what_is_exact_is_told() -> None:
    found = count(replace(SPEC, device="cuda:7"))
    assert isinstance(found.measurements["macs"], Measurement)
    assert found.unrun is not None
    assert "cuda:7 is not there" in found.unrun.reason
    assert (found.runtime["provider"], found.gpus) == (CPU, ())


@pytest.mark.parametrize(
    ("precision", "device", "taken"), [("tf32", "cuda", True), ("tf32", "cpu", False), ("bf16", "cuda", False)]
)
@pytest.mark.usefixtures("fallen")
def test_tf32_is_for_boards(precision: Any, device: str, taken: bool) -> None:
    spec = replace(SPEC, device=device, precision=precision)
    if taken:
        assert count(spec).settings["tf32"] == "on"
    else:
        with pytest.raises(Refused, match="no use for `precision`"):
            count(spec)


def test_a_trial_runs_on_values_that_lie_on_the_board(fallen: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The binding is real, onto the CPU's memory: inputs are put there once, outputs are never fetched."""
    put: list[tuple[str, int]] = []
    real = onnxruntime.OrtValue.ortvalue_from_numpy
    monkeypatch.setattr(
        onnxruntime.OrtValue,
        "ortvalue_from_numpy",
        lambda array, memory, index: put.append((memory, index)) or real(array, memory, index),
    )
    path = graph()
    paths: Any = {"baseline": path, "candidate": path}
    found = onnx_session.run(LaunchJob(paths, tuple(paths), SPEC, 0, 0.01, 5, 20), lambda _: None)
    assert isinstance(found, Sampled)
    assert min(found.samples["candidate"]["wall"]) > 0
    assert put == [("cpu", 0)] * 2
    ran = onnx_session.run(EnergyJob(paths, tuple(paths), SPEC, 0, 0.01, 1, 0.0), lambda _: None)
    assert isinstance(ran, Ran)
    assert ran.devices == ("cpu", UUID)


def test_what_is_bound_computes_the_same() -> None:
    loaded = onnx_runtime.load(graph(), 1)
    feed = {"x": np.arange(16, dtype=np.float32).reshape(2, 8)}
    binding: list[Any] = []
    waited: list[bool] = []
    session = loaded.session
    real = session.io_binding

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

        def io_binding(self) -> Any:
            binding.append(real())
            wait = binding[0].synchronize_outputs
            binding[0].synchronize_outputs = lambda: waited.append(True) or wait()
            return binding[0]

    onnx_device.bound(Watched(), loaded.outputs, feed, Place())()
    np.testing.assert_array_equal(binding[0].copy_outputs_to_cpu()[0], session.run(None, feed)[0])
    assert waited == [True], "a call returns when the board is done"


@pytest.mark.parametrize(
    ("held", "peak"), [([100, 350], 250), ([100, 50], 0), ([None, 350], None), ([100, None], None)]
)
def test_the_peak_is_what_the_board_holds_more(
    held: list[int | None], peak: int | None, fallen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(boards, "held", lambda uuid: asked.append(uuid) or held[len(asked) - 1])
    found = onnx_session.run(FootprintJob(graph(), SPEC, 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"].get("peak", (None,)) == (peak,)
    assert asked == [UUID] * 2
    assert ("NVIDIA Fake 0 held more" in found.notes[0]) is (peak is not None)


NODE = "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. Name:'c' Status: "


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=box ; file=/x/cuda_call.cc",
            "the GPU failed: CUDA failure 700: an illegal memory access was encountered",
        ),
        (
            f"{NODE}CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=box",
            "the GPU failed: CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED",
        ),
        (
            f"{NODE}CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=box",
            "the GPU failed: CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED",
        ),
    ],
)
def test_a_board_that_fails_is_not_the_models_fault(words: str, said: str) -> None:
    place, error = Place(CUDA, device=BOARD, memory="cpu"), RuntimeError(words)
    for meaning in (onnx_runtime._run_fault, onnx_runtime._load_fault):
        found = meaning("net.onnx", error, place)
        assert isinstance(found, WorkerFailed)
        assert found.reason == said
        assert "nvidia-smi" in found.help
        assert isinstance(meaning("net.onnx", error, Place()), Refused), "without a board nothing of it can have failed"


@pytest.mark.parametrize("words", ["CUDA failure 2: out of memory", "Failed to allocate memory for requested buffer"])
def test_a_full_board_is_said_and_a_full_machine_is_another_matter(words: str) -> None:
    class Full:
        def run_with_iobinding(self, _: object) -> None:
            raise RuntimeError(words)

        def io_binding(self) -> Any:
            return onnx_runtime.load(graph(), 1).session.io_binding()

        def run(self, *_: object) -> None:
            raise RuntimeError(words)

    feed = {"x": np.ones((2, 8), np.float32)}
    board = Place(CUDA, device=BOARD, memory="cpu")
    with pytest.raises(WorkerFailed, match="the GPU ran out of memory") as caught:
        onnx_runtime.Loaded(Full(), ["z"], "net.onnx", place=board).caller(feed)()
    assert caught.value.out_of_memory
    with pytest.raises(WorkerFailed, match="the GPU ran out"):
        onnx_runtime.Loaded(Full(), ["z"], "net.onnx", place=board).call(feed)
    with pytest.raises((MemoryError, Refused)):
        onnx_runtime.Loaded(Full(), ["z"], "net.onnx").caller(feed)()
