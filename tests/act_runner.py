"""Real act without containers: workflows on a folder, and what a run showed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from checkout import committed, ours
from forge_servers import State
from repository import Repository

#: Third-party actions that the tests' workflows name, at the commits that action.yml and docs/ci.md pin.
SETUP_PYTHON = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97"
UPLOAD = "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"


def tool(name: str) -> str:
    """Return a tool of the test environment."""
    return str(Path(sysconfig.get_path("scripts")) / name)


@dataclass
class Seen:
    """What a run showed: its exit code, the commands its steps gave the runner, and its log."""

    code: int
    lines: list[dict[str, Any]]
    text: str

    def commands(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("command") == kind]

    @property
    def outputs(self) -> dict[str, str]:
        (told,) = re.findall(r"OUTPUTS (\{.*\})", self.text)
        found: dict[str, str] = json.loads(told)
        return found


@dataclass
class Act:
    """A repository with one model, the action at v1, and a runner whose `python` lies in a folder."""

    repository: Repository
    place: Path
    state: State
    base: str
    python: Path | None = None

    @property
    def installed(self) -> Path:
        """The command, once a run has installed it into the Python that runs without one of their own share."""
        return self.place / "python" / "bin" / "greengate"

    def workflow(self, **inputs: str) -> None:
        given = {"python-version": "", "against": "none"} | inputs
        steps: list[dict[str, Any]] = [
            {"uses": CHECKOUT},
            {"id": "gate", "uses": "greengate/greengate@v1", "with": given},
            {"if": "always()", "env": {"OUT": "${{ toJSON(steps.gate.outputs) }}"}, "run": "echo OUTPUTS $OUT"},
        ]
        job = {"runs-on": "ubuntu-latest", "steps": steps}
        found = {"on": "pull_request", "permissions": {"contents": "read"}, "jobs": {"gate": job}}
        self.write(".github/workflows/gate.yml", yaml.safe_dump(found))

    def write(self, name: str, text: str) -> None:
        path = self.repository.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, base: str | None = None, **environ: str) -> Seen:
        """Run the workflow on what lies in the repository; with a `base`, as it was checked out."""
        commit = self.repository.commit() if base is None else self.repository.git("rev-parse", "HEAD")
        event = {
            "number": 7,
            "pull_request": {
                "number": 7,
                "base": {"ref": "main", "sha": base or commit},
                "head": {"ref": "change", "sha": commit, "repo": {"full_name": "owner/name", "fork": False}},
            },
            "repository": {"full_name": "owner/name"},
        }
        self.state.head = (commit, "owner/name")
        (self.place / "event.json").write_text(json.dumps(event))
        given = {
            "GITHUB_API_URL": self.base,
            "GITHUB_REPOSITORY": "owner/name",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it so: the value of the option, not that it is given
        } | environ
        if self.python is None and self.installed.exists():
            # It is the same action, installed into the same Python: building it once is enough.
            given["PIP_DRY_RUN"] = "1"
        command = [
            *(tool("act"), "pull_request", "-e", str(self.place / "event.json"), "-P", "ubuntu-latest=-self-hosted"),
            *("--no-cache-server", "--action-offline-mode", "--json", "-s", f"GITHUB_TOKEN={self.state.token}"),
            *("--local-repository", f"greengate/greengate@v1={self.place / 'action'}"),
            *("--local-repository", f"{SETUP_PYTHON}={self.place / 'stub'}"),
            *("--local-repository", f"{CHECKOUT}={self.place / 'stub'}"),
            *("--local-repository", f"{UPLOAD}={self.place / 'upload'}"),
            *(word for key, text in given.items() for word in ("--env", f"{key}={text}")),
        ]
        python = self.python or self.place / "python" / "bin"
        home = {"HOME": str(self.place / "home"), "PATH": f"{python}:{os.environ['PATH']}"}
        kept = {key: text for key, text in os.environ.items() if key.startswith(("PIP_", "LANG", "LC_"))}
        found = subprocess.run(
            command,
            cwd=self.repository.folder,
            env={**kept, **home},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        lines = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
        text = "\n".join(str(line.get("msg", "")) for line in lines)
        return Seen(found.returncode, lines, text)

    def checked_out(self, tip: str, place: Path, depth: int = 1) -> Repository:
        """Merge pull request 7, the branch `change`, into a tip; return what actions/checkout leaves of it.

        That is a clone of depth 1 by default, which has the merge commit alone.
        """
        self.repository.git("checkout", "--quiet", "-B", "merged", tip)
        merged = self.repository.merge("change")
        self.repository.git("update-ref", "refs/pull/7/merge", merged)
        self.repository.git("checkout", "--quiet", "--force", "-B", "main", tip)
        clone = Repository(place)
        clone.git("remote", "add", "origin", f"file://{self.repository.folder}")
        clone.git(
            *("fetch", "--quiet", "--no-tags", f"--depth={depth}"),
            *("origin", "+refs/pull/7/merge:refs/remotes/pull/7/merge"),
        )
        clone.git("checkout", "--quiet", "--force", "refs/remotes/pull/7/merge")
        return clone


#: Artifacts of a run as folders of $ARTIFACTS: what actions/upload-artifact and `gh run download` do with them.
UPLOADING = """name: upload
inputs: {name: {required: true}, path: {required: true}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {NAME: "${{ inputs.name }}", FROM: "${{ inputs.path }}"}
      run: test -d "$FROM" && cp -R "$FROM" "$ARTIFACTS/$NAME"
"""
DOWNLOADING = """#!/bin/bash
test "$1 $2 ${@: -2:1}" = "run download --dir" && rm -rf "${@: -1}" && mkdir "${@: -1}" &&
  cp -R "$ARTIFACTS"/greengate-* "${@: -1}/"
"""


def stage(found: Path) -> Path:
    """Fill a folder with the action as committed trees, a stub for other people's, and a Python to install into."""
    ours(found / "action")
    (found / "stub").mkdir()
    (found / "stub" / "action.yml").write_text(
        "name: stub\nruns: {using: composite, steps: [{shell: bash, run: 'true'}]}\n"
    )
    committed(found / "stub")
    (found / "upload").mkdir()
    (found / "upload" / "action.yml").write_text(UPLOADING)
    committed(found / "upload")
    (found / "home" / ".config" / "act").mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(found / "python")], check=True)
    # What the tests run with is what this Python finds; greengate itself is installed by the action.
    (site,) = (found / "python").glob("lib/python*/site-packages")
    (site / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    piping = f'#!/bin/sh\nexec "{found}/python/bin/python" -m pip "$@"\n'
    for name, text in {"gh": DOWNLOADING, "pip": piping}.items():
        (found / "python/bin" / name).write_text(text)
        (found / "python/bin" / name).chmod(0o755)
    return found
