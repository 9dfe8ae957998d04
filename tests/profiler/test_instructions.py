"""Instructions under valgrind: what its words mean, when counts agree, and real counts whose truth is known."""

from __future__ import annotations

import dataclasses
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path

import counted_deeds
import onnx
import pytest
from graphs import linear, save
from hypothesis import given
from hypothesis import strategies as st
from nouns import profile

from greengate.budget import WorkerLimits
from greengate.profile import Measurement, Missing, Profile, WorkloadSpec
from greengate.profiler.backends import FORMATS
from greengate.profiler.backends import onnx as onnx_backend
from greengate.profiler.exact import Subject
from greengate.profiler.instructions import border, callgrind, calls, counting, valgrind
from greengate.profiler.instructions.callgrind import TOLD, Count, Simulated, UnreadableError, read
from greengate.profiler.instructions.requests import MACHINE_CODE, Callgrind
from greengate.profiler.jobs import SimulateJob, WorkerFailed
from greengate.profiler.stopping import Step, silent
from greengate.simulation import Kernel, Simulation

LIMITS = WorkerLimits(timeout=60)
NOWHERE = Path(__file__).parent

# --- dumps --------------------------------------------------------------------------------------

DUMP = """# callgrind format
version: 1
positions: line
events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw
summary: 1 2 3

ob=(1) /usr/lib/libc.so.6
fl=(1) ???
fn=(1) memcpy
0 100 5 5 1 2

ob=(2) /site/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so
fn=(2) 0x000000000191eff0
0 4000
cob=(1)
cfi=(1)
cfn=(3) strlen
calls=3 0
0 600 9 9 9
+1 50 0 0 0 0 3

fn=(4) walk'2
0 7
fn=(4)
0 3

ob=(1)
fn=(3)
0 600

ob=(3) ???
fn=(5) 0x0000000004c0ffee
* 20
totals: 4780 5 5
"""


def test_a_dump_says_what_each_function_did_by_itself() -> None:
    found = read(DUMP)
    runtime = "onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so"
    assert found.kernels == (
        Kernel("0x191eff0", runtime, 4050, 192),
        Kernel("strlen", "libc.so.6", 600, 0),
        Kernel("memcpy", "libc.so.6", 100, 192),
        Kernel("", "", 20, 0),
        Kernel("walk", runtime, 10, 0),
    )
    assert (found.instructions, found.traffic) == (4780, 384)


@pytest.mark.parametrize(
    ("counts", "middle"), [([5.0], 5.0), ([9.0, 1.0, 5.0], 5.0), ([1.0, 1.0, 99.0, 1.0, 2.0], 1.0), ([3.0, 4.0], 4.0)]
)
def test_of_several_calls_the_one_in_the_middle_is_taken(counts: Sequence[float], middle: float) -> None:
    assert callgrind.middle([Count(one, None, ()) for one in counts]).instructions == middle


@pytest.mark.parametrize(
    ("instructions", "times"),
    [(1, 15), (1_000_000, 15), (1_200_000, 9), (2_000_000, 5), (3_333_334, 3), (9_999_999, 3), (10_000_000, 1)],
)
def test_short_calls_are_counted_several_times(instructions: int, times: int) -> None:
    assert calls.repeats(instructions) == times


def test_without_a_cache_there_is_no_traffic() -> None:
    found = read("events: Ir\n\nob=(1) /lib/a.so\nfn=(1) f\n0 5\n")
    assert (found.instructions, found.traffic) == (5, None)


@pytest.mark.parametrize("text", ["", "events: Dr\nfn=(1) f\n0 5\n", "events: Ir\n\n"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        read(text)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=3 * TOLD).filter(any))
def test_no_instruction_is_lost_however_many_functions_there_are(costs: Sequence[int]) -> None:
    lines = [
        f"ob=({place % 3 + 1}) /lib/{place % 3}.so\nfn=({place}) f{place}\n0 {cost}" for place, cost in enumerate(costs)
    ]
    found = read("events: Ir\n" + "\n".join(lines))
    assert found.instructions == sum(costs) == sum(kernel.instructions for kernel in found.kernels)
    assert len(found.kernels) <= TOLD + 3
    named = [kernel.instructions for kernel in found.kernels if kernel.name]
    assert named == sorted(named, reverse=True)


