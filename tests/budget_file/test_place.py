"""Where policy files are read: in a folder, and in a commit; what is refused says where and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import Repository

from greengate.budget_file import InCommit, OnDisk
from greengate.budget_file.place import UnreadableError

CHECK = "check that this is the file you meant"


@pytest.fixture
def commit(tmp_path: Path) -> InCommit:
    made = Repository(tmp_path / "repository")
    made.write("full.yaml", b"#" * (1 << 20))
    made.write("larger.yaml", b"#" * ((1 << 20) + 1))
    made.write("empty.yaml", b"")
    (made.folder / "linked.yaml").symlink_to("full.yaml")
    return InCommit(made.folder, made.commit(), "full.yaml", "main")


def refused(place: InCommit | OnDisk) -> tuple[str, str]:
    with pytest.raises(UnreadableError) as caught:
        place.read()
    return str(caught.value), caught.value.help


def test_a_file_of_a_commit_is_read_up_to_a_mebibyte(commit: InCommit) -> None:
    assert commit.read() == b"#" * (1 << 20)
    assert commit.beside("empty.yaml").read() == b""
    assert refused(commit.beside("larger.yaml")) == ("main:larger.yaml is larger than 1 MiB", CHECK)


def test_what_a_commit_does_not_have_is_told_by_name(commit: InCommit) -> None:
    message, help_ = refused(commit.beside("policy/none.yaml"))
    assert message == f"there is no main:policy/none.yaml (commit {commit.commit[:12]})"
    assert help_ == "commit the file, or mend the path; files of a submodule are not part of the commit"
    message, help_ = refused(commit.beside("linked.yaml"))
    assert (message, help_) == ("main:linked.yaml is a symbolic link, or behind one", "name the file itself")


def test_a_commit_that_git_does_not_know_is_told_in_its_words(commit: InCommit) -> None:
    message, help_ = refused(InCommit(commit.top, "1" * 40, "full.yaml", "gone"))
    assert message.startswith("gone:full.yaml cannot be read: ")
    assert message != "gone:full.yaml cannot be read: "
    assert help_


@pytest.mark.parametrize(
    ("path", "rest", "found"),
    [
        ("a/b/org.yaml", "team.yaml", "a/b/team.yaml"),
        ("a/b/org.yaml", "../team.yaml", "a/team.yaml"),
        ("a/b/org.yaml", "../../team.yaml", "team.yaml"),
        ("a/b/org.yaml", "c/../team.yaml", "a/b/team.yaml"),
        ("org.yaml", "..team.yaml", "..team.yaml"),
        ("a/b/org.yaml", "../../../team.yaml", None),
        ("org.yaml", "../team.yaml", None),
    ],
)
def test_a_path_starts_at_the_files_folder_and_stays_inside(path: str, rest: str, found: str | None) -> None:
    place = InCommit(Path("top"), "1" * 40, path, "main")
    if found is None:
        with pytest.raises(UnreadableError) as caught:
            place.beside(rest)
        assert str(caught.value) == f"{rest} lies outside of the repository of main:{path}"
        assert caught.value.help == "name a file of the repository, or a `git` one"
    else:
        beside = place.beside(rest)
        assert (beside.path, beside.shown, beside.identity) == (found, f"main:{found}", f"{'1' * 40}:{found}")


def test_a_path_on_disk_follows_no_link_on_its_way(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "linked").symlink_to("b")
    (tmp_path / "a" / "b" / "org.yaml").write_text("x")
    place = OnDisk(tmp_path / "a" / "budgets.yaml", "a/budgets.yaml")
    found = place.beside("b/../b/org.yaml")
    assert (found.read(), found.shown, found.commit) == (b"x", "a/b/org.yaml", None)
    assert found.identity == place.beside("b/org.yaml").identity == str((tmp_path / "a" / "b" / "org.yaml").resolve())
    for rest in ("linked/org.yaml", "linked", "b/../linked/org.yaml"):
        with pytest.raises(
            UnreadableError, match=rf"^a/{rest} is a symbolic link, or behind one$".replace("/..", "/..")
        ):
            place.beside(rest)
    assert refused(place.beside("none.yaml"))[0] == "there is no a/none.yaml"
