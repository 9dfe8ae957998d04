"""The policy that binds is the target branch's: real git, shallow checkouts, changes that would judge themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import BUDGET, HEAD, World, fake

from greengate import baselines, budget_file
from greengate.gate import trust
from greengate.profile import Missing

FILES: dict[str, str | bytes | None] = {"budgets.yaml": BUDGET, "net.fake.yaml": fake()}
LOOSE = BUDGET.replace("5%", "50%")
BIG = fake("11 MB")


@pytest.fixture
def landed(world: World) -> World:
    world.land(FILES)
    return world


def test_a_request_is_judged_under_the_policy_of_its_target_in_a_shallow_checkout(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG})
    said = landed.judge()
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "both")})
    assert said.policy["commit"] == landed.tip
    assert said.policy["source"] == (
        f"budgets.yaml of main at {landed.tip[:12]}, and the change's own; the worse outcome binds"
    )
    assert f"commit {landed.tip[:12]}" in said.markdown


def test_a_rule_loosened_by_the_change_does_not_help_it(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE})
    said = landed.judge()
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "base")})
    assert said.notices == ["the change loosens `max_increase` from 5% to 50% in the rule 'size'"]
    assert "Notice: the change loosens `max_increase` from 5% to 50%" in said.markdown
    assert "at `main:budgets.yaml:5:5`" in said.markdown


def test_a_rule_tightened_by_the_change_binds_at_once(landed: World) -> None:
    landed.propose({"net.fake.yaml": fake("10.3 MB"), "budgets.yaml": BUDGET.replace("5%", "1%")})
    said = landed.judge()
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "head")})


def test_a_rule_removed_by_the_change_still_binds(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": HEAD + "  - {metric: params, max_increase: 5%}\n"})
    said = landed.judge()
    assert said.code == 1
    assert said.rules == {("net", "params"): ("pass", "head"), ("net", "size"): ("fail", "base")}
    assert said.notices[0] == "the change removes the rule 'size' (max_increase: 5%); it still binds"


@pytest.mark.parametrize(
    "softer",
    [
        BUDGET.replace("max_increase: 5%", "max_increase: 5%, severity: warn"),
        BUDGET.replace("max_increase: 5%", "max_increase: 5%, ignore_below: 1 GB"),
        BUDGET.replace("max_increase: 5%", "max_increase: 5%, unless: {metric: flops, min_decrease: 1%}"),
        BUDGET
        + "waivers:\n  - {rule: size, model: net, ceiling: 1 GB, reason: r, approved_by: me, expires: 2027-01-31}\n",
        BUDGET.replace("path: net.fake.yaml}", "path: net.fake.yaml, baseline: file:huge.fake.yaml}"),
        BUDGET + "baseline: file:huge.fake.yaml\n",
        BUDGET.replace("{name: net", "{name: other"),
    ],
    ids=["severity", "floor", "trade-off", "waiver", "models-baseline", "files-baseline", "name"],
)
def test_nothing_the_change_writes_softens_what_judges_it(landed: World, softer: str) -> None:
    huge = fake("1 GB", "299 MMAC")
    landed.propose({"net.fake.yaml": fake("11 MB", "290 MMAC"), "budgets.yaml": softer, "huge.fake.yaml": huge})
    said = landed.judge()
    assert said.code == 1
    assert "fail" in {status for status, _ in said.rules.values()}


def test_a_waiver_counts_once_it_is_on_the_target_branch(landed: World) -> None:
    waived = (
        BUDGET
        + "waivers:\n  - {rule: size, model: net, ceiling: 12 MB, reason: r, approved_by: a, expires: 2027-01-31}\n"
    )
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": waived})
    said = landed.judge()
    assert said.code == 1
    assert "the waiver of 'size' for 'net' counts once it is on the target branch" in said.notices
    landed.land({"budgets.yaml": waived})
    landed.propose({"net.fake.yaml": BIG})
    assert landed.judge().rules == {("net", "size"): ("waived", "both")}


def test_an_on_inconclusive_of_the_change_does_not_count(landed: World) -> None:
    undecided = HEAD + "  - {metric: latency_p50, max_increase: 5%}\n"
    landed.land({"budgets.yaml": undecided})
    landed.propose({"budgets.yaml": undecided + "on_inconclusive: warn\n"})
    said = landed.judge()
    assert (said.code, said.rules) == (3, {("net", "latency_p50"): ("inconclusive", "base")})


def test_a_model_removed_from_the_budget_is_judged_while_its_file_remains(landed: World) -> None:
    both = BUDGET.replace("rules:", "  - {name: twin, path: twin.fake.yaml}\nrules:")
    landed.land({"budgets.yaml": both, "twin.fake.yaml": fake()})
    landed.propose({"twin.fake.yaml": BIG, "budgets.yaml": BUDGET})
    said = landed.judge()
    assert (said.code, said.rules[("twin", "size")][0]) == (1, "fail")
    assert "the change removes the model 'twin' from the budget" in said.notices
    landed.propose({"twin.fake.yaml": None, "budgets.yaml": BUDGET})
    said = landed.judge()
    assert (said.code, set(said.rules)) == (0, {("net", "size")})


def test_a_model_pointed_elsewhere_is_judged_at_both_files(landed: World) -> None:
    decoy = BUDGET.replace("net.fake.yaml", "decoy.fake.yaml")
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": decoy, "decoy.fake.yaml": fake("9 MB")})
    runner = landed.checkout()
    fetched = Path(runner, "fetched.fake.yaml")  # by the job, which may compare with what it likes
    fetched.write_text(fake("9 MB"))
    said = landed.check(runner, "--against", f"file:{fetched}")
    assert said.rules[("net", "size")][0] == "pass"
    assert said.rules[("net@base", "size")] == ("fail", "both")
    assert said.code == 1


def test_the_workload_of_the_target_binds(landed: World) -> None:
    landed.propose({"budgets.yaml": "workload: {batch_size: 8}\n" + BUDGET})
    said = landed.judge()
    assert "the change alters `workload` of the model 'net'; the target branch's binds" in said.notices
    assert "batch size 1" in said.markdown


def test_a_candidate_that_cannot_run_as_the_target_asks_is_inconclusive(landed: World) -> None:
    described = BUDGET.replace("path: net.fake.yaml}", "path: net.fake.yaml, inputs: {x: {shape: [1, 4]}}}")
    landed.land({"budgets.yaml": described + "  - {metric: flops, max_increase: 5%}\n"})
    wider = described.replace("[1, 4]", "[1, 8]") + "  - {metric: flops, max_increase: 5%}\n"
    landed.propose({"budgets.yaml": wider, "net.fake.yaml": fake(more="refuses: 'input-mismatch: x is [1, 8]'\n")})
    said = landed.judge()
    assert (said.code, said.rules[("net", "flops")][0], said.rules[("net", "size")][0]) == (3, "inconclusive", "pass")


# --- the first budget, and budgets that vanish ------------------------------------------------------------------------


def test_the_first_budget_is_marked_as_bootstrap(world: World) -> None:
    world.land({"net.fake.yaml": fake()})
    world.propose({"budgets.yaml": BUDGET})
    said = world.judge()
    assert (said.code, said.policy["bootstrap"], said.policy["commit"]) == (0, True, world.tip)
    assert "Policy: bootstrap, budgets.yaml of the change itself: main at" in said.markdown


@pytest.mark.parametrize("where", ["policy.yaml", "ci/budgets.yaml"])
def test_a_budget_that_the_change_renames_still_binds(landed: World, where: str) -> None:
    own = LOOSE if "/" not in where else LOOSE.replace("net.fake.yaml", "../net.fake.yaml")
    landed.propose({"budgets.yaml": None, where: own, "net.fake.yaml": BIG})
    said = landed.check(landed.checkout(), "-b", where)
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "base")})
    assert said.policy["notes"] == ["the change deletes or renames budgets.yaml, which still binds"]


def test_what_a_budget_that_moves_names_is_where_it_was(landed: World) -> None:
    """The change has files of the same names beside its own budget."""
    source = "accuracy: {data: val.npz, metric: top1}, baseline: 'file:old.fake.yaml', path: net.fake.yaml"
    budget = BUDGET.replace("path: net.fake.yaml", source) + "  - {metric: accuracy, min: 0.5}\n"
    hits = "hits: 9000/10000\n"
    landed.land(
        {"budgets.yaml": budget, "old.fake.yaml": fake(), "net.fake.yaml": fake(more=hits), "val.npz": "labels"}
    )
    own = LOOSE.replace("net.fake.yaml", "../net.fake.yaml")
    easy = {"ci/old.fake.yaml": BIG, "ci/val.npz": "easier labels"}
    landed.propose({"budgets.yaml": None, "ci/budgets.yaml": own, "net.fake.yaml": BIG + hits, **easy})
    said = landed.check(landed.checkout(), "-b", "ci/budgets.yaml")
    assert said.rules == {("net", "size"): ("fail", "base"), ("net", "accuracy"): ("pass", "base")}
    assert "ci/val.npz" not in said.markdown


def test_every_path_of_a_budget_that_moves_leads_on(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "c").mkdir(parents=True)
    text = """version: 1
