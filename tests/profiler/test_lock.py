from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from greengate.profiler import lock

HOLD = """
import sys, time
from pathlib import Path
from greengate.profiler import lock
lock.path = lambda: Path(sys.argv[1])
with lock.held(lambda _: None):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lock, "path", lambda: tmp_path / "greengate.lock")
    return tmp_path / "greengate.lock"


def holding(file: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(file), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_waits_and_is_told_who_holds_it(file: Path) -> None:
    with holding(file, 1.0) as other:
        told: list[str] = []
        began = time.monotonic()
        with lock.held(told.append):
            assert other.wait(5) == 0  # it had ended before this one began
        assert time.monotonic() - began > 0.3
    assert told
    assert f"process {other.pid}" in told[0]
    assert "measuring since" in told[0]


def test_a_killed_holder_gives_it_back(file: Path) -> None:
    with holding(file, 60) as other:
        threading.Timer(0.3, other.kill).start()
        with lock.held(lambda _: None):
            pass


def test_two_at_once_never_overlap(file: Path) -> None:
    inside, most = 0, 0

    def measure() -> None:
        nonlocal inside, most
        with lock.held(lambda _: None):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=measure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_others_can_open_it_whatever_the_umask(file: Path) -> None:
    before = os.umask(0o077)
    try:
        with lock.held(lambda _: None):
            assert file.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


def test_a_place_that_knows_no_locks_is_measured_on_all_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuses)
    inside = False
    with lock.held(lambda _: pytest.fail("nobody holds it")):
        inside = True
    assert inside
    assert file.read_bytes() == b"", "nobody claims to hold what is not locked"


@pytest.mark.parametrize("text", ["", "not json", "{}", '{"pid": "x"}', "[]", "\x00"])
def test_a_file_that_says_nothing_names_nobody(file: Path, text: str) -> None:
    file.write_text(text)
    assert lock.holder(file) == "another process that measures"


def test_the_holder_can_be_read(file: Path) -> None:
    with lock.held(lambda _: None):
        assert f"process {os.getpid()}" in lock.holder(file)


def test_where_nothing_can_be_locked_measuring_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "path", lambda: file / "not" / "there")
    with lock.held(lambda _: pytest.fail("nobody holds it")):
        pass


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    file.symlink_to(tmp_path / "precious")
    with lock.held(lambda _: None):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_an_error_inside_gives_it_back(file: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.held(lambda _: None):
        raise ZeroDivisionError
    with lock.held(lambda _: pytest.fail("it was given back")):
        pass
