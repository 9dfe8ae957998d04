"""`--skip-unchanged`: what a change does not touch is left out and said; all else is measured, whatever it tries."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from repository import Repository
from world import World, fake

from greengate import budget_file
from greengate.cli import door, output
from greengate.gate import parts, unchanged
from greengate.gate.request import Chosen, Request, Setting
from greengate.git import trees
from greengate.git.trees import Leaf

BUDGET = (
    "version: 1\nmodels:\n"
    "  - {name: a, path: models/a/a.fake.yaml}\n"
    "  - {name: b, path: models/b/b.fake.yaml}\n"
    "rules:\n  - {metric: size, max_increase: 5%}\n"
)
LANDED: dict[str, str | bytes | None] = {
    "budgets.yaml": BUDGET,
    "models/a/a.fake.yaml": fake(),
    "models/b/b.fake.yaml": fake(),
    "README.md": "one\n",
    "docs/guide.md": "one\n",
    "docs/picture.png": b"\x89PNG",
    "train.py": "one\n",
    "LICENSE": "one\n",
}
Files = dict[str, str | bytes | None]
BIG = fake("11 MB")
LEFT = {"a": "deferred", "b": "deferred"}


@pytest.fixture
def landed(world: World) -> World:
    world.land(LANDED)
    return world


def outcome(world: World, files: Files | None = None, *words: str, folder: Path | None = None) -> dict[str, str]:
    """Propose a change, judge it in a fresh checkout of depth 1 and return each model's status."""
    if files is not None:
        world.propose(files)
    said = world.check(folder or world.checkout(), "--skip-unchanged", *words)
    assert said.raw, said.err
    world.said = said  # type: ignore[attr-defined]
    return {model: status for (model, _), (status, _) in said.rules.items()}


def why(world: World, model: str = "a") -> str:
    """Return why a model was measured although it might have been left out."""
    case = next(one for one in world.said.raw["case"]["models"] if one["name"] == model)  # type: ignore[attr-defined]
    said = "measured although --skip-unchanged was asked for: "
    return next((str(note).removeprefix(said) for note in case["notes"] if note.startswith(said)), "")


def test_documentation_touches_no_model(landed: World) -> None:
    assert outcome(landed, {"docs/picture.png": b"x", "LICENSE": None, "new/notes.rst": "x"}) == LEFT
    assert outcome(landed, {"models/a/README.md": "a card beside a file that needs no other\n"}) == LEFT
    assert outcome(landed, {}) == LEFT


def test_what_was_left_out_is_no_pass_and_is_said(landed: World) -> None:
    landed.propose({"README.md": "two\n"})
    folder = landed.checkout()
    said = landed.check(folder, "--skip-unchanged", "--report", f"dotenv={landed.place}/o.env")
    base = landed.tip[:12]
    reason = f"the change does not touch it: only README.md changed since {base}"
    assert (said.code, said.raw["status"]) == (0, "deferred")
    first = next(rule for rule in said.raw["rules"] if rule["model"] == "a")
    assert first["candidate"] == {
        "missing": reason,
        "kind": "unchanged",
        "help": "measure it all the same: leave --skip-unchanged out",
    }
    assert (first["reason"], first["status"], first["method"]) == (reason, "deferred", None)
    assert said.markdown.startswith("⏳ **DEFERRED** nothing was measured, as the change does not touch a, b\n")
    assert reason.replace("_", "\\_") in said.markdown
    assert "GREENGATE_OUTCOME=unchanged\nGREENGATE_EXIT_CODE=0\n" in (landed.place / "o.env").read_text()
    # It is a choice: without it the same change is measured.
    assert landed.check(folder).rules == {("a", "size"): ("pass", "both"), ("b", "size"): ("pass", "both")}


def test_a_model_of_another_folder_is_judged_and_this_one_left_out(landed: World) -> None:
    assert outcome(landed, {"models/b/b.fake.yaml": BIG, "README.md": "two\n"}) == {"a": "deferred", "b": "fail"}
    said = landed.said  # type: ignore[attr-defined]
    assert said.code == 1
    assert said.markdown.startswith(
        "❌ **FAIL** the only rule judged is over budget: size (b); a not measured, as unchanged\n"
    )
    assert why(landed, "b") == "models/b/b.fake.yaml changed"
    assert why(landed, "a") == ""


