"""A new repository with one real model and the README's lines: a first verdict, then a change that makes it worse."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from act_runner import Act, stage
from checkout import ROOT, ours
from forge_servers import GitHub, GitLab, State, serving
from gitlab_runner import RUNNER, Pipeline, shim
from needs import absent
from repository import Repository

DIGITS = ROOT / "examples" / "digits"
#: What is exact takes seconds; the model's name is that of its file.
BUDGET = "version: 1\nmodels:\n  - {path: models/digits.onnx}\nrules:\n  - {metric: flops, max_increase: 10%}\n"


def lines_of(place: str) -> str:
    """Return the README's lines for a file, as they stand there."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(rf"^```yaml\n# {re.escape(place)}\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert len(block.splitlines()) <= 5, "it takes five lines to adopt"
    return str(block)


def a_model_of_somebody(folder: Path) -> Repository:
    """Return a repository with one model and nothing of greengate."""
    repository = Repository(folder)
    (folder / "models").mkdir()
    shutil.copyfile(DIGITS / "models" / "digits.onnx", folder / "models" / "digits.onnx")
    repository.commit()
    return repository


def adopt(repository: Repository, place: str, text: str) -> str:
    """Propose the lines and a budget on the branch `change`; return the commit it grew from."""
    tip = repository.git("rev-parse", "main")
    repository.git("checkout", "--quiet", "-B", "change", "main")
    repository.commit({place: text, "budgets.yaml": BUDGET})
    return tip


def make_worse(repository: Repository) -> str:
    """Land what was proposed, and propose a wider network; return the commit it grew from."""
    repository.git("checkout", "--quiet", "main")
    tip = repository.merge("change")
    repository.git("checkout", "--quiet", "-B", "change", "main")
    repository.commit({"models/digits.onnx": (DIGITS / "candidates" / "wider.onnx").read_bytes()})
    return tip


@contextmanager
def listening(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port of loopback; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


class Private(BaseHTTPRequestHandler):
    """A repository that lets nobody in without a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def private() -> Iterator[str]:
    """Serve a private repository, as a job finds it that keeps no credentials after the checkout."""
    with listening(Private) as base:
        yield f"{base}/owner/name.git"


def test_github(tmp_path: Path, private: str) -> None:
    """What binds is in the checkout that the lines make: in a private repository nothing can be fetched any more."""
    place = ".github/workflows/greengate.yml"
    workflow = lines_of(place).replace("@COMMIT", "@v1")
    (checkout,) = (
        step["with"]
        for step in yaml.safe_load(workflow)["jobs"]["greengate"]["steps"]
        if step["uses"].startswith("actions/checkout@")
    )
    assert checkout["persist-credentials"] is False
    depth = checkout.get("fetch-depth", 1)
    repository = a_model_of_somebody(tmp_path / "repository")
    state = State()
    with serving(GitHub, state) as base:
        act = Act(repository, stage(tmp_path), state, base, shim(tmp_path / "shim"))
        tip = adopt(repository, place, workflow)
        act.repository = act.checked_out(tip, tmp_path / "first", depth)
        act.repository.git("remote", "set-url", "origin", private)
        seen = act.run(base=tip)
        assert seen.code == 0, seen.text
        (summary,) = seen.commands("summary")
        assert summary["content"].startswith("✅ **PASS** the only rule is within budget\n")
        assert f"Policy: bootstrap, budgets.yaml of the change itself: main at {tip[:12]}" in summary["content"]
        assert state.comments == [], "nothing changed, so nothing is worth a comment"

        act.repository = repository
        tip = make_worse(repository)
        act.repository = act.checked_out(tip, tmp_path / "second", depth)
        act.repository.git("remote", "set-url", "origin", private)
        seen = act.run(base=tip)
        assert seen.code == 1
        (body,) = state.bodies(state.me)
        assert body.split("\n")[1] == "❌ **FAIL** the only rule is over budget: flops"
        assert f"Policy: budgets.yaml of main at {tip[:12]}" in body
        (told,) = seen.commands("error")
        assert told["kvPairs"]["file"] == "budgets.yaml"
    assert state.violations == []


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[str]:
    """Serve the template as a file of the web, which is where the README's lines include it from."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    shutil.copyfile(ROOT / ".gitlab-ci-template.yml", folder / ".gitlab-ci-template.yml")
    with listening(partial(SimpleHTTPRequestHandler, directory=str(folder))) as base:
        yield base


@pytest.mark.system("node")
@pytest.mark.system("rsync")
def test_gitlab(tmp_path: Path, shelf: str) -> None:
    if not RUNNER.exists():
        absent("gitlab-ci-local, which `make test` installs")
    place = ".gitlab-ci.yml"
    ours(tmp_path / "greengate")
    commit = Repository(tmp_path / "greengate").git("rev-parse", "HEAD")
    text = lines_of(place).replace("https://example.org/greengate/COMMIT", shelf)
    text = text.replace("git+https://example.org/greengate@COMMIT", f"git+file://{tmp_path}/greengate@{commit}")
    assert "COMMIT" not in text
    repository = a_model_of_somebody(tmp_path / "repository")
    origin = Repository(tmp_path / "origin")
    origin.git("config", "receive.denyCurrentBranch", "ignore")
    repository.git("remote", "add", "origin", str(origin.folder))
    state = State(me="project_42_bot_1")
    with serving(GitLab, state) as base:
        pipeline = Pipeline(repository, base, state, shim(tmp_path / "shim"))
        tip = adopt(repository, place, text)
        repository.git("push", "--quiet", "origin", "main")
        said = pipeline.go(tip)
        assert re.search(r"^ PASS +greengate", said, re.MULTILINE), said
        verdict = json.loads(pipeline.report("verdict.json"))
        assert (verdict["status"], verdict["case"]["policy"]["bootstrap"]) == ("pass", True)
        assert state.comments == []

        tip = make_worse(repository)
        repository.git("push", "--quiet", "origin", "main")
        said = pipeline.go(tip)
        assert re.search(r"^ FAIL +greengate", said, re.MULTILINE), said
        (body,) = state.bodies(state.me)
        assert body.split("\n")[1] == "❌ **FAIL** the only rule is over budget: flops"
        assert f"Policy: budgets.yaml of main at {tip[:12]}" in body
