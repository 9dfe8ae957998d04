"""Policy files that a budget extends: how they add up, where they are read, and what is wrong with them, in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from repository import Repository

from greengate import budget_file
from greengate.bound import carbon_budgets, policies, rules_for
from greengate.budget import Budget
from greengate.cli import door
from greengate.errors import BudgetError, Diagnostic

HERE = Path(__file__).parent
OWN = "version: 1\nextends: {}\nmodels: [{{name: net, path: net.onnx}}]\n"
BUDGET = OWN.format("policy/org.yaml")
ORG = """version: 1
rules:
  - {metric: size, max: 100 MB, locked: true}
  - {metric: params, max_increase: 5%}
"""
SHA = "3f786850e387550fdab836ed7e6dc881de23001b"


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def read(folder: Path, **files: str | bytes) -> Budget:
    write(folder, {name.replace("__", "/") + ".yaml": content for name, content in files.items()})
    return budget_file.read(folder / "budgets.yaml", "budgets.yaml")


def wrong(folder: Path, **files: str | bytes) -> tuple[Diagnostic, ...]:
    with pytest.raises(BudgetError) as caught:
        read(folder, **files)
    return caught.value.diagnostics


def numbers(budget: Budget) -> dict[str, list[str]]:
    return {rule.id: [limit.text for limit in rule.limits] for rule in budget.rules}


# --- how files add up -------------------------------------------------------------------------------------------------


def test_a_budget_without_rules_has_those_of_the_file_it_extends(tmp_path: Path) -> None:
    budget = read(tmp_path, budgets=BUDGET, policy__org=ORG)
    assert numbers(budget) == {"size": ["100 MB"], "params": ["5%"]}
    assert [rule.locked for rule in budget.rules] == [True, False]
    assert {str(rule.span).rpartition(":")[0] for rule in budget.rules} == {"policy/org.yaml:3", "policy/org.yaml:4"}
    (shared,) = budget.shared
    assert (shared.file, shared.commit, [rule.id for rule in shared.rules]) == (
        "policy/org.yaml",
        None,
        ["size", "params"],
    )
    assert shared.digest != budget.digest
    assert shared.digest.startswith("sha256:")


def test_of_rules_with_one_id_the_nearest_files_holds_whole(tmp_path: Path) -> None:
    team = "version: 1\nextends: ../org.yaml\nrules: [{metric: size, max_increase: 9%}, {metric: macs, max: 1 GMAC}]\n"
    own = (
        BUDGET.replace("policy/org", "policy/team")
        + "rules: [{metric: macs, max: 2 GMAC}, {metric: flops, max: 3 GFLOP}]\n"
    )
    budget = read(tmp_path, budgets=own, policy__team=team, org=ORG)
    assert numbers(budget) == {"macs": ["2 GMAC"], "flops": ["3 GFLOP"], "size": ["9%"], "params": ["5%"]}
    assert [one.file for one in budget.shared] == ["policy/team.yaml", "org.yaml"]
    # The shared files keep what they say themselves.
    assert [[rule.id for rule in one.rules] for one in budget.shared] == [["size", "macs"], ["size", "params"]]


def test_of_other_keys_the_nearest_file_that_has_one_decides(tmp_path: Path) -> None:
    org = ORG + (
        "on_inconclusive: fail\nmax_waiver_days: 30\nreference: {hardware: 'A*'}\n"
        "approvers: [{who: [org@example.org]}]\n"
    )
    budget = read(tmp_path, budgets=BUDGET, policy__org=org)
    assert (budget.on_inconclusive, budget.max_waiver_days) == ("fail", 30)
    assert budget.reference is not None
    assert [seat.who for seat in budget.approvers] == [("org@example.org",)]
    nearer = BUDGET + (
        "on_inconclusive: warn\nmax_waiver_days: 60\nreference: {hardware: 'B*'}\n"
        "approvers: [{who: [team@example.org], rules: [size]}]\n"
    )
    budget = read(tmp_path, budgets=nearer, policy__org=org)
    assert budget.reference is not None
    assert (budget.on_inconclusive, budget.max_waiver_days, budget.reference.hardware) == ("warn", 60, "B*")
    assert [seat.who for seat in budget.approvers] == [("team@example.org",)]
    # What judges a locked rule is the shared file by itself.
    own, locks = policies(budget)
    assert own is budget
    assert (locks.on_inconclusive, locks.reference and locks.reference.hardware) == ("fail", "A*")
    assert [seat.who for seat in locks.approvers] == [("org@example.org",)]
    assert [rule.id for rule in locks.rules] == ["size"]
    assert locks.models == budget.models


def waiver(model: str = "net", more: str = "") -> str:
    return f"{{rule: size, model: {model}, ceiling: 120 MB, reason: r, approved_by: a, expires: 2027-01-31{more}}}"


def test_waivers_add_up_and_those_of_other_repositories_are_left_out(tmp_path: Path) -> None:
    org = f"{ORG}waivers: [{waiver()}, {waiver('elsewhere')}]\n"
    own = f"{BUDGET}waivers: [{waiver().replace('120', '110')}]\n"
    budget = read(tmp_path, budgets=own, policy__org=org)
    assert [(one.model, one.ceiling, one.span.file) for one in budget.waivers] == [
        ("net", 110e6, "budgets.yaml"),
        ("net", 120e6, "policy/org.yaml"),
    ]
    assert [one.text for one in policies(budget)[1].waivers] == ["120 MB", "120 MB"]


def test_a_file_between_locks_with_what_it_inherits(tmp_path: Path) -> None:
    org = ORG + f"approvers: [{{who: [org@example.org]}}]\nwaivers: [{waiver()}]\n"
    team = "version: 1\nextends: org.yaml\nrules: [{metric: size, max: 90 MB, locked: true}]\non_inconclusive: fail\n"
    budget = read(tmp_path, budgets=OWN.format("team.yaml"), team=team, org=org)
    own, nearer, farther = policies(budget)
    assert (numbers(own)["size"], numbers(nearer), numbers(farther)) == (
        ["90 MB"],
        {"size": ["90 MB"]},
        {"size": ["100 MB"]},
    )
    assert (nearer.on_inconclusive, farther.on_inconclusive) == ("fail", None)
    assert nearer.approvers == farther.approvers != ()
    assert nearer.waivers == farther.waivers != ()


def test_selectors_of_a_shared_file_may_match_no_model_of_this_repository(tmp_path: Path) -> None:
    org = ORG.replace("max: 100 MB", "max: 100 MB, models: ['vision-*'], overrides: [{models: [x], max: 9 MB}]")
    budget = read(tmp_path, budgets=BUDGET, policy__org=org)
    assert [rule.id for rule in rules_for(budget, "net")] == ["params"]
    assert [rule.id for rule in rules_for(budget, "vision-1")] == ["size", "params"]


# --- where they are read ----------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """An organisation's repository of policies; what is fetched from it is kept in a place of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Repository(tmp_path / "library")
    made.write("models/org.yaml", "version: 1\nextends: ../all.yaml\nrules: [{metric: params, max: 5M}]\n")
    made.write("all.yaml", ORG)
    made.write("bad.yaml", "version: 1\nrules: [{metric: sise, max: 5M}]\n")
    made.commit()
    return made


