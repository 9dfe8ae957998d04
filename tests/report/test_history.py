"""The history of a model, drawn: bars, gaps, level changes, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import nouns
import pytest

from greengate.point import Point
from greengate.profile import Missing
from greengate.report.history import WIDEST, lines, render
from greengate.verdict import Status

GOLDEN = Path(__file__).parent / "golden"


def points(metric: str, values: Sequence[float | None], hardware: Sequence[str] | None = None) -> list[Point]:
    return [
        Point(
            "m",
            f"2026-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z",
            Status.PASS,
            None,
            "sha256:c",
            hardware[number] if hardware else "here",
            "Test CPU",
            {metric: Missing("not today") if value is None else nouns.exact(value)},
            number + 1,
        )
        for number, value in enumerate(values)
    ]


def test_a_flat_metric_is_flat() -> None:
    (line,) = lines(points("size", [5e6] * 4))
    assert (line.bars, line.change, line.points) == ("▄▄▄▄", "0.0 %", ())


def test_levels_are_marked_where_they_begin() -> None:
    (line,) = lines(points("size", [10e6, 10e6, 12e6, 12e6, 12e6, 9e6]))
    assert line.bars == "▃▃|███|▁"
    assert line.points == ("+20.0 % at version 3 (2026-01-03)", "-25.0 % at version 6 (2026-01-06)")
    assert (line.first, line.last, line.change) == ("10.0 MB", "9.00 MB", "-10.0 %")


def test_a_gap_is_shown_and_moves_no_mark() -> None:
    (line,) = lines(points("size", [10e6, None, 10e6, 20e6]))
    assert line.bars == "▁·▁|█"
    assert line.points == ("+100.0 % at version 4 (2026-01-04)",)


def test_noisy_metrics_are_drawn_on_the_last_machine_only() -> None:
    machines = ["there", "here", "here"]
    (noisy,) = lines(points("latency_p50", [0.5, 0.01, 0.01], machines))
    (exact,) = lines(points("flops", [5e9, 1e9, 1e9], machines))
    assert noisy.bars == "·▄▄"
    assert exact.bars.replace("|", "") == "█▁▁"


def test_a_ratio_changes_by_points_and_zero_is_no_ratio() -> None:
    (line,) = lines(points("quantized_share", [0.0, 0.0, 0.5, 0.5]))
    assert line.points == ("+50.0 pp at version 3 (2026-01-03)",)


def test_only_the_metrics_asked_for_are_drawn() -> None:
    assert lines(points("size", [1e6]), ["flops"]) == ()
    assert "none of these metrics was measured" in render("m", points("size", [1e6]), metrics=["flops"])


def test_what_does_not_fit_is_said() -> None:
    said = render("m", points("size", [1e6] * (WIDEST + 3)))
    assert "40 points, version 4 (" in said
    assert "3 older ones are not drawn" in said


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_the_page_as_printed(form: str, golden: Callable[[Path, str], None]) -> None:
    found = points("size", [10e6, 10e6, 12e6, 12e6])
    for number, point in enumerate(found):
        object.__setattr__(point, "measurements", {**point.measurements, "flops": nouns.exact(1e9 + 2e6 * number)})
    golden(GOLDEN / f"history.{'md' if form == 'markdown' else 'out'}", render("m: accepted versions", found, form))
