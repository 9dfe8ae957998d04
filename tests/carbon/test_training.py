"""`greengate track`, its record, and the rules on it."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from greengate import codec
from greengate.budget import Carbon
from greengate.carbon import record, tracking
from greengate.carbon.drawn import Drawn
from greengate.carbon.record import Record, Spent
from greengate.cli import door
from greengate.errors import GreengateError, Span
from greengate.power import Domain, Trained
from greengate.profile import Measurement, Missing
from greengate.profiler.meters import METERS, Tick
from greengate.profiler.meters.ticks import Series

sys.path.insert(0, str(Path(__file__).parents[1] / "profiler" / "meters"))
from fakes import SERVER, Tree

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
GRID = Carbon(100e-3 / 3.6e6, "made up 2025", Span("b.yaml", 1))
DOMAIN = Spent("powercap:package-0", "cpu", "counter", "package", 7200.0, 90.0)
GOOD = Record(("python",), 0, "host", "now", 80.0, (DOMAIN,), (), 7200.0, "counter", None, "made up", "0.1.0")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    made = Tree(tmp_path / "powercap", SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(made.root))
    monkeypatch.chdir(tmp_path)
    return made


def test_a_command_is_recorded_by_counter(tree: Tree) -> None:
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    try:
        found = tracking.track([sys.executable, "-c", "import time; time.sleep(1.5); raise SystemExit(7)"], GRID, NOW)
    finally:
        tree.stop()
        thread.join()
    assert found.exit == 7
    assert found.method == "counter"
    assert found.joules == pytest.approx(68.0 * found.seconds, rel=0.1)
    assert found.kilograms == pytest.approx((found.joules or 0) * GRID.intensity)
    peaks = {one.id: round(one.peak_watts / 10) for one in found.domains}
    assert peaks == {"powercap:package-0": 6, "powercap:dram-0": 1}


def test_a_killed_command_is_recorded_and_its_code_passed_on(tree: Tree) -> None:
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    code = "import os, signal, time; time.sleep(0.7); os.kill(os.getpid(), signal.SIGKILL)"
    try:
        left = door.run(["track", "-o", "t.json", "--", sys.executable, "-c", code])
    finally:
        tree.stop()
        thread.join()
    assert left == 128 + signal.SIGKILL
    fields = json.loads(Path("t.json").read_text())
    assert fields.pop("schema") == "greengate.training/1"
    found = codec.decode(Record, fields)
    assert found.exit == left
    assert found.joules


def test_a_request_to_end_is_handed_on(tree: Tree) -> None:
    del tree
    threading.Timer(0.8, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    begun = time.monotonic()
    found = tracking.track([sys.executable, "-c", "import time; time.sleep(30)"], None, NOW)
    assert found.exit == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 15


METERED = """
version: 1
models: [{name: net, path: net.fake.yaml}]
rules: [{metric: training_energy, max: 1 kWh}]
energy: {power_log: meter.csv}
"""


def test_the_meter_that_the_budget_names_alone_counts(tree: Tree, capfd: pytest.CaptureFixture[str]) -> None:
    """The package beside it draws 60 W, and is in no sum."""
    Path("budgets.yaml").write_text(METERED)
    Path("meter.csv").write_text(f"t,watts\n{time.time():.3f},500\n")
    ended, thread = threading.Event(), tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})

    def write() -> None:
        while not ended.wait(0.1):
            with Path("meter.csv").open("a") as file:
                file.write(f"{time.time():.3f},500\n")

    meter = threading.Thread(target=write)
    meter.start()
    try:
        assert door.run(["track", "--", sys.executable, "-c", "import time; time.sleep(1.5)"]) == 0
    finally:
        ended.set()
        meter.join()
        tree.stop()
        thread.join()
    found = json.loads(Path("training.json").read_text())
    (domain,) = found["domains"]
    assert (domain["id"], domain["about"], found["method"]) == ("meter", "external meter, meter.csv", "metered")
    assert 500 * 1.2 <= found["joules"] <= 500 * (found["seconds"] + 0.5)
    assert "(external meter, meter.csv), in training.json" in capfd.readouterr().err


def test_nothing_stands_for_a_meter_that_cannot_be_used(tree: Tree, capfd: pytest.CaptureFixture[str]) -> None:
    Path("budgets.yaml").write_text(METERED)
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    hello = "import sys, time; print('begun', file=sys.stderr, flush=True); time.sleep(0.7)"
    try:
        assert door.run(["track", "--", sys.executable, "-c", hello]) == 0
    finally:
        tree.stop()
        thread.join()
    found = json.loads(Path("training.json").read_text())
    assert found["joules"] is None
    assert {one["id"] for one in found["domains"]} == {"powercap:package-0", "powercap:dram-0"}
    said = capfd.readouterr().err
    before = said[: said.index("begun")]
    assert "no joules will be recorded: power log: meter.csv cannot be read: No such file" in before
    assert "start the meter's log" in before


#: A command that says which signals it gets, until a file `enough` is there.
HEARS = """
import os, signal, sys, time
told = open(sys.argv[1], "a", buffering=1)
def hear(number, frame):
    told.write(signal.Signals(number).name + "\\n")
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), hear)
told.write("ready\\n")
deadline = time.monotonic() + 20
while time.monotonic() < deadline and not os.path.exists("enough"):
    time.sleep(0.02)
