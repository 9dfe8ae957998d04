"""One comment a request: on stand-ins of both forges, read back by the clients other people use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from forge_servers import GitHub, GitLab, State, serving

from greengate.ci import forge, sticky
from greengate.ci.forge import Forge, ForgeError, NowhereToPost, Thread

GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "owner/name", "GITHUB_TOKEN": "secret-token"}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_ID": "41",  # a fork's
    "CI_MERGE_REQUEST_PROJECT_ID": "42",
    "CI_MERGE_REQUEST_IID": "7",
    "GREENGATE_GITLAB_TOKEN": "secret-token",
}
KINDS = {"github": (GitHub, "GITHUB_API_URL", "", GITHUB), "gitlab": (GitLab, "CI_API_V4_URL", "/api/v4", GITLAB)}


class Place:
    """One forge, its state, and the request that is commented on."""

    def __init__(self, name: str, state: State, base: str) -> None:
        _, variable, below, environ = KINDS[name]
        self.name, self.state, self.base = name, state, base
        self.environ: Mapping[str, str] = environ | {variable: base + below}
        self.forge: Forge = forge.FORGES[name]()
        self.thread: Thread = self.forge.thread(self.environ, 7)

    def post(self, body: str, key: str = "default", wanted: bool = True) -> sticky.Posted:
        return sticky.post(self.forge, self.thread, key, body, wanted)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    state = State(me="github-actions[bot]" if request.param == "github" else "project_42_bot_1")
    with serving(KINDS[request.param][0], state) as base:
        yield Place(request.param, state, base)
    assert state.violations == []


def test_created_then_updated_in_its_place(place: Place) -> None:
    place.state.seed("somebody", "first")
    assert place.post("**FAIL** one").done == "created"
    place.state.seed("somebody", "last")
    posted = place.post("**PASS** two")
    assert (posted.done, posted.comment is not None) == ("updated", True)
    assert place.state.bodies() == ["first", "<!-- greengate:report key=default v1 -->\n**PASS** two", "last"]
    writes = [told.method for told in place.state.heard if told.method != "GET"]
    assert writes == ["POST", "PATCH" if place.name == "github" else "PUT"]


def test_the_same_report_is_not_written_again(place: Place) -> None:
    place.post("report\n")
    before = len([told for told in place.state.heard if told.method != "GET"])
    # forges trim the end, and may write line ends their own way
    place.state.comments[0]["body"] = place.state.comments[0]["body"].rstrip().replace("\n", "\r\n")
    assert place.post("report\n").done == "unchanged"
    assert len([told for told in place.state.heard if told.method != "GET"]) == before


def test_found_among_many_pages(place: Place) -> None:
    for index in range(130):
        place.state.seed("somebody", f"comment {index}")
    place.post("one")
    for index in range(130):
        place.state.seed("somebody", f"later comment {index}")
    assert place.post("two").done == "updated"
    assert len(place.state.bodies(place.state.me)) == 1
    assert len(place.state.comments) == 261


def test_a_stranger_who_writes_the_marker_is_left_alone(place: Place) -> None:
    forged = "<!-- greengate:report key=default v1 -->\n**PASS** all is well"
    place.state.seed("mallory", forged)
    assert place.post("**FAIL** it is not").done == "created"
    assert place.state.bodies("mallory") == [forged]


def test_own_words_that_quote_the_marker_are_no_report(place: Place) -> None:
    place.state.seed(place.state.me, "I saw <!-- greengate:report key=default v1 --> there")
    assert place.post("report").done == "created"


def test_keys_have_comments_of_their_own(place: Place) -> None:
    place.post("one", "nightly")
    place.post("two", "nightly2")
    place.post("three", "nightly")
    assert [body.split("\n")[1] for body in place.state.bodies()] == ["three", "two"]


def test_own_duplicates_are_removed_and_the_oldest_stays(place: Place) -> None:
    marker = "<!-- greengate:report key=default v1 -->\n"
    oldest = place.state.seed(place.state.me, f"{marker}a")
    place.state.seed("somebody", f"{marker}b")
    place.state.seed(place.state.me, f"{marker}c")
    posted = place.post("d")
    assert posted.comment is not None
    assert posted.comment.id == oldest
    assert place.state.bodies() == [f"{marker}d", f"{marker}b"]


def test_two_jobs_that_comment_at_once_leave_one_comment(place: Place) -> None:
    def other(state: State) -> None:
        state.before_create = None
        state.seed(state.me, "<!-- greengate:report key=default v1 -->\nthe other job's")

    place.state.before_create = other
    assert place.post("mine").done == "created"
    assert len(place.state.bodies(place.state.me)) == 1


def test_what_is_not_wanted_is_updated_but_not_created(place: Place) -> None:
    assert place.post("a", wanted=False) == sticky.Posted("left out")
    assert place.state.comments == []
    place.post("b")
    assert place.post("c", wanted=False).done == "updated"


def test_a_token_that_may_only_read(place: Place) -> None:
    place.state.may_write = False
    with pytest.raises(ForgeError) as caught:
        place.post("x")
    assert caught.value.status == 403


def test_a_comment_that_somebody_deletes_meanwhile_is_no_error(place: Place) -> None:
    place.post("x")
    (comment,) = place.forge.comments(place.thread)
    place.forge.delete(place.thread, comment)
    place.forge.delete(place.thread, comment)
    assert place.state.comments == []


def test_the_head_and_its_status(place: Place) -> None:
    place.state.head = ("b" * 40, "stranger/name" if place.name == "github" else "41")
    found = place.forge.head(place.thread)
    assert (found.commit, found.project) == place.state.head
    place.forge.status(place.thread, found.commit, passed=False, text="FAIL " + "x" * 300, link="https://ci.example/1")
    place.forge.status(place.thread, found.commit, passed=True, text="PASS", link="")
    first, second = place.state.statuses
    assert first["state"] == ("failure" if place.name == "github" else "failed")
    assert first["target_url"] == "https://ci.example/1"
    assert len(first["description"]) <= 255
    assert (second["state"], "target_url" in second) == ("success", False)


# --- what others read -------------------------------------------------------------------------------------------------


def test_pygithub_reads_what_was_posted() -> None:
    import github

    state = State()
    with serving(GitHub, state) as base:
        Place("github", state, base).post("**FAIL** | a | b |\n\u2705 done")
        auth = github.Auth.Token("secret-token")
        reader = github.Github(base_url=base, auth=auth, retry=None, lazy=True)
        (comment,) = reader.get_repo("owner/name").get_issue(7).get_comments()
        assert comment.body == "<!-- greengate:report key=default v1 -->\n**FAIL** | a | b |\n\u2705 done"
        assert comment.user.login == "github-actions[bot]"


def test_python_gitlab_reads_what_was_posted() -> None:
    import gitlab

    state = State(me="project_42_bot_1")
    with serving(GitLab, state) as base:
        Place("gitlab", state, base).post("**FAIL** | a | b |\n\u2705 done")
        reader = gitlab.Gitlab(base, private_token="secret-token")
        request = reader.projects.get(42, lazy=True).mergerequests.get(7, lazy=True)
        (note,) = request.notes.list(get_all=True)
        assert note.body == "<!-- greengate:report key=default v1 -->\n**FAIL** | a | b |\n\u2705 done"
        assert note.author["username"] == "project_42_bot_1"


# --- what the environment says ----------------------------------------------------------------------------------------


def test_a_personal_token_knows_its_name() -> None:
    state = State(me="alice", workflow_token=False)
    with serving(GitHub, state) as base:
        place = Place("github", state, base)
        assert place.forge.me(place.thread) == "alice"
        assert place.post("x").done == "created"
        assert place.post("y").done == "updated"


def test_a_wrong_token_is_said() -> None:
    state = State(token="another")
    with serving(GitHub, state) as base, pytest.raises(ForgeError) as caught:
        Place("github", state, base).post("x")
    assert caught.value.status == 401


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("lacks", ["token", "number"])
def test_without_a_token_or_a_request_there_is_nowhere_to_post(name: str, lacks: str) -> None:
    environ = KINDS[name][3] | {"CI_API_V4_URL": "https://gitlab.example/api/v4"}
    gone = ("GITHUB_TOKEN", "GREENGATE_GITLAB_TOKEN") if lacks == "token" else ("CI_MERGE_REQUEST_IID",)
    environ = {key: text for key, text in environ.items() if key not in gone}
    with pytest.raises(NowhereToPost):
        forge.FORGES[name]().thread(environ, 7 if lacks == "token" else None)


def test_our_own_token_goes_before_the_workflows() -> None:
    found = forge.FORGES["github"]().thread(GITHUB | {"GREENGATE_GITHUB_TOKEN": "ours"}, 7)
    assert found.api.headers["Authorization"] == "Bearer ours"
    assert found.api.base == "https://api.github.com"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("github", {"GITHUB_REPOSITORY": "owner"}),
        ("github", {"GITHUB_REPOSITORY": "../../x/y"}),
        ("gitlab", {"CI_MERGE_REQUEST_PROJECT_ID": "42/../1"}),
        ("gitlab", {"CI_MERGE_REQUEST_IID": "x"}),
        ("gitlab", {"CI_API_V4_URL": ""}),
    ],
)
def test_an_environment_that_no_forge_makes(name: str, changed: dict[str, str]) -> None:
    from greengate.errors import GreengateError

    environ: dict[str, Any] = KINDS[name][3] | {"CI_API_V4_URL": "https://gitlab.example/api/v4"} | changed
    with pytest.raises(GreengateError) as caught:
        forge.FORGES[name]().thread(environ, None if name == "gitlab" else 7)
    assert caught.value.diagnostics[0].code == "bad-value"


def test_the_run_has_an_address() -> None:
    run = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/n", "GITHUB_RUN_ID": "12"}
    assert forge.FORGES["github"]().link(run) == "https://github.com/o/n/actions/runs/12"
    assert forge.FORGES["github"]().link({}) == ""
    assert forge.FORGES["gitlab"]().link({"CI_JOB_URL": "https://gitlab.example/j/1"}) == "https://gitlab.example/j/1"


def test_the_table_and_the_tests_know_the_same_forges() -> None:
    assert set(forge.FORGES) == set(KINDS)
