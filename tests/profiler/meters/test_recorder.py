"""Following counters: logs that lag are waited for, counters are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from greengate.power import Domain, EnergyMethod
from greengate.profiler.meters import Found, Health, Meter, MeterError, Tick, recorder
from greengate.profiler.meters.powerlog import PowerLog
from greengate.profiler.meters.recorder import Recorder


def test_a_log_that_lags_is_waited_for(tmp_path: Path) -> None:
    """A meter writes what was half a second ago: what a window drew is known only then."""
    path = tmp_path / "meter.csv"
    now = time.time()
    path.write_text(f"{now - 1},100\n{now},100\n")
    meter: Meter = PowerLog(path)
    found = Recorder([(meter, meter.discover().domains)])
    found.start()
    start = time.monotonic_ns()
    begun = time.time()

    def late() -> None:
        with path.open("a") as file:
            file.writelines(f"{begun + k * 0.05},100\n" for k in range(1, 10))

    writer = threading.Timer(0.5, late)
    writer.start()
    try:
        reading = found.readings(start, start + 400_000_000)["meter"]
    finally:
        writer.join()
        found.stop()
    assert reading.ticks >= 6
    assert reading.counts * 1e-6 / (reading.ns * 1e-9) == pytest.approx(100, rel=0.01)


class Still:
    """A counter that does not change, or cannot be read."""

    every, strict = 0.005, False

    def __init__(self, method: EnergyMethod = "counter", why: str = "") -> None:
        self.domain = Domain("d", "cpu", method, "", 1e-6)
        self.why, self.closed = why, False

    def discover(self) -> Found:
        return Found((self.domain,))

    def read(self, domain: Domain) -> Sequence[Tick]:
        if self.why:
            raise MeterError(f"{domain.id} {self.why}")
        return (Tick(time.monotonic_ns(), 7),)

    def health(self, domain: Domain) -> Health:
        if self.why:
            raise MeterError(f"{domain.id} {self.why}")
        return Health(temperature=50.0)

    def close(self) -> None:
        self.closed = True


def test_a_counter_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Still()
    found = Recorder([(meter, (meter.domain,))])
    found.start()

    def forbidden(_: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(recorder.time, "sleep", forbidden)
    assert found.readings(0, time.monotonic_ns() + 10**12) == {}
    monkeypatch.undo()
    found.stop()
    assert meter.closed


def test_what_cannot_be_read_is_a_fault_with_its_words() -> None:
    meter = Still(why="cannot be read any more: gone")
    found = Recorder([(meter, (meter.domain,))])
    found.start()
    found.stop()
    assert found.series["d"].fault(0, time.monotonic_ns()) == "d cannot be read any more: gone"
    assert found.readings(0, time.monotonic_ns()) == {}


@pytest.mark.parametrize(("limit", "believed"), [(700.0, False), (None, True)])
def test_what_a_board_says_that_it_may_draw_bounds_what_it_can_have_drawn(limit: float | None, believed: bool) -> None:
    """1,500 J at once: more than a board of 700 W can have drawn, though others could."""
    meter = Leaping(limit)
    found = Recorder([(meter, (meter.domain,))])
    found.start()
    time.sleep(0.1)
    meter.count = 1_500_000
    found.stop()
    why = found.series["d"].fault(0, time.monotonic_ns())
    assert (why == "") == believed
    assert believed or "at most 840 W" in why


@pytest.mark.parametrize("where", ["read", "health", "close"])
def test_whatever_a_driver_s_library_raises_is_a_fault_and_ends_no_thread(where: str) -> None:
    """Foreign code raises what it likes; the other counter goes on."""
    broken, whole = Still(), Still()
    whole.domain = Domain("whole", "cpu", "counter", "", 1e-6)

    def raises(*_: object) -> None:
        raise KeyError("N/A")

    found = Recorder([(broken, (broken.domain,)), (whole, (whole.domain,))])
    found.start()
    setattr(broken, where, raises)
    time.sleep(0.1)
    assert all(thread.is_alive() for thread in found._threads)
    if where == "health":  # the first look is at the beginning, the next a second later
        found._look(broken, (broken.domain,))
    found.stop()
    said = "" if where == "close" else "d cannot be read any more: KeyError: 'N/A'"
    assert found.series["d"].fault(0, time.monotonic_ns()) == said
    assert found.series["whole"].fault(0, time.monotonic_ns()) == ""
    assert whole.closed


class Leaping(Still):
    """A board that draws nothing until it leaps."""

    def __init__(self, limit: float | None) -> None:
        super().__init__()
        self.domain, self.limit, self.count = Domain("d", "gpu", "counter", "", 1e-3), limit, 0

    def read(self, domain: Domain) -> Sequence[Tick]:
        assert domain == self.domain
        return (Tick(time.monotonic_ns(), self.count),)

    def health(self, domain: Domain) -> Health:
        assert domain == self.domain
        return Health(limit=self.limit)
