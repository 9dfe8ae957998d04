"""Real gitlab-ci-local in its shell executor: pipelines on a folder, and a Python for their jobs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import yaml
from checkout import ROOT
from forge_servers import State
from repository import Repository

RUNNER = ROOT / ".venv" / "npm" / "node_modules" / ".bin" / "gitlab-ci-local"


@dataclass
class Pipeline:
    """A repository with one model that includes the template, and a runner."""

    repository: Repository
    base: str
    state: State
    python: Path

    def write(self, name: str, text: str) -> None:
        self.repository.write(name, text)

    def run(self, *, merge_request: bool = True, token: bool = True, **inputs: str) -> str:
        """Run the pipeline and return the runner's words: its own exit code is no verdict (it is 0 where a job failed
        with a code that is not in `allow_failure`)."""
        given = {"against": "none", "install": str(ROOT)} | {
            key.replace("_", "-"): text for key, text in inputs.items()
        }
        include = {"include": [{"local": ".gitlab-ci-template.yml", "inputs": given}]}
        return self.run_this(yaml.safe_dump(include), merge_request=merge_request, token=token)

    def run_this(self, text: str, *, merge_request: bool = True, token: bool = True) -> str:
        self.write(".gitlab-ci.yml", text)
        commit = self.repository.commit()
        self.repository.git("push", "-q", "origin", "main")
        return self.go(commit, merge_request=merge_request, token=token)

    def go(self, base: str, *, merge_request: bool = True, token: bool = True) -> str:
        """Run the pipeline of what is checked out, in a merge request that grew from `base`."""
        self.state.head = (self.repository.git("rev-parse", "HEAD"), "42")
        variables = {
            "GITLAB_CI": "true",
            "CI_BUILDS_DIR": str(self.repository.folder.parent / "builds"),
            "CI_API_V4_URL": f"{self.base}/api/v4",
            "CI_PIPELINE_SOURCE": "merge_request_event" if merge_request else "push",
            "CI_MERGE_REQUEST_PROJECT_ID": "42",
            "GREENGATE": str(ROOT),
        }
        if merge_request:
            variables |= {
                "CI_MERGE_REQUEST_IID": "7",
                "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
                "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
            }
        if token:
            variables["GREENGATE_GITLAB_TOKEN"] = self.state.token
        command = [
            *(str(RUNNER), "--force-shell-executor", "--shell-isolation"),
            *("--ignore-predefined-vars", "CI_PIPELINE_SOURCE,CI_API_V4_URL,CI_BUILDS_DIR,GITLAB_CI"),
            *(word for key, text in variables.items() for word in ("--variable", f"{key}={text}")),
        ]
        kept = {key: text for key, text in os.environ.items() if key.startswith(("PIP_", "LANG", "LC_"))}
        # A home of its own: what a user's shell does to PATH would bring another Python. PIP_NO_BUILD_ISOLATION=0 is
        # how pip reads it: the value of the option, not that it is given.
        environ = kept | {
            "PATH": f"{self.python}:{os.environ['PATH']}",
            "HOME": str(self.python),
            "PIP_NO_BUILD_ISOLATION": "0",
        }
        found = subprocess.run(
            command, cwd=self.repository.folder, env=environ, check=False, capture_output=True, text=True, timeout=300
        )
        return re.sub(r"\x1b\[[0-9;]*m", "", found.stdout + found.stderr)

    def report(self, name: str) -> str:
        return (self.repository.folder / "greengate-report" / name).read_text("utf-8")


def shim(folder: Path) -> Path:
    """Put a `python` into a folder whose environments find what the tests run with."""
    folder.mkdir(exist_ok=True)
    site = sysconfig.get_path("purelib")
    # Without a pip of its own, which takes seconds to make: that of the tests is found too.
    lines = [
        "#!/bin/sh",
        f'if [ "$3" != venv ]; then exec "{sys.executable}" "$@"; fi',
        f'"{sys.executable}" "$@" --without-pip || exit',
        f'for at in "$4"/lib/python*/site-packages; do echo "{site}" > "$at/tests.pth"; done',
    ]
    (folder / "python").write_text("\n".join(lines) + "\n")
    (folder / "python").chmod(0o755)
    return folder
