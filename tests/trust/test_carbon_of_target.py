"""What trainings cost is judged by the target branch's records, intensity and budget for a period, too."""

from __future__ import annotations

import datetime
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
from world import BUDGET, HEAD, World, fake

from greengate import budget_file
from greengate.carbon import record
from greengate.gate.binding import bind

sys.path.insert(0, str(Path(__file__).parents[1] / "carbon"))
from test_ledger import CSV, GOOD

PERIOD = ("period 2026-Q4", "carbon_budget")
CARBON = BUDGET + "carbon_budget: {max: 20 kg, period: 2026-Q4, records: [training/*.json, training/*.csv]}\n"
MODEL = fake("10 MB")


def text(kilograms: float | None, seconds: float = 60.0) -> str:
    joules = 7.2e7 if kilograms and kilograms > 20 else 7.2e6  # what a grid makes that much of
    drawn = (replace(GOOD.domains[0], joules=joules),)
    return record.dump(replace(GOOD, kilograms=kilograms, seconds=seconds, joules=joules, domains=drawn))


@pytest.fixture
def landed(world: World) -> World:
    csv = f"{CSV}2026-11-01T10:00:00,run1,60,1.0,2.0\n"
    world.land({"budgets.yaml": CARBON, "net.fake.yaml": MODEL, "training/a.json": text(15.0), "training/e.csv": csv})
    return world


def test_a_change_that_adds_a_record_within_the_budget_passes(landed: World) -> None:
    landed.propose({"training/b.json": text(2.0)})
    said = landed.judge()
    assert said.rules[PERIOD] == ("inconclusive", "both"), "a run of codecarbon is an estimate"
    allowed = CARBON.replace("records:", "allow_estimated: true, records:")
    landed.land({"budgets.yaml": allowed})
    landed.propose({"training/b.json": text(2.0)})
    said = landed.judge()
    assert said.rules[PERIOD] == ("pass", "both")
    assert "1 training estimated, \u2248 1.00 kg" in said.markdown
    assert "\u2248 2.00 kg left" in said.markdown


@pytest.mark.parametrize(
    "softer",
    [
        {"budgets.yaml": CARBON.replace("20 kg", "200 kg")},
        {"budgets.yaml": BUDGET},
        {"budgets.yaml": CARBON.replace("2026-Q4", "2027-Q4")},
        {"budgets.yaml": CARBON.replace("training/*.json", "nothing/*.json")},
        {"training/a.json": None},
        {"training/a.json": text(0.001)},
        {"training/b.json": None, "training/c.json": text(6.0), "budgets.yaml": CARBON + "on_inconclusive: warn\n"},
    ],
    ids=["loosened", "removed", "another-period", "other-records", "record-deleted", "record-altered", "renamed"],
)
def test_nothing_the_change_writes_makes_room(landed: World, softer: dict[str, str | bytes | None]) -> None:
    landed.land({"training/b.json": text(6.0)})
    landed.propose(softer)
    said = landed.judge()
    assert said.code == 1
    status, under = said.rules[PERIOD]
    assert status == "fail"
    if "budgets.yaml" in softer:
        expected = "base" if softer["budgets.yaml"] != CARBON + "on_inconclusive: warn\n" else "both"
        assert under == expected
        if expected == "base":
            assert any("carbon_budget" in notice for notice in said.notices)


def test_a_budget_that_moves_to_another_folder_leaves_no_carbon_budget_behind(landed: World) -> None:
    landed.land({"training/b.json": text(6.0)})
    own = BUDGET.replace("net.fake.yaml", "../net.fake.yaml")
    landed.propose({"budgets.yaml": None, "ci/budgets.yaml": own})
    said = landed.check(landed.checkout(), "-b", "ci/budgets.yaml")
    assert (said.code, said.rules[PERIOD]) == (1, ("fail", "base"))


def test_a_run_of_codecarbon_cannot_be_made_smaller(landed: World) -> None:
    allowed = CARBON.replace("records:", "allow_estimated: true, records:")
    landed.land({"budgets.yaml": allowed, "training/e.csv": f"{CSV}2026-11-01T10:00:00,run1,60,6.0,2.0\n"})
    landed.propose({"training/e.csv": f"{CSV}2026-11-01T10:00:00,run1,60,0.1,2.0\n"})
    assert landed.judge().rules[PERIOD] == ("fail", "both")


