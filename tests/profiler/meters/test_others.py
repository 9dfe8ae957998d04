"""Power logs, processor time, AMD's library, codecarbon."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import needs
import pytest

from greengate.power import Domain
from greengate.profiler.meters import MeterError
from greengate.profiler.meters.carbon import Codecarbon
from greengate.profiler.meters.cputime import WATTS, CpuTime
from greengate.profiler.meters.powerlog import PowerLog
from greengate.profiler.meters.ticks import Series

# --- an external meter's log --------------------------------------------------------------------

#: Some moment of the past, in seconds since 1970.
BEGUN = 1_700_000_000


def test_a_log_is_integrated_by_its_own_clock(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    begun = time.time() - 2
    path.write_text("t,watts\n" + "".join(f"{begun + k * 0.1},{100 + k}\n" for k in range(11)))
    meter = PowerLog(path, offset=0.25)
    (domain,) = meter.discover().domains
    assert (domain.kind, domain.method) == ("system", "metered")
    ticks = meter.read(domain)
    assert len(ticks) == 11
    assert (ticks[-1].count - ticks[0].count) * domain.joules == pytest.approx(105.0, rel=1e-6)
    assert (ticks[-1].ns - ticks[0].ns) * 1e-9 == pytest.approx(1.0, abs=1e-3)
    # The log's clock is a quarter of a second behind: its "now" was then.
    assert ticks[0].ns * 1e-9 == pytest.approx(time.monotonic() - (time.time() - begun) + 0.25, abs=0.05)


def test_a_log_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(f"t,watts\n{BEGUN},50\n{BEGUN + 1},50\n17000")
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    assert len(meter.read(domain)) == 2, "half a line is not read"
    assert not meter.read(domain)
    with path.open("a") as file:
        file.write("00002,70\n")
    (tick,) = meter.read(domain)
    assert tick.count == round((50 + 60) * 1e6)


def test_a_log_of_days_is_read_from_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("t,watts\n" + "".join(f"{BEGUN + k},{k % 7}\n" for k in range(100_000)))
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    ticks = meter.read(domain)
    assert 4_500 < len(ticks) < 5_500
    seconds = (ticks[-1].ns - ticks[0].ns) * 1e-9
    assert seconds == pytest.approx(len(ticks) - 1, abs=1e-3), "no line is cut in two"
    path.write_text("t,watts\nyesterday,1\n" + path.read_text()[8:])
    assert PowerLog(path).discover().domains, "what is wrong with lines that are not read is not asked"


def test_what_stands_behind_time_and_watts_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    rows = ("0,50,230.1", "1,50,ok", "1,90,a second line of one moment", "2,70,")
    path.write_text("t,watts,volts\n" + "".join(f"170000000{row}\n" for row in rows))
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    ticks = meter.read(domain)
    assert [tick.count for tick in ticks] == [0, 50_000_000, 50_000_000, 130_000_000]


def test_a_log_that_is_none_is_absent(tmp_path: Path) -> None:
    assert "cannot be read" in PowerLog(tmp_path / "none.csv").discover().absent[0].reason
    wrong = tmp_path / "wrong.csv"
    for line in ("yesterday,50", "", f"{BEGUN},1e300"):
        wrong.write_text(f"t,watts\n{BEGUN},50\n{line}\n")
        assert "not `t,watts`" in PowerLog(wrong).discover().absent[0].reason
    wrong.write_bytes(b"t,watts\n\xff\xfe\n")
    (absent,) = PowerLog(wrong).discover().absent
    assert "UTF-8" in absent.reason
    assert absent.kind == "system", "nothing else stands for the meter that is named"


def test_a_log_that_goes_is_a_meter_error(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(f"t,watts\n{BEGUN},50\n")
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    path.unlink()
    with pytest.raises(MeterError):
        meter.read(domain)


def test_a_log_in_milliseconds_is_absent_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("t,watts\n" + "".join(f"{(BEGUN + k) * 1000},50\n" for k in range(3)))
    (absent,) = PowerLog(path).discover().absent
    assert "t = 1700000002000, which is no time in seconds since 1970: are these milliseconds?" in absent.reason
    assert absent.help == "write t in seconds since 1970, or set `clock_offset`"
    path.write_text("t,watts\n0.1,50\n0.2,50\n")
    (absent,) = PowerLog(path).discover().absent
    assert absent.reason.endswith("t = 0.2, which is no time in seconds since 1970")
    assert PowerLog(path, offset=BEGUN).discover().domains, "a clock that began with the meter, and what to add to it"


def test_lines_of_the_future_are_none(tmp_path: Path) -> None:
    """Two clocks differ, and times are rounded; what is dated further ahead was written before it was measured."""
    path = tmp_path / "meter.csv"
    now = time.time()

    def write(*seconds: float) -> None:
        path.write_text("t,watts\n" + "".join(f"{now + second},100\n" for second in seconds))

    write(-2, -1, 0.4)
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    assert len(meter.read(domain)) == 3
    with path.open("a") as file:
        file.write(f"{now + 90},100\n")
    with pytest.raises(MeterError, match=r"its log has a line (89|90)\.\d s ahead of this machine's clock"):
        meter.read(domain)
    write(-2, -1, 2)
    (absent,) = PowerLog(path).discover().absent
    assert "s ahead of this machine's clock" in absent.reason
    assert absent.help == "set the meter's clock, or `clock_offset`"
    assert PowerLog(path, offset=-4.0).discover().domains
    write(-9, -8)
    (absent,) = PowerLog(path, offset=20.0).discover().absent
    assert "ahead" in absent.reason, "what is added to its times counts"
    write(7200)
    assert "are these milliseconds?" not in PowerLog(path).discover().absent[0].reason
    write(2 * 86400)
    assert "which is no time in seconds since 1970" in PowerLog(path).discover().absent[0].reason


@pytest.mark.parametrize(
    ("added", "why"),
    [
        ((3, 2.5, 3, 3.5), "its clock went back by 0.5 s"),  # set by NTP
        ((3, -3600, -3599), "its clock went back by 3.6e+03 s"),  # or by who wrote the local time
        ((3, 1e12), "are these milliseconds?"),
        ((3, 125, 126), "its log was silent for 122 s"),
        ((3, "t,watts", 4, 5), "its log was begun anew"),
        ((3, f"{BEGUN + 3.5},OL", 4), "is not `t,watts`: '1700000003.5,OL'"),
        ((3, f"{BEGUN + 3.5},nan", 4), "is not `t,watts`"),
        ((3, f"{BEGUN + 3.5},-1", 4), "is not `t,watts`"),
        ((3, "watts missed", 4), "is not `t,watts`: 'watts missed'"),
        ((3, "", 4), "is not `t,watts`: ''"),
        ((3, 3, 3.2), ""),
    ],
)
def test_what_does_not_follow_the_line_before_is_a_meter_error_and_no_energy(
    added: Sequence[float | str], why: str, tmp_path: Path
) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("t,watts\n" + "".join(f"{BEGUN + k},100\n" for k in range(3)))
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    series = Series(domain)
    for tick in meter.read(domain):
        series.add(tick)
    with path.open("a") as file:
        file.writelines(f"{one}\n" if isinstance(one, str) else f"{BEGUN + one},100\n" for one in added)
    if why:
        with pytest.raises(MeterError, match=re.escape(why)):
            meter.read(domain)
    newest = max(one for one in (*added, 3) if not isinstance(one, str) and one < 1000) + 1
    with path.open("a") as file:
        file.write(f"{BEGUN + newest},100\n")
    for tick in meter.read(domain):
        series.add(tick)
    assert all(gap >= 0 for gap in series.gaps())
    drawn = newest - (122 if "silent" in why else 0)
    assert series.total * domain.joules == pytest.approx(100 * drawn), "no second counts twice, no silence at all"


def test_a_log_that_was_written_anew_is_a_meter_error_and_then_followed(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("t,watts\n" + "".join(f"{BEGUN + k},100\n" for k in range(9)))
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    meter.read(domain)
    path.write_text(f"t,watts\n{BEGUN + 20},100\n")
    with pytest.raises(MeterError, match="begun anew"):
        meter.read(domain)
    with path.open("a") as file:
        file.write(f"{BEGUN + 21},100\n")
    assert len(meter.read(domain)) == 1


@pytest.mark.parametrize(
    ("heading", "since"),
    [("t,watts\n", 60), ("", -3600), ("", 7200), (f"{BEGUN + 55},OL\n\n", 60)],
    ids=["another heading", "a clock set back", "a long silence", "lines without numbers"],
)
def test_of_a_log_that_was_begun_anew_before_the_run_the_new_part_is_followed(
    heading: str, since: int, tmp_path: Path
) -> None:
    path = tmp_path / "meter.csv"
    old, new = ("".join(f"{BEGUN + begin + k},100\n" for k in range(count)) for begin, count in ((0, 50), (since, 5)))
    path.write_text(f"t,watts\n{old}{heading}{new}")
    meter = PowerLog(path)
    (domain,) = meter.discover().domains
    ticks = meter.read(domain)
    assert (ticks[-1].ns - ticks[0].ns) * 1e-9 == pytest.approx(4, abs=1e-3)
    assert len(ticks) == 5


# --- processor time -----------------------------------------------------------------------------


def test_children_count_while_they_live_and_after_they_ended() -> None:
    """A parent that burns nothing starts a child that burns a known time, and waits for it."""
    code = """
        import subprocess, sys, time
        burn = ["-c", "import time\\nwhile time.process_time() < 0.4: pass\\ntime.sleep(0.4)"]
        child = subprocess.Popen([sys.executable, *burn])
        print("begun", flush=True)
        child.wait()
        print("ended", flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    try:
        parent.stdout.readline()
        meter = CpuTime(parent.pid)
        (domain,) = meter.discover().domains
        seen = []
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            seen.append(meter.read(domain)[0].count)
            if seen[-1] * domain.joules / WATTS > 0.3:
                break
            time.sleep(0.05)
        assert seen[-1] * domain.joules / WATTS > 0.3, "seen while it lives"
        parent.stdout.readline()
        after = meter.read(domain)[0].count
        assert after >= seen[-1], "and not lost when it ended"
        assert after * domain.joules / WATTS == pytest.approx(0.45, abs=0.2)
    finally:
        parent.communicate("")


def test_processor_time_is_user_and_system_time_of_a_process_and_of_those_it_waited_for(tmp_path: Path) -> None:
    """As proc(5) has them, fields 14 to 17: those that ended are in their parent's, and the root's own is not ours."""

    def process(pid: int, parent: int, times: str) -> None:
        (tmp_path / str(pid)).mkdir()
        stat = f"{pid} (a name) with ) in it) S {parent} 3 4 5 6 7 8 9 10 11 {times} 200 300 400"
        (tmp_path / str(pid) / "stat").write_text(stat)

    process(1, 0, "9000 9000 9000 9000")
    process(10, 1, "1000 2000 5 6")  # the root: only those that it waited for
    process(11, 10, "10 20 30 40")
    process(12, 11, "100 0 0 1")
    process(13, 1, "7000 7000 7000 7000")  # nobody of ours
    (tmp_path / "14").mkdir()  # it ended while we looked
    (tmp_path / "self").mkdir()
    meter = CpuTime(10, tmp_path)
    (domain,) = meter.discover().domains
    assert meter.read(domain)[0].count == (5 + 6) + (10 + 20 + 30 + 40) + (100 + 1)
    (tmp_path / "12" / "stat").unlink()  # between its end and its parent's notice
    assert meter.read(domain)[0].count == 212
    assert domain.joules == pytest.approx(WATTS / 100)


@pytest.mark.parametrize(
    ("ignored", "known"),
    [("0000000000010000", False), ("0000000000011000", False), ("0000000000001000", True), ("", True)],
)
def test_nothing_is_known_below_a_process_that_ignores_sigchld(ignored: str, known: bool, tmp_path: Path) -> None:
    """Signal 17 on Linux: the seventeenth bit. The root itself is the caller's."""
    for pid, parent in ((10, 1), (11, 10)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) S {parent} 3 4 5 6 7 8 9 10 11 1 2 3 4 200 300 400")
    (tmp_path / "10" / "status").write_text("Name:\ta\nSigIgn:\t0000000000010000\nSigCgt:\t0000000000000000\n")
    (tmp_path / "11" / "status").write_text(f"Name:\tSigIgn:\nSigIgn:\t{ignored}\nSigCgt:\t0000000000010000\n")
    meter = CpuTime(10, tmp_path)
    (domain,) = meter.discover().domains
    if known:
        assert meter.read(domain)[0].count == 3 + 4 + 10
    else:
        with pytest.raises(MeterError, match="process 11 ignores SIGCHLD"):
            meter.read(domain)


def test_without_proc_there_is_no_processor_time(tmp_path: Path) -> None:
    assert "no /proc" in CpuTime(1, tmp_path).discover().absent[0].reason


# --- AMD ----------------------------------------------------------------------------------------

_AMDSMI = """
import time
def amdsmi_init(): pass
def amdsmi_shut_down(): pass
def amdsmi_get_processor_handles(): return ["a"]
def amdsmi_get_gpu_device_uuid(handle): return "uuid-" + handle
def amdsmi_get_gpu_process_list(handle): return []
def amdsmi_get_power_info(handle):
    return {"current_socket_power": 200, "average_socket_power": "N/A", "power_limit": 300000000}
def amdsmi_get_energy_count(handle):
    return {"energy_accumulator": int(COUNT(time.monotonic()) / 15.259e-6), "counter_resolution": 15.259}
"""

_HEALTH = """
from greengate.profiler.meters.amd import Amd
meter = Amd()
(domain,) = meter.discover().domains
health = meter.health(domain)
print(health.watts, health.limit, health.processes)
"""


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ('"power_limit": 300000000', "200.0 300.0 0"),  # in microwatts, as some releases tell it
        ('"power_limit": 750', "200.0 750.0 0"),
        ('"power_limit": 9999', "200.0 9999.0 0"),
        ('"power_limit": "N/A"', "200.0 None 0"),
    ],
)
def test_an_amd_board_tells_power_and_limit(told: str, says: str, tmp_path: Path) -> None:
    library = _AMDSMI.replace('"power_limit": 300000000', told).replace("COUNT(", "abs(")
    (tmp_path / "amdsmi.py").write_text(library)
    assert run_with(_HEALTH, tmp_path) == says


