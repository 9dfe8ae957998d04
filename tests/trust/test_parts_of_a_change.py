"""A matrix of a request whose change brings numbers where its parts write theirs; the action's script, run as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import ROOT
from repository import Repository
from test_attacks import BIG, request
from world import BUDGET, World, fake

PLAN = json.dumps({"include": [{"part": "hosted-1", "models": ["net"], "runs-on": ["x"]}]})
PART = ".greengate/parts/hosted-1"


def action(world: World, folder: Path, **more: str) -> dict[str, str]:
    """Run the action's check in a checkout of the request and return its outputs."""
    outputs = world.place / "outputs"
    outputs.write_text("")
    given = {
        **{"BUDGETS": "budgets.yaml", "MODELS": "", "AGAINST": "", "PART": "", "PLAN": PLAN, "PROFILES": ""},
        **{"SKIP_UNCHANGED": "false", "MAX_SECONDS": "60", "FAIL_ON": "inconclusive", "COMMENT": "never"},
        **{"REPORT_DIR": "greengate-report", "PYTHON": sys.executable, **more},
    }
    summary = str(world.place / "summary")
    environ = {name: text for name, text in os.environ.items() if not name.startswith("GREENGATE_")}
    environ |= {f"GREENGATE_{name}": text for name, text in given.items()} | world.github()
    environ |= {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": summary, "PYTHONPATH": str(ROOT)}
    script = ["bash", str(ROOT / "greengate/ci/action/check.sh")]
    subprocess.run(script, cwd=folder, env=environ, check=True, capture_output=True)
    return dict(line.split("=", 1) for line in outputs.read_text().splitlines())


@pytest.fixture
def landed(world: World) -> World:
    world.land({"budgets.yaml": BUDGET, "net.fake.yaml": fake()})
    return world


def below(here: Path, text: str) -> None:
    (here / PART / "A").mkdir(parents=True)
    (here / PART / "A/0.json").write_text(text)


def named_like_a_file(here: Path, text: str) -> None:
    (here / PART / "net.json").mkdir(parents=True)
    (here / PART / "net.json/0.json").write_text(text)


def linked(here: Path, text: str) -> None:
    (here / "own").mkdir()
    (here / "own/0.json").write_text(text)
    (here / PART).parent.mkdir(parents=True)
    (here / PART).symlink_to("../../own")


def in_the_report(here: Path, text: str) -> None:
    (here / "greengate-report/parts/hosted-1").mkdir(parents=True)
    (here / "greengate-report/parts/hosted-1/0.json").write_text(text)


@pytest.mark.parametrize("how", [below, named_like_a_file, linked, in_the_report])
def test_a_part_hands_on_what_it_measured_and_nothing_else(landed: World, how: Callable[[Path, str], None]) -> None:
    def change(here: Path) -> None:
        (here / "net.fake.yaml").write_text(BIG)
        how(here, "{}")

    request(landed, change)
    runner = landed.checkout()
    assert action(landed, runner, PART="hosted-1")["outcome"] == "fail"
    (file,) = (runner / "greengate-report/parts").rglob("*.json")
    assert str(file.relative_to(runner)) == "greengate-report/parts/hosted-1/net.json"
    assert json.loads(file.read_text())["candidate"]["model"]["name"] == "net"


def test_a_part_with_nothing_to_measure_hands_nothing_on(landed: World) -> None:
    request(landed, lambda here: in_the_report(here, "{}"))
    runner = landed.checkout()
    assert action(landed, runner, PART="hosted-7")["exit-code"] == "0"
    assert not (runner / "greengate-report/parts").exists()


@pytest.mark.parametrize("name", [".greengate", ".greengate/parts"])
def test_a_part_is_not_written_or_emptied_through_a_link_of_the_change(landed: World, name: str) -> None:
    kept = [landed.place / "elsewhere" / folder / "kept.json" for folder in ("hosted-1", "parts/hosted-1")]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("{}")

    def change(here: Path) -> None:
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).symlink_to(landed.place / "elsewhere")

    request(landed, change)
    said = landed.check(landed.checkout(), "--part", "hosted-1")
    assert (said.code, f"{name} is a symbolic link" in said.err) == (2, True), said.err
    assert all(path.exists() for path in kept)


