from __future__ import annotations

import os

import fakes
import needs
import pytest


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A GPU that is not there; set its knobs with setenv."""
    needs.package("pynvml")
    for name in [name for name in os.environ if name.startswith("FAKE_NVML_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FAKE_NVML", "1")
    fakes.load()
    return monkeypatch
