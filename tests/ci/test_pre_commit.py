"""`.pre-commit-hooks.yaml`, run by the real pre-commit: tried, installed, and asked by a real push."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from checkout import ROOT, ours
from repository import QUIET, Repository

from greengate.profiler.backends import FORMATS

TOOL = str(Path(sysconfig.get_path("scripts")) / "pre-commit")
HEAVY = "fake: 1\nsize: 10 MB\nlatency: 10 ms\n"
LIGHT = HEAVY.replace("10 MB", "4 MB")
BUDGET = (
    "version: 1\nmodels:\n  - {name: net, path: net.fake.yaml}\n"
    "rules:\n  - {metric: size, max: 5 MB}\n  - {metric: latency_p50, max: 1 ms}\n"
)
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))


def test_every_kind_of_model_file_sets_it_off() -> None:
    import re

    names = [f"models/net{ending}" for row in FORMATS.values() for ending in row.endings]
    names += ["budgets.yaml", "net.onnx.data", "net/model.safetensors", "net/config.json", "net.py", "feed.npz"]
    assert [name for name in names if not re.search(HOOK["files"], name)] == []
    assert not re.search(HOOK["files"], "README.md")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return variables under which pre-commit installs our hook alone and finds what it needs among the tests'."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith(("GIT_", "GITHUB_", "GITLAB_", "CI"))}
    return (
        kept
        | QUIET
        | {
            "PRE_COMMIT_HOME": str(tmp_path_factory.mktemp("pre-commit")),
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it so: the value of the option, not that it is given
            "PYTHONPATH": sysconfig.get_path("purelib"),
        }
    )


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ours(tmp_path_factory.mktemp("hooks"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(tmp_path / "work")
    found.git("init", "--quiet", "--bare", str(tmp_path / "origin"))
    found.git("remote", "add", "origin", str(tmp_path / "origin"))
    found.commit({"net.fake.yaml": LIGHT, "budgets.yaml": BUDGET})
    return found


def call(repository: Repository, environ: Mapping[str, str], *words: str) -> tuple[int, str]:
    done = subprocess.run(
        words, cwd=repository.folder, env=environ, check=False, capture_output=True, text=True, timeout=300
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_it_can_be_tried(repository: Repository, hooks: Path, environ: Mapping[str, str]) -> None:
    words = (TOOL, "try-repo", str(hooks), "greengate", "--hook-stage", "pre-push", "--all-files", "--verbose")
    code, said = call(repository, environ, *words)
    assert code == 0, said
    assert "exact metrics only" in said
    assert "DEFERRED" in said, "what is noisy is left to CI"
    repository.write("net.fake.yaml", HEAVY)
    code, said = call(repository, environ, *words)
    assert code == 1
    assert "10.0 MB is beyond the limit of 5.00 MB" in said


def test_a_push_of_a_heavy_model_is_refused(repository: Repository, hooks: Path, environ: Mapping[str, str]) -> None:
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=hooks, check=True, capture_output=True, text=True)
    config = {
        "default_install_hook_types": ["pre-push"],
        "repos": [{"repo": str(hooks), "rev": revision.stdout.strip(), "hooks": [{"id": "greengate"}]}],
    }
    repository.commit({".pre-commit-config.yaml": yaml.safe_dump(config)})
    assert call(repository, environ, TOOL, "install")[0] == 0
    code, said = call(repository, environ, "git", "push", "origin", "main")
    assert code == 0, said
    before = repository.git("ls-remote", "origin")
    repository.commit({"README.md": "words"})
    code, said = call(repository, environ, "git", "push", "origin", "main")
    assert (code, "Skipped" in said) == (0, True), "nothing that can change a model"
    repository.git("push", "--quiet", "--force", "origin", "HEAD^:refs/heads/main", "--no-verify")
    repository.commit({"net.fake.yaml": HEAVY})
    code, said = call(repository, environ, "git", "push", "origin", "main")
    assert code != 0
    assert "10.0 MB is beyond the limit" in said
    assert repository.git("ls-remote", "origin") == before
