"""Greengate beside Zeus and codecarbon, on counters whose truth is known: `make bench-energy`.

A scenario is a powercap tree below /sys/class/powercap, shaped as the kernel's, whose counters a thread advances at
known watts; or a board of the library in C that the tests put in the place of libnvidia-ml. Every tool reads it in a
process of its own and over the same seconds, through the interface that its users have: Zeus's ZeusMonitor, tasks of
codecarbon's OfflineEmissionsTracker, greengate's recorder with joules from tick to tick. Truth is watts x the seconds
between a tool's own begin and end.

The tree is mounted in a namespace of its own (`unshare -rm`), so that nothing of a tool is patched. What is compared
with stands in energy.requirements.txt.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
STAND_IN = HERE.parent / "tests" / "profiler" / "meters" / "nvml_fake.c"
CLASS = Path("/sys/class")
RANGE = 262_143_328_850
TOOLS = ("greengate", "zeus", "codecarbon")
#: Seconds that every tool has for importing and for its first reads.
READY = 14.0


@dataclass(frozen=True)
class Scenario:
    """Zones (path below intel-rapl -> name, watts) or knobs of a board; what truly was drawn; seconds of the window.

    `wraps`: so many seconds before the end of the window the counters begin anew.
    """

    title: str
    truth: float
    kind: str = "cpu"
    zones: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    board: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 10.0
    wraps: float | None = None


PACKAGE = {"intel-rapl:0": ("package-0", 60.0)}
SCENARIOS = {
    "plain": Scenario("one package", 60.0, zones=PACKAGE),
    "cores": Scenario(
        "a package with the cores in it", 60.0, zones={**PACKAGE, "intel-rapl:0/intel-rapl:0:0": ("core", 40.0)}
    ),
    "dram": Scenario(
        "a package and memory beside it", 68.0, zones={**PACKAGE, "intel-rapl:0/intel-rapl:0:0": ("dram", 8.0)}
    ),
    "psys": Scenario("a package inside psys", 60.0, zones={**PACKAGE, "intel-rapl:1": ("psys", 90.0)}),
    "dies": Scenario(
        "two dies that mirror one counter",
        60.0,
        zones={"intel-rapl:0": ("package-0-die-0", 60.0), "intel-rapl:1": ("package-0-die-1", 60.0)},
    ),
    "wrap": Scenario("the counter wraps 0.05 s before the end", 60.0, zones=PACKAGE, wraps=0.05),
    # No whole number of ticks: that would hide what a reader loses at the ends.
    "board": Scenario("a board, 200 W, ticks every 100 ms", 200.0, "gpu", seconds=10.07),
    "short": Scenario("the same, in a window of 0.55 s", 200.0, "gpu", seconds=0.55),
    "vgpu": Scenario(
        "a board without an energy counter", 200.0, "gpu", board={"FAKE_NVML_NO_COUNTER": "1"}, seconds=10.07
    ),
}


# --- inside the namespace -----------------------------------------------------------------------


def build(scenario: Scenario, root: Path) -> dict[Path, float]:
    """Make a tree as the kernel's: devices nested below one folder, and links to all of them beside each other."""
    devices, found = root / "devices" / "intel-rapl", {}
    links = root / "powercap"
    links.mkdir(parents=True)
    devices.mkdir(parents=True)
    for path, (name, watts) in scenario.zones.items():
        zone = devices / path
        zone.mkdir(parents=True)
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (zone / "energy_uj").write_text("1000000\n")
        found[zone] = watts
        (links / zone.name).symlink_to(zone)
        (zone / "subsystem").symlink_to(links)
    (devices / "subsystem").symlink_to(links)
    (links / "intel-rapl").symlink_to(devices)
    return found


def advance(zones: Mapping[Path, float], scenario: Scenario, start: float, stop: threading.Event) -> None:
    while not stop.wait(0.001):
        since = time.monotonic() - start
        for zone, watts in zones.items():
            base = 50_000_000_000
            if scenario.wraps is not None:
                base = RANGE - round(watts * (scenario.seconds - scenario.wraps) * 1e6)
            fresh = zone / "energy_uj.new"
            fresh.write_text(f"{(base + round(watts * since * 1e6)) % (RANGE + 1)}\n")
            fresh.rename(zone / "energy_uj")