def pinned(library: Repository, rev: str, path: str = "models/org.yaml") -> str:
    return OWN.format(f'{{git: "file://{library.folder}", rev: {rev}, path: {path}}}')


def test_a_file_of_another_repository_is_read_at_its_commit_and_needs_no_network_again(
    library: Repository, tmp_path: Path
) -> None:
    rev = library.git("rev-parse", "HEAD")
    text = pinned(library, rev)
    library.write("all.yaml", ORG.replace("100 MB", "1 GB"))
    library.commit()
    for _ in range(2):
        budget = read(tmp_path / "own", budgets=text)
        assert numbers(budget) == {"params": ["5M"], "size": ["100 MB"]}
        called = f"file://{library.folder}@{rev[:12]}"
        assert [one.file for one in budget.shared] == [f"{called}:models/org.yaml", f"{called}:all.yaml"]
        assert {one.commit for one in budget.shared} == {rev}
        if library.folder.exists():
            library.folder.rename(tmp_path / "gone")


@pytest.mark.parametrize("rev", ["main", "v1", "3f78685", SHA.upper()])
def test_a_revision_that_can_move_is_refused(library: Repository, tmp_path: Path, rev: str) -> None:
    library.git("tag", "v1")
    (found,) = wrong(tmp_path, budgets=pinned(library, rev))
    assert (found.code, found.span and found.span.line) == ("bad-value", 2)
    assert "a branch or a tag can be moved" in found.help


