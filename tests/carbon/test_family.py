"""What a command started counts, although it left the command; what stays is named, and leaves no sum."""

from __future__ import annotations

import ctypes
import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from greengate.carbon import family, tracking
from greengate.profiler.meters import METERS

sys.path.insert(0, str(Path(__file__).parents[1] / "profiler" / "meters"))
from fakes import Tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are followed on Linux")

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
BURN = "import time\nwhile time.process_time() < 0.8: pass"
#: Starts what is named behind it and ends at once: the worker loses its parent.
AND_GO = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"


@pytest.fixture
def modelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGATE_POWERCAP", "/nowhere")
    monkeypatch.setitem(METERS, "codecarbon", replace(METERS["codecarbon"], make=METERS["cpu-time"].make))


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    tree = Tree(tmp_path / "powercap", {"intel-rapl:0": ("package-0", 5)})
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tree.root))
    thread = tree.run({"intel-rapl:0": 60.0})
    yield
    tree.stop()
    thread.join()


def python(code: str, *more: str) -> list[str]:
    return [sys.executable, "-c", code, *more]


@pytest.mark.usefixtures("modelled")
def test_a_worker_that_lost_its_parent_is_in_an_estimate() -> None:
    code = (
        f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {AND_GO!r}, {BURN!r}]); time.sleep(2.5)"
    )
    found = tracking.track(python(code), None, NOW)
    assert found.method == "estimated"
    assert found.joules is not None
    assert 4 * 0.75 < found.joules < 4 * 3


@pytest.mark.usefixtures("modelled")
def test_a_launcher_whose_workers_cannot_be_known_leaves_no_estimate() -> None:
    """The system keeps no account of what ends while its parent ignores SIGCHLD."""
    code = "import signal, time; signal.signal(signal.SIGCHLD, signal.SIG_IGN); time.sleep(0.6)"
    found = tracking.track(python(code), None, NOW)
    assert found.joules is None
    assert any("ignores SIGCHLD: what its children spent ends with them" in one for one in found.absent)


@pytest.mark.usefixtures("counted")
def test_what_still_runs_is_named_and_leaves_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "GRACE", 0.3)
    found = tracking.track(["sh", "-c", "sleep 1.4 & sleep 0.3"], None, NOW)
    assert (found.exit, found.joules) == (0, None)
    assert found.absent[0].startswith("sleep (process ")
    assert found.absent[0].endswith(") still ran when the command had ended: what it drew then is unknown")
    assert any(one.joules for one in found.domains), "what was counted until then is told"
    time.sleep(1)
    family.bury(())


@pytest.mark.usefixtures("counted")
def test_what_ends_a_little_later_is_waited_for() -> None:
    """As loaders of data and trackers of shared memory do, a moment after their parent."""
    found = tracking.track(["sh", "-c", "sleep 1.2 & sleep 0.1"], None, NOW)
    assert found.joules is not None
    assert found.joules == pytest.approx(60 * found.seconds, rel=0.3)
    assert 1.2 < found.seconds < 4


@pytest.mark.usefixtures("counted")
def test_who_is_asked_to_end_waits_no_longer() -> None:
    """The command has ended: nobody else hears it."""
    threading.Timer(1.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    begun = time.monotonic()
    found = tracking.track(["sh", "-c", "sleep 3.5 & sleep 0.1"], None, NOW)
    assert (found.exit, found.joules) == (0, None)
    assert time.monotonic() - begun < 3.3
    time.sleep(max(0.0, begun + 4 - time.monotonic()))
    family.bury(())


@pytest.mark.usefixtures("counted")
def test_what_was_adopted_and_ended_is_waited_for_meanwhile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a long training that forks and forks would fill the table of processes."""
    monkeypatch.setattr(tracking, "_BURY", 0.1)
    told = tmp_path / "left"
    code = f"""
import os, pathlib, time
if os.fork() == 0:
    if os.fork() == 0:
        pathlib.Path({str(told)!r}).write_text(str(os.getpid()))
    os._exit(0)
os.wait()
time.sleep(1.2)
raise SystemExit(os.path.exists(f"/proc/{{pathlib.Path({str(told)!r}).read_text()}}"))
"""
    assert tracking.track(python(code), None, NOW).exit == 0
    assert told.exists()


@pytest.mark.usefixtures("counted")
def test_who_tracks_is_as_before_and_its_other_children_are_left_to_it() -> None:
    child = subprocess.Popen(python("raise SystemExit(5)"))
    daemon = subprocess.Popen(python("import time; time.sleep(60)"))
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        before = signal.getsignal(signal.SIGCHLD)
        found = tracking.track(["sleep", "0.5"], None, NOW)
        assert signal.getsignal(signal.SIGCHLD) == before
        whether = ctypes.c_int(-1)
        ctypes.CDLL(None).prctl(37, ctypes.byref(whether), 0, 0, 0)
        assert whether.value == 0
        assert found.joules is not None, "what ran before the command is none of it"
        assert child.wait() == 5
    finally:
        daemon.kill()
        daemon.wait()


@pytest.mark.usefixtures("counted")
def test_an_exit_code_is_known_where_who_starts_greengate_ignores_the_end_of_children(tmp_path: Path) -> None:
    code = "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); from greengate.cli import door"
    command = python(f"{code}; sys.exit(door.run(sys.argv[1:]))", "track", "-o", str(tmp_path / "t.json"), "--")
    assert subprocess.run([*command, *python("raise SystemExit(7)")], check=False).returncode == 7


@pytest.mark.usefixtures("counted")
def test_where_nothing_is_adopted_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "_SUBREAPER", 9999)
    found = tracking.track(["sleep", "0.5"], None, NOW)
    assert found.joules is not None
    assert found.absent[-1] == "what leaves the command is not followed: Invalid argument"