def test_a_model_that_got_lighter_beside_one_left_out_is_worth_its_own_words(landed: World) -> None:
    assert outcome(landed, {"models/b/b.fake.yaml": fake("9 MB")}) == {"a": "deferred", "b": "pass"}
    said = landed.said  # type: ignore[attr-defined]
    assert said.markdown.startswith(
        "⏳ **DEFERRED** the only rule judged is within budget; a not measured, as unchanged\n"
    )


FILE, PROGRAM, LINK, MODULE = "100644", "100755", "120000", "160000"


@pytest.mark.parametrize(
    ("path", "mode", "data", "code"),
    [
        ("README.md", FILE, True, True),
        ("any/where.rst", FILE, True, True),
        ("LICENSE", FILE, True, False),
        ("LICENCE.txt", FILE, True, False),
        ("docs/a/picture.png", FILE, True, False),
        ("src/picture.png", FILE, False, False),
        ("docs/conf.py", FILE, False, False),
        ("docs/requirements.txt", FILE, False, False),
        ("README.MD", FILE, False, False),
        ("README.md\n", FILE, False, False),
        ("README.md", PROGRAM, False, False),
        ("README.md", LINK, False, False),
        ("README.md", MODULE, False, False),
        ("train.py", FILE, False, False),
        (".gitattributes", FILE, False, False),
        (".lfsconfig", FILE, False, False),
        (".greengate/approvals/a.json", FILE, False, False),
        ("models/a/a.onnx", FILE, False, False),
        ("MODELS/A/A.ONNX", FILE, False, False),
        ("models/a/README.md", FILE, True, True),
        ("models/a/train.py", FILE, False, False),
        ("eval.md", FILE, False, False),  # what the budget names as its accuracy
        ("Eval.md", FILE, False, False),  # and where case is none, this is the same file
        ("models/b/b.onnx", FILE, True, False),
        ("models/b/b.onnx", LINK, False, False),
        ("models/b/train.py", FILE, True, False),
        ("models/b/requirements.txt", FILE, False, False),
        ("models/b/.gitattributes", FILE, False, False),
        ("models/bb/x.bin", FILE, False, False),
    ],
)
def test_what_may_matter_for_a_model(path: str, mode: str, data: bool, code: bool) -> None:
    """Whatever a change writes: for a model in files, and for one that is code."""
    other = unchanged._Reach(("models/b/b.onnx",), (), "models/b", code=False)
    changes = [
        unchanged._Change(Path(), "", {}, {}, {path: Leaf(mode, "1")}, (path,)),
        unchanged._Change(Path(), "", {path: Leaf(mode, "1")}, {}, {path: Leaf(FILE, "2")}, (path,)),
        unchanged._Change(Path(), "", {path: Leaf(mode, "1")}, {}, {}, (path,)),
    ]
    for is_code, harmless in ((False, data), (True, code)):
        own = unchanged._Reach(("models/a/a.onnx", "eval.md"), (), "models/a", is_code)
        homes = [home for name, home in unchanged._homes({"a": own, "b": other}, "budgets.yaml") if name != "a"]
        for change in changes:
            assert unchanged._harmless(path, own, [other], homes, change) is harmless


@pytest.mark.parametrize(
    ("home", "budget", "third", "found"),
    [
        ("models/b", "budgets.yaml", "models/c", True),
        ("models", "budgets.yaml", "models/c", False),  # another model's folder lies in it
        ("models/b", "budgets.yaml", "models/b", False),
        ("models/b/deep", "budgets.yaml", "models/b", False),  # it lies in another model's folder
        (".", "budgets.yaml", "models/c", False),
        ("models/b", "models/b/budgets.yaml", "models/c", False),
        (".github/b", "budgets.yaml", "models/c", False),
    ],
)
def test_a_folder_is_a_models_own_where_nothing_else_of_the_budget_lies(
    home: str, budget: str, third: str, found: bool
) -> None:
    reaches = {
        "b": unchanged._Reach((f"{home}/b.onnx",), (), home, code=False),
        "c": unchanged._Reach((f"{third}/c.onnx",), (), third, code=False),
    }
    assert ("b" in dict(unchanged._homes(reaches, budget))) is found
    assert not dict(unchanged._homes({**reaches, "d": "it cannot be told"}, budget)), "it may rest on anything"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"train.py": "two\n", "README.md": "two\n"}, "train.py changed"),
        ({"budgets.yaml": BUDGET + "# a word\n"}, "the policy is not the target branch's"),
    ],
    ids=["code", "policy"],
)
def test_whatever_may_matter_is_measured_and_named(landed: World, files: Files, reason: str) -> None:
    assert outcome(landed, files) == {"a": "pass", "b": "pass"}
    assert why(landed) == reason


