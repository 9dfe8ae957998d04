"""`greengate check --record` and `greengate history` from outside, in a folder and on a branch."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from repository import Repository

from greengate.cli import door, output

NET = "fake: 1\nsize: 10 MB\nparams: 2 M\nmacs: 300 MMAC\nactivation_memory: 4 MB\nlatency: 10 ms\n"


@pytest.fixture(params=["", "baseline: git:greengate-baselines\n"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = Repository(tmp_path / "repo")
    monkeypatch.chdir(repo.folder)
    monkeypatch.setattr(output, "environment", dict)
    budget = "version: 1\nmodels: [{name: net, path: net.fake.yaml}]\nrules: [{metric: size, max: 12 MB}]\n"
    repo.commit({"net.fake.yaml": NET, "budgets.yaml": budget + request.param})
    if request.param:
        assert run("baseline", "accept", "--max-seconds", "3", "--reason", "first") == 0
    return repo.folder


def run(*arguments: str) -> int:
    return door.run(list(arguments))


def test_verdicts_are_recorded_and_drawn(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("history", "net", "--verdicts") == 2
    assert "record them with `greengate check --record`" in capsys.readouterr().err
    for day, size in enumerate((10, 10, 11, 13), 1):
        now = datetime.datetime(2026, 11, day, tzinfo=datetime.UTC)
        monkeypatch.setattr(output, "clock", lambda now=now: now)
        (here / "net.fake.yaml").write_text(NET.replace("10 MB", f"{size} MB"))
        assert run("check", "--static-only", "--record") == (0 if size <= 12 else 1)
        assert "recorded net in" in capsys.readouterr().err
    assert run("history", "net", "--verdicts", "--metric", "size") == 0
    said = capsys.readouterr().out
    assert "net: verdicts" in said
    assert "4 points" in said
    assert "10.0 MB to 13.0 MB" in said
    assert "+30.0 %" in said


def test_versions_are_drawn_as_markdown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("baseline", "accept", "--max-seconds", "3", "--reason", "one more") == 0
    capsys.readouterr()
    assert run("history", "net", "--format", "markdown") == 0
    said = capsys.readouterr().out
    assert said.startswith("### net: accepted versions\n")
    assert "| Size | " in said


@pytest.mark.parametrize("arguments", [("other",), ("net", "--metric", "speed"), ("other", "--verdicts")])
def test_what_is_not_there_cannot_be_drawn(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run("history", *arguments) == 2
    assert "  = help: " in capsys.readouterr().err


def test_a_part_is_not_recorded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--part", "cpu", "--record") == 2
    assert "--record belongs to the job that judges every part" in capsys.readouterr().err