@pytest.mark.parametrize("more", [0, 1, 2])
def test_the_largest_kernels_are_told_and_the_others_summed_up(more: int) -> None:
    lines = [f"ob=(1) /lib/a.so\nfn=({place}) f{place}\n0 {1000 - place}" for place in range(TOLD + more)]
    found = read("events: Ir\n" + "\n".join(lines)).kernels
    assert [kernel.name for kernel in found] == [f"f{place}" for place in range(TOLD)] + [""] * (more > 0)
    assert sum(kernel.instructions for kernel in found[TOLD:]) == sum(
        1000 - place for place in range(TOLD, TOLD + more)
    )


def test_dumps_are_read_in_the_order_of_their_numbers() -> None:
    files = {"calls.10": "tenth", "calls.2": "second", "calls": "", "calls.1": "first", "valgrind.log": ""}
    assert valgrind.dumps(files) == ["first", "second", "tenth"]


# --- what valgrind says -------------------------------------------------------------------------

LOG = """==7==    at 0x1111111: earlier (in /lib/x.so)
vex amd64->IR: unhandled instruction bytes: 0x62 0xF1 0x7C 0x48 0x58 0xC0
vex amd64->IR:   REX=0 REX.W=0
==7== valgrind: Unrecognised instruction at address 0x4859000.
==7==    at 0x4859000: MlasGemmFloatKernelAvx512F (in /lib/ort.so)
==7==    by 0x4C1D8A5: ffi_call (in /lib/libffi.so)
"""


def test_an_unknown_instruction_is_named_with_its_place() -> None:
    found = valgrind.unknown_instruction(LOG)
    assert found is not None
    assert found.kind == "unavailable"
    assert found.reason.endswith(
        "0x62 0xF1 0x7C 0x48 0x58 0xC0, 0x4859000: MlasGemmFloatKernelAvx512F (in /lib/ort.so)"
    )
    assert valgrind.unknown_instruction("==7== Process terminating with default action of signal 11") is None


def test_the_command_that_installs_it_is_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert valgrind.install() == "install valgrind"
    for tool in ("apk", "apt-get"):
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    assert valgrind.install() == "apt-get install valgrind"
    missing = valgrind.missing()
    assert missing == Missing("valgrind is not installed", "unavailable", "apt-get install valgrind")


def test_another_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    missing = valgrind.missing()
    assert missing is not None
    assert missing.reason == "instructions are counted on Linux on x86_64 or aarch64, not Linux on riscv64"


@pytest.mark.parametrize("script", ["#!/bin/sh\necho 'operation not permitted' >&2; exit 1\n", "#!/nowhere/sh\n"])
def test_a_valgrind_that_may_not_run_is_missing_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    (tmp_path / "valgrind").write_text(script)
    (tmp_path / "valgrind").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = border.simulate("counted_deeds", _job("loop:1"), LIMITS)
    assert isinstance(found, Missing)
    assert found.kind == "unavailable"
    assert found.reason.startswith("valgrind may not be run here: ")
    assert "not permitted" in found.reason or "No such file" in found.reason


def test_natively_a_request_changes_nothing_and_says_so() -> None:
    assert platform.machine() in MACHINE_CODE
    with pytest.raises(WorkerFailed, match="does not run under valgrind"):
        Callgrind()


# --- agreement ----------------------------------------------------------------------------------


def counted(*values: float, traffic: float | None = None, other: float | None = None) -> list[Simulated]:
    what = Simulation("3.19.0", "amd64-avx2", {"numpy": "2"}, "" if traffic is None else valgrind.CACHE)
    extra = () if other is None else (Count(other, None, ()),)
    return [Simulated((Count(value, traffic, ()), *extra), what) for value in values]


