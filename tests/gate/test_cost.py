"""What the gate's own run takes."""

from __future__ import annotations

import datetime
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from greengate import budget_file, gate, verdict_file
from greengate.cli import door
from greengate.gate import cost
from greengate.gate.precision import metered_by
from greengate.power import Domain
from greengate.profile import Measurement, Missing
from greengate.profiler.meters import METERS, Absent, Found, Health, Row, Tick
from greengate.profiler.meters.bench import Energy
from greengate.report.facts import own_cost
from greengate.verdict import Cost

sys.path.insert(0, str(Path(__file__).parents[1] / "profiler" / "meters"))
from fakes import SERVER, Tree

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
BUDGET = "version: 1\nmodels: [{name: net, path: net.fake.yaml}]\nrules: [{metric: size, max: 2 MB}]\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.fake.yaml").write_text("fake: 1\nsize: 1 MB\n")
    Path("budgets.yaml").write_text(BUDGET)
    return tmp_path


def test_counters_tell_what_the_run_drew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path / "powercap", SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tree.root))
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    try:
        with cost.watched(Energy()) as spent:
            time.sleep(1.2)
            found = spent()
            assert spent() is found
    finally:
        tree.stop()
        thread.join()
    assert found is not None
    assert isinstance(found.energy, Measurement)
    assert found.energy.method == "counter"
    assert 1.2 <= found.seconds < 6
    # Counters are followed from a little after the begin, and a busy machine takes its time to open them.
    assert 68.0 * 1.2 * 0.95 <= found.energy.value <= 68.0 * found.seconds * 1.05
    assert "powercap:package-0 + powercap:dram-0" in found.energy.detail