def test_a_model_that_moved_is_two_paths(landed: World) -> None:
    landed.dev.git("checkout", "--quiet", "-B", "topic", "main")
    landed.dev.git("mv", "models/a/a.fake.yaml", "models/a/old.md")
    found = outcome(landed, {"models/a/a.fake.yaml": BIG})
    assert found["a"] == "fail"


def test_a_link_is_never_harmless(landed: World) -> None:
    link = "README.md"
    landed.dev.git("checkout", "--quiet", "-B", "topic", "main")
    (landed.dev.folder / link).unlink()
    (landed.dev.folder / link).symlink_to(landed.dev.folder / "models/a/a.fake.yaml")
    assert outcome(landed, {"LICENSE": "two\n"})["a"] == "pass"
    assert why(landed) == f"{link} changed"


def test_a_model_behind_a_link_is_measured(world: World) -> None:
    world.land(LANDED)
    (world.dev.folder / "models/c").symlink_to("a")
    world.land({"budgets.yaml": BUDGET.replace("models/a/", "models/c/")})
    assert outcome(world, {"README.md": "two\n"}) == {"a": "pass", "b": "deferred"}
    assert why(world) == "a.fake.yaml is reached through a symbolic link"


def test_a_merge_that_brings_something_of_its_own_is_seen(landed: World) -> None:
    """Both parents leave the model alone; what the merge commit itself holds counts."""
    landed.dev.git("checkout", "--quiet", "-B", "topic", "main")
    landed.dev.commit({"README.md": "two\n"})
    landed.dev.git("checkout", "--quiet", "-B", "side", "main")
    landed.dev.commit({"docs/guide.md": "two\n"})
    landed.dev.git("checkout", "--quiet", "topic")
    landed.dev.git("merge", "--quiet", "--no-ff", "--no-commit", "side")
    landed.dev.commit({"models/a/a.fake.yaml": BIG})
    landed.propose({"LICENSE": "two\n"}, fresh=False)
    assert outcome(landed)["a"] == "fail"


def test_a_target_that_moved_on_is_met_as_it_is_now(landed: World) -> None:
    """The change is behind: its model is not the target's any more."""
    landed.propose({"README.md": "two\n"})
    tip = landed.land({"models/a/a.fake.yaml": fake("9 MB")})
    folder = landed.checkout(depth=None)
    environ = landed.gitlab(CI_COMMIT_SHA=landed.topic, CI_MERGE_REQUEST_TARGET_BRANCH_SHA=tip)
    landed.dev.git("checkout", "--quiet", "topic")
    Repository(folder).git("checkout", "--quiet", "--detach", landed.topic)
    said = landed.check(folder, "--skip-unchanged", environ=environ)
    landed.said = said  # type: ignore[attr-defined]
    assert {model: status for (model, _), (status, _) in said.rules.items()} == {"a": "pass", "b": "deferred"}
    assert why(landed) == "models/a/a.fake.yaml is another one on the target branch now"


def test_what_lies_in_the_work_tree_is_what_counts(landed: World) -> None:
    landed.propose({"README.md": "two\n"})
    folder = landed.checkout()
    # A file of nobody beside a model of one file does not matter; the model's own does, told to the index or not.
    (folder / "models/b/scratch.bin").write_bytes(b"x")
    Repository(folder).git("update-index", "--assume-unchanged", "models/a/a.fake.yaml")
    (folder / "models/a/a.fake.yaml").write_text(BIG)
    assert outcome(landed, folder=folder) == {"a": "fail", "b": "deferred"}
    assert why(landed) == "models/a/a.fake.yaml is not what is committed"


# --- what else a verdict rests on -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "change", "reason"),
    [
        (", baseline: 'ref:main'", "README.md", "its baseline ref:main may move without a change of this repository"),
        (", accuracy: {command: 'cat docs/eval.md', key: top1}", "docs/picture.png", "docs/picture.png changed"),
    ],
    ids=["moving-baseline", "command"],
)
def test_what_a_model_rests_on_is_no_documentation(world: World, more: str, change: str, reason: str) -> None:
    """A file that is called like documentation and that the budget names is what it is named for."""
    world.land(
        {
            **LANDED,
            "budgets.yaml": BUDGET.replace("a.fake.yaml}", f"a.fake.yaml{more}}}"),
            "docs/eval.md": '{"top1": 0.9}',
        }
    )
    assert outcome(world, {change: fake("9 MB")})["a"] != "deferred"
    assert why(world) == reason


