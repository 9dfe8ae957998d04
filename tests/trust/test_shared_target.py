"""Shared policies in real git: read on the target branch, in another repository, and never from the change alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import Repository
from world import World, fake

from greengate.cli import door

BUDGET = "version: 1\nextends: policy/org.yaml\nmodels:\n  - {name: net, path: net.fake.yaml}\n"
ORG = "version: 1\nrules:\n  - {metric: size, max_increase: 5%, locked: true}\n"
FILES: dict[str, str | bytes | None] = {"budgets.yaml": BUDGET, "policy/org.yaml": ORG, "net.fake.yaml": fake()}
BIG = fake("11 MB")
LOOSE = ORG.replace("5%", "50%")


@pytest.fixture
def landed(world: World) -> World:
    world.land(FILES)
    return world


def test_a_request_is_judged_by_the_shared_file_of_its_target_in_a_shallow_checkout(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG})
    said = landed.judge()
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "both")})
    base, own = (said.raw["case"][side]["shared"] for side in ("base", "budget"))
    assert [(one["file"], one["commit"]) for one in base] == [("main:policy/org.yaml", landed.tip)]
    assert [(one["file"], one["commit"]) for one in own] == [("policy/org.yaml", None)]
    assert base[0]["digest"] == own[0]["digest"]
    assert f"Shared policy: main:policy/org.yaml ({base[0]['digest'][:19]}, commit {landed.tip[:12]})" in said.markdown


def test_a_shared_file_loosened_by_the_change_does_not_help_it(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "policy/org.yaml": LOOSE})
    said = landed.judge()
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "base")})
    assert said.notices == [
        "the change loosens `max_increase` from 5% to 50% in the rule 'size'",
        "the change alters what the budget extends, from main:policy/org.yaml to policy/org.yaml; both bind",
    ]


@pytest.mark.parametrize(
    "softer",
    [
        BUDGET.replace("extends: policy/org.yaml\n", "") + "rules: [{metric: size, max_increase: 50%}]\n",
        BUDGET + "rules: [{metric: size, max_increase: 50%}]\n",
        BUDGET + "rules: [{metric: size, max_increase: 5%, severity: 'off'}, {metric: params, max: 9M}]\n",
        BUDGET.replace("policy/org.yaml", "policy/new.yaml"),
        BUDGET
        + "waivers: [{rule: size, model: net, ceiling: 1 GB, reason: r, approved_by: me, expires: 2027-01-31}]\n",
    ],
    ids=["extends-nothing", "own-rule", "off", "other-file", "waiver"],
)
def test_nothing_the_change_writes_gets_round_a_locked_rule(landed: World, softer: str) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": softer, "policy/new.yaml": LOOSE})
    said = landed.judge()
    assert (said.code, said.rules[("net", "size")][0]) == (1, "fail")


def test_not_even_the_target_branch_gets_round_what_another_repository_locks(
    landed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library = Repository(tmp_path / "library")
    rev = library.commit({"org.yaml": ORG})
    pinned = BUDGET.replace("policy/org.yaml", f'{{git: "file://{library.folder}", rev: {rev}, path: org.yaml}}')
    loose = "rules: [{metric: size, max_increase: 50%}]\n"
    landed.land({"budgets.yaml": pinned + loose})
    landed.propose({"net.fake.yaml": BIG})
    said = landed.judge()
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "both")})
    (rule,) = said.raw["rules"]
    assert rule["at"] == f"file://{library.folder}@{rev[:12]}:org.yaml:3:5"
    # Once fetched it needs no network, and `verify` needs neither.
    library.folder.rename(tmp_path / "gone")
    assert landed.judge().code == 1
    assert door.run(["verify", str(landed.place / "said.json")]) == 0
    code, told, _ = landed.run(landed.dev.folder, "explain", "size", "--from", str(landed.place / "said.json"))
    assert code == 0
    place = f"file://{library.folder}@{rev[:12]}:org.yaml:3:5 @ {rev[:12]}"
    assert f"at         {place}" in told
    assert f"shared     {place}: max_increase: 5% (this is what judges)" in told


def test_explain_says_which_file_and_commit_a_number_comes_from(landed: World) -> None:
    landed.propose(
        {"net.fake.yaml": fake("10.3 MB"), "budgets.yaml": BUDGET + "rules: [{metric: size, max: 10.1 MB}]\n"}
    )
    landed.judge()
    code, told, _ = landed.run(landed.dev.folder, "explain", "size", "--from", str(landed.place / "said.json"))
    assert code == 0
    assert "limit      max: 10.1 MB (the limit is the most it may be), at budgets.yaml:5:29" in told
    assert "shared     policy/org.yaml:3:5: max_increase: 5% (locked: it is judged too, and the worse binds)" in told
    landed.land({"policy/org.yaml": ORG.replace("5%", "1%")})
    landed.propose({"net.fake.yaml": fake("10.3 MB")})
    landed.judge()
    told = landed.run(landed.dev.folder, "explain", "size", "--from", str(landed.place / "said.json"))[1]
    assert "at policy/org.yaml:3:34" in told
    # Where the target branch's is the worse, its commit is named.
    landed.propose({"net.fake.yaml": fake("10.3 MB"), "policy/org.yaml": LOOSE})
    landed.judge()
    told = landed.run(landed.dev.folder, "explain", "size", "--from", str(landed.place / "said.json"))[1]
    assert f"at main:policy/org.yaml:3:34 @ {landed.tip[:12]}" in told


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_a_shared_file_that_the_target_lacks_stops_a_request(landed: World) -> None:
    landed.land({"budgets.yaml": BUDGET.replace("org", "new")})
    landed.propose({"policy/new.yaml": LOOSE})
    said = landed.judge()
    assert said.code == 2
    assert "error[policy-unreadable]" in said.err
    assert f"main:budgets.yaml has a mistake: there is no main:policy/new.yaml (commit {landed.tip[:12]})" in said.err
    assert "mend it on main first, in line 2" in said.err


def test_a_mistake_in_the_targets_shared_file_is_told_where_it_stands(landed: World) -> None:
    landed.land({"policy/org.yaml": ORG + "  - {metric: sise, max: 5M}\n"})
    landed.propose({"policy/org.yaml": ORG})
    said = landed.judge()
    assert said.code == 2
    assert "main:policy/org.yaml has a mistake: no metric is called 'sise'" in said.err
    assert "mend it on main first, in line 4" in said.err


@pytest.mark.parametrize("target", ["real.yaml", "../../outside.yaml"])
def test_a_linked_shared_file_on_the_target_stops_a_request(landed: World, target: str) -> None:
    landed.dev.git("checkout", "--quiet", "main")
    (landed.dev.folder / "policy" / "org.yaml").unlink()
    (landed.dev.folder / "policy" / "org.yaml").symlink_to(target)
    landed.land({"policy/real.yaml": ORG})
    landed.propose({"net.fake.yaml": BIG})
    said = landed.judge()
    # The work tree's own is told first: it has the same link.
    assert (said.code, "policy/org.yaml is a symbolic link" in said.err) == (2, True)


def test_a_link_that_only_the_target_has_stops_a_request_too(landed: World) -> None:
    landed.dev.git("checkout", "--quiet", "main")
    (landed.dev.folder / "policy" / "org.yaml").unlink()
    (landed.dev.folder / "policy" / "org.yaml").symlink_to("real.yaml")
    landed.land({"policy/real.yaml": ORG})
    landed.dev.git("checkout", "--quiet", "-B", "topic", "main")
    (landed.dev.folder / "policy" / "org.yaml").unlink()
    landed.propose({"policy/org.yaml": LOOSE}, fresh=False)
    said = landed.judge()
    assert (said.code, "main:policy/org.yaml is a symbolic link" in said.err) == (2, True)


def test_a_target_whose_pinned_file_cannot_be_fetched_stops_a_request(
    landed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    named = f'{{git: "file://{tmp_path}/gone", rev: {"a" * 40}, path: org.yaml}}'
    landed.land({"budgets.yaml": BUDGET.replace("policy/org.yaml", named)})
    landed.propose({"budgets.yaml": BUDGET})
    said = landed.judge()
    assert said.code == 2
    assert "is not at hand and cannot be fetched" in said.err
    assert "error[policy-unreadable]" in said.err


def test_a_budget_that_only_extends_still_binds_where_the_change_renames_it(landed: World) -> None:
    landed.propose({"budgets.yaml": None, "other.yaml": BUDGET + "rules: [{metric: params, max: 9M}]\n"})
    said = landed.check(landed.checkout(), "-b", "other.yaml")
    assert said.policy["notes"] == ["the change deletes or renames budgets.yaml, which still binds"]
    assert not said.policy["bootstrap"]


def test_on_a_laptop_the_shared_file_of_the_default_branch_binds_too(landed: World) -> None:
    laptop = landed.dev.clone(landed.place / "laptop").folder
    (laptop / "policy" / "org.yaml").write_text(LOOSE)
    (laptop / "net.fake.yaml").write_text(BIG)
    said = landed.check(laptop, "--against", "ref:HEAD", environ={})
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "base")})