@pytest.mark.parametrize(
    "url", ["ext::sh -c id", "--upload-pack=x", "/srv/policies", "https://me:secret@host/x", "https://token@host/x"]
)
def test_a_repository_that_is_a_command_or_holds_a_secret_is_refused(tmp_path: Path, url: str) -> None:
    (found,) = wrong(tmp_path, budgets=OWN.format(f'{{git: "{url}", rev: {SHA}, path: a.yaml}}'))
    assert (found.code, found.help.rpartition(", ")[2]) == ("bad-value", "without a password")


def test_a_fetch_that_fails_leaves_nothing_to_be_taken_for_the_commit(library: Repository, tmp_path: Path) -> None:
    (found,) = wrong(tmp_path, budgets=pinned(library, SHA))
    assert found.code == "extends-unreadable"
    assert f"commit {SHA[:12]} of file://{library.folder} is not at hand and cannot be fetched" in found.message
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_says_so(
    library: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (found,) = wrong(tmp_path, budgets=pinned(library, library.git("rev-parse", "HEAD")))
    assert "cannot be written" in found.message


def test_a_mistake_in_another_repositorys_file_is_shown_there(library: Repository, tmp_path: Path) -> None:
    rev = library.git("rev-parse", "HEAD")
    (found,) = wrong(tmp_path, budgets=pinned(library, rev, "bad.yaml"))
    assert found.span is not None
    assert (found.code, str(found.span)) == ("unknown-metric", f"file://{library.folder}@{rev[:12]}:bad.yaml:2:18")
    assert found.span.source == "rules: [{metric: sise, max: 5M}]"


def test_a_path_never_leaves_the_repository_it_is_pinned_in(library: Repository, tmp_path: Path) -> None:
    library.write("out.yaml", "version: 1\nextends: ../secret.yaml\n")
    rev = library.commit()
    (tmp_path / "secret.yaml").write_text(ORG)
    (found,) = wrong(tmp_path, budgets=pinned(library, rev, "out.yaml"))
    assert found.code == "extends-unreadable"
    assert "lies outside of the repository" in found.message
    (found,) = wrong(tmp_path, budgets=pinned(library, rev, "../secret.yaml"))
    assert found.code == "extends-unreadable"


def test_a_link_in_another_repository_is_not_followed(library: Repository, tmp_path: Path) -> None:
    (library.folder / "linked.yaml").symlink_to("all.yaml")
    (library.folder / "folder").symlink_to("models")
    rev = library.commit()
    (found,) = wrong(tmp_path, budgets=pinned(library, rev, "linked.yaml"))
    assert "is a symbolic link" in found.message
    (found,) = wrong(tmp_path, budgets=pinned(library, rev, "folder/org.yaml"))
    assert found.code == "extends-unreadable"


# --- what is wrong with them ------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    found = wrong(tmp_path, budgets=BUDGET)
    golden(HERE / "shared" / "extends-unreadable.txt", "\n\n".join(map(str, found)))


def test_files_that_extend_each_other(tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    write(tmp_path, {"policy/org.yaml": "version: 1\nextends: ../team.yaml\nrules: [{metric: size, max: 1 MB}]\n"})
    found = wrong(tmp_path, budgets=BUDGET, team="version: 1\nextends: policy/../policy/org.yaml\n")
    golden(HERE / "shared" / "extends-circular.txt", "\n\n".join(map(str, found)))


def test_a_budget_that_extends_itself(tmp_path: Path) -> None:
    (found,) = wrong(tmp_path, budgets=OWN.format("budgets.yaml"))
    assert (found.code, found.message) == (
        "extends-circular",
        "the files extend each other: budgets.yaml -> budgets.yaml",
    )


@pytest.mark.parametrize(("count", "code"), [(5, None), (6, "extends-circular")])
def test_more_files_in_a_row_than_anybody_can_follow(tmp_path: Path, count: int, code: str | None) -> None:
    write(tmp_path, {f"p{n}.yaml": f"version: 1\nextends: p{n + 1}.yaml\n" for n in range(1, count)})
    write(tmp_path, {f"p{count}.yaml": ORG})
    if code is None:
        assert len(read(tmp_path, budgets=OWN.format("p1.yaml")).shared) == count
    else:
        (found,) = wrong(tmp_path, budgets=OWN.format("p1.yaml"))
        assert (found.code, found.span and found.span.file) == (code, "p5.yaml")


@pytest.mark.parametrize(
    ("org", "code", "place"),
    [
        (b"\x00\x01\x02", "bad-yaml", "policy/org.yaml:1"),
        (b"version: 1\nrules: \xff\n", "bad-encoding", "policy/org.yaml:2"),
        ("", "empty-file", None),
        (
            "version: 1\nmodels: [{path: a.onnx}]\nrules: [{metric: size, max: 1 B}]\n",
            "unknown-key",
            "policy/org.yaml:2",
        ),
        ("version: 1\n", "missing-key", "policy/org.yaml:1"),
        ("version: 1\nrules: []\n", "empty-budget", "policy/org.yaml:2"),
        (ORG.replace("100 MB", "100 parsecs"), "unknown-unit", "policy/org.yaml:3"),
        (ORG.replace("true", "sometimes"), "wrong-type", "policy/org.yaml:3"),
        (ORG.replace("params", "size"), "duplicate-id", "policy/org.yaml:4"),
        (ORG + "carbon: {country: FRA}\n", "unknown-key", "policy/org.yaml:5"),
        (ORG + "approvers: [{who: [a], rules: [sise]}]\n", "unmatched-selector", "policy/org.yaml:5"),
        (ORG + f"max_waiver_days: 5\nwaivers: [{waiver()}]\n", "missing-key", "policy/org.yaml:6"),
        (ORG + f"waivers: [{waiver().replace('120', '99')}]\n", "contradictory-limits", "policy/org.yaml:5"),
    ],
)
def test_a_mistake_in_a_shared_file_is_shown_there(tmp_path: Path, org: str | bytes, code: str, place: str) -> None:
    found = wrong(tmp_path, budgets=BUDGET, policy__org=org)
    assert [one.code for one in found] == [code]
    span = found[0].span
    assert (None if span is None else str(span).rpartition(":")[0]) == place


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("rules: [{metric: size, max: 1 MB, locked: true}]\n", "unknown-key"),  # nobody extends a budget
        ("rules: [{id: size, metric: flops, max: 1 GFLOP}]\n", "duplicate-id"),  # one name, two metrics
        ("approvers: [{who: [a], rules: [sise]}]\n", "unmatched-selector"),
        (f"waivers: [{waiver()}, {waiver()}]\n", "duplicate-id"),
        (f"waivers: [{waiver().replace('MB', 'ms')}]\n", "unknown-unit"),
        (f"waivers: [{waiver().replace('120', '99')}]\n", "contradictory-limits"),  # than the shared rule
    ],
)
def test_a_mistake_that_takes_two_files_to_see(tmp_path: Path, more: str, code: str) -> None:
    found = wrong(tmp_path, budgets=BUDGET + more, policy__org=ORG)
    assert [(one.code, one.span and one.span.file) for one in found] == [(code, "budgets.yaml")]


