"""`git:BRANCH` in real repositories: nothing lost, nothing half written, nobody's files touched."""

from __future__ import annotations

import dataclasses
import datetime
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import nouns
import pytest
from repository import Repository, unprivileged
from test_store import OTHER, profile

from greengate import git, profile_file
from greengate.baselines import Found, Request, resolve, store
from greengate.baselines.branch import Branch, open_
from greengate.errors import BaselineError, GreengateError
from greengate.profile import Missing

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NOW = datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)
NAME = "greengate-baselines"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.commit({"m.onnx": "model"})
    return made


@pytest.fixture
def shared(tmp_path: Path, repo: Repository) -> tuple[Repository, Repository, Repository]:
    """Return a bare repository and two clones of it."""
    bare = repo.clone(tmp_path / "origin.git", "--bare")
    return bare, bare.clone(tmp_path / "one"), bare.clone(tmp_path / "two")


def accept(repo: Repository, reason: str = "because", **more: object) -> store.Version:
    return store.accept(open_(NAME, repo.folder), profile(**more), reason, now=NOW, by="dev@example.org")  # type: ignore[arg-type]


def history(repo: Repository) -> list[str]:
    branch = open_(NAME, repo.folder)
    branch.refresh()
    return [version.reason for chain in store.chains(branch, "m") for version in chain.versions]


def asked(repo: Repository, scratch: Path) -> Request:
    scratch.mkdir(exist_ok=True)
    return Request("m", repo.folder / "m.onnx", repo.folder, scratch, nouns.HARDWARE.id)


def everything_else(repo: Repository) -> tuple[str, ...]:
    """Return what accepting must not touch: HEAD, index, work tree, stash, branches."""
    index = (repo.folder / ".git/index").read_bytes()
    return (
        repo.git("rev-parse", "HEAD"),
        repo.git("status", "--porcelain"),
        repo.git("for-each-ref", "refs/heads/main", "refs/tags"),
        repr(index),
    )


# one writer


def test_a_version_is_read_back_and_nothing_else_has_changed(repo: Repository) -> None:
    repo.write("staged.txt", "x")
    repo.git("add", "staged.txt")
    repo.write("m.onnx", "edited")
    before = everything_else(repo)
    made = accept(repo)
    assert accept(repo, "again").previous is not None
    assert everything_else(repo) == before
    assert history(repo) == ["because", "again"]
    assert store.path_in(made) == f"m/{nouns.HARDWARE.id}/0001.json"
    assert repo.git("log", "--format=%s", NAME).splitlines() == [
        f"Accept m version 2 on {nouns.HARDWARE.id}",
        f"Accept m version 1 on {nouns.HARDWARE.id}",
    ]


def test_the_branch_shares_no_history_with_any_other(repo: Repository) -> None:
    accept(repo)
    roots = repo.git("rev-list", "--max-parents=0", NAME).split()
    assert len(roots) == 1
    assert roots != repo.git("rev-list", "--max-parents=0", "main").split()


