"""`greengate plan`, and the jobs it makes: a matrix measured in parts and judged as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import Repository

from greengate.cli import door, output
from greengate.gate import parts
from greengate.gate.parts import Part
from greengate.tasks.plan import _share

NET = "fake: 1\nsize: 10 MB\nlatency: 10 ms\nnoise: 1%\n"
HEAD = "version: 1\nmodels:\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "environment", dict)
    for name in "abc":
        (tmp_path / f"{name}.fake.yaml").write_text(NET)
    return tmp_path


def budget(*rules: str, names: str = "abc", more: Mapping[str, str] | None = None) -> None:
    rows = [f"  - {{name: {name}, path: {name}.fake.yaml{(more or {}).get(name, '')}}}" for name in names]
    Path("budgets.yaml").write_text(HEAD + "\n".join([*rows, "rules:", *(f"  - {rule}" for rule in rules)]) + "\n")


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert door.run(["plan", *words]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1, "an output of a job is one line"
    rows: list[dict[str, Any]] = json.loads(said)["include"]
    return rows


SIZE = "{metric: size, max: 20 MB}"


def test_one_job_by_default(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget(SIZE)
    assert planned(capsys) == [{"part": "hosted-1", "models": ["a", "b", "c"], "runs-on": ["ubuntu-latest"]}]


def test_what_takes_long_is_shared_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget(SIZE, '{metric: latency_p50, max: 1 s, models: ["c"]}')
    rows = planned(capsys, "--shards", "2", "--hosted", "linux, big")
    assert [(row["part"], row["models"]) for row in rows] == [("hosted-1", ["c"]), ("hosted-2", ["a", "b"])]
    assert rows[0]["runs-on"] == ["linux", "big"]


def test_no_job_is_idle(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget(SIZE)
    assert len(planned(capsys, "--shards", "9")) == 3


@pytest.mark.parametrize(
    ("rules", "more", "owned"),
    [
        ([SIZE], {}, []),
        ([SIZE], {"b": ", device: cuda"}, ["b"]),
        (['{metric: energy_per_1k, max: 1 Wh, models: ["c"]}', SIZE], {}, ["c"]),
        (['{metric: co2e_per_1k, max: 1 g, models: ["a"]}', SIZE], {}, ["a"]),
        (['{metric: latency_p50, max: 1 s, models: ["a"]}', SIZE], {}, []),
    ],
)
def test_what_a_hosted_runner_cannot_decide_goes_to_the_box(
    here: Path, capsys: pytest.CaptureFixture[str], rules: list[str], more: Mapping[str, str], owned: list[str]
) -> None:
    budget(*rules, more=more)
    rows = planned(capsys, "--box", "self-hosted,gpu")
    box = [row for row in rows if row["part"] == "box"]
    assert [row["models"] for row in box] == ([owned] if owned else [])
    assert all(row["runs-on"] == ["self-hosted", "gpu"] for row in box)
    assert sorted(name for row in rows for name in row["models"]) == ["a", "b", "c"]


def test_timing_goes_to_the_reference_where_there_is_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget('{metric: latency_p50, max: 1 s, models: ["a"]}', SIZE)
    text = Path("budgets.yaml").read_text()
    Path("budgets.yaml").write_text(f"{text}reference: {{hardware: fake CPU}}\n")
    assert [row["models"] for row in planned(capsys, "--box", "metal")] == [["b", "c"], ["a"]]
    assert door.run(["plan"]) == 0
    assert "a wants a machine of its own (its timing is judged on the reference hardware)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (SIZE, ""),
        ("{metric: instructions, max_increase: 1%}", "valgrind"),
        ("{metric: data_traffic, max: 1 GB}", "valgrind"),
        ("{metric: size, max_increase: 1%, unless: {metric: instructions, min_decrease: 1%}}", "valgrind"),
    ],
)
def test_tools_that_rules_need_are_named(here: Path, capsys: pytest.CaptureFixture[str], rule: str, named: str) -> None:
    budget(rule)
    assert door.run(["plan", "--tools"]) == 0
    assert capsys.readouterr().out.strip() == named


def test_a_child_pipeline_has_a_job_for_each_part_on_its_machine(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "sub dir").mkdir()
    budget(SIZE, more={"b": ", device: cuda"})
    Path("budgets.yaml").rename("sub dir/b.yaml")
    words = ("--gitlab", "x.yml", "--box", "gpu", "--skip-unchanged", "--policy-ref", "none", "--max-seconds", "9")
    assert door.run(["plan", "-b", "sub dir/b.yaml", *words]) == 0
    child = json.loads(capsys.readouterr().out)
    assert child["include"] == [{"local": "x.yml"}]
    assert "tags" not in child["hosted-1"], "a hosted runner of GitLab needs none"
    assert child["box"]["tags"] == ["gpu"]
    # The parent's rules are not known there, and what a part could not do the last job has to say.
    assert all(child[job]["rules"] == [{"when": "always"}] for job in ("hosted-1", "box", "judge"))
    assert child["box"]["allow_failure"] == {"exit_codes": [1, 3]}
    assert "allow_failure" not in child["judge"]
    (_, line) = child["box"]["script"]
    words = ("-u GREENGATE_GITLAB_TOKEN", "--skip-unchanged", "--policy-ref none", "--max-seconds 9", "--part box")
    assert all(word in line for word in words)
    assert "--budget 'sub dir/b.yaml'" in line
    assert child["box"]["artifacts"]["paths"] == ["sub dir/.greengate/parts/"]
    assert "--profile 'sub dir/.greengate/parts'" in child["judge"]["script"][1]
    plan = json.loads(child["variables"]["GREENGATE_PLAN"])
    assert [(row["part"], row["models"]) for row in plan["include"]] == [("hosted-1", ["a", "c"]), ("box", ["b"])]


def test_a_model_that_the_change_left_out_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target branch's policy still judges it, so somebody has to measure it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "environment", dict)
    repository = Repository(tmp_path)
    budget(SIZE)
    repository.commit({f"{name}.fake.yaml": NET for name in "abc"})
    budget(SIZE, names="ab")
    assert door.run(["plan", "--policy-ref", "main", "-o", "plan.json"]) == 0
    (part,) = parts.read(Path("plan.json"))
    assert part.models == ("a", "b", "c")


@given(st.lists(st.floats(1, 300), max_size=30), st.integers(1, 9))
def test_shares_hold_every_model_once_and_are_balanced(costs: list[float], shards: int) -> None:
    named = {f"m{index}": cost for index, cost in enumerate(costs)}
    dealt = _share(list(named), named, shards)
    assert sorted(name for names in dealt for name in names) == sorted(named)
    loads = [sum(named[name] for name in names) for names in dealt]
    # Longest first is at most a third above the best there can be.
    best = max([sum(costs) / shards, *costs]) if costs else 0.0
    assert max(loads, default=0.0) <= best * 4 / 3 + max(costs, default=0.0) / 3 + 1e-6


# --- parts and their verdict ------------------------------------------------------------------------------------------


def check(*words: str) -> int:
    return door.run(["check", "--against", "none", *words])


def test_parts_are_measured_apart_and_judged_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget(SIZE)
    (here / "b.fake.yaml").write_text(NET.replace("10 MB", "30 MB"))
    assert door.run(["plan", "--shards", "3", "-o", "plan.json"]) == 0
    codes = [check("--part", f"hosted-{index}", "--plan", "plan.json") for index in (1, 2, 3)]
    assert codes == [0, 1, 0]
    assert sorted(path.name for path in here.glob(".greengate/parts/*/*.json")) == ["a.json", "b.json", "c.json"]
    capsys.readouterr()
    assert check("--profile", ".greengate/parts", "--plan", "plan.json") == 1
    assert "1 of 3 rules over budget: size (b)" in capsys.readouterr().out


@pytest.mark.parametrize("gone", [(2,), (1, 2, 3)])
def test_a_part_that_left_nothing_is_inconclusive_by_name(
    here: Path, gone: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    budget(SIZE)
    assert door.run(["plan", "--shards", "3", "-o", "plan.json"]) == 0
    for index in {1, 2, 3} - set(gone):
        check("--part", f"hosted-{index}", "--plan", "plan.json")
    capsys.readouterr()
    assert check("--profile", ".greengate/parts", "--plan", "plan.json", "--strict") == 3
    said = " ".join(capsys.readouterr().out.split())
    for index in gone:
        assert f"part 'hosted-{index}', which was to measure it, has left no numbers" in said
    assert f"{len(gone)} of 3 rules could not be decided" in said


def test_a_part_that_is_measured_again_leaves_nothing_old(here: Path) -> None:
    budget(SIZE)
    Path("plan.json").write_text(parts.dump([Part("one", ("a", "b"), ()), Part("two", ("c",), ())]))
    check("--part", "one", "--plan", "plan.json")
    Path("plan.json").write_text(parts.dump([Part("one", ("a",), ()), Part("two", ("c", "b"), ())]))
    check("--part", "one", "--plan", "plan.json")
    assert [path.name for path in here.glob(".greengate/parts/one/*.json")] == ["a.json"]


def test_a_part_without_models_has_nothing_to_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget(SIZE)
    assert door.run(["plan", "-o", "plan.json"]) == 0
    assert check("--part", "hosted-7", "--plan", "plan.json") == 0
    assert "part hosted-7 has nothing to measure" in capsys.readouterr().err
    assert not (here / ".greengate").exists()


def test_accuracies_of_parts_are_judged_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accuracy = ", accuracy: {file: a.json, key: top1}"
    budget(SIZE, '{metric: accuracy, min: 0.9, models: ["a"]}', more={"a": accuracy})
    Path("a.json").write_text('{"top1": 0.5}')
    assert door.run(["plan", "--shards", "3", "-o", "plan.json"]) == 0
    for index in (1, 2, 3):
        check("--part", f"hosted-{index}", "--plan", "plan.json")
    capsys.readouterr()
    assert check("--profile", ".greengate/parts", "--plan", "plan.json") == 1
    assert "accuracy (a)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (None, "cannot read 'plan.json'"),
        ("", "not valid JSON"),
        ("[]", "expected an object"),
        ("{}", "is not a plan"),
        ('{"include": [{"part": "a"}]}', "is not a plan"),
        ('{"include": [{"part": "../a", "models": ["a"], "runs-on": []}]}', "is not a plan"),
        ('{"include": [{"part": "a", "models": [1], "runs-on": []}]}', "is not a plan"),
        ('{"include": [{"part": "a", "models": "a", "runs-on": []}]}', "is not a plan"),
        ('{"include": [{"part": "a", "models": [], "runs-on": []}]}', "is not a plan"),
        (parts.dump([Part("a", ("a",), ()), Part("a", ("b",), ())]), "is not a plan"),
        (parts.dump([Part("a", ("gone",), ())]), "the plan has 'gone', which is not in budgets.yaml"),
    ],
)
def test_a_plan_that_is_none_is_refused(
    here: Path, plan: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    budget(SIZE)
    if plan is not None:
        Path("plan.json").write_text(plan)
    assert check("--profile", ".greengate/parts", "--plan", "plan.json") == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "--plan", "plan.json"],
        ["check", "--plan", "plan.json", "--part", "a", "--profile", "x.json"],
        ["check", "a", "--plan", "plan.json", "--part", "a"],
        ["plan", "--shards", "0"],
        ["plan", "--shards", "256"],
        ["plan", "--box", "a,,b"],
        ["plan", "--gitlab", "jobs.json"],
    ],
)
def test_usage(here: Path, words: list[str]) -> None:
    budget(SIZE)
    assert door.run(words) == 2