def measured(*values: float, batch: int = 1) -> Measurement | Missing:
    return counting._measured("instructions", counted(*values), batch)


def test_the_value_is_the_mean_of_the_two_that_agree_best_and_the_interval_spans_all() -> None:
    found = measured(1000.0, 2000.0, 1000.4, batch=2)
    assert isinstance(found, Measurement)
    assert found.interval is not None
    assert (found.value, found.interval.low, found.interval.high) == (500.1, 500.0, 1000.0)
    assert (found.method, found.samples) == ("simulated", 3)
    assert found.detail == "callgrind 3.19.0; 3 processes, counts within 100.000 %"


@pytest.mark.parametrize(("second", "agrees"), [(1001.0, True), (1001.1, False), (999.0, False), (999.1, True)])
def test_a_tenth_of_a_percent_is_agreement(second: float, agrees: bool) -> None:
    assert isinstance(measured(1000.0, second), Measurement) is agrees


def test_one_count_is_none() -> None:
    found = measured(1000.0)
    assert isinstance(found, Missing)
    assert found.reason.startswith("1 counts in processes apart")


def test_counts_that_do_not_agree_are_none() -> None:
    found = measured(1000.0, 1002.0, 1005.0)
    assert isinstance(found, Missing)
    assert found.kind == "unsettled"
    assert found.reason == "3 counts in processes apart differ by up to 0.500 %, no two by 0.1 % or less"


@pytest.mark.parametrize(("other", "told"), [(1e6, False), (1.0009e6, False), (1.032e6, True), (0.968e6, True)])
def test_work_that_depends_on_the_values_is_said(other: float, told: bool) -> None:
    notes = list(counting._data_dependent(counted(1e6, other=other)))
    assert bool(notes) is told
    if told:
        assert f"{other / 1e6 - 1:+.1%}".replace("%", " %") in notes[0]


def test_what_chance_explains_is_not_called_dependence() -> None:
    assert not list(counting._data_dependent(counted(10_000.0, other=10_900.0)))  # the interpreter's share
    apart = [*counted(1e6, other=1.015e6), *counted(1.01e6)]
    assert not list(counting._data_dependent(apart))
    apart[0] = counted(1e6, other=1.025e6)[0]
    assert list(counting._data_dependent(apart))


class Backend:
    """Answers what it is told, one answer a process."""

    def __init__(self, answers: Sequence[Simulated | Missing | Exception], seconds: float = 0.0) -> None:
        self.answers, self.seconds, self.jobs = list(answers), seconds, list[SimulateJob]()

    def simulate(self, job: SimulateJob, limits: WorkerLimits) -> Simulated | Missing:
        del limits
        self.jobs.append(job)
        answer = self.answers[job.seed]
        if isinstance(answer, Exception):
            raise answer
        return dataclasses.replace(answer, seconds=self.seconds) if isinstance(answer, Simulated) else answer


def simulated(
    monkeypatch: pytest.MonkeyPatch,
    backend: Backend,
    seconds: float = 60.0,
    device: str = "cpu",
    asked: tuple[str, ...] = ("instructions",),
) -> tuple[Profile, list[Step]]:
    monkeypatch.setattr(counting, "format_of", lambda _: dataclasses.replace(FORMATS["fake"], load=lambda: backend))
    steps: list[Step] = []
    subject = Subject("net", "net.onnx", "net.onnx", WorkloadSpec(device=device))
    found = counting.simulate(subject, profile({}), frozenset(asked), seconds, LIMITS, progress=steps.append)
    return found, steps


