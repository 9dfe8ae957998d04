"""git.py against real repositories: hostile names, shallow clones, links, LFS, and every way git can refuse."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from repository import Repository

from greengate import git
from greengate.errors import GreengateError

NONE = "0" * 40
HOSTILE = [
    "-x.onnx",
    "--output=x",
    "a b.onnx",
    "ä/ö.onnx",
    "*.onnx",
    ":(top)x",
    "new\nline",
    'quo"te',
    "tab\tx",
    "$(x).onnx",
    "a:b",
]


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def test_root_is_found_from_below_and_none_outside(repo: Repository, tmp_path: Path) -> None:
    repo.write("a/b/c.txt", "x")
    assert git.root(repo.folder / "a" / "b") == repo.folder
    assert git.root(tmp_path) is None
    assert git.root(tmp_path / "absent") is None
    assert git.root(repo.folder / ".git") is None


def test_root_is_none_without_git(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git.root(repo.folder) is None
    assert git.head(repo.folder) is None
    assert git.user(repo.folder) is None
    with pytest.raises(GreengateError, match=r"git-failed.*git could not be started"):
        git.is_shallow(repo.folder)


def test_a_repository_git_distrusts_is_an_error_with_gits_own_fix(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(GreengateError) as caught:
        git.root(repo.folder)
    finding = caught.value.diagnostics[0]
    assert finding.code == "git-failed"
    assert finding.message.startswith("detected dubious ownership in repository")
    assert "git config --global --add safe.directory" in finding.help


def test_variables_of_a_git_hook_do_not_decide_the_repository(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.folder))
    assert git.root(repo.folder) == repo.folder


def test_head_is_none_before_the_first_commit(repo: Repository) -> None:
    assert git.head(repo.folder) is None
    assert git.head(repo.folder.parent) is None
    made = repo.commit()
    assert git.head(repo.folder) == made


@pytest.mark.parametrize(
    "ref", ["--all", "-n1", "--help", "main\0", "main@{99}", "no such", "", NONE, "HEAD^1", "HEAD:x", "^HEAD"]
)
def test_a_ref_that_names_no_commit_is_none_and_never_an_option(repo: Repository, ref: str) -> None:
    repo.commit({"x": "1"})
    assert git.commit(repo.folder, ref) is None


def test_refs_of_every_kind_are_read(repo: Repository) -> None:
    made = repo.commit({"x": "1"})
    repo.git("tag", "-a", "v1", "-m", "one")
    assert {git.commit(repo.folder, ref) for ref in ("HEAD", "main", "v1", made[:10], made)} == {made}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_with_hostile_names_are_read(repo: Repository, name: str) -> None:
    made = repo.commit({name: b"\x00\xff content", "other": "no"})
    assert git.show(repo.folder, made, name) == b"\x00\xff content"
    assert git.show(repo.folder, made, f"./{name}") == b"\x00\xff content"
    entry = git.find(repo.folder, made, name)
    assert entry is not None
    assert (entry.path, entry.size) == (name, 10)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_asked_about_literally(repo: Repository, name: str) -> None:
    made = repo.commit({name: "x"})
    repo.write(".gitignore", "other\n")
    assert git.added_in(repo.folder, repo.folder / name) == made
    assert not git.is_ignored(repo.folder, repo.folder / name)


@pytest.mark.parametrize(
    "path",
    ["absent", "folder", "folder/absent", "../repo/x", "../x", "/x", "", ".", "x/y", "x\0", "*", "x/..", "folder/"],
)
def test_what_is_not_a_file_of_the_commit_is_none(repo: Repository, path: str) -> None:
    made = repo.commit({"x": "1", "folder/y": "2"})
    assert git.show(repo.folder, made, path) is None


def test_a_file_is_read_from_below_the_root_and_from_another_commit(repo: Repository) -> None:
    old = repo.commit({"m/x.onnx": "old"})
    new = repo.commit({"m/x.onnx": "new"})
    assert git.show(repo.folder / "m", old, "m/x.onnx") == b"old"
    assert git.show(repo.folder / "m", new, "m/../m/x.onnx") == b"new"


def test_links_are_followed_inside_the_commit_only(repo: Repository) -> None:
    repo.write("m/real.onnx", "content")
    links = {"m/a": "real.onnx", "m/b": "../m/a", "m/out": "../../etc/passwd", "m/abs": "/etc/passwd", "m/loop": "loop"}
    for name, target in links.items():
        (repo.folder / name).symlink_to(target)
    made = repo.commit()
    assert {name: git.show(repo.folder, made, name) for name in links} == {
        **dict.fromkeys(links),
        **{"m/a": b"content", "m/b": b"content"},
    }


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("real/sub/a", "real/sub/a"),
        ("near/sub/a", "real/sub/a"),  # a folder that is a link
        ("deep/link/a", "real/sub/a"),  # below another, upwards
        ("near/file", "real/sub/a"),  # a link in a folder that is one
        ("near/none", "real/none"),  # what is not there is somewhere all the same
        ("round/a", ""),
        ("out/a", ""),
        ("rooted/a", ""),
        ("../a", ""),
        ("", ""),
    ],
)
def test_paths_lead_through_the_links_of_the_commit_not_of_the_work_tree(
    repo: Repository, path: str, real: str
) -> None:
    repo.write("real/sub/a", "content")
    (repo.folder / "deep").mkdir()
    links = {"near": "real", "deep/link": "../near/sub", "real/file": "sub/a", "round": "round", "out": "../elsewhere"}
    for name, target in {**links, "rooted": "/"}.items():
        (repo.folder / name).symlink_to(target)
    made = repo.commit()
    (repo.folder / "near").unlink()
    (repo.folder / "near").symlink_to("deep")
    assert git.followed(repo.folder, made, path) == real
    found = git.show(repo.folder, made, path)
    assert found == (b"content" if real.endswith("/a") else None)


def test_a_large_blob_goes_to_a_file_byte_for_byte(repo: Repository, tmp_path: Path) -> None:
    content = os.urandom(5 << 20) + b"\r\n\0"
    made = repo.commit({"x": content, ".gitattributes": "* text=auto eol=crlf\n"})
    entry = git.find(repo.folder, made, "x")
    assert entry is not None
    assert entry.size == len(content)
    git.save_blob(repo.folder, entry.blob, tmp_path / "out")
    assert hashlib.sha256((tmp_path / "out").read_bytes()).digest() == hashlib.sha256(content).digest()
    with pytest.raises(FileExistsError):
        git.save_blob(repo.folder, entry.blob, tmp_path / "out")
    with pytest.raises(GreengateError, match="git-failed"):
        git.save_blob(repo.folder, NONE, tmp_path / "none")


@pytest.mark.parametrize("text", ["HEAD", "--all", "0" * 39, "G" * 40, "0" * 40 + "\n"])
def test_only_full_ids_reach_object_commands(repo: Repository, text: str, tmp_path: Path) -> None:
    assert not git.is_hash(text)
    for call in (git.parents, git.fetch, lambda *args: git.find(*args, "x")):
        with pytest.raises(ValueError, match="is not a full object id"):
            call(repo.folder, text)


def test_merge_bases_and_parents(repo: Repository) -> None:
    start = repo.commit({"x": "1"})
    repo.git("checkout", "--quiet", "-b", "topic")
    topic = repo.commit({"y": "1"})
    repo.git("checkout", "--quiet", "main")
    tip = repo.commit({"z": "1"})
    assert git.merge_base(repo.folder, "main", "topic") == start
    merged = repo.merge("topic")
    assert git.parents(repo.folder, merged) == (tip, topic)
    assert git.parents(repo.folder, start) == ()
    assert git.merge_base(repo.folder, "main", "topic") == topic
    repo.git("checkout", "--quiet", "--orphan", "lone")
    repo.commit({"x": "2"})
    assert git.merge_base(repo.folder, "main", "lone") is None
    assert git.merge_base(repo.folder, "main", "--all") is None


def test_a_shallow_clone_knows_its_parents_and_fetches_one(repo: Repository, tmp_path: Path) -> None:
    first = repo.commit({"x": "1"})
    second = repo.commit({"x": "2"})
    repo.commit({"x": "3"})
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    head = git.head(shallow.folder)
    assert head is not None
    assert git.is_shallow(shallow.folder)
    assert git.parents(shallow.folder, head) == (second,)
    assert git.commit(shallow.folder, second) is None
    assert git.merge_base(shallow.folder, head, second) is None
    git.fetch(shallow.folder, second)
    assert git.show(shallow.folder, second, "x") == b"2"
    assert git.commit(shallow.folder, first) is None
    assert not (shallow.folder / ".git" / "FETCH_HEAD").exists()


@pytest.mark.parametrize(("depth", "known"), [(1, False), (2, False), (3, True), (9, True)])
def test_who_wrote_a_change_is_known_where_all_of_it_is_at_hand(
    depth: int, known: bool, repo: Repository, tmp_path: Path
) -> None:
    """Two commits beyond the base: a clone of three is whole as far as they go, whatever it lacks below."""
    repo.commit({"x": "0"})
    base = repo.commit({"x": "1"})
    repo.git("config", "user.email", "one@example.org")
    repo.commit({"x": "2"})
    repo.git("config", "user.email", "two@example.org")
    head = repo.commit({"x": "3"})
    clone = repo.clone(tmp_path / "clone", f"--depth={depth}").folder
    if depth < 3:
        git.fetch(clone, base)
    assert git.is_shallow(clone) == (depth < 9)
    found = git.authors(clone, base, head)
    assert found == (("two@example.org", "one@example.org") if known else None)


def test_fetching_into_a_full_clone_does_not_make_it_shallow(repo: Repository, tmp_path: Path) -> None:
    repo.commit({"x": "1"})
    clone = repo.clone(tmp_path / "clone")
    later = repo.commit({"x": "2"})
    git.fetch(clone.folder, later)
    assert git.show(clone.folder, later, "x") == b"2"
    assert not git.is_shallow(clone.folder)


def test_a_fetch_that_fails_says_why(repo: Repository, tmp_path: Path) -> None:
    repo.commit({"x": "1"})
    with pytest.raises(GreengateError, match="'origin' does not appear to be a git repository"):
        git.fetch(repo.folder, NONE)
    clone = repo.clone(tmp_path / "clone")
    with pytest.raises(GreengateError, match="not our ref"):
        git.fetch(clone.folder, NONE)


def test_the_default_branch_is_what_the_clone_recorded(repo: Repository, tmp_path: Path) -> None:
    repo.git("checkout", "--quiet", "-b", "trunk")
    repo.commit({"x": "1"})
    assert git.default_branch(repo.folder) is None
    assert git.default_branch(repo.clone(tmp_path / "clone").folder) == "refs/remotes/origin/trunk"


def test_ignored_paths(repo: Repository) -> None:
    repo.write(".gitignore", ".greengate/last.json\n*.tmp\n")
    assert git.is_ignored(repo.folder, repo.folder / ".greengate" / "last.json")
    assert git.is_ignored(repo.folder, Path("a.tmp"))
    assert not git.is_ignored(repo.folder, repo.folder / ".greengate" / "baselines")
    with pytest.raises(GreengateError, match="is outside repository"):
        git.is_ignored(repo.folder, Path("/"))


def test_who_commits_here(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    assert git.user(repo.folder) == "dev@example.org"
    repo.git("config", "--unset", "user.email")
    assert git.user(repo.folder) == "Dev"
    repo.git("config", "--unset", "user.name")
    assert git.user(repo.folder) is None


def test_the_commit_that_brought_a_file_in(repo: Repository) -> None:
    added = repo.commit({"x": "1"})
    repo.commit({"x": "2"})
    repo.write("y", "not committed")
    assert git.added_in(repo.folder, repo.folder / "x") == added
    assert git.added_in(repo.folder, repo.folder / "y") is None
    assert git.added_in(repo.folder, Path("/etc/passwd")) is None
    repo.git("checkout", "--quiet", "--orphan", "other")
    again = repo.commit()
    assert git.added_in(repo.folder, repo.folder / "x") == again
    assert git.added_in(repo.folder, repo.folder / "x", added) == added
    assert git.added_in(repo.folder, repo.folder / "y", added) is None


def test_git_lfs_pointers_and_their_objects(repo: Repository) -> None:
    sha256 = hashlib.sha256(b"weights").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 7\n".encode()
    assert git.lfs_digest(pointer) == sha256
    assert git.lfs_digest(pointer.replace(b"v1\n", b"v1\next-0-foo sha256:" + b"0" * 64 + b"\n")) == sha256
    assert git.lfs_digest(pointer[:-20].replace(b"oid", b"no")) is None
    assert git.lfs_digest(pointer + b"x" * 1024) is None
    assert git.lfs_object(repo.folder, sha256) is None
    stored = repo.write(f".git/lfs/objects/{sha256[:2]}/{sha256[2:4]}/{sha256}", b"weights")
    assert git.lfs_object(repo.folder, sha256) == stored


def test_programs_the_repository_names_are_not_run(repo: Repository, tmp_path: Path) -> None:
    made = repo.commit({"x": "1"})
    signed = repo.git("cat-file", "commit", made).replace("\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n\n", 1)
    repo.write("signed", f"{signed}\n")
    repo.git("reset", "--quiet", "--soft", repo.git("hash-object", "-w", "-t", "commit", "signed"))
    mark = tmp_path / "ran"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    repo.git("config", "core.fsmonitor", str(script))
    repo.git("config", "core.pager", str(script))
    repo.git("config", "gpg.program", str(script))
    repo.git("config", "log.showSignature", "true")
    assert git.show(repo.folder, made, "x") == b"1"
    assert git.added_in(repo.folder, repo.folder / "x") == git.head(repo.folder) != made
    assert not git.is_ignored(repo.folder, repo.folder / "x")
    assert not mark.exists()


def test_replaced_objects_are_not_believed(repo: Repository) -> None:
    first = repo.commit({"x": "true"})
    second = repo.commit({"x": "forged"})
    repo.git("replace", first, second)
    assert git.show(repo.folder, first, "x") == b"true"


def test_a_git_that_hangs_is_stopped(repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    monkeypatch.setattr(git._git, "__kwdefaults__", {**git._git.__kwdefaults__, "timeout": 0.2})
    with pytest.raises(GreengateError, match="git rev-parse took longer than 0 s"):
        git.is_shallow(repo.folder)


def test_damage_is_an_error_not_a_traceback(repo: Repository) -> None:
    made = repo.commit({"x": "1"})
    blob = repo.git("rev-parse", "HEAD:x")
    path = repo.folder / ".git" / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(GreengateError, match="git-failed"):
        git.show(repo.folder, made, "x")


def test_git_is_old_enough_here() -> None:
    """What is used of git must stay available in 2.31, the oldest a supported system ships."""
    version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout
    assert tuple(map(int, version.split()[2].split(".")[:2])) >= (2, 31)