def test_a_shared_bound_on_waivers_holds_for_the_budgets_own(tmp_path: Path) -> None:
    long = waiver(more=", granted: 2026-11-01")
    (found,) = wrong(tmp_path, budgets=f"{BUDGET}waivers: [{long}]\n", policy__org=ORG + "max_waiver_days: 90\n")
    assert "longer than the 90 that the policy allows" in found.message
    assert read(tmp_path, budgets=f"{BUDGET}waivers: [{long}]\n", policy__org=ORG + "max_waiver_days: 91\n").waivers


@pytest.mark.parametrize(("first", "codes"), [("2027-01-31", []), ("2027-02-01", ["bad-value"])])
def test_a_waiver_of_one_day_is_one(tmp_path: Path, first: str, codes: list[str]) -> None:
    text = f"{BUDGET}waivers: [{waiver(more=f', granted: {first}')}]\n"
    if codes:
        assert [(one.code, one.message) for one in wrong(tmp_path, budgets=text, policy__org=ORG)] == [
            ("bad-value", "the waiver ends on 2027-01-31, before it begins")
        ]
    else:
        assert [str(one.granted) for one in read(tmp_path, budgets=text, policy__org=ORG).waivers] == [first]


@pytest.mark.parametrize(("count", "told"), [(12, "m11"), (13, "m11 and 1 more"), (20, "m11 and 8 more")])
def test_twelve_models_are_named_and_the_rest_counted(tmp_path: Path, count: int, told: str) -> None:
    models = "".join(f"  - {{name: m{index}, path: m.onnx}}\n" for index in range(count))
    text = f"version: 1\nmodels:\n{models}rules: [{{metric: size, max: 1 MB, models: [vision-*]}}]\n"
    (found,) = wrong(tmp_path, budgets=text)
    assert (found.code, found.help.endswith(f"m10, {told}")) == ("unmatched-selector", True), found.help