def test_a_bare_name_of_nobody_is_enough_to_commit(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("user.name", "user.email"):
        repo.git("config", "--unset", key)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    accept(repo)
    assert repo.git("log", "--format=%an <%ae>", NAME) == "greengate <greengate@localhost>"


def test_models_and_hardware_have_chains_of_their_own(repo: Repository) -> None:
    assert [accept(repo, **more).version for more in ({}, {"hardware": OTHER}, {"name": "a/B"}, {})] == [1, 1, 1, 2]
    branch = open_(NAME, repo.folder)
    branch.refresh()
    assert store.models(branch) == ("a/B", "m")
    assert branch.folders("m") == sorted([nouns.HARDWARE.id, OTHER.id])
    assert branch.names("absent") == []


def test_a_branch_that_is_checked_out_is_left_alone(repo: Repository) -> None:
    accept(repo)
    repo.git("checkout", "--quiet", NAME)
    with pytest.raises(GreengateError, match="checked out"):
        accept(repo)


@pytest.mark.parametrize("name", ["-d", "a..b", "a b", "x.lock", "a:b", "/a", "a/"])
def test_a_name_no_branch_can_have(repo: Repository, tmp_path: Path, name: str) -> None:
    with pytest.raises(BaselineError, match="no branch can be called that"):
        resolve(f"git:{name}", asked(repo, tmp_path / "scratch"))


# as a baseline


def test_the_newest_version_is_the_baseline_with_its_model(repo: Repository, tmp_path: Path) -> None:
    here = repo.git("rev-parse", "HEAD")
    made = store.accept(open_(NAME, repo.folder), profile(), "first", now=NOW, by="x", commit=here)
    found = resolve(f"git:{NAME}", asked(repo, tmp_path / "scratch"))
    assert isinstance(found, Found)
    assert (found.profile, found.ref.version, found.ref.uri) == (made.profile, 1, f"git:{NAME}")
    assert found.ref.about == "accepted 2026-11-23T09:30:00Z: first"
    missing = resolve(f"git:{NAME}", dataclasses.replace(asked(repo, tmp_path / "scratch"), model="other"))
    assert isinstance(missing, Missing)
    assert missing.reason == f"no baseline: git:{NAME} has no version of other"


def test_a_shallow_clone_fetches_the_branch_and_the_commit_of_the_model(
    shared: tuple[Repository, Repository, Repository], tmp_path: Path
) -> None:
    _, one, _ = shared
    recorded = one.git("rev-parse", "HEAD")
    store.accept(open_(NAME, one.folder), profile(content="model"), "first", now=NOW, by="x", commit=recorded)
    one.commit({"m.onnx": "heavier"})
    one.git("push", "--quiet", "origin", "main")
    shallow = shared[0].clone(tmp_path / "shallow", "--depth=1")
    assert git.commit(shallow.folder, recorded) is None
    found = resolve(f"git:{NAME}", asked(shallow, tmp_path / "scratch"))
    assert isinstance(found, Found)
    assert found.profile is not None
    # The profile of `profile` says 100 bytes: the model at hand is not it, byte for byte.
    assert found.artifact is None
    assert git.commit(shallow.folder, recorded) == recorded


def test_a_branch_that_is_nowhere_names_the_command(repo: Repository, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=r"there is no branch 'gone', here or on origin") as caught:
        resolve("git:gone", asked(repo, tmp_path / "scratch"))
    assert "greengate baseline accept m" in caught.value.diagnostics[0].help


def test_outside_of_a_repository_it_says_so(tmp_path: Path) -> None:
    request = Request("m", tmp_path / "m.onnx", tmp_path, tmp_path)
    with pytest.raises(BaselineError, match="this is no git repository"):
        resolve(f"git:{NAME}", request)


# shared through a remote


def test_clones_see_what_the_other_accepted(shared: tuple[Repository, Repository, Repository]) -> None:
    bare, one, two = shared
    before = everything_else(two)
    assert [accept(who, str(index)).version for index, who in enumerate((one, two, one, two))] == [1, 2, 3, 4]
    assert history(one) == history(two) == ["0", "1", "2", "3"]
    assert everything_else(two) == before
    assert bare.git("rev-list", "--count", NAME) == "4"
    assert git.commit(one.folder, f"refs/heads/{NAME}") is None


def test_an_unreachable_remote_is_an_error_for_accept_and_said_by_check(
    shared: tuple[Repository, Repository, Repository], tmp_path: Path
) -> None:
    bare, one, _ = shared
    accept(one)
    bare.folder.rename(tmp_path / "moved")
    refs = one.git("for-each-ref")
    with pytest.raises(GreengateError, match="git-failed"):
        accept(one)
    assert one.git("for-each-ref") == refs
    found = resolve(f"git:{NAME}", asked(one, tmp_path / "scratch"))
    assert isinstance(found, Found)
    assert "(as last fetched: " in found.ref.about
    one.git("update-ref", "-d", f"refs/remotes/origin/{NAME}")
    with pytest.raises(BaselineError, match="origin does not answer"):
        resolve(f"git:{NAME}", asked(one, tmp_path / "scratch"))


def test_a_local_branch_from_before_the_remote_goes_along(repo: Repository, tmp_path: Path) -> None:
    accept(repo, "local")
    bare = repo.clone(tmp_path / "origin.git", "--bare")
    bare.git("update-ref", "-d", f"refs/heads/{NAME}")
    repo.git("remote", "add", "origin", f"file://{bare.folder}")
    assert accept(repo, "shared").version == 2
    assert bare.git("rev-list", "--count", NAME) == "2"
    assert history(repo) == ["local", "shared"]


def test_a_local_branch_that_went_its_own_way_is_refused(shared: tuple[Repository, Repository, Repository]) -> None:
    _, one, two = shared
    accept(one, "theirs")
    two.git("remote", "rename", "origin", "upstream")
    accept(two, "mine")
    two.git("remote", "rename", "upstream", "origin")
    with pytest.raises(BaselineError, match="holds versions that origin's does not"):
        accept(two)
    assert history(one) == ["theirs"]


def test_a_remote_that_refuses_is_an_error_and_nothing_was_accepted(
    shared: tuple[Repository, Repository, Repository],
) -> None:
    bare, one, _ = shared
    hook = bare.folder / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GreengateError, match="git-failed"):
        accept(one)
    hook.unlink()
    assert history(one) == []
    assert accept(one).version == 1


