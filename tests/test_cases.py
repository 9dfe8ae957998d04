"""Every folder of tests/cases is a story: a budget, models whose costs are written down, and what greengate says.

A story holds budgets.yaml, candidates (*.fake.yaml), optionally baseline.json (a profile) or baseline.fake.yaml, `args`
(default: check against the baseline at hand) and `environ` (KEY=VALUE lines); and what is expected: exit, expected.md,
expected.json, expected.err. `make bless` rewrites the expectations.

A story with a folder `target` is a change: that folder is what branch main has, and the story's files are put over it.
"""

from __future__ import annotations

import datetime
import json
import shlex
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from repository import Repository

from greengate.cli import door, output
from greengate.gate import cost

CASES = Path(__file__).parent / "cases"
STORIES = sorted(path.parent for path in CASES.glob("*/budgets.yaml"))
NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)


def arguments(story: Path) -> list[str]:
    if (story / "args").exists():
        return shlex.split((story / "args").read_text())
    for name, scheme in (("baseline.json", "profile"), ("baseline.fake.yaml", "file")):
        if (story / name).exists():
            return ["check", "--against", f"{scheme}:{name}"]
    return ["check"]


def environ(story: Path) -> dict[str, str]:
    lines = (story / "environ").read_text().splitlines() if (story / "environ").exists() else []
    return dict(line.split("=", 1) for line in lines)


def proposed(story: Path, here: Path) -> None:
    """Copy a story; where it is a change, put it over a branch main with what the target has."""
    if (story / "target").is_dir():
        shutil.copytree(story / "target", here)
        Repository(here).commit()
    shutil.copytree(story, here, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target"))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], int]:
    """Run a story in a copy of its folder, under a fixed clock, its own cost not told; return the exit code."""

    def run(story: Path) -> int:
        here = tmp_path / story.name
        proposed(story, here)
        monkeypatch.chdir(here)
        monkeypatch.setattr(output, "clock", lambda: NOW)
        monkeypatch.setattr(output, "environment", lambda: environ(story))
        monkeypatch.setattr(cost, "watched", lambda *_: nullcontext(lambda: None))
        asked = arguments(story)
        if asked[0] == "check":
            asked += ["--report", "markdown=said.md", "--report", "json=said.json"]
        return door.run(asked)

    return run


def test_there_are_stories() -> None:
    assert len(STORIES) >= 130


def readable(verdict: str) -> str:
    """Return a verdict's JSON without what it was judged on, which the tests of verdict_file cover."""
    raw = json.loads(verdict)
    raw["case"] = {key: raw["case"][key] for key in ("policy", "context", "today")}
    return json.dumps(raw, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.name)
def test_story(
    story: Path,
    told: Callable[[Path], int],
    golden: Callable[[Path, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = told(story)
    heard = capsys.readouterr().err
    golden(story / "exit", str(code))
    for said, expected in (("said.md", "expected.md"), ("said.json", "expected.json")):
        if Path(said).exists():
            golden(story / expected, Path(said).read_text() if said == "said.md" else readable(Path(said).read_text()))
        else:
            assert not (story / expected).exists(), f"{expected} is expected, nothing was said"
    if heard or (story / "expected.err").exists():
        golden(story / "expected.err", heard)


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.name)
def test_a_story_leaves_nothing_half_written(story: Path, told: Callable[[Path], int]) -> None:
    before = {path.name for folder in (story, story / "target") if folder.is_dir() for path in folder.iterdir()}
    told(story)
    after = {path.name for path in Path.cwd().iterdir()}
    assert after - before <= {"said.md", "said.json", ".greengate", ".git"}
