"""Inputs: resolved from the signature and the description, synthesised the same everywhere, or recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greengate.profile import Input, InputSpec, WorkloadSpec
from greengate.profiler import feed, recorded
from greengate.profiler.feed import Signature, prepare
from greengate.profiler.jobs import Refused

IMAGE = Signature("x", "float32", (None, 3, "height", "width"))
IDS = Signature("ids", "int64", ("batch", 8))


def refused(*signatures: Signature, spec: WorkloadSpec, arrays: dict[str, Any] | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        prepare(signatures, spec, arrays)
    return caught.value


def fed(*signatures: Signature, inputs: tuple[InputSpec, ...] = (), **kept: Any) -> feed.Feeds:
    return prepare(signatures, WorkloadSpec(inputs=inputs, **kept))


# --- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "batch", "batch_size", "Batch", "N", "n", "bs", "unk__122", "None", ""])
def test_an_open_leading_dimension_is_the_batch(name: str | None) -> None:
    assert fed(Signature("x", "float32", (name, 4)), batch_size=5).inputs[0].shape == (5, 4)


@pytest.mark.parametrize("name", ["sequence", "time", "p2o.DynamicDimension.0", "rows"])
def test_another_name_is_not(name: str) -> None:
    found = refused(Signature("x", "float32", (name, 4)), spec=WorkloadSpec())
    assert (found.code, name in found.message) == ("input-open", True)


def test_everything_open_is_named_at_once_with_the_line_to_add() -> None:
    signatures = (
        IMAGE,
        Signature("ids", "int64", (None, None)),
        Signature("rate", "int64", ()),
        Signature("go", "bool", (1,)),
        Signature("fine", "float32", (1, 2)),
    )
    found = refused(*signatures, spec=WorkloadSpec())
    assert found.code == "input-open"
    assert found.message.split("; ") == [
        "input `x: float32[?, 3, height, width]` leaves dimension 2 (height) and dimension 3 (width) open",
        "input `ids: int64[?, ?]` leaves dimension 1 open",
        "input `rate: int64[]` steers the model and needs a value",
        "input `go: bool[1]` steers the model and needs a value",
    ]
    line = "inputs: {x: {shape: [1, 3, 224, 224]}, ids: {shape: [1, 128]}, rate: {value: 1}, go: {value: 1}}"
    assert f"`{line}`" in found.help


def test_the_line_to_add_is_taken_when_added() -> None:
    """What the help shows, given back as a description, leaves nothing open."""
    given_back = (InputSpec("x", (1, 3, 224, 224)), InputSpec("rate", value=1.0))
    found = fed(IMAGE, Signature("rate", "int64", ()), inputs=given_back)
    assert found.inputs == (
        Input("x", "float32", (1, 3, 224, 224), "synthesised"),
        Input("rate", "int64", (), "value 1"),
    )


def test_a_name_is_the_same_size_wherever_it_stands() -> None:
    audio = Signature("audio", "float32", ("batch", "samples"))
    state = Signature("state", "float32", (2, "batch", 16))
    mask = Signature("mask", "float32", ("batch", "samples"))
    found = fed(state, mask, audio, inputs=(InputSpec("audio", (3, 512)),), batch_size=3)
    assert [item.shape for item in found.inputs] == [(2, 3, 16), (3, 512), (3, 512)]
    clash = (InputSpec("audio", (1, 512)), InputSpec("mask", (1, 511)))
    found_clash = refused(audio, mask, spec=WorkloadSpec(inputs=clash))
    assert (found_clash.code, "511" in found_clash.message) == ("input-mismatch", True)


def test_dimensions_named_by_a_question_mark_are_strangers() -> None:
    found = refused(
        Signature("x", "float32", (1, "?", "?")),
        Signature("y", "float32", (2, "?")),
        spec=WorkloadSpec(inputs=(InputSpec("x", (1, 2, 3)),)),
    )
    assert "`y: float32[2, ?]` leaves dimension 1 open" in found.message


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (InputSpec("x", (1, 3, 8)), "described with shape [1, 3, 8]"),
        (InputSpec("x", (1, 4, 8, 8)), "described with shape [1, 4, 8, 8]"),
        (InputSpec("x", (1, 3, -1, 8)), "described with shape [1, 3, -1, 8]"),
        (InputSpec("x", (1, 3, 8, 8), dtype="float16"), "described as float16"),
        (InputSpec("X", (1, 3, 8, 8)), "no input 'X'"),
        (InputSpec("x", (1, 3, 8, 8), min=2, max=1), "no value is at least 2 and below 1"),
        (InputSpec("x", (1, 3, 8, 8), min=2, max=2), "no value is at least 2 and below 2"),
        (InputSpec("x", (1, 3, 8, 8), value=1e39), "does not fit float32"),
    ],
)
def test_a_description_that_contradicts_the_model(described: InputSpec, words: str) -> None:
    found = refused(IMAGE, spec=WorkloadSpec(inputs=(described,)))
    assert (found.code, words in found.message, bool(found.help)) == ("input-mismatch", True, True)


@pytest.mark.parametrize(
    ("dtype", "described", "words"),
    [
        ("uint8", InputSpec("i", max=257), "does not fit uint8"),
        ("int8", InputSpec("i", min=-129, max=0), "does not fit int8"),
        ("int64", InputSpec("i", value=0.5), "is int64"),
        ("int64", InputSpec("i", max=1.5), "is int64"),
        ("int64", InputSpec("i", max=2.0**40), "wider than"),
        ("int64", InputSpec("i", max=2.0**63), "does not fit int64"),
        ("int64", InputSpec("i", value=2.0**63), "does not fit int64"),
        ("bool", InputSpec("i", value=2), "does not fit bool"),
        ("int64", InputSpec("i", value=float("inf")), "is int64"),
    ],
)
def test_numbers_that_a_type_cannot_hold(dtype: str, described: InputSpec, words: str) -> None:
    found = refused(Signature("i", dtype, (4,)), spec=WorkloadSpec(inputs=(described,)))
    assert (found.code, words in found.message) == ("input-mismatch", True)


def test_a_wrong_name_gets_the_right_one() -> None:
    assert refused(IDS, spec=WorkloadSpec(inputs=(InputSpec("idz"),))).help == "did you mean 'ids'?"
    assert "'ids'" in refused(IDS, spec=WorkloadSpec(inputs=(InputSpec("something"),))).help


@pytest.mark.parametrize("dtype", ["float32", "float"])
def test_a_type_may_have_its_other_name(dtype: str) -> None:
    assert fed(IMAGE, inputs=(InputSpec("x", (1, 3, 2, 2), dtype=dtype),)).inputs[0].dtype == "float32"


def test_the_batch_must_be_somewhere() -> None:
    found = refused(Signature("x", "float32", (1, 4)), spec=WorkloadSpec(batch_size=4))
    assert (found.code, "x: [1, 4]" in found.message) == ("batch-mismatch", True)
    found = refused(IDS, spec=WorkloadSpec(inputs=(InputSpec("ids", (4, 8)),)))
    assert (found.code, "batch_size: 4" in found.help) == ("batch-mismatch", True)
    assert fed(Signature("x", "float32", (4, 2)), batch_size=4).inputs[0].shape == (4, 2)


def test_text_is_not_made_up() -> None:
    found = refused(Signature("t", "string", (1,)), spec=WorkloadSpec())
    assert (found.code, "recorded.npz" in found.help) == ("input-open", True)


# --- values -------------------------------------------------------------------------------------


def values(dtype: str, described: InputSpec | None = None, seed: int = 0, size: int = 2000) -> Any:
    signature = Signature("x", dtype, (size,))
    return fed(signature, inputs=(described,) if described else (), seed=seed, batch_size=1).feeds[0]["x"]


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    low=st.integers(-100, 100),
    width=st.integers(50, 1000),
)
def test_floats_fill_the_half_open_range(dtype: str, low: int, width: int) -> None:
    found = values(dtype, InputSpec("x", min=low, max=low + width)).astype("float64")
    assert found.min() >= low
    assert found.max() < low + width
    assert abs(found.mean() - (low + width / 2)) < width * 0.05
    assert found.max() - found.min() > width * 0.9


def test_rounding_never_reaches_max() -> None:
    """Halves between 2047 and 2048 have no room in float16: they would round up."""
    assert set(values("float16", InputSpec("x", min=2047, max=2048)).tolist()) == {2047.0}


@settings(max_examples=40, deadline=None)
@given(dtype=st.sampled_from(["int8", "uint8", "int32", "int64"]), low=st.integers(0, 50), width=st.integers(1, 60))
def test_integers_take_every_value_below_max(dtype: str, low: int, width: int) -> None:
    found = values(dtype, InputSpec("x", min=low, max=low + width))
    assert found.dtype == dtype
    assert set(found.tolist()) == set(range(low, low + width))


@pytest.mark.parametrize(
    ("dtype", "described", "expected"),
    [
        ("int64", None, {0, 1}),
        ("bool", None, {False, True}),
        ("int32", InputSpec("x", max=3), {0, 1, 2}),
        ("int32", InputSpec("x", min=5), {5, 6}),
        ("int32", InputSpec("x", max=-3), {-5, -4}),
        ("int32", InputSpec("x", max=0), {-2, -1}),
        ("uint8", InputSpec("x", min=255, max=256), {255}),
        ("float32", InputSpec("x", value=7), {7.0}),
        ("bool", InputSpec("x", value=1), {True}),
    ],
)
def test_default_ranges_and_values(dtype: str, described: InputSpec | None, expected: set[object]) -> None:
    found = values(dtype, described)
    assert (found.dtype.name, set(found.tolist())) == (dtype, expected)


def test_the_same_seed_and_name_give_the_same_bytes_on_every_machine() -> None:
    signature = Signature("x", "float32", (2, 3))
    first = fed(signature)
    assert first.digest == fed(signature).digest
    # written down once, so that another machine or numpy that differed would be seen
    assert first.digest == "sha256:3422a5722017f615c0fc8aabb65f214b10f218a6ed717ac39ebbeb7a3b78e701"
    assert first.feeds[0]["x"].tolist()[0][0] == pytest.approx(0.40060204)
    others = [fed(signature, seed=1), fed(Signature("y", "float32", (2, 3))), fed(Signature("x", "float32", (3, 2)))]
    others += [fed(Signature("x", "float64", (2, 3))), fed(signature, inputs=(InputSpec("x", max=2),))]
    assert len({first.digest, *(item.digest for item in others)}) == 6


def test_inputs_do_not_share_their_values() -> None:
    a, b = Signature("a", "float32", (64,)), Signature("b", "float32", (64,))
    both = fed(a, b).feeds[0]
    assert not np.array_equal(both["a"], both["b"])
    assert np.array_equal(both["b"], fed(b).feeds[0]["b"])  # nor depend on each other


# --- recorded data ------------------------------------------------------------------------------


def images(count: int) -> Any:
    return np.arange(count * 4, dtype="float32").reshape(count, 4)


PIXELS = Signature("x", "float32", ("N", 4))


def played(*signatures: Signature, arrays: dict[str, Any], batch_size: int = 1, inputs: Any = ()) -> feed.Feeds:
    return prepare(signatures, WorkloadSpec(batch_size=batch_size, recorded="d.npz", inputs=inputs), arrays)


def test_recorded_data_are_cut_into_batches_in_order() -> None:
    found = played(PIXELS, arrays={"x": images(6), "label": np.zeros(6)}, batch_size=2)
    assert [item["x"].tolist() for item in found.feeds] == [images(6)[i : i + 2].tolist() for i in (0, 2, 4)]
    assert found.inputs == (Input("x", "float32", (2, 4), "recorded"),)
    assert found.notes == ()


def test_what_does_not_fill_a_batch_is_left_out_and_said() -> None:
    found = played(PIXELS, arrays={"x": images(7)}, batch_size=3)
    assert len(found.feeds) == 2
    assert "last 1 items" in found.notes[0]


def test_the_digest_covers_every_batch_and_its_order() -> None:
    digests = {played(PIXELS, arrays={"x": array}).digest for array in (images(3), images(3)[::-1], images(4))}
    assert len(digests) == 3
    assert played(PIXELS, arrays={"x": images(3)}).digest in digests


def test_arrays_that_are_not_batches_go_along_as_they_are() -> None:
    state, rate = Signature("state", "float32", (2, 1, 3)), Signature("rate", "int64", ())
    arrays = {"x": images(2), "state": np.ones((2, 1, 3), "float32"), "rate": np.array(16000)}
    found = played(PIXELS, state, rate, arrays=arrays)
    assert len(found.feeds) == 2
    assert [item["state"].shape for item in found.feeds] == [(2, 1, 3)] * 2
    assert found.feeds[1]["rate"] == 16000


def test_what_is_not_recorded_may_be_described() -> None:
    found = played(
        PIXELS, Signature("rate", "int64", ()), arrays={"x": images(2)}, inputs=(InputSpec("rate", value=8),)
    )
    assert [item["rate"].item() for item in found.feeds] == [8, 8]
    assert [item.source for item in found.inputs] == ["recorded", "value 8"]


def test_recorded_text_is_fed() -> None:
    found = played(Signature("t", "string", ("N",)), arrays={"t": np.array(["ab", "c"])})
    assert [item["t"].tolist() for item in found.feeds] == [["ab"], ["c"]]


def test_foreign_byte_order_is_turned() -> None:
    found = played(PIXELS, arrays={"x": images(1).astype(">f4")})
    assert found.feeds[0]["x"].dtype.isnative
    assert found.digest == played(PIXELS, arrays={"x": images(1)}).digest


@pytest.mark.parametrize(
    ("arrays", "batch_size", "words"),
    [
        ({"y": images(2)}, 1, "has no array 'x' (it has 'y')"),
        ({}, 1, "it has none"),
        ({"x": images(2).astype("float64")}, 1, "is float64"),
        ({"x": images(2).reshape(2, 2, 2)}, 1, "shape [2, 2, 2]"),
        ({"x": images(2).reshape(4, 2)}, 1, "shape [4, 2]"),
        ({"x": images(2)}, 3, "has 2 items, a batch needs 3"),
        ({"x": images(0)}, 1, "has 0 items"),
        ({"x": np.array(["text"])}, 1, "is string"),
    ],
)
def test_recorded_data_that_do_not_fit(arrays: dict[str, Any], batch_size: int, words: str) -> None:
    found = refused(PIXELS, spec=WorkloadSpec(batch_size=batch_size, recorded="d.npz"), arrays=arrays)
    assert (found.code, bool(found.help)) == ("recorded-data", True)
    assert words in found.message


def test_batches_of_different_length_do_not_fit() -> None:
    other = Signature("y", "float32", ("N", 4))
    found = refused(PIXELS, other, spec=WorkloadSpec(recorded="d.npz"), arrays={"x": images(4), "y": images(5)})
    assert "'x' 4, 'y' 5" in found.message


def test_files_are_read_and_what_cannot_be_is_refused(tmp_path: Path) -> None:
    good = tmp_path / "d.npz"
    np.savez(good, x=images(2))
    assert recorded.read(str(good))["x"].shape == (2, 4)
    bad = {
        "absent.npz": None,
        "text.npz": b"hello",
        "empty.npz": b"",
        "cut.npz": good.read_bytes()[:-40],
    }
    for name, data in bad.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    np.save(tmp_path / "single.npy", images(1))
    np.savez(tmp_path / "pickled.npz", x=np.array([{"a": 1}], object))
    for name in (*bad, "single.npy", "pickled.npz", "."):
        with pytest.raises(Refused) as caught:
            recorded.read(str(tmp_path / name))
        assert (caught.value.code, bool(caught.value.help)) == ("recorded-data", True), name
