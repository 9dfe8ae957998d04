"""Where a run takes place, what a request goes into, and the commit it grew from, in real clones."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repository import Repository

from greengate import ci
from greengate.ci import Target
from greengate.errors import GreengateError
from greengate.verdict import Context

A, B, C = "a" * 40, "b" * 40, "c" * 40
GITHUB = {"CI": "true", "GITHUB_ACTIONS": "true"}
GITLAB = {"CI": "true", "GITLAB_CI": "true"}


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, "laptop"),
        ({"CI": ""}, "laptop"),
        ({"CI": "false"}, "laptop"),
        ({"CI": "0"}, "laptop"),
        ({"GITHUB_ACTIONS": "false"}, "laptop"),
        ({"CI": "true"}, "ci"),
        ({"CI": "1"}, "ci"),
        ({"CI": "woodpecker"}, "ci"),
        ({"CI": " TRUE "}, "ci"),
        (GITHUB, "github"),
        ({"GITHUB_ACTIONS": "true"}, "github"),
        (GITLAB, "gitlab"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_the_place_is_known_and_every_ci_is_strict(environ: dict[str, str], place: Any, strict: bool) -> None:
    expected = Context(place, strict or place != "laptop", "gpu", static_only=True)
    assert ci.context(environ, strict, "gpu", static_only=True) == expected


def test_only_a_forge_says_where_the_repository_is_checked_out(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    both = {"GITHUB_WORKSPACE": str(tmp_path), "CI_PROJECT_DIR": str(tmp_path / "link")}
    assert ci.root(both) is ci.root({"CI": "true", **both}) is None
    assert ci.root({**GITHUB, **both}) == ci.root({**GITLAB, **both}) == tmp_path.resolve()
    assert ci.root(GITHUB) is ci.root({**GITLAB, "CI_PROJECT_DIR": ""}) is None


# what the forges say


def event(tmp_path: Path, content: object) -> str:
    path = tmp_path / "event.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


PULL_REQUEST = {"pull_request": {"base": {"ref": "main", "sha": A}, "head": {"ref": "topic", "sha": B}}}


def github(tmp_path: Path, kind: str = "pull_request", content: object = PULL_REQUEST, **more: str) -> dict[str, str]:
    ours = {"GITHUB_EVENT_NAME": kind, "GITHUB_EVENT_PATH": event(tmp_path, content), "GITHUB_BASE_REF": "main"}
    return {**GITHUB, **ours, "GITHUB_REF": "refs/pull/7/merge", "GITHUB_SHA": C, **more}


def test_a_pull_request_on_github(tmp_path: Path) -> None:
    found = ci.target(github(tmp_path))
    assert found == Target("main", "set `fetch-depth: 0` on the checkout step", tip=A, head=B, merge=C)


@pytest.mark.parametrize(
    ("more", "merge"),
    [
        ({"GITHUB_REF": "refs/heads/topic"}, None),
        ({"GITHUB_REF": "refs/pull/7/merge/x"}, None),
        ({"GITHUB_EVENT_NAME": "pull_request_target"}, None),
        ({"GITHUB_SHA": ""}, None),
        ({}, C),
    ],
)
def test_only_githubs_own_merge_is_taken_for_one(tmp_path: Path, more: dict[str, str], merge: str | None) -> None:
    found = ci.target(github(tmp_path, **more))
    assert found is not None
    assert found.merge == merge


def test_a_runner_without_an_event_file_still_names_the_branch(tmp_path: Path) -> None:
    found = ci.target(github(tmp_path, GITHUB_EVENT_PATH=""))
    assert found is not None
    assert (found.branch, found.tip, found.head, found.merge) == ("main", None, None, C)
    named = ci.target(github(tmp_path, GITHUB_BASE_REF=""))
    assert named is not None
    assert named.branch == "main"


def test_a_merge_queue_on_github(tmp_path: Path) -> None:
    group = {"merge_group": {"base_ref": "refs/heads/release/1.x", "base_sha": A, "head_sha": B}}
    found = ci.target(github(tmp_path, "merge_group", group))
    assert found == Target("release/1.x", "set `fetch-depth: 0` on the checkout step", tip=A, head=B, base=A)


MERGE_REQUEST = {
    **GITLAB,
    "CI_COMMIT_SHA": C,
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": A,
    "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
    "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": "",
}


def test_a_merge_request_on_gitlab() -> None:
    deeper = "set the variable `GIT_DEPTH: 0` on the job"
    assert ci.target(MERGE_REQUEST) == Target("main", deeper, head=C, base=A)
    both = {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": B, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": A}
    for kind in ("merged_result", "merge_train"):
        merged = {**MERGE_REQUEST, **both, "CI_MERGE_REQUEST_EVENT_TYPE": kind}
        assert ci.target(merged) == Target("main", deeper, tip=A, head=B, merge=C, base=A)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CI": "true", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"},
        {**GITHUB, "GITHUB_EVENT_NAME": "push", "GITHUB_BASE_REF": ""},
        {**GITHUB, "GITHUB_EVENT_NAME": "workflow_dispatch"},
        {**GITLAB, "CI_COMMIT_BRANCH": "main"},
        {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"},
    ],
)
def test_outside_of_a_request_there_is_no_target(environ: dict[str, str]) -> None:
    assert ci.target(environ) is None


HOSTILE: dict[str, object] = {
    "not JSON": b"{",
    "not UTF-8": b"\xff\xfe{}",
    "a list": [],
    "deep": b"[" * 200_000,
    "request is text": {"pull_request": "x"},
    "base is a list": {"pull_request": {"base": [1]}},
    "sha is an option": {"pull_request": {"base": {"sha": "--upload-pack=touch x"}}},
    "sha is short": {"pull_request": {"base": {"sha": A[:-1]}}},
    "sha with a newline": {"pull_request": {"base": {"sha": A + "\n"}}},
    "sha is a number": {"pull_request": {"head": {"sha": 1}}},
    "sha is upper case": {"pull_request": {"head": {"sha": A.upper()}}},
    "too large": b"{}" + b" " * (26 << 20),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_event_no_forge_writes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GreengateError) as caught:
        ci.target(github(tmp_path, content=HOSTILE[name]))
    assert [item.code for item in caught.value.diagnostics] == ["bad-value"]
    assert caught.value.diagnostics[0].help


def test_an_event_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(GreengateError, match="GITHUB_EVENT_PATH names cannot be read"):
            ci.target(github(tmp_path, GITHUB_EVENT_PATH=str(path)))


@pytest.mark.parametrize(
    "content", [{}, {"pull_request": None}, {"pull_request": {}}, {"pull_request": {"base": {"sha": None}}}]
)
def test_an_event_that_says_nothing_is_no_error(tmp_path: Path, content: object) -> None:
    found = ci.target(github(tmp_path, content=content))
    assert found is not None
    assert (found.tip, found.head) == (None, None)


def test_a_pull_request_must_name_its_branch(tmp_path: Path) -> None:
    with pytest.raises(GreengateError, match="GITHUB_BASE_REF is not set"):
        ci.target(github(tmp_path, content={}, GITHUB_BASE_REF=""))
    with pytest.raises(GreengateError, match="names no base"):
        ci.target(github(tmp_path, "merge_group", {"merge_group": {"base_ref": "main"}}))


BRANCHES = [
    "main",
    "release/1.x",
    "feature/ä",
    "a-b",
    "@x",
    "a@b",
    "x.y",
    "-main",
    "--all",
    "a..b",
    "a b",
    "a~1",
    "a^",
    "a:b",
]
BRANCHES += [
    "a?",
    "a*",
    "a[",
    "a\\b",
    "a\nb",
    "a\0b",
    "x.lock",
    "x.lock/y",
    "/a",
    "a/",
    "a//b",
    ".a",
    "a/.b",
    "a.",
    "@",
    "a@{1}",
]
BRANCHES += ["x" * 256, "refs/heads/main", "HEAD^1", "\x7f"]


@pytest.mark.parametrize("name", BRANCHES)
def test_branch_names_are_those_git_allows(tmp_path: Path, name: str) -> None:
    """Checked against git itself, which also refuses names that begin with a dash."""
    allowed = "\0" not in name and len(name) < 256 and git_allows(Repository(tmp_path / "repo"), name)
    environ = {**MERGE_REQUEST, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": name}
    if allowed:
        found = ci.target(environ)
        assert found is not None
        assert found.branch == name
    else:
        with pytest.raises(GreengateError, match="CI_MERGE_REQUEST_TARGET_BRANCH_NAME is not a branch name"):
            ci.target(environ)


def git_allows(repo: Repository, name: str) -> bool:
    command = ["git", "check-ref-format", "--branch", name]
    return subprocess.run(command, cwd=repo.folder, capture_output=True, check=False).returncode == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(A),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["sha", "ref", "base", "head"]), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.fixed_dictionaries({"pull_request": json_values}))
def test_no_event_is_a_traceback(tmp_path: Path, content: object) -> None:
    try:
        found = ci.target(github(tmp_path, content=content))
    except GreengateError as error:
        assert error.diagnostics[0].code == "bad-value"
    else:
        assert found is not None
        assert found.tip in (None, A)
        assert found.head in (None, A)


# the commit a request grew from


@dataclasses.dataclass
class Forge:
    """A repository with a request: start - tip on main, start - head on topic, merge of both on refs/pull/7/merge."""

    repo: Repository
    start: str
    tip: str
    head: str
    merge: str

    def checkout(self, folder: Path, ref: str, *options: str) -> Path:
        """Check a ref out as a forge's runner does."""
        made = Repository(folder)
        made.git("remote", "add", "origin", f"file://{self.repo.folder}")
        made.git("fetch", "--quiet", "--no-tags", *options, "origin", ref)
        made.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
        return folder

    def fetch_main(self, folder: Path, *options: str) -> None:
        refs = "+refs/heads/main:refs/remotes/origin/main"
        Repository(folder).git("fetch", "--quiet", "--no-tags", *options, "origin", refs)


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    repo = Repository(tmp_path / "forge")
    repo.commit({"README": "x"})
    start = repo.commit({"m.onnx": "start"})
    repo.git("checkout", "--quiet", "-b", "topic")
    repo.commit({"m.onnx": "topic"})
    head = repo.commit({"m.onnx": "topic 2"})
    repo.git("checkout", "--quiet", "main")
    tip = repo.commit({"other": "moved on"})
    repo.git("checkout", "--quiet", "--detach")
    merge = repo.merge("topic")
    repo.git("update-ref", "refs/pull/7/merge", merge)
    repo.git("checkout", "--quiet", "main")
    return Forge(repo, start, tip, head, merge)


