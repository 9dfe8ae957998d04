"""An external meter's log beside clocks that are set, that differ, and writers that are late."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from greengate.power import Domain
from greengate.profiler.meters import MeterError, Tick, powerlog
from greengate.profiler.meters.bench import Meters
from greengate.profiler.meters.calibration import calibrate
from greengate.profiler.meters.logline import is_heading, misnamed
from greengate.profiler.meters.powerlog import PowerLog
from greengate.profiler.meters.recorder import Recorder
from greengate.profiler.meters.ticks import Series

BEGUN = 1_700_000_000.0


class Clocks:
    """This machine's clock and the one that windows are timed with; both go on only when they are told to."""

    def __init__(self) -> None:
        self.wall, self.steady = BEGUN, 1000.0

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    told = SimpleNamespace(time=lambda: made.wall, monotonic=lambda: made.steady)
    monkeypatch.setattr(powerlog, "time", told)
    return made


class Followed:
    """A log that is written, and read ten times a second."""

    def __init__(self, folder: Path, clocks: Clocks, every: float = 0.1) -> None:
        self.path, self.clocks = folder / "meter.csv", clocks
        lines = "".join(f"{clocks.wall - (30 + k) * every:.3f},100\n" for k in range(30, 0, -1))
        self.path.write_text(f"t,watts\n{lines}")
        self.meter = PowerLog(self.path)
        (self.domain,) = self.meter.discover().domains
        self.meter.read(self.domain)

    def write(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")

    def read(self) -> str:
        """Return the fault of what was added; empty for none."""
        try:
            self.meter.read(self.domain)
        except MeterError as error:
            return str(error)
        return ""

    def run(self, seconds: float, dated: Callable[[float], float], every: float = 0.1) -> list[str]:
        """Write a line `every` so often, read ten times a second; return the faults."""
        found, due = [], self.clocks.steady
        for _ in range(round(seconds * 10)):
            self.clocks.go_on(0.1)
            if self.clocks.steady >= due - 1e-6:
                due += every
                self.write(f"{dated(self.clocks.wall):.3f},100")
            found.append(self.read())
        return [one for one in found if one]


@pytest.fixture
def followed(tmp_path: Path, clocks: Clocks) -> Followed:
    return Followed(tmp_path, clocks)


# --- the meter's clock --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dated", "every"),
    [
        (lambda wall: wall, 0.1),
        (lambda wall: wall + 0.4, 0.1),  # two clocks that differ, or times that are rounded
        (lambda wall: wall - 0.5, 0.1),  # what a meter takes to tell
        (lambda wall: wall // 1, 0.1),  # whole seconds
        (lambda wall: wall - 1, 1.0),  # dated at the begin of the second that it is the mean of
        (lambda wall: wall - 3, 3.0),
    ],
)
def test_ordinary_clocks_are_believed(
    tmp_path: Path, clocks: Clocks, dated: Callable[[float], float], every: float
) -> None:
    assert not Followed(tmp_path, clocks, every).run(20, dated, every)


@pytest.mark.parametrize("ahead", [0.7, 4.0])
def test_a_line_that_says_what_is_not_yet_is_a_fault(followed: Followed, ahead: float) -> None:
    found = followed.run(1, lambda wall: wall + ahead)
    assert len(found) == 10
    assert found[0] == f"meter: its log has a line {ahead} s ahead of this machine's clock"


def test_a_clock_that_is_behind_is_a_fault_and_lines_that_are_written_together_are_none(followed: Followed) -> None:
    found = followed.run(4, lambda wall: wall - 2)
    assert len(found) > 20
    assert re.search(r"its newest lines are (1\.9|2\.0) s old when they come: its clock is behind, or they", found[0])
    # What is written in heaps tells its newest line in time, however old the others are by then.
    followed.clocks.go_on(2)
    assert not followed.read()
    for _ in range(6):
        now = followed.clocks.wall
        for k in range(25):
            followed.write(f"{now - 2.4 + k * 0.1:.3f},100")
        assert not followed.read()
        for _ in range(25):
            followed.clocks.go_on(0.1)
            assert not followed.read()


def test_a_writer_or_reader_that_is_held_up_is_no_clock(followed: Followed) -> None:
    followed.run(2, lambda wall: wall)
    old = followed.clocks.wall
    followed.clocks.go_on(1.2)  # between looking at the clock and writing
    followed.write(f"{old:.3f},100")
    assert not followed.read()
    assert not followed.run(2, lambda wall: wall)
    for _ in range(30):  # nobody read for three seconds
        followed.clocks.go_on(0.1)
        followed.write(f"{followed.clocks.wall:.3f},100")
    assert not followed.read()


# --- this machine's clock -----------------------------------------------------------------------


@pytest.mark.parametrize("by", [4.0, -2.5, 0.3, -0.3])
@pytest.mark.parametrize("along", [True, False], ids=["the meter's too", "the meter's not"])
def test_a_clock_that_is_set_is_a_fault_of_that_moment(followed: Followed, by: float, along: bool) -> None:
    assert not followed.run(2, lambda wall: wall)
    before = round((followed.clocks.steady - 0.05) * 1e9)
    followed.clocks.wall += by
    followed.clocks.go_on(0.1)
    followed.write(f"{followed.clocks.wall - (0 if along else by):.3f},100")
    with pytest.raises(MeterError, match=re.escape(f"this machine's clock was set by {by:+g} s")) as raised:
        followed.meter.read(followed.domain)
    assert raised.value.since is not None
    assert raised.value.since <= before + 10**8
    if along:
        assert not followed.run(5, lambda wall: wall), "all goes on by the new one"
    elif abs(by) > 0.5:
        assert followed.run(1, lambda wall: wall - by), "one of the two is wrong"


def test_a_clock_that_drifts_a_little_is_none_that_was_set(followed: Followed) -> None:
    followed.clocks.wall += 0.15
    assert not followed.run(2, lambda wall: wall)


def test_of_a_thread_that_is_held_up_between_two_clocks_the_quickest_look_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = iter((0.0, 0.9, 1.0, 1.001, 2.0, 2.001))
    told = SimpleNamespace(time=lambda: 500.0, monotonic=lambda: next(looks))
    monkeypatch.setattr(powerlog, "time", told)
    assert powerlog._distance() == pytest.approx(498.0, abs=1.01)
    looks = iter((0.0, 5.0, 5.0, 5.001, 5.0, 9.0))
    assert powerlog._distance() == pytest.approx(494.9995)


# --- what the log does not say ------------------------------------------------------------------


def test_a_heading_that_is_written_after_the_log_was_opened_is_one(tmp_path: Path, clocks: Clocks) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("t,wa")
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    assert not meter.read(domain)
    path.write_text(f"t,watts\n{clocks.wall},100\n")
    assert len(meter.read(domain)) == 1
    path.write_text("time,watts\n")
    with pytest.raises(MeterError, match="its file was begun anew"):
        meter.read(domain)


@pytest.mark.parametrize(
    ("every", "gap", "fault"),
    [
        (0.1, 1.0, ""),
        (0.1, 1.3, "meter said nothing for 1.3 s, where it says something every 0.1 s"),
        (0.1, 16.0, "meter said nothing for 16.0 s"),
        (1.0, 4.9, ""),
        (1.0, 5.3, "meter said nothing for 5.3 s, where it says something every 1 s"),
    ],
)
def test_a_silence_within_a_launch_spoils_it(every: float, gap: float, fault: str) -> None:
    domain = Domain("meter", "system", "metered", "", 1e-6, tick=every)
    recorder = Recorder([])
    series = recorder.series["meter"] = Series(domain)
    recorder.health["meter"] = []
    seconds = 0.0
    for k in range(60):
        series.add(Tick(round(seconds * 1e9), k))
        seconds += gap if k == 30 else every
    bench = Meters((domain,), (), (), recorder)
    assert bench.faults(0, round(seconds * 1e9)).get("meter", "").startswith(fault)
    assert bool(bench.faults(0, round(seconds * 1e9))) == bool(fault)
    assert not bench.faults(0, round(30 * every * 1e9)), "before it"
    assert not bench.faults(round((31 * every + gap / 2) * 1e9), round(seconds * 1e9)), "after it"
    assert not Meters((replace(domain, method="counter"),), (), (), recorder).faults(0, round(seconds * 1e9))


# --- what is no log -----------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", b"t,watts\n1700000000,50\n"], ids=["at once", "after some lines"])
def test_a_file_without_line_breaks_is_not_read_to_its_end(before: bytes, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    with path.open("wb") as file:
        file.write(before)
        file.truncate(1 << 36)  # 64 GB, none of it on the disk
    (absent,) = PowerLog(path).discover().absent
    assert absent.reason == f"{path} has a line of more than 4096 bytes"


def test_a_log_that_goes_on_without_line_breaks_is_at_fault(followed: Followed) -> None:
    with followed.path.open("ab") as file:
        file.truncate(1 << 36)
    assert followed.read() == "meter: its log has a line of more than 4096 bytes"


def test_more_than_is_read_at_once_is_read_in_turn(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powerlog, "_AT_ONCE", 100)
    for k in range(30):
        followed.write(f"{followed.clocks.wall + k * 0.01:.3f},100")
    ticks = [tick for _ in range(9) for tick in followed.meter.read(followed.domain)]
    assert len(ticks) == 30


def test_a_pipe_or_a_folder_is_no_log(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        (absent,) = PowerLog(path).discover().absent
        assert absent.reason == f"{path} is no ordinary file"


# --- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "heading",
    [
        "t,watts",
        "time,watts,volts",
        "# timestamp,Power (W)",
        '"Time [s]","W"',
        "unix_time,power_w,note",
        "\ufefft,watts",
    ],
)
def test_a_heading_that_names_time_and_watts_is_believed(heading: str) -> None:
    assert is_heading(heading)
    assert not misnamed(heading)


@pytest.mark.parametrize(
    ("heading", "why"),
    [
        ("time,volts,watts", "whose second column is no power in watts"),
        ("watts,t", "whose first column is no time"),
        ("t", "whose second column is no power in watts"),
        ("t;watts", "whose second column is no power in watts"),
        ("t,milliwatts", "whose second column is no power in watts"),
        ("t,Power (mW)", "whose second column is no power in watts"),
        ("t,power factor", "whose second column is no power in watts"),
        ("t,apparent power", "whose second column is no power in watts"),
        ("My meter", "whose first column is no time"),
    ],
)
def test_a_heading_that_names_something_else_is_refused(heading: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(f"{heading}\n{BEGUN},230,20\n{BEGUN + 1},230,20\n")
    (absent,) = PowerLog(path).discover().absent
    assert absent.reason == f"{path} has the heading {heading!r}, {why}"
    assert "under `t,watts`" in absent.help


@pytest.mark.parametrize("heading", ["", "t,watts\n"])
def test_a_decimal_comma_is_no_twelve_watts(heading: str, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(f"{heading}{BEGUN},12,5\n{BEGUN + 1},12,5\n")
    (absent,) = PowerLog(path).discover().absent
    assert absent.reason == f"{path} has a line that is not `t,watts`: '1700000001.0,12,5'"
    assert "decimal points" in absent.help


def test_a_log_that_is_begun_anew_under_another_heading_is_read_by_that(followed: Followed) -> None:
    followed.path.write_text("time,volts,watts\n")
    for _ in range(2):
        assert (
            followed.read()
            == "meter: its log has the heading 'time,volts,watts', whose second column is no power in watts"
        )
    followed.path.write_text("t,watts,volts\n")
    followed.read()
    followed.clocks.go_on(0.1)
    followed.write(f"{followed.clocks.wall},100,230")
    assert not followed.read()


# --- whom a fault spoils ------------------------------------------------------------------------


def test_a_fault_that_is_read_late_is_marked_from_where_the_log_was_good_last() -> None:
    """Lines come a little after what they tell of: by then a launch can be over."""

    class Late:
        every, strict = 60.0, False

        def read(self, domain: Domain) -> Sequence[Tick]:
            raise MeterError(f"{domain.id}: no numbers", 5_000)

        def close(self) -> None:
            pass

    domain = Domain("meter", "system", "metered", "", 1e-6)
    recorder = Recorder([(Late(), (domain,))])  # type: ignore[list-item]
    recorder.start()
    recorder.stop()
    assert recorder.series["meter"].fault(4_000, 6_000) == "meter: no numbers"
    assert recorder.series["meter"].fault(6_000, 7_000), "nothing was read from then on"
    assert not recorder.series["meter"].fault(4_000, 4_999)


@pytest.mark.parametrize("what", ["OL", "other", "gone"])
def test_every_fault_of_a_log_is_from_its_last_good_line_on(followed: Followed, what: str) -> None:
    followed.run(1, lambda wall: wall)
    good = round(followed.clocks.steady * 1e9)
    followed.clocks.go_on(0.1)
    if what == "OL":
        followed.write(f"{followed.clocks.wall},OL")
    elif what == "other":
        followed.path.write_text("time,volts,watts\n")
    else:
        followed.path.unlink()
    with pytest.raises(MeterError) as raised:
        followed.meter.read(followed.domain)
    assert raised.value.since == pytest.approx(good, abs=2_000_000)


def test_a_log_by_a_clock_that_is_behind_is_dropped_when_it_is_calibrated(tmp_path: Path) -> None:
    import threading
    import time

    path, ended = tmp_path / "meter.csv", threading.Event()
    path.write_text("".join(f"{time.time() - 5 + k * 0.1:.3f},100\n" for k in range(30)))

    def write() -> None:
        while not ended.wait(0.1):
            with path.open("a") as file:
                file.write(f"{time.time() - 2:.3f},100\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        meter = PowerLog(path)
        domains = meter.discover().domains
        recorder = Recorder([(meter, domains)])
        recorder.start()
        found = calibrate(recorder, [(meter, domains)])
        recorder.stop()
    finally:
        ended.set()
        writer.join()
    (absent,) = found.absent
    assert "its clock is behind, or they are held back" in absent.reason
    assert "`clock_offset`" in absent.help
    assert absent.kind == "system"
