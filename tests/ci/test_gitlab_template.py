"""The GitLab template, run for real by gitlab-ci-local's shell executor, against the stand-in for GitLab."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from forge_servers import GitLab, State, serving
from gitlab_runner import RUNNER, Pipeline, shim
from needs import absent
from repository import Repository

from greengate.gate import Request
from greengate.gate.parts import Part
from greengate.tasks import child

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
#: The blocks of docs/ci.md that stand in a file of GitLab's, by its name.
BLOCKS = [
    (name, yaml.safe_load(text), text)
    for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    if "gitlab" in name
]
TEMPLATE = ROOT / ".gitlab-ci-template.yml"
SPEC, JOBS = (part for part in yaml.safe_load_all(TEMPLATE.read_text("utf-8")))
INPUTS = SPEC["spec"]["inputs"]


def test_the_component_is_the_template() -> None:
    assert (ROOT / "templates" / "greengate.yml").read_bytes() == TEMPLATE.read_bytes()


def is_what_gitlab_takes(*paths: Path) -> None:
    """Hold pipelines against GitLab's schema for them."""
    tool = str(Path(sysconfig.get_path("scripts")) / "check-jsonschema")
    command = [tool, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", *map(str, paths)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_gitlabs_schema_takes_it(tmp_path: Path) -> None:
    text = TEMPLATE.read_text("utf-8").split("\n---\n", 1)[1]
    path = tmp_path / "job.yml"
    # What stands for a list is a list in the end; GitLab puts inputs in before it reads the rest.
    path.write_text(text.replace("exit_codes: $[[ inputs.allow-failure-exit-codes ]]", "exit_codes: [3]"))
    is_what_gitlab_takes(path)


def test_inputs_are_documented_and_used_and_reach_the_script_as_variables() -> None:
    for name, row in INPUTS.items():
        assert f"| `{name}` |" in PAGE, name
        assert row["description"]
    text = TEMPLATE.read_text("utf-8").split("\n---\n", 1)[1]
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(INPUTS)
    job = JOBS["greengate"]
    assert "inputs." not in json.dumps(job["script"] + job["before_script"])


def test_what_could_not_start_is_never_allowed_to_fail() -> None:
    assert INPUTS["allow-failure-exit-codes"]["default"] == [3]


def test_what_is_installed_is_named_by_whoever_includes_it() -> None:
    """A default could only be a name on an index, where it may be anybody's."""
    needed = {name for name, row in INPUTS.items() if "default" not in row}
    assert needed == {"install"}
    (block,) = re.findall(r"```yaml\n# \.gitlab-ci\.yml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    including = [yaml.safe_load(block), *(read for _, read, _ in BLOCKS)]
    given = [one for read in including if isinstance(read.get("include"), list) for one in read["include"]]
    assert len(given) == 2
    for one in given:
        assert one["remote"].endswith("/COMMIT/.gitlab-ci-template.yml")
        assert needed <= set(one["inputs"])
        assert one["inputs"]["install"].endswith("@COMMIT")


def scripts_of(job: Any) -> list[str]:
    found = [job.get(part, []) for part in ("before_script", "script")]
    return [line for part in found for line in ([part] if isinstance(part, str) else part)]


#: Every script of a job that may hold the note's token: the template's, those of docs/ci.md, and a child pipeline's.
SCRIPTS = {
    "template": scripts_of(JOBS["greengate"]),
    **{
        f"{name}-{index}-{job}": scripts_of(read[job])
        for index, (name, read, _) in enumerate(BLOCKS)
        for job in read
        if isinstance(read[job], dict) and scripts_of(read[job])
    },
    "child": scripts_of(
        json.loads(child.pipeline([Part("hosted-1", ("net",), ())], Request("budgets.yaml"), "x"))["judge"]
    ),
}
STUB = """#!/bin/sh
echo "${0##*/} $*:${GREENGATE_GITLAB_TOKEN-}" >> "$HEARD"
for word; do case "$word" in *json=*) : > "${word#*json=}" ;; esac; done
case "$1" in check) exit "$CHECK" ;; comment) exit 2 ;; baseline) exit 2 ;; esac
"""


def run(lines: list[str], folder: Path, **variables: str) -> tuple[int, list[str], str]:
    """Run a job's script as GitLab's runner does, where every tool only notes what it is asked and what it is told.

    The check exits with $CHECK; a note and an accepted version are refused.
    """
    tools = folder / "tools"
    tools.mkdir(parents=True)
    for name in ("python", "greengate"):
        (tools / name).write_text(STUB)
        (tools / name).chmod(0o755)
    (folder / "builds" / "greengate-1" / "bin").mkdir(parents=True)
    (folder / "builds" / "greengate-1" / "bin" / "activate").write_text("")
    given = {
        f"GREENGATE_{name.upper().replace('-', '_')}": str(row.get("default", "x")) for name, row in INPUTS.items()
    }
    environ = given | {
        **{"PATH": f"{tools}:{os.environ['PATH']}", "HEARD": str(folder / "heard"), "CI_JOB_ID": "1"},
        **{"CI_BUILDS_DIR": str(folder / "builds"), "GREENGATE_GITLAB_TOKEN": "secret-token", "CHECK": "0"},
        **{"GREENGATE": "x", "PART": "hosted-1", "GREENGATE_PLAN": "{}", "CI_COMMIT_BRANCH": "main"},
        **{"CI_DEFAULT_BRANCH": "main", "GREENGATE_VALGRIND": "false"},
    }
    script = "\n".join(lines)
    command = ["bash", "-eo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=environ | variables, check=False, capture_output=True, text=True, timeout=60
    )
    heard = (folder / "heard").read_text().splitlines() if (folder / "heard").exists() else []
    return done.returncode, heard, done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_only_what_writes_the_note_has_its_token(name: str, tmp_path: Path) -> None:
    """pip runs what it builds, and a check loads the model of the merge request."""
    _, heard, _ = run(SCRIPTS[name], tmp_path)
    assert heard
    for line in heard:
        asked, _, token = line.rpartition(":")
        if re.search(r" -m pip |greengate (check|baseline)", asked):
            assert not token, asked
        if "greengate comment" in asked:
            assert token == "secret-token"


NOTING = [name for name, lines in SCRIPTS.items() if any("greengate comment" in line for line in lines)]


@pytest.mark.parametrize("code", [0, 1, 3])
@pytest.mark.parametrize("name", NOTING)
def test_a_note_that_cannot_be_written_replaces_no_verdict(name: str, code: int, tmp_path: Path) -> None:
    assert len(NOTING) == 3
    found, heard, said = run(SCRIPTS[name], tmp_path, CHECK=str(code))
    assert any(line.startswith("greengate comment ") for line in heard)
    assert found == code
    assert "the note was not written; the verdict stands" in said


def test_a_version_that_is_refused_is_said_and_the_verdict_stands(tmp_path: Path) -> None:
    found, heard, said = run(SCRIPTS["template"], tmp_path, GREENGATE_ACCEPT="true", GREENGATE_MAX_SECONDS="7")
    (asked,) = (line for line in heard if line.startswith("greengate baseline accept "))
    assert "--max-seconds 7" in asked
    assert found == 0
    assert said.splitlines()[-1].startswith("what passed was not accepted as the next baseline")
    assert not list((tmp_path / "builds").iterdir()), "the environment is removed in any case"


# --- gitlab-ci-local --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim(tmp_path_factory.mktemp("python"))


MODEL = "fake: 1\nsize: 10 MB\nlatency: 10 ms\n"
BUDGET = "version: 1\nmodels:\n  - {name: net, path: net.fake.yaml}\nrules:\n  - {metric: size, max: 5 MB}\n"


@pytest.fixture
def pipeline(tmp_path: Path, python: Path) -> Iterator[Pipeline]:
    if not RUNNER.exists():
        absent("gitlab-ci-local, which `make test` installs")
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "origin")], check=True)
    repository = Repository(tmp_path / "work")
    repository.git("remote", "add", "origin", str(tmp_path / "origin"))
    repository.commit(
        {".gitlab-ci-template.yml": TEMPLATE.read_bytes(), "net.fake.yaml": MODEL, "budgets.yaml": BUDGET}
    )
    repository.git("push", "-q", "origin", "main")
    repository.git("remote", "set-head", "origin", "main")
    state = State(me="project_42_bot_1")
    with serving(GitLab, state) as base:
        yield Pipeline(repository, base, state, python)


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_a_merge_request_fails_gets_its_note_and_passes_into_the_same_note(pipeline: Pipeline) -> None:
    said = pipeline.run()
    assert re.search(r"^ FAIL +greengate", said, re.MULTILINE), said
    assert "finished in" in said
    (body,) = pipeline.state.bodies(pipeline.state.me)
    assert body.split("\n")[1].startswith("❌ **FAIL** ")
    assert pipeline.state.token not in said
    # Every report is what its reader takes.
    assert ET.fromstring(pipeline.report("junit.xml")).get("failures") == "1"
    (finding,) = json.loads(pipeline.report("codequality.json"))
    assert finding["location"] == {"path": "budgets.yaml", "lines": {"begin": 5}}
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    assert list(text_string_to_metric_families(pipeline.report("metrics.txt")))
    assert "GREENGATE_OUTCOME=fail\nGREENGATE_EXIT_CODE=1\n" in pipeline.report("outcome.env")
    assert json.loads(pipeline.report("verdict.json"))["status"] == "fail"

    pipeline.write("net.fake.yaml", MODEL.replace("10 MB", "4 MB"))
    said = pipeline.run()
    assert re.search(r"^ PASS +greengate", said, re.MULTILINE), said
    (body,) = pipeline.state.bodies(pipeline.state.me)
    assert body.split("\n")[1].startswith("✅ **PASS** ")

    said = pipeline.run(against="auto", skip_unchanged="true")
    assert re.search(r"^ PASS +greengate", said, re.MULTILINE), said
    assert "GREENGATE_OUTCOME=unchanged\nGREENGATE_EXIT_CODE=0\n" in pipeline.report("outcome.env")
    (body,) = pipeline.state.bodies(pipeline.state.me)
    assert body.split("\n")[1] == "⏳ **DEFERRED** nothing was measured, as the change does not touch net"


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_what_cannot_be_decided_warns_and_what_cannot_start_fails(pipeline: Pipeline) -> None:
    pipeline.write("budgets.yaml", BUDGET.replace("max: 5 MB", "max_increase: 5%"))
    said = pipeline.run(token=False)
    assert re.search(r"^ WARN +greengate", said, re.MULTILINE), said
    assert "not posted: there is no token" in said
    assert pipeline.state.heard == []

    said = pipeline.run(budgets="gone.yaml", token=False)
    assert re.search(r"^ FAIL +greengate", said, re.MULTILINE), said


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_modules_of_the_checkout_are_not_run(pipeline: Pipeline, tmp_path: Path) -> None:
    """The job has a token, and its current folder is the merge request's."""
    trap = f"open({str(tmp_path / 'pwned')!r}, 'w').close()\n"
    for name in ("click", "json", "venv", "pip", "greengate/__init__"):
        pipeline.write(f"{name}.py", trap)
    said = pipeline.run()
    assert re.search(r"^ FAIL +greengate", said, re.MULTILINE), said
    assert len(pipeline.state.bodies(pipeline.state.me)) == 1
    assert not (tmp_path / "pwned").exists()


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_a_matrix_of_three_models_becomes_one_note(pipeline: Pipeline) -> None:
    """The jobs of docs/ci.md, as they stand there."""
    (block,) = (text for _, _, text in BLOCKS if "parallel:" in text)
    for name, size in {"a": "4 MB", "b": "10 MB", "c": "4 MB"}.items():
        pipeline.write(f"{name}.fake.yaml", MODEL.replace("10 MB", size))
    rows = "".join(f"  - {{name: {name}, path: {name}.fake.yaml}}\n" for name in "abc")
    pipeline.write("budgets.yaml", f"version: 1\nmodels:\n{rows}rules:\n  - {{metric: size, max: 5 MB}}\n")
    said = pipeline.run_this(block)
    assert len(re.findall(r"^ (?:PASS|WARN) +measure: \[hosted-\d\]", said, re.MULTILINE)) == 3, said
    assert re.search(r"^ FAIL +judge", said, re.MULTILINE), said
    (body,) = pipeline.state.bodies(pipeline.state.me)
    assert body.split("\n")[1].startswith("❌ **FAIL** 1 of 3 rules over budget: size")
    assert body.count("| ✅ PASS |") == 2


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_a_plan_makes_the_jobs_of_a_child_pipeline(pipeline: Pipeline) -> None:
    """The pipelines of docs/ci.md. gitlab-ci-local passes `trigger` by: what was printed runs as one of its own."""
    (parent,) = (text for name, _, text in BLOCKS if name == ".gitlab-ci.yml" and "trigger:" in text)
    (job,) = (text for name, _, text in BLOCKS if name == ".gitlab/greengate.yml")
    for name, size in {"a": "4 MB", "b": "10 MB", "c": "4 MB"}.items():
        pipeline.write(f"{name}.fake.yaml", MODEL.replace("10 MB", size))
    rows = "".join(f"  - {{name: {name}, path: {name}.fake.yaml}}\n" for name in "abc")
    pipeline.write("budgets.yaml", f"version: 1\nmodels:\n{rows}rules:\n  - {{metric: size, max: 5 MB}}\n")
    pipeline.write(".gitlab/greengate.yml", job)
    said = pipeline.run_this(parent.replace("--shards 3", "--shards 2"))
    assert re.search(r"^ PASS +plan", said, re.MULTILINE), said
    made = pipeline.repository.folder / "greengate-jobs.yml"
    is_what_gitlab_takes(made, pipeline.repository.folder / ".gitlab-ci.yml")
    assert {name for name in yaml.safe_load(made.read_text()) if "-" in name} == {"hosted-1", "hosted-2"}

    said = pipeline.run_this(made.read_text())
    assert len(re.findall(r"^ (?:PASS|WARN) +hosted-\d", said, re.MULTILINE)) == 2, said
    assert re.search(r"^ FAIL +judge", said, re.MULTILINE), said
    (body,) = pipeline.state.bodies(pipeline.state.me)
    assert body.split("\n")[1].startswith("❌ **FAIL** 1 of 3 rules over budget: size")
    assert body.count("| ✅ PASS |") == 2


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_the_default_branch_accepts_what_passed_and_nothing_else(pipeline: Pipeline) -> None:
    pipeline.write("budgets.yaml", f"{BUDGET}baseline: git:baselines\n")
    said = pipeline.run(merge_request=False, accept="true")
    assert re.search(r"^ FAIL +greengate", said, re.MULTILINE), said
    assert "baselines" not in pipeline.repository.git("ls-remote", "origin")

    pipeline.write("net.fake.yaml", MODEL.replace("10 MB", "4 MB"))
    said = pipeline.run(merge_request=False, accept="true")
    assert re.search(r"^ PASS +greengate", said, re.MULTILINE), said
    pipeline.repository.git("fetch", "--quiet", "origin", "baselines")
    kept = pipeline.repository.git("ls-tree", "-r", "--name-only", "FETCH_HEAD").splitlines()
    assert [name for name in kept if name.startswith("net/")], kept
    assert pipeline.state.heard == [], "there is no merge request to write on"


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_a_store_that_takes_no_push_does_not_hold_up_the_branch(pipeline: Pipeline) -> None:
    """What GitLab does unless a project allows its job tokens to push."""
    hook = pipeline.repository.folder.parent / "origin" / "hooks" / "update"
    hook.write_text(
        "#!/bin/sh\ntest \"$1\" = refs/heads/main || { echo 'You are not allowed to push code' >&2; exit 1; }\n"
    )
    hook.chmod(0o755)
    pipeline.write("budgets.yaml", f"{BUDGET}baseline: git:baselines\n")
    pipeline.write("net.fake.yaml", MODEL.replace("10 MB", "4 MB"))
    said = pipeline.run(merge_request=False, accept="true")
    assert re.search(r"^ PASS +greengate", said, re.MULTILINE), said
    assert "error[git-failed]: failed to push some refs" in said
    assert "what passed was not accepted as the next baseline, for the reason above; the verdict stands" in said
    assert "baselines" not in pipeline.repository.git("ls-remote", "origin")
    assert not list((pipeline.repository.folder.parent / "builds").glob("greengate-*"))