_BOARDS = """
from greengate.profiler.meters.amd import Amd
found = Amd().discover()
print([one.id for one in found.domains], [(one.what, one.kind) for one in found.absent])
"""


@pytest.mark.parametrize(
    ("uuids", "slots", "says"),
    [
        (("u", "u"), None, "['amd:u'] [('amd:u, again', None)]"),
        (("u", "v"), None, "['amd:u', 'amd:v'] []"),
        (("u", "v"), ("0000:0c:00.0", "0000:0d:00.0"), "['amd:u', 'amd:v'] []"),
        (("u", "u"), ("0000:0c:00.0", "0000:0c:00.1"), "['amd:u'] [('amd:u, again', None)]"),
        # Partitions of a release that names each by itself, or two boards that a hypervisor put side by side.
        (("u", "v"), ("0000:0c:00.0", "0000:0c:00.1"), "['amd:u'] [('amd:v', 'gpu')]"),
        (
            ("d1ff74a1-0000-1000-80b1-3f2a9c7e1d2b", "d10174a1-0000-1000-80b1-3f2a9c7e1d2b"),
            None,
            "['amd:d1ff74a1-0000-1000-80b1-3f2a9c7e1d2b'] [('amd:d10174a1-0000-1000-80b1-3f2a9c7e1d2b, again', None)]",
        ),
    ],
)
def test_an_amd_board_that_is_shown_twice_is_counted_once(
    uuids: tuple[str, str], slots: tuple[str, str] | None, says: str, tmp_path: Path
) -> None:
    library = _AMDSMI.replace('["a"]', "[0, 1]").replace('"uuid-" + handle', f"{uuids!r}[handle]")
    library += "" if slots is None else f"def amdsmi_get_gpu_device_bdf(handle): return {slots!r}[handle]\n"
    (tmp_path / "amdsmi.py").write_text(library.replace("COUNT(", "abs("))
    assert run_with(_BOARDS, tmp_path) == says


