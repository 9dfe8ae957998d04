"""Numbers as reports write them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from verdicts import compared, exact, grown, limit, timed

from greengate.budget import Limit
from greengate.comparison import Change, Comparison
from greengate.profile import Measurement, Missing
from greengate.report.numbers import ABSENT, Written, how, write, write_alone, write_change

LOST = Missing("lost")
UP5 = limit("max_increase", 0.05, "5%", 1)
DOWN5 = limit("max_decrease", 0.05, "5%", 1)
AT_MOST = limit("max", 0.045, "45 ms", 1)
PP = limit("max_decrease", 0.002, "0.2 pp", 1, relative=False)


@pytest.mark.parametrize(
    ("comparison", "limits", "floor", "written"),
    [
        (grown("size", 10e6, 12e6), [], None, Written("10.0 MB", "12.0 MB", "", "+20.0 %", "")),
        (grown("size", 999e3, 12e6), [], None, Written("999 kB", "12,000 kB", "", "+1,101.2 %", "")),
        (grown("size", 0.5e6, 0.25e6), [UP5], None, Written("500 kB", "250 kB", "", "-50.0 %", "", ("≤ +5 %",))),
        (grown("params", 3_000_000, 3_000_001), [], None, Written("3.000000 M", "3.000001 M", "", "+0.00003 %", "")),
        (grown("throughput", 100, 90), [DOWN5], None, Written("100/s", "90.0/s", "", "-10.0 %", "", ("≥ -5 %",))),
        (
            compared("latency_p50", timed(0.04, 0.001), timed(0.044, 0.002), (0.1, 0.08, 0.12, "paired")),
            [AT_MOST, UP5],
            0.0002,
            Written(
                *("40.0 ms", "44.0 ms", "[42.0, 46.0]", "+10.0 %", "[+8.0, +12.0]"),
                ("≤ 45 ms", "≤ +5 %", "or +0.2 ms"),
            ),
        ),
        (
            compared("accuracy", exact(0.981), exact(0.979), (-0.002, -0.002, -0.002, "exact")),
            [PP],
            0.001,
            Written("0.981", "0.979", "", "-0.2 pp", "", ("≥ -0.2 pp", "or -0.1 pp")),
        ),
        (
            compared("latency_p50", LOST, LOST, LOST),
            [UP5],
            0.0002,
            Written(ABSENT, ABSENT, "", ABSENT, "", ("≤ +5 %", "or +200 us")),
        ),
        (
            compared("size", exact(0.0), exact(0.0), (0.0, 0.0, 0.0, "exact")),
            [limit("max_increase", 0.0, "0%", 1)],
            None,
            Written("0 B", "0 B", "", "0.0 %", "", ("≤ 0 %",)),
        ),
        (
            grown("throughput", 100, 110),
            [limit("min", 95, "95 /s", 1)],
            None,
            Written("100/s", "110/s", "", "+10.0 %", "", ("≥ 95/s",)),
        ),
    ],
)
def test_write(comparison: Comparison, limits: list[Limit], floor: float | None, written: Written) -> None:
    assert write(comparison, limits, floor) == written


def test_several_limits_in_one_line() -> None:
    assert Written("", "", "", "", "", ("≤ 120 MB", "≤ +10 %")).limit == "≤ 120 MB, ≤ +10 %"
    assert Written("", "", "", "", "", ("≤ +5 %", "or +0.2 ms")).limit == "≤ +5 % or +0.2 ms"


@pytest.mark.parametrize(
    ("change", "edges", "written"),
    [
        (Change(0.031, 0.019, 0.043, "paired"), [], ("+3.1 %", "[+1.9, +4.3]")),
        (Change(0.031, 0.031, 0.031, "exact"), [], ("+3.1 %", "")),
        (Change(0.031, 0.031, 0.031, "stored"), [], ("+3.1 %", "")),
        (Change(0.00004, -0.01, 0.01, "paired"), [], ("0.0 %", "[-1.0, +1.0]")),
        (Change(0.00004, 0.00004, 0.00004, "exact"), [], ("+0.004 %", "")),
        (Change(0.0502, 0.05001, 0.06, "paired"), [0.05], ("+5.020 %", "[+5.001, +6.000]")),
        (Change(0.05, 0.05, 0.05, "exact"), [0.05], ("+5.0 %", "")),
        (Change(0.05 + 1e-15, 0.05, 0.05, "exact"), [0.05], ("+5.0 %", "")),
        (Change(-0.0021, -0.0021, -0.0021, "exact", relative=False), [-0.002], ("-0.21 pp", "")),
        (LOST, [0.05], (ABSENT, "")),
    ],
)
def test_write_change(change: Change | Missing, edges: list[float], written: tuple[str, str]) -> None:
    assert write_change(change, edges) == written


FRACTIONS = st.floats(-0.9, 9, allow_subnormal=False).map(lambda value: round(value, 8))


@given(FRACTIONS, FRACTIONS)
def test_a_change_beyond_its_limit_never_reads_like_the_limit(value: float, edge: float) -> None:
    assume(value != edge)
    written, _ = write_change(Change(value, value, value, "exact"), [edge])
    digits = len(written.split(" ")[0].rpartition(".")[2])
    assert written != f"{edge * 100:+,.{digits}f} %"


@given(st.floats(1e-6, 1e3), st.floats(1.0001, 3))
def test_a_value_beyond_its_limit_never_reads_like_the_limit(bound: float, factor: float) -> None:
    value = bound * factor
    comparison = compared("latency_p95", LOST, timed(value, value / 100), LOST)
    written = write(comparison, [limit("max", bound, "as written", 1)])
    assert written.candidate != written.limit.removeprefix("≤ ")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (exact(1), "executed"),
        (timed(1, 0.1), "timed, 7 launches x 812 calls"),
        (Measurement(1, "observed", samples=5), "observed, 5 samples"),
    ],
)
def test_how(found: Measurement, told: str) -> None:
    assert how(found) == told


@pytest.mark.parametrize(
    ("found", "written"),
    [
        (exact(12_127_900), ("12.1 MB", "")),
        (timed(12_127_900, 100_000), ("12.1 MB", "[12.0, 12.2]")),
        (timed(12_127_900, 1_000), ("12.128 MB", "[12.127, 12.129]")),
    ],
)
def test_write_alone(found: Measurement, written: tuple[str, str]) -> None:
    assert write_alone(found, "bytes") == written
