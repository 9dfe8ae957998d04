"""Proof of a store: whole chains have seals, and every edit is found, where it was made and in which chain."""

from __future__ import annotations

import datetime
from pathlib import Path

import nouns
import pytest
from repository import Repository
from test_store import OTHER, accept, profile

from greengate.baselines import store
from greengate.baselines.branch import open_
from greengate.baselines.place import Directory
from greengate.baselines.verify import verify
from greengate.errors import BaselineError

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
HARDWARE = nouns.HARDWARE.id


def said(root: Path, model: str | None = None, seal: str | None = None) -> list[str]:
    return [finding.message for finding in verify(Directory(root), model, seal).wrong]


def test_whole_chains_have_a_seal_each(tmp_path: Path) -> None:
    for made in (profile(), profile(), profile(hardware=OTHER), profile("n")):
        last = accept(tmp_path, made)
    proof = verify(Directory(tmp_path))
    assert [(one.model, one.hardware, one.versions) for one in proof.seals] == sorted(
        [("m", HARDWARE, 2), ("m", OTHER.id, 1), ("n", HARDWARE, 1)]
    )
    assert proof.wrong == ()
    assert proof.notes == ("not in a git repository: an edit of the last version cannot be told",)
    assert [one.digest for one in verify(Directory(tmp_path), "n").seals] == [proof.seals[-1].digest]
    assert last.previous is None


def test_a_seal_noted_earlier_finds_a_store_that_was_rewritten(tmp_path: Path) -> None:
    accept(tmp_path, reason="honest")
    (seal,) = verify(Directory(tmp_path)).seals
    accept(tmp_path)
    assert said(tmp_path, seal=seal.digest) == []
    for path in tmp_path.rglob("*.json"):
        path.unlink()
    accept(tmp_path, reason="rewritten")
    accept(tmp_path)
    assert said(tmp_path) == []
    (wrong,) = said(tmp_path, seal=seal.digest)
    assert seal.digest in wrong


def test_every_broken_chain_is_told_at_once(tmp_path: Path) -> None:
    for made in (profile(), profile(hardware=OTHER), profile("n")):
        for _ in range(2):
            version = accept(tmp_path, made)
        first = store.path_of(tmp_path, version).with_name("0001.json")
        if made.model.name == "m":
            first.write_text(first.read_text().replace('"first"', '"other"'))
    proof = verify(Directory(tmp_path))
    assert len(proof.wrong) == 2
    assert [one.model for one in proof.seals] == ["n"]


def committed(repo: Repository) -> Path:
    root = repo.folder / "store"
    accept(root)
    repo.commit()
    accept(root)
    repo.commit()
    return root


def test_an_edit_of_the_last_version_is_found_in_git(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    root = committed(repo)
    assert said(root) == []
    assert verify(Directory(root)).notes == ()
    last = next(root.rglob("0002.json"))
    last.write_text(last.read_text().replace('"first"', '"other"'))
    assert [version.reason for version in store.history(root, "m")] == ["first", "other"]
    (uncommitted,) = said(root)
    assert (
        uncommitted
        == f"store/m/{HARDWARE}/0002.json was changed after it was accepted, in the work tree, not committed"
    )
    commit = repo.commit()
    (found,) = said(root)
    assert found == f"store/m/{HARDWARE}/0002.json was changed after it was accepted, in commit {commit[:12]}"
    last.unlink()
    commit = repo.commit()
    assert said(root)[0] == f"store/m/{HARDWARE}/0002.json was removed after it was accepted, in commit {commit[:12]}"
    assert said(root, "m") == said(root)
    assert said(root, "other") == []


def test_a_repository_that_is_the_store_is_proved_model_by_model(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    accept(repo.folder)
    repo.commit()
    assert said(repo.folder, "m") == said(repo.folder) == []
    last = next(repo.folder.rglob("0001.json"))
    last.write_text(last.read_text().replace('"first"', '"other"'))
    (found,) = said(repo.folder, "m")
    assert found.startswith(f"m/{HARDWARE}/0001.json was changed")
    assert said(repo.folder, "other") == []


def test_what_happens_beside_the_store_or_moves_it_whole_is_no_edit(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    committed(repo)
    repo.commit({"m.onnx": "1", "store/README.md": "1"})
    repo.commit({"m.onnx": "2", "store/README.md": "2"})
    repo.git("mv", "store", "baselines")
    repo.commit()
    assert said(repo.folder / "baselines") == []


def test_versions_that_come_by_a_merge_are_no_edits_and_edits_by_one_are(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    root = committed(repo)
    repo.git("checkout", "--quiet", "-b", "topic")
    accept(root)
    repo.commit()
    repo.git("checkout", "--quiet", "main")
    repo.commit({"x": "y"})
    repo.merge("topic")
    assert said(root) == []
    repo.git("checkout", "--quiet", "topic")
    last = next(root.rglob("0003.json"))
    last.write_text(last.read_text().replace('"first"', '"other"'))
    repo.commit()
    repo.git("checkout", "--quiet", "main")
    repo.commit({"x": "z"})
    merge = repo.merge("topic")
    (found,) = said(root)
    assert f"in commit {merge[:12]}" in found


def test_an_edit_on_the_branch_is_found_whatever_the_chain_says(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    repo.commit({"m.onnx": "x"})
    branch = open_("versions", repo.folder)
    made = store.accept(branch, profile(), "first", now=NOW, by="x")
    assert verify(branch).wrong == ()
    repo.git("checkout", "--quiet", "versions")
    path = store.path_in(made)
    repo.commit({path: (repo.folder / path).read_text().replace('"first"', '"other"')})
    repo.git("checkout", "--quiet", "main")
    branch.refresh()
    assert store.history(branch, "m")[0].reason == "other"
    (wrong,) = verify(branch).wrong
    assert f"{path} was changed after it was accepted, in commit" in wrong.message


def test_a_shallow_clone_says_what_it_cannot_tell(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    committed(repo)
    clone = repo.clone(tmp_path / "clone", "--depth=1")
    proof = verify(Directory(clone.folder / "store"))
    assert proof.wrong == ()
    assert proof.notes == ("history is cut off here: edits before that cannot be told",)


def test_a_folder_the_store_would_not_make_is_told(tmp_path: Path) -> None:
    accept(tmp_path)
    made = tmp_path / "UPPER" / HARDWARE
    made.mkdir(parents=True)
    (made / "0001.json").write_text("{}")
    (wrong,) = verify(Directory(tmp_path)).wrong
    assert "is not a folder this store would make" in wrong.message
    with pytest.raises(BaselineError):
        store.models(tmp_path)
