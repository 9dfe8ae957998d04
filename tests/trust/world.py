"""A forge in small: a bare remote, a developer's clone, and checkouts as CI makes them."""

from __future__ import annotations

import datetime
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from repository import Repository

from greengate.cli import door, output

NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
HEAD = "version: 1\nmodels:\n  - {name: net, path: net.fake.yaml}\nrules:\n"
BUDGET = HEAD + "  - {metric: size, max_increase: 5%}\n"
#: A trade that a smaller model pays for, if somebody approves.
TRADE = HEAD + (
    "  - {id: compute, metric: flops, max_increase: 5%,"
    " unless: {metric: size, min_decrease: 10%, max_increase: 15%, approved: true}}\n"
)


def fake(size: str = "10 MB", macs: str = "300 MMAC", more: str = "") -> str:
    return (
        f"fake: 1\nsize: {size}\nparams: 2.5 M\nmacs: {macs}\nactivation_memory: 4 MB\nlatency: 10 ms\ncpu_time: 9 ms\n"
        f"noise: 3%\nlaunch_noise: 0.4%\nload_time: 120 ms\npeak_memory: 60 MB\n{more}"
    )


@dataclass
class Said:
    code: int
    err: str
    raw: dict[str, Any] = field(default_factory=dict)
    markdown: str = ""

    @property
    def rules(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return (model, rule) -> (status, the policy that binds)."""
        return {(rule["model"], rule["rule"]): (rule["status"], rule["under"]) for rule in self.raw["rules"]}

    @property
    def notices(self) -> list[str]:
        return [notice["text"] for notice in self.raw["notices"]]

    @property
    def policy(self) -> dict[str, Any]:
        found: dict[str, Any] = self.raw["case"]["policy"]
        return found

    def reason(self, rule: str, model: str = "net") -> str:
        return next(str(one["reason"]) for one in self.raw["rules"] if (one["rule"], one["model"]) == (rule, model))


class World:
    """`dev` is where people work; `land` puts files on main, `propose` opens or updates pull request 7."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.patch, self.capsys = place, monkeypatch, capsys
        self.now = NOW
        self.count = 0
        bare = place / "origin.git"
        bare.mkdir(parents=True)
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)
        self.dev = Repository(place / "dev")
        self.dev.git("remote", "add", "origin", f"file://{bare}")
        self.bare = bare

    def _change(self, files: dict[str, str | bytes | None], message: str) -> str:
        for path, content in files.items():
            if content is None:
                (self.dev.folder / path).unlink()
            else:
                self.dev.write(path, content)
        return self.dev.commit(message=message)

    def land(self, files: dict[str, str | bytes | None]) -> str:
        """Commit files to main and push it; None deletes one."""
        if self.dev.git("branch", "--list", "main"):
            self.dev.git("checkout", "--quiet", "main")
        commit = self._change(files, "land")
        self.dev.git("push", "--quiet", "origin", "main")
        return commit

    def propose(self, files: dict[str, str | bytes | None], fresh: bool = True) -> None:
        """Commit files to a branch from main, and let the remote have the merge commit of a pull request."""
        if fresh:
            self.dev.git("checkout", "--quiet", "-B", "topic", "main")
        else:
            self.dev.git("checkout", "--quiet", "topic")
        self.topic = self._change(files, "propose")
        self.tip = self.dev.git("rev-parse", "main")
        self.dev.git("checkout", "--quiet", "-B", "merged", "main")
        self.merged = self.dev.merge("topic")
        self.dev.git("push", "--quiet", "--force", "origin", "topic", "merged:refs/pull/7/merge")
        self.dev.git("checkout", "--quiet", "topic")

    def checkout(self, depth: int | None = 1) -> Path:
        """Check the merge commit out as actions/checkout does: one ref, one commit, detached."""
        self.count += 1
        folder = self.place / f"runner{self.count}"
        runner = Repository(folder)
        runner.git("remote", "add", "origin", f"file://{self.bare}")
        deep = [f"--depth={depth}"] if depth else []
        refs = ["+refs/pull/7/merge:refs/remotes/pull/7/merge"]
        refs += [] if depth else ["+refs/heads/*:refs/remotes/origin/*"]
        runner.git("fetch", "--quiet", "--no-tags", *deep, "origin", *refs)
        runner.git("checkout", "--quiet", "--detach", "refs/remotes/pull/7/merge")
        return folder

    def github(self, **more: str) -> dict[str, str]:
        event = self.place / "event.json"
        sides = {"base": {"ref": "main", "sha": self.tip}, "head": {"ref": "topic", "sha": self.topic}}
        event.write_text(json.dumps({"pull_request": {**sides, "user": {"login": "author"}}}))
        return {
            **{"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request"},
            **{"GITHUB_EVENT_PATH": str(event), "GITHUB_BASE_REF": "main", "GITHUB_REF": "refs/pull/7/merge"},
            **{"GITHUB_SHA": self.merged, **more},
        }

    def gitlab(self, **more: str) -> dict[str, str]:
        return {
            **{"CI": "true", "GITLAB_CI": "true", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"},
            **{"CI_COMMIT_SHA": self.topic, "CI_MERGE_REQUEST_DIFF_BASE_SHA": self.tip, **more},
        }

    def check(self, folder: Path, *words: str, environ: dict[str, str] | None = None) -> Said:
        """Run `greengate check --static-only` in a checkout, by default as a job of the pull request."""
        said, text = self.place / "said.json", self.place / "said.md"
        for path in (said, text):
            path.unlink(missing_ok=True)
        self.patch.chdir(folder)
        self.patch.setattr(output, "clock", lambda: self.now)
        self.patch.setattr(output, "environment", lambda: self.github() if environ is None else environ)
        self.capsys.readouterr()
        reports = ("--report", f"json={said}", "--report", f"markdown={text}")
        code = door.run(["check", "--static-only", *words, *reports])
        err = self.capsys.readouterr().err
        if not said.exists():
            return Said(code, err)
        return Said(code, err, json.loads(said.read_text()), text.read_text())

    def judge(self, *words: str) -> Said:
        """Judge the pull request in a fresh checkout of depth 1."""
        return self.check(self.checkout(), *words)

    def run(self, folder: Path, *words: str) -> tuple[int, str, str]:
        """Run any command in a folder."""
        self.patch.chdir(folder)
        self.patch.setattr(output, "clock", lambda: self.now)
        self.capsys.readouterr()
        code = door.run(list(words))
        heard = self.capsys.readouterr()
        return code, heard.out, heard.err


class Signer:
    """A person with an SSH key."""

    def __init__(self, place: Path, name: str) -> None:
        self.name, self.key = name, place / name.replace("@", "-")
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.key)]
        subprocess.run(words, check=True)
        self.public = Path(f"{self.key}.pub").read_text().strip()

    def allowed(self, *options: str, name: str | None = None) -> str:
        """Return the line of allowed_signers for this person."""
        kind, key, *_ = self.public.split()
        return " ".join([name or self.name, *options, kind, key]) + "\n"

    def sign(self, path: Path, namespace: str = "greengate-approval") -> bytes:
        signature = Path(f"{path}.sig")
        signature.unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.key), "-n", namespace, str(path)]
        subprocess.run(words, check=True, capture_output=True)
        return signature.read_bytes()