def test_an_amd_board_that_does_not_tell_its_processes_says_so(tmp_path: Path) -> None:
    (tmp_path / "amdsmi.py").write_text(_AMDSMI.replace("return []", "raise OSError").replace("COUNT(", "abs("))
    assert run_with(_HEALTH, tmp_path) == "200.0 300.0 None"


def test_an_amd_board_tells_its_average_and_who_computes_on_it(tmp_path: Path) -> None:
    library = _AMDSMI.replace("200, ", '"N/A", ').replace(
        '"average_socket_power": "N/A"', '"average_socket_power": 150'
    )
    library = library.replace("return []", "return [1, 2]").replace("COUNT(", "abs(")
    (tmp_path / "amdsmi.py").write_text(library)
    assert run_with(_HEALTH, tmp_path) == "150.0 300.0 2"


@pytest.mark.parametrize("told", ['{"energy_accumulator": "N/A"}', "{}", '"N/A"', "None"])
def test_an_amd_board_that_does_not_tell_any_more_is_a_meter_error(told: str, tmp_path: Path) -> None:
    """Of a board that is reset, and of one that is gone, amdsmi says so in place of a number."""
    (tmp_path / "amdsmi.py").write_text(_AMDSMI.replace("COUNT(", "abs("))
    code = f"""
import amdsmi
from greengate.profiler.meters import MeterError
from greengate.profiler.meters.amd import Amd
meter = Amd()
(domain,) = meter.discover().domains
amdsmi.amdsmi_get_energy_count = lambda handle: {told}
amdsmi.amdsmi_get_power_info = amdsmi.amdsmi_get_gpu_process_list = lambda handle: "N/A"
try:
    meter.read(domain)
except MeterError as error:
    print(error, meter.health(domain).watts)
"""
    assert run_with(code, tmp_path).startswith("amd:uuid-a cannot be read any more: it tells ")
    assert run_with(code, tmp_path).endswith(" None")