def test_the_users_own_hooks_do_not_run(shared: tuple[Repository, Repository, Repository]) -> None:
    _, one, _ = shared
    hook = one.folder / ".git" / "hooks" / "pre-push"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert accept(one).version == 1


def test_a_repository_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    with unprivileged() as folder:
        made = Repository(folder / "repo")
        made.commit({"m.onnx": "x"})
        accept(made)
        for path in (folder / "repo/.git/objects", *(folder / "repo/.git/objects").iterdir()):
            path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(GreengateError, match=r"git-failed.*insufficient permission"):
            accept(made)
        assert history(made) == ["because"]
        for path in (folder / "repo/.git/objects", *(folder / "repo/.git/objects").iterdir()):
            path.chmod(0o700)


# several writers, and writers that die

ACCEPT = """
import datetime, pathlib, sys
from greengate import profile_file
from greengate.baselines import store
from greengate.baselines.branch import open_
made = profile_file.read(pathlib.Path(sys.argv[2]))
now = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
branch = open_("greengate-baselines", pathlib.Path(sys.argv[1]))
go = pathlib.Path(sys.argv[5])
while not go.exists(): pass
for index in range(int(sys.argv[3])):
    print(store.accept(branch, made, f"{sys.argv[4]} {index}", now=now, by="x").version, flush=True)
"""


def accepting(
    repo: Repository, count: int, who: str, go: Path, environ: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    source = repo.folder.parent / "profile.json"
    if not source.exists():
        source.write_text(profile_file.dump_profile(profile()))
    command = [sys.executable, "-c", ACCEPT, str(repo.folder), str(source), str(count), who, str(go)]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("where", ["one repository", "two clones"])
def test_two_writers_at_once_lose_nothing(
    shared: tuple[Repository, Repository, Repository], repo: Repository, tmp_path: Path, where: str
) -> None:
    each = 50 if where == "one repository" else 6
    homes = (repo, repo) if where == "one repository" else shared[1:]
    go = tmp_path / "go"
    writers = [accepting(home, each, who, go) for home, who in zip(homes, "ab", strict=True)]
    time.sleep(0.5)
    go.touch()
    heard = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], heard
    numbers = [[int(line) for line in out.split()] for out, _ in heard]
    assert sorted(numbers[0] + numbers[1]) == list(range(1, 2 * each + 1))
    branch = open_(NAME, homes[0].folder)
    branch.refresh()
    kept = {version.version: version.reason for version in store.history(branch, "m")}
    for who, mine in zip("ab", numbers, strict=True):
        assert [kept[number] for number in mine] == [f"{who} {index}" for index in range(each)]
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