def test_more_files_of_a_model_than_parts_that_measure_it_are_not_judged(landed: World) -> None:
    """Whichever of them comes first by its path would be believed."""
    landed.propose({"net.fake.yaml": BIG})
    runner = landed.checkout()
    assert landed.check(runner, "--part", "hosted-1").code == 1
    plan = landed.place / "plan.json"
    plan.write_text(PLAN)
    place = landed.place / "fetched"
    shutil.copytree(runner / PART, place / "hosted-1")
    words = ("--profile", str(place), "--plan", str(plan))
    assert landed.check(runner, *words).code == 1
    shutil.copy(place / "hosted-1/net.json", place / "a.json")
    said = landed.check(runner, *words)
    assert (said.code, "error[profile-mismatch]" in said.err) == (2, True), said.err
    assert "tell of 'net', which the plan has measured by 'hosted-1'" in said.err


# --- models that are named --------------------------------------------------------------------------------------------

DECOY = "decoy.fake.yaml"
POINTED = {"budgets.yaml": BUDGET.replace("net.fake.yaml", DECOY), DECOY: fake("9 MB"), "net.fake.yaml": BIG}
RENAMED = {"budgets.yaml": BUDGET.replace("name: net, path: net", "name: new, path: decoy"), DECOY: BIG}


@pytest.mark.parametrize(
    ("change", "word", "models"),
    [
        (POINTED, "net", {"net", "net@base"}),
        (POINTED, DECOY, {"net", "net@base"}),
        (POINTED, "net.fake.yaml", {"net", "net@base"}),
        (POINTED, "net@base", {"net@base"}),
        (RENAMED, "new", {"new", "new@net"}),
        (RENAMED, "net", {"net", "new@net"}),
    ],
)
def test_a_name_leaves_out_nothing_that_is_judged_as_it(
    landed: World, change: dict[str, str | bytes | None], word: str, models: set[str]
) -> None:
    landed.propose(change)
    said = landed.judge(word)
    assert {model for model, _ in said.rules} == models
    assert said.code == 1


def test_a_path_selects_every_model_there(landed: World) -> None:
    landed.propose({"budgets.yaml": BUDGET.replace("rules:", "  - {name: twin, path: net.fake.yaml}\nrules:")})
    assert {model for model, _ in landed.judge("net.fake.yaml").rules} == {"net", "twin"}


# --- a budget of the target branch that is there, and cannot be read --------------------------------------------------


def submodule(here: Path, own: Path) -> None:
    command = ["git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{own}", "policy"]
    subprocess.run(command, cwd=here, check=True, capture_output=True)
    (here / "budgets.yaml").symlink_to("policy/budgets.yaml")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (None, "lies in a submodule"),
        ("../elsewhere.yaml", "leaves the repository"),
        ("/etc/budgets.yaml", "leaves the repository"),
        ("budgets.yaml", "runs in circles"),
        ("gone.yaml", "is a symbolic link to what is not there"),
    ],
)
def test_a_budget_that_the_target_branch_links_out_of_reach_stops_a_request(
    world: World, tmp_path: Path, target: str | None, why: str
) -> None:
    world.land({"net.fake.yaml": fake()})
    if target is None:
        own = Repository(tmp_path / "own")
        own.commit({"budgets.yaml": BUDGET})
        submodule(world.dev.folder, own.folder)
    else:
        (world.dev.folder / "budgets.yaml").symlink_to(target)
    world.land({})

    def change(here: Path) -> None:
        (here / "budgets.yaml").unlink()
        (here / "budgets.yaml").write_text(BUDGET.replace("5%", "900%"))
        (here / "net.fake.yaml").write_text(BIG)

    request(world, change)
    said = world.judge()
    assert (said.code, "error[policy-unreadable]" in said.err) == (2, True), said.err
    assert why in said.err


def test_a_first_budget_in_a_folder_that_the_target_branch_links_to_is_new(world: World) -> None:
    (world.dev.folder / "policy").symlink_to("real")
    world.land({"net.fake.yaml": fake(), "real/note.md": "none yet\n"})
    world.propose({"real/budgets.yaml": BUDGET.replace("path: net", "path: ../net")})
    said = world.check(world.checkout(), "-b", "policy/budgets.yaml", "--against", "none")
    assert said.policy["bootstrap"]
