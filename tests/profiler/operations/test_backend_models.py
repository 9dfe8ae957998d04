"""Every model of onnx's own backend tests is counted, or says why not."""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "backend_tally.py"

#: What makes MACs Missing, and how often: training, pictures decoded inside a model, and what is fed as no tensor.
UNKNOWN = {
    "ImageDecoder": 9,
    "ai.onnx.preview.training.Adagrad": 2,
    "ai.onnx.preview.training.Adam": 2,
    "ai.onnx.preview.training.Gradient": 2,
    "ai.onnx.preview.training.Momentum": 3,
    "an input that is no tensor, which this version cannot feed": 24,
}

#: The body of AffineGrid stores a plane as a slice of space, and multiplies by the whole of it.
EXPANDED_OTHERWISE = {"test_affine_grid_2d", "test_affine_grid_2d_align_corners"}


def script() -> ModuleType:
    spec = util.spec_from_file_location("backend_tally", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    import sys

    sys.modules["backend_tally"] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


@cache
def results() -> list[Any]:
    return list(script().tally())


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Any:
    """The cases compute overflows and divide by zero on purpose."""
    import numpy as np

    with np.errstate(all="ignore"):
        yield


def test_every_model_ends_as_a_count_or_with_a_reason() -> None:
    found = results()
    assert len(found) > 1500
    kind = script()._kind
    assert Counter(kind(result.reason) for result in found if result.outcome == "unknown") == UNKNOWN
    outcomes = Counter(result.outcome for result in found)
    assert set(outcomes) <= {"counted", "free", "unknown", "refused"}
    assert outcomes["counted"] + outcomes["free"] > 0.97 * len(found)
    assert sum(result.method == "static" for result in found) > 200


def test_every_refusal_is_the_runtime_s_or_the_feed_s() -> None:
    allowed = ("input-mismatch: the model fails on its inputs: ", "recorded-data: ")
    for result in results():
        if result.outcome == "refused":
            assert result.reason.startswith(allowed), result


def test_an_operator_costs_what_its_definition_costs() -> None:
    """Hundreds of operators come a second time as the function that defines them: an oracle by onnx itself."""
    macs = {result.name: result.macs for result in results() if result.outcome in ("counted", "free")}
    pairs = {name: macs[f"{name}_expanded"] for name in macs if f"{name}_expanded" in macs}
    assert sum(value > 0 for value in pairs.values()) > 100
    assert {name for name, value in pairs.items() if macs[name] != value} == EXPANDED_OTHERWISE


def test_the_page_carries_the_tally() -> None:
    module = script()
    page = module.PAGE.read_text(encoding="utf-8")
    text = page[page.index(module.BEGIN) : page.index(module.END)]
    for line in ("| counted, with multiply-accumulates |", "| refused, with a reason |", "| anything else | 0 |"):
        assert line in text