SHIM = """#!/bin/sh
# The git that a writer meets: it kills its caller at one of its calls, before or after that call is done.
printf x >> "$SHIM_COUNT"
if [ "$(wc -c < "$SHIM_COUNT")" -eq "$SHIM_AT" ]; then
  [ "$SHIM_WHEN" = before ] || "$SHIM_GIT" "$@" >/dev/null 2>&1
  kill -9 "$PPID"
  exit 1
fi
exec "$SHIM_GIT" "$@"
"""


def calls_of_an_accept(repo: Repository, tmp_path: Path, at: int, when: str) -> tuple[int, int]:
    """Run one accept whose git kills it at call `at`; return its exit code and how many calls there were."""
    folder = tmp_path / "shim"
    folder.mkdir(exist_ok=True)
    shim, count = folder / "git", folder / "count"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    count.write_text("")
    go = tmp_path / "go"
    go.touch()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    environ = {"PATH": f"{folder}:{os.environ['PATH']}", "SHIM_GIT": real, "SHIM_COUNT": str(count)}
    writer = accepting(repo, 1, "killed", go, environ | {"SHIM_AT": str(at), "SHIM_WHEN": when})
    writer.communicate(timeout=60)
    return writer.returncode, len(count.read_text())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_writer_killed_at_any_of_its_calls_leaves_a_store_that_works(
    shared: tuple[Repository, Repository, Repository], tmp_path: Path, when: str
) -> None:
    _, one, two = shared
    accept(one, "first")
    code, calls = calls_of_an_accept(one, tmp_path, 0, when)
    assert code == 0
    kept = ["first", "killed 0"]
    assert history(two) == kept
    survived = 0
    for at in range(1, calls + 1):
        code, _ = calls_of_an_accept(one, tmp_path, at, when)
        assert code == -9
        found = history(two)
        assert found in (kept, [*kept, "killed 0"])
        survived += len(found) - len(kept)
        kept = found
    # The push is the one moment that counts: what comes before it leaves nothing, what comes after it all.
    assert 0 < survived < calls / 2
    assert accept(two, "after").version == len(kept) + 1
    assert history(one) == [*kept, "after"]


def test_a_lock_left_by_a_killed_git_is_named(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greengate.baselines.branch._TRIES", 2)
    accept(repo)
    lock = repo.folder / ".git/refs/heads" / f"{NAME}.lock"
    lock.touch()
    with pytest.raises(GreengateError, match="a lock is left over") as caught:
        accept(repo)
    assert f"{NAME}.lock" in caught.value.diagnostics[0].help
    assert history(repo) == ["because"]
    lock.unlink()
    assert accept(repo).version == 2


def test_a_tampered_version_is_found(repo: Repository) -> None:
    first = accept(repo)
    accept(repo)
    path = store.path_in(first)
    text = repo.git("show", f"{NAME}:{path}").replace('"because"', '"other"')
    branch: Branch = open_(NAME, repo.folder)
    branch.refresh()
    blob = repo.git("hash-object", "-w", str(repo.write("edited.json", f"{text}\n")))
    repo.git("checkout", "--quiet", NAME)
    repo.git("update-index", "--cacheinfo", f"100644,{blob},{path}")
    repo.git("commit", "--quiet", "-m", "tamper")
    repo.git("checkout", "--quiet", "--force", "main")
    with pytest.raises(BaselineError, match=r"0002\.json does not follow") as caught:
        history(repo)
    assert f"git:{NAME}:m/" in str(caught.value)
    assert "git log -p" in caught.value.diagnostics[0].help