@pytest.mark.parametrize("row", ["2027-11-01T10:00:00,run1,60", "2026-11-01T10:00:00,run1,99999999"])
@pytest.mark.parametrize("shared", [False, True], ids=["own", "locked"])
def test_a_run_of_codecarbon_cannot_be_moved_out_of_the_period(world: World, row: str, shared: bool) -> None:
    """A little more of it, on another day: by its moment, or by how long it took."""
    allowed = "carbon_budget: {max: 20 kg, period: 2026-Q4, allow_estimated: true, records: [training/*.csv]}\n"
    lock = "version: 1\n" + allowed.replace("allow", "locked: true, allow")
    own = EXTENDING if shared else BUDGET + allowed
    world.land(
        {
            **{"budgets.yaml": own, "net.fake.yaml": MODEL, "policy/org.yaml": lock},
            "training/e.csv": f"{CSV}2026-11-01T10:00:00,run1,60,25.0,2.0\n",
        }
    )
    world.propose({"training/e.csv": f"{CSV}{row},25.1,2.0\n"})
    said = world.judge()
    assert (said.code, said.rules[PERIOD]) == (1, ("fail", "both"))


def test_a_record_in_git_lfs_that_the_change_deletes_is_not_forgotten(landed: World) -> None:
    """Its content is not here, nor to be had: what it emitted is not known."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 600\n"
    landed.land({"training/b.json": pointer})
    landed.propose({"training/b.json": None})
    said = landed.judge()
    assert (said.code, said.rules[PERIOD]) == (3, ("inconclusive", "both"))
    assert "training/b.json is kept in Git LFS and was not downloaded" in said.reason("carbon_budget", PERIOD[0])


def test_records_in_a_linked_folder_are_judged_as_the_target_has_them(landed: World) -> None:
    linked = CARBON.replace("training/*.json", "linked/*.json")
    (landed.dev.folder / "linked").symlink_to("training")
    landed.land({"budgets.yaml": linked, "training/b.json": text(6.0)})
    landed.propose({"training/b.json": None, "training/c.json": text(1.0)})
    assert landed.judge().rules[PERIOD] == ("fail", "both")


def test_a_period_that_is_over_waits_for_the_next_which_a_change_can_write(landed: World) -> None:
    landed.land({"training/e.csv": None})
    landed.now = datetime.datetime(2027, 1, 1, 0, 5, tzinfo=datetime.UTC)
    landed.propose({"training/b.json": text(2.0)})
    said = landed.judge()
    assert (said.code, said.rules) == (3, {("net", "size"): ANY, PERIOD: ("inconclusive", "both")})
    assert "is over" in said.reason("carbon_budget", PERIOD[0])
    new = replace(GOOD, started="2027-01-01T00:01:00+00:00", kilograms=6.0)
    following = CARBON.replace("2026-Q4", "2027-Q1").replace("20 kg", "200 kg")
    landed.propose({"budgets.yaml": following, "training/new.json": record.dump(new)})
    said = landed.judge()
    assert said.rules["period 2027-Q1", "carbon_budget"] == ("pass", "both")
    assert ("period 2026-Q4", "carbon_budget") not in said.rules
    assert "2027-Q1, at most 20 kg CO2e: 1 training measured, 6.00 kg; 14.0 kg left" in said.markdown


@pytest.mark.parametrize(("period", "follows"), [("2027-01", False), ("2027", True), ("2027-Q2", False)])
def test_what_a_quarter_was_allowed_is_not_what_a_month_is(landed: World, period: str, *, follows: bool) -> None:
    landed.land({"training/e.csv": None})
    landed.now = datetime.datetime(2027, 1, 20, tzinfo=datetime.UTC)
    new = replace(GOOD, started="2027-01-10T00:00:00+00:00", kilograms=6.0)
    landed.propose({"budgets.yaml": CARBON.replace("2026-Q4", f'"{period}"'), "training/new.json": record.dump(new)})
    rules = landed.judge().rules
    if follows:
        assert rules[f"period {period}", "carbon_budget"] == ("pass", "both")
    else:
        assert rules[PERIOD] == ("inconclusive", "base")
        assert rules[f"period {period}", "carbon_budget"] == ("pass", "head")


def test_a_damaged_record_of_the_change_cannot_start(landed: World) -> None:
    landed.propose({"training/b.json": "{}"})
    said = landed.judge()
    assert said.code == 2
    assert "training/b.json is no training record" in said.err


TRAINED = HEAD.replace("path: net.fake.yaml}", "path: net.fake.yaml, training: net.json}") + (
    "  - {metric: training_co2e, max: 1 kg}\n"
)


def test_another_record_named_by_the_change_does_not_count(world: World) -> None:
    world.land({"budgets.yaml": TRAINED, "net.fake.yaml": MODEL, "net.json": text(2.0)})
    world.propose({"budgets.yaml": TRAINED.replace("net.json", "small.json"), "small.json": text(0.1)})
    said = world.judge()
    assert said.rules["net", "training_co2e"] == ("fail", "both")
    assert said.notices == ["the change alters `training` of the model 'net'; the target branch's binds"]
    world.propose({"budgets.yaml": TRAINED.replace(", training: net.json", "")})
    assert world.judge().rules["net", "training_co2e"][0] == "fail"


def test_the_record_of_a_model_trained_again_is_the_changes(world: World) -> None:
    world.land({"budgets.yaml": TRAINED, "net.fake.yaml": MODEL, "net.json": text(2.0)})
    world.propose({"net.json": text(0.5)})
    assert world.judge().rules["net", "training_co2e"] == ("pass", "both")


def test_a_record_is_new_where_the_target_names_none(world: World) -> None:
    world.land({"budgets.yaml": TRAINED.replace(", training: net.json", ""), "net.fake.yaml": MODEL})
    world.propose({"budgets.yaml": TRAINED, "net.json": text(0.5)})
    assert world.judge().rules["net", "training_co2e"] == ("pass", "both")


def test_a_budget_that_moved_still_finds_its_record(world: World) -> None:
    world.land({"old/budgets.yaml": TRAINED, "old/net.fake.yaml": MODEL, "old/net.json": text(2.0)})
    moved = TRAINED.replace("net.fake.yaml", "old/net.fake.yaml").replace("net.json", "small.json")
    world.propose({"old/budgets.yaml": None, "budgets.yaml": moved, "small.json": text(0.1)})
    assert world.judge().rules["net", "training_co2e"][0] == "fail"


GRID = "carbon: {{intensity: {grams} g/kWh, source: made up, year: 2025}}\n"


def test_the_targets_intensity_makes_emissions_of_joules(world: World) -> None:
    world.land({"budgets.yaml": TRAINED + GRID.format(grams=600), "net.fake.yaml": MODEL, "net.json": text(None)})
    world.propose({"budgets.yaml": TRAINED + GRID.format(grams=1)})  # 2 kWh
    said = world.judge()
    assert said.rules["net", "training_co2e"] == ("fail", "both")
    assert "the change alters `carbon`; the target branch's binds" in said.notices


def test_power_log_intensity_and_record_bind_from_the_target() -> None:
    def read(more: str, training: str) -> object:
        written = TRAINED.replace("net.json", training) + more
        return budget_file.parse(written, "budgets.yaml")

    meter = "energy: {{power_log: {name}.csv, clock_offset: {offset}}}\n"
    base = read(GRID.format(grams=600) + meter.format(name="wall", offset="0 s"), "net.json")
    head = read(GRID.format(grams=1) + meter.format(name="mine", offset="3 s"), "small.json")
    bound = bind(head, base)  # type: ignore[arg-type]
    assert bound.power_log == base.power_log  # type: ignore[attr-defined]
    assert bound.carbon == base.carbon  # type: ignore[attr-defined]
    assert [model.training for model in bound.models] == ["net.json"]
    assert bind(head, None) is head  # type: ignore[arg-type]


ORG = "version: 1\ncarbon_budget: {max: 20 kg, period: 2026-Q4, locked: true, records: [training/*.json]}\n"
EXTENDING = BUDGET.replace("version: 1\n", "version: 1\nextends: policy/org.yaml\n")


@pytest.mark.parametrize(
    ("softer", "under"),
    [
        ({"policy/org.yaml": ORG.replace("20 kg", "200 kg")}, "base"),
        ({"policy/org.yaml": ORG.replace("locked: true, ", "").replace("Q4", "Q3")}, "base"),
        ({"budgets.yaml": BUDGET}, "base"),
        ({"budgets.yaml": EXTENDING + "carbon_budget: {max: 200 kg, period: 2026-Q4}\n"}, "both"),
        ({"budgets.yaml": EXTENDING + "carbon_budget: {max: 20 kg, period: 2026-Q4, records: [n/*.json]}\n"}, "both"),
        ({"training/a.json": None}, "both"),
    ],
    ids=["loosened", "unlocked", "extends-nothing", "own", "own-records", "record-deleted"],
)
def test_nothing_the_change_writes_makes_room_under_an_organisation_s_lock(
    world: World, softer: dict[str, str | bytes | None], under: str
) -> None:
    files: dict[str, str | bytes | None] = {
        "budgets.yaml": EXTENDING,
        "policy/org.yaml": ORG,
        "net.fake.yaml": MODEL,
        "training/a.json": text(25.0),
    }
    world.land(files)
    world.propose(softer)
    said = world.judge()
    assert said.code == 1
    assert said.rules[PERIOD] == ("fail", under)


@pytest.mark.parametrize("own", ["", "carbon_budget: {max: 200 kg, period: 2026-Q4}\n"], ids=["shared", "both"])
def test_a_budget_that_moved_still_counts_the_records_that_a_lock_names(world: World, own: str) -> None:
    files: dict[str, str | bytes | None] = {"old/budgets.yaml": EXTENDING + own, "old/policy/org.yaml": ORG}
    world.land({**files, "old/net.fake.yaml": MODEL, "old/training/a.json": text(25.0)})
    moved = BUDGET.replace("net.fake.yaml", "old/net.fake.yaml")
    world.propose({"old/budgets.yaml": None, "budgets.yaml": moved})
    assert world.judge().rules[PERIOD] == ("fail", "base")
