"""Baselines of models that code makes, and of folders: named by path, and as they stood in a commit."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import Repository

from greengate.baselines import Found, MergeBase, Request, resolve
from greengate.errors import BaselineError
from greengate.profile import Missing

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
