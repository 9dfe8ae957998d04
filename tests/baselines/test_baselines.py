"""Every scheme against real repositories and real ONNX files: what is found, what is measured, what is said."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import nouns
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from repository import Repository

from greengate import baselines, profile_file
from greengate.baselines import Found, MergeBase, Request, choose, resolve, store
from greengate.errors import BaselineError, GreengateError
from greengate.profile import File, Missing, Profile, digest_files

HERE = Path(__file__).parent
NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def request_for(
    repo: Repository, path: str = "m.onnx", base: MergeBase | str | None = None, folder: str = "."
) -> Request:
    scratch = repo.folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    here = repo.folder / folder
    merge_base = MergeBase(base) if isinstance(base, str) else base
    return Request("m", here / path, here, scratch, nouns.HARDWARE.id, merge_base)


def profile_of(root: Path, path: str, *beside: str) -> Profile:
    """Return the profile of files as they are now, as the gate would make it."""
    folder = (root / path).parent
    names = [Path(path).name, *beside]
    files = tuple(
        File(name, hashlib.sha256((folder / name).read_bytes()).hexdigest(), (folder / name).stat().st_size)
        for name in names
    )
    base = nouns.profile({"size": nouns.exact(100.0)})
    return dataclasses.replace(
        base, model=dataclasses.replace(base.model, path=path, digest=digest_files(files), files=files)
    )


def accept(repo: Repository, profile: Profile, commit: str | None = None) -> store.Version:
    return store.accept(repo.folder / baselines.STORE, profile, "because", now=NOW, by="dev@example.org", commit=commit)


def onnx_model(path: Path, value: float, location: str | None = None) -> None:
    """Write a network that adds `value` to 1,000 numbers; its weights go beside it when a location is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = [numpy_helper.from_array(np.full(1000, value / 2, np.float32), name) for name in "vw"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1000]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Sum", ["x", "v", "w"], ["y"])], "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    if location is not None:
        (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / location).unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=location is not None, location=location, size_threshold=0)


def output(path: Path) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return float(session.run(None, {"x": np.zeros(1000, np.float32)})[0][0])


def found(answer: Found | Missing | None) -> Found:
    assert isinstance(answer, Found)
    return answer


# the table


@pytest.mark.parametrize("scheme", baselines.SCHEMES)
def test_every_row_of_the_table_has_a_module_with_the_one_verb(scheme: str) -> None:
    name, with_path = baselines.SCHEMES[scheme]
    module = import_module(f"greengate.baselines.{name}")
    assert callable(module.find)
    assert re.search(rf"`{scheme}{':' if with_path else '`'}", (HERE.parents[1] / "docs" / "baselines.md").read_text())


@pytest.mark.parametrize(
    ("flag", "model", "file", "chosen"),
    [
        (None, None, None, "auto"),
        ("auto", None, None, "auto"),
        ("none", "file:a", "file:b", "none"),
        ("auto", "file:a", "file:b", "file:a"),
        (None, "file:a", "file:b", "file:a"),
        (None, "auto", "file:b", "auto"),
        (None, None, "file:b", "file:b"),
    ],
)
def test_the_nearest_word_decides(flag: str | None, model: str | None, file: str | None, chosen: str) -> None:
    assert choose(flag, model, file) == chosen


BAD = {
    "s3://bucket/x": "'s3' is not a scheme",
    "models/old.onnx": "has no scheme",
    "": "has no scheme",
    "AUTO": "has no scheme",
    ":": "'' is not a scheme",
    "file": "'file' is written file:PATH",
    "file:": "'file' is written file:PATH",
    "profile:": "'profile' is written profile:FILE",
    "auto:x": "'auto' is written alone",
    "none:": "'none' is written alone",
    "git": "'git' is written git:BRANCH",
    "ref:": "'ref' is written ref:REF",
    "mlflow": "'mlflow' is written mlflow:models:/NAME@ALIAS",
}