"""


def heard(path: Path, wanted: int, within: float = 20.0) -> list[str]:
    """Return what the command wrote, once there are so many lines."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        lines = path.read_text().split() if path.exists() else []
        if len(lines) >= wanted:
            break
        time.sleep(0.02)
    return lines


ASKED = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")


def tracked(*options: str, before: str = "") -> list[str]:
    """Return the command line of a tracked command; `before` is run in its process first."""
    code = f"import signal, sys; {before}\nfrom greengate.cli import door; sys.exit(door.run(sys.argv[1:]))"
    return [sys.executable, "-c", code, "track", "-o", "t.json", "--", sys.executable, "-c", HEARS, *options]


def test_whatever_it_is_asked_alone_reaches_the_command_once(tree: Tree) -> None:
    del tree
    # Tests may run where some are ignored: under nohup, or behind an `&`.
    begun = "; ".join(f"signal.signal(signal.{name}, signal.SIG_DFL)" for name in ASKED)
    with subprocess.Popen(tracked("heard.txt", *ASKED, before=begun), start_new_session=True) as process:
        assert heard(Path("heard.txt"), 1) == ["ready"]
        for count, name in enumerate(ASKED, 2):
            process.send_signal(getattr(signal, name))
            assert len(heard(Path("heard.txt"), count)) == count
        Path("enough").touch()
    assert Path("heard.txt").read_text().split() == ["ready", *ASKED]
    assert process.returncode == 0
    assert json.loads(Path("t.json").read_text())["exit"] == 0


def test_what_is_typed_reaches_the_command_once(tree: Tree) -> None:
    """A terminal tells every process of its foreground group: the command as well as greengate."""
    del tree
    controller, terminal = os.openpty()
    begun = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    begun += "; signal.signal(signal.SIGINT, signal.default_int_handler)"
    with subprocess.Popen(
        tracked("heard.txt", *ASKED, before=begun), stdin=terminal, start_new_session=True
    ) as process:
        assert heard(Path("heard.txt"), 1) == ["ready"]
        for count in range(2, 8):  # a second that comes at once can be one with the first
            os.write(controller, b"\x03")
            assert len(heard(Path("heard.txt"), count)) == count
            time.sleep(0.05)
        os.write(controller, b"\x1c")
        assert len(heard(Path("heard.txt"), 8)) == 8
        Path("enough").touch()
    os.close(controller)
    os.close(terminal)
    assert Path("heard.txt").read_text().split() == ["ready", *["SIGINT"] * 6, "SIGQUIT"]
    assert process.returncode == 0