def target(forge: Forge, **more: str | None) -> Target:
    made = Target("main", "deepen it", tip=forge.tip, head=forge.head, merge=forge.merge)
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def test_a_merge_checkout_of_depth_one_fetches_its_first_parent(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/pull/7/merge", "--depth=1")
    assert ci.merge_base(folder, target(forge)).commit == forge.tip
    assert Repository(folder).git("show", f"{forge.tip}:m.onnx") == "start"


@pytest.mark.parametrize("options", [("--depth=2",), ()])
def test_a_deeper_merge_checkout_needs_no_network(forge: Forge, tmp_path: Path, options: tuple[str, ...]) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/pull/7/merge", *options)
    Repository(folder).git("remote", "set-url", "origin", "/nowhere")
    assert ci.merge_base(folder, target(forge)).commit == forge.tip


def test_a_stale_event_does_not_decide(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/pull/7/merge", "--depth=2")
    assert ci.merge_base(folder, target(forge, tip=forge.start, head=None)).commit == forge.tip


def test_a_merge_the_author_made_is_not_the_forges(forge: Forge, tmp_path: Path) -> None:
    """The last commit of the topic merges main into it: HEAD^1 is the topic, not main."""
    forge.repo.git("checkout", "--quiet", "topic")
    forge.repo.merge("main")
    forge.repo.git("checkout", "--quiet", "main")
    later = forge.repo.commit({"other": "moved on again"})
    folder = forge.checkout(tmp_path / "work", "refs/heads/topic")
    forge.fetch_main(folder)
    assert ci.merge_base(folder, target(forge, merge=None)).commit == forge.tip
    assert ci.merge_base(folder, target(forge, merge=None, tip=forge.start)).commit == forge.tip
    assert later != forge.tip


def test_a_checkout_of_the_topic_uses_gits_merge_base(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/heads/topic")
    forge.fetch_main(folder)
    assert ci.merge_base(folder, target(forge)).commit == forge.start
    assert ci.merge_base(folder, target(forge, tip=None)).commit == forge.start


def test_without_a_remote_branch_the_events_tip_serves(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/heads/topic")
    Repository(folder).git("fetch", "--quiet", "origin", forge.tip)
    assert ci.merge_base(folder, target(forge)).commit == forge.start


def test_a_cut_off_history_takes_the_forges_word(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/heads/topic", "--depth=1")
    assert ci.merge_base(folder, target(forge, base=forge.start)).commit == forge.start
    assert Repository(folder).git("show", f"{forge.start}:m.onnx") == "start"


def test_a_full_history_corrects_a_forges_stale_word(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/heads/topic")
    forge.fetch_main(folder)
    older = Repository(folder).git("rev-parse", f"{forge.start}^1")
    assert ci.merge_base(folder, target(forge, base=older)).commit == forge.start


def test_what_cannot_be_known_is_said_with_the_fix(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/heads/topic", "--depth=1")
    found = ci.merge_base(folder, target(forge))
    assert found.commit is None
    assert found.reason == "the merge base with main is not at hand: it is not in this checkout"
    assert found.help == "deepen it"


def test_a_commit_that_cannot_be_fetched_is_said_with_gits_words(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/pull/7/merge", "--depth=1")
    Repository(folder).git("remote", "set-url", "origin", str(tmp_path / "nowhere"))
    found = ci.merge_base(folder, target(forge))
    assert found.commit is None
    assert f"{forge.tip[:12]} cannot be fetched: " in found.reason
    assert "does not appear to be a git repository" in found.reason
    assert found.help == "deepen it"


def test_a_merge_is_compared_with_its_first_parent_or_nothing(forge: Forge, tmp_path: Path) -> None:
    """The older merge base would charge the request with what others changed since."""
    folder = forge.checkout(tmp_path / "work", "refs/pull/7/merge", "--depth=1")
    Repository(folder).git("fetch", "--quiet", "--depth=1", "origin", forge.start)
    Repository(folder).git("remote", "set-url", "origin", str(tmp_path / "nowhere"))
    assert ci.merge_base(folder, target(forge, base=forge.start)).commit is None


def test_outside_of_git_there_is_none(tmp_path: Path) -> None:
    for folder in (tmp_path, Repository(tmp_path / "empty").folder):
        found = ci.merge_base(folder, Target("main", "deepen it"))
        assert found.commit is None
        assert found.reason == "this is not a git checkout"


def test_a_branch_named_like_an_option_reaches_git_as_a_name(forge: Forge, tmp_path: Path) -> None:
    folder = forge.checkout(tmp_path / "work", "refs/heads/topic")
    assert ci.merge_base(folder, Target("--all", "deepen it")).commit is None