@pytest.mark.parametrize("uri", BAD)
def test_a_uri_that_cannot_be_read(repo: Repository, uri: str) -> None:
    with pytest.raises(BaselineError) as caught:
        resolve(uri, request_for(repo))
    (finding,) = caught.value.diagnostics
    assert finding.code == "baseline-scheme"
    assert BAD[uri] in finding.message
    assert (
        finding.help
        == "write one of auto, none, file:PATH, profile:FILE, dir:PATH, git:BRANCH, ref:REF, mlflow:models:/NAME@ALIAS"
    )


# file, profile, none


def test_none_is_missing_with_its_reason(repo: Repository) -> None:
    repo.write("m.onnx", "x")
    accept(repo, profile_of(repo.folder, "m.onnx"))
    answer = resolve("none", request_for(repo))
    assert isinstance(answer, Missing)
    assert "no baseline was asked for" in answer.reason


def test_a_file_is_measured_whatever_its_bytes(repo: Repository) -> None:
    repo.write("old/m.onnx", "same")
    repo.write("m.onnx", "same")
    answer = found(resolve("file:old/m.onnx", request_for(repo)))
    assert answer.artifact == repo.folder / "old/m.onnx"
    assert answer.profile is None
    assert answer.ref.uri == "file:old/m.onnx"
    assert found(resolve(f"file:{repo.folder}/m.onnx", request_for(repo))).artifact == repo.folder / "m.onnx"


def test_a_stored_profile_brings_its_numbers(repo: Repository) -> None:
    repo.write("m.onnx", "x")
    stored = profile_of(repo.folder, "m.onnx")
    repo.write("p.json", profile_file.dump_profile(stored))
    answer = found(resolve("profile:p.json", request_for(repo)))
    assert (answer.artifact, answer.profile, answer.ref.digest) == (None, stored, stored.model.digest)
    assert answer.ref.about == "the profile p.json of m, measured 2026-11-23T00:00:00+00:00 on Test CPU"


@pytest.mark.parametrize(
    "uri", ["file:absent.onnx", "file:.", "profile:absent.json", "profile:.", "dir:absent", "file:nul\0"]
)
def test_what_was_named_must_exist(repo: Repository, uri: str) -> None:
    with pytest.raises(BaselineError) as caught:
        resolve(uri, request_for(repo))
    assert caught.value.diagnostics[0].code == "baseline-missing"
    assert caught.value.diagnostics[0].help


def test_a_trial_and_a_damaged_file_are_no_profile(repo: Repository) -> None:
    one = nouns.profile({})
    repo.write("t.json", profile_file.dump_trial(nouns.trial((), one, one)))
    with pytest.raises(GreengateError, match=r"profile-invalid.*holds a trial; a baseline is one profile"):
        resolve("profile:t.json", request_for(repo))
    repo.write("t.json", "{")
    with pytest.raises(GreengateError, match="profile-invalid"):
        resolve("profile:t.json", request_for(repo))


# dir


def test_a_store_without_the_model_names_the_command(repo: Repository) -> None:
    repo.write("store/.gitkeep", "")
    answer = resolve("dir:store", dataclasses.replace(request_for(repo), model="a b"))
    assert isinstance(answer, Missing)
    assert answer.reason == "no baseline: store has no version of a b"
    assert answer.help == "run `greengate baseline accept 'a b' --reason \"...\"`"


def test_a_version_whose_model_is_in_the_work_tree_is_measured(repo: Repository) -> None:
    repo.write("m.onnx", "content")
    repo.write("w.data", "weights")
    version = accept(repo, profile_of(repo.folder, "m.onnx", "w.data"))
    answer = found(resolve("dir:.greengate/baselines", request_for(repo)))
    assert answer.artifact == repo.folder / "m.onnx"
    assert answer.profile == version.profile
    assert answer.ref.version == 1
    assert answer.ref.digest == version.profile.model.digest
    assert answer.ref.about == "accepted 2026-11-23T00:00:00Z: because"


