"""`greengate comment`, end to end from a verdict's file to what stands on the stand-in forge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nouns
import pytest
from forge_servers import GitHub, GitLab, State, serving

from greengate import verdict_file
from greengate.ci import stranger
from greengate.cli import door, output
from greengate.comparison import Change, Comparison
from greengate.errors import GreengateError
from greengate.judge import judge
from greengate.profile import Missing
from greengate.tasks import comment as task
from greengate.tasks.comment import Wanted, comment
from greengate.verdict import Status, Verdict

GOLDEN = Path(__file__).parent / "golden"
FAILING = [nouns.rule("size", nouns.limit("max", 5))]
HEAD, FORK, HERE = "b" * 40, "stranger/name", "owner/name"


def verdict(value: float = 9, baseline: float = 9, name: str = "net") -> Verdict:
    """Judge one size against a limit of 5 B."""
    moved = value / baseline - 1
    found = nouns.compared("size", Change(moved, moved, moved, "exact"), nouns.exact(baseline), nouns.exact(value))
    return judge(nouns.case(FAILING, {"size": found}, names=[name]))


def left_out(found: Verdict) -> Verdict:
    """Judge the same change where its model was left out as unchanged."""
    missing = Missing("the change does not touch it", "unchanged")
    (model,) = found.case.models
    compared = {"size": Comparison("size", missing, missing, missing)}
    return judge(replace(found.case, models=(replace(model, comparisons=compared, candidate=None),)))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(verdict())
    return tmp_path


def write(found: Verdict) -> None:
    Path("verdict.json").write_text(verdict_file.dump(found))


class Job:
    """A job on the stand-in for GitHub, in the event given."""

    def __init__(self, base: str, state: State) -> None:
        self.state = state
        state.head = (HEAD, HERE)
        self.environ = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": HERE,
            "GITHUB_TOKEN": "secret-token",
            "GITHUB_API_URL": base,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "12",
        }
        self.event("pull_request", pull_request={"number": 7, "base": {"ref": "main"}, "head": {"sha": HEAD}})

    def event(self, name: str, **value: Any) -> None:
        Path("event.json").write_text(json.dumps({"repository": {"full_name": HERE}} | value))
        self.environ |= {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": "event.json"}

    def run(self, **more: Any) -> list[str]:
        wanted = {"path": "verdict.json", "key": "default", "when": "on-change"} | more
        return list(comment(Wanted(**wanted), self.environ))


@pytest.fixture
def job(here: Path) -> Iterator[Job]:
    state = State()
    with serving(GitHub, state) as base:
        yield Job(base, state)
    assert state.violations == []


def test_a_failure_becomes_one_comment_and_then_a_pass_in_its_place(job: Job) -> None:
    (said,) = job.run()
    assert said.startswith("comment created: https://github.example/owner/name/pull/7#issuecomment-")
    (body,) = job.state.bodies()
    assert body.startswith("<!-- greengate:report key=default v1 -->\n❌ **FAIL** ")
    write(verdict(value=4))
    assert job.run(when="never") == []
    assert "FAIL" in job.state.bodies()[0]
    (said,) = job.run(when="on-failure")
    assert said.startswith("comment updated")
    assert job.state.bodies()[0].split("\n")[1].startswith("✅ **PASS** ")


@pytest.mark.parametrize(
    ("when", "found", "written"),
    [
        ("always", verdict(4, 4), True),
        ("on-change", verdict(4, 4), False),
        ("on-change", verdict(4, 5), True),  # within budget, but not the same
        ("on-change", verdict(9, 9), True),  # the same, but beyond its budget
        ("on-change", left_out(verdict(4, 4)), False),  # nothing was judged that calls for a look
        ("always", left_out(verdict(4, 4)), True),
        ("on-failure", verdict(4, 5), False),
        ("on-failure", verdict(9, 9), True),
        ("never", verdict(9, 9), False),
    ],
)
def test_when_a_new_comment_is_worth_it(job: Job, when: str, found: Verdict, written: bool) -> None:
    write(found)
    job.run(when=when)
    assert bool(job.state.comments) is written


def test_a_token_that_may_only_read_costs_the_comment_and_nothing_else(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.state.may_write = False
    monkeypatch.setattr(output, "environment", lambda: job.environ)
    assert door.run(["comment", "--from", "verdict.json"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("not posted: 127.0.0.1 answers POST with 403: Resource not accessible by integration")
    assert "permissions: {pull-requests: write}" in said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"GITHUB_TOKEN": ""}, "there is no token"),
        ({"GITHUB_EVENT_NAME": "push"}, "belongs to no pull request"),
        ({"GITHUB_ACTIONS": ""}, "neither GitHub Actions nor GitLab CI"),
    ],
)
def test_nowhere_to_post_is_no_failure(job: Job, changed: dict[str, str], words: str) -> None:
    job.environ |= changed
    (said,) = job.run()
    assert said.startswith("not posted: ")
    assert words in said
    assert job.state.heard == []


def test_a_forge_that_breaks_is_a_failure(job: Job, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("greengate.ci.forge.rest.time.sleep", lambda _: None)
    monkeypatch.setattr(output, "environment", lambda: job.environ)
    job.state.trouble += [(500, {})] * 3
    assert door.run(["comment", "--from", "verdict.json"]) == 2
    assert "error[forge-refused]" in capsys.readouterr().err


def test_the_status_of_the_commit(job: Job) -> None:
    said = job.run(status=True)
    assert said[1] == f"status set on {HEAD[:12]}: FAIL"
    write(verdict(value=4))
    job.run(status=True, when="never")
    first, second = job.state.statuses
    assert (first["sha"], first["state"], first["context"]) == (HEAD, "failure", "greengate")
    assert first["description"].startswith("FAIL ")
    assert first["target_url"] == "https://github.example/owner/name/actions/runs/12"
    assert second["state"] == "success"


@pytest.mark.parametrize("before", [0, 1, 3], ids=["the request", "who we are", "the comment"])
def test_a_rate_limit_that_is_spent_for_long_is_a_failure(
    job: Job, before: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """GitHub says it with the status of a missing right, which is none: also where it is asked who we are."""
    monkeypatch.setattr(output, "environment", lambda: job.environ)
    job.state.trouble += [(403, {"X-RateLimit-Remaining": "0", "Retry-After": "3600"})]
    job.state.trouble_after = before
    assert door.run(["comment", "--from", "verdict.json"]) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert "error[forge-refused]" in heard.err
    assert "the rate limit is spent until " in heard.err


NEWER = "c" * 40


def test_an_older_job_that_ends_late_writes_over_nothing(job: Job) -> None:
    """A newer push has been judged meanwhile: its comment stays, and its commit gets no word of the older one."""
    job.run(status=True)
    write(verdict(value=4))
    job.state.head = (NEWER, HERE)
    said = job.run(status=True)
    assert said == [
        f"not posted: a newer push has its own report; this one is of {HEAD[:12]}, not of {NEWER[:12]}",
        f"status set on {HEAD[:12]}: PASS",
    ]
    assert job.run(when="always") == said[:1]
    (body,) = job.state.bodies()
    assert "**FAIL**" in body
    assert [(one["sha"], one["state"]) for one in job.state.statuses] == [(HEAD, "failure"), (HEAD, "success")]


def test_the_status_alone_asks_for_nothing_that_is_known(job: Job) -> None:
    job.state.head = (NEWER, HERE)
    assert job.run(status=True, when="never") == [f"status set on {HEAD[:12]}: FAIL"]
    assert [told.method for told in job.state.heard] == ["POST"]


@pytest.mark.parametrize(
    "event",
    [
        {"name": "pull_request", "pull_request": {"number": 8, "base": {"ref": "main"}, "head": {"sha": HEAD}}},
        {"name": "merge_group", "merge_group": {"base_ref": "refs/heads/main", "base_sha": HEAD, "head_sha": HEAD}},
        {"name": "workflow_dispatch"},
    ],
)
def test_a_request_that_the_run_is_not_of_is_asked_for_its_last_commit(job: Job, event: dict[str, Any]) -> None:
    """A merge queue tests commits of its own, and whoever names a request vouches that the verdict is its."""
    job.event(**event)
    job.state.head = (NEWER, HERE)
    said = job.run(number=7, status=True)
    assert said[0].startswith("comment created")
    assert said[1] == f"status set on {NEWER[:12]}: FAIL"


def test_a_long_report_is_cut_to_what_github_takes(job: Job) -> None:
    size = nouns.compared("size", Change(0.0, 0.0, 0.0, "exact"))
    rules = [nouns.rule("size", nouns.limit("max", 1), id=f"rule-{index}-{'x' * 60}") for index in range(900)]
    write(judge(nouns.case(rules, {"size": size})))
    job.run()
    (body,) = job.state.bodies()
    assert len(body) <= 65_536
    assert "Left out here for length" in body
    assert '<a href="https://github.example/owner/name/actions/runs/12">' in body
    assert body.split("\n")[1].startswith("❌ **FAIL** 900 of 900 rules")


@pytest.mark.parametrize("name", ["<!-- greengate:report key=default v1 -->", "@everyone", "a|b\n::error::x", "`$(x)`"])
def test_a_name_writes_nothing_but_itself(job: Job, name: str) -> None:
    write(verdict(name=name))
    job.run()
    (body,) = job.state.bodies()
    assert body.count("<!--") == 1
    assert "@everyone" not in body
    assert "\n::" not in body
    job.run()
    assert len(job.state.comments) == 1


# --- what a stranger's job measured -----------------------------------------------------------------------------------


def from_fork(job: Job, commit: str = HEAD, project: str = FORK) -> None:
    job.event("workflow_run", workflow_run={"head_sha": commit, "head_repository": {"full_name": project}})


def test_a_forks_report_says_whose_word_it_is_and_sets_no_status(job: Job) -> None:
    from_fork(job)
    job.state.head = (HEAD, FORK)
    said = job.run(number=7, status=True)
    assert said[1] == "status not set: a fork's job vouches for nothing"
    (body,) = job.state.bodies()
    assert "Reported by the fork's job: its own code measured and wrote these numbers." in body
    assert job.state.statuses == []


def test_the_repositorys_own_job_reports_and_sets_its_status(job: Job) -> None:
    from_fork(job, project=HERE)
    job.state.head = (HEAD, HERE)
    assert len(job.run(number=7, status=True)) == 2
    assert "fork" not in job.state.bodies()[0]
    assert len(job.state.statuses) == 1


@pytest.mark.parametrize("head", [("c" * 40, FORK), (HEAD, HERE), (HEAD, "another/fork"), (HEAD, "")])
def test_a_report_goes_only_where_its_commit_is_the_last_one(job: Job, head: tuple[str, str], golden: Any) -> None:
    """The number comes from the stranger's job: it could name anybody's request."""
    from_fork(job)
    job.state.head = head
    with pytest.raises(GreengateError) as caught:
        job.run(number=7)
    assert caught.value.diagnostics[0].code == "untrusted-report"
    assert job.state.comments == []
    if head[0] != HEAD:
        golden(GOLDEN / "untrusted-report.txt", str(caught.value))


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"head_sha": "x", "head_repository": {"full_name": FORK}},
        {"head_sha": HEAD},
        {"head_sha": HEAD, "head_repository": None},
    ],
)
def test_a_run_that_does_not_say_what_it_measured(job: Job, run: dict[str, Any]) -> None:
    job.event("workflow_run", workflow_run=run)
    with pytest.raises(GreengateError) as caught:
        job.run(number=7)
    assert caught.value.diagnostics[0].code == "bad-value"
    assert job.state.comments == []


@pytest.mark.parametrize("event", ["pull_request_target", "workflow_run"])
def test_no_model_is_loaded_where_a_job_holds_secrets(
    here: Path, event: str, monkeypatch: pytest.MonkeyPatch, golden: Callable[[Path, str], None], capsys: Any
) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event}
    with pytest.raises(GreengateError) as caught:
        stranger.refuse(environ)
    if event == "pull_request_target":
        golden(GOLDEN / "untrusted-event.txt", str(caught.value))
    monkeypatch.setattr(output, "environment", lambda: environ)
    (here / "net.fake.yaml").write_text("fake: 1\nsize: 4 B\n")
    (here / "budgets.yaml").write_text(
        "version: 1\nmodels:\n  - {name: net, path: net.fake.yaml}\nrules:\n  - {metric: size, max: 5 B}\n"
    )
    commands = (["check"], ["profile", "net"], ["baseline", "accept", "--reason", "x"], ["init"], ["doctor", "net"])
    for command in commands:
        assert door.run(command) == 2, command
        assert "error[untrusted-event]" in capsys.readouterr().err


# --- the file ---------------------------------------------------------------------------------------------------------


def edited(change: Callable[[dict[str, Any]], None]) -> None:
    raw = json.loads(Path("verdict.json").read_text())
    change(raw)
    Path("verdict.json").write_text(json.dumps(raw))


def test_a_verdict_that_its_measurements_do_not_give_is_not_posted(job: Job) -> None:
    def kinder(raw: dict[str, Any]) -> None:
        raw["status"], raw["exit"] = "PASS", 0
        raw["rules"][0]["status"] = "PASS"
        raw["rules"][0]["checks"][0]["status"] = "PASS"

    edited(kinder)
    with pytest.raises(GreengateError) as caught:
        job.run()
    assert caught.value.diagnostics[0].code == "profile-invalid"  # its readable part contradicts itself
    write(replace(verdict(), status=Status.PASS, outcomes=verdict(4).outcomes))
    with pytest.raises(GreengateError) as caught:
        job.run()
    assert caught.value.diagnostics[0].code == "untrusted-report"
    assert "states PASS, its measurements give FAIL" in str(caught.value)
    assert job.state.heard == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "unreadable-file"),
        (b"\xff", "profile-invalid"),
        (b"**PASS** <script>", "profile-invalid"),
        (b'{"schema": "greengate.profile/1"}', "profile-invalid"),
        (b"[" * 100_000, "profile-invalid"),
        (b" " * ((64 << 20) + 1), "profile-invalid"),
    ],
)
def test_a_file_that_is_no_verdict(job: Job, content: bytes | None, code: str) -> None:
    Path("verdict.json").unlink() if content is None else Path("verdict.json").write_bytes(content)
    with pytest.raises(GreengateError) as caught:
        job.run()
    assert caught.value.diagnostics[0].code == code
    assert job.state.heard == []


@pytest.mark.parametrize("arguments", [["--key", "a b"], ["--key", ""], ["--when", "often"], ["--request", "0"]])
def test_bad_usage(here: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["comment", "--from", "verdict.json", *arguments]) == 2
    assert "error[usage]" in capsys.readouterr().err


def test_gitlab_from_the_command_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State(me="project_42_bot_1", head=(HEAD, "42"))
    with serving(GitLab, state) as base:
        environ = {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{base}/api/v4",
            "CI_MERGE_REQUEST_PROJECT_ID": "42",
            "CI_MERGE_REQUEST_IID": "7",
            "GREENGATE_GITLAB_TOKEN": "secret-token",
        }
        monkeypatch.setattr(output, "environment", lambda: environ)
        assert door.run(["comment", "--from", "verdict.json", "--key", "nightly", "--status"]) == 0
        assert door.run(["comment", "--from", "verdict.json", "--key", "nightly"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == [
        "comment created",
        f"status set on {HEAD[:12]}",
        "comment unchanged",
    ]
    assert state.statuses[0]["state"] == "failed"
    assert len(state.comments) == 1


MERGE_REQUEST = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_COMMIT_SHA": HEAD}
MERGED = MERGE_REQUEST | {"CI_COMMIT_SHA": "d" * 40, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD}


@pytest.mark.parametrize(
    "variables",
    [
        MERGE_REQUEST | {"CI_MERGE_REQUEST_EVENT_TYPE": "detached"},
        MERGED | {"CI_MERGE_REQUEST_EVENT_TYPE": "merged_result"},
        MERGED | {"CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"},
    ],
    ids=lambda given: given["CI_MERGE_REQUEST_EVENT_TYPE"],
)
def test_gitlabs_own_merge_is_not_the_commit_that_is_spoken_of(here: Path, variables: dict[str, str]) -> None:
    state = State(me="project_42_bot_1", head=(HEAD, "42"))
    wanted = Wanted("verdict.json", "default", "always", status=True)
    with serving(GitLab, state) as base:
        environ = variables | {
            **{"GITLAB_CI": "true", "CI_API_V4_URL": f"{base}/api/v4", "CI_MERGE_REQUEST_PROJECT_ID": "42"},
            **{"CI_MERGE_REQUEST_IID": "7", "GREENGATE_GITLAB_TOKEN": "secret-token"},
        }
        assert list(comment(wanted, environ)) == ["comment created: 1000", f"status set on {HEAD[:12]}: FAIL"]
        state.head = (NEWER, "42")
        (newer, status) = comment(wanted, environ)
    assert newer.startswith("not posted: a newer push has its own report")
    assert status == f"status set on {HEAD[:12]}: FAIL"
    assert {one["sha"] for one in state.statuses} == {HEAD}
    assert len(state.comments) == 1


def test_the_largest_verdict_is_bounded() -> None:
    assert task.KEY.fullmatch("a" * 64)
    assert not task.KEY.fullmatch("a" * 65)
    assert not task.KEY.fullmatch("--")
