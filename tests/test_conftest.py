"""The test suite's own promises: absent needs fail in CI and are named elsewhere; goldens compare or are rewritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CONFIG = """\
[pytest]
markers =
    network: x
    system(tool): x
"""
NEEDY = """
import pytest

@pytest.mark.system("no-such-tool-at-all")
def test_tool(): raise AssertionError("must not run")

@pytest.mark.system("sh")
def test_present(): pass

@pytest.fixture
def fetched(): raise ConnectionError("index unreachable")

@pytest.mark.network
def test_fetched(fetched): pass

@pytest.mark.network
def test_call(): raise ConnectionError("index unreachable")

def test_unmarked(): raise ConnectionError("a plain mistake")
"""
PACKAGE = """
import needs

nowhere = needs.package("no_such_package_at_all")

def test_with_it(): raise AssertionError("must not run")
"""
GOLDEN = """
import pytest
from pathlib import Path

@pytest.mark.parametrize("name", ["same.txt", "other.txt", "deep/none.txt"])
def test_golden(golden, name): golden(Path(__file__).parent / name, "new")
"""


def pytest_in(folder: Path, body: str, *options: str, ci: bool = False) -> tuple[int, str]:
    for name in ("conftest.py", "needs.py"):
        (folder / name).write_text((HERE / name).read_text())
    (folder / "pytest.ini").write_text(CONFIG)
    (folder / "test_inner.py").write_text(body)
    env = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    if ci:
        env["CI"] = "true"
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def test_absent_needs_are_skipped_counted_and_named(tmp_path: Path) -> None:
    code, said = pytest_in(tmp_path, NEEDY)
    assert code == 1
    assert "1 failed, 1 passed, 3 skipped" in said
    assert "3 skipped for what this machine lacks" in said
    assert "system tool no-such-tool-at-all: 1\n  test_inner.py::test_tool" in said
    assert "network (index unreachable): 2" in said
    assert "FAILED test_inner.py::test_unmarked" in said


def test_absent_needs_fail_in_ci(tmp_path: Path) -> None:
    code, said = pytest_in(tmp_path, NEEDY, ci=True)
    assert code == 1
    assert "1 passed" in said
    assert "skipped" not in said
    assert "system tool no-such-tool-at-all, and CI must have it" in said


@pytest.mark.parametrize(("ci", "code"), [(False, 5), (True, 2)])
def test_a_module_without_its_package_is_one_absent_need(ci: bool, code: int, tmp_path: Path) -> None:
    ended, said = pytest_in(tmp_path, PACKAGE, ci=ci)
    assert ended == code
    assert ("package no_such_package_at_all: 1\n  test_inner.py" in said) is not ci
    assert ("package no_such_package_at_all, and CI must have it" in said) is ci


def test_goldens_compare_and_bless_rewrites_them(tmp_path: Path) -> None:
    files = {"same": tmp_path / "same.txt", "other": tmp_path / "other.txt", "none": tmp_path / "deep" / "none.txt"}
    files["same"].write_text("new\n")
    files["other"].write_text("old\n")
    code, said = pytest_in(tmp_path, GOLDEN)
    assert code == 1
    assert "2 failed, 1 passed" in said
    assert said.count("pytest --bless") >= 2
    assert files["other"].read_text() == "old\n"
    assert not files["none"].exists()
    assert pytest_in(tmp_path, GOLDEN, "--bless")[0] == 0
    assert {path.read_text() for path in files.values()} == {"new\n"}
