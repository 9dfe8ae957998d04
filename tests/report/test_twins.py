"""A model and its ONNX twin side by side: counts compared, times apart."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nouns import HARDWARE, WORKLOAD, exact, noisy

from greengate.profile import File, Missing, Model, Profile
from greengate.report.twins import render_twins

GOLDEN = Path(__file__).parent / "golden"
GONE = Missing("2 launches fit in the time, 3 are needed", "unsettled", "give it more")


def measured(path: str, kind: str, params: float, latency: float) -> Profile:
    return Profile(
        Model("net", path, kind, "sha256:a", (File("m", "a" * 64, 100),)),
        HARDWARE,
        WORKLOAD,
        {"torch": "2.13.0"} if kind == "code" else {"onnxruntime": "1.32.0"},
        {
            "macs": exact(4e6),
            "params": exact(params),
            "latency_p50": noisy(latency, latency * 0.98, latency * 1.02),
            "peak_memory": GONE,
        },
        "2026-11-26T04:00:00+00:00",
        "0.1.0",
    )


MODEL = measured("own:make", "code", 634, 0.004)
TWIN = replace(measured("net.onnx", "onnx", 602, 0.002), notes=("its output is within 3e-08 of PyTorch's",))


@pytest.mark.parametrize("width", [80, 120])
def test_side_by_side(width: int, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"twins.{width}.txt", render_twins(MODEL, TWIN, width=width))


def test_times_of_two_runtimes_are_not_compared() -> None:
    (line,) = [line for line in render_twins(MODEL, TWIN).splitlines() if line.startswith("Latency p50")]
    assert "%" not in line
    assert {"4.00", "2.00"} <= set(line.split())


def test_counts_that_nothing_divides_are_compared() -> None:
    none, one = replace(MODEL, measurements={"macs": exact(0)}), replace(TWIN, measurements={"macs": exact(3)})
    assert "+3\n" in render_twins(none, one)
    assert "equal" in render_twins(none, none)


def test_a_twin_that_was_not_made_is_said(golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / "twins.none.txt", render_twins(MODEL, Missing("the worker hung", "failed", "give it more time")))


def test_nothing_from_outside_reads_as_a_command() -> None:
    nasty = replace(TWIN, notes=("::set-output name=x::y",))
    assert "::set-output" not in render_twins(MODEL, nasty)
