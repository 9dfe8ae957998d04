"""Which files a carbon budget counts."""

from __future__ import annotations

import glob
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from repository import Repository

from greengate import budget_file
from greengate.budget import Budget
from greengate.carbon import record
from greengate.errors import GreengateError
from greengate.gate.ledgers import ledgers
from greengate.gate.trust import Trust
from greengate.verdict import Policy

sys.path.insert(0, str(Path(__file__).parents[1] / "carbon"))
from test_ledger import CSV, GOOD

OWN = Trust(Policy("b.yaml", "sha256:b"))


def text(number: float) -> str:
    return record.dump(replace(GOOD, kilograms=number))


def budget(folder: Path, records: str = "", training: str = "") -> Budget:
    more = f", records: {records}" if records else ""
    own = f", training: {training}" if training else ""
    content = (
        f"version: 1\nmodels: [{{name: net, path: net.onnx{own}}}]\nrules: [{{metric: size, max: 1 MB}}]\n"
        f"carbon_budget: {{max: 50 kg, period: 2026-Q4{more}}}\n"
    )
    return budget_file.parse(content, str(folder / "budgets.yaml"))


def files(made: Budget, trust: Trust = OWN) -> list[str]:
    return [one.file for kept in ledgers(made, trust, None) for one in kept.entries]


def fill(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(number))


def test_patterns_find_records_and_each_counts_once(tmp_path: Path) -> None:
    fill(tmp_path, "training/a.json", "training/deep/b.json", "training/c.txt", "net.json")
    (tmp_path / "training" / "copy.json").write_text(text(0))
    assert files(budget(tmp_path)) == ["training/a.json"]
    assert files(budget(tmp_path, '["training/**/*.json", "training/a.json"]')) == [
        "training/a.json",
        "training/deep/b.json",
    ]
    assert files(budget(tmp_path, "[nothing/*.json]", "net.json")) == ["net.json"]


def test_a_models_own_record_is_no_pattern(tmp_path: Path) -> None:
    fill(tmp_path, "run[1].json", "run1.json")
    assert files(budget(tmp_path, training="'run[1].json'")) == ["run[1].json"]


def test_of_two_accounts_of_one_run_the_higher_counts(tmp_path: Path) -> None:
    for name, amount in (("a.csv", 1.0), ("b.csv", 3.0), ("c.csv", 2.0)):
        (tmp_path / name).write_text(f"{CSV}2026-11-01,r,60,{amount},5\n")
    (kept,) = ledgers(budget(tmp_path, "['*.csv']"), OWN, None)
    assert [getattr(one.emitted, "value", None) for one in kept.entries] == [3.0]


def test_a_run_begun_on_another_day_is_another_training(tmp_path: Path) -> None:
    """A later account of a run cannot take it out of the period that it was in."""
    for name, day, amount in (("a.csv", "2026-11-01", 3.0), ("b.csv", "2027-11-01", 4.0), ("c.csv", "2026-11-01", 2.0)):
        (tmp_path / name).write_text(f"{CSV}{day}T12:00:00,r,60,{amount},5\n")
    (kept,) = ledgers(budget(tmp_path, "['*.csv']"), OWN, None)
    assert [(str(one.started), getattr(one.emitted, "value", None)) for one in kept.entries] == [
        ("2026-11-01", 3.0),
        ("2027-11-01", 4.0),
    ]


def test_all_that_is_missing_or_damaged_is_told_at_once(tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    fill(tmp_path, "training/a.json")
    (tmp_path / "training" / "bad.json").write_text("{}")
    (tmp_path / "training" / "binary.json").write_bytes(b"\xff\xfe")
    made = budget(tmp_path, "[training/*.json, training/gone.json]", "own.json")
    with pytest.raises(GreengateError) as caught:
        ledgers(made, OWN, None)
    assert len(caught.value.diagnostics) == 4
    said = str(caught.value).replace(f"{tmp_path}/", "")
    golden(Path(__file__).parent / "golden" / "training-record.txt", said)


@pytest.mark.parametrize("pattern", ["training/*.json", "**/*.json", "training/**", "*/deep/?.json", "t*/**/[ab].json"])
def test_the_target_branch_is_searched_as_the_work_tree_is(tmp_path: Path, pattern: str) -> None:
    repository = Repository(tmp_path / "work")
    names = ["training/a.json", "training/deep/b.json", "training/deep/cc.json", "other/deep/a.json", "x.json"]
    below = repository.folder / "sub[1]"
    fill(below, *names)
    commit = repository.commit()
    made = budget(below, f"['{pattern}']")
    here = set(files(made))
    assert here == {name for name in glob.glob(pattern, root_dir=below, recursive=True) if (below / name).is_file()}  # noqa: PTH207
    for name in names:
        (below / name).unlink()
    trust = replace(OWN, base=made, top=repository.folder, commit=commit)
    found = ledgers(made, trust, None)
    assert [kept.under for kept in found] == ["head", "base"]
    for kept in found:
        assert {one.file.partition(":sub[1]/")[2] for one in kept.entries} == here


def test_a_record_that_the_change_deletes_counts_as_the_target_has_it(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    fill(repository.folder, "training/a.json", "own.json")
    commit = repository.commit()
    made = budget(repository.folder, "[training/a.json]", "own.json")
    trust = replace(OWN, base=made, top=repository.folder, commit=commit)
    (repository.folder / "training" / "a.json").unlink()
    (repository.folder / "own.json").write_text(text(7))
    assert files(made, trust)[:3] == [f"{commit[:12]}:training/a.json", "own.json", f"{commit[:12]}:own.json"]