_CALIBRATE = """
from greengate.profiler.meters.amd import Amd
from greengate.profiler.meters.calibration import calibrate
from greengate.profiler.meters.recorder import Recorder
meter = Amd()
found = meter.discover()
if not found.domains:
    print(found.absent[0].reason, found.absent[0].kind)
    raise SystemExit
recorder = Recorder([(meter, found.domains)])
recorder.start()
made = calibrate(recorder, [(meter, found.domains)])
recorder.stop()
near = made.domains and abs(made.domains[0].watts - 200) < 20
print(made.absent[0].reason if made.absent else f"{made.domains[0].id} counts {'about' if near else 'not'} 200 W")
"""


@pytest.mark.parametrize(
    ("counter", "says"),
    [
        ("lambda t: 200 * t", "amd:uuid-a counts about 200 W"),  # a busy machine dates ticks badly
        ("lambda t: 100 * t", "power sensor says 200 W"),
        ("lambda t: 5000", "frozen"),
        ("lambda t: 1e9 - 200 * t", "ran backwards"),
    ],
)
def test_an_amd_counter_is_held_beside_its_power(counter: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "amdsmi.py").write_text(_AMDSMI.replace("COUNT(", f"({counter})("))
    assert says in run_with(_CALIBRATE, tmp_path)


