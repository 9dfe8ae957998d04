"""One policy for what a machine may lack: its absence fails in CI, and is skipped, counted and named elsewhere."""

from __future__ import annotations

import os
from importlib import import_module, util
from types import ModuleType
from typing import NoReturn

import pytest

ABSENT = "absent here: "


def absent(need: str) -> NoReturn:
    """Fail in CI, where everything must be present; elsewhere skip, to be counted and named at the end."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{need}, and CI must have it", pytrace=False)
    pytest.skip(f"{ABSENT}{need}", allow_module_level=True)


def package(name: str) -> ModuleType:
    """Return an optional package, for a test module that is of no use without it."""
    if util.find_spec(name) is None:
        absent(f"package {name}")
    return import_module(name)
