"""The script of docs/ci.md for pipelines of no forge, run as it stands there by a real shell beside a real remote."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest
from checkout import ROOT
from repository import QUIET, Repository

PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(SCRIPT,) = (text for text in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if text.startswith("# gate.sh"))
MODEL = "fake: 1\nsize: 4 MB\nlatency: 10 ms\n"
BUDGET = "version: 1\nmodels:\n  - {name: net, path: net.fake.yaml}\nrules:\n  - {metric: size, max: 5 MB}\n"


@pytest.fixture
def here(tmp_path: Path) -> Repository:
    """Return a branch of a repository whose remote has a light model and a budget."""
    repository = Repository(tmp_path / "work")
    repository.git("init", "--quiet", "--bare", str(tmp_path / "origin"))
    repository.git("remote", "add", "origin", str(tmp_path / "origin"))
    repository.commit({"net.fake.yaml": MODEL, "budgets.yaml": BUDGET, "gate.sh": SCRIPT})
    repository.git("push", "--quiet", "origin", "main")
    repository.git("switch", "--quiet", "--create", "change")
    return repository


def gate(
    repository: Repository, *, command: Sequence[str] = ("sh", "-e", "gate.sh"), **variables: str
) -> tuple[int, str]:
    """Run the script as a stranger's pipeline would; return its exit code and its last line."""
    scripts = str(Path(sys.executable).parent)
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    environ = kept | QUIET | {"PATH": f"{scripts}:{os.environ['PATH']}"} | variables
    done = subprocess.run(
        command, cwd=repository.folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, (done.stdout + done.stderr).strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        ({"net.fake.yaml": MODEL.replace("4 MB", "4.1 MB")}, 0, "within budget"),
        ({"net.fake.yaml": MODEL.replace("4 MB", "6 MB")}, 1, "over budget, see reports/report.md"),
        # what the change says of its own limits does not help it
        (
            {"net.fake.yaml": MODEL.replace("4 MB", "6 MB"), "budgets.yaml": BUDGET.replace("5 MB", "50 MB")},
            1,
            "over budget, see reports/report.md",
        ),
        (
            {"budgets.yaml": BUDGET + "  - {metric: flops, max: 1 GFLOP}\n"},
            3,
            "could not be decided, see reports/report.md",
        ),
        ({"budgets.yaml": BUDGET.replace("size", "sise")}, 2, "the gate did not run (exit code 2)"),
    ],
)
def test_the_script_tells_the_answers_apart(
    here: Repository, files: dict[str, bytes | str], code: int, said: str
) -> None:
    here.commit(files)
    assert gate(here) == (code, said)
    if code != 2:
        reports = here.folder / "reports"
        status = json.loads((reports / "verdict.json").read_text("utf-8"))["status"]
        assert status == {0: "pass", 1: "fail", 3: "inconclusive"}[code]
        assert ET.parse(reports / "junit.xml").getroot().tag == "testsuites"
        assert (reports / "report.md").read_text("utf-8")


def test_a_policy_that_is_not_there_stops_the_gate(here: Repository) -> None:
    assert gate(here, POLICY="origin/nowhere") == (2, "the gate did not run (exit code 2)")


def test_airflow_takes_the_command_for_one_and_not_for_the_name_of_a_template() -> None:
    """What ends like this is opened by BashOperator (its `template_ext`) among the DAGs, where it is not."""
    (call,) = (
        node
        for node in ast.walk(ast.parse(next(text for text in BLOCKS if "BashOperator" in text)))
        if isinstance(node, ast.Call)
    )
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert not given["bash_command"].endswith((".sh", ".bash"))
    assert given["skip_on_exit_code"] == 3


@pytest.mark.parametrize("size", ["4 MB", "6 MB"])
def test_what_airflow_runs_is_the_script(here: Repository, size: str) -> None:
    (command,) = re.findall(r'bash_command="([^"]+)"', PAGE)
    here.commit({"net.fake.yaml": MODEL.replace("4 MB", size)})
    (here.folder / "gate.sh").chmod(0o755)
    expected = 0 if size == "4 MB" else 1
    assert gate(here, command=["bash", "-c", command])[0] == expected


def test_every_snippet_names_files_that_the_script_writes() -> None:
    section = PAGE[PAGE.index("## Jenkins") : PAGE.index("## The report on the pull")]
    named = set(re.findall(r"reports/[\w.]+", section))
    written = set(re.findall(r"=(reports/[\w.]+)", SCRIPT))
    assert named == written
