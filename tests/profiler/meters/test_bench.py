"""Calibration, and all meters of a machine together, on counters whose truth is known."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fakes
import pytest

from greengate import gate
from greengate.power import Domain, DomainKind
from greengate.profiler import metering
from greengate.profiler.meters import METERS, Found, Health, Tick, calibration
from greengate.profiler.meters.bench import Energy, discover, opened
from greengate.profiler.meters.calibration import Calibrated, calibrate
from greengate.profiler.meters.nvml import Nvml
from greengate.profiler.meters.recorder import Recorder


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that is frozen is waited for; these tests need not wait as long."""
    monkeypatch.setattr(calibration, "LONGEST", 0.7)


WELL = Health()


class Scripted:
    """A counter that says what a function of seconds says."""

    every = 0.002

    def __init__(
        self, count: Callable[[float], int], health: Health = WELL, strict: bool = False, kind: DomainKind = "gpu"
    ) -> None:
        self._count, self._health, self.strict = count, health, strict
        self._begun = time.monotonic()
        self.domain = Domain("scripted", kind, "counter", "", 1e-3)

    def discover(self) -> Found:
        return Found((self.domain,))

    def read(self, domain: Domain) -> Sequence[Tick]:
        assert domain == self.domain
        return (Tick(time.monotonic_ns(), self._count(time.monotonic() - self._begun)),)

    def health(self, domain: Domain) -> Health:
        assert domain == self.domain
        return self._health

    def close(self) -> None:
        pass


def steady(watts: float, tick: float = 0.02) -> Callable[[float], int]:
    return lambda seconds: round(int(seconds / tick) * tick * watts * 1e3)


def calibrated(meter: Scripted | Nvml) -> Calibrated:
    pair = (meter, meter.discover().domains)
    recorder = Recorder([pair])
    recorder.start()
    try:
        return calibrate(recorder, [pair])
    finally:
        recorder.stop()


def test_tick_and_watts_are_measured() -> None:
    (domain,) = calibrated(Scripted(steady(120))).domains
    assert domain.tick == pytest.approx(0.02, rel=0.15)
    assert domain.watts == pytest.approx(120, rel=0.05)


@pytest.mark.parametrize(
    ("meter", "why"),
    [
        (Scripted(lambda _: 7), "frozen"),
        (Scripted(lambda seconds: round(1e6 - 1000 * seconds)), "ran backwards"),
        (Scripted(steady(9000)), "cannot be"),
        (Scripted(steady(900), Health(limit=700.0)), "at most 840 W"),
        (Scripted(steady(90), Health(processes=2)), "2 other process computes"),
        (Scripted(steady(90), Health(mig=True)), "split by MIG"),
        (Scripted(steady(90), Health(watts=180.0), strict=True), "its power sensor says 180 W"),
        (Scripted(steady(90), strict=True), "cannot be held beside its own power, which was told 0 times"),
    ],
)
def test_what_cannot_be_believed_is_dropped(meter: Scripted, why: str) -> None:
    found = calibrated(meter)
    assert found.domains == ()
    assert why in found.absent[0].reason
    assert found.absent[0].kind == "gpu", "it draws all the same"


def test_a_strict_counter_that_ticks_fast_is_held_beside_its_power_all_the_same() -> None:
    meter = Scripted(steady(90, tick=0.001), Health(watts=90.0), strict=True)
    meter.every = 0.0001
    assert len(calibrated(meter).domains) == 1


@pytest.mark.parametrize(
    ("kind", "count", "drawing"),
    [
        ("dram", lambda _: 7, None),  # memory that draws nothing is not told by its zone on many machines
        ("dram", steady(9000), "dram"),
        ("cpu", lambda _: 7, "cpu"),
    ],
)
def test_what_is_dropped_is_left_out_of_a_sum_unless_it_is_silent_memory(
    kind: DomainKind, count: Callable[[float], int], drawing: DomainKind | None
) -> None:
    (absent,) = calibrated(Scripted(count, kind=kind)).absent
    assert absent.kind == drawing


def test_how_long_a_frozen_counter_was_watched_is_told() -> None:
    (absent,) = calibrated(Scripted(lambda _: 7)).absent
    assert re.fullmatch(r"it is frozen: it did not change twice in \d\d?\.\d s", absent.reason)


def test_a_comparison_of_energy_has_four_minutes_and_nothing_beside_counters_unless_asked_for() -> None:
    assert Energy() == Energy(seconds=240.0, estimates=False, log=None, offset=0.0)
    assert gate.Request().energy_seconds == Energy().seconds


