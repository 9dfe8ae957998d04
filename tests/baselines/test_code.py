"""Baselines of models that code makes, and of folders: named by path, and as they stood in a commit."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from pathlib import Path

import nouns
import pytest
from repository import Repository

from greengate.baselines import Found, MergeBase, Request, resolve, store
from greengate.errors import BaselineError
from greengate.profile import File, Missing, digest_files

CODE = {
    "src/own/__init__.py": "",
    "src/own/net.py": "old = 1\n",
    "src/own/sizes.json": "[1]",
    "other.py": "elsewhere\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    repo.commit({**CODE, "w.safetensors": "old weights", "src/large.bin": b"x" * (1 << 21), "m/config.json": "{}"})
    return repo


def ask(repo: Repository, uri: str, path: str, weights: str | None = None, base: str | None = None) -> Found | Missing:
    scratch = repo.folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    given = None if weights is None else repo.folder / weights
    merge_base = None if base is None else MergeBase(base)
    return resolve(uri, Request("net", repo.folder / path, repo.folder, scratch, None, merge_base, given))


def found(answer: Found | Missing) -> Found:
    assert isinstance(answer, Found), answer
    return answer


def test_code_at_the_merge_base_with_its_weights(repo: Repository) -> None:
    base = repo.git("rev-parse", "HEAD")
    repo.commit({"src/own/net.py": "new = 1\n", "w.safetensors": "new weights"})
    answer = found(ask(repo, "auto", "src/own.net:make", "w.safetensors", base))
    assert answer.artifact is not None
    assert answer.artifact.name == "own.net:make"
    folder = answer.artifact.parent
    assert (folder / "own/net.py").read_text() == "old = 1\n"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "own/__init__.py",
        "own/net.py",
        "own/sizes.json",
    ]
    assert answer.weights is not None
    assert answer.weights.read_text() == "old weights"
    assert answer.ref.about == f"src/own.net:make at the merge base {base[:12]}"
    assert found(ask(repo, f"ref:{base}", "src/own.net:make")).ref.commit == base


def test_code_at_the_root_of_the_repository(repo: Repository) -> None:
    answer = found(ask(repo, "ref:HEAD", "other:make"))
    assert answer.artifact is not None
    assert (answer.artifact.parent / "other.py").read_text() == "elsewhere\n"


def test_code_that_is_new_in_the_request_has_no_merge_base(repo: Repository) -> None:
    base = repo.git("rev-parse", "HEAD")
    repo.commit({"src/own/fresh.py": ""})
    answer = ask(repo, "auto", "src/own.fresh:make", base=base)
    assert isinstance(answer, Missing)
    assert "none was named" in answer.reason


def test_weights_that_were_not_committed_are_said(repo: Repository) -> None:
    repo.write("new.safetensors", "new weights")
    answer = ask(repo, "auto", "src/own.net:make", "new.safetensors", repo.git("rev-parse", "HEAD"))
    assert isinstance(answer, Missing)
    assert "new.safetensors are not in" in answer.reason


def test_a_folder_at_the_merge_base_comes_whole(repo: Repository) -> None:
    base = repo.commit({"m/model.safetensors": b"y" * (1 << 21), "m/sub/more.json": "{}"})
    repo.commit({"m/model.safetensors": "changed"})
    answer = found(ask(repo, "auto", "m", base=base))
    assert answer.artifact is not None
    assert (answer.artifact / "model.safetensors").stat().st_size == 1 << 21
    assert (answer.artifact / "sub/more.json").exists()


@pytest.mark.parametrize(
    ("uri", "artifact", "weights"),
    [
        ("file:old/own.net:make", "old/own.net:make", "w.safetensors"),
        ("file:old.safetensors", "src/own.net:make", "old.safetensors"),
        ("file:m", "m", "w.safetensors"),
        ("file:old.onnx", "old.onnx", None),
    ],
)
def test_a_model_named_by_its_path(repo: Repository, uri: str, artifact: str, weights: str | None) -> None:
    for path in ("old.safetensors", "old.onnx"):
        repo.write(path, "")
    answer = found(ask(repo, uri, "src/own.net:make", "w.safetensors"))
    assert answer.artifact == repo.folder / artifact
    assert answer.weights == (None if weights is None else repo.folder / weights)


@pytest.mark.parametrize("uri", ["file:old.safetensors", "file:src"])
def test_what_is_no_model_is_missing(repo: Repository, uri: str) -> None:
    with pytest.raises(BaselineError, match="is not a file"):
        ask(repo, uri, "src/own.net:make")


# accepted into a store


def version(repo: Repository, path: str, root: str, *files: str | tuple[str, str]) -> None:
    """Accept a model of these files, told from `root`; (name, path) is one that lies elsewhere, or nowhere."""
    told = [(one, f"{root}/{one}") if isinstance(one, str) else one for one in files]
    read = [(name, (repo.folder / at).read_bytes() if at else b"{}") for name, at in told]
    made = tuple(File(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in read)
    base = nouns.profile({})
    model = dataclasses.replace(base.model, name="net", path=path, digest=digest_files(made), files=made)
    stored = dataclasses.replace(base, model=model)
    now = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
    commit = repo.git("rev-parse", "HEAD")
    store.accept(repo.folder / "store", stored, "because", now=now, by="dev", commit=commit)


@pytest.mark.parametrize("weights", ["src/own/w.pth", "weights/w.pth"])
@pytest.mark.parametrize("change", ["nothing", "weights", "weights by another name", "code"])
def test_a_stored_model_made_by_code_has_its_own_weights(repo: Repository, weights: str, change: str) -> None:
    repo.commit({weights: "old weights"})
    inside = weights.startswith("src/")
    own = weights.removeprefix("src/") if inside else ("w.pth", weights)
    version(repo, "src/own.net:make", "src", own, "own/__init__.py", "own/net.py")
    if change == "code":
        repo.commit({"src/own/net.py": "new = 1\n"})
    elif change == "weights":
        repo.commit({weights: "other weights"})
    named = weights
    if change == "weights by another name":
        named = weights.replace("w.pth", "v.pth")
        repo.commit({weights: "other weights", named: "new weights"})
    answer = found(ask(repo, "dir:store", "src/own.net:make", named))
    assert answer.artifact is not None
    assert answer.weights is not None
    assert answer.artifact.name == "own.net:make"
    assert (answer.artifact.parent / "own/net.py").read_text() == "old = 1\n"
    assert answer.weights.read_text() == "old weights"
    assert answer.weights.is_relative_to(answer.artifact.parent) is inside
    assert answer.artifact.is_relative_to(repo.folder) is (change == "nothing")


@pytest.mark.parametrize("root", ["src", "."])
def test_in_a_request_stored_code_comes_with_what_lay_beside_it(repo: Repository, root: str) -> None:
    """What it reads is noted nowhere: the work tree's is the change's, and only a commit has what it was."""
    files = ("own/__init__.py", "own/net.py") if root == "src" else ("other.py",)
    path = "src/own.net:make" if root == "src" else "other:make"
    repo.commit({"sizes.json": "[1]"})
    version(repo, path, root, *files)
    base = repo.commit()
    repo.write("src/own/sizes.json", "[50]")
    repo.write("sizes.json", "[50]")
    answer = found(ask(repo, "dir:store", path, base=base))
    assert answer.artifact is not None
    folder = answer.artifact.parent
    assert not folder.is_relative_to(repo.folder)
    assert (folder / ("own/sizes.json" if root == "src" else "sizes.json")).read_text() == "[1]"
    assert not list(folder.rglob("large.bin")), "files beside code are small"
    assert found(ask(repo, "dir:store", path)).artifact == repo.folder / path  # on a laptop it is at hand


def test_in_a_request_stored_code_that_was_not_committed_is_its_numbers(repo: Repository) -> None:
    base = repo.git("rev-parse", "HEAD")
    repo.write("src/own/net.py", "new = 1\n")
    version(repo, "src/own.net:make", "src", "own/__init__.py", "own/net.py")
    answer = found(ask(repo, "dir:store", "src/own.net:make", base=base))
    assert (answer.artifact, answer.profile is None) == (None, False)


@pytest.mark.parametrize("weights", ["src/w.pth", "weights/w.pth"])
def test_in_a_request_weights_of_stored_code_come_from_the_commit_too(repo: Repository, weights: str) -> None:
    base = repo.commit({weights: b"w" * (1 << 21), "weights/notes.json": "{}"})
    own = ("w.pth", weights) if weights.startswith("weights/") else "w.pth"
    version(repo, "src/own.net:make", "src", own, "own/__init__.py", "own/net.py")
    answer = found(ask(repo, "dir:store", "src/own.net:make", weights, base))
    assert answer.artifact is not None
    assert answer.weights is not None
    assert answer.weights.stat().st_size == 1 << 21
    assert not answer.weights.is_relative_to(repo.folder)
    assert (answer.artifact.parent / "own/sizes.json").read_text() == "[1]"
    assert not (answer.weights.parent / "notes.json").exists()


def test_a_stored_model_whose_weights_are_gone_is_its_numbers(repo: Repository) -> None:
    repo.write("src/own/w.pth", "never committed")
    version(repo, "src/own.net:make", "src", "own/w.pth", "own/__init__.py", "own/net.py")
    repo.write("src/own/w.pth", "new weights")
    answer = found(ask(repo, "dir:store", "src/own.net:make", "src/own/w.pth"))
    assert (answer.artifact, answer.weights) == (None, None)
    assert answer.profile is not None


def test_a_stored_model_made_with_arguments_is_its_numbers(repo: Repository) -> None:
    version(repo, "src/own.net:make", "src", ("args", ""), "own/__init__.py", "own/net.py")
    answer = found(ask(repo, "dir:store", "src/own.net:make"))
    assert (answer.artifact, answer.weights) == (None, None)


def test_a_stored_model_of_code_alone_has_no_weights(repo: Repository) -> None:
    version(repo, "src/own.net:make", "src", "own/__init__.py", "own/net.py")
    answer = found(ask(repo, "dir:store", "src/own.net:make"))
    assert (answer.artifact, answer.weights) == (repo.folder / "src/own.net:make", None)


@pytest.mark.parametrize("folder", ["m", "models/deep/m", "."])
@pytest.mark.parametrize("change", ["nothing", "another file", "gone"])
def test_a_stored_folder_is_found(repo: Repository, folder: str, change: str) -> None:
    repo.commit({f"{folder}/config.json": "{}", f"{folder}/model.safetensors": "old", f"{folder}/sub/more.json": "[]"})
    version(repo, folder, folder, "config.json", "model.safetensors", "sub/more.json")
    if change == "another file":
        repo.commit({f"{folder}/model.safetensors": "new"})
    elif change == "gone":
        (repo.folder / folder / "config.json").unlink()
        repo.commit()
    answer = found(ask(repo, "dir:store", folder))
    assert answer.artifact is not None
    assert answer.artifact.is_relative_to(repo.folder) is (change == "nothing")
    assert (answer.artifact / "model.safetensors").read_text() == "old"
    assert (answer.artifact / "sub/more.json").read_text() == "[]"
    assert answer.weights is None


def test_a_folder_beside_the_stored_one_is_not_it(repo: Repository) -> None:
    repo.write("m/model.safetensors", "never committed")
    version(repo, "m", "m", "config.json", "model.safetensors")
    for name in ("config.json", "model.safetensors"):
        repo.write(name, (repo.folder / "m" / name).read_bytes())
    repo.write("m/model.safetensors", "new")
    assert found(ask(repo, "dir:store", "m")).artifact is None