def test_mistakes_of_all_files_are_told_at_once_the_budgets_first(tmp_path: Path) -> None:
    found = wrong(tmp_path, budgets=BUDGET + "rules: [{metric: sise, max: 1}]\n", policy__org=ORG.replace("5%", "5"))
    assert [(one.code, one.span and one.span.file) for one in found] == [
        ("unknown-metric", "budgets.yaml"),
        ("missing-unit", "policy/org.yaml"),
    ]


def test_what_takes_two_places_to_see_is_told_before_the_mistakes_of_other_files(tmp_path: Path) -> None:
    rules = "rules: [{metric: params, max: 1}, {metric: params, max: 2}]\n"
    found = wrong(tmp_path, budgets=BUDGET + rules, policy__org=ORG.replace("5%", "5"))
    assert [(one.code, one.span and one.span.file) for one in found] == [
        ("duplicate-id", "budgets.yaml"),
        ("missing-unit", "policy/org.yaml"),
    ]


def test_one_name_for_two_metrics_names_both_places(tmp_path: Path) -> None:
    (found,) = wrong(tmp_path, budgets=BUDGET + "rules: [{id: size, metric: flops, max: 1 GFLOP}]\n", policy__org=ORG)
    assert found.message.startswith("the rule 'size' is on size in policy/org.yaml:")
    assert found.help == "give this one another `id`"


@pytest.mark.parametrize("linked", ["policy/org.yaml", "policy"])
def test_a_linked_file_or_folder_is_not_followed(tmp_path: Path, linked: str) -> None:
    write(tmp_path, {"real/org.yaml": ORG, "budgets.yaml": BUDGET})
    if linked == "policy":
        (tmp_path / "policy").symlink_to("real")
    else:
        (tmp_path / "policy").mkdir()
        (tmp_path / linked).symlink_to("../real/org.yaml")
    (found,) = wrong(tmp_path, budgets=BUDGET)
    assert (found.code, found.message) == (
        "extends-unreadable",
        "policy/org.yaml is a symbolic link, or behind one",
    )
    assert str(found.span) == "budgets.yaml:2:10"