def test_two_that_agree_are_enough_and_only_one_is_asked_for_other_values(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(counted(1000.0, 1000.5, 1.0))
    found, steps = simulated(monkeypatch, backend)
    assert found.measurements["instructions"] == measured(1000.0, 1000.5)
    assert sorted(job.other for job in backend.jobs) == [False, True]
    assert steps[0].doing == "counting instructions under valgrind"
    assert found.simulation == counted(1.0)[0].simulation


def test_more_are_made_until_two_agree_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(counted(1000.0, 1005.0, 1010.0, 1005.2))
    found, _ = simulated(monkeypatch, backend)
    assert found.measurements["instructions"] == measured(1000.0, 1005.0, 1010.0, 1005.2)
    backend = Backend(counted(*(1000.0 + 5 * number for number in range(9))))
    found, _ = simulated(monkeypatch, backend)
    assert len(backend.jobs) == counting.MOST
    assert isinstance(found.measurements["instructions"], Missing)


@pytest.mark.parametrize(
    ("asked", "processes"), [(("instructions",), 2), (("data_traffic",), 4), (("instructions", "data_traffic"), 4)]
)
def test_more_are_made_until_all_that_is_asked_agrees(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], processes: int
) -> None:
    moved = (100.0, 110.0, 120.0, 110.5, 500.0)
    backend = Backend([one for traffic in moved for one in counted(1000.0, traffic=traffic)])
    found, _ = simulated(monkeypatch, backend, asked=asked)
    assert len(backend.jobs) == processes
    assert all(isinstance(found.measurements[metric], Measurement) for metric in asked)


def test_none_is_begun_that_would_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(counted(1000.0, 1005.0, 1000.0), seconds=70.0)
    found, _ = simulated(monkeypatch, backend)
    assert len(backend.jobs) == 2
    assert isinstance(found.measurements["instructions"], Missing)


def test_what_one_process_lacks_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Missing("valgrind is not installed", "unavailable", "apt-get install valgrind")
    assert simulated(monkeypatch, Backend([gone, gone]))[0].measurements["instructions"] == gone
    broken = Backend([WorkerFailed("it crashed", "mend it"), counted(1.0)[0]])
    assert simulated(monkeypatch, broken)[0].measurements["instructions"] == Missing("it crashed", "failed", "mend it")
    board = simulated(monkeypatch, Backend([]), device="cuda")[0].measurements["instructions"]
    assert isinstance(board, Missing)
    assert board.kind == "unsupported"


# --- with the real tool -------------------------------------------------------------------------


def _job(path: str, seconds: float = 30.0, **kept: bool) -> SimulateJob:
    now = time.monotonic()
    return SimulateJob(path, WorkloadSpec(), 0, now, now + seconds, **kept)


@pytest.mark.system("valgrind")
def test_the_count_of_a_known_loop_is_exact() -> None:
    turns = 100_000
    found = border.simulate("counted_deeds", _job(f"loop:{turns}", other=True), LIMITS)
    assert isinstance(found, Simulated)
    once, twice = found.counts
    around = once.instructions - 2 * turns
    assert 0 < around < 50_000  # Python's own share of a call, and what coverage adds where it watches
    assert twice.instructions - once.instructions == pytest.approx(2 * turns, abs=500)
    assert 2 * turns <= once.kernels[0].instructions <= once.instructions
    assert once.traffic is None
    assert found.simulation.instruction_set.startswith(("amd64", "arm64"))
    assert found.simulation.libraries["Python"] == platform.python_version()


@pytest.mark.system("valgrind")
def test_the_version_is_that_of_what_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that was unpacked beside an installed valgrind runs that one's tool, unless told where its own is."""
    told = valgrind.version()
    monkeypatch.setattr(valgrind, "version", lambda: "9.9.9")
    found = border.simulate("counted_deeds", _job("loop:1"), LIMITS)
    assert isinstance(found, Simulated)
    assert found.simulation.valgrind == told


@pytest.mark.system("valgrind")
def test_where_its_parts_are_reaches_valgrind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valgrind, "version", lambda: "asked before")
    monkeypatch.setenv("VALGRIND_LIB", str(tmp_path))
    with pytest.raises(WorkerFailed, match="failed to start tool"):
        border.simulate("counted_deeds", _job("loop:1"), LIMITS)


