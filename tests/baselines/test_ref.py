"""`ref:NAME` in real repositories: branches, tags, commits, shallow clones, renames, submodules, Git LFS."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nouns
import pytest
from repository import Repository

from greengate import git
from greengate.baselines import Found, Request, resolve
from greengate.errors import BaselineError
from greengate.profile import Missing

WEIGHTS = bytes(range(256)) * 64


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.commit({"models/m.onnx": WEIGHTS})
    return made


def asked(repo: Repository, path: str = "models/m.onnx") -> Request:
    scratch = repo.folder.parent / f"scratch-{repo.folder.name}"
    scratch.mkdir(exist_ok=True)
    return Request("m", repo.folder / path, repo.folder, scratch, nouns.HARDWARE.id)


def found(answer: Found | Missing) -> Found:
    assert isinstance(answer, Found)
    assert answer.artifact is not None
    return answer


@pytest.mark.parametrize("ref", ["main", "HEAD~1", "v1", "refs/heads/main~1", "commit", "short"])
def test_any_name_git_knows(repo: Repository, ref: str) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.git("tag", "-a", "v1", "-m", "one")
    repo.commit({"models/m.onnx": WEIGHTS * 2})
    repo.git("branch", "old", first)
    name = {"commit": first, "short": first[:10], "main": "old"}.get(ref, ref)
    answer = found(resolve(f"ref:{name}", asked(repo)))
    assert answer.artifact is not None
    assert answer.artifact.read_bytes() == WEIGHTS
    assert answer.profile is None
    assert answer.ref.commit == first
    assert answer.ref.uri == f"ref:{first[:12]}"
    assert answer.ref.about == f"models/m.onnx at {name} ({first[:12]})"


@pytest.mark.parametrize("name", ["nowhere", "--upload-pack=touch x", "a b", ""])
def test_a_name_git_does_not_know(repo: Repository, name: str) -> None:
    with pytest.raises(BaselineError, match=r"baseline-missing.*no branch, tag or commit|baseline-scheme"):
        resolve(f"ref:{name}", asked(repo))


def test_a_model_that_is_not_there_is_an_error_with_the_commit(repo: Repository) -> None:
    commit = repo.git("rev-parse", "HEAD")
    with pytest.raises(BaselineError, match=f"new.onnx is not in main \\({commit[:12]}\\)"):
        resolve("ref:main", asked(repo, "new.onnx"))


@pytest.mark.parametrize("name", ["origin/main", "main", "v1", "commit"])
def test_a_shallow_clone_fetches_the_one_commit(repo: Repository, tmp_path: Path, name: str) -> None:
    old = repo.git("rev-parse", "HEAD")
    repo.git("tag", "v1")
    repo.git("checkout", "--quiet", "-b", "topic")
    repo.commit({"models/m.onnx": WEIGHTS * 2})
    clone = repo.clone(tmp_path / "clone", "--depth=1", "--branch=topic", "--single-branch", "--no-tags")
    assert git.commit(clone.folder, old) is None
    answer = found(resolve(f"ref:{old if name == 'commit' else name}", asked(clone)))
    assert answer.artifact is not None
    assert answer.artifact.read_bytes() == WEIGHTS
    assert git.is_shallow(clone.folder)
    assert clone.git("status", "--porcelain") == ""


def test_an_unreachable_remote_is_said(repo: Repository, tmp_path: Path) -> None:
    clone = repo.clone(tmp_path / "clone", "--depth=1")
    repo.folder.rename(tmp_path / "moved")
    with pytest.raises(BaselineError, match=r"ref:v9 is not in this checkout, and .*"):
        resolve("ref:v9", asked(clone))


@pytest.mark.parametrize("shallow", [False, True])
def test_a_renamed_model_is_found_and_said(repo: Repository, tmp_path: Path, shallow: bool) -> None:
    old = repo.git("rev-parse", "HEAD")
    repo.git("checkout", "--quiet", "-b", "topic")
    repo.git("mv", "models/m.onnx", "better.onnx")
    repo.commit({"better.onnx": WEIGHTS + b"a few more"})
    if shallow:
        repo = repo.clone(tmp_path / "clone", "--depth=1", "--branch=topic", "--single-branch")
    answer = found(resolve("ref:main", asked(repo, "better.onnx")))
    assert answer.artifact is not None
    assert answer.artifact.read_bytes() == WEIGHTS
    assert answer.ref.about == f"models/m.onnx at main ({old[:12]}), renamed to better.onnx since"


def test_another_model_is_not_taken_for_the_old_one(repo: Repository) -> None:
    repo.git("checkout", "--quiet", "-b", "topic")
    repo.git("rm", "--quiet", "models/m.onnx")
    repo.commit({"better.onnx": bytes(reversed(range(256))) * 60})
    with pytest.raises(BaselineError, match="under this name or another"):
        resolve("ref:main", asked(repo, "better.onnx"))


def test_a_submodule_is_refused_with_its_name(repo: Repository, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other")
    other.commit({"m.onnx": WEIGHTS})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{other.folder}", "sub")
    repo.commit()
    answer = resolve("ref:HEAD", asked(repo, "sub/m.onnx"))
    assert isinstance(answer, Missing)
    assert answer.reason == "no baseline: sub/m.onnx lies in the submodule sub"
    assert "file:PATH" in answer.help


def test_outside_of_a_repository_and_of_its_folder(repo: Repository, tmp_path: Path) -> None:
    nowhere = Request("m", tmp_path / "m.onnx", tmp_path, tmp_path)
    with pytest.raises(BaselineError, match="this is no git repository"):
        resolve("ref:main", nowhere)
    with pytest.raises(BaselineError, match="outside of the repository"):
        resolve("ref:main", dataclasses.replace(asked(repo), path=tmp_path / "m.onnx"))


@pytest.mark.system("git-lfs")
def test_a_pointer_is_resolved_through_git_lfs(tmp_path: Path) -> None:
    source = Repository(tmp_path / "source")
    source.git("lfs", "install", "--local")
    source.git("lfs", "track", "*.onnx")
    source.commit({"m.onnx": WEIGHTS})
    bare = source.clone(tmp_path / "origin.git", "--bare")
    source.git("remote", "add", "origin", f"file://{bare.folder}")
    source.git("lfs", "push", "--all", "origin")
    clone = bare.clone(tmp_path / "clone")
    assert (clone.folder / "m.onnx").read_bytes().startswith(b"version https://git-lfs")
    answer = found(resolve("ref:origin/main", asked(clone, "m.onnx")))
    assert answer.artifact is not None
    assert answer.artifact.read_bytes() == WEIGHTS


@pytest.mark.system("git-lfs")
def test_a_pointer_whose_content_is_gone_says_what_to_run(tmp_path: Path) -> None:
    source = Repository(tmp_path / "source")
    source.git("lfs", "install", "--local")
    source.git("lfs", "track", "*.onnx")
    commit = source.commit({"m.onnx": WEIGHTS})
    clone = source.clone(tmp_path / "clone")
    for path in (source.folder / ".git/lfs", clone.folder / ".git/lfs"):
        if path.exists():
            path.rename(path.with_name("gone"))
    answer = resolve("ref:origin/main", asked(clone, "m.onnx"))
    assert isinstance(answer, Missing)
    assert "is kept in Git LFS and was not downloaded" in answer.reason
    assert answer.help == f"install git-lfs and run `git lfs fetch origin {commit}`"