energy: {power_log: meter.csv, calibration: energy.calibration.json}
baseline: 'dir:store'
models:
  - name: net
    path: pkg.nets:make
    weights: net.safetensors
    training: training.json
    baseline: 'ref:main'
    inputs: {from: data.npz}
    accuracy: [{file: eval.json, key: f1}, {name: top1, data: /held/out.npz, metric: top1}]
  - {name: two, path: net.pt, inputs_from: 'feeds:make', baseline: 'profile:old.json'}
rules:
  - {metric: size, max: 1 GB}
"""
    (tmp_path / "a" / "budgets.yaml").write_text(text)
    (tmp_path / "b" / "c" / "budgets.yaml").write_text(text)
    base, own = (budget_file.read(tmp_path / folder / "budgets.yaml") for folder in ("a", "b/c"))
    moved = trust._moved(base, tmp_path / "a", own)
    net, two = moved.models
    assert moved.power_log is not None
    assert moved.power_log.file == "../../a/meter.csv"
    assert moved.calibration is not None
    assert moved.calibration.file == "../../a/energy.calibration.json"
    assert (moved.baseline, net.baseline, two.baseline) == ("dir:../../a/store", "ref:main", "profile:../../a/old.json")
    assert net.workload.recorded == "../../a/data.npz"
    assert two.workload.inputs_from == "../../a/feeds:make"
    assert [one.options.get("file") or one.options["data"] for one in net.accuracy] == [
        "../../a/eval.json",
        "/held/out.npz",
    ]
    named = (net.path, net.training, net.recipe.weights)
    assert named == tuple(str(tmp_path / "a" / name) for name in ("pkg.nets:make", "training.json", "net.safetensors"))
    assert trust._moved(base, tmp_path / "a", base) == base


def test_a_model_dropped_by_a_budget_that_moves_is_judged_where_it_lies(landed: World) -> None:
    both = BUDGET.replace("rules:", "  - {name: twin, path: twin.fake.yaml}\nrules:")
    landed.land({"budgets.yaml": both, "twin.fake.yaml": fake()})
    own = BUDGET.replace("net.fake.yaml", "../net.fake.yaml")
    landed.propose({"budgets.yaml": None, "ci/budgets.yaml": own, "twin.fake.yaml": BIG})
    said = landed.check(landed.checkout(), "-b", "ci/budgets.yaml")
    assert (said.code, said.rules[("twin", "size")][0]) == (1, "fail")


def test_a_change_that_renames_several_budgets_cannot_start(landed: World, golden: object) -> None:
    landed.land({"team/budgets.yaml": BUDGET, "notes.yaml": "rules: none\n"})
    landed.propose({"budgets.yaml": None, "team/budgets.yaml": None, "policy.yaml": LOOSE})
    said = landed.check(landed.checkout(), "-b", "policy.yaml")
    assert said.code == 2
    golden(Path(__file__).parent / "golden" / "policy-removed.txt", said.err)  # type: ignore[operator]


def test_a_second_budget_is_new_while_the_first_stays(landed: World) -> None:
    landed.propose({"other.yaml": BUDGET})
    said = landed.check(landed.checkout(), "-b", "other.yaml")
    assert (said.code, said.policy["bootstrap"]) == (0, True)


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_a_base_that_cannot_be_fetched_cannot_start_and_says_what_to_add(landed: World, golden: object) -> None:
    landed.propose({"net.fake.yaml": BIG})
    runner = landed.checkout()
    landed.dev.git("remote", "set-url", "origin", "file:///gone")
    landed.patch.chdir(runner)
    Path(runner, ".git", "config").write_text(
        Path(runner, ".git", "config").read_text().replace(str(landed.bare), "/nowhere.git")
    )
    for flags in ((), ("--allow-inconclusive",), ("--policy-ref", "auto")):
        said = landed.check(runner, *flags)
        assert said.code == 2
        assert "error[policy-unreadable]" in said.err
        assert "= help: set `fetch-depth: 0` on the checkout step" in said.err
    golden(Path(__file__).parent / "golden" / "policy-unreadable.txt", said.err)  # type: ignore[operator]


def test_the_tip_is_known_without_a_network_where_the_checkout_is_deep(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE})
    runner = landed.checkout(depth=2)
    config = Path(runner, ".git", "config")
    config.write_text(config.read_text().replace(str(landed.bare), "/nowhere.git"))
    said = landed.check(runner)
    assert (said.code, said.policy["commit"]) == (1, landed.tip)


def test_the_tip_is_the_branch_as_it_is_now_not_as_it_was(landed: World) -> None:
    landed.propose({"net.fake.yaml": fake("10.4 MB")})
    runner = landed.checkout()
    newer = landed.land({"budgets.yaml": BUDGET.replace("5%", "2%")})
    said = landed.check(runner)
    assert (said.code, said.policy["commit"], said.rules[("net", "size")]) == (1, newer, ("fail", "base"))


def test_a_target_budget_with_a_mistake_stops_a_request_and_says_where(landed: World) -> None:
    landed.land({"budgets.yaml": BUDGET.replace("metric: size", "metric: sise")})
    landed.propose({"budgets.yaml": BUDGET})
    said = landed.judge()
    assert said.code == 2
    assert "main:budgets.yaml has a mistake: no metric is called 'sise'" in said.err
    assert "mend it on main first, in line 5" in said.err


def test_a_budget_outside_of_the_repository_stops_a_request(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG})
    (landed.place / "loose.yaml").write_text(LOOSE)
    said = landed.check(landed.checkout(), "-b", str(landed.place / "loose.yaml"))
    assert said.code == 2
    assert "error[policy-unreadable]" in said.err


def test_a_linked_budget_of_the_change_does_not_hide_the_targets(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "loose.yaml": LOOSE})
    runner = landed.checkout()
    (runner / "budgets.yaml").unlink()
    (runner / "budgets.yaml").symlink_to("loose.yaml")
    assert landed.check(runner).rules == {("net", "size"): ("fail", "base")}


def test_a_linked_budget_on_the_target_is_followed(world: World) -> None:
    world.dev.write("real/budgets.yaml", BUDGET)
    (world.dev.folder / "budgets.yaml").symlink_to("real/budgets.yaml")
    world.land({"net.fake.yaml": fake()})
    world.propose({"net.fake.yaml": BIG, "real/budgets.yaml": LOOSE})
    assert world.judge().rules == {("net", "size"): ("fail", "base")}


def test_a_binary_budget_on_the_target_cannot_be_read(landed: World) -> None:
    landed.land({"budgets.yaml": b"\x00\xff\xfe binary"})
    landed.propose({"budgets.yaml": BUDGET})
    said = landed.judge()
    assert (said.code, "error[policy-unreadable]" in said.err) == (2, True)


# --- naming another policy --------------------------------------------------------------------------------------------


def test_no_flag_lets_a_request_judge_itself(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE})
    runner = landed.checkout()
    for ref in ("none", "HEAD", landed.merged, "refs/remotes/pull/7/merge"):
        said = landed.check(runner, "--policy-ref", ref)
        assert said.code == 2, ref
        assert "error[usage]" in said.err


def test_a_request_may_name_another_policy_branch(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG})
    runner = landed.checkout(depth=None)
    said = landed.check(runner, "--policy-ref", "origin/main")
    assert (said.code, said.policy["commit"]) == (1, landed.tip)
    said = landed.check(runner, "--policy-ref", "no-such-branch")
    assert (said.code, "names no commit of this checkout" in said.err) == (2, True)


def test_on_a_laptop_origins_default_branch_binds_as_it_is_on_disk(landed: World) -> None:
    laptop = landed.dev.clone(landed.place / "laptop").folder
    (laptop / "budgets.yaml").write_text(LOOSE)
    (laptop / "net.fake.yaml").write_text(BIG)
    environ: dict[str, str] = {}
    # Cloned from the developer's: its origin is a work tree, whose default branch is main.
    said = landed.check(laptop, "--against", "ref:HEAD", environ=environ)
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "base")})
    assert said.policy["source"].startswith("budgets.yaml of origin/main at ")
    said = landed.check(laptop, "--against", "ref:HEAD", "--policy-ref", "none", environ=environ)
    assert (said.code, said.policy["source"]) == (0, "budgets.yaml as it stands in the work tree")


def test_on_a_laptop_without_a_default_branch_the_own_policy_binds_and_says_so(landed: World) -> None:
    said = landed.check(landed.dev.folder, "--against", "ref:HEAD", environ={})
    assert said.code == 0
    assert said.policy["commit"] is None
    assert "run `git remote set-head origin --auto`" in said.policy["notes"][0]
    assert "git remote set-head origin" in said.markdown


def test_on_a_laptop_a_broken_target_is_noted_not_fatal(landed: World) -> None:
    landed.land({"budgets.yaml": "version: 2\n"})
    laptop = landed.dev.clone(landed.place / "laptop").folder
    (laptop / "budgets.yaml").write_text(BUDGET)
    said = landed.check(laptop, "--against", "ref:HEAD", environ={})
    assert said.code == 0
    assert "origin/main:budgets.yaml has a mistake" in said.policy["notes"][0]


def test_a_push_to_a_branch_is_judged_by_the_policy_it_pushes(landed: World) -> None:
    landed.propose({"net.fake.yaml": fake("10.1 MB")})
    environ = {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"}
    said = landed.check(landed.checkout(), "--against", "none", environ=environ)
    assert said.policy["source"] == "budgets.yaml as it stands in the work tree"


def test_a_merge_request_on_gitlab_is_judged_alike(landed: World) -> None:
    landed.propose({"net.fake.yaml": BIG, "budgets.yaml": LOOSE})
    runner = landed.place / "gitlab"
    landed.dev.git("clone", "--quiet", "--depth=1", "--branch=topic", f"file://{landed.bare}", str(runner))
    said = landed.check(runner, environ=landed.gitlab())
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "base")})
    assert said.policy["commit"] == landed.tip


# --- what the policy names -------------------------------------------------------------------------------------------


def test_a_baseline_file_edited_by_the_change_does_not_count(landed: World) -> None:
    named = BUDGET + "baseline: file:old.fake.yaml\n"
    landed.land({"budgets.yaml": named, "old.fake.yaml": fake()})
    landed.propose({"net.fake.yaml": BIG, "old.fake.yaml": fake("20 MB")})
    assert landed.judge().rules == {("net", "size"): ("fail", "both")}
    landed.propose({"net.fake.yaml": BIG, "old.fake.yaml": None})
    assert landed.judge().rules == {("net", "size"): ("fail", "both")}


@pytest.mark.parametrize("depth", [1, None])
def test_a_version_accepted_before_its_model_was_committed_is_measured_in_a_request(
    world: World, depth: int | None
) -> None:
    named = BUDGET.replace("path: net.fake.yaml}", "path: net.fake.yaml, baseline: 'dir:.greengate/baselines'}")
    world.land({"budgets.yaml": named})
    world.dev.write("net.fake.yaml", fake())
    code, _, err = world.run(world.dev.folder, "baseline", "accept", "--reason", "first")
    assert code == 0, err
    world.land({})
    if depth is None:
        world.land({"net.fake.yaml": fake("9 MB")})
    world.propose({"net.fake.yaml": fake("12 MB")})
    noted = noting(world)
    said = world.check(world.checkout(depth))
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "both")})
    assert said.reason("size") == "+20.0 % is beyond the limit of +5.0 %"
    (artifact,) = noted
    assert artifact is not None


def noting(world: World) -> list[Path | None]:
    """Return where the artifact of every baseline is noted that is found from now on."""
    found: list[Path | None] = []
    real = baselines.resolve

    def resolve(uri: str, request: baselines.Request) -> baselines.Found | Missing:
        answer = real(uri, request)
        found.append(answer.artifact if isinstance(answer, baselines.Found) else None)
        return answer

    world.patch.setattr(baselines, "resolve", resolve)
    return found


def test_a_baseline_store_edited_or_brought_by_the_change_does_not_count(world: World) -> None:
    named = BUDGET.replace("path: net.fake.yaml}", "path: net.fake.yaml, baseline: 'dir:.greengate/baselines'}")
    world.land({"budgets.yaml": named, "net.fake.yaml": fake("20 MB")})
    code, _, err = world.run(world.dev.folder, "baseline", "accept", "--reason", "first")
    assert code == 0, err
    forged = {
        path.relative_to(world.dev.folder).as_posix(): path.read_bytes()
        for path in (world.dev.folder / ".greengate" / "baselines").rglob("*")
        if path.is_file()
    }
    assert forged
    world.dev.git("clean", "-fdq")
    world.land({"net.fake.yaml": fake()})
    world.propose({"net.fake.yaml": BIG, **forged})
    said = world.judge()
    assert said.code == 2  # the store that the policy names is not on the target branch
    assert "there is no baseline store" in said.err


# --- accuracies that a change brings ----------------------------------------------------------------------------------

NAMED = HEAD.replace("net.fake.yaml}", "net.fake.yaml, accuracy: {name: f1, file: e.json, key: f1}}")
PAID = "  - {metric: size, max_increase: 5%, unless: {metric: accuracy, min_increase: 1 pp, max_increase: 15%}}\n"


def test_a_rule_and_its_accuracy_may_come_in_one_change(landed: World) -> None:
    landed.propose(
        {"budgets.yaml": NAMED + BUDGET.removeprefix(HEAD) + "  - {metric: f1, min: 0.9}\n", "e.json": '{"f1": 0.95}'}
    )
    said = landed.judge()
    assert (said.code, said.rules[("net", "f1")]) == (0, ("pass", "head"))


def test_a_change_cannot_bring_the_accuracy_that_a_rule_of_the_target_lacks(world: World) -> None:
    world.land(FILES | {"budgets.yaml": HEAD + PAID})
    source = HEAD.replace("net.fake.yaml}", "net.fake.yaml, accuracy: {file: e.json, key: f1}}")
    world.dev.write("e.json", '{"f1": 0.5}')
    world.propose({"net.fake.yaml": BIG, "budgets.yaml": source + PAID, "e.json": '{"f1": 0.99}'})
    said = world.judge()
    assert said.code == 3
    assert "the budget names no source of accuracy" in said.reason("size")


def test_an_accuracy_pointed_elsewhere_by_the_change_still_binds_as_the_target_has_it(world: World) -> None:
    rules = "  - {metric: f1, min: 0.9}\n"
    world.land(FILES | {"budgets.yaml": NAMED + rules, "e.json": '{"f1": 0.5}', "better.json": '{"f1": 0.99}'})
    moved = NAMED.replace("e.json", "better.json")
    world.propose({"budgets.yaml": moved + rules})
    said = world.judge()
    assert (said.code, said.rules[("net", "f1")][0]) == (1, "fail")
    assert any("alters `accuracy` of the model 'net'" in notice for notice in said.notices)
    turned = NAMED.replace("key: f1", "key: f1, better: lower")
    world.propose({"budgets.yaml": turned + "  - {metric: f1, max: 0.9}\n"})
    said = world.judge()
    assert (said.code, said.rules[("net", "f1")]) == (1, ("fail", "base"))


def test_labelled_data_that_only_the_change_has_is_said(landed: World) -> None:
    source = NAMED.replace("file: e.json, key: f1", "data: val.npz, metric: top1")
    landed.propose(
        {
            "budgets.yaml": source + BUDGET.removeprefix(HEAD) + "  - {metric: f1, min: 0.5}\n",
            "net.fake.yaml": fake(more="hits: 9000/10000\n"),
            "val.npz": "labels",
        }
    )
    said = landed.judge()
    assert (said.code, said.rules[("net", "f1")]) == (0, ("pass", "head"))
    assert "f1 is evaluated on val.npz, which only the change has" in said.markdown


def test_labelled_data_of_the_target_branch_are_used_whatever_the_change_makes_of_them(world: World) -> None:
    held = NAMED.replace("file: e.json, key: f1", "data: val.npz, metric: top1") + "  - {metric: f1, min: 0.5}\n"
    hits = fake(more="hits: 9000/10000\n")
    world.land({"budgets.yaml": held, "net.fake.yaml": hits, "val.npz": "labels"})
    world.propose({"val.npz": "easier labels"})
    said = world.judge()
    assert said.code == 0
    assert said.rules[("net", "f1")] == ("pass", "both")
