"""Launches that meter: how long windows are, what too thin a reading is, what can be had where a counter is lacking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from greengate import energy
from greengate.generation import Generation
from greengate.power import Domain, EnergyMethod, Reading
from greengate.profile import Launch, WorkloadSpec
from greengate.profiler import metering
from greengate.profiler.exact import Subject
from greengate.profiler.jobs import EnergyJob, Ran, Stretch
from greengate.profiler.meters import Absent

PACKAGE = Domain("powercap:package-0", "cpu", "counter", "package", 1e-6, tick=0.001)
BOARD = Domain("nvml:GPU-a", "gpu", "counter", "board", 1e-3, tick=0.1)
WALL = Domain("meter", "system", "metered", "wall", 1e-6, tick=1.0)
MODEL = Domain("cpu-time", "cpu", "estimated", "a model", 0.04, tick=0.5)
ON_BOARD = WorkloadSpec(batch_size=3, device="cuda:0")

#: What is there and cannot be read.
SECOND = Absent("package-1", "it cannot be read", kind="cpu")
MEMORY = Absent("powercap:dram-1", "its 900 W cannot be", kind="dram")
LOG = Absent("power log", "meter.csv cannot be read", "start the meter's log", "system")
SPLIT = Absent("nvml:GPU-b", "split by MIG", kind="gpu")


@dataclass
class Said:
    """A bench that says what it is told to, and keeps what it was asked."""

    domains: tuple[Domain, ...] = (PACKAGE,)
    absent: tuple[Absent, ...] = ()
    notes: tuple[str, ...] = ()
    ticks: int = 100
    share: float = 0.95
    broken: Mapping[str, str] = field(default_factory=dict)
    thin: str = ""

    def readings(self, start: int, end: int) -> Mapping[str, Reading]:
        found = (one for one in self.domains if one.id != self.thin)
        return {one.id: Reading(1000, round((end - start) * self.share), self.ticks) for one in found}

    def faults(self, start: int, end: int) -> Mapping[str, str]:
        assert start < end
        return self.broken

    def remarks(self, start: int, end: int) -> tuple[str, ...]:
        return (f"{(end - start) * 1e-9:.0f} s were looked at",)


def metered(
    bench: Said, spec: WorkloadSpec | None = None, index: int = 0, **more: object
) -> tuple[Launch, tuple[str, ...], list[EnergyJob]]:
    """Meter two models; a job takes 2 s a window, after what is idle."""
    jobs: list[EnergyJob] = []
    now = [10**9]

    def run(job: EnergyJob) -> Ran:
        jobs.append(job)
        made = []
        roles = ["idle"] * bool(job.idle) + [*job.order, *reversed(job.order)]
        for role in roles:
            made.append(Stretch(role, now[0], now[0] + 2 * 10**9, 0 if role == "idle" else 50))  # type: ignore[arg-type]
            now[0] += 2 * 10**9
        return Ran(tuple(made), ("cpu",), ("a note",))

    subject = Subject("net", "net.onnx", "net.onnx", spec or WorkloadSpec(batch_size=3))
    subjects = {"baseline": subject, "candidate": subject}
    launch, notes = metering.meter(run, bench, subjects, index, more.pop("together", True), **more)  # type: ignore[arg-type]
    return launch, notes, jobs


@pytest.mark.parametrize(
    ("domains", "seconds"),
    [
        ((PACKAGE,), 2.0),
        ((replace(PACKAGE, tick=0.1),), 5.0),  # fifty ticks
        ((BOARD,), 5.0),
        ((replace(BOARD, tick=0.2),), 10.0),
        ((PACKAGE, BOARD), 5.0),  # the slowest of all
        ((replace(BOARD, method="integrated", tick=0.01),), 5.0),
        ((replace(BOARD, method="integrated", tick=0.01, span=1.0),), 6.0),  # as much is read of it
        ((replace(PACKAGE, method="integrated"),), 5.0),
        ((WALL,), 10.0),  # ten ticks of what is no hardware counter
        ((replace(MODEL, tick=0.05),), 2.0),
        ((MODEL,), 5.0),
        ((), 0.0),
    ],
)
def test_windows_are_as_long_as_the_slowest_counter_needs(domains: tuple[Domain, ...], seconds: float) -> None:
    assert metering.window_seconds(domains) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("tick", "roles", "seconds", "timeout", "wanted"),
    [
        (0.1, 3, 240, 300, ""),
        (1.0, 3, 240, 300, ""),
        (1.0, 1, 80, 300, ""),
        (3.0, 3, 240, 300, "--energy-seconds 1114"),  # 3 launches x 6.75 windows x 30 s, in 60 % of the time
        (3.0, 3, 608, 300, ""),
        (3.0, 1, 20, 30, "--energy-seconds 372 and `worker: {timeout: 105 s}` in the budget"),
        (1.0, 3, 240, 60, "`worker: {timeout: 105 s}` in the budget"),
        (4.5, 3, 5000, 300, "`worker: {timeout: 459 s}` in the budget"),
    ],
)
def test_a_meter_that_is_too_slow_for_the_time_is_told_with_what_to_set(
    tick: float, roles: int, seconds: float, timeout: float, wanted: str
) -> None:
    found = metering.too_slow((replace(WALL, tick=tick), PACKAGE), roles, seconds, timeout)
    if not wanted:
        assert found is None
        return
    assert found is not None
    assert f"meter says something every {tick:.2g} s, so that windows are {10 * tick:.0f} s" in found.reason
    assert found.help == f"give {wanted}, or let the meter write more lines a second"
    assert found.kind == "unsettled", "more time would do"
    assert metering.too_slow((replace(PACKAGE, tick=tick), BOARD), roles, seconds, timeout) is None


def test_texts_and_inferences_take_twice_the_time() -> None:
    assert metering.too_slow((WALL,), 3, 240, 300, kinds=1) is None
    assert metering.too_slow((WALL,), 3, 240, 300, kinds=2) is not None


@pytest.mark.parametrize(("domains", "calls"), [((PACKAGE,), 1), ((PACKAGE, BOARD), 30)])
def test_a_board_s_window_holds_thirty_inferences(domains: tuple[Domain, ...], calls: int) -> None:
    launch, _, (job,) = metered(Said(domains), ON_BOARD)
    assert job.min_calls == calls
    assert job.seconds == metering.window_seconds(domains)
    assert launch.domains == domains


def test_a_board_that_no_model_runs_on_changes_nothing() -> None:
    """Neither are windows its own, nor does its fault, or its slow tick, leave a launch out."""
    bench = Said((PACKAGE, replace(BOARD, tick=0.7)), broken={BOARD.id: "heat"}, thin=BOARD.id)
    launch, notes, (job,) = metered(bench)
    assert (job.min_calls, job.seconds) == (1, 2.0)
    assert launch.domains == bench.domains, "what it draws is information"
    assert launch.faults == {}
    assert not any("left out" in note for note in notes)
    launch, notes, (job,) = metered(bench, ON_BOARD)
    assert (job.min_calls, job.seconds) == (30, 35.0)
    assert launch.faults.keys() == {BOARD.id}
    assert any("left out" in note for note in notes)


def test_texts_of_a_board_are_not_multiplied() -> None:
    spec = WorkloadSpec(batch_size=3, generate=Generation(8, 16), device="cuda")
    launch, _, jobs = metered(Said((PACKAGE, BOARD)), spec, kinds=("inference", "generation"))
    assert [(job.doing, job.min_calls) for job in jobs] == [("inference", 30), ("generation", 1)]
    tokens = [window.tokens for window in launch.windows if window.role != "idle"]
    assert tokens == [0] * 4 + [50 * 3 * 16] * 4
    assert {window.items for window in launch.windows if window.role != "idle"} == {150}


@pytest.mark.parametrize(("index", "together", "idle"), [(0, True, [2.0]), (0, False, [2.0, 0.0]), (1, True, [0.0])])
def test_only_the_first_process_of_the_first_launch_stays_idle(index: int, together: bool, idle: list[float]) -> None:
    launch, notes, jobs = metered(Said(), index=index, together=together)
    assert [job.idle for job in jobs] == idle
    assert [len(job.order) for job in jobs] == ([2] if together else [1, 1])
    assert launch.seconds == pytest.approx(8.0), "idle seconds are none of measuring"
    assert launch.seed == index
    assert f"{8 + 2 * sum(one > 0 for one in idle)} s were looked at" in notes
    assert "a note" in notes


@pytest.mark.parametrize(
    ("method", "ticks", "share", "thin"),
    [
        ("counter", 10, 0.5, False),
        ("counter", 9, 0.9, True),
        ("counter", 100, 0.49, True),
        ("estimated", 3, 0.9, False),
        ("metered", 2, 0.9, True),
    ],
)
def test_too_thin_a_reading_leaves_the_launch_out_by_name(
    method: EnergyMethod, ticks: int, share: float, thin: bool
) -> None:
    launch, notes, _ = metered(Said((replace(PACKAGE, method=method),), ticks=ticks, share=share), index=1)
    said = f"{PACKAGE.id} ticked {ticks} times in a window of 2.0 s"
    assert launch.faults == ({PACKAGE.id: said} if thin else {})
    assert (f"one launch is left out: {said}" in notes) == thin
    assert bool(energy.per_thousand(launch, "candidate", "energy_per_1k")) != thin


def test_a_fault_of_the_bench_is_the_launchs() -> None:
    launch, notes, _ = metered(Said(broken={PACKAGE.id: "heat"}))
    assert launch.faults == {PACKAGE.id: "heat"}
    assert "one launch is left out: heat" in notes


WANTED = ("energy_per_1k", "cpu_energy_per_1k", "gpu_energy_per_1k", "energy_per_1k_tokens")


@pytest.mark.parametrize(
    ("domains", "beyond"),
    [
        ((PACKAGE, BOARD), set()),
        ((WALL,), set()),
        ((BOARD,), {"energy_per_1k", "cpu_energy_per_1k", "energy_per_1k_tokens"}),
        ((), set(WANTED)),
        ((replace(PACKAGE, kind="dram"),), set(WANTED)),
    ],
)
def test_without_the_processors_counter_a_board_has_its_own(domains: tuple[Domain, ...], beyond: set[str]) -> None:
    assert metering.beyond_reach(Said(domains), WANTED) == beyond


@pytest.mark.parametrize(
    ("domains", "absent", "beyond"),
    [
        ((PACKAGE,), SECOND, set(WANTED)),
        ((PACKAGE, BOARD), SECOND, {"energy_per_1k", "cpu_energy_per_1k", "energy_per_1k_tokens"}),
        ((PACKAGE, BOARD), MEMORY, {"energy_per_1k", "cpu_energy_per_1k", "energy_per_1k_tokens"}),
        ((PACKAGE, BOARD), LOG, {"energy_per_1k", "energy_per_1k_tokens"}),
        ((BOARD,), LOG, {"energy_per_1k", "cpu_energy_per_1k", "energy_per_1k_tokens"}),
        ((WALL, PACKAGE), SECOND, set()),
        ((PACKAGE,), SPLIT, set()),  # no model ran on it
    ],
)
def test_what_is_there_and_cannot_be_read_is_no_energy_of_a_launch(
    domains: tuple[Domain, ...], absent: Absent, beyond: set[str]
) -> None:
    """Two sockets of which one can be read: the other one's joules are not left out of the sum."""
    bench = Said(domains, (Absent("AMD", "none"), absent))
    assert metering.beyond_reach(bench, WANTED) == beyond
    assert (metering.unmetered(bench) is None) == (not beyond)
    launch, notes, _ = metered(bench)
    name = "meter" if absent is LOG else absent.what
    assert launch.faults == ({} if absent is SPLIT else {name: f"{absent.what}: {absent.reason}"})
    assert not any("left out" in note for note in notes), "not one launch of several"
    assert bool(energy.parts(launch, "energy_per_1k")) == (not beyond)


def test_an_external_meter_that_is_named_and_fails_is_the_first_reason() -> None:
    missing = metering.none_here([SECOND, LOG])
    assert missing.reason == "the external meter cannot be used: meter.csv cannot be read"
    assert (missing.kind, missing.help) == ("unavailable", "start the meter's log")
    missing = metering.none_here([Absent("powercap", "hidden"), SECOND])
    assert missing.reason == "the processor's energy cannot be counted whole here: package-1: it cannot be read"


def test_the_reason_that_stands_nearest_to_the_processor_is_told() -> None:
    absent = (Absent("NVIDIA", "no driver"), Absent("powercap", "hidden"), Absent("AMD", "none"))
    missing = metering.unmetered(Said((), absent))
    assert missing is not None
    assert missing.reason == "no counter of the processor's energy can be read here: hidden"
    assert missing.kind == "unavailable"
    assert metering.none_here(absent[:1]).reason.endswith("here: no driver")
    assert metering.none_here(()).reason.endswith("here")
    assert metering.unmetered(Said((MODEL,))) is None