@pytest.mark.parametrize(
    ("library", "says"),
    [
        ("raise KeyError('libamd_smi.so')", "does not load: 'libamd_smi.so' None"),  # where ROCm is not installed
        ("def amdsmi_init(): raise RuntimeError('no driver')", "does not start: no driver None"),
        (_AMDSMI.replace('["a"]', "[]"), "finds no GPU None"),
        # A board that is there draws, whatever it tells.
        (
            _AMDSMI.replace('"counter_resolution": 15.259', '"counter_resolution": 0').replace("COUNT(", "abs("),
            "no resolution gpu",
        ),
        (
            _AMDSMI.replace('"counter_resolution"', '"other"').replace("COUNT(", "abs("),
            "tells no energy: 'counter_resolution' gpu",
        ),
    ],
)
def test_an_amdsmi_that_does_not_work_is_absent(library: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "amdsmi.py").write_text(library)
    assert says in run_with(_CALIBRATE, tmp_path)


def run_with(code: str, path: Path) -> str:
    script = f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


# --- codecarbon ---------------------------------------------------------------------------------


def test_codecarbon_opens_no_socket_and_writes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    needs.package("codecarbon")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.chdir(tmp_path)
    meter = Codecarbon()
    (domain,) = meter.discover().domains
    assert domain.method == "estimated"
    counts = []
    for _ in range(3):
        time.sleep(0.05)
        counts.append(meter.read(domain)[0].count)
    meter.close()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_no_setting_of_codecarbon_s_user_changes_a_joule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a change adds to the repository could multiply them, and so could the environment."""
    needs.package("codecarbon")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    watts = []
    for factor in ("", "1e6"):
        if factor:
            Path(".codecarbon.config").write_text(f"[codecarbon]\npue = {factor}\noutput_dir = nowhere\n")
            monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", factor)
        meter = Codecarbon()
        (domain,) = meter.discover().domains
        begun = time.monotonic_ns()
        time.sleep(0.1)
        (tick,) = meter.read(domain)
        meter.close()
        watts.append(tick.count * domain.joules / ((tick.ns - begun) * 1e-9))
    assert watts[0] > 0
    assert watts[1] < 1000 * watts[0]


def test_a_long_training_is_not_kept_task_by_task() -> None:
    needs.package("codecarbon")
    meter = Codecarbon()
    (domain,) = meter.discover().domains
    counts = [meter.read(domain)[0].count for _ in range(20)]
    kept = len(meter._tracker._tasks)
    meter.close()
    assert kept == 1, "the one that runs"
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_urllib3_is_left_as_it_is_built_for_who_else_uses_it() -> None:
    """The probe is skipped, not its answer: a registry that has an IPv6 address alone is still found."""
    needs.package("codecarbon")
    code = """