@pytest.mark.parametrize("path", ["/etc/org.yaml", "~/org.yaml", "C:\\org.yaml", "'a\\b.yaml'", "'x:y.yaml'", "''"])
def test_a_path_starts_at_the_files_folder(tmp_path: Path, path: str) -> None:
    assert [one.code for one in wrong(tmp_path, budgets=OWN.format(path))] == ["bad-value"]


@pytest.mark.parametrize(
    ("extends", "codes"),
    [
        ("[a.yaml]", ["wrong-type"]),
        ("null", ["wrong-type"]),
        ("{}", ["missing-key"] * 3),
        (f"{{git: 'https://h/x', rev: {SHA}}}", ["missing-key"]),
        (f"{{git: 'file:///nowhere', rev: {SHA}, path: a.yaml, branch: main}}", ["extends-unreadable", "unknown-key"]),
    ],
)
def test_what_extends_must_be(tmp_path: Path, extends: str, codes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = wrong(tmp_path, budgets=OWN.format(extends) + "rules: [{metric: size, max: 1 MB}]\n")
    assert [one.code for one in found] == codes


def test_files_without_any_rule_judge_nothing_and_are_refused(tmp_path: Path) -> None:
    circle = {"a.yaml": "version: 1\nextends: b.yaml\n", "b.yaml": "version: 1\nrules: []\n"}
    write(tmp_path, circle)
    assert [one.code for one in wrong(tmp_path, budgets=OWN.format("a.yaml"))] == ["empty-budget"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (BUDGET, True),  # whether what it extends is there is another matter
        ("version: 1\nextends: a.yaml\nmodels: [{path: 5}]\n", True),
        ("version: 1\nrules: 5\nmodels: [{path: 5}]\n", True),
        (ORG, False),
        ("version: 1\nmodels: [{path: a.onnx}]\n", False),
        ("extends: a.yaml\n", False),
    ],
)
def test_a_budget_is_known_as_one_with_mistakes_in_it(text: str, is_one: bool) -> None:
    assert budget_file.is_budget(text.encode()) is is_one


# --- the command line and the schema ----------------------------------------------------------------------------------