@pytest.mark.parametrize("change", ["m.onnx", "w.data", "remove m.onnx", "remove w.data"])
def test_any_other_byte_is_not_the_versions_model(repo: Repository, change: str) -> None:
    repo.write("m.onnx", "content")
    repo.write("w.data", "weights")
    accept(repo, profile_of(repo.folder, "m.onnx", "w.data"))
    path = repo.folder / change.rsplit(maxsplit=1)[-1]
    if change.startswith("remove"):
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"X")
    answer = found(resolve("dir:.greengate/baselines", request_for(repo)))
    assert answer.artifact is None
    assert answer.profile is not None


@pytest.mark.parametrize("folder", [".", "ml/deep"])
@pytest.mark.parametrize("when", ["committed before", "committed with the version"])
def test_a_version_whose_model_is_in_history_is_extracted(repo: Repository, folder: str, when: str) -> None:
    repo.commit({"README": "start", f"{folder}/models/m.onnx": "older"})
    repo.write(f"{folder}/models/m.onnx", b"old\r\n")
    repo.write(f"{folder}/models/deep/w.data", "old weights")
    if when == "committed before":
        repo.commit()
    made = profile_of(repo.folder / folder, "models/m.onnx", "deep/w.data")
    root = repo.folder / folder / baselines.STORE
    store.accept(root, made, "because", now=NOW, by="x", commit=repo.git("rev-parse", "HEAD"))
    repo.commit()
    repo.commit({f"{folder}/models/m.onnx": "new", f"{folder}/models/deep/w.data": "new weights"})
    request = request_for(repo, "models/m.onnx", folder=folder)
    answer = found(resolve("dir:.greengate/baselines", request))
    assert answer.artifact is not None
    assert answer.artifact.is_relative_to(request.scratch)
    assert answer.artifact.read_bytes() == b"old\r\n"
    assert (answer.artifact.parent / "deep/w.data").read_bytes() == b"old weights"
    assert (repo.folder / folder / "models/m.onnx").read_text() == "new"


def test_history_with_other_bytes_is_not_taken_and_leaves_nothing(repo: Repository) -> None:
    repo.write("m.onnx", "accepted")
    made = profile_of(repo.folder, "m.onnx")
    commit = repo.commit({"m.onnx": "Accepted"})
    accept(repo, made, commit)
    request = request_for(repo)
    answer = found(resolve("dir:.greengate/baselines", request))
    assert answer.artifact is None
    assert list(request.scratch.iterdir()) == []


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../x", ""])
def test_a_version_cannot_write_outside_of_scratch(repo: Repository, path: str) -> None:
    repo.write("models/m.onnx", "x")
    made = profile_of(repo.folder, "models/m.onnx")
    files = (*made.model.files, File(path, hashlib.sha256(b"x").hexdigest(), 1))
    commit = repo.commit({"outside": "x", "x": "x"})
    accept(repo, dataclasses.replace(made, model=dataclasses.replace(made.model, files=files)), commit)
    repo.write("models/m.onnx", "new")
    request = request_for(repo, "models/m.onnx")
    assert found(resolve("dir:.greengate/baselines", request)).artifact is None
    assert list(request.scratch.iterdir()) == []


def test_a_version_without_files_or_with_an_unknown_commit_is_stored_numbers(repo: Repository) -> None:
    repo.commit({"m.onnx": "x"})
    made = profile_of(repo.folder, "m.onnx")
    accept(repo, dataclasses.replace(made, model=dataclasses.replace(made.model, files=())), "0" * 40)
    assert found(resolve("dir:.greengate/baselines", request_for(repo))).artifact is None
    accept(repo, made, "--all")
    repo.write("m.onnx", "new")
    assert found(resolve("dir:.greengate/baselines", request_for(repo))).artifact is None