def test_what_is_typed_is_handed_on_to_a_command_that_left_the_terminal(tree: Tree) -> None:
    del tree
    controller, terminal = os.openpty()
    begun = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    begun += "; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = tracked("heard.txt", "SIGINT", before=begun)
    command[command.index(HEARS)] = "import os; os.setsid()\n" + HEARS
    with subprocess.Popen(command, stdin=terminal, start_new_session=True) as process:
        assert heard(Path("heard.txt"), 1) == ["ready"]
        os.write(controller, b"\x03")
        assert heard(Path("heard.txt"), 2) == ["ready", "SIGINT"]
        Path("enough").touch()
    os.close(controller)
    os.close(terminal)
    assert Path("heard.txt").read_text().split() == ["ready", "SIGINT"]
    assert process.returncode == 0


def test_what_is_ignored_stays_ignored(tree: Tree) -> None:
    """`nohup greengate track -- train`: the terminal is closed, and the training goes on."""
    del tree
    begun = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with subprocess.Popen(tracked("heard.txt", before=begun), start_new_session=True) as process:
        assert heard(Path("heard.txt"), 1) == ["ready"]
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(0.3)
        Path("enough").touch()
    assert process.returncode == 0


def test_a_request_that_comes_before_the_command_is_kept_for_it(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    del tree
    begin = subprocess.Popen

    def slowly(command: list[str]) -> subprocess.Popen[bytes]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        child = begin(command)
        heard(Path("heard.txt"), 1)
        return child

    monkeypatch.setattr(subprocess, "Popen", slowly)
    threading.Timer(2, Path("enough").touch).start()
    found = tracking.track([sys.executable, "-c", HEARS, "heard.txt", "SIGTERM"], None, NOW)
    assert found.exit == 0
    assert Path("heard.txt").read_text().split() == ["ready", "SIGTERM"]


def test_handlers_are_as_before(tree: Tree) -> None:
    del tree
    numbers = [getattr(signal, name) for name in ASKED]
    before = [signal.getsignal(number) for number in numbers]
    tracking.track([sys.executable, "-c", "pass"], None, NOW)
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_place_that_cannot_be_written_is_found_before_the_command_runs(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    del tree
    Path("file").write_text("")
    code = "open('ran', 'w')"
    assert door.run(["track", "-o", "file/t.json", "--", sys.executable, "-c", code]) == 2
    assert "cannot write 'file/t.json'" in capsys.readouterr().err
    assert not Path("ran").exists()


def test_a_record_that_cannot_be_saved_is_told_and_the_code_passed_on(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    del tree
    code = "import os; os.rmdir('there'); open('there', 'w'); raise SystemExit(7)"
    assert door.run(["track", "-o", "there/t.json", "--", sys.executable, "-c", code]) == 7
    said = capsys.readouterr().err
    assert "cannot write 'there/t.json'" in said
    first, last = said.index("{\n"), said.rindex("}\n")
    fields = json.loads(said[first : last + 1])
    assert fields["exit"] == 7
    assert "in no file: the record stands above" in said


def test_the_reason_is_told_where_energy_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = Tree(tmp_path / "powercap", {"intel-rapl:0": ("package-0", 5), "intel-rapl:1": ("package-1", 5)})
    (tree.root / "intel-rapl:1" / "energy_uj").write_text("many\n")
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tree.root))
    monkeypatch.chdir(tmp_path)
    thread = tree.run({"intel-rapl:0": 60.0})
    try:
        assert door.run(["track", "--", sys.executable, "-c", "import time; time.sleep(0.5)"]) == 0
    finally:
        tree.stop()
        thread.join()
    assert re.search(r"energy not counted in \d.*\(package-1: .*cannot be read", capsys.readouterr().err)
    assert json.loads(Path("training.json").read_text())["joules"] is None


def test_what_its_children_did_is_in_an_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    monkeypatch.setitem(METERS, "codecarbon", replace(METERS["codecarbon"], make=METERS["cpu-time"].make))
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    found = tracking.track([sys.executable, "-c", code], None, NOW)
    assert found.method == "estimated"
    assert found.joules is not None
    assert 4 * 0.45 < found.joules < 4 * 3


def test_counters_are_looked_for_again_when_the_command_has_ended(tree: Tree) -> None:
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    zone = tree.root / "intel-rapl:2"
    code = f"import pathlib, time; time.sleep(0.5); zone = pathlib.Path({str(zone)!r}); zone.mkdir(); "
    code += "(zone / 'name').write_text('package-1'); (zone / 'energy_uj').write_text('5')"
    try:
        found = tracking.track([sys.executable, "-c", code], GRID, NOW)
    finally:
        tree.stop()
        thread.join()
    assert found.joules is None
    assert found.absent[0].startswith("powercap:package-1: it was not there")


def test_a_meter_that_breaks_costs_neither_the_record_nor_the_exit_code(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: object) -> Drawn:
        raise KeyError("energy_accumulator")

    del tree
    monkeypatch.setattr(tracking.Watch, "stop", breaks)
    assert door.run(["track", "--", sys.executable, "-c", "raise SystemExit(7)"]) == 7
    why = "the counters could not be read to the end: KeyError: 'energy_accumulator'"
    assert "energy not counted in " in capsys.readouterr().err
    fields = json.loads(Path("training.json").read_text())
    assert (fields["exit"], fields["joules"], fields["absent"]) == (7, None, [why])


def test_a_command_that_is_not_there_cannot_start(tree: Tree) -> None:
    del tree
    with pytest.raises(GreengateError, match="cannot run 'no-such-command'"):
        tracking.track(["no-such-command"], None, NOW)


def test_without_the_processor_there_is_no_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path / "powercap", SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tree.root))
    found = tracking.track([sys.executable, "-c", "pass"], GRID, NOW)  # the counters stand still
    assert found.joules is None
    assert found.kilograms is None
    assert any("did not change" in one for one in found.absent)


