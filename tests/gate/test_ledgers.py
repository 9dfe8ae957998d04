"""Which files a carbon budget counts."""

from __future__ import annotations

import glob
import hashlib
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


@pytest.mark.parametrize(("target", "why"), [("/dev/zero", "It is no regular file"), ("large", "larger than 8 MiB")])
def test_a_record_that_would_fill_memory_is_refused_before_it_is_read(tmp_path: Path, target: str, why: str) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "a.json").symlink_to(tmp_path / target)
    with pytest.raises(GreengateError, match=why):
        ledgers(budget(tmp_path), OWN, None)


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
    assert files(made, trust)[:3] == ["own.json", f"{commit[:12]}:training/a.json", f"{commit[:12]}:own.json"]


# --- the target branch: links, submodules, Git LFS ----------------------------------------------


def of_target(repository: Repository, commit: str, pattern: str = "training/*") -> dict[str, object]:
    """Return what the target branch's carbon budget counts: the reason where it is not known."""
    made = budget(repository.folder, f"['{pattern}']")
    _, kept = ledgers(made, replace(OWN, base=made, top=repository.folder, commit=commit), None)
    return {
        one.file.removeprefix(f"{commit[:12]}:"): getattr(one.emitted, "value", getattr(one.emitted, "reason", None))
        for one in kept.entries
    }


@pytest.mark.parametrize("pattern", ["training/*", "training/*.json", "training/**/*.json", "**/training/a.json"])
def test_a_record_behind_a_linked_folder_cannot_be_taken_away(tmp_path: Path, pattern: str) -> None:
    repository = Repository(tmp_path / "work")
    repository.write("data/training/a.json", text(4))
    (repository.folder / "training").symlink_to("data/training")
    commit = repository.commit()
    assert list(of_target(repository, commit, pattern).values()) == [4.0], "once, in the work tree and the commit"
    (repository.folder / "data/training/a.json").unlink()
    assert list(of_target(repository, commit, pattern).values()) == [4.0]
    (repository.folder / "training").unlink()
    assert list(of_target(repository, commit, pattern).values()) == [4.0]


def test_a_record_that_is_a_link_counts_as_what_it_names(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    repository.write("data/a.json", text(4))
    link = repository.folder / "training" / "a.json"
    link.parent.mkdir()
    link.symlink_to("../data/a.json")
    commit = repository.commit()
    assert of_target(repository, commit) == {"training/a.json": 4.0}
    link.unlink()
    assert of_target(repository, commit) == {"training/a.json": 4.0}


@pytest.mark.parametrize("target", ["/gone/a.json", "../../outside.json", "../untracked.json", "a.json"])
def test_a_link_out_of_the_commit_is_unknown_once_the_change_takes_it_away(tmp_path: Path, target: str) -> None:
    repository = Repository(tmp_path / "work")
    link = repository.folder / "training" / "a.json"
    link.parent.mkdir()
    link.symlink_to(target)
    commit = repository.commit()
    link.unlink()
    assert of_target(repository, commit) == {
        "training/a.json": "training/a.json leads out of the target branch's commit"
    }


def test_a_link_out_of_the_commit_that_stands_counts_by_the_work_tree(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    fill(tmp_path, "shared/a.json")
    (repository.folder / "training").symlink_to(tmp_path / "shared")
    commit = repository.commit()
    assert of_target(repository, commit) == {"training/a.json": 0.0}


def test_a_submodule_of_records_is_unknown_where_the_change_moves_it(tmp_path: Path) -> None:
    inner = Repository(tmp_path / "inner")
    inner.write("a.json", text(4))
    inner.commit()
    repository = Repository(tmp_path / "work")
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.folder), "training")
    commit = repository.commit()
    assert of_target(repository, commit, "training/*.json") == {"training/a.json": 4.0}
    module = Repository(repository.folder / "training")
    (module.folder / "a.json").unlink()
    module.commit()
    (said,) = of_target(repository, commit, "training/*.json").values()
    assert said == "training is a submodule that is not checked out as the target branch has it"


def pointer(content: str) -> str:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"


def test_a_record_in_git_lfs_that_the_change_deletes_is_unknown_or_at_hand(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    repository.write("training/a.json", pointer(text(4)))
    commit = repository.commit()
    record_ = repository.folder / "training" / "a.json"
    record_.write_text(text(4))
    assert of_target(repository, commit) == {"training/a.json": 4.0}, "as the work tree has it"
    record_.unlink()
    assert of_target(repository, commit) == {
        "training/a.json": "training/a.json is kept in Git LFS and was not downloaded"
    }
    sha256 = hashlib.sha256(text(4).encode()).hexdigest()
    kept = repository.folder / ".git" / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text(4))
    assert of_target(repository, commit) == {"training/a.json": 4.0}
    kept.write_text(text(0))
    assert of_target(repository, commit) == {
        "training/a.json": "training/a.json is kept in Git LFS and was not downloaded"
    }


def test_a_pointer_of_git_lfs_in_the_work_tree_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "a.json").write_text(pointer(text(4)))
    with pytest.raises(GreengateError, match="run `git lfs pull`"):
        ledgers(budget(tmp_path), OWN, None)


def test_a_damaged_record_of_the_target_branch_is_unknown_so_that_a_change_can_mend_it(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    repository.write("training/a.json", "{}")
    commit = repository.commit()
    repository.write("training/a.json", text(4))
    found = of_target(repository, commit)
    assert any("is no training record" in str(one) for one in found.values())


def test_a_folder_of_the_budget_that_the_change_makes_a_link_of_hides_nothing(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    below = repository.folder / "sub"
    repository.write("sub/training/a.json", text(4))
    commit = repository.commit()
    below.rename(repository.folder / "moved")
    (repository.folder / "moved/training/a.json").unlink()
    below.symlink_to("moved")
    made = budget(below)
    assert (
        files(made, replace(OWN, base=made, top=repository.folder, commit=commit))
        == [f"{commit[:12]}:sub/training/a.json"] * 2
    )


@pytest.mark.parametrize("last", [0.1, 900.0])
def test_of_several_rows_of_a_run_in_one_file_the_highest_counts(tmp_path: Path, last: float) -> None:
    (tmp_path / "e.csv").write_text(f"{CSV}2026-11-01T10:00:00,r,60,400,5\n2026-11-01T10:00:10,r,70,{last},6\n")
    (kept,) = ledgers(budget(tmp_path, "['*.csv']"), OWN, None)
    assert [getattr(one.emitted, "value", None) for one in kept.entries] == [max(400.0, last)]