def test_a_store_outside_of_git_works(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("x")
    made = profile_of(tmp_path, "m.onnx")
    store.accept(tmp_path / "store", made, "because", now=NOW, by="x", commit="0" * 40)
    request = Request("m", tmp_path / "m.onnx", tmp_path, tmp_path, None, None)
    assert found(resolve("dir:store", request)).artifact == tmp_path / "m.onnx"
    (tmp_path / "m.onnx").write_text("new")
    answer = found(resolve("dir:store", request))
    assert (answer.artifact, answer.profile) == (None, made)


# auto


def test_auto_without_anything_names_the_command(repo: Repository) -> None:
    answer = resolve("auto", request_for(repo))
    assert isinstance(answer, Missing)
    assert answer.reason.startswith("no baseline")
    assert answer.help == 'run `greengate baseline accept m --reason "..."`'
    assert answer.kind == "incomparable"


def test_auto_takes_the_merge_base_before_the_store(repo: Repository) -> None:
    base = repo.commit({"m.onnx": "base"})
    repo.write("m.onnx", "accepted")
    accept(repo, profile_of(repo.folder, "m.onnx"))
    in_request = found(resolve("auto", request_for(repo, base=base)))
    assert in_request.artifact is not None
    assert in_request.artifact.read_text() == "base"
    assert in_request.ref.uri == f"ref:{base[:12]}"
    assert in_request.ref.commit == base
    assert in_request.ref.about == f"m.onnx at the merge base {base[:12]}"
    assert found(resolve("auto", request_for(repo))).ref.uri == "dir:.greengate/baselines"


@pytest.mark.parametrize("with_store", [True, False])
def test_a_model_that_is_new_in_the_request_falls_through(repo: Repository, with_store: bool) -> None:
    base = repo.commit({"README": "x"})
    repo.write("m.onnx", "new")
    if with_store:
        accept(repo, profile_of(repo.folder, "m.onnx"))
    answer = resolve("auto", request_for(repo, base=base))
    assert isinstance(answer, Found if with_store else Missing)


def test_a_merge_base_that_is_not_at_hand_is_said_not_skipped(repo: Repository) -> None:
    repo.write("m.onnx", "x")
    accept(repo, profile_of(repo.folder, "m.onnx"))
    answer = resolve("auto", request_for(repo, base=MergeBase(None, "history is cut off", "set `fetch-depth: 0`")))
    assert answer == Missing("no baseline: history is cut off", "incomparable", "set `fetch-depth: 0`")


def test_a_model_outside_of_the_repository_has_no_merge_base(repo: Repository) -> None:
    base = repo.commit({"m.onnx": "x"})
    outside = repo.folder.parent / "m.onnx"
    outside.write_text("x")
    answer = resolve("auto", dataclasses.replace(request_for(repo, base=base), path=outside))
    assert isinstance(answer, Missing)


def test_a_removed_or_replaced_candidate_still_has_its_merge_base(repo: Repository) -> None:
    base = repo.commit({"models/m.onnx": "base"})
    repo.git("rm", "--quiet", "models/m.onnx")
    assert found(resolve("auto", request_for(repo, "models/m.onnx", base))).artifact is not None


def test_an_unchanged_model_is_still_measured(repo: Repository) -> None:
    base = repo.commit({"m.onnx": "same"})
    answer = found(resolve("auto", request_for(repo, base=base)))
    assert answer.artifact is not None
    assert answer.artifact != repo.folder / "m.onnx"


# real models out of history


@pytest.mark.parametrize("location", [None, "m.onnx.data", "weights/w.bin", "x" * 150 + ".bin"])
@pytest.mark.parametrize("folder", [".", "models"])
def test_a_real_model_runs_as_it_was_at_the_merge_base(repo: Repository, folder: str, location: str | None) -> None:
    path = repo.folder / folder / "m.onnx"
    onnx_model(path, 1.0, location)
    repo.write(f"{folder}/unrelated.bin", b"\0" * 5000)
    base = repo.commit()
    onnx_model(path, 2.0, location)
    answer = found(resolve("auto", request_for(repo, f"{folder}/m.onnx", base)))
    assert answer.artifact is not None
    assert output(answer.artifact) == 1.0
    assert output(path) == 2.0
    names = {item.name for item in answer.artifact.parent.rglob("*") if item.is_file()}
    assert names == {"m.onnx", *([Path(location).name] if location else [])}


def test_external_data_that_is_not_committed_is_said(repo: Repository) -> None:
    onnx_model(repo.folder / "m.onnx", 1.0, "w.bin")
    base = repo.commit({".gitignore": "*.bin\n"})
    answer = resolve("auto", request_for(repo, base=base))
    assert isinstance(answer, Missing)
    assert answer.reason == f"no baseline: m.onnx at {base[:12]} needs w.bin, which is not in that commit"


def test_external_data_that_escapes_is_left_to_the_profiler(repo: Repository) -> None:
    onnx_model(repo.folder / "models/m.onnx", 1.0, "w.bin")
    path = repo.folder / "models/m.onnx"
    path.write_bytes(path.read_bytes().replace(b"\x05w.bin", b"\x05../wb"))
    base = repo.commit({"wb": "outside"})
    request = request_for(repo, "models/m.onnx", base)
    answer = found(resolve("auto", request))
    assert answer.artifact is not None
    assert [item.name for item in request.scratch.rglob("*") if item.is_file()] == ["m.onnx"]


def test_an_empty_model_in_history_is_left_to_the_profiler(repo: Repository) -> None:
    answer = found(resolve("auto", request_for(repo, base=repo.commit({"m.onnx": ""}))))
    assert answer.artifact is not None
    assert answer.artifact.read_bytes() == b""


def lfs_pointer(content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"


def keep_in_lfs(repo: Repository, content: bytes) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    repo.write(f".git/lfs/objects/{sha256[:2]}/{sha256[2:4]}/{sha256}", content)


def test_a_model_and_its_weights_come_out_of_git_lfs(repo: Repository) -> None:
    onnx_model(repo.folder / "m.onnx", 1.0, "w.bin")
    files = {name: (repo.folder / name).read_bytes() for name in ("m.onnx", "w.bin")}
    base = repo.commit({name: lfs_pointer(content) for name, content in files.items()})
    request = request_for(repo, base=base)
    answer = resolve("auto", request)
    assert answer == Missing(
        f"no baseline: m.onnx at {base[:12]} is kept in Git LFS and was not downloaded",
        "incomparable",
        f"install git-lfs and run `git lfs fetch origin {base}`",
    )
    keep_in_lfs(repo, files["m.onnx"])
    assert "w.bin" in str(resolve("auto", request))
    keep_in_lfs(repo, files["w.bin"])
    artifact = found(resolve("auto", request)).artifact
    assert artifact is not None
    assert output(artifact) == 1.0


def test_a_stored_version_comes_out_of_git_lfs(repo: Repository) -> None:
    content = b"m" * 5000
    repo.write("m.onnx", content)
    made = profile_of(repo.folder, "m.onnx")
    accept(repo, made, repo.commit({"m.onnx": lfs_pointer(content)}))
    request = request_for(repo)
    assert found(resolve("auto", request)).artifact is None
    keep_in_lfs(repo, content)
    artifact = found(resolve("auto", request)).artifact
    assert artifact is not None
    assert artifact.read_bytes() == content


def test_a_scratch_that_cannot_be_written_is_a_clean_error(repo: Repository) -> None:
    base = repo.commit({"m.onnx": "x"})
    request = dataclasses.replace(request_for(repo, base=base), scratch=repo.folder / "absent")
    with pytest.raises(GreengateError, match="cannot-write"):
        resolve("auto", request)


# the errors as printed


@pytest.mark.parametrize(
    ("code", "uri"), [("baseline-scheme", "s3://models/old.onnx"), ("baseline-missing", "dir:.greengate/old")]
)
def test_the_errors_as_printed(repo: Repository, code: str, uri: str, golden: Callable[[Path, str], None]) -> None:
    with pytest.raises(BaselineError) as caught:
        resolve(uri, request_for(repo))
    assert str(caught.value).startswith(f"error[{code}]: ")
    golden(HERE / "golden" / f"{code}.txt", str(caught.value))


def test_gits_refusal_as_printed(repo: Repository, golden: Callable[[Path, str], None]) -> None:
    base = repo.commit({"m.onnx": "x"})
    blob = repo.git("rev-parse", "HEAD:m.onnx")
    (repo.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GreengateError) as caught:
        resolve("auto", request_for(repo, base=base))
    golden(HERE / "golden" / "git-failed.txt", str(caught.value))