def test_commands_are_code_and_only_prose_touches_none(world: World) -> None:
    command = BUDGET.replace("a.fake.yaml}", "a.fake.yaml, accuracy: {command: 'cat eval.json', key: top1}}")
    world.land({**LANDED, "budgets.yaml": command, "eval.json": '{"top1": 0.9}'})
    assert outcome(world, {"README.md": "two\n"}) == {"a": "deferred", "b": "deferred"}
    assert outcome(world, {"models/b/b.fake.yaml": fake("9 MB")}) == {"a": "pass", "b": "pass"}
    assert why(world) == "models/b/b.fake.yaml changed"


def test_a_result_that_no_commit_has_is_measured(world: World) -> None:
    declared = BUDGET.replace("a.fake.yaml}", "a.fake.yaml, accuracy: {file: eval.json, key: top1}}")
    world.land({**LANDED, "budgets.yaml": declared})
    world.propose({"README.md": "two\n"})
    folder = world.checkout()
    (folder / "eval.json").write_text('{"top1": 0.9}')
    assert outcome(world, folder=folder) == {"a": "pass", "b": "deferred"}
    assert why(world) == "eval.json is in no commit"


def test_a_named_accuracy_is_left_out_with_its_model(world: World) -> None:
    named = BUDGET.replace("a.fake.yaml}", "a.fake.yaml, accuracy: [{name: f1, file: e.json, key: f1}]}")
    named += "  - {metric: f1, max_decrease: 1 pp, models: [a]}\n"
    world.land({**LANDED, "budgets.yaml": named, "e.json": '{"f1": 0.9}'})
    world.propose({"README.md": "two\n"})
    said = world.check(world.checkout(), "--skip-unchanged")
    assert {status for status, _ in said.rules.values()} == {"deferred"}
    assert len(said.rules) == 3


def test_models_in_one_folder_are_told_apart_by_their_files(world: World) -> None:
    flat = BUDGET.replace("models/a/", "models/").replace("models/b/", "models/")
    world.land({"budgets.yaml": flat, "models/a.fake.yaml": fake(), "models/b.fake.yaml": fake()})
    assert outcome(world, {"models/b.fake.yaml": BIG}) == {"a": "deferred", "b": "fail"}
    assert outcome(world, {"models/train.md": "x", "models/train.py": "x"}) == {"a": "pass", "b": "pass"}
    assert why(world) == "models/train.py changed"


@pytest.mark.parametrize(
    ("name", "content", "whole"),
    [
        ("a.onnx", b"\x08\x0anothing else", False),
        ("a.onnx", b"\x0a\x08location\x12\x09README.md", True),
        ("a.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n", True),
        ("a.pt2", b"PK location", False),
    ],
    ids=["alone", "external", "pointer", "archive"],
)
def test_an_onnx_file_that_may_name_others_takes_its_folder_along(
    tmp_path: Path, name: str, content: bytes, whole: bool
) -> None:
    """Whatever lies beside it may be its weights, a README too; protobuf keeps the word as it is."""
    (tmp_path / name).write_bytes(content)
    assert unchanged._lies(tmp_path / name) == (whole, tmp_path if whole else tmp_path / name)


def test_a_folder_is_held_whole(world: World) -> None:
    """Beside an ONNX file that names others, and in a model of many files, every file counts."""
    world.land({**LANDED, "models/a/weights.md": "one\n"})
    world.propose({"README.md": "two\n"})
    folder = world.checkout()
    head = trees.leaves(folder, "".join(Repository(folder).git("rev-parse", "HEAD")))
    change = unchanged._Change(folder, "", head, head, head, ())
    unchanged._hold("models/a", True, change)
    (folder / "models/a/new.md").write_text("x")
    with pytest.raises(unchanged._InDoubt, match=r"models/a/new\.md is in no commit"):
        unchanged._hold("models/a", True, change)
    (folder / "models/a/new.md").unlink()
    (folder / "models/a/weights.md").unlink()
    with pytest.raises(unchanged._InDoubt, match=r"models/a/weights\.md is not what is committed"):
        unchanged._hold("models/a", True, change)
    without = {name: leaf for name, leaf in head.items() if name != "models/a/weights.md"}
    for sides, said in (((without, head), "changed"), ((head, without), "is another one on the target branch now")):
        with pytest.raises(unchanged._InDoubt, match=f"models/a {said}"):
            unchanged._hold("models/a", True, unchanged._Change(folder, "", *sides, head, ()))
    linked = {**head, "models/a/link": Leaf("120000", head["README.md"].id)}
    with pytest.raises(unchanged._InDoubt, match="models/a is, or holds, a symbolic link or a submodule"):
        unchanged._hold("models/a", True, unchanged._Change(folder, "", linked, linked, linked, ()))
    with pytest.raises(unchanged._InDoubt, match="gone is in no commit"):
        unchanged._hold("gone", False, change)