def test_a_counter_beside_its_power_sensor_is_told_about_beyond_five_percent() -> None:
    apart = calibrated(Scripted(steady(100), Health(watts=120.0)))
    assert len(apart.domains) == 1
    assert any("integrated, 120 W" in note for note in apart.notes)
    assert not calibrated(Scripted(steady(100), Health(watts=100.0))).notes


@pytest.mark.parametrize(("kind", "processes", "told"), [("gpu", None, True), ("gpu", 0, False), ("cpu", 0, False)])
def test_a_board_that_does_not_tell_who_computes_on_it_is_told_about(
    kind: DomainKind, processes: int | None, told: bool
) -> None:
    found = calibrated(Scripted(steady(100), Health(processes=processes), kind=kind))
    assert len(found.domains) == 1
    why = "scripted: it does not tell who computes on it: whether it is alone is not known"
    assert found.notes == ((why,) if told else ())


def test_heat_is_told() -> None:
    found = calibrated(Scripted(steady(100), Health(throttled=("heat",), temperature=91.0)))
    assert any("slowed by heat" in note for note in found.notes)
    assert any("91 degrees" in note for note in found.notes)


@pytest.mark.system("gcc")
@pytest.mark.parametrize(
    ("knob", "value", "why"),
    [
        ("FAKE_NVML_FREEZE", "1", "frozen"),
        ("FAKE_NVML_BACKWARDS", "1", "ran backwards"),
        ("FAKE_NVML_PROCESSES", "1", "computes on it"),
        ("FAKE_NVML_WATTS", "3000", "cannot be"),
    ],
)
def test_a_board_at_fault_is_dropped(knob: str, value: str, why: str, board: pytest.MonkeyPatch) -> None:
    board.setenv("FAKE_NVML_PERIOD_MS", "20")
    board.setenv(knob, value)
    found = calibrated(Nvml())
    assert found.domains == ()
    assert why in found.absent[0].reason


@pytest.mark.system("gcc")
def test_a_board_is_calibrated_by_its_own_tick(board: pytest.MonkeyPatch) -> None:
    board.setenv("FAKE_NVML_PERIOD_MS", "30")
    board.setenv("FAKE_NVML_GAIN", "1.2")
    found = calibrated(Nvml())
    (domain,) = found.domains
    assert domain.tick == pytest.approx(0.03, rel=0.1)
    assert any("its own power sensor" in note for note in found.notes)


@contextmanager
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fakes.Tree]:
    tree = fakes.Tree(tmp_path / "powercap", fakes.SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tree.root))
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    try:
        yield tree
    finally:
        tree.stop()
        thread.join()


@pytest.mark.system("gcc")
def test_a_whole_machine_is_metered(tmp_path: Path, board: pytest.MonkeyPatch) -> None:
    board.setenv("FAKE_NVML_PERIOD_MS", "20")
    with machine(tmp_path, board), opened(Energy()) as bench:
        assert {one.id for one in bench.domains} == {"powercap:package-0", "powercap:dram-0", "nvml:GPU-fake-1"}
        assert any(one.what == "AMD" for one in bench.absent)
        start = time.monotonic_ns()
        time.sleep(1.5)  # the writers of both trees are this process's threads: a late tick counts for less
        end = time.monotonic_ns()
        found = bench.readings(start, end)
        truth = {"powercap:package-0": 60.0, "powercap:dram-0": 8.0, "nvml:GPU-fake-1": 200.0}
        for domain in bench.domains:
            reading = found[domain.id]
            watts = reading.counts * domain.joules / (reading.ns * 1e-9)
            assert watts == pytest.approx(truth[domain.id], rel=0.02), domain.id
        assert bench.faults(start, end) == {}


@pytest.mark.system("gcc")
def test_what_happens_on_a_board_during_a_launch_is_a_fault(board: pytest.MonkeyPatch) -> None:
    board.setenv("FAKE_NVML_PERIOD_MS", "20")
    board.setenv("GREENGATE_POWERCAP", "/nowhere")
    with opened(Energy()) as bench:
        start = time.monotonic_ns()
        board.setenv("FAKE_NVML_PROCESSES", "2")
        board.setenv("FAKE_NVML_DEGREES", "70")
        time.sleep(1.2)
        middle = time.monotonic_ns()
        assert "1 other process" in bench.faults(start, middle)["nvml:GPU-fake-1"]
        board.setenv("FAKE_NVML_PROCESSES", "1")
        board.setenv("FAKE_NVML_THROTTLE", "8")
        board.setenv("FAKE_NVML_DEGREES", "80")
        time.sleep(1.2)
        end = time.monotonic_ns()
        assert "hardware slowdown" in bench.faults(middle, end)["nvml:GPU-fake-1"]
        assert bench.remarks(start, end) == ("nvml:GPU-fake-1 went from 70 to 80 degrees Celsius in one launch",)


