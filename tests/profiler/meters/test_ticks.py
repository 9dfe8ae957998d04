from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate.power import Domain
from greengate.profiler.meters import Tick
from greengate.profiler.meters.ticks import BEYOND, CEILINGS, SLACK, Series

RANGE = 262_143_328_850  # microjoules, as Intel servers say
PACKAGE = Domain("powercap:package-0", "cpu", "counter", "package", 1e-6, RANGE)
BOARD = Domain("nvml:GPU-1", "gpu", "counter", "board", 1e-3)
SECOND = 10**9


def series(domain: Domain, *reads: tuple[float, int]) -> Series:
    found = Series(domain)
    for seconds, count in reads:
        found.add(Tick(round(seconds * SECOND), count))
    return found


def test_a_reading_goes_from_the_first_tick_inside_to_the_last() -> None:
    found = series(PACKAGE, (0, 100), (1, 200), (2, 300), (3, 500), (4, 900))
    reading = found.reading(SECOND, 3 * SECOND)
    # Changes are dated half-way between two reads: 0.5, 1.5, 2.5, 3.5.
    assert reading is not None
    assert (reading.counts, reading.ns, reading.ticks) == (200, SECOND, 1)


def test_a_tick_that_was_dated_badly_is_passed_over() -> None:
    """A reader that is held up for a while at either end of a window: the ticks beside are taken."""
    at = [k / 100 for k in range(1000) if not 95 < k < 101 and not 796 < k < 803]
    found = series(PACKAGE, *((seconds, round(seconds * 1e6)) for seconds in at))
    reading = found.reading(SECOND, 8 * SECOND)
    assert reading is not None
    assert reading.counts / reading.ns * 1e3 == pytest.approx(1.0, abs=1e-9)
    assert reading.ns > 6.3 * SECOND


@pytest.mark.parametrize(("start", "end"), [(0, 10), (0, 10_000), (999, 10_000)])
def test_a_reading_looks_for_good_ticks_near_the_outermost_wherever_the_window_ends(start: int, end: int) -> None:
    """A window that is much longer than what was followed must not be read at two ticks of its middle."""
    found = Series(PACKAGE)
    for k in range(101):
        held_up = 0.009 if k in (0, 1, 100) else 0.001
        found.add(Tick(round((1000 + k * 0.01 - held_up) * SECOND), 1000 * k))
        found.add(Tick(round((1000 + k * 0.01) * SECOND), 1000 * (k + 1)))
    reading = found.reading(start * SECOND, end * SECOND)
    assert reading is None if end == 10 else reading is not None and reading.ticks == 97
    assert Series(PACKAGE).last == 0


def test_reads_without_a_change_are_no_ticks() -> None:
    assert len(series(PACKAGE, (0, 7), (1, 7), (2, 7), (3, 8))) == 1


def test_fewer_than_two_ticks_are_no_reading() -> None:
    assert series(PACKAGE, (0, 7), (1, 8)).reading(0, 10 * SECOND) is None
    assert Series(PACKAGE).reading(0, SECOND) is None


def test_one_wrap_is_exact() -> None:
    found = series(PACKAGE, (0, RANGE - 1500), (0.5, RANGE - 999), (1, RANGE - 500), (1.5, 500), (2, 1000))
    reading = found.reading(0, 2 * SECOND)
    assert reading is not None
    assert reading.counts == 499 + (500 + 1 + 500) + 500  # RANGE - 500 to RANGE, to 0, to 500
    assert found.fault(0, 2 * SECOND) == ""


def test_a_wrap_counts_zero_itself() -> None:
    found = series(PACKAGE, (0, RANGE - 1), (0.1, RANGE), (0.2, 0), (0.3, 1))
    reading = found.reading(0, SECOND)
    assert reading is not None
    assert reading.counts == 2


def test_two_wraps_are_refused_because_nobody_looked_in_time() -> None:
    once = RANGE * 1e-6 / CEILINGS["cpu"]
    assert series(PACKAGE, (0, 5), (0.99 * once, 6)).fault(0, 1000 * SECOND) == ""
    why = series(PACKAGE, (0, 5), (1.01 * once, 6)).fault(0, 1000 * SECOND)
    assert "can have wrapped more than once" in why
    assert PACKAGE.id in why


@pytest.mark.parametrize("domain", [PACKAGE, BOARD])
def test_a_counter_that_runs_backwards_is_a_fault(domain: Domain) -> None:
    found = series(domain, (0, 5000), (1, 6000), (2, 5900), (3, 6100))
    assert found.fault(0, 4 * SECOND) == f"{domain.id} ran backwards"
    assert found.fault(3 * SECOND, 4 * SECOND) == "", "a fault is where it was seen"


@pytest.mark.parametrize(
    ("domain", "before", "after"),
    [
        (PACKAGE, 140_000_000_000, 0),  # began anew in the upper half of its range: it looks like a wrap
        (PACKAGE, RANGE - 1_100_000_000, 3),
        (PACKAGE, 1_000_000, 100_000_000_000),  # leapt
        (BOARD, 5_000_000, 5_000_000 + 31_000_000),
        (replace(BOARD, method="integrated"), 5_000_000, 5_000_000 + 31_000_000),
        (replace(BOARD, kind="system", method="metered"), 5_000_000, 5_000_000 + 60_000_000),
    ],
)
def test_what_no_domain_draws_is_a_fault_and_counts_nothing(domain: Domain, before: int, after: int) -> None:
    found = series(domain, (0, before - 2000), (0.05, before - 1000), (0.1, before), (0.15, after), (0.2, after + 1000))
    why = found.fault(0, SECOND)
    assert "that cannot be, at most" in why
    assert domain.id in why
    assert found.total == 3000
    assert found.fault(round(0.16 * SECOND), SECOND) == "", "what follows is believed again"


