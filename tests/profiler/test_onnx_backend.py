"""The ONNX backend through real workers: every refusal as a reader sees it, and every job."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import BOOL, INT64, external, linear, model, relu, save, value, weight
from onnx import TensorProto, helper, numpy_helper

from greengate.budget import WorkerLimits
from greengate.errors import Diagnostic
from greengate.metrics import METRICS
from greengate.profile import InputSpec, Launch, Measurement, Missing, Role, WorkloadSpec
from greengate.profiler.backends import FORMATS
from greengate.profiler.backends import onnx as backend
from greengate.profiler.jobs import Counted, CountJob, FootprintJob, LaunchJob, Refused, Sampled, WorkerFailed
from greengate.profiler.steady import remarks

GOLDEN = Path(__file__).parent / "golden"
LIMITS = WorkerLimits(timeout=60)
op = helper.make_node


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, so that messages are the same on every machine."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


def count(path: str, workload: WorkloadSpec = WorkloadSpec()) -> Counted:  # noqa: B008
    return backend.run(CountJob(path, workload), LIMITS)


def refused(path: str, workload: WorkloadSpec = WorkloadSpec()) -> Refused:  # noqa: B008
    with pytest.raises(Refused) as caught:
        count(path, workload)
    return caught.value


# --- refusals -----------------------------------------------------------------------------------


def _written(data: bytes) -> Callable[[], str]:
    def write() -> str:
        Path("m.onnx").write_bytes(data)
        return "m.onnx"

    return write


def _saved(proto: onnx.ModelProto) -> Callable[[], str]:
    return _written(proto.SerializeToString())


def _unreadable() -> str:
    Path("m.onnx").symlink_to("m.onnx")
    return "m.onnx"


def _recorded() -> str:
    np.savez("d.npz", y=np.ones((2, 4), "float32"))
    return _saved(relu(("batch", 4)))()


DETECTOR = model([op("Relu", ["x"], ["y"])], [value("x", (None, 3, "h", "w")), value("rate", (), TensorProto.INT64)])
DESCRIBED = WorkloadSpec(inputs=(InputSpec("x", (1, 5)),))

#: One example of every code, and the workload it is fed.
REFUSALS: dict[str, tuple[Callable[[], str], WorkloadSpec]] = {
    "model-missing": (lambda: "m.onnx", WorkloadSpec()),
    "unreadable-file": (_unreadable, WorkloadSpec()),
    "model-empty": (_written(b""), WorkloadSpec()),
    "model-lfs-pointer": (_written(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), WorkloadSpec()),
    "model-not-onnx": (_written(b"# A text that was given another name\n"), WorkloadSpec()),
    "model-truncated": (_written(linear().SerializeToString()[:60]), WorkloadSpec()),
    "model-invalid": (_saved(model([op("Relu", ["nowhere"], ["y"])], [value("x", (1, 4))])), WorkloadSpec()),
    "model-unsupported": (_saved(model([op("Bogus", ["x"], ["y"])], [value("x", (1, 4))])), WorkloadSpec()),
    "external-data-missing": (lambda: external(Path("m.onnx"), "m.onnx.data"), WorkloadSpec()),
    "external-data-escapes": (lambda: external(Path("m.onnx"), "../secrets.bin"), WorkloadSpec()),
    "input-open": (_saved(DETECTOR), WorkloadSpec()),
    "input-mismatch": (_saved(relu()), DESCRIBED),
    "batch-mismatch": (_saved(relu()), WorkloadSpec(batch_size=8)),
    "recorded-data": (_recorded, WorkloadSpec(recorded="d.npz")),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_reads_as_its_golden_text(code: str, golden: Callable[[Path, str], None]) -> None:
    write, workload = REFUSALS[code]
    found = refused(write(), workload)
    text = str(Diagnostic(found.code, found.message, found.help))
    assert text.startswith(f"error[{code}]: ")
    golden(GOLDEN / f"{code}.txt", text.replace(f"onnxruntime {version('onnxruntime')}", "onnxruntime 1.x"))


BFLOAT16 = TensorProto.BFLOAT16


def on_a_gpu() -> onnx.ModelProto:
    """Return a convolution of a type that no CPU kernel takes: 4 x 4 places, 8 x 3 x 3 x 3 weights, padded."""
    kernel = helper.make_tensor("w", BFLOAT16, (8, 3, 3, 3), np.ones(216))
    nodes = [op("Conv", ["x", "w"], ["y"], name="stem", pads=[1, 1, 1, 1])]
    return model(nodes, [value("x", ("batch", 3, 4, 4), BFLOAT16)], [kernel], [value("y", None, BFLOAT16)], opset=22)


CUSTOM = model(
    [op("MatMul", ["x", "w"], ["h"], name="head"), op("Foo", ["h"], ["y"], domain="com.acme")],
    [value("x", (1, 4))],
    [weight("w", (4, 3))],
    domains={"com.acme": 1},
)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (model([op("Gelu", ["x"], ["y"])], [value("x", (1, 4))]), "no operator Gelu in opset 17"),
        (relu(ir_version=99), "no IR version 99"),
        (model([*CUSTOM.graph.node], [value("x", (1, 4))], [weight("w", (4, 3))]), "No opset import for domain"),
    ],
)
def test_what_no_runtime_can_read_is_refused(proto: onnx.ModelProto, words: str) -> None:
    found = refused(_saved(proto)())
    assert found.code in ("model-unsupported", "model-invalid")
    assert words in found.message


@pytest.mark.parametrize(
    ("proto", "why", "macs"),
    [
        (CUSTOM, "no operator com.acme:Foo", "operators that this version does not count: com.acme.Foo"),
        (relu(opset=99), "no opset 99", "opset 99 is newer than onnx"),
        (on_a_gpu(), "no implementation of Conv (opset 22)", 16 * 8 * 27),
        (
            model(
                [op("Identity", ["x"], ["y"])],
                [value("x", (1, 4), BFLOAT16)],
                outputs=[value("y", None, BFLOAT16)],
                opset=22,
            ),
            "input 'x' is tensor(bfloat16)",
            0,
        ),
        (
            model(
                [op("LSTM", ["x", "w", "r"], ["y"], hidden_size=2, layout=1)],
                [value("x", (1, 5, 3))],
                [weight("w", (1, 8, 3)), weight("r", (1, 8, 2))],
            ),
            "cannot run all of it: Exception during initialization: layout_ == 0 was false. Batchwise",
            5 * (8 * 3 + 8 * 2),
        ),
    ],
)
def test_what_cannot_run_here_is_counted_by_its_graph(proto: onnx.ModelProto, why: str, macs: int | str) -> None:
    found = count(_saved(proto)())
    assert found.unrun is not None
    assert why in found.unrun.reason
    assert found.unrun.help
    assert "/" not in found.unrun.reason.replace("com.acme", "")  # nobody's folders
    size, params, told = (found.measurements[name] for name in ("size", "params", "macs"))
    assert isinstance(size, Measurement)
    assert isinstance(params, Measurement)
    assert (size.value, params.method) == (len(proto.SerializeToString()), "read")
    if isinstance(macs, str):
        assert isinstance(told, Missing)
        assert macs in told.reason
        assert not found.notes
    else:
        assert isinstance(told, Measurement)
        assert (told.value, told.method) == (macs, "static")
        assert "counted without running" in found.notes[0]
    assert found.measurements["activation_memory"] == found.unrun
    assert isinstance(found.measurements["quantized_share"], Missing)


def test_a_broken_file_is_not_taken_for_one_of_another_runtime() -> None:
    """The runtime stops at the operator that it does not have; what it did not come to is looked at all the same."""
    behind = op("Relu", ["h", "h"], ["z"], name="odd")
    front = op("Foo", ["x"], ["f"], domain="com.acme", name="first")
    nodes = [front, op("Neg", ["f"], ["h"]), behind, op("Neg", ["z"], ["y"])]
    found = refused(_saved(model(nodes, [value("x", (1, 4))], domains={"com.acme": 1}))())
    assert found.code == "model-invalid"
    assert found.message == "m.onnx is no valid ONNX: Relu 'odd' has 2 inputs, and takes 1 to 1"
    circle = [op("Foo", ["x"], ["y"], domain="com.acme"), op("Neg", ["b"], ["a"]), op("Neg", ["a"], ["b"])]
    assert refused(_saved(model(circle, [value("x", (1, 4))], domains={"com.acme": 1}))()).code == "model-invalid"


def test_inputs_left_open_are_asked_for_where_a_model_cannot_run_too() -> None:
    proto = on_a_gpu()
    proto.graph.input[0].CopyFrom(value("x", ("batch", 3, "h", "w"), BFLOAT16))
    assert refused(_saved(proto)()).code == "input-open"
    found = count("m.onnx", WorkloadSpec(batch_size=2, inputs=(InputSpec("x", (2, 3, 8, 8)),)))
    assert found.measurements["macs"].value == 64 * 8 * 27  # per item
    assert (found.inputs[0].dtype, found.inputs[0].shape) == ("bfloat16", (2, 3, 8, 8))


def test_inputs_of_other_kinds_leave_what_the_files_tell() -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    sequence = helper.make_value_info("x", kind)
    found = count(_saved(model([op("SequenceLength", ["x"], ["y"])], [sequence], outputs=[value("y", (), INT64)]))())
    assert isinstance(found.measurements["size"], Measurement)
    assert "is no tensor of known rank" in found.measurements["macs"].reason
    assert found.unrun is not None


def test_outputs_of_types_beyond_numpy_run() -> None:
    nodes = [op("MatMul", ["x", "w"], ["h"]), op("Cast", ["h"], ["y"], to=BFLOAT16)]
    outputs = [value("y", None, BFLOAT16)]
    proto = model(nodes, [value("x", (2, 4))], [weight("w", (4, 3))], outputs, opset=19)
    found = count(_saved(proto)())
    assert found.unrun is None
    assert (found.measurements["macs"].value, found.measurements["macs"].method) == (24, "executed")
    timed = backend.run(FootprintJob("m.onnx", WorkloadSpec(), 1), LIMITS)
    assert timed.samples["candidate"]["load"][0] > 0


def test_weights_of_a_model_that_cannot_run_are_never_loaded() -> None:
    """3 GB of bfloat16 in a sparse file, under a memory limit that they do not fit into."""
    size = 3 * 2**30
    with Path("w.bin").open("wb") as file:
        file.truncate(size)
    kernel = TensorProto(name="w", data_type=BFLOAT16, dims=(2**29, 3, 1, 1), data_location=TensorProto.EXTERNAL)
    kernel.external_data.add(key="location", value="w.bin")
    proto = on_a_gpu()
    proto.graph.initializer[0].CopyFrom(kernel)
    found = backend.run(CountJob(_saved(proto)(), WorkloadSpec()), WorkerLimits(timeout=60, memory=2.5e9))
    assert found.measurements["macs"].value == 36 * 2**29 * 3
    assert found.measurements["size"].value == size + Path("m.onnx").stat().st_size


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (model([op("And", ["x", "x"], ["y"])], [value("x", (1, 4))]), "Type 'tensor(float)' of input parameter (x)"),
        (model([op("Softmax", ["x"], ["y"], axis=9)], [value("x", (1, 4))]), "'axis' must be in"),
        (model([], [value("x", (1, 4))]), "Graph output (y) does not exist"),
        (model([op("Foo", ["x"], ["y"], domain="com.acme")], [value("x", (1, 4))]), "No opset import for domain"),
    ],
)
def test_a_broken_graph_is_told_in_the_runtimes_words(proto: onnx.ModelProto, words: str) -> None:
    found = refused(_saved(proto)())
    assert (found.code, words in found.message) == ("model-invalid", True), found.message
    assert "onnxruntime_src" not in found.message


def test_a_model_that_fails_on_its_inputs_says_where() -> None:
    ids = value("ids", (1, 3), TensorProto.INT64)
    proto = model([op("Gather", ["w", "ids"], ["y"], name="lookup")], [ids], [weight("w", (5, 2))])
    found = refused(_saved(proto)(), WorkloadSpec(inputs=(InputSpec("ids", min=900, max=901),)))
    assert found.code == "input-mismatch"
    assert "Gather node. Name:'lookup'" in found.message
    assert "idx=900" in found.message


def test_messages_name_files_as_they_were_named(folder: Path) -> None:
    assert refused("models/m.onnx").message == "models/m.onnx does not exist"
    assert refused("/nowhere/m.onnx").message == "/nowhere/m.onnx does not exist"
    assert str(folder) not in refused(str(folder / "m.onnx")).message


# --- counting -----------------------------------------------------------------------------------


def test_a_count_is_whole_and_repeats() -> None:
    save(linear(columns=8), Path("m.onnx"))
    found = count("m.onnx", WorkloadSpec(batch_size=2))
    values = {name: item.value for name, item in found.measurements.items() if isinstance(item, Measurement)}
    exact = {
        name for name, metric in METRICS.items() if metric.kind == "exact" and metric.measured and not metric.simulated
    }
    assert values.keys() == exact
    assert (values["macs"], values["flops"], values["params"]) == (32, 64, 32)
    assert values["size"] == Path("m.onnx").stat().st_size
    assert [item.shape for item in found.inputs] == [(2, 4)]
    assert found.runtime["onnxruntime"]
    assert count("m.onnx", WorkloadSpec(batch_size=2)) == found


def test_inputs_with_defaults_are_not_asked_for() -> None:
    proto = model(
        [op("MatMul", ["x", "w"], ["y"])], [value("x", (1, 4)), value("w", ("a", "b"))], [weight("w", (4, 3))]
    )
    assert [item.name for item in count(_saved(proto)()).inputs] == ["x"]


def test_recorded_data_reach_the_model() -> None:
    """The recorded flag chooses the branch: the count shows which one ran."""

    def branch(name: str, columns: int) -> onnx.GraphProto:
        node = op("MatMul", ["x", f"w{name}"], [f"y{name}"])
        return helper.make_graph([node], name, [], [value(f"y{name}", None)], [weight(f"w{name}", (4, columns))])

    node = op("If", ["go"], ["y"], then_branch=branch("t", 2), else_branch=branch("e", 5))
    path = _saved(model([node], [value("x", ("N", 4)), value("go", (), BOOL)]))()
    for go, macs in ((True, 8), (False, 20)):
        np.savez("d.npz", x=np.ones((6, 4), "float32"), go=np.array(go))
        found = count(path, WorkloadSpec(recorded="d.npz"))
        measured = found.measurements["macs"]
        assert isinstance(measured, Measurement)
        assert (measured.value, "first of 6 recorded batches" in measured.detail) == (macs, True)


def test_nothing_is_left_behind_and_nothing_phones_home(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, home = tmp_path / "scratch", tmp_path / "user"
    scratch.mkdir()
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.delenv("CI", raising=False)
    save(linear(), Path("m.onnx"))
    count("m.onnx")
    launch({"candidate": "m.onnx"})
    refused("absent.onnx")
    assert [*scratch.iterdir(), *home.iterdir()] == []
    assert [item.name for item in folder.iterdir()] == ["m.onnx"]


def test_a_count_takes_little_longer_than_the_runtime_does() -> None:
    save(linear(), Path("m.onnx"))
    started = time.monotonic()
    count("m.onnx")
    assert time.monotonic() - started < 5


def test_too_little_memory_is_a_failure_of_the_worker() -> None:
    proto = model([op("Expand", ["x", "s"], ["h"]), op("Exp", ["h"], ["y"])], [value("x", (1, 1))])
    proto.graph.initializer.append(numpy_helper.from_array(np.array([60000, 5000]), "s"))  # 1.2 GB a tensor
    with pytest.raises(WorkerFailed, match=r"ran out of memory while counting operations \(its limit is 1,000 MB\)"):
        backend.run(CountJob(_saved(proto)(), WorkloadSpec()), WorkerLimits(60, 1e9))


def test_a_runtime_that_cannot_even_be_imported_ran_out_of_memory() -> None:
    save(linear(), Path("m.onnx"))
    with pytest.raises(WorkerFailed, match="ran out of memory while"):
        backend.run(CountJob("m.onnx", WorkloadSpec()), WorkerLimits(60, 120e6))


def test_a_model_that_never_ends_is_stopped() -> None:
    body = helper.make_graph(
        [op("Identity", ["c"], ["c2"]), op("Sin", ["s"], ["s2"])],
        "body",
        [value("i", (), TensorProto.INT64), value("c", (), BOOL), value("s", (2, 2))],
        [value("c2", (), BOOL), value("s2", (2, 2))],
    )
    go = numpy_helper.from_array(np.array(True), "go")
    proto = model([op("Loop", ["", "go", "x"], ["y"], body=body)], [value("x", (2, 2))], [go])
    with pytest.raises(WorkerFailed, match="did not answer within 3 s while counting operations"):
        backend.run(CountJob(_saved(proto)(), WorkloadSpec()), WorkerLimits(timeout=3))


# --- timing and weighing ------------------------------------------------------------------------


def launch(paths: dict[Role, str], workload: WorkloadSpec = WorkloadSpec(), **kept: Any) -> Sampled:  # noqa: B008
    asked: dict[str, Any] = {"seed": 1, "seconds": 0.05, "min_calls": 10, "max_calls": 2000} | kept
    return backend.run(LaunchJob(paths, tuple(paths), workload, **asked), LIMITS)


def test_a_launch_tells_a_heavy_model_from_a_light_one() -> None:
    save(heavy(), Path("heavy.onnx"))
    save(linear(), Path("light.onnx"))
    cpus = tuple(sorted(os.sched_getaffinity(0))[:1])
    found = launch({"baseline": "light.onnx", "candidate": "heavy.onnx"}, cpus=cpus)
    light, heavier = (sorted(found.samples[role]["wall"]) for role in ("baseline", "candidate"))
    assert len(light) == len(heavier) >= 10
    assert heavier[len(heavier) // 2] > 10 * light[len(light) // 2]
    assert found.seconds >= 0.05


def heavy() -> onnx.ModelProto:
    """Return x [batch, 4] times [4, 2000], times [2000, 2000]: 4 MMAC."""
    nodes = [op("MatMul", ["x", "a"], ["h"]), op("MatMul", ["h", "b"], ["y"])]
    return model(nodes, [value("x", ("batch", 4))], [weight("a", (4, 2000)), weight("b", (2000, 2000))])


def test_a_launch_plays_recorded_batches() -> None:
    save(linear(), Path("m.onnx"))
    np.savez("d.npz", x=np.ones((7, 4), "float32"))
    found = launch({"candidate": "m.onnx"}, WorkloadSpec(recorded="d.npz", batch_size=2), seconds=0.0)
    assert len(found.samples["candidate"]["wall"]) == 10


def test_a_model_whose_time_follows_its_inputs_is_told_from_one_with_two_speeds() -> None:
    """Each recorded row says how often the loop runs: 5, 50 or 500 times."""
    body = helper.make_graph(
        [op("MatMul", ["s", "w"], ["s2"]), op("Identity", ["c"], ["c2"])],
        "body",
        [value("i", (), INT64), value("c", (), BOOL), value("s", None)],
        [value("c2", (), BOOL), value("s2", None)],
    )
    nodes = [
        op("ReduceMax", ["x"], ["most"], keepdims=0),
        op("Cast", ["most"], ["n"], to=INT64),
        op("Loop", ["n", "", "x"], ["y"], body=body),
    ]
    save(model(nodes, [value("x", ("N", 64))], [weight("w", (64, 64))]), Path("m.onnx"))
    np.savez("d.npz", x=np.repeat(np.array([[5.0], [50.0], [500.0]], "float32"), 64, axis=1))
    made = launch({"candidate": "m.onnx"}, WorkloadSpec(recorded="d.npz"), min_calls=60, max_calls=60)
    assert made.feeds == 3
    (said,) = remarks([Launch(0, ("candidate",), made.samples, made.seconds, feeds=made.feeds)])
    assert said.startswith("the candidate's time follows its inputs: the slowest of 3 takes +")


@pytest.mark.parametrize("order", [("baseline", "candidate"), ("candidate", "baseline")])
def test_the_role_that_is_at_fault_is_named(order: tuple[Role, ...]) -> None:
    save(linear(), Path("good.onnx"))
    Path("bad.onnx").write_bytes(b"text")
    paths: dict[Role, str] = {role: "bad.onnx" if role == "candidate" else "good.onnx" for role in order}
    with pytest.raises(Refused, match=r"^candidate: bad.onnx") as caught:
        launch(paths)
    assert caught.value.code == "model-invalid"
    expand = model([op("Expand", ["x", "s"], ["h"]), op("Exp", ["h"], ["y"])], [value("x", (1, 4))])
    expand.graph.initializer.append(numpy_helper.from_array(np.array([20000000, 4]), "s"))
    save(expand, Path("bad.onnx"))
    asked = LaunchJob(paths, order, WorkloadSpec(), 1, 0.1, 10, 100)
    with pytest.raises(WorkerFailed, match="the candidate ran out of memory"):
        backend.run(asked, WorkerLimits(60, 6e8))


def test_a_batch_in_the_middle_can_be_at_fault_too() -> None:
    ids = value("ids", ("N", 2), TensorProto.INT64)
    good = model([op("Identity", ["ids"], ["y"])], [ids], outputs=[value("y", None, TensorProto.INT64)])
    bad = model([op("Gather", ["w", "ids"], ["y"])], [ids], [weight("w", (5, 2))])
    save(good, Path("good.onnx"))
    save(bad, Path("bad.onnx"))
    np.savez("d.npz", ids=np.array([[0, 1], [2, 3], [4, 5]]))
    with pytest.raises(Refused, match=r"^candidate: bad.onnx: the model fails on its inputs") as caught:
        launch({"baseline": "good.onnx", "candidate": "bad.onnx"}, WorkloadSpec(recorded="d.npz"))
    assert caught.value.code == "input-mismatch"


def test_a_footprint_weighs_the_model_and_not_the_worker() -> None:
    """Weights of 64 MB are held once or twice; a model without any weighs next to nothing."""
    save(
        model([op("MatMul", ["x", "w"], ["y"])], [value("x", (1, 4000))], [weight("w", (4000, 4000))]), Path("big.onnx")
    )
    save(linear(), Path("small.onnx"))
    weighed = {}
    for name in ("big", "small"):
        found = backend.run(FootprintJob(f"{name}.onnx", WorkloadSpec(), 0), LIMITS)
        assert found.samples.keys() == {"candidate"}
        assert found.samples["candidate"]["load"][0] > 0
        (weighed[name],) = found.samples["candidate"]["peak"]
    assert 64e6 < weighed["big"] < 3.5 * 64e6
    assert 0 <= weighed["small"] < 16e6


def images(grows: str) -> onnx.ModelProto:
    """Return the sum of 36.75 MiB of images, and 50 MiB more of weights, or of what is computed on the way."""
    nodes, weights, last = [op("ReduceSum", ["x"], ["s"], keepdims=0)], [], "s"
    if grows == "weights":
        nodes += [op("Cast", ["s"], ["c"], to=TensorProto.INT64), op("Sub", ["c", "c"], ["i"])]
        nodes += [op("Gather", ["w", "i"], ["g"]), op("Add", ["s", "g"], ["t"])]
        weights, last = [weight("w", (50 << 18,))], "t"
    if grows == "call":
        nodes += [op("Expand", ["s", "n"], ["e"]), op("ReduceSum", ["e"], ["t"], keepdims=0)]
        weights, last = [numpy_helper.from_array(np.array([50 << 18]), "n")], "t"
    nodes.append(op("Neg", [last], ["y"]))
    return model(nodes, [value("x", (64, 3, 224, 224))], weights)


def test_peak_memory_is_the_models_where_making_its_inputs_takes_more() -> None:
    """Values of the inputs are made in three times their size, which no model weighs."""
    found = {}
    for grows in ("nowhere", "weights", "call"):
        save(images(grows), Path("m.onnx"))
        job = FootprintJob("m.onnx", WorkloadSpec(batch_size=64), 0)
        found[grows] = backend.run(job, LIMITS).samples["candidate"]["peak"][0] / (1 << 20)
    plain = found["nowhere"]
    assert 36.75 < plain < 36.75 + 30
    assert found["call"] - plain == pytest.approx(50, abs=8)
    assert 50 - 5 < found["weights"] - plain < 2 * 50 + 5, "held twice while they load"


def test_memory_that_cannot_be_watched_anew_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from greengate.profiler.backends import onnx_session

    marks = iter([1000, None])
    monkeypatch.setattr(onnx_session, "reset_peak", lambda: next(marks))
    save(linear(), Path("m.onnx"))
    found = onnx_session.run(FootprintJob("m.onnx", WorkloadSpec(), 0), lambda _: None)
    assert isinstance(found, Sampled)
    assert found.samples["candidate"].keys() == {"load"}
    assert found.notes == ("this system does not tell a process's peak memory",)


def test_the_backend_is_in_the_table_and_knows_its_machine() -> None:
    assert FORMATS["onnx"].load() is backend  # type: ignore[comparison-overlap]
    assert backend.hardware().cores >= 1
    assert backend.clock() <= backend.clock()