import socket, sys
opened = []
class Probe(socket.socket):
    def __init__(self, *given):
        opened.append(given)
        super().__init__(*given)
socket.socket = Probe
from greengate.profiler.meters.carbon import Codecarbon
meter = Codecarbon()
assert meter.discover().domains
meter.close()
from urllib3.util import connection
print(len(opened), connection.HAS_IPV6 == socket.has_ipv6, "requests" in sys.modules)
"""
    assert run_with(code, Path()) == "0 True True"


def test_kilowatt_hours_of_the_processor_s_tasks_add_up_to_joules() -> None:
    """A millionth of a kilowatt-hour is 3.6 J; what codecarbon says of memory is in none of them."""
    meter, done = Codecarbon(), SimpleNamespace(cpu_energy=1e-6, ram_energy=5.0, energy_consumed=6.0)
    meter._tracker = SimpleNamespace(stop_task=lambda: done, start_task=lambda: None)
    domain = Domain("codecarbon:cpu", "cpu", "estimated", "", 1e-6)
    counts = [meter.read(domain)[0].count for _ in range(3)]
    assert [count * domain.joules for count in counts] == pytest.approx([3.6, 7.2, 10.8])


def test_codecarbon_that_broke_is_a_meter_error() -> None:
    with pytest.raises(MeterError):
        Codecarbon().read(Domain("codecarbon:cpu", "cpu", "estimated", "", 1e-6))