def test_validate_checks_budgets_and_shared_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        {"budgets.yaml": BUDGET, "policy/org.yaml": ORG, "team.yaml": "version: 1\nextends: policy/org.yaml\n"},
    )
    assert door.run(["validate"]) == 0
    assert door.run(["validate", "--shared", "policy/org.yaml"]) == 0
    assert door.run(["validate", "--shared", "team.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "budgets.yaml: valid; 2 rules for 1 model, with 1 shared file",
        "policy/org.yaml: valid; 2 rules to share",
        "team.yaml: valid; 0 rules to share, with 1 shared file",
    ]
    assert door.run(["validate", "policy/org.yaml"]) == 2
    assert door.run(["validate", "--shared", "budgets.yaml"]) == 2
    assert "error[unknown-key]: 'models' is not a key of the shared policy" in capsys.readouterr().err


VALIDATOR = jsonschema.Draft202012Validator(budget_file.schema(shared=True))


@pytest.mark.parametrize(
    ("document", "fine"),
    [
        ({"version": 1, "rules": [{"metric": "size", "max": "1 MB", "locked": True}]}, True),
        ({"version": 1, "extends": "a.yaml"}, True),
        ({"version": 1, "extends": {"git": "https://h/x", "rev": SHA, "path": "a.yaml"}}, True),
        ({"version": 1, "extends": {"git": "https://h/x", "rev": "main", "path": "a.yaml"}}, False),
        ({"version": 1, "extends": "/a.yaml"}, False),
        ({"version": 1}, False),
        ({"version": 1, "extends": "a.yaml", "models": [{"path": "a.onnx"}]}, False),
    ],
)
def test_the_schema_of_shared_files_says_the_same(document: Any, fine: bool) -> None:
    assert VALIDATOR.is_valid(document) is fine


def test_both_schemas_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for words in (["schema"], ["schema", "--shared"]):
        assert door.run(words) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert [one["$id"] for one in printed] == ["urn:greengate:budget:1", "urn:greengate:policy:1"]
    for one in printed:
        jsonschema.Draft202012Validator.check_schema(one)


def test_an_override_says_what_an_undecided_rule_does_for_some_models(tmp_path: Path) -> None:
    override = "{metric: size, max: 1 MB, on_inconclusive: fail, overrides: [{models: [net], on_inconclusive: warn}]}"
    budget = read(
        tmp_path, budgets=f"version: 1\nmodels: [{{path: net.onnx}}, {{path: b.onnx}}]\nrules: [{override}]\n"
    )
    assert [rules_for(budget, name)[0].on_inconclusive for name in ("net", "b")] == ["warn", "fail"]


# --- carbon budgets ---------------------------------------------------------------------------------------------------

CARBON = "carbon_budget: {{max: {}, period: 2026-Q4{}}}\n"
LOCKED = ORG + CARBON.format("50 kg", ", locked: true, records: [runs/*.json]")


def carbon(found: Budget) -> list[tuple[str, str, bool]]:
    return [(each.limit.text, each.span.file, each.locked) for each in carbon_budgets(found)]


def test_the_nearest_carbon_budget_holds_and_a_locked_one_beside_it(tmp_path: Path) -> None:
    own = BUDGET + CARBON.format("90 kg", "")
    assert carbon(read(tmp_path, budgets=BUDGET, policy__org=LOCKED)) == [("50 kg", "policy/org.yaml", True)]
    assert carbon(read(tmp_path, budgets=own, policy__org=LOCKED)) == [
        ("90 kg", "budgets.yaml", False),
        ("50 kg", "policy/org.yaml", True),
    ]
    plain = LOCKED.replace("locked: true, ", "")
    assert carbon(read(tmp_path, budgets=own, policy__org=plain)) == [("90 kg", "budgets.yaml", False)]
    assert carbon(read(tmp_path, budgets=BUDGET, policy__org=plain)) == [("50 kg", "policy/org.yaml", False)]


def test_a_lock_two_files_away_binds_and_a_file_may_hold_nothing_but_a_carbon_budget(tmp_path: Path) -> None:
    team = "version: 1\nextends: org.yaml\n" + CARBON.format("70 kg", ", locked: true")
    only = "version: 1\n" + CARBON.format("50 kg", ", locked: true")
    budget = read(
        tmp_path,
        budgets=OWN.format("policy/team.yaml") + "rules: [{metric: size, max: 1 MB}]\n" + CARBON.format("90 kg", ""),
        policy__team=team,
        policy__org=only,
    )
    assert [text for text, _, _ in carbon(budget)] == ["90 kg", "70 kg", "50 kg"]
    assert [rule.id for each in policies(budget) for rule in rules_for(each, "net")] == ["size"]


@pytest.mark.parametrize(
    ("own", "org", "code"),
    [
        (CARBON.format("50 kg", ", locked: true"), ORG, "unknown-key"),  # nobody extends a budget
        ("", LOCKED.replace("locked: true", "locked: perhaps"), "wrong-type"),
        ("", LOCKED.replace("size, max", "size, id: carbon_budget, max"), "duplicate-id"),
        ("rules: [{id: carbon_budget, metric: flops, max: 1 GFLOP}]\n", LOCKED, "duplicate-id"),
    ],
)
def test_a_carbon_budget_of_a_shared_file_is_read_as_strictly(tmp_path: Path, own: str, org: str, code: str) -> None:
    assert {one.code for one in wrong(tmp_path, budgets=BUDGET + own, policy__org=org)} == {code}


def test_a_carbon_budget_alone_is_no_rule_of_any_file(tmp_path: Path) -> None:
    (found,) = wrong(tmp_path, budgets=BUDGET, policy__org="version: 1\n" + CARBON.format("50 kg", ""))
    assert (found.code, found.message) == ("empty-budget", "no file of these has a rule")
    assert found.span is not None
    assert "extends" in found.span.source