def test_a_model_stands_in_only_where_nothing_counts_and_the_caller_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METERS, "codecarbon", replace(METERS["codecarbon"], make=METERS["cpu-time"].make))
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    assert [one.id for _, each in discover(Energy())[0] for one in each] == []
    assert [one.id for _, each in discover(Energy(estimates=True))[0] for one in each] == ["cpu-time"]
    fakes.Tree(tmp_path, fakes.SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path))
    found = [one.method for _, each in discover(Energy(estimates=True))[0] for one in each]
    assert set(found) == {"counter"}


@pytest.mark.parametrize("estimates", [False, True])
def test_where_a_model_stands_for_the_processor_its_own_counters_leave_nothing_out(
    estimates: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METERS, "codecarbon", replace(METERS["codecarbon"], make=METERS["cpu-time"].make))
    tree = fakes.Tree(tmp_path, {"intel-rapl:0": ("package-0", 5)})
    (tree.root / "intel-rapl:0" / "energy_uj").write_text("many\n")
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path))
    (package,) = [one for one in discover(Energy(estimates=estimates))[1] if one.what == "package-0"]
    assert package.kind == (None if estimates else "cpu")


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (None, "meter.csv cannot be read: No such file or directory"),
        ("t,watts\n1700000000,200\n1700000001,200\n", "it is frozen: it did not change twice in"),
        ("t,watts\n1700000000000,200\n", "are these milliseconds?"),
    ],
)
def test_counters_do_not_stand_for_an_external_meter_that_is_named_and_fails(
    log: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if log is not None:
        (tmp_path / "meter.csv").write_text(log)
    with machine(tmp_path, monkeypatch), opened(Energy(log=str(tmp_path / "meter.csv"))) as bench:
        assert any(one.kind == "cpu" for one in bench.domains)
        missing = metering.unmetered(bench)
        assert missing is not None
        assert missing.reason.startswith("the external meter cannot be used: ")
        assert why in missing.reason
        wanted = ("energy_per_1k", "cpu_energy_per_1k")
        assert metering.beyond_reach(bench, wanted) == {"energy_per_1k"}


@pytest.mark.parametrize(("name", "kind"), [("nvml", "gpu"), ("powercap", "cpu"), ("codecarbon", None)])
def test_a_meter_that_breaks_while_it_is_looked_for_takes_no_other_with_it(
    name: str, kind: DomainKind | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Scripted:
        def raises() -> Found:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

        meter = Scripted(steady(90))
        monkeypatch.setattr(meter, "discover", raises)
        return meter

    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    monkeypatch.setitem(METERS, name, replace(METERS[name], make=broken))
    meters, absent = discover(Energy(estimates=True))
    (said,) = [one for one in absent if one.what == name]
    assert said.reason.startswith("looking for it failed: UnicodeDecodeError")
    # What may be there draws; where a model stands for the processor, its own counters leave nothing out.
    assert said.kind == (None if kind == "cpu" else kind)
    assert [one.method for _, each in meters for one in each][-1:] == ["estimated"]
    for meter, _ in meters:
        meter.close()


def test_a_board_whose_health_breaks_is_not_believed_to_be_well(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Scripted(steady(90))

    def raises(_: Domain) -> Health:
        raise ValueError("N/A")

    monkeypatch.setattr(meter, "health", raises)
    (absent,) = calibrated(meter).absent
    assert absent.reason == "scripted cannot be read any more: ValueError: N/A"


@pytest.mark.parametrize("name", METERS)
def test_every_meter_of_the_table_answers_and_never_raises(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    meter = METERS[name].make()
    found = meter.discover()
    assert found.domains or found.absent
    assert all(one.reason for one in found.absent)
    assert meter.every > 0
    for domain in found.domains:
        assert (domain.method == "estimated") == METERS[name].estimates
        assert domain.about
        assert all(tick.count >= 0 for tick in meter.read(domain))
        assert isinstance(meter.health(domain), Health)
    meter.close()