@pytest.mark.parametrize("stuck", ["intel-rapl:0", "intel-rapl:0:1"])
def test_a_processor_that_stands_still_leaves_no_sum_and_memory_may(
    stuck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path / "powercap", SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tree.root))
    moving = {"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0}
    del moving[stuck]
    thread = tree.run(moving)
    try:
        with cost.watched(Energy()) as spent:
            time.sleep(0.4)
    finally:
        tree.stop()
        thread.join()
    found = spent()
    assert found is not None
    if stuck == "intel-rapl:0":
        assert isinstance(found.energy, Missing)
        assert "package-0: it did not change" in found.energy.reason
    else:
        assert isinstance(found.energy, Measurement)


def test_an_external_meter_stands_for_the_whole_machine_while_the_run_goes_on(here: Path) -> None:
    """The log was begun long before, at other watts, by a clock ten minutes behind; counters beside it are left out."""
    tree = Tree(here / "powercap", SERVER)
    begun, written = time.time(), threading.Event()

    def line(seconds: float, watts: float) -> str:
        return f"{begun - 600 + seconds:.3f},{watts}\n"

    Path("meter.csv").write_text("t,watts\n" + "".join(line(-k, 900) for k in range(100, 0, -1)) + line(0, 200))
    Path("budgets.yaml").write_text(BUDGET + "energy: {power_log: meter.csv, clock_offset: 600 s}\n")

    def write() -> None:
        while not written.wait(0.05):
            with Path("meter.csv").open("a") as file:
                file.write(line(time.time() - begun, 200))

    meter, counters = threading.Thread(target=write), tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    meter.start()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("GREENGATE_POWERCAP", str(tree.root))
            with cost.watched(metered_by(budget_file.read(Path("budgets.yaml")), here, estimates=True)) as spent:
                time.sleep(1.2)
                found = spent()
    finally:
        written.set()
        meter.join()
        tree.stop()
        counters.join()
    assert found is not None
    assert isinstance(found.energy, Measurement)
    assert (found.energy.method, found.energy.detail) == ("metered", "the whole machine: meter")
    assert 200 * (1.2 - 0.2) <= found.energy.value <= 200 * (found.seconds + 0.2)


def test_a_check_asks_the_log_that_the_budget_names(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.parent)
    (here / "meter.csv").write_text(f"t,watts\n{time.time() - 1},900\n{time.time()},900\n")
    (here / "budgets.yaml").write_text(BUDGET + "energy: {power_log: meter.csv}\n")
    found = gate.check(gate.Request(budget=str(here / "budgets.yaml"), against="none"), NOW).verdict.cost
    assert found is not None
    assert isinstance(found.energy, Missing)
    assert found.energy.reason == "meter: it did not change meanwhile", "what was drawn before is not the run's"


def test_without_a_counter_it_is_missing_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    with cost.watched(Energy()) as spent:
        pass
    found = spent()
    assert found is not None
    assert isinstance(found.energy, Missing)
    assert "there is no /nowhere" in found.energy.reason


def test_an_estimate_is_made_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    with cost.watched(Energy(estimates=True)) as spent:
        import subprocess

        burn = "import time\nwhile time.process_time() < 0.3: pass"
        subprocess.run([sys.executable, "-c", burn], check=True)
        found = spent()
    assert found is not None
    assert isinstance(found.energy, Measurement)
    assert found.energy.method == "estimated"
    assert found.energy.value >= 4 * 0.25


class Board:
    """A board that draws 200 W, or stands still."""

    every, strict = 0.01, False

    def __init__(self, watts: float, absent: Sequence[Absent] = ()) -> None:
        self._watts, self._absent, self._begun = watts, tuple(absent), time.monotonic()

    def discover(self) -> Found:
        return Found((Domain("nvml:GPU-a", "gpu", "counter", "a board", 1e-3),), self._absent)

    def read(self, domain: Domain) -> Sequence[Tick]:
        del domain
        return (Tick(time.monotonic_ns(), round(self._watts * 1e3 * (time.monotonic() - self._begun))),)

    def health(self, domain: Domain) -> Health:
        del domain
        return Health()

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("watts", "absent", "why"),
    [
        (200.0, (), ""),
        (0.0, (), "nvml:GPU-a: it did not change meanwhile"),
        (200.0, (Absent("nvml:GPU-b", "split by MIG", kind="gpu"),), "nvml:GPU-b: split by MIG"),
        (200.0, (Absent("package-0", "it cannot be read", kind="cpu"),), ""),  # the estimate stands for it
    ],
)
def test_what_boards_counted_is_added_to_an_estimate_of_the_processor(
    watts: float, absent: Sequence[Absent], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    monkeypatch.setitem(METERS, "nvml", Row("nvml", "", lambda: Board(watts, absent)))
    with cost.watched(Energy(estimates=True)) as spent:
        time.sleep(0.5)
        found = spent()
    assert found is not None
    if why:
        assert isinstance(found.energy, Missing)
        assert found.energy.reason == why
    else:
        assert isinstance(found.energy, Measurement)
        assert found.energy.method == "estimated"
        assert found.energy.detail == "processor time of the run x 4 W a busy thread + nvml:GPU-a"
        assert found.energy.value >= 200 * 0.4


def test_a_log_in_milliseconds_is_no_bug_of_the_gate(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("meter.csv").write_text("t,watts\n" + "".join(f"{1_760_000_000_000 + k},200\n" for k in range(9)))
    Path("budgets.yaml").write_text(BUDGET + "energy: {power_log: meter.csv}\n")
    tree = Tree(here / "powercap", SERVER)
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("GREENGATE_POWERCAP", str(tree.root))
            assert door.run(["check", "--against", "none", "--report", "json=v.json"]) == 0
    finally:
        tree.stop()
        thread.join()
    assert "bug" not in capsys.readouterr().err
    energy = json.loads(Path("v.json").read_text())["cost"]["energy"]
    assert "are these milliseconds?" in energy["reason"], "and no counter stands for the meter"


@pytest.mark.parametrize("asked", [False, True])
def test_report_and_json_tell_it(asked: bool, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    if asked:
        more = "  - {metric: training_energy, max: 1 kWh, allow_estimated: true, severity: warn}\n"
        Path("budgets.yaml").write_text(
            BUDGET.replace("[{metric: size, max: 2 MB}]\n", f"\n  - {{metric: size, max: 2 MB}}\n{more}")
        )
    code = door.run(["check", "--against", "none", "--report", "json=v.json", "--report", "markdown=v.md"])
    assert code == 0
    told = json.loads((here / "v.json").read_text())["cost"]
    assert told["seconds"] > 0
    said = next(line for line in (here / "v.md").read_text().splitlines() if "Gate: greengate" in line)
    assert f"the whole run {told['seconds']:,.1f} s" in said
    if asked:
        assert told["energy"]["method"] == "estimated"
        assert "\u2248" in said
    else:
        assert "energy not counted" in said
        assert "/nowhere" in said
    assert door.run(["verify", "v.json"]) == 0


def test_a_verdict_without_a_cost_says_nothing_of_it(here: Path) -> None:
    del here
    verdict = gate.check(gate.Request(against="none"), NOW).verdict
    assert isinstance(verdict.cost, Cost)
    text = verdict_file.dump(verdict)
    assert verdict_file.load(text, "v.json") == verdict
    from dataclasses import replace

    silent = replace(verdict, cost=None)
    assert '"cost"' not in verdict_file.dump(silent)
    assert verdict_file.load(verdict_file.dump(silent), "v.json") == silent
    assert own_cost(silent) == ""