def test_the_peak_is_of_a_second_not_of_a_tick() -> None:
    series = Series(Domain("d", "gpu", "integrated", "", 1e-6))
    count = 0
    for k in range(100):
        count += 200_000 if 40 <= k < 55 else 10_000  # 2 W for one and a half seconds, else 0.1 W
        series.add(Tick(k * 10**8, count))
    assert series.peak(1.0) * 1e-6 == pytest.approx(2.0, rel=1e-6)
    assert series.peak(1.0, 60) * 1e-6 == pytest.approx(0.1, rel=1e-6), "only what came from a tick on"
    assert series.peak(5.0) * 1e-6 == pytest.approx((15 * 0.2 + 35 * 0.01) / 5, rel=0.05)


# --- reading records ----------------------------------------------------------------------------


def costs(path: Path, carbon: Carbon | None) -> Mapping[str, Measurement | Missing]:
    return record.costs(path, carbon).measurements


def write(path: Path, made: Record) -> Path:
    path.write_text(record.dump(made))
    return path


def test_a_record_gives_energy_and_emissions(tmp_path: Path) -> None:
    found = costs(write(tmp_path / "t.json", GOOD), GRID)
    energy, emitted = found["training_energy"], found["training_co2e"]
    assert isinstance(energy, Measurement)
    assert isinstance(emitted, Measurement)
    assert (energy.value, energy.method) == (7200.0, "counter")
    assert emitted.value == pytest.approx(0.002 * 0.1)  # 2 Wh at 100 g/kWh are 0.2 g


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exit": 1}, "ended with exit code 1"),
        ({"joules": None, "method": None, "absent": ("AMD: no",)}, "holds no joules"),
        ({"method": None}, "joules without a method"),  # nobody knows how they came about
        ({"joules": None}, "a method without joules"),
    ],
)
def test_a_record_that_is_no_cost_is_missing(changes: dict[str, object], why: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", replace(GOOD, **changes))  # type: ignore[arg-type]
    for one in costs(path, GRID).values():
        assert isinstance(one, Missing)
        assert why in one.reason


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.json", "{", "is no training record"),
        ("t.json", "[" * 100_000, "nested too deeply"),
        ("e.csv", "run_id,energy_consumed,emissions\na,1e305,1\n", "cannot be"),
        ("e.csv", f"run_id,energy_consumed,emissions,x\na,1,1,{'x' * 200_000}\n", "field larger than field limit"),
        ("t.json", '{"schema": "greengate.profile/1"}', "its schema is not"),
        ("t.json", '{"schema": "greengate.training/1", "exit": 0}', "is no training record"),
        ("e.csv", "run_id,energy_consumed,emissions\n", "it has no row"),
        ("e.csv", "run_id,emissions\na,1\n", "energy_consumed"),
        ("e.csv", "run_id,energy_consumed,emissions\na,many,1\n", "could not convert"),
        ("e.csv", "run_id,energy_consumed,emissions\na,-1,1\n", "cannot be"),
    ],
)
def test_a_damaged_record_is_missing(name: str, text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = costs(path, None)["training_energy"]
    assert isinstance(found, Missing)
    assert why in found.reason


BOARD = Spent("nvml:GPU-a", "gpu", "integrated", "board", 800.0, 20.0)
METER = Spent("meter", "system", "metered", "wall", 9000.0, 150.0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"joules": 1.0}, "1 joules cannot be: its counters make 7200"),
        ({"joules": 7200.1}, "7200.1 joules cannot be: its counters make 7200"),
        ({"joules": 7200.0, "domains": (DOMAIN, BOARD)}, "its counters make 8000"),
        (
            {"joules": 8000.0, "domains": (DOMAIN, BOARD)},
            "its method is counter, and the weakest of its counters is int",
        ),
        ({"joules": 16200.0, "domains": (DOMAIN, METER)}, "its counters make 9000"),
        ({"joules": 800.0, "method": "integrated", "domains": (BOARD,)}, "no counter of the processor"),
        ({"domains": ()}, "no counter of the processor"),
        ({"joules": 0.0, "domains": (replace(DOMAIN, joules=0.0),)}, "0 joules cannot be"),
        ({"method": "metered"}, "its method is metered, and the weakest of its counters is counter"),
        ({"method": "estimated"}, "its method is estimated, and the weakest of its counters is counter"),
        (
            {"domains": (replace(DOMAIN, joules=7201.0), replace(BOARD, joules=-1.0))},
            "-1.0 joules of nvml:GPU-a cannot be",
        ),
        ({"domains": (replace(DOMAIN, peak_watts=-1.0),)}, "-1.0 W of powercap:package-0 cannot be"),
        ({"seconds": -1.0}, "-1.0 seconds cannot be"),
        ({"joules": 14400.0, "domains": (DOMAIN, DOMAIN)}, "powercap:package-0 stands twice"),
        ({"kilograms": 1e-9}, "kilograms of 7200 joules cannot be: 0.000500 g/kWh"),
        ({"kilograms": 0.1}, "kilograms of 7200 joules cannot be: 50,000 g/kWh"),
        ({"kilograms": 0.0, "intensity": " "}, "does not say by which `intensity`"),
        ({"joules": None, "method": None, "kilograms": 0.0}, "kilograms without joules cannot be"),
    ],
)
def test_what_a_record_says_is_held_against_what_else_it_says(
    changes: dict[str, object], why: str, tmp_path: Path
) -> None:
    made = replace(GOOD, **changes)  # type: ignore[arg-type]
    found = costs(write(tmp_path / "t.json", made), GRID)["training_energy"]
    assert isinstance(found, Missing)
    assert why in found.reason
    with pytest.raises(ValueError, match=r"cannot be|counter|method|intensity"):
        list(record.entries("t.json", record.dump(made).encode(), GRID))