@pytest.mark.parametrize(
    ("log", "version"),
    [
        ("==7== Using Valgrind-3.24.0 and LibVEX; rerun with -h", "3.24.0"),
        ("==7== Using Valgrind-3.19.0-8d3c8034b8-20220411 and LibVEX; rerun", "3.19.0"),
        ("==7== Command: x", ""),
    ],
)
def test_a_log_names_the_version(log: str, version: str) -> None:
    assert valgrind.counted_by(log) == version


@pytest.mark.system("valgrind")
def test_an_instruction_that_valgrind_does_not_know_is_missing_with_its_bytes() -> None:
    found = border.simulate("counted_deeds", _job("unknown"), LIMITS)
    assert isinstance(found, Missing)
    assert found.kind == "unavailable"
    assert "0x" in found.reason
    if platform.machine() == "x86_64":
        assert "0x62 0xF1 0x7C 0x48 0x58 0xC0" in found.reason


@pytest.mark.system("valgrind")
def test_a_call_too_slow_for_the_time_says_how_long_it_needs() -> None:
    found = border.simulate("counted_deeds", _job("linger:1", 60.0), LIMITS)
    assert isinstance(found, Missing)
    assert found.kind == "unsettled"
    assert re.match(r"one call takes [2-5]\d\.\d s under valgrind, so that a count needs about \d+ s", found.reason)
    assert "and 60 s were left for it" in found.reason
    assert "--max-seconds" in found.help
    late = border.simulate("counted_deeds", _job("sleep:30", 8.0), LIMITS)
    assert isinstance(late, Missing)
    assert late.reason.startswith("no count was there after the 8 s given under valgrind, while ")
    assert late.help.endswith(valgrind.newer(valgrind.version()))
    none = border.simulate("counted_deeds", _job("loop:1", 0.0), LIMITS)
    assert isinstance(none, Missing)
    assert none.reason == "no time was left to count instructions in"
    assert late.help.startswith(none.help)


@pytest.mark.parametrize(("version", "said"), [("3.19.0", True), ("3.9", True), ("3.24.0", False), ("4.0", False)])
def test_of_an_older_valgrind_it_is_said_that_a_newer_is_faster(version: str, said: bool) -> None:
    assert ("3.24 ran a call 25 times as fast" in valgrind.newer(version)) is said


@pytest.mark.system("valgrind")
def test_a_worker_that_breaks_there_is_heard() -> None:
    with pytest.raises(WorkerFailed, match="ValueError: it fell over"):
        border.simulate("counted_deeds", _job("fail"), LIMITS)


@pytest.mark.system("valgrind")
def test_a_model_is_counted_alike_in_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(linear(columns=256), Path("m.onnx"))
    subject = Subject("m", "m.onnx", "m.onnx", WorkloadSpec())
    found = counting.simulate(
        subject, profile({}), frozenset({"instructions", "data_traffic"}), 300.0, LIMITS, progress=silent
    )
    instructions, traffic = (found.measurements[name] for name in ("instructions", "data_traffic"))
    assert isinstance(instructions, Measurement)
    assert isinstance(traffic, Measurement)
    assert 10_000 < instructions.value < 1_000_000
    assert traffic.value > 0
    assert "32 KiB" in traffic.detail
    assert found.simulation is not None
    assert sum(kernel.instructions for kernel in found.simulation.kernels) == pytest.approx(
        instructions.value, rel=0.01
    )
    assert not any("depends on the values" in note for note in found.notes)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.system("valgrind")
def test_a_model_that_refuses_its_inputs_refuses_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(linear(columns=4), "m.onnx")
    counted_deeds.KEPT.clear()
    from greengate.profile import InputSpec
    from greengate.profiler.jobs import Refused

    job = dataclasses.replace(_job("m.onnx"), workload=WorkloadSpec(inputs=(InputSpec("z"),)))
    with pytest.raises(Refused, match="no input 'z'"):
        onnx_backend.simulate(job, LIMITS)
