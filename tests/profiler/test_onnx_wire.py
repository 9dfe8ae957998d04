"""Models read without their weights."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import BOOL, model, save, value, weight
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from greengate.profiler import onnx_model
from greengate.profiler.onnx_wire import BrokenError, number, without_elements

LARGE = 5000


def everywhere() -> onnx.ModelProto:
    """Return a model with a large tensor of another size in every place that can hold one."""
    fields = ["float_data", "int32_data", "int64_data", "double_data", "uint64_data"]
    kinds = [TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.UINT64]
    typed = [TensorProto(name=field, data_type=kind, dims=[LARGE]) for field, kind in zip(fields, kinds, strict=True)]
    for tensor, field in zip(typed, fields, strict=True):
        getattr(tensor, field).extend([7] * LARGE)
    held = [weight("", (LARGE + at,)) for at in range(4)]
    sparse = helper.make_sparse_tensor(weight("v", (LARGE,)), weight("i", (LARGE,), "int64"), [9 * LARGE])
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=held[0])], "b", [], [value("c", None)])
    deep = helper.make_node("If", ["f"], ["n"], then_branch=inner, else_branch=inner)
    branch = helper.make_graph([deep], "d", [], [value("n", None)], [weight("w", (LARGE,))])
    nodes = [
        helper.make_node("If", ["f"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("Constant", [], ["k"], sparse_value=sparse),
        helper.make_node("Odd", [], ["o"], many=held[1:3], text="t" * 9000, name="kept"),
    ]
    function = helper.make_function(
        "mine", "F", [], ["z"], [helper.make_node("Constant", [], ["z"], value=held[3])], [helper.make_opsetid("", 17)]
    )
    small = numpy_helper.from_array(np.arange(3), "small")
    proto = model(nodes, [value("f", (), BOOL)], [*typed, small], functions=[function], doc_string="d" * 9000)
    proto.graph.sparse_initializer.append(sparse)
    return proto


def stripped(message: object) -> None:
    """Clear what without_elements leaves out, by reflection."""
    for field, held in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is None:
            continue
        for item in held if hasattr(held, "add") else [held]:
            if field.message_type.name == "TensorProto":
                for name in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                    part = TensorProto()
                    part.MergeFrom(item)
                    if len(getattr(item, name)) and part.ByteSize() > LARGE:
                        item.ClearField(name)
            else:
                stripped(item)


def test_only_elements_of_large_tensors_are_left_out() -> None:
    proto = everywhere()
    read = onnx.ModelProto.FromString(without_elements(proto.SerializeToString()))
    assert read.ByteSize() < 30_000 < proto.ByteSize()
    stripped(proto)
    assert read == proto
    assert list(numpy_helper.to_array(read.graph.initializer[-1])) == [0, 1, 2]


def test_a_model_without_large_tensors_stays_as_it_is() -> None:
    data = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", (1,))], [weight("w", (9,))]).SerializeToString()
    assert without_elements(data) == data


def test_a_large_file_gives_the_same_model(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", (1, 600))],
        [weight("w", (600, 600))],
        doc_string="d",
    )
    path = save(proto, tmp_path / "m.onnx")
    assert Path(path).stat().st_size > onnx_model._SMALL
    read = onnx_model.read(path)
    assert read.proto.ByteSize() < 1000
    (tensor,) = read.proto.graph.initializer
    assert (tensor.name, list(tensor.dims), len(tensor.raw_data)) == ("w", [600, 600], 0)
    assert (read.proto.doc_string, read.size) == ("d", Path(path).stat().st_size)


def test_a_mapped_file_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(everywhere().SerializeToString())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert without_elements(data)


WHOLE = everywhere().SerializeToString()


@settings(max_examples=80, deadline=None)
@given(st.integers(1, len(WHOLE) - 1))
def test_a_model_cut_anywhere_is_broken_or_a_shorter_model(length: int) -> None:
    try:
        onnx.ModelProto.FromString(without_elements(WHOLE[:length]))
    except BrokenError:
        return
    # cut between two fields of the whole: the parser agrees
    onnx.ModelProto.FromString(WHOLE[:length])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60).flatmap(lambda head: st.just(head + WHOLE[len(head) :])))
def test_any_bytes_are_read_or_broken(data: bytes) -> None:
    try:
        without_elements(data)
    except BrokenError:
        return


@pytest.mark.parametrize("depth", [99, 5000])
def test_graphs_within_graphs_have_an_end(depth: int) -> None:
    """A message nested without end is broken, and no recursion error."""

    def wrapped(tag: int, data: bytes) -> bytes:
        size, out = len(data), bytearray([tag])
        while size > 0x7F:
            out.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes(out) + bytes([size]) + data

    data = bytes(LARGE)
    for _ in range(depth):
        data = wrapped(6 << 3 | 2, data)  # a graph in an attribute
        data = wrapped(5 << 3 | 2, data)  # in a node
        data = wrapped(1 << 3 | 2, data)  # in a graph
    with pytest.raises(BrokenError):
        without_elements(wrapped(7 << 3 | 2, data))


@given(st.integers(0, 2**63))
def test_numbers_are_read_as_they_are_written(value: int) -> None:
    out, rest = bytearray(), value
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    assert number(bytes(out), 0) == (value, len(out))
    assert number(bytes(out[:-1]), 0)[1] > len(out) - 1 or len(out) == 1
