"""What a user installs: the wheel, its metadata, and what starting the command costs."""

import email
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import greengate

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = ("click", "jinja2", "numpy", "onnx", "onnxruntime", "rich", "torch", "yaml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the tree as it stands."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def source_files() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "greengate").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_carries_every_file_of_the_package_and_no_other(wheel):
    carried = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert carried == source_files()
    assert "greengate/py.typed" in carried


def test_wheel_carries_the_licence(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()


def test_metadata(metadata):
    assert metadata["Name"] == "greengate-ci"
    assert metadata["Version"] == greengate.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) == {"all", "carbon", "export", "mlflow", "nvidia", "torch"}
    assert len(metadata.get_payload()) > 1000  # the README is the page on the index


def test_an_extra_is_added_to_what_is_installed_and_no_index_is_asked_for_it():
    """What messages advise. The distribution is on no index: pip takes extras from the one that is installed."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "greengate").rglob("*.py"))
    advised = set(re.findall(r"pip install '(greengate-ci\[(\w+)\])'", code))
    assert {extra for _, extra in advised} <= set(PROJECT["optional-dependencies"])
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index"]
    names = sorted(name for name, _ in advised)
    assert names
    subprocess.run([*command, *names], cwd=ROOT / "tests", check=True, capture_output=True)


def test_core_needs_no_torch(metadata):
    core = {line.split(">")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert core == {"click", "jinja2", "numpy", "onnx", "onnxruntime", "pyyaml", "rich"}


def test_wheel_installs_the_command(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "greengate = greengate.__main__:main" in wheel.read(name).decode()


def test_versions_of_the_constraints_are_pins_and_cover_what_is_asked_for():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    extras = PROJECT["optional-dependencies"]
    asked = PROJECT["dependencies"] + extras["torch"] + extras["nvidia"] + extras["carbon"] + extras["mlflow"]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    asked += groups["test"] + groups["lint"]
    names = {line.split(">")[0].split("[")[0].strip().lower() for line in asked}
    assert names <= {name.lower().replace("_", "-") for name in pins}
    assert pins["torch"] == "2.13.0"


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running `code`."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=_bare())
    return {name.partition(".")[0] for name in answer.stdout.splitlines()[-1].split()}


def _bare() -> dict[str, str]:
    """The environment without what coverage or others put there to load modules at start."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "COV_", "PYTEST"))}


@pytest.mark.parametrize("module", ["greengate", "greengate.budget", "greengate.verdict", "greengate.profile"])
def test_nouns_load_nothing_heavy(module):
    assert not loaded_by(f"import {module}") & set(HEAVY)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check", "--help"]])
def test_asking_the_command_loads_only_click(arguments):
    code = f"""
from greengate.__main__ import main
sys.argv = ["greengate", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded_by(code) & set(HEAVY) <= {"click"}


def test_version_is_printed():
    command = [sys.executable, "-m", "greengate", "--version"]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert greengate.__version__ in answer.stdout
