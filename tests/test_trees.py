"""Commits as trees beside the work tree: content decides, whatever git's settings and index say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from repository import Repository

from greengate.git import trees
from greengate.git.trees import Leaf


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "r")
    made.write("run.sh", "x\n").chmod(0o755)
    (made.folder / "link").symlink_to("a.bin")
    made.commit({"a.bin": b"a\r\n", "deep/ä b": "one"})
    return made


def test_leaves_and_what_differs(repository: Repository) -> None:
    before = repository.git("rev-parse", "HEAD")
    old = trees.leaves(repository.folder, before)
    assert {path: leaf.mode for path, leaf in old.items()} == {
        **{"a.bin": "100644", "run.sh": "100755", "link": "120000", "deep/ä b": "100644"}
    }
    assert {path for path, leaf in old.items() if leaf.is_file} == {"a.bin", "run.sh", "deep/ä b"}
    repository.git("mv", "a.bin", "b.bin")
    (repository.folder / "run.sh").chmod(0o644)
    new = trees.leaves(repository.folder, repository.commit({"new": "x"}))
    assert trees.differing(old, new) == ("a.bin", "b.bin", "new", "run.sh")
    assert trees.differing(new, new) == ()


def test_a_file_stands_where_its_bytes_are_the_commits(repository: Repository) -> None:
    top = Path(repository.git("rev-parse", "--show-toplevel"))
    leaves = trees.leaves(top, repository.git("rev-parse", "HEAD"))
    assert trees.stands(top, "a.bin", leaves["a.bin"])
    assert trees.stands(top, "deep/ä b", leaves["deep/ä b"])
    assert not trees.stands(top, "gone", leaves["a.bin"])
    # What filters would call the same is another content.
    repository.git("config", "core.autocrlf", "true")
    (top / "a.bin").write_bytes(b"a\n")
    assert not trees.stands(top, "a.bin", leaves["a.bin"])


def test_a_link_never_stands_for_a_file(repository: Repository) -> None:
    top = Path(repository.git("rev-parse", "--show-toplevel"))
    leaves = trees.leaves(top, repository.git("rev-parse", "HEAD"))
    (top / "copy").write_bytes(b"a\r\n")
    (top / "a.bin").unlink()
    (top / "a.bin").symlink_to("copy")
    assert not trees.stands(top, "a.bin", leaves["a.bin"]), "the same bytes, behind a link"
    (top / "deep").rename(top / "real")
    (top / "deep").symlink_to("real")
    assert not trees.stands(top, "deep/ä b", leaves["deep/ä b"]), "in a folder that is a link"
    assert not trees.stands(top, "link", leaves["link"])


def test_a_pointer_stands_for_what_it_names(repository: Repository) -> None:
    top = Path(repository.git("rev-parse", "--show-toplevel"))
    named = hashlib.sha256(b"weights").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{named}\nsize 7\n"
    leaf = trees.leaves(top, repository.commit({"w": pointer}))["w"]
    assert trees.stands(top, "w", leaf)
    (top / "w").write_bytes(b"weights")
    assert trees.stands(top, "w", leaf)
    (top / "w").write_bytes(b"Weights")
    assert not trees.stands(top, "w", leaf)


def test_everything_below_a_folder_is_found(repository: Repository) -> None:
    top = repository.folder
    (top / "deep" / "more").mkdir()
    (top / "deep" / "more" / ".hidden").write_text("x")
    (top / "deep" / "elsewhere").symlink_to("/")
    assert sorted(trees.below(top, "deep")) == ["deep/elsewhere", "deep/more/.hidden", "deep/ä b"]


def test_ids_of_sha256_repositories(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    (tmp_path / "f").write_bytes(content)
    top = tmp_path.resolve()
    made = hashlib.sha256(b"blob 3000000\0" + content).hexdigest()
    assert trees.stands(top, "f", Leaf("100644", made))
