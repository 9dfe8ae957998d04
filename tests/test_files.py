"""files.py where the system says no: full disks, read-only folders, interrupts, and writers that race."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from repository import unprivileged

from greengate import files
from greengate.errors import Exit, ReportError

LONG = "x" * 100_000


@pytest.mark.parametrize("name", ["new/folder/f.json", "there.json", "/dev/null"])
def test_what_can_be_written_is_tried_out_without_a_trace(name: str, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("before")
    files.try_out(tmp_path / name)
    assert (tmp_path / "there.json").read_text() == "before"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["there.json"]


@pytest.mark.parametrize("name", ["folder", "file/below.json", "nul\0.json"])
def test_what_cannot_be_written_is_found_before_it_is_made(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot write"):
        files.try_out(tmp_path / name)
    with pytest.raises(ReportError, match="cannot write"):
        files.write_atomic(tmp_path / name, "text")


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file grow beyond 4 kB: what a full disk looks like, without one.

    Not a fixture: pytest reports a test before it takes fixtures down, and its own output may be a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("text", ["", "a\nb\r\n", "ä 漢 \U0001f600", LONG])
def test_text_is_written_as_it_is_and_folders_are_made(tmp_path: Path, text: str) -> None:
    files.write_atomic(tmp_path / "a" / "b" / "out", text)
    assert (tmp_path / "a" / "b" / "out").read_bytes() == text.encode()
    assert left_in(tmp_path) == ["out"]


def test_text_that_is_no_utf8_is_escaped_not_lost(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "out", '"\udcff"')
    assert (tmp_path / "out").read_bytes() == b'"\\udcff"'


def test_an_old_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o640)
    inode = path.stat().st_ino
    files.write_atomic(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_ino != inode


def test_a_new_file_gets_the_mode_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "out", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    files.write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_atomic(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_full_device_is_one_clean_error() -> None:
    with (
        unprivileged(),
        pytest.raises(ReportError, match=r"error\[cannot-write\]: cannot write '/dev/full': No space left on device"),
    ):
        files.write_atomic(Path("/dev/full"), "x")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("old", [None, "old"])
def test_a_disk_that_fills_leaves_the_old_file_and_nothing_else(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "out"
    if old is not None:
        path.write_text(old)
    with small_files(), pytest.raises(ReportError, match=r"cannot-write.*File too large") as caught:
        files.write_atomic(path, LONG)
    assert caught.value.exit is Exit.CANNOT_START
    assert left_in(tmp_path) == ([] if old is None else ["out"])
    assert old is None or path.read_text() == old
    with small_files(), pytest.raises(ReportError, match="cannot-write"):
        files.create_exclusive(tmp_path / "new", LONG)
    assert left_in(tmp_path) == ([] if old is None else ["out"])


def test_a_placethat_forbids_writing() -> None:
    with unprivileged() as place:
        (place / "out").write_text("old")
        place.chmod(0o500)
        for path in (place / "out", place / "deep" / "out"):
            for write in (files.write_atomic, files.create_exclusive):
                with pytest.raises(ReportError, match=r"cannot-write.*Permission denied"):
                    write(path, "new")
        assert (place / "out").read_text() == "old"


@pytest.mark.parametrize("place", ["folder", "file/below", "x" * 300, "nul\0"])
def test_places_no_file_can_be(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ReportError, match="cannot-write"):
        files.write_atomic(tmp_path / place, "new")
    assert left_in(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupt_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    (tmp_path / "out").write_text("old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "out", "new")
    assert left_in(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"


WRITER = """
import sys
from pathlib import Path
from greengate import files
for index in range(10**9):
    files.write_atomic(Path(sys.argv[1]), str(index % 10) * 300_000)
"""


def test_a_reader_never_sees_half_a_file_even_of_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
            while not path.exists():
                assert writer.poll() is None
            for _ in range(100):
                text = path.read_text()
                assert len(text) == 300_000
                assert len(set(text)) == 1
            writer.kill()
        assert len(set(path.read_text())) == 1


def test_a_name_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "0001.json"
    assert files.create_exclusive(path, "first")
    assert not files.create_exclusive(path, "second")
    assert path.read_text() == "first"
    assert left_in(tmp_path) == ["0001.json"]


def test_of_many_writers_one_gets_the_name(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    won: list[int] = []

    def write(number: int) -> None:
        start.wait()
        if files.create_exclusive(tmp_path / "name", str(number)):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number) for number in won] == [(tmp_path / "name").read_text()]
    assert left_in(tmp_path) == ["name"]


def test_a_dangling_link_takes_the_name(tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to("nowhere")
    assert not files.create_exclusive(tmp_path / "name", "x")
    assert not (tmp_path / "nowhere").exists()


def test_digests_match_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom((1 << 20) + 7))
    said = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
    assert files.sha256(path) == said.split()[0]
