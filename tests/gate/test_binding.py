"""A model that a change takes out of the budget is judged while it is still there, whatever kind it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import Repository

from greengate import budget_file
from greengate.gate.binding import OLD, BaseFiles, bind, reworked
from greengate.judge.loosened import differences

RULES = "rules: [{metric: params, max_increase: 5%}]\n"
FILES = ("net.onnx", "src/own/net.py", "src/pack/__init__.py", "folder/config.json")


@pytest.mark.parametrize(
    ("path", "stands"),
    [
        ("net.onnx", True),
        ("gone.onnx", False),
        ("src/own.net:make", True),
        ("src/pack:make", True),
        ("src/own.gone:make", False),
        ("folder", True),
        ("src", False),
    ],
)
@pytest.mark.parametrize("moved", [False, True])
def test_what_still_stands_is_still_judged(tmp_path: Path, path: str, stands: bool, moved: bool) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    other = "{name: a, path: other.onnx}" if moved else "{name: b, path: other.onnx}"
    written = {"base": f"{{name: a, path: {path}}}", "head": other}
    read = {
        side: budget_file.parse(f"version: 1\nmodels: [{entry}]\n{RULES}", str(tmp_path / "budgets.yaml"))
        for side, entry in written.items()
    }
    names = [model.name for model in bind(read["head"], read["base"]).models]
    own = "a" if moved else "b"
    # By another name the other file may be what became of it.
    gone = ["a", "b@a"] if stands else [f"a{OLD}"]
    assert names == [own, *(gone if not moved else [f"a{OLD}"] if stands else [])]


def test_the_calibration_of_the_target_branch_binds(tmp_path: Path) -> None:
    base, head, bare = (
        budget_file.parse(f"version: 1\nmodels: [{{name: a, path: a.onnx}}]\n{energy}{RULES}", str(tmp_path / "b.yaml"))
        for energy in ("energy: {calibration: base.json}\n", "energy: {calibration: head.json}\n", "")
    )
    assert (base.calibration and base.calibration.file) == "base.json"
    assert bind(head, base).calibration == base.calibration
    assert bind(head, bare).calibration is None
    assert any("`calibration`" in notice.text for notice in differences(base, head))
    assert not any("`calibration`" in notice.text for notice in differences(base, base))


@pytest.mark.parametrize(
    "limits", ["max_increase: 5%", "max: 1 M", "max_increase: 5%, models: [a]", "max_increase: 5%, models: ['[ac]']"]
)
def test_a_model_that_took_another_name_and_file_is_judged_as_what_it_was(tmp_path: Path, limits: str) -> None:
    """Its own file, run as the target branch ran the one that is gone, whatever rules bind the one and the other."""
    rules = f"rules: [{{metric: params, {limits}}}]\n"
    base, head = (
        budget_file.parse(
            f"version: 1\nmodels: [{{name: {name}, path: {name}.onnx}}]\n{said}{more}", str(tmp_path / "budgets.yaml")
        )
        for name, said, more in (("a", rules, "workload: {batch_size: 8}\n"), ("b", RULES, ""))
    )
    bound = bind(head, base).models
    assert [model.name for model in bound] == ["b", f"a{OLD}"]
    assert (bound[1].path, bound[1].bound_as, bound[1].workload.batch_size) == ("b.onnx", "a", 8)
    assert reworked(head, base) == {f"a{OLD}"}
    (tmp_path / "a.onnx").write_text("")  # where the old file stays, it is judged itself too
    bound = bind(head, base).models
    assert [model.name for model in bound] == ["b", "a", "b@a"]
    assert (bound[2].path, bound[2].bound_as, bound[2].workload.batch_size) == ("b.onnx", "a", 8)
    assert reworked(head, base) == {"b@a"}


def files_of(repo: Repository, commit: str, scratch: Path) -> BaseFiles:
    scratch.mkdir()
    return BaseFiles(repo.folder, commit, repo.folder, scratch)


def test_a_folder_behind_a_link_of_the_target_branch_is_the_targets(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    (repo.folder / "store").symlink_to("kept/stores")
    base = repo.commit({"kept/stores/net/1.json": "base"})
    repo.commit({"kept/stores/net/1.json": "change", "kept/stores/net/2.json": "change"})
    found = files_of(repo, base, tmp_path / "scratch").at("store/net")
    assert {path.name: path.read_text() for path in found.iterdir()} == {"1.json": "base"}


@pytest.mark.parametrize("target", ["../outside", "more"])
def test_a_link_that_only_the_change_has_leads_to_nothing(tmp_path: Path, target: str) -> None:
    """A folder that git does not know at all is taken as it is; one behind a link of the change is the change's."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/data.npz").write_text("easy")
    repo = Repository(tmp_path / "repo")
    base = repo.commit({"note": "x"})
    (repo.folder / "data").symlink_to(target)
    repo.commit({"more/data.npz": "easy"})
    files = files_of(repo, base, tmp_path / "scratch")
    assert not files.at("data/data.npz").exists()
    (repo.folder / "unknown").mkdir()
    (repo.folder / "unknown/data.npz").write_text("mine")
    assert files.at("unknown/data.npz").read_text() == "mine"