def test_git_lfs_pointers_speak_for_their_content(world: World) -> None:
    content = fake().encode()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(content).hexdigest()}\n"
    world.land({**LANDED, "models/a/a.fake.yaml": f"{pointer}size {len(content)}\n"})
    world.propose({"README.md": "two\n"})
    folder = world.checkout()
    assert outcome(world, folder=folder)["a"] == "deferred", "the pointer is what is committed"
    (folder / "models/a/a.fake.yaml").write_bytes(content)
    assert outcome(world, folder=folder)["a"] == "deferred", "and so is what it names"
    (folder / "models/a/a.fake.yaml").write_text(BIG)
    assert outcome(world, folder=folder)["a"] != "deferred"
    assert why(world) == "models/a/a.fake.yaml is not what is committed"


def reach(folder: Path, entry: str, **files: bytes) -> unchanged._Reach | str:
    """Return what a verdict on one model rests on, or why that cannot be told."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    head = "version: 1\nmodels:\n"
    (folder / "budgets.yaml").write_text(f"{head}  - {{{entry}}}\nrules:\n  - {{metric: size, max: 1 GB}}\n")
    budget = budget_file.read(folder / "budgets.yaml")
    (model,) = budget.models
    setting = Setting(budget, Request(), folder)
    try:
        return unchanged._reach(Chosen(model, folder / model.path, model.path), setting, folder)
    except unchanged._InDoubt as doubt:
        return str(doubt)


def test_what_a_verdict_rests_on(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "sub").mkdir()
    assert reach(folder, "path: a.pt, inputs: {from: x.npz}, training: t.json", a__pt=b"x") == unchanged._Reach(
        ("x.npz", "t.json", "a.pt"), (), ".", code=False
    )
    assert reach(folder, "path: a.pt, accuracy: {data: e.npz, metric: top1}, baseline: 'dir:sub'") == unchanged._Reach(
        ("e.npz", "a.pt"), ("sub",), ".", code=False
    )
    made = reach(folder, "path: 'nets:make', weights: w.safetensors, inputs: {x: {shape: [1]}}")
    assert made == unchanged._Reach(("w.safetensors",), (), ".", code=True)
    fed = reach(folder, "path: a.pt, inputs_from: 'nets:inputs'")
    assert isinstance(fed, unchanged._Reach)
    assert fed.code
    assert reach(folder, "path: ../a.pt") == "a.pt lies outside of the repository"
    at_the_top = reach(folder, "path: a.onnx", a__onnx=b"\x08location")
    assert at_the_top == "it may read any file of the repository, at whose top it lies"


def test_a_shared_policy_that_the_change_edits_is_another_policy(landed: World) -> None:
    shared = "version: 1\nrules:\n  - {metric: params, max_increase: 5%}\n"
    landed.land({"budgets.yaml": f"extends: policy.md\n{BUDGET}", "policy.md": shared})
    assert outcome(landed, {"policy.md": shared + "# a word\n"})["a"] == "pass"
    assert why(landed) == "the policy is not the target branch's"


# --- where it can be told ---------------------------------------------------------------------------------------------


def test_outside_of_a_request_everything_is_measured(landed: World) -> None:
    landed.propose({"README.md": "two\n"})
    said = landed.check(landed.checkout(), "--skip-unchanged", "--against", "none", environ={"CI": "true"})
    landed.said = said  # type: ignore[attr-defined]
    assert why(landed) == "this is no pull or merge request"
    assert "this is no pull or merge request" in said.markdown


def test_a_first_budget_is_measured(world: World) -> None:
    world.land({name: content for name, content in LANDED.items() if name != "budgets.yaml"})
    assert outcome(world, {"budgets.yaml": BUDGET}) == {"a": "pass", "b": "pass"}
    assert why(world) == "the target branch has no policy yet"


def test_without_the_merge_base_everything_is_measured(landed: World) -> None:
    """A checkout of the request's own head at depth 1, whose history nobody has."""
    landed.propose({"README.md": "two\n"})
    runner = Repository(landed.place / "shallow")
    runner.git("remote", "add", "origin", f"file://{landed.bare}")
    runner.git("fetch", "--quiet", "--depth=1", "origin", "topic")
    runner.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    said = landed.check(runner.folder, "--skip-unchanged", environ=landed.github(GITHUB_SHA=landed.topic))
    landed.said = said  # type: ignore[attr-defined]
    assert said.code == 3
    assert why(landed) == "the merge base with main is not at hand: it is not in this checkout"


