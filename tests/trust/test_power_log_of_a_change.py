"""A request that brings the joules it is judged by: an external meter's log that stands in the judged commit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from repository import Repository
from test_attacks import request
from test_submodules_of_a_change import add, update
from world import HEAD, World, fake

from greengate import budget_file
from greengate.cli import output
from greengate.gate.precision import metered_by
from greengate.profiler.meters.bench import discover

BUDGET = HEAD + "  - {metric: energy_per_1k, max_increase: 5%}\nenergy: {power_log: meter.csv}\n"
MODEL = fake(more="energy: 0.9 J\nwindow_noise: 0.1%\n")
#: What the change wishes its candidate had drawn, written in advance.
FORGED = "t,watts\n" + "".join(f"{time.time() + second:.0f},1\n" for second in range(-60, 0))


@pytest.fixture
def landed(world: World) -> World:
    world.land({"budgets.yaml": BUDGET, "net.fake.yaml": MODEL, ".gitignore": "meter.csv\n"})
    return world


def judged(
    world: World, runner: Path, *words: str, environ: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Run a whole check, metering included, on the fake's counters; return its code and the one outcome."""
    world.patch.setattr(output, "environment", lambda: world.github() if environ is None else environ)
    said = world.place / "energy.json"
    code, _, err = world.run(runner, "check", *words, "--report", f"json={said}")
    assert said.exists(), err
    (rule,) = json.loads(said.read_text())["rules"]
    return code, rule


def committed(world: World, here: Path) -> None:
    del world
    here.joinpath("meter.csv").write_text(FORGED)


def behind_a_link(world: World, here: Path) -> None:
    del world
    here.joinpath("forged.csv").write_text(FORGED)
    here.joinpath("meter.csv").symlink_to("forged.csv")


def in_a_submodule(world: World, here: Path) -> None:
    own = Repository(world.place / "own")
    own.commit({"meter.csv": FORGED})
    add(world.dev, own, "sub")
    here.joinpath("meter.csv").symlink_to("sub/meter.csv")


WAYS = [committed, behind_a_link, in_a_submodule]


@pytest.mark.parametrize("change", WAYS)
def test_a_power_log_of_the_change_meters_nothing(landed: World, change: Callable[[World, Path], None]) -> None:
    def made(here: Path) -> None:
        here.joinpath(".gitignore").unlink()
        here.joinpath("net.fake.yaml").write_text(MODEL + "note: new\n")
        change(landed, here)

    request(landed, made)
    runner = landed.checkout()
    update(runner)
    code, rule = judged(landed, runner)
    assert (code, rule["status"]) == (3, "inconclusive")
    assert "meter.csv stands in the commit that is judged: a change cannot bring its own joules" in rule["reason"]
    assert "let the meter write where git does not look" in rule["help"]
    # On a laptop nobody is judged by somebody else's word.
    assert judged(landed, runner, "--against", "file:net.fake.yaml", environ={})[0] == 0


def test_a_power_log_that_the_job_writes_meters(landed: World) -> None:
    landed.propose({"net.fake.yaml": MODEL + "note: new\n"})
    runner = landed.checkout()
    (runner / "meter.csv").write_text(FORGED)
    code, rule = judged(landed, runner)
    assert (code, rule["status"]) == (0, "pass")


@pytest.mark.parametrize("name", ["meter.csv", "Meter.csv"])
def test_nothing_reads_or_stands_for_a_log_of_the_change(landed: World, name: str) -> None:
    """What the gate itself takes neither; some file systems take Meter.csv for meter.csv."""
    landed.propose({".gitignore": None, name: FORGED})
    runner = landed.checkout()
    (runner / name).rename(runner / "meter.csv")
    landed.patch.chdir(runner)
    budget = budget_file.read(Path("budgets.yaml"))
    metered, _ = discover(metered_by(budget, Path(), estimates=False))
    assert [domain.about for _, domains in metered for domain in domains if domain.kind == "system"] == [
        "external meter, meter.csv"
    ]
    metered, absent = discover(metered_by(budget, Path(), estimates=False, environ=landed.github()))
    assert not any(domain.kind == "system" for _, domains in metered for domain in domains)
    (found,) = (one for one in absent if one.kind == "system")
    assert "stands in the commit that is judged" in found.reason


def test_a_log_written_in_advance_meters_nothing_wherever_it_lies(landed: World) -> None:
    """What the job leaves unread, such as a log kept by an earlier step, is as little of this run."""
    landed.propose({"net.fake.yaml": MODEL + "note: new\n"})
    runner = landed.checkout()
    ahead = "".join(f"{time.time() + second:.0f},1\n" for second in range(-60, 600))
    (runner / "meter.csv").write_text(f"t,watts\n{ahead}")
    budget = budget_file.read(runner / "budgets.yaml")
    metered, absent = discover(metered_by(budget, runner, estimates=False, environ=landed.github()))
    assert not any(domain.kind == "system" for _, domains in metered for domain in domains)
    (found,) = (one for one in absent if one.kind == "system")
    assert "s ahead of this machine's clock" in found.reason
    assert found.help == "set the meter's clock, or `clock_offset`"
