"""A request that keeps what it is judged by in a submodule: whose commits those are, no commit of the request says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import Repository
from test_attacks import request
from world import BUDGET, World, fake

from greengate.gate.binding import BaseFiles

HUGE = fake("500 MB")
NAMED = BUDGET + "baseline: 'file:old/net.fake.yaml'\n"
ALLOWED = ("-c", "protocol.file.allow=always")


def add(repo: Repository, own: Repository, name: str) -> None:
    repo.git(*ALLOWED, "submodule", "--quiet", "add", f"file://{own.folder}", name)


def update(folder: Path) -> None:
    command = ["git", *ALLOWED, "submodule", "--quiet", "update", "--init", "--recursive"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def move(module: Path, commit: str) -> None:
    subprocess.run(["git", "fetch", "--quiet", "origin"], cwd=module, check=True)
    subprocess.run(["git", "checkout", "--quiet", commit], cwd=module, check=True)


@pytest.fixture
def own(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "own")
    made.commit({"net.fake.yaml": fake()})
    return made


# --- judged -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [(), ("--against", "file:old/net.fake.yaml")], ids=["budget", "flag"])
def test_a_submodule_that_a_change_moves_holds_no_baseline(
    world: World, own: Repository, flag: tuple[str, ...]
) -> None:
    add(world.dev, own, "old")
    world.land({"budgets.yaml": NAMED, "net.fake.yaml": fake()})
    heavier = own.commit({"net.fake.yaml": HUGE})
    world.propose({"net.fake.yaml": fake("11 MB")})
    runner = world.checkout()
    update(runner)
    assert world.check(runner, *flag).rules == {("net", "size"): ("fail", "both")}

    def change(here: Path) -> None:
        move(here / "old", heavier)
        (here / "net.fake.yaml").write_text(HUGE)

    request(world, change)
    runner = world.checkout()
    update(runner)
    said = world.check(runner, *flag)
    assert (said.code, "error[baseline-missing]" in said.err) == (2, True), said.err
    assert "a submodule that it adds or moves, is no baseline" in said.err


@pytest.mark.parametrize("name", ["old", "Old"])
def test_a_submodule_that_a_change_adds_is_not_what_the_job_put_there(world: World, own: Repository, name: str) -> None:
    """The job fetches the old model to a folder that git does not know; on some file systems Old is that folder too."""
    world.land({"budgets.yaml": NAMED, "net.fake.yaml": fake()})
    own.commit({"net.fake.yaml": HUGE})

    def change(here: Path) -> None:
        add(world.dev, own, name)
        (here / "net.fake.yaml").write_text(HUGE)

    request(world, change)
    runner = world.checkout()
    update(runner)
    (runner / name).rename(runner / "old")
    said = world.check(runner)
    assert (said.code, "error[baseline-missing]" in said.err) == (2, True), said.err


# --- and looked for ---------------------------------------------------------------------------------------------------


class Holding:
    """A repository with a submodule `data`, a base commit that has it, and what is asked of the base."""

    def __init__(self, place: Path, own: Repository) -> None:
        self.place, self.own = place, own
        self.first = own.commit({"val.npz": "base", "deep/val.npz": "deep"})
        self.second = own.commit({"val.npz": "easy", "deep/val.npz": "easy"})
        self.repo = Repository(place / "repo")
        add(self.repo, own, "data")
        self.module = self.repo.folder / "data"
        move(self.module, self.first)
        self.base = self.repo.commit({"note": "x"})

    def at(self, rest: str) -> Path:
        scratch = self.place / "scratch"
        scratch.mkdir(exist_ok=True)
        return BaseFiles(self.repo.folder, self.base, self.repo.folder, scratch).at(rest)


@pytest.fixture
def holding(tmp_path: Path, own: Repository) -> Holding:
    return Holding(tmp_path, own)


def test_a_submodule_that_nobody_touched_is_as_the_target_branch_has_it(holding: Holding) -> None:
    holding.repo.commit({"note": "y"})
    assert holding.at("data/val.npz").read_text() == "base"
    assert holding.at("data").joinpath("deep/val.npz").read_text() == "deep"
    (holding.module / "fetched.npz").write_text("mine")  # by the job, and unknown to git
    assert holding.at("data/fetched.npz").read_text() == "mine"


def moved(holding: Holding) -> None:
    move(holding.module, holding.second)
    holding.repo.commit()


def checked_out_otherwise(holding: Holding) -> None:
    move(holding.module, holding.second)


def altered(holding: Holding) -> None:
    (holding.module / "val.npz").write_text("easy")


def not_checked_out(holding: Holding) -> None:
    holding.repo.git("submodule", "--quiet", "deinit", "--force", "data")
    holding.repo.write("data/val.npz", "easy")


def a_folder_instead(holding: Holding) -> None:
    holding.repo.git("rm", "--quiet", "--cached", "data")
    (holding.module / ".git").unlink()
    holding.repo.commit()


def gone_from_the_change(holding: Holding) -> None:
    holding.repo.git("rm", "--quiet", "--cached", "data")
    holding.repo.git("commit", "--quiet", "-m", "gone")


def a_link_instead(holding: Holding) -> None:
    holding.module.rename(holding.repo.folder / "other")
    holding.module.symlink_to("other")
    move(holding.module, holding.first)


def renamed_by_capitals(holding: Holding) -> None:
    """As where Data and data are one folder, and the change's submodule is taken for the target's."""
    holding.repo.git("rm", "--quiet", "--cached", "data")
    (holding.module / ".git").unlink()
    add(holding.repo, holding.own, "Data")
    holding.repo.git("commit", "--quiet", "-m", "capitals")


@pytest.mark.parametrize(
    "change",
    [
        *(moved, checked_out_otherwise, altered, not_checked_out, a_folder_instead),
        *(gone_from_the_change, a_link_instead, renamed_by_capitals),
    ],
)
@pytest.mark.parametrize("rest", ["data/val.npz", "data"])
def test_no_other_content_of_a_submodule_is_the_target_branchs(
    holding: Holding, change: Callable[[Holding], None], rest: str
) -> None:
    change(holding)
    assert (holding.module / "val.npz").exists()
    assert not holding.at(rest).exists()


def test_a_link_in_a_submodule_does_not_lead_to_what_the_change_wrote(tmp_path: Path, own: Repository) -> None:
    (own.folder / "out.npz").symlink_to("../val.npz")
    holding = Holding(tmp_path, own)
    holding.repo.commit({"val.npz": "easy"})
    assert not holding.at("data/out.npz").exists()
    holding.base = holding.repo.commit({"val.npz": "easy"})
    holding.repo.commit({"val.npz": "easier"})
    assert holding.at("data/out.npz").read_text() == "easy"


def test_a_submodule_of_a_submodule_is_looked_at_too(tmp_path: Path, own: Repository) -> None:
    inner = Repository(tmp_path / "inner")
    first, second = inner.commit({"val.npz": "base"}), inner.commit({"val.npz": "easy"})
    add(own, inner, "inner")
    move(own.folder / "inner", first)
    holding = Holding(tmp_path, own)
    update(holding.repo.folder)
    assert holding.at("data/inner/val.npz").read_text() == "base"
    move(holding.module / "inner", second)
    assert not holding.at("data/inner/val.npz").exists()