@pytest.mark.parametrize(
    "changes",
    [
        {"joules": 7200.001, "kilograms": 0.0002},
        {"joules": 8000.0, "method": "integrated", "domains": (DOMAIN, BOARD)},
        {"joules": 9000.0, "method": "metered", "domains": (DOMAIN, METER)},
    ],
)
def test_what_fits_together_is_a_cost(changes: dict[str, object], tmp_path: Path) -> None:
    made = replace(GOOD, **changes)  # type: ignore[arg-type]
    assert isinstance(costs(write(tmp_path / "t.json", made), GRID)["training_energy"], Measurement)


def test_nothing_emitted_is_a_figure_too(tmp_path: Path) -> None:
    """A training on its own sun: 0 kg is known, and not the same as missing."""
    found = costs(write(tmp_path / "t.json", replace(GOOD, kilograms=0.0)), None)["training_co2e"]
    assert isinstance(found, Measurement)
    assert found.value == 0.0


def test_no_record_is_missing(tmp_path: Path) -> None:
    found = costs(tmp_path / "none.json", None)["training_co2e"]
    assert isinstance(found, Missing)
    assert "cannot be read" in found.reason


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_what_is_no_small_regular_file_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    found = costs(path, None)["training_energy"]
    assert isinstance(found, Missing)
    assert ("larger than 8 MiB" if kind == "large" else "no regular file") in found.reason


