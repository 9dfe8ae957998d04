"""A request that wants to judge itself, by every way that was thought of; docs/policy.md lists them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from repository import Repository
from world import BUDGET, HEAD, TRADE, Said, Signer, World, fake

from greengate.metrics import METRICS

FILES: dict[str, str | bytes | None] = {"budgets.yaml": BUDGET, "net.fake.yaml": fake()}
LOOSE = BUDGET.replace("5%", "50%")
BIG = fake("11 MB")
CANDIDATE = fake("8 MB", "330 MMAC")
SIGNERS = ".greengate/allowed_signers"
FAILS = {("net", "size"): ("fail", "base")}


@pytest.fixture
def landed(world: World) -> World:
    world.land(FILES)
    return world


@pytest.fixture
def lead(tmp_path: Path) -> Signer:
    return Signer(tmp_path, "lead@example.org")


def below(text: str) -> str:
    """Return a budget as it stands in a folder of its own."""
    return text.replace("path: net", "path: ../net")


def request(world: World, change: Callable[[Path], None]) -> None:
    """Open the pull request with a change that no list of files describes."""
    dev = world.dev
    dev.git("checkout", "--quiet", "-B", "topic", "main")
    change(dev.folder)
    world.topic, world.tip = dev.commit(), dev.git("rev-parse", "main")
    # Without a work tree: what the change made of its folders need not be undone.
    tree = dev.git("rev-parse", "topic^{tree}")
    world.merged = dev.git("commit-tree", tree, "-p", world.tip, "-p", world.topic, "-m", "merge")
    dev.git("push", "--quiet", "--force", "origin", "topic", f"{world.merged}:refs/pull/7/merge")


# --- where the policy lies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "code"), [("other", 1), (".", 1), ("../outside", 2)])
def test_a_folder_made_a_link_by_the_change_does_not_hide_the_budget_in_it(
    world: World, target: str, code: int
) -> None:
    world.land({"policy/budgets.yaml": below(BUDGET), "net.fake.yaml": fake()})

    def change(here: Path) -> None:
        shutil.rmtree(here / "policy")
        (here / "policy").symlink_to(target)
        (here / "other").mkdir()
        (here / "other/budgets.yaml").write_text(below(LOOSE))
        (here / "net.fake.yaml").write_text(BIG)
        (here / "budgets.yaml").write_text(LOOSE)

    request(world, change)
    runner = world.checkout()
    (runner.parent / "outside").mkdir()
    (runner.parent / "outside/budgets.yaml").write_text(LOOSE.replace("path: net", f"path: {runner}/net"))
    said = world.check(runner, "-b", "policy/budgets.yaml")
    assert said.code == code
    if code == 2:
        assert "this is not a git checkout" in said.err
        return
    # Through a link to the top the change's model has another path; it is compared with what the target branch names.
    assert said.rules == FAILS
    assert (said.policy["bootstrap"], said.policy["commit"]) == (False, world.tip)


def test_a_folder_that_is_a_link_on_the_target_branch_is_followed_there(world: World) -> None:
    (world.dev.folder / "policy").symlink_to("real")
    world.land({"real/budgets.yaml": below(BUDGET), "net.fake.yaml": fake()})
    world.propose({"net.fake.yaml": BIG, "real/budgets.yaml": below(LOOSE)})
    said = world.check(world.checkout(), "-b", "policy/budgets.yaml")
    assert (said.code, said.rules) == (1, FAILS)


def test_a_link_of_the_change_does_not_choose_other_labelled_data(world: World) -> None:
    """Both files are on the target branch; the model is right on the easy one."""
    model = "{name: net, path: net.fake.yaml, accuracy: {data: data/val.npz, metric: top1}}"
    budget = f"version: 1\nmodels:\n  - {model}\nrules:\n  - {{metric: accuracy, min: 0.8}}\n"
    hits = "hits: 700/1000\n"
    world.land({"budgets.yaml": budget, "net.fake.yaml": fake(more=hits), "data/val.npz": b"v", "easy/val.npz": b"e"})

    def change(here: Path) -> None:
        shutil.rmtree(here / "data")
        (here / "data").symlink_to("easy")

    request(world, change)
    runner = world.checkout()
    said = world.check(runner, "--against", "none")
    assert said.raw["rules"][0]["status"] == "fail"
    from greengate.gate.binding import BaseFiles

    files = BaseFiles(runner, said.policy["commit"], runner, world.place)
    assert files.at("data/val.npz").read_bytes() == b"v"


def test_a_submodule_made_by_the_change_does_not_choose_whose_policy_binds(world: World, tmp_path: Path) -> None:
    world.land({"ci/budgets.yaml": below(BUDGET), "net.fake.yaml": fake()})
    own = Repository(tmp_path / "own")
    own.commit({"budgets.yaml": below(LOOSE)})
    allowed = ("-c", "protocol.file.allow=always")

    def change(here: Path) -> None:
        world.dev.git("rm", "-r", "--quiet", "ci")
        world.dev.git(*allowed, "submodule", "--quiet", "add", f"file://{own.folder}", "ci")
        (here / "net.fake.yaml").write_text(BIG)

    request(world, change)
    runner = world.checkout()
    subprocess.run(["git", *allowed, "submodule", "--quiet", "update", "--init"], cwd=runner, check=True)
    said = world.check(runner, "-b", "ci/budgets.yaml")
    assert said.code == 2
    assert "ci/budgets.yaml lies in a submodule of" in said.err
    # On a laptop nobody is judged by somebody else's word, and a submodule has its own remote.
    assert world.check(runner, "-b", "ci/budgets.yaml", "--policy-ref", "HEAD", environ={}).code != 2


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("--output=/tmp/x", "policy-unreadable"),
        ("-x", "policy-unreadable"),
        ("--upload-pack=touch /tmp/pwned", "policy-unreadable"),
        ("refs/heads/../x", "policy-unreadable"),
        ("main^{/x}", "policy-unreadable"),
        ("\0", "policy-unreadable"),
        ("@", "usage"),
        ("HEAD~0", "usage"),
        ("HEAD^2", "usage"),
        ("HEAD^2~1", "usage"),  # the change's own first commit, which loosens
    ],
)
def test_no_name_of_a_policy_ref_is_an_option_or_the_change(landed: World, ref: str, code: str) -> None:
    landed.propose({"budgets.yaml": LOOSE})
    landed.propose({"net.fake.yaml": BIG}, fresh=False)
    said = landed.check(landed.checkout(depth=None), f"--policy-ref={ref}")
    assert (said.code, f"error[{code}]" in said.err) == (2, True), said.err
    assert not Path("/tmp/pwned").exists()


@pytest.mark.parametrize("ref", ["HEAD^1", "origin/main", "HEAD^1~1"])
def test_a_commit_of_the_target_may_be_named(landed: World, ref: str) -> None:
    landed.land({"note": "later"})
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE})
    said = landed.check(landed.checkout(depth=None), f"--policy-ref={ref}")
    assert (said.code, said.rules) == (1, FAILS)


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "/nowhere"},
        {"GIT_WORK_TREE": "/"},
        {"GIT_NAMESPACE": "x"},
        {"GIT_REPLACE_REF_BASE": "refs/heads/"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.worktree", "GIT_CONFIG_VALUE_0": "/"},
        {"GIT_ICASE_PATHSPECS": "1"},
        {"GIT_LITERAL_PATHSPECS": "0"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_no_variable_of_git_makes_it_pass(
    landed: World, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE})
    runner = landed.checkout()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert landed.check(runner).code in (1, 2)


def test_neither_replaced_objects_nor_grafts_make_it_pass(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE})
    folder = landed.checkout(depth=None)
    runner = Repository.__new__(Repository)
    runner.folder = folder
    runner.identify()
    runner.git("replace", landed.tip, landed.merged)
    assert landed.check(folder).rules == FAILS
    runner.git("replace", "-d", landed.tip)
    (folder / ".git/info/grafts").write_text(f"{landed.merged} {landed.merged}\n")
    assert landed.check(folder).rules == FAILS


@pytest.mark.parametrize("attributes", ["* text eol=crlf", "*.yaml ident export-subst export-ignore", "*.yaml -diff"])
def test_no_attribute_of_a_file_changes_what_the_target_says(landed: World, attributes: str) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE, ".gitattributes": f"{attributes}\n"})
    assert landed.judge().rules == FAILS


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (LOOSE + "x: &x 1\n", "yaml-alias"),
        (LOOSE + "<<: {}\n", "yaml-alias"),
        (LOOSE + "rules: []\n", "duplicate-key"),
        (LOOSE + "---\nversion: 1\n", "yaml-documents"),
        (LOOSE.replace("rules:", "ru\u217ces:"), "unknown-key"),
        (LOOSE.replace("name: net", "name: n\u0435t"), "bad-value"),
        (LOOSE + "waivers: [{rule: '*', model: net, ceiling: 1 GB, reason: r, approved_by: a, expires: 2027-01-31}]\n",
         "bad-value"),
    ],
    ids=["anchor", "merge-key", "twice", "documents", "confusable-key", "confusable-name", "wildcard-waiver"],
)  # fmt: skip
def test_no_trick_of_yaml_is_read(landed: World, text: str, code: str) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": text})
    said = landed.judge()
    assert (said.code, f"error[{code}]" in said.err) == (2, True), said.err


@pytest.mark.parametrize("text", ["\ufeff" + LOOSE, LOOSE.replace("\n", "\r\n")], ids=["bom", "crlf"])
def test_a_budget_saved_elsewhere_is_the_same_budget(landed: World, text: str) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": text})
    said = landed.judge()
    assert said.rules == FAILS
    assert said.notices == ["the change loosens `max_increase` from 5% to 50% in the rule 'size'"]


# --- what a model is called -------------------------------------------------------------------------------------------

VISION = (
    "version: 1\nmodels:\n  - {name: vision-net, path: net.fake.yaml}\n"
    "rules:\n  - {metric: size, max: 12 MB, models: ['vision-*']}\n  - {metric: params, max: 1 G}\n"
)
SIGHT = VISION.replace("vision-net, path: net", "sight-net, path: new").replace("vision-*", "sight-*")
SIGHT = SIGHT.replace("12 MB", "1 GB")


def test_a_model_renamed_with_its_file_keeps_the_rules_of_its_old_name(world: World) -> None:
    world.land({"budgets.yaml": VISION, "net.fake.yaml": fake()})
    world.propose({"budgets.yaml": SIGHT, "net.fake.yaml": None, "new.fake.yaml": fake("50 MB")})
    said = world.judge()
    assert (said.code, said.rules[("vision-net@base", "size")]) == (1, ("fail", "base"))
    assert said.rules[("sight-net", "size")] == ("pass", "head")
    world.propose({"new.fake.yaml": fake("11 MB")}, fresh=False)
    assert world.judge().code == 0


def test_of_several_new_models_each_may_be_the_one_that_is_gone(world: World) -> None:
    two = SIGHT.replace("rules:", "  - {name: third, path: third.fake.yaml}\nrules:")
    world.land({"budgets.yaml": VISION, "net.fake.yaml": fake()})
    new: dict[str, str | bytes | None] = {"new.fake.yaml": fake("11 MB"), "third.fake.yaml": fake("50 MB")}
    world.propose({"budgets.yaml": two, "net.fake.yaml": None, **new})
    said = world.judge()
    assert said.rules[("sight-net@vision-net", "size")][0] == "pass"
    assert (said.code, said.rules[("third@vision-net", "size")]) == (1, ("fail", "base"))


def test_a_model_by_another_name_is_judged_as_the_old_one_whatever_the_rules(world: World) -> None:
    plain = VISION.replace(", models: ['vision-*']", "")
    world.land({"budgets.yaml": plain, "net.fake.yaml": fake()})
    moved = plain.replace("vision-net, path: net", "sight-net, path: new")
    world.propose({"budgets.yaml": moved, "net.fake.yaml": None, "new.fake.yaml": fake("50 MB")})
    said = world.judge()
    assert (said.code, {model for model, _ in said.rules}) == (1, {"sight-net", "vision-net@base"})


def test_a_model_renamed_into_a_looser_override_keeps_its_own_limits(world: World) -> None:
    eased = HEAD + "  - {metric: size, max: 12 MB, overrides: [{models: ['*t-large'], max: 1 GB}]}\n"
    eased = eased.replace("rules:", "  - {name: t-large, path: large.fake.yaml}\nrules:")
    world.land({"budgets.yaml": eased, "net.fake.yaml": fake(), "large.fake.yaml": fake()})
    moved = eased.replace("name: net, path: net", "name: net-large, path: new")
    world.propose({"budgets.yaml": moved, "net.fake.yaml": None, "new.fake.yaml": fake("50 MB")})
    said = world.judge()
    assert (said.code, said.rules[("net@base", "size")][0], said.rules[("net-large", "size")][0]) == (1, "fail", "pass")


def test_names_that_differ_in_case_are_different_models(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE.replace("name: net", "name: Net")})
    said = landed.judge()
    assert (said.code, said.rules) == (1, {**FAILS, ("Net", "size"): ("fail", "base")})


# --- numbers that the change brings -----------------------------------------------------------------------------------

TOO_BIG = {("net", "size"): ("fail", "both")}
GAIN = HEAD.replace("net.fake.yaml}", "net.fake.yaml, accuracy: {file: e.json, key: f1}}") + (
    "  - {metric: size, max_increase: 5%, unless: {accuracy_gain: 0.5 pp, max_increase: 15%}}\n"
)


def measured(world: World, folder: Path, to: str, *words: str) -> dict[str, Any]:
    """Let a job of the request measure its part, as if `to` had been downloaded from it; return what the file says."""
    world.check(folder, "--part", "one", *words)
    (file,) = (folder / ".greengate/parts/one").glob("*.json")
    target = folder / to
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.read_bytes())
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def smaller(trial: dict[str, Any], role: str = "candidate", metric: str = "size", value: float = 10e6) -> str:
    told = json.loads(json.dumps(trial))
    told[role]["measurements"][metric]["value"] = value
    return json.dumps(told)


@pytest.fixture
def forged(landed: World) -> str:
    """A request for a model that is too big, and a trial of it with the size that it should have."""
    landed.propose({"net.fake.yaml": BIG})
    return smaller(measured(landed, landed.checkout(), "parts/0/net.json"))


def plain(here: Path, text: str) -> None:
    (here / "parts/0").mkdir(parents=True)
    (here / "parts/0/net.json").write_text(text)


def link(here: Path, text: str) -> None:
    (here / "data").mkdir()
    (here / "data/net.json").write_text(text)
    (here / "parts/0").mkdir(parents=True)
    (here / "parts/0/net.json").symlink_to("../../data/net.json")


def link_of_folder(here: Path, text: str) -> None:
    (here / "data/0").mkdir(parents=True)
    (here / "data/0/net.json").write_text(text)
    (here / "parts").symlink_to("data")


def link_outside(here: Path, text: str) -> None:
    (here.parent / "elsewhere/0").mkdir(parents=True)
    (here.parent / "elsewhere/0/net.json").write_text(text)
    (here / "parts").symlink_to("../elsewhere")


@pytest.mark.parametrize("how", [plain, link, link_of_folder, link_outside])
def test_numbers_that_a_change_commits_are_not_judged(
    landed: World, forged: str, how: Callable[[Path, str], None]
) -> None:
    def change(here: Path) -> None:
        (here / "net.fake.yaml").write_text(BIG)
        how(here, forged)

    request(landed, change)
    runner = landed.checkout()
    said = landed.check(runner, "--profile", "parts")
    assert (said.code, "error[profile-of-change]" in said.err) == (2, True), said.err
    assert "parts/0/net.json stands in the commit" in said.err
    # What was measured makes it no better, and a folder of its own is as it was.
    measured(landed, runner, "parts/1/net.json")
    assert landed.check(runner, "--profile", "parts").code == 2
    measured(landed, runner, "fetched/1/net.json")
    said = landed.check(runner, "--profile", "fetched")
    assert (said.code, said.rules) == (1, TOO_BIG)
    # On a laptop, outside of a request, whoever names a file vouches for it.
    assert landed.check(runner, "--profile", "parts/0/net.json", "--policy-ref", "none", environ={}).code == 0


def test_numbers_in_a_submodule_of_the_change_are_not_judged(landed: World, forged: str, tmp_path: Path) -> None:
    own = Repository(tmp_path / "own")
    own.commit({"0/net.json": forged})
    allowed = ("-c", "protocol.file.allow=always")

    def change(here: Path) -> None:
        landed.dev.git(*allowed, "submodule", "--quiet", "add", f"file://{own.folder}", "parts")
        (here / "net.fake.yaml").write_text(BIG)

    request(landed, change)
    runner = landed.checkout()
    subprocess.run(["git", *allowed, "submodule", "--quiet", "update", "--init"], cwd=runner, check=True)
    said = landed.check(runner, "--profile", "parts")
    assert (said.code, "error[profile-of-change]" in said.err) == (2, True), said.err


def test_capital_letters_do_not_hide_what_a_change_commits(landed: World, forged: str) -> None:
    """As on a file system that takes Parts for parts: the work tree has the folder by another name than the commit."""
    landed.propose({"Parts/0/net.json": forged}, fresh=False)
    runner = landed.checkout()
    (runner / "Parts").rename(runner / "parts")
    assert landed.check(runner, "--profile", "parts").code == 2


def test_what_is_refused_is_told_with_what_to_do(
    landed: World, forged: str, golden: Callable[[Path, str], None]
) -> None:
    landed.propose({"parts/0/net.json": forged}, fresh=False)
    said = landed.check(landed.checkout(), "--profile", "parts", environ=landed.gitlab())
    golden(Path(__file__).parent / "golden" / "profile-of-change.txt", said.err)


@pytest.mark.parametrize(
    ("role", "metric", "value"),
    [("candidate", "size", 10e6), ("baseline", "size", 11e6), ("candidate", "params", 0), ("candidate", "macs", 1e6)],
)
@pytest.mark.parametrize("first", ["a", "z"])
def test_two_files_that_contradict_each_other_are_not_judged(
    landed: World, role: str, metric: str, value: float, first: str
) -> None:
    """Whichever comes first by its path."""
    landed.propose({"net.fake.yaml": BIG})
    runner = landed.checkout()
    trial = measured(landed, runner, "parts/m/net.json")
    (runner / "parts" / first).mkdir()
    (runner / "parts" / first / "net.json").write_text(smaller(trial, role, metric, value))
    said = landed.check(runner, "--profile", "parts")
    assert (said.code, "error[profile-mismatch]" in said.err) == (2, True), said.err
    assert f"tell different {METRICS[metric].title} of the same {role}" in said.err
    (runner / "parts" / first / "net.json").write_text(json.dumps(trial))
    assert landed.check(runner, "--profile", "parts").rules == TOO_BIG


def test_a_trial_beside_another_baseline_than_the_policys_is_not_judged(landed: World, tmp_path: Path) -> None:
    landed.propose({"net.fake.yaml": BIG})
    runner = landed.checkout()
    (tmp_path / "big.fake.yaml").write_text(fake("11 MB", "301 MMAC"))
    easy = ("--against", f"file:{tmp_path}/big.fake.yaml")
    trial = measured(landed, runner, "parts/0/net.json", *easy)
    said = landed.check(runner, "--profile", "parts")
    assert (said.code, "another baseline than the policy names" in said.err) == (2, True), said.err
    # Who starts the last job may name it there, too; on a laptop whoever names a trial vouches for it.
    assert landed.check(runner, "--profile", "parts", *easy).code == 0
    assert landed.check(runner, "--profile", "parts", environ={}).code == 0
    # A job that left out what Git LFS keeps downloads nothing to find out.
    (digest,) = (file["sha256"] for file in trial["candidate"]["model"]["files"])
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 9\n"
    (runner / "net.fake.yaml").write_text(pointer)
    assert landed.check(runner, "--profile", "parts").code == 0


def test_a_trial_beside_another_version_than_the_stored_one_is_not_judged(landed: World) -> None:
    landed.land({"budgets.yaml": BUDGET + "baseline: dir:store\n"})
    code, _, err = landed.run(landed.dev.folder, "baseline", "accept", "--max-seconds", "3", "--reason", "first")
    assert code == 0, err
    landed.land({})
    landed.propose({"net.fake.yaml": BIG})
    runner = landed.checkout()
    measured(landed, runner, "parts/0/net.json")
    assert landed.check(runner, "--profile", "parts").rules == TOO_BIG
    (runner.parent / "big.fake.yaml").write_text(fake("11 MB", "301 MMAC"))
    measured(landed, runner, "parts/0/net.json", "--against", "file:../big.fake.yaml")
    said = landed.check(runner, "--profile", "parts")
    assert (said.code, "another baseline than the policy names" in said.err) == (2, True), said.err
    assert landed.check(runner, "--profile", "parts", environ={}).code == 0


@pytest.mark.parametrize(
    ("then", "now", "code"),
    [
        ('{"f1": 0.90, "n": 200}', '{"f1": 0.91, "n": 200}', 3),
        ('{"f1": 0.90, "n": 200}', '{"f1": 0.91}', 3),
        ('{"f1": 0.90}', '{"f1": 0.91, "n": 200}', 3),
        ('{"f1": 0.90}', '{"f1": 0.91}', 0),
        ('{"f1": 0.90, "n": 200000}', '{"f1": 0.91, "n": 200000}', 0),
    ],
)
def test_a_gain_is_no_surer_for_what_its_file_leaves_out(world: World, then: str, now: str, code: int) -> None:
    world.land({"budgets.yaml": GAIN, "net.fake.yaml": fake(), "e.json": then})
    world.propose({"net.fake.yaml": BIG, "e.json": now})
    said = world.judge()
    assert (said.code, said.rules[("net", "size")][0]) == (code, "inconclusive" if code else "traded")


# --- who said yes -----------------------------------------------------------------------------------------------------

EYES = TRADE + 'approvers:\n  - {who: ["*@example.org"], four_eyes: true}\n'
BOTH = TRADE + 'approvers:\n  - {who: ["*@example.org"], needed: 2}\n'


def signed(world: World, who: Signer, *names: str, edit: Callable[[str], str] = str) -> Said:
    """Let one person sign approvals under several names, as `edit` has it, bring them, and judge in a deep checkout."""
    folder = world.checkout()
    world.check(folder)
    files: dict[str, str | bytes | None] = {}
    for name in names:
        words = ("approve", "compute", "--reason", "worth it", "--expires", "2026-12-31", "--by", name)
        code, out, err = world.run(folder, *words)
        assert code == 0, err
        path = folder / out.splitlines()[0].removeprefix("wrote ")
        path.write_text(edit(path.read_text()))
        kept = f".greengate/approvals/{path.name}"
        files |= {f"{kept}.sig": who.sign(path), kept: path.read_bytes()}
    world.propose(files, fresh=False)
    return world.check(world.checkout(depth=None))


@pytest.mark.system("ssh-keygen")
@pytest.mark.parametrize("allowed", ["lead@example.org,chief@example.org", "*@example.org"])
def test_one_key_is_one_person_under_however_many_names(world: World, lead: Signer, allowed: str) -> None:
    world.land({**FILES, "budgets.yaml": BOTH, SIGNERS: lead.allowed(name=allowed)})
    world.propose({"net.fake.yaml": CANDIDATE})
    said = signed(world, lead, "lead@example.org", "chief@example.org")
    assert said.code == 1
    assert "2 must approve it, and not enough of them did" in said.reason("compute")


@pytest.mark.system("ssh-keygen")
@pytest.mark.parametrize(
    ("allowed", "code"),
    [
        ("lead@example.org", 0),
        ("lead@example.org,dev@example.org", 1),  # the author is another name of who approves
        ("*@example.org", 1),  # and may be, where a key stands for everybody
        ("lead@example.org,!dev@example.org,*@example.org", 0),
    ],
)
def test_an_author_cannot_approve_under_another_name(world: World, lead: Signer, allowed: str, code: int) -> None:
    world.land({**FILES, "budgets.yaml": EYES, SIGNERS: lead.allowed(name=allowed)})
    world.propose({"net.fake.yaml": CANDIDATE})
    assert signed(world, lead, "lead@example.org").code == code


@pytest.mark.system("ssh-keygen")
@pytest.mark.parametrize(
    ("trailer", "code"),
    [
        ("Co-authored-by: Lead <lead@example.org>", 1),
        ("CO-AUTHORED-BY: Lead <Lead@Example.ORG>", 1),
        ("Co-authored-by: lead@example.org", 1),
        ("Co-authored-by: Other <other@example.org>", 0),
        ("Reviewed-by: Lead <lead@example.org>", 0),
    ],
)
def test_who_wrote_a_commit_together_with_another_is_an_author(
    world: World, lead: Signer, trailer: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.land({**FILES, "budgets.yaml": EYES, SIGNERS: lead.allowed()})
    commit = world.dev.commit
    monkeypatch.setattr(world.dev, "commit", lambda message="": commit(message=f"{message}\n\n{trailer}\n"))
    world.propose({"net.fake.yaml": CANDIDATE})
    assert signed(world, lead, "lead@example.org").code == code


@pytest.mark.system("ssh-keygen")
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda text: text.replace("lead@", "le\\u0000ad@"), "cannot name who approves"),
        (lambda text: text.replace("lead@", "lead\\ud800@"), "cannot name who approves"),
        (lambda text: text.replace("lead@", "lead\\u202e@"), "cannot name who approves"),
        (lambda text: text.replace("lead@", "\\uff4cead@"), "cannot name who approves"),
        (lambda text: text.replace("lead@", "-lead@"), "cannot name who approves"),
        (lambda text: text.replace("0.15", "1" + 5000 * "0"), "it is not JSON"),
        (lambda text: text.replace("0.15", "1e999"), "is not a finite number"),
        (lambda text: text.replace("0.15", "NaN"), "is not a finite number"),
        (lambda text: text + "{}", "it is not JSON"),
        (lambda text: "\ufeff" + text, "it is not JSON"),
        (lambda text: text.replace('"rule"', '"rule": "compute", "rule"'), "a field stands in it twice"),
        (lambda text: text.replace('"rule"', '"more": 1, "rule"'), "is not a known field"),
        (lambda _: 60_000 * "[", "it is not JSON"),
    ],
)
def test_what_is_no_approval_is_named_though_it_is_signed(
    world: World, lead: Signer, edit: Callable[[str], str], words: str
) -> None:
    world.land({**FILES, "budgets.yaml": TRADE, SIGNERS: lead.allowed()})
    world.propose({"net.fake.yaml": CANDIDATE})
    said = signed(world, lead, "lead@example.org", edit=edit)
    assert (said.code, said.reason("compute").endswith("nobody approved it")) == (1, True)
    assert words in said.policy["notes"][0]


@pytest.mark.system("ssh-keygen")
def test_a_reason_cannot_speak_in_the_reports_own_voice(world: World, lead: Signer) -> None:
    world.land({**FILES, "budgets.yaml": TRADE, SIGNERS: lead.allowed()})
    world.propose({"net.fake.yaml": CANDIDATE})
    said = signed(world, lead, "lead@example.org", edit=lambda text: text.replace("worth", "\\u001b[2J\\n\\n# x"))
    assert said.code == 0
    assert "\x1b" not in said.markdown
    assert not [line for line in said.markdown.splitlines() if line.startswith("# x")]


@pytest.mark.system("ssh-keygen")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{}", 0),
        ("{}\r", 0),
        ("\ufeff{}", 1),  # the name is then another one
        ("# {}", 1),
        ("lead@example.org cert-authority KEY", 1),  # a key that certifies is not one that signs
        ("LEAD@example.org KEY", 1),
        ('lead@example.org valid-after="20261124" KEY', 1),
        ('lead@example.org valid-before="20261123" KEY', 1),  # over as that day began, in UTC
        ('lead@example.org namespaces="git,file" KEY', 1),
        ('lead@example.org namespaces="git,greengate-approval" KEY', 0),
    ],
)
def test_a_line_of_signers_allows_what_ssh_says_and_no_more(world: World, lead: Signer, line: str, code: int) -> None:
    key = " ".join(lead.public.split()[:2])
    text = line.replace("KEY", key).replace("{}", f"lead@example.org {key}") + "\n"
    world.land({**FILES, "budgets.yaml": TRADE, SIGNERS: text})
    world.propose({"net.fake.yaml": CANDIDATE})
    assert signed(world, lead, "lead@example.org").code == code


@pytest.mark.system("ssh-keygen")
@pytest.mark.parametrize("revoked", ["garbage\n", "../elsewhere", "# nobody\n"])
def test_a_list_of_revoked_keys_that_cannot_be_read_lets_nobody_sign(world: World, lead: Signer, revoked: str) -> None:
    world.land({**FILES, "budgets.yaml": TRADE, SIGNERS: lead.allowed(), ".greengate/revoked_keys": revoked})
    world.propose({"net.fake.yaml": CANDIDATE})
    assert signed(world, lead, "lead@example.org").code == (0 if revoked.startswith("#") else 1)


@pytest.mark.system("ssh-keygen")
def test_a_certificate_stands_for_the_names_in_it_only(world: World, lead: Signer, tmp_path: Path) -> None:
    authority = Signer(tmp_path, "ca@example.org")
    words = ["ssh-keygen", "-q", "-s", str(authority.key), "-I", "id", "-n", "lead@example.org", f"{lead.key}.pub"]
    subprocess.run(words, check=True)
    lead.key = Path(f"{lead.key}-cert.pub")
    world.land({**FILES, "budgets.yaml": TRADE, SIGNERS: authority.allowed("cert-authority", name="*@example.org")})
    world.propose({"net.fake.yaml": CANDIDATE})
    assert signed(world, lead, "boss@example.org").code == 1
    assert signed(world, lead, "lead@example.org").code == 0


@pytest.mark.system("ssh-keygen")
def test_a_yes_in_one_repository_counts_in_another_only_for_the_same_two_models(
    world: World, lead: Signer, tmp_path: Path
) -> None:
    """Nothing in it names the repository: that is said in the docs, and what it does name has to fit."""
    world.land({**FILES, "budgets.yaml": TRADE, SIGNERS: lead.allowed()})
    world.propose({"net.fake.yaml": CANDIDATE})
    signed(world, lead, "lead@example.org")
    brought = {f".greengate/approvals/{one.name}": one.read_bytes()
               for one in (world.dev.folder / ".greengate/approvals").iterdir()}  # fmt: skip
    world.propose({"net.fake.yaml": fake("8 MB", "331 MMAC"), **brought})
    assert world.judge().code == 1
    renamed = {"budgets.yaml": TRADE.replace("name: net", "name: twin"), SIGNERS: lead.allowed()}
    world.land({**FILES, **renamed})
    world.propose({"net.fake.yaml": CANDIDATE, **brought})
    said = world.judge()
    assert (said.code, said.reason("compute", "twin").endswith("nobody approved it")) == (1, True)
