"""action.yml, run for real by act without containers, against the stand-in for GitHub."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from act_runner import SETUP_PYTHON, Act, Seen, stage, tool
from forge_servers import GitHub, State, serving
from repository import Repository

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
#: The workflows of docs/ci.md, as they stand there.
WORKFLOWS = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if re.search(r"^on:", block, re.M)]
SCRIPTS = sorted((ROOT / "greengate" / "ci" / "action").glob("*.sh"))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
MARKER = "<!-- greengate:report key=default v1 -->"


# --- what can be seen without running it ------------------------------------------------------------------------------


def test_the_action_is_what_githubs_schema_allows() -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.github-actions", str(ROOT / "action.yml")]
    subprocess.run(command, check=True, capture_output=True)


def test_zizmor_finds_nothing() -> None:
    command = [tool("zizmor"), "--offline", "--no-progress", "--persona", "auditor", str(ROOT / "action.yml")]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_the_workflows_in_the_docs_are_sound(tmp_path: Path) -> None:
    """actionlint and zizmor read each workflow of docs/ci.md as it would stand in a repository."""
    blocks = WORKFLOWS
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    for index, block in enumerate(blocks):
        (folder / f"{index}.yml").write_text(block.replace("@COMMIT", f"@{'a' * 40}"))
    assert len(blocks) >= 3
    (tmp_path / ".git").mkdir()
    # The second stage is a workflow_run by design: it runs nothing of the stranger's, which this rule cannot see.
    reporting = next(index for index, block in enumerate(blocks) if "workflow_run" in block)
    config = {"rules": {"dangerous-triggers": {"ignore": [f"{reporting}.yml"]}}}
    (tmp_path / ".github" / "zizmor.yml").write_text(yaml.safe_dump(config))
    names = [f".github/workflows/{index}.yml" for index in range(len(blocks))]
    found = subprocess.run(
        [tool("actionlint"), "-no-color", *names], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    command = [tool("zizmor"), "--offline", "--no-progress", "--min-severity", "medium", str(tmp_path)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_a_workflow_in_the_docs_that_waits_for_another_names_it() -> None:
    """GitHub starts a `workflow_run` by the `name:` that the other workflow gives itself, not by its file."""
    read = [yaml.load(block, yaml.BaseLoader) for block in WORKFLOWS]
    waited = [name for one in read if "workflow_run" in one["on"] for name in one["on"]["workflow_run"]["workflows"]]
    assert waited
    assert set(waited) <= {one["name"] for one in read if "name" in one}


@pytest.mark.parametrize("code", [0, 2])
def test_the_number_is_handed_on_whatever_became_of_the_check(tmp_path: Path, code: int) -> None:
    (step,) = (
        step
        for block in WORKFLOWS
        for job in yaml.load(block, yaml.BaseLoader)["jobs"].values()
        for step in job["steps"]
        if "NUMBER" in step.get("env", {})
    )
    if code == 0:
        (tmp_path / "greengate").mkdir()  # the check has written its verdict
    environ = {"PATH": os.environ["PATH"], "NUMBER": "7"}
    subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environ, check=True)
    assert (tmp_path / "greengate" / "number").read_text() == "7\n"


def test_inputs_and_outputs_are_those_that_are_documented() -> None:
    for name in [*ACTION["inputs"], *ACTION["outputs"]]:
        assert f"| `{name}` |" in PAGE, name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert all(one["description"] for one in [*ACTION["inputs"].values(), *ACTION["outputs"].values()])


def test_inputs_reach_the_shell_only_through_variables() -> None:
    used = set()
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), "an expression in a script is code that its value writes"
        assert step.get("shell", "bash") == "bash"
        for text in [*step.get("env", {}).values(), *step.get("with", {}).values(), step.get("if", "")]:
            used |= set(re.findall(r"inputs\.([a-z-]+)", str(text)))
        used |= set(re.findall(r"inputs\.([a-z-]+)", str(step.get("working-directory", ""))))
    assert used == set(ACTION["inputs"])


def test_third_party_actions_are_pinned_by_their_commit() -> None:
    named = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert named == [SETUP_PYTHON]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_strict_and_parse(script: Path) -> None:
    assert "\nset -euo pipefail\n" in script.read_text("utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("fail_on", "red"),
    [("inconclusive", {1, 2, 3, 70}), ("fail", {1, 2, 70}), ("never", {2, 70})],
)
def test_what_makes_a_job_red(fail_on: str, red: set[int]) -> None:
    script = str(ROOT / "greengate/ci/action/enforce.sh")
    for code in (0, 1, 2, 3, 70, 130):
        environ = {"PATH": os.environ["PATH"], "GREENGATE_EXIT_CODE": str(code), "GREENGATE_FAIL_ON": fail_on}
        found = subprocess.run(["bash", script], env=environ, check=False, capture_output=True).returncode
        assert found == (code if code in red | {130} else 0), code


def test_a_check_that_never_ran_is_red() -> None:
    script = str(ROOT / "greengate/ci/action/enforce.sh")
    environ = {"PATH": os.environ["PATH"], "GREENGATE_EXIT_CODE": "", "GREENGATE_FAIL_ON": "never"}
    assert subprocess.run(["bash", script], env=environ, check=False).returncode == 70


def test_whatever_the_check_prints_the_runner_does_not_obey(tmp_path: Path) -> None:
    """Reports keep their words harmless; should one ever slip through, the runner is not listening."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nif [ "$2" = -c ]; then exec python3 "$@"; fi\necho ::error::forged\nexit 3\n')
    python.chmod(0o755)
    given = {
        "BUDGETS": "b.yaml",
        "MODELS": "",
        "AGAINST": "",
        "PART": "",
        "PLAN": "",
        "PROFILES": "",
        "SKIP_UNCHANGED": "false",
        "MAX_SECONDS": "60",
        "FAIL_ON": "fail",
        "COMMENT": "never",
    }
    environ = {f"GREENGATE_{key}": text for key, text in given.items()} | {
        "PATH": os.environ["PATH"],
        "GREENGATE_REPORT_DIR": str(tmp_path / "reports"),
        "GREENGATE_PYTHON": str(python),
        "GITHUB_OUTPUT": str(tmp_path / "outputs"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    command = ["bash", str(ROOT / "greengate/ci/action/check.sh")]
    heard = [
        subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.splitlines()
        for _ in range(2)
    ]
    pauses = set()
    for lines in heard:
        assert lines[1] == "::error::forged"
        pause = lines[0].removeprefix("::stop-commands::")
        assert lines[2] == f"::{pause}::"
        assert re.fullmatch(r"[0-9a-f]{32}", pause)
        pauses.add(pause)
    assert len(pauses) == 2, "a word that can be guessed stops nobody"
    # The stand-in ended with 3 and judged nothing: that is no verdict, and no `fail-on` may leave it green.
    assert "exit-code=70\n" in (tmp_path / "outputs").read_text()


MODEL = "fake: 1\nsize: 10 MB\nlatency: 10 ms\n"
BUDGET = "version: 1\nmodels:\n  - {name: net, path: net.fake.yaml}\nrules:\n  - {metric: size, max: 5 MB}\n"
SIMULATED = "version: 1\nmodels: [{path: net.fake.yaml}]\nrules: [{metric: instructions, max: 1 G}]\n"


def without_valgrind(folder: Path, apt: str) -> dict[str, str]:
    """Return a PATH on which there is no valgrind, a package manager that notes what it is asked, and greengate."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "id", "env", "git", "true"):
        (tools / name).symlink_to(shutil.which(name) or name)
    scripts = {
        "apt-get": f'echo "$*" >> "{folder}/asked"; {apt}',
        "sudo": 'test "$1" = -n && shift && exec "$@"',
        "greengate": f'exec "{sys.executable}" -P -m greengate "$@"',
    }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    (folder / "net.fake.yaml").write_text(MODEL)
    (folder / "counts.yaml").write_text(SIMULATED)
    (folder / "plain.yaml").write_text(BUDGET)
    return {"PATH": str(tools), "GREENGATE_PYTHON": sys.executable, "GREENGATE_PROFILES": ""}


APT = ["update -qq", "install -y -qq --no-install-recommends valgrind"]
VALGRIND = [
    ("auto", "counts.yaml", "true", APT),
    ("auto", "plain.yaml", "true", []),
    ("auto", "gone.yaml", "true", []),  # the check says so
    ("true", "plain.yaml", "true", APT),
    ("false", "counts.yaml", "true", []),
    ("auto", "counts.yaml", "false", APT[:1]),  # no right to install
]


@pytest.mark.parametrize(("wish", "budget", "apt", "asked"), VALGRIND)
def test_valgrind_is_installed_where_a_rule_counts(
    tmp_path: Path, wish: str, budget: str, apt: str, asked: list[str]
) -> None:
    environ = without_valgrind(tmp_path, apt) | {"GREENGATE_VALGRIND": wish, "GREENGATE_BUDGETS": budget}
    script = str(ROOT / "greengate/ci/action/valgrind.sh")
    told = subprocess.run(["bash", script], cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
    noted = tmp_path / "asked"
    assert (noted.read_text().splitlines() if noted.exists() else []) == asked
    assert ("could not be installed" in told.stdout) is (apt == "false")


def test_valgrind_is_left_alone_where_it_is_there_or_nothing_is_measured(tmp_path: Path) -> None:
    environ = without_valgrind(tmp_path, "true") | {"GREENGATE_VALGRIND": "true", "GREENGATE_BUDGETS": "counts.yaml"}
    script = ["bash", str(ROOT / "greengate/ci/action/valgrind.sh")]
    subprocess.run(script, cwd=tmp_path, env=environ | {"GREENGATE_PROFILES": "parts"}, check=True)
    (tmp_path / "tools" / "valgrind").symlink_to(tmp_path / "tools" / "true")
    subprocess.run(script, cwd=tmp_path, env=environ, check=True)
    assert not (tmp_path / "asked").exists()
    wrong = subprocess.run(script, env=environ | {"GREENGATE_VALGRIND": "yes"}, check=False, capture_output=True)
    assert wrong.returncode == 2


@pytest.mark.parametrize(("wish", "budget", "apt", "asked"), VALGRIND)
def test_the_gitlab_template_installs_valgrind_alike(
    tmp_path: Path, wish: str, budget: str, apt: str, asked: list[str]
) -> None:
    _, jobs = yaml.safe_load_all((ROOT / ".gitlab-ci-template.yml").read_text("utf-8"))
    (script,) = (text for text in jobs["greengate"]["before_script"] if "valgrind" in text)
    environ = without_valgrind(tmp_path, apt) | {"GREENGATE_VALGRIND": wish, "GREENGATE_BUDGETS": budget}
    told = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    noted = tmp_path / "asked"
    assert (noted.read_text().splitlines() if noted.exists() else []) == asked
    assert ("could not be installed" in told.stdout) is (apt == "false")


# --- act --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage(tmp_path_factory.mktemp("act"))


@pytest.fixture
def act(tmp_path: Path, place: Path) -> Iterator[Act]:
    state = State()
    with serving(GitHub, state) as base:
        made = Act(Repository(tmp_path / "repository"), place, state, base)
        made.write("net.fake.yaml", MODEL)
        made.write("budgets.yaml", BUDGET)
        made.workflow()
        yield made
    assert state.violations == []


def test_a_pull_request_gets_its_comment_and_the_next_push_updates_it(act: Act) -> None:
    for index in range(130):
        act.state.seed("somebody", f"comment {index}")
    seen = act.run()
    assert seen.code == 1
    (body,) = act.state.bodies(act.state.me)
    assert body.startswith(f"{MARKER}\n❌ **FAIL** ")
    (told,) = seen.commands("error")
    assert told["kvPairs"] == {"file": "budgets.yaml", "line": "5", "col": "5", "title": "FAIL size (net)"}
    (summary,) = seen.commands("summary")
    assert summary["content"].startswith("❌ **FAIL** ")
    number = str(act.state.comments[-1]["id"])
    assert seen.outputs == {
        "outcome": "fail",
        "exit-code": "1",
        "report-path": "greengate-report/report.md",
        "json-path": "greengate-report/verdict.json",
        "violations": "1",
        "comment-id": number,
        "candidate-digest": seen.outputs["candidate-digest"],
    }
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", seen.outputs["candidate-digest"])
    assert act.state.token not in seen.text

    act.write("net.fake.yaml", MODEL.replace("10 MB", "4 MB"))
    seen = act.run()
    assert seen.code == 0, seen.text
    (body,) = act.state.bodies(act.state.me)
    assert body.startswith(f"{MARKER}\n✅ **PASS** ")
    assert (seen.outputs["outcome"], seen.outputs["comment-id"]) == ("pass", number)
    assert seen.commands("error") == []


def test_a_token_that_may_only_read_costs_the_comment_and_the_verdict_stands(act: Act) -> None:
    act.state.may_write = False
    seen = act.run()
    assert seen.code == 1
    assert act.state.comments == []
    (told,) = seen.commands("notice")
    assert "Resource not accessible by integration" in told["arg"]
    assert (seen.outputs["outcome"], seen.outputs["comment-id"]) == ("fail", "")


@pytest.mark.parametrize(
    ("inputs", "code", "outcome", "exit_code"),
    [
        ({"fail-on": "never"}, 0, "fail", "1"),
        ({"budgets": "gone.yaml", "fail-on": "never"}, 1, "error", "2"),  # what could not start is never green
        ({"fail-on": "sometimes"}, 1, "error", "2"),
        ({"extras": "torch;touch pwned"}, 1, "", ""),
        ({"models": "\n  net=light.fake.yaml  \n\n", "report-dir": "out put"}, 0, "pass", "0"),
        ({"working-directory": "below"}, 0, "pass", "0"),
    ],
)
def test_inputs(act: Act, inputs: Mapping[str, str], code: int, outcome: str, exit_code: str) -> None:
    act.write("light.fake.yaml", MODEL.replace("10 MB", "4 MB"))
    act.write("below/net.fake.yaml", MODEL.replace("10 MB", "4 MB"))
    act.write("below/budgets.yaml", BUDGET)
    act.workflow(comment="never", **inputs)
    seen = act.run()
    assert seen.code == code, seen.text
    assert (seen.outputs["outcome"], seen.outputs["exit-code"]) == (outcome, exit_code)
    assert act.state.heard == []
    assert not list(act.place.rglob("pwned"))


def test_annotations_stand_where_the_repository_has_them(act: Act) -> None:
    """Whatever the folder is that the action works in: GitHub looks from the root."""
    act.write("below/net.fake.yaml", MODEL)
    act.write("below/budgets.yaml", BUDGET)
    act.workflow(comment="never", **{"working-directory": "below"})
    (told,) = act.run().commands("error")
    assert (told["kvPairs"]["file"], told["kvPairs"]["line"]) == ("below/budgets.yaml", "5")


HOSTILE = "$(touch pwned)`touch pwned`';touch pwned;'"


def test_hostile_names_execute_nothing_and_are_text(act: Act, tmp_path: Path) -> None:
    """Names of models, files and branches are the pull request's: shell, workflow commands, Markdown, all at once."""
    act.write(f"{HOSTILE} | <b>@all.fake.yaml", MODEL)
    act.write("budgets.yaml", BUDGET.replace("net.fake.yaml", f'"{HOSTILE} | <b>@all.fake.yaml"').replace("id:", ""))
    act.workflow(models=f"net={HOSTILE} | <b>@all.fake.yaml", **{"comment-key": "a", "report-dir": "reports"})
    seen = act.run(GITHUB_HEAD_REF=HOSTILE)
    assert seen.code == 1, seen.text
    # act runs in a copy of the work tree, below its home
    assert not list(act.place.rglob("pwned")) + list(tmp_path.rglob("pwned"))
    (body,) = act.state.bodies(act.state.me)
    assert "<b>" not in body
    assert "@all" not in body
    assert len(seen.commands("error")) == 1


def test_modules_of_the_checkout_are_not_run(act: Act) -> None:
    """`python -m` looks into the current folder first, which is the pull request's; one step has a token."""
    trap = f"open({str(act.place / 'pwned')!r}, 'w').close()\n"
    for name in ("click", "json", "venv", "pip", "secrets", "greengate/__init__"):
        act.write(f"{name}.py", trap)
    act.workflow(comment="always")
    seen = act.run()
    assert seen.code == 1, seen.text
    assert len(act.state.bodies(act.state.me)) == 1
    assert not (act.place / "pwned").exists()


def test_a_pull_request_that_loosens_the_budget_fails_in_a_clone_of_depth_one(act: Act, tmp_path: Path) -> None:
    """What actions/checkout leaves by default: the merge commit alone, not even the target's tip.

    `skip-unchanged` makes no hole in it, and leaves the next change alone, which touches nothing.
    """
    act.workflow(against="auto", **{"skip-unchanged": "true"})
    act.write("net.fake.yaml", MODEL.replace("10 MB", "4 MB"))
    tip = act.repository.commit()
    act.repository.git("switch", "--quiet", "-c", "change")
    act.repository.commit({"net.fake.yaml": MODEL, "budgets.yaml": BUDGET.replace("5 MB", "50 MB")})
    repository, clone = act.repository, act.checked_out(tip, tmp_path / "clone")
    assert clone.git("rev-list", "--all", "--count") == "1"
    act.repository = clone
    seen = act.run(base=tip)
    assert seen.code == 1, seen.text
    (body,) = act.state.bodies(act.state.me)
    assert re.search(r"10.0 MB is beyond the limit of 5.00 MB", body), body
    assert "5 MB" in body
    assert "50 MB" in body
    (told,) = seen.commands("error")
    assert told["kvPairs"]["file"] == "budgets.yaml"
    assert "by main:budgets.yaml:5:5" in told["arg"]
    assert seen.outputs["outcome"] == "fail"
    assert "skip-unchanged was asked for: the policy is not the target branch's" in body

    act.repository = repository
    repository.git("switch", "--quiet", "--force-create", "change", tip)
    repository.commit({"README.md": "a word\n"})
    act.repository = act.checked_out(tip, tmp_path / "second")
    seen = act.run(base=tip)
    assert seen.code == 0, seen.text
    assert (seen.outputs["outcome"], seen.outputs["exit-code"]) == ("unchanged", "0")
    (body,) = act.state.bodies(act.state.me)
    assert body.split("\n")[1] == "⏳ **DEFERRED** nothing was measured, as the change does not touch net"
    assert f"only README.md changed since {tip[:12]}" in body


def matrix(act: Act, store: Path) -> Seen:
    """Run the workflow of docs/ci.md for a matrix, as it stands there."""
    (block,) = (one for one in WORKFLOWS if "fromJSON" in one)
    block = block.replace("greengate@COMMIT", "greengate@v1").replace("with: {pa", "with: {python-version: '', pa")
    # Jobs of one machine would all install into its one Python at once.
    block = block.replace("fail-fast: false", "fail-fast: false, max-parallel: 1")
    act.write(".github/workflows/gate.yml", block.replace("with: {pr", "with: {python-version: '', pr"))
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    return act.run(ARTIFACTS=str(store), GREENGATE=str(act.place / "action"))


def test_a_matrix_of_three_models_becomes_one_comment(act: Act, tmp_path: Path) -> None:
    for name, size in {"a": "4 MB", "b $(touch pwned)": "10 MB", "c": "4 MB"}.items():
        act.write(f"{name}.fake.yaml", MODEL.replace("10 MB", size))
    rows = "".join(f'  - {{name: {name[0]}, path: "{name}.fake.yaml"}}\n' for name in ("a", "b $(touch pwned)", "c"))
    act.write("budgets.yaml", f"version: 1\nmodels:\n{rows}rules:\n  - {{metric: size, max: 5 MB}}\n")
    seen = matrix(act, tmp_path / "store")
    jobs = {line["job"]: line["jobResult"] for line in seen.lines if "jobResult" in line}
    assert {job.rpartition("/")[2].strip(): result for job, result in jobs.items()} == {
        **{"plan": "success", "measure-1": "success", "measure-2": "success", "measure-3": "success"},
        "judge": "failure",
    }, seen.text
    assert sorted(path.name for path in (tmp_path / "store").rglob("*.json")) == [
        "a.json",
        "b.json",
        "c.json",
    ]
    (body,) = act.state.bodies()
    assert body.split("\n")[1].startswith("❌ **FAIL** 1 of 3 rules over budget: size")
    assert body.count("| ✅ PASS |") == 2
    assert len(seen.commands("error")) == 1, "the parts say nothing of their own"
    assert len(seen.commands("summary")) == 1
    assert not list(act.place.rglob("pwned")) + list(tmp_path.rglob("pwned"))

    # A part that cannot start leaves nothing behind; its job is red, and the verdict names it.
    act.write("b $(touch pwned).fake.yaml", "broken")
    seen = matrix(act, tmp_path / "store")
    assert seen.code == 1
    (body,) = act.state.bodies()
    assert body.split("\n")[1].startswith("❔ **INCONCLUSIVE** 1 of 3 rules could not be decided"), body
    assert "part 'hosted-2', which was to measure it, has left no numbers" in body