def test_codecarbon_s_file_is_summed_over_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "emissions.csv"
    path.write_text(
        "timestamp,run_id,duration,emissions,energy_consumed,country_name\n"
        "t0,a,10,0.01,0.1,France\nt1,a,20,0.03,0.3,France\nt2,b,5,0.5,1.0,Poland\n"
    )
    found = costs(path, None)
    energy, emitted = found["training_energy"], found["training_co2e"]
    assert isinstance(energy, Measurement)
    assert isinstance(emitted, Measurement)
    assert energy.value == pytest.approx(1.3 * 3.6e6)
    assert emitted.value == pytest.approx(0.53)
    assert energy.method == emitted.method == "estimated"
    assert "France, Poland" in emitted.detail
    by_grid = costs(path, GRID)["training_co2e"]
    assert isinstance(by_grid, Measurement)
    assert by_grid.value == pytest.approx(0.13), "1.3 kWh at the budget's 100 g/kWh"


@pytest.mark.parametrize("own", [None, 1e-5, 1e-3])
def test_the_budget_s_intensity_goes_before_the_record_s(own: float | None, tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", replace(GOOD, kilograms=own))
    told = record.costs(path, GRID)
    emitted = told.measurements["training_co2e"]
    assert isinstance(emitted, Measurement)
    assert emitted.value == pytest.approx(0.0002)
    assert told.trained == Trained({"cpu": "counter"}, pytest.approx(GRID.intensity))


def test_a_cost_says_how_it_came_about(tmp_path: Path) -> None:
    made = replace(GOOD, joules=8000.0, method="integrated", domains=(DOMAIN, BOARD), kilograms=0.0008)
    told = record.costs(write(tmp_path / "t.json", made), None)
    assert told.trained == Trained({"cpu": "counter", "gpu": "integrated"}, pytest.approx(1e-7))
    metered = replace(GOOD, joules=9000.0, method="metered", domains=(DOMAIN, METER))
    assert record.costs(write(tmp_path / "t.json", metered), None).trained == Trained({"system": "metered"}, None)
    assert record.costs(write(tmp_path / "t.json", replace(GOOD, exit=1)), None).trained is None


ACCEPTED = """version: 1
models: [{{name: net, path: net.fake.yaml, training: t.json}}]
rules:
  - {{id: energy, metric: training_energy, max_increase: 5%}}
  - {{id: emissions, metric: training_co2e, max_increase: 5%}}
{carbon}"""
CARBON = "carbon: {intensity: 100 g/kWh, source: made up, year: 2025}\n"
WHOLE = replace(GOOD, joules=8000.0, domains=(DOMAIN, replace(BOARD, method="counter")), kilograms=0.0008)


@pytest.mark.parametrize(
    ("then", "carbon", "energy", "emissions"),
    [
        (WHOLE, CARBON, "pass: ", "pass: "),
        (replace(WHOLE, host="another"), CARBON, "pass: ", "pass: "),
        (
            replace(WHOLE, joules=8800.0, domains=(replace(DOMAIN, joules=8000.0), WHOLE.domains[1])),
            CARBON,
            "fail",
            "fail",
        ),
        (GOOD, CARBON, "counter of gpu was counter, is absent", "counter of gpu was counter, is absent"),
        (
            replace(WHOLE, method="integrated", domains=(DOMAIN, BOARD)),
            CARBON,
            "counter of gpu was counter, is integrated",
            "counter of gpu was counter, is integrated",
        ),
        (WHOLE, CARBON.replace("100", "50"), "pass: ", "intensity was 100.000 g/kWh, is 50.0000 g/kWh"),
        (replace(WHOLE, kilograms=1e-6), CARBON, "pass: ", "pass: "),
        (replace(WHOLE, kilograms=1e-6), "", "pass: ", "intensity was 100.000 g/kWh, is 0.450000 g/kWh"),
    ],
)
@pytest.mark.parametrize("at_hand", [True, False])
def test_trainings_compare_where_they_were_counted_alike(  # noqa: PLR0917 - a table and two fixtures
    then: Record,
    carbon: str,
    energy: str,
    emissions: str,
    at_hand: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against an accepted baseline, whether its model file is measured again or not."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.json", WHOLE)
    Path("net.fake.yaml").write_text("fake: 1\nsize: 1 MB\n")
    Path("budgets.yaml").write_text(ACCEPTED.format(carbon=CARBON))
    assert door.run(["baseline", "accept", "net", "--reason", "first"]) == 0
    write(tmp_path / "t.json", then)
    if not at_hand:
        Path("net.fake.yaml").write_text("fake: 1\nsize: 2 MB\n")
    Path("budgets.yaml").write_text(ACCEPTED.format(carbon=carbon))
    door.run(["check", "--strict", "--report", "json=v.json"])
    rules = {one["rule"]: one for one in json.loads(Path("v.json").read_text())["rules"]}
    for rule, expected in (("energy", energy), ("emissions", emissions)):
        said = f"{rules[rule]['status']}: {rules[rule]['reason']}"
        assert expected in said
        if "was" in expected:
            assert said.startswith("inconclusive: ")


BUDGET = """version: 1
models: [{{name: net, path: net.fake.yaml, training: {record}}}]
rules:
  - {{metric: training_energy, max: 3 Wh{more}}}
  - {{metric: training_co2e, max: {kilograms}{more}}}
carbon: {{intensity: 100 g/kWh, source: made up, year: 2025}}
"""


@pytest.mark.parametrize(
    ("kilograms", "more", "estimated", "code"),
    [("1 g", "", False, 0), ("0.1 g", "", False, 1), ("1 g", "", True, 3), ("1 g", ", allow_estimated: true", True, 0)],
)
def test_rules_judge_the_record(  # noqa: PLR0917 - a table and two fixtures
    kilograms: str, more: str, estimated: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    modelled = replace(GOOD, method="estimated", domains=(replace(DOMAIN, method="estimated"),))
    write(tmp_path / "t.json", modelled if estimated else GOOD)
    Path("net.fake.yaml").write_text("fake: 1\nsize: 1 MB\n")
    Path("budgets.yaml").write_text(BUDGET.format(record="t.json", kilograms=kilograms, more=more))
    assert door.run(["check", "--against", "none", "--strict"]) == code


def test_the_command_line_says_what_it_cost(tmp_path: Path) -> None:
    environ = {**os.environ, "GREENGATE_POWERCAP": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "greengate", "track", "--", sys.executable, "-c", "print('trained')"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ,
        check=True,
    )
    assert done.stdout == "trained\n"
    assert "in training.json" in done.stderr
    assert (tmp_path / "training.json").exists()
