"""Model files: what is wrong with them, and their external data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import onnx
import pytest
from graphs import external, linear, model, relu, save, value
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from greengate.profiler import onnx_model
from greengate.profiler.jobs import Refused
from greengate.profiler.operations.stored import declared
from greengate.profiler.operations.weights import Ledger

WHOLE = linear(columns=8).SerializeToString()


def refused(path: Path | str) -> Refused:
    with pytest.raises(Refused) as caught:
        onnx_model.read(str(path))
    return caught.value


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "model-empty", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "model-lfs-pointer", "Git LFS pointer"),
        (b"# a readme\n" * 9, "model-not-onnx", "text"),
        (b"Begin with what looks like a field", "model-not-onnx", "text"),
        (b'{"model": 1}', "model-not-onnx", "text"),
        (b"PK\x03\x04" + bytes(range(256)), "model-not-onnx", "binary"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "model-not-onnx", "binary"),
        (bytes(1000), "model-not-onnx", "binary"),
        (WHOLE[: len(WHOLE) // 2], "model-truncated", f"after {len(WHOLE) // 2} bytes"),
        (WHOLE[:-1], "model-truncated", "ends in the middle"),
        (b"\x08", "model-truncated", "after 1 bytes"),
        (b"\x08\x09", "model-invalid", "no graph"),
        (onnx.ModelProto(ir_version=9, producer_name="p").SerializeToString(), "model-invalid", "no graph"),
        (b"\x08\x09\x3a\x04\xff\xff\xff\xff", "model-truncated", "damaged inside"),
    ],
)
def test_what_is_not_a_model_is_told_apart(tmp_path: Path, data: bytes, code: str, words: str) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    found = refused(tmp_path / "m.onnx")
    assert (found.code, bool(found.help)) == (code, True)
    assert words in found.message


@settings(max_examples=60, deadline=None)
@given(st.integers(1, len(WHOLE) - 1))
def test_a_model_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.onnx"
    path.write_bytes(WHOLE[:length])
    try:
        read = onnx_model.read(str(path))
    except Refused as found:
        assert found.code in ("model-truncated", "model-invalid")  # invalid: cut before the graph, between fields
    else:
        assert not read.proto.opset_import  # cut between the graph and what follows: the runtime refuses that


def test_what_is_not_a_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent.onnx").code == "model-missing"
    assert (refused(tmp_path).code, "a folder" in refused(tmp_path).message) == ("model-not-onnx", True)
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "not a regular file" in refused(tmp_path / "pipe.onnx").message
    assert refused("/dev/zero").code == "model-not-onnx"
    (tmp_path / "loop.onnx").symlink_to("loop.onnx")
    assert refused(tmp_path / "loop.onnx").code == "unreadable-file"


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(save(relu(), tmp_path / "m.onnx"))
    path.chmod(0)
    if os.geteuid() == 0:  # root reads everything: let the system's answer be the one others get

        def deny(self: Path, mode: str) -> bytes:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", deny)
    found = refused(path)
    assert (found.code, "Permission denied" in found.message) == ("unreadable-file", True)


def test_a_file_too_large_for_the_format_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(2**31)  # sparse: takes no room
    assert refused(tmp_path / "m.onnx").code == "model-invalid"


def test_files_carry_digest_and_size(tmp_path: Path) -> None:
    path = Path(save(relu(), tmp_path / "m.onnx"))
    read = onnx_model.read(str(path))
    (file,) = read.files()
    assert (file.path, file.size) == ("m.onnx", path.stat().st_size)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


# --- external data ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "told", "code", "words"),
    [
        ("absent.bin", {}, "external-data-missing", "'absent.bin' do not exist"),
        ("short.bin", {}, "external-data-missing", "have 40 bytes where the model needs 48"),
        ("w.bin", {"offset": 64}, "external-data-missing", "have 64 bytes where the model needs 112"),
        ("w.bin", {"offset": 0, "length": 1 << 40}, "external-data-missing", "needs 1,099,511,627,776"),
        ("pointer.bin", {}, "model-lfs-pointer", "pointer.bin is a Git LFS pointer"),
        ("../w.bin", {}, "external-data-escapes", "outside the model's folder"),
        ("sub/../w.bin", {}, "external-data-escapes", "outside the model's folder"),
        ("sub/../../w.bin", {}, "external-data-escapes", "outside the model's folder"),
        ("..\\w.bin", {}, "external-data-escapes", "outside the model's folder"),
        ("/etc/passwd", {}, "external-data-escapes", "outside the model's folder"),
        ("link-out.bin", {}, "external-data-escapes", "a link out of the model's folder"),
        ("folder-out/w.bin", {}, "external-data-escapes", "a link out of the model's folder"),
        ("pipe.bin", {}, "external-data-escapes", "not a regular file"),
        ("sub", {}, "external-data-escapes", "not a regular file"),
        (".", {}, "external-data-escapes", ""),
        ("", {}, "model-invalid", "says wrongly"),
        ("w.bin", {"offset": -8}, "model-invalid", "says wrongly"),
        ("w.bin", {"length": "many"}, "model-invalid", "says wrongly"),
    ],
)
def test_external_data_that_cannot_be_used(
    tmp_path: Path, location: str, told: dict[str, Any], code: str, words: str
) -> None:
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    for name, size in (("../w.bin", 64), ("w.bin", 64), ("short.bin", 40)):
        (home / name).write_bytes(bytes(size))
    (home / "pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 48\n")
    (home / "link-out.bin").symlink_to("../w.bin")
    (home / "folder-out").symlink_to("..")
    os.mkfifo(home / "pipe.bin")
    found = refused(external(home / "m.onnx", location, **told))
    assert (found.code, bool(found.help)) == (code, True)
    assert words in found.message


def test_external_data_inside_are_read_through_links_within(tmp_path: Path) -> None:
    """The layout of a download cache: names are links, the content lies elsewhere, all of it together."""
    blobs, names = tmp_path / "blobs", tmp_path / "names"
    blobs.mkdir()
    names.mkdir()
    (blobs / "b").write_bytes(bytes(48))
    external(blobs / "a", "w.bin")
    (names / "m.onnx").symlink_to("../blobs/a")
    (names / "w.bin").symlink_to("../blobs/b")
    read = onnx_model.read(str(names / "m.onnx"))
    assert [file.path for file in read.files()] == ["m.onnx", "w.bin"]
    assert read.size == (blobs / "a").stat().st_size + 48


def test_a_file_that_holds_two_tensors_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(96))
    path = external(tmp_path / "m.onnx", "w.bin", offset=48, length=48)
    proto = onnx.load(path, load_external_data=False)
    twin = proto.graph.initializer.add()
    twin.CopyFrom(proto.graph.initializer[0])
    twin.name = "v"
    twin.external_data[1].value = "0"
    save(proto, Path(path))
    assert onnx_model.read(path).size == Path(path).stat().st_size + 96


@pytest.mark.parametrize("spelling", ["./w.bin", ".//w.bin", "link.bin"])
def test_one_file_under_two_names_is_one_file(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(96))
    (tmp_path / "link.bin").symlink_to("w.bin")
    path = external(tmp_path / "m.onnx", "w.bin", offset=48, length=48)
    proto = onnx.load(path, load_external_data=False)
    twin = proto.graph.initializer.add()
    twin.CopyFrom(proto.graph.initializer[0])
    twin.name = "v"
    twin.external_data[0].value = spelling
    save(proto, Path(path))
    read = onnx_model.read(path)
    assert read.size == Path(path).stat().st_size + 96
    assert [file.path for file in read.files()] == ["m.onnx", "link.bin" if spelling == "link.bin" else "w.bin"]
    ledger = Ledger()
    list(declared(read.proto, ledger))
    assert ledger.elements == (24 if spelling == "link.bin" else 12)  # a graph knows no links


def test_external_data_of_a_constant_inside_a_branch_are_found(tmp_path: Path) -> None:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../out.bin")
    branch = helper.make_graph([helper.make_node("Constant", [], ["b"], value=tensor)], "b", [], [value("b", None)])
    node = helper.make_node("If", ["f"], ["y"], then_branch=branch, else_branch=branch)
    proto = model([node], [value("f", (), TensorProto.BOOL)])
    assert refused(save(proto, tmp_path / "m.onnx")).code == "external-data-escapes"


# --- the schema ---------------------------------------------------------------------------------


def test_the_schema_is_the_one_of_the_onnx_package() -> None:
    proto = onnx_model.schema().ModelProto.FromString(WHOLE)
    assert proto.SerializeToString() == WHOLE
    assert {field.name for field in proto.DESCRIPTOR.fields} == {
        field.name for field in onnx.ModelProto.DESCRIPTOR.fields
    }