def test_what_is_told_late_and_at_once_is_believed() -> None:
    """A counter that ticks seldom, and a reader that a busy machine holds up, tell many joules in no time."""
    most = CEILINGS["gpu"]
    at = ((0, 0.0), (0.01, 0.9 * SLACK), (60, 60.0), (60.01, 60 + 0.9 * SLACK), (70, 70.0))
    found = series(BOARD, *((seconds, round(drawn * most * 1e3)) for seconds, drawn in at))
    assert found.fault(0, 100 * SECOND) == ""
    assert found.total * BOARD.joules == pytest.approx(70 * most)


@pytest.mark.parametrize(("watts", "limit", "believed"), [(800, 0, True), (800, 700, True), (900, 700, False)])
def test_a_board_is_held_against_its_own_limit(watts: float, limit: float, believed: bool) -> None:
    """Not tick by tick: a counter that is a tenth too high is found by and by."""
    found = Series(BOARD)
    for k in range(300):
        if k == 5 and limit:
            found.limit(limit)
            found.limit(limit / 2)  # one that was set lower meanwhile says nothing of before
        found.add(Tick(k * SECOND // 10, round(k * watts * 100)))
    why = found.fault(0, 100 * SECOND)
    assert (why == "") == believed
    assert believed or f"at most {limit * BEYOND:.4g} W" in why


def test_the_watts_of_a_model_are_its_own() -> None:
    model = Domain("cpu-time", "cpu", "estimated", "", 0.04)
    assert series(model, *((k, k * 512 * 100) for k in range(9))).fault(0, 100 * SECOND) == ""


def test_what_fails_for_days_is_one_fault() -> None:
    """A training of a week looks four times a second at a board that is gone."""
    found = series(BOARD, (0, 0), (1, 1))
    for k in range(10, 1000):
        found.mark(k * SECOND, "it is gone")
    found.add(Tick(1000 * SECOND, 2))
    found.mark(1010 * SECOND, "it is gone")
    assert len(found._faults) == 2
    for start, end, gone in ((2, 9, False), (2, 10, True), (500, 501, True), (1000, 1009, False), (1005, 1020, True)):
        assert bool(found.fault(start * SECOND, end * SECOND)) == gone


@given(
    st.lists(st.integers(1, 8 * 10**6), min_size=3, max_size=60),
    st.integers(1, 900),
    st.integers(0, 65_712_999_613),
)
def test_any_increments_add_up_whatever_the_counter_began_with(steps: list[int], gap: int, first: int) -> None:
    wraps = 65_712_999_613
    domain = Domain("d", "dram", "counter", "", 1e-6, wraps)
    found, count, now, total = Series(domain), first, 0, 0
    found.add(Tick(now, count))
    totals = []
    for step in steps:
        now += gap * 10**6
        count = (count + step) % (wraps + 1)
        total += step
        totals.append(total)
        found.add(Tick(now, count))
    reading = found.reading(0, now)
    assert reading is not None
    assert reading.counts == totals[-1] - totals[0]
    assert found.fault(0, now) == ""


def errors(tau: float, pause: float, window: float, rounds: int, tick_to_tick: bool) -> float:
    """Return the root mean square of a window's relative error, at 1 W, for windows that begin anywhere."""
    rng = random.Random(f"{tau} {pause} {window} {tick_to_tick}")
    domain = Domain("d", "gpu", "counter", "", 1e-6)
    found = []
    for _ in range(rounds):
        # No window is a whole number of ticks: that would hide the error.
        start, length = rng.uniform(1, 2), window + rng.uniform(-tau / 2, tau / 2)
        if not tick_to_tick:
            seen = math.floor((start + length) / tau) * tau - math.floor(start / tau) * tau
            found.append(seen / length - 1)
            continue
        one = Series(domain)
        at = start - rng.uniform(0, pause)
        while at < start + length + pause:
            # Reads come late by chance, as a thread's do.
            one.add(Tick(round(at * 1e9), round(math.floor(at / tau) * tau * 1e6)))
            at += pause * rng.uniform(1, 1.2)
        reading = one.reading(round(start * 1e9), round((start + length) * 1e9))
        assert reading is not None
        found.append(reading.counts * 1e-6 / (reading.ns * 1e-9) - 1)
    return math.sqrt(math.fsum(error * error for error in found) / rounds)


@pytest.mark.parametrize("window", [0.55, 1.05, 2.05])
def test_a_naive_window_follows_the_quantisation_law(window: float) -> None:
    law = 0.1 / (window * math.sqrt(6))
    assert errors(0.1, 0.002, window, 4000, tick_to_tick=False) == pytest.approx(law, rel=0.1)


def test_tick_to_tick_a_window_of_two_seconds_is_within_a_thousandth() -> None:
    found = errors(0.1, 0.002, 2.0, 60, tick_to_tick=True)
    assert found < 0.001
    # The negative control: the same counter read at the window's ends is twenty times as far off.
    assert errors(0.1, 0.002, 2.0, 2000, tick_to_tick=False) > 0.01