def inside(name: str, library: str) -> None:
    """Mount the tree, let it run, and let every tool read it over the same seconds; print what they say."""
    scenario = SCENARIOS[name]
    subprocess.run(["mount", "-t", "tmpfs", "bench", str(CLASS)], check=True)
    zones = build(scenario, CLASS)
    start = time.monotonic() + READY
    stop = threading.Event()
    writer = threading.Thread(target=advance, args=(zones, scenario, start, stop), daemon=True)
    writer.start()
    path = f"{library}:{os.environ.get('PATH', '')}"
    environ = {**os.environ, "PATH": path, "LD_LIBRARY_PATH": library, "FAKE_NVML": "1", **scenario.board}
    children = {
        tool: subprocess.Popen(
            [sys.executable, __file__, "--tool", tool, "--scenario", name, "--start", repr(start)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        for tool in TOOLS
    }
    said: dict[str, object] = {}
    for tool, child in children.items():
        out, err = child.communicate(timeout=90)
        last = err.strip().splitlines()[-1:] or ["no answer"]
        said[tool] = json.loads(out.splitlines()[-1]) if child.returncode == 0 and out else {"failed": last[0]}
    stop.set()
    writer.join()
    print(json.dumps(said))


# --- the tools ----------------------------------------------------------------------------------

Window = Callable[[], tuple[float, float, float]]


def wait(moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        time.sleep(min(left, 0.05) if left > 0.002 else 0)


def greengate(scenario: Scenario, start: float) -> tuple[float, float, float]:
    from greengate.profiler.meters.bench import Energy, discover
    from greengate.profiler.meters.recorder import Recorder

    meters, _ = discover(Energy())
    recorder = Recorder(meters)
    recorder.start()
    wait(start)
    begun = time.monotonic_ns()
    wait(start + scenario.seconds)
    ended = time.monotonic_ns()
    time.sleep(0.3)  # as after a window of the gate, the recorder goes on
    recorder.stop()
    kinds = ("gpu",) if scenario.kind == "gpu" else ("cpu", "dram")
    joules = 0.0
    for domain in (each for _, domains in meters for each in domains if each.kind in kinds):
        series = recorder.series[domain.id]
        if why := series.fault(begun, ended):
            raise SystemExit(why)
        reading = series.reading(begun, ended)
        if reading is None:
            raise SystemExit(f"{domain.id}: too few ticks")
        joules += reading.counts * domain.joules / reading.ns * (ended - begun)
    return joules, begun * 1e-9, ended * 1e-9


def zeus(scenario: Scenario, start: float) -> tuple[float, float, float]:
    from zeus.monitor import ZeusMonitor

    gpu = scenario.kind == "gpu"
    monitor = ZeusMonitor(gpu_indices=None if gpu else [], cpu_indices=[] if gpu else None)
    monitor.begin_window("first", sync_execution=False)
    monitor.end_window("first", sync_execution=False)
    wait(start)
    begun = time.monotonic()
    monitor.begin_window("w", sync_execution=False)
    wait(start + scenario.seconds)
    found = monitor.end_window("w", sync_execution=False)
    ended = time.monotonic()
    if gpu:
        return found.total_energy, begun, ended
    return sum((found.cpu_energy or {}).values()) + sum((found.dram_energy or {}).values()), begun, ended


def codecarbon(scenario: Scenario, start: float) -> tuple[float, float, float]:
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="FRA", output_methods=[], log_level="critical", measure_power_secs=1, rapl_include_dram=True
    )
    tracker.start_task("first")
    tracker.stop_task("first")
    wait(start)
    begun = time.monotonic()
    tracker.start_task("w")
    wait(start + scenario.seconds)
    found = tracker.stop_task("w")
    ended = time.monotonic()
    return 3.6e6 * (found.gpu_energy if scenario.kind == "gpu" else found.cpu_energy), begun, ended


def tool(name: str, scenario: Scenario, start: float) -> None:
    joules, begun, ended = {"greengate": greengate, "zeus": zeus, "codecarbon": codecarbon}[name](scenario, start)
    print(json.dumps({"joules": joules, "seconds": ended - begun, "late": begun - start}))


# --- the table ----------------------------------------------------------------------------------


def off(scenario: Scenario, said: Mapping[str, float]) -> float:
    """Return how far a tool is off, as a share of the truth."""
    return said["joules"] / (scenario.truth * said["seconds"]) - 1


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    lines = [
        "| scenario | truly | window | " + " | ".join(TOOLS) + " |",
        "|:--|--:|--:|" + "--:|" * len(TOOLS),
    ]
    for name, said in found.items():
        scenario = SCENARIOS[name]
        cells = []
        for each in TOOLS:
            if "failed" in said[each]:
                cells.append(f"fails: {said[each]['failed']}")
                continue
            apart = off(scenario, said[each])
            watts = said[each]["joules"] / said[each]["seconds"]
            cells.append(f"{watts:,.4g} W ({apart * 100:+.2f} %)" + ("" if abs(apart) <= 0.01 else " **off**"))
        lines.append(
            f"| {scenario.title} | {scenario.truth:g} W | {scenario.seconds:g} s | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def heading() -> str:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("zeus", "codecarbon", "nvidia-ml-py")
    )
    machine = (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    )
    return f"""# Greengate beside Zeus and codecarbon

Written by benchmarks/energy.py on {datetime.now(UTC):%Y-%m-%d}: {versions}; {machine}.
Counters are simulated, their truth is known, and all tools read them over the same seconds (see the script). Watts are
joules over a tool's own window; **off** is more than 1 % from the truth. codecarbon is asked for memory
(`rapl_include_dram=True`).

Zeus counts `psys`, which contains the package, as a second processor, and every die that mirrors a counter; around a
wrap it is off by the counter's whole range until a process of its own notices, up to a second later. codecarbon leaves
out memory that is a child of its package, as it is on servers, though it is asked for. Over a window that is no whole
number of ticks, what is read at its ends is off by up to a tick.
"""


def run(names: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="greengate-nvml-") as folder:
        library = Path(folder) / "libnvidia-ml.so.1"
        flags = ["-shared", "-fPIC", "-O2", "-Wl,-soname,libnvidia-ml.so.1"]
        subprocess.run(["gcc", *flags, "-o", str(library), str(STAND_IN), "-lm"], check=True)
        # codecarbon looks for boards only where this command ends well.
        smi = Path(folder) / "nvidia-smi"
        smi.write_text("#!/bin/sh\nexit 0\n")
        smi.chmod(0o755)
        kept = RESULTS / "energy.json"
        found = {} if names == list(SCENARIOS) or not kept.exists() else json.loads(kept.read_text())
        for name in names:
            command = ["unshare", "-rm", sys.executable, __file__, "--inside", name, "--library", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                return 1
            found[name] = json.loads(done.stdout.splitlines()[-1])
            print(table({name: found[name]}).splitlines()[-1], flush=True)
    found = {name: found[name] for name in SCENARIOS if name in found}
    kept.write_text(json.dumps(found, indent=1) + "\n")
    if len(found) == len(SCENARIOS):
        (RESULTS / "energy.md").write_text(f"{heading()}\n{table(found)}\n")
    plain = found.get("plain", {})
    wrong = [each for each in plain if "failed" in plain[each] or abs(off(SCENARIOS["plain"], plain[each])) > 0.01]
    ours = [
        name
        for name in found
        if "failed" in found[name]["greengate"] or abs(off(SCENARIOS[name], found[name]["greengate"])) > 0.01
    ]
    print(f"\nmore than 1 % apart on the plain tree: {wrong or 'none'}; greengate off in: {ours or 'none'}")
    return int(bool(wrong or ours))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; all if none")
    for hidden in ("--inside", "--library", "--tool", "--scenario"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        inside(asked.inside, asked.library)
        return 0
    if asked.tool:
        tool(asked.tool, SCENARIOS[asked.scenario], asked.start)
        return 0
    return run(asked.scenarios or list(SCENARIOS))


if __name__ == "__main__":
    sys.exit(main())
