"""`greengate baseline` from outside: what may be accepted, and what is read back, in a folder and on a branch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import Repository

from greengate.cli import door, output

GOLDEN = Path(__file__).parent / "golden"
NET = "fake: 1\nsize: 10 MB\nparams: 2 M\nmacs: 300 MMAC\nactivation_memory: 4 MB\nlatency: 10 ms\nnoise: 1%\n"
BUDGET = """version: 1
models:
  - {name: net, path: net.fake.yaml}
rules:
  - {metric: size, max: 12 MB}
"""


@pytest.fixture(params=["dir:.greengate/baselines", "git:greengate-baselines"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with one model and a budget that names a store."""
    repo = Repository(tmp_path / "repo")
    monkeypatch.chdir(repo.folder)
    monkeypatch.setattr(output, "environment", dict)
    repo.commit({"net.fake.yaml": NET, "budgets.yaml": f"{BUDGET}baseline: {request.param}\n"})
    return repo.folder


def run(*arguments: str) -> int:
    return door.run(list(arguments))


def size(here: Path, megabytes: int) -> None:
    (here / "net.fake.yaml").write_text(NET.replace("10 MB", f"{megabytes} MB"))


def accept(*more: str) -> int:
    return run("baseline", "accept", "--max-seconds", "3", *more)


def first(here: Path) -> None:
    """Accept version 1, so that the store exists."""
    assert accept("--reason", "first") == 0


def test_a_passing_verdict_is_reason_enough(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(here)
    size(here, 11)
    assert run("check", "--static-only") == 0
    assert accept() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "accepted net version 2 for fake CPU"
    assert run("baseline", "show", "net") == 0
    said = capsys.readouterr().out
    assert "  verdict   passed" in said
    assert "  reason    passed the budget sha256:" in said


def test_without_a_verdict_there_must_be_a_reason(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert accept() == 2
    assert "nothing speaks for net as a baseline: there is no verdict yet" in capsys.readouterr().err
    assert run("baseline", "list") == 0
    assert "no baseline is stored yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda here: size(here, 13), "its last verdict is FAIL"),
        (
            lambda here: (here / "budgets.yaml").write_text((here / "budgets.yaml").read_text() + "# x\n"),
            "another budget",
        ),
        (None, "judged another file than the one measured now"),
    ],
)
def test_a_verdict_about_something_else_is_no_reason(
    here: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object] | None, why: str
) -> None:
    first(here)
    if change is None:
        assert run("check", "--static-only") == 0
        size(here, 11)
    elif "FAIL" in why:
        change(here)
        assert run("check", "--static-only") == 1
    else:
        assert run("check", "--static-only") == 0
        change(here)
    assert accept() == 2
    assert why in capsys.readouterr().err
    assert accept("--reason", "all the same") == 0
    mark = ", over its budget" if "FAIL" in why else ", not judged"
    assert f"accepted net version 2 for fake CPU{mark}" in capsys.readouterr().out


def test_a_verdict_under_another_shared_policy_is_no_reason(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def share(limit: str) -> None:
        (here / "org.yaml").write_text(f"version: 1\nrules:\n  - {{id: org, metric: params, max: {limit}}}\n")

    first(here)
    budget = here / "budgets.yaml"
    budget.write_text(budget.read_text() + "extends: org.yaml\n")
    share("9 M")
    assert run("check", "--static-only") == 0
    share("1 M")
    assert accept() == 2
    assert "the last verdict judged another budget" in capsys.readouterr().err
    assert accept("--reason", "all the same") == 0
    assert capsys.readouterr().out.endswith("accepted net version 2 for fake CPU, not judged\n")
    share("9 M")
    assert accept() == 0
    assert capsys.readouterr().out.endswith("accepted net version 3 for fake CPU\n")


def test_versions_are_listed_compared_and_brought_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(here)
    size(here, 11)
    assert accept("--reason", "larger head") == 0
    assert run("baseline", "diff", "net", "1", "2") == 0
    said = capsys.readouterr().out
    assert "net version 1, accepted" in said
    assert "larger head" in said
    assert "Bytes" in said or "Size" in said or "size" in said
    assert run("baseline", "rollback", "net", "--reason", "version 2 was a mistake") == 0
    assert "accepted net version 3 for fake CPU: version 1 again" in capsys.readouterr().out
    assert run("baseline", "show", "net") == 0
    assert "net version 3 (version 1 again)" in capsys.readouterr().out
    assert run("baseline", "rollback", "net", "2") == 0
    assert run("baseline", "list") == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[1] for row in rows[-4:]] == ["1", "2", "3", "4"]
    assert rows[-1].endswith("rolled back from version 3 to 2")
    assert run("baseline", "verify") == 0
    assert "4 versions, chain intact, seal sha256:" in capsys.readouterr().out


def test_what_is_brought_back_is_what_the_next_check_compares_with(here: Path) -> None:
    first(here)
    size(here, 11)
    assert accept("--reason", "larger head") == 0
    assert run("baseline", "rollback", "net") == 0
    size(here, 10)
    assert run("check", "--static-only", "--report", "json=said.json") == 0
    (model,) = json.loads(Path("said.json").read_text())["case"]["models"]
    assert model["baseline"]["version"] == 3
    assert model["comparisons"]["size"]["change"]["value"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "net", "9"),
        ("show", "net", "x"),
        ("show", "other"),
        ("diff", "net", "1", "9"),
        ("rollback", "net"),
        ("rollback", "net", "9"),
        ("rollback", "other"),
        ("verify", "other"),
        ("verify", "--seal", "sha256:0"),
        ("list", "--store", "file:x"),
        ("list", "--store", "git:-x"),
        ("show", "net", "ffff/1"),
    ],
)
def test_what_is_not_there_cannot_be_read(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    first(here)
    assert run("baseline", *arguments) == 2
    assert "  = help: " in capsys.readouterr().err


def test_another_store_can_be_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for uri in ("dir:elsewhere", "git:elsewhere"):
        assert accept("--reason", "there", "--store", uri) == 0
        capsys.readouterr()
        assert run("baseline", "list", "--store", uri) == 0
        assert len(capsys.readouterr().out.splitlines()) == 2
    assert run("baseline", "list") == 0
    assert "no baseline is stored yet" in capsys.readouterr().out


def test_a_version_that_a_later_release_wrote_says_to_update(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(here)
    branch = "git:" in (here / "budgets.yaml").read_text()
    repo = Repository(here)
    if branch:
        repo.git("checkout", "--quiet", "greengate-baselines")
    path = next(path for path in here.rglob("0001.json"))
    path.write_text(path.read_text().replace("greengate.baseline/1", "greengate.baseline/2"))
    if branch:
        repo.commit()
        repo.git("checkout", "--quiet", "main")
    assert run("baseline", "show", "net") == 2
    assert "a later greengate wrote it: update this one, which reads greengate.baseline/1" in capsys.readouterr().err


def test_the_refusal_as_printed(
    here: Path, capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None]
) -> None:
    assert accept() == 2
    golden(GOLDEN / "not-accepted.txt", capsys.readouterr().err)