def test_another_file_in_its_place_is_measured(landed: World) -> None:
    landed.propose({"README.md": "two\n"})
    folder = landed.checkout()
    other = landed.place / "other.fake.yaml"
    other.write_text(BIG)
    assert outcome(landed, None, f"a={other}", "b", folder=folder) == {"a": "fail", "b": "deferred"}
    assert why(landed) == f"{other} stands in for it"


def test_against_a_file_of_the_command_line(landed: World) -> None:
    landed.propose({"README.md": "two\n"})
    folder = landed.checkout()
    assert outcome(landed, None, "--against", "file:models/b/b.fake.yaml", folder=folder)["a"] == "deferred"
    (folder / "models/b/b.fake.yaml").write_text(fake("1 MB"))
    # Measured, and held beside what the target branch has there.
    assert outcome(landed, None, "--against", "file:models/b/b.fake.yaml", folder=folder)["a"] == "pass"
    assert why(landed) == "models/b/b.fake.yaml is not what is committed"


# --- a matrix of jobs -------------------------------------------------------------------------------------------------


def test_parts_leave_out_what_the_last_job_leaves_out(landed: World) -> None:
    landed.propose({"models/b/b.fake.yaml": BIG})
    folder = landed.checkout()
    landed.patch.chdir(folder)
    landed.patch.setattr(output, "environment", landed.github)
    assert door.run(["plan", "--shards", "2", "--skip-unchanged", "-o", "plan.json"]) == 0
    assert [part.models for part in parts.read(folder / "plan.json")] == [("b",)]
    given = ("--part", "hosted-1", "--plan", "plan.json")
    assert landed.check(folder, "--skip-unchanged", *given).code == 1
    merge = ("--profile", ".greengate/parts", "--plan", "plan.json")
    assert outcome(landed, None, *merge, folder=folder) == {"a": "deferred", "b": "fail"}
    # A last job that was not told so misses what nobody measured.
    assert landed.check(folder, *merge).rules[("a", "size")][0] == "inconclusive"
    # What a part did measure is judged, touched or not.
    (folder / "plan.json").write_text(parts.dump([parts.Part("hosted-1", ("a", "b"), ())]))
    assert landed.check(folder, *given).code == 1
    assert outcome(landed, None, *merge, folder=folder) == {"a": "pass", "b": "fail"}


def test_where_nothing_is_touched_a_part_has_nothing_to_hand_on(landed: World) -> None:
    landed.propose({"README.md": "two\n"})
    folder = landed.checkout()
    landed.patch.chdir(folder)
    landed.patch.setattr(output, "environment", landed.github)
    assert door.run(["plan", "--skip-unchanged", "-o", "plan.json"]) == 0
    assert [part.models for part in parts.read(folder / "plan.json")] == [("a", "b")], "a matrix has at least one job"
    assert landed.check(folder, "--skip-unchanged", "--part", "hosted-1", "--plan", "plan.json").code == 0
    assert list((folder / ".greengate/parts/hosted-1").iterdir()) == []
    merge = ("--profile", ".greengate/parts", "--plan", "plan.json")
    assert outcome(landed, None, *merge, folder=folder) == LEFT


def test_a_file_cannot_say_of_itself_that_it_was_left_out(landed: World) -> None:
    """What another job hands on is measured; a gap of this kind in it would turn a failure into nothing to judge."""
    landed.propose({"models/a/a.fake.yaml": BIG})
    folder = landed.checkout()
    assert landed.check(folder, "--part", "one").code == 1
    (path,) = (folder / ".greengate/parts/one").glob("a.json")
    raw = json.loads(path.read_text())
    raw["candidate"]["measurements"]["size"] = {"reason": "unchanged", "kind": "unchanged", "help": ""}
    path.write_text(json.dumps(raw))
    said = landed.check(folder, "--profile", str(path))
    assert said.code == 2
    assert "what was measured is never `unchanged`" in said.err
