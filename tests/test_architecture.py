"""The rules of the house that import-linter does not see: sizes, names, and a plan that is true."""

import ast
import re
import tomllib
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "greengate"
MODULES = sorted(PACKAGE.rglob("*.py"))
PLAN = (ROOT / "docs/architecture.md").read_text() if (ROOT / "docs/architecture.md").exists() else ""
FORBIDDEN_NAMES = ("util", "utils", "helper", "helpers", "common", "misc")


def rooms() -> list[str]:
    """Every module and sub-package, as the plan writes it: `judge.py`, `report/`, `cli/check.py`."""
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    modules = {path.as_posix() for path in files if path.suffix == ".py" and path.name != "__init__.py"}
    folders = {f"{parent.as_posix()}/" for path in files for parent in path.parents if parent.name}
    return sorted(modules | folders)


def drawn() -> list[str]:
    """The rooms of the drawing, in the same words; two spaces of indentation are one folder."""
    (drawing,) = re.findall(r"```text rooms\ngreengate/\n(.*?)```", PLAN, re.DOTALL)
    names: list[str] = []
    folders: list[str] = []
    for line in drawing.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        here = "".join(folders[:depth])
        for word in takewhile(re.compile(r"\w+(\.py|/)").fullmatch, line.split()):
            names.append(here + word)
            if word.endswith("/"):
                folders[depth:] = [word]
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_stay_small(module):
    assert len(module.read_text().splitlines()) <= 300


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_stay_small(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_room_for_leftovers(module):
    words = {Path(part).stem for part in module.relative_to(PACKAGE).parts}
    assert not words & set(FORBIDDEN_NAMES)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_class_does_more_than_run(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ClassDef):
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            assert methods != {"__init__", "run"}, f"{node.name} is a function in disguise"


def test_plan_draws_every_room_and_no_other():
    assert set(rooms()) - set(drawn()) == set(), "rooms that docs/architecture.md does not draw"
    assert set(drawn()) - set(rooms()) == set(), "drawn, and not there"
    assert len(drawn()) == len(set(drawn()))


def test_layers_of_the_contract_are_the_layers_of_the_plan():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    (drawn,) = re.findall(r"```text layers\n(.*?)```", PLAN, re.DOTALL)
    assert [line.split("#")[0].strip() for line in drawn.strip().splitlines()] == layers


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
