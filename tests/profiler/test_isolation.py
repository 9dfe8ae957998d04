"""Workers as real processes: what they may see, how they may end, and what is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from greengate.budget import WorkerLimits
from greengate.profile import WorkloadSpec
from greengate.profiler import isolation, spawn
from greengate.profiler.hearing import Heard, answer_of
from greengate.profiler.jobs import CountJob, FootprintJob, Refused, Sampled, WorkerFailed

HERE = Path(__file__).parent


def do(deed: str, timeout: float = 30.0, memory: float | None = None) -> Sampled:
    return isolation.run("misbehaving", FootprintJob(deed, WorkloadSpec(), 0), WorkerLimits(timeout, memory))


def looked(word: str, **kept: float) -> list[str]:
    return [note.partition(" ")[2] for note in do("look", **kept).notes if note.startswith(f"{word} ")]


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("segfault", "the worker crashed with SIGSEGV while doing segfault"),
        ("kill:6", "the worker crashed with SIGABRT while doing kill; its last words: 'a last cry'"),
        ("kill:9", "the worker was killed by SIGKILL while doing kill; most often the system had run out of memory"),
        ("exit:3", "the worker ended with exit code 3 and no answer while doing exit"),
        ("exit:0", "the worker ended with exit code 0 and no answer while doing exit"),
        ("raise", "the worker failed while doing raise: ZeroDivisionError: first line"),
        ("nonsense", "the worker failed while doing nonsense: CodecError: $: cannot encode object"),
        ("fail", "the candidate fell over"),
        ("garble:hello\n", "the worker's answer cannot be read while doing garble"),
        ('garble:{"answer": 7}\n', "the worker's answer cannot be read: $: expected an object"),
        ('garble:{"refused": {"code": "made-up", "message": "", "help": ""}}\n', "the worker's answer cannot be read"),
        ("close", "the worker closed its answer pipe and went on while doing close"),
    ],
)
def test_every_way_of_failing_has_its_words(deed: str, reason: str) -> None:
    with pytest.raises(WorkerFailed) as failed:
        do(deed)
    assert failed.value.reason.startswith(reason)


def test_a_refusal_crosses_the_border_whole() -> None:
    with pytest.raises(Refused) as refused:
        do("refuse:model-empty")
    assert (refused.value.code, refused.value.message, refused.value.help) == (
        "model-empty",
        "it does not fit",
        "bend it",
    )


def test_a_hanging_worker_is_ended_in_time_with_all_it_started(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(WorkerFailed, match=r"did not answer within 1 s while doing hang") as failed:
        do(f"hang:{tmp_path / 'pids'}", timeout=1)
    assert time.monotonic() - started < 5
    assert "timeout" in failed.value.help
    for pid in (tmp_path / "pids").read_text().split():
        assert gone(int(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only the process group is ended there")
@pytest.mark.parametrize(
    ("then", "reason"),
    [("", ""), ("hang:", "did not answer"), ("segfault", "SIGSEGV"), ("exit:0", "exit code 0"), ("raise", "Zero")],
)
def test_what_left_a_worker_for_a_session_of_its_own_ends_with_it(tmp_path: Path, then: str, reason: str) -> None:
    deed = f"leave:{tmp_path / 'pid'}:{then}"
    if reason:
        with pytest.raises(WorkerFailed, match=reason):
            do(deed, timeout=5)
    else:
        assert do(deed).notes == ("left",)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_child_that_keeps_the_answer_pipe_open_loses_no_answer(tmp_path: Path) -> None:
    """Forked by the model's code, as loaders of data are: the pipe has no end before the child has."""
    pids = tmp_path / "pids"
    started = time.monotonic()
    assert do(f"fork:{pids}", timeout=20).notes == ("forked",)
    assert time.monotonic() - started < 10
    for pid in pids.read_text().split():
        assert gone(int(pid))


@pytest.mark.parametrize(
    ("deed", "reason"),
    [("exit:3", "the worker ended with exit code 3"), ("segfault", "the worker crashed with SIGSEGV")],
)
def test_a_child_that_outlives_a_dying_worker_hides_nothing(tmp_path: Path, deed: str, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(WorkerFailed, match=reason):
        do(f"fork:{tmp_path / 'pids'}:{deed}", timeout=20)
    assert time.monotonic() - started < 10
    for pid in (tmp_path / "pids").read_text().split():
        assert gone(int(pid))


def test_a_worker_that_has_answered_and_does_not_end_has_answered() -> None:
    assert do("linger", timeout=1.5).notes == ("lingered",)


def test_memory_has_a_limit() -> None:
    with pytest.raises(WorkerFailed, match=r"ran out of memory while doing eat \(its limit is 300 MB\)") as failed:
        do("eat", memory=300e6)
    assert "memory" in failed.value.help


def test_without_a_limit_four_fifths_of_the_machine_are_free() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < int(looked("memory")[0]) <= machine * 4 // 5
    assert looked("memory", memory=1e9) == ["1000000000"]
    assert looked("core") == ["0"]


def test_much_output_neither_blocks_nor_spoils_the_answer() -> None:
    assert do("shout").notes == ("shouted",)


def test_only_the_end_of_the_output_is_kept() -> None:
    heard = Heard()
    for _ in range(100):
        isolation._keep(heard, b"x" * 10_000, is_answer=False)
    isolation._keep(heard, b"the end", is_answer=False)
    assert len(heard.log) == isolation._LOG_KEPT
    assert heard.log.endswith(b"the end")


def test_an_import_that_fails_for_want_of_memory_says_so_in_its_log_only() -> None:
    died = bytearray(b'{"died": {"kind": "ImportError", "text": "import numpy failed"}}\n')
    job, limits = CountJob("m", WorkloadSpec()), WorkerLimits(memory=1e8)
    for log, words in (
        (b"x.so: failed to map segment from shared object\n", "ran out of memory"),
        (b"", "import numpy"),
    ):
        with pytest.raises(WorkerFailed, match=words):
            answer_of(Heard(died, bytearray(log)), job, limits)


def test_secrets_stay_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "CI_JOB_TOKEN",
        "LD_PRELOAD_NOTE",
        "PYTHONPATH",
        "PIP_INDEX_URL",
        "VALGRIND_LIB",
    ):
        monkeypatch.setenv(name, "secret-7c1")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    seen = dict(line.split("=", 1) for line in looked("env"))
    assert not [name for name, text in seen.items() if "secret-7c1" in text]
    assert seen["ORT_DISABLE_TELEMETRY"] == "1"
    assert seen["OMP_NUM_THREADS"] == seen["OPENBLAS_NUM_THREADS"] == "1"
    assert seen["LC_ALL"] == "C.UTF-8"
    assert set(seen) <= spawn._ALLOWED | set(spawn._FIXED) | {"TMPDIR", "LC_ALL", "LC_CTYPE"}


def test_a_worker_numbers_boards_as_its_parent_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA puts the fastest board first unless it is told to go by the bus: `cuda:1` would be another one there."""
    told = {"CUDA_VISIBLE_DEVICES": "2,0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    for name, text in told.items():
        monkeypatch.setenv(name, text)
    seen = dict(line.split("=", 1) for line in looked("env"))
    assert {name: seen.get(name) for name in told} == told


def test_the_kernel_too_shows_no_secret_in_a_live_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment a process was started with, as /proc tells it to anybody of the same user."""
    monkeypatch.setenv("GITHUB_TOKEN", "secret-7c1")
    pids = tmp_path / "pids"

    def hang() -> None:
        with pytest.raises(WorkerFailed):
            do(f"hang:{pids}", timeout=1.5)

    thread = threading.Thread(target=hang)
    thread.start()
    worker = wait_for(pids).split()[0]
    environ = Path(f"/proc/{worker}/environ").read_bytes()
    thread.join()
    assert b"ORT_DISABLE_TELEMETRY=1" in environ
    assert b"secret-7c1" not in environ


def test_a_worker_has_a_folder_of_its_own_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cwd = looked("cwd")[0]
    assert Path(cwd).parent == tmp_path
    for deed in ("segfault", "raise", "refuse:model-empty"):
        with pytest.raises((WorkerFailed, Refused)):
            do(deed)
    assert list(tmp_path.iterdir()) == []
    assert looked("session") == ["True"]


def test_files_in_the_current_folder_shadow_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "greengate", "onnxruntime"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    for entry in ("", str(tmp_path)):
        monkeypatch.setattr(sys, "path", [entry, *sys.path])
        assert str(tmp_path) not in looked("path")


def test_greengate_is_found_where_the_parent_found_it(tmp_path: Path) -> None:
    """Not installed, only on the path of the parent, which stands elsewhere."""
    root = Path(isolation.__file__).parents[2]
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from greengate.profiler import isolation\nfrom greengate.profiler.jobs import *\n"
        "from greengate.profile import WorkloadSpec\nfrom greengate.budget import WorkerLimits\n"
        "print(len(isolation.run('misbehaving', FootprintJob('look', WorkloadSpec(), 0), WorkerLimits()).notes) > 9)"
    )
    command = [sys.executable, "-I", "-c", code, str(root), str(HERE)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "True\n"


def test_starting_imports_no_runtime_and_no_interface() -> None:
    loaded = set(looked("module"))
    assert "greengate" in loaded
    assert not loaded & {"numpy", "onnx", "onnxruntime", "click", "rich", "yaml", "jinja2", "subprocess"}


def test_the_parent_side_imports_no_runtime() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\nimport greengate.profiler.backends.onnx as onnx_backend\n"
        "onnx_backend.hardware()\nprint(sorted({'numpy', 'onnx', 'onnxruntime', 'google'} & set(sys.modules)))"
    )
    root = str(Path(isolation.__file__).parents[2])
    ran = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "[]\n"


PARENT = """
import sys
sys.path[:0] = sys.argv[2:]
from greengate.profiler import isolation, spawn
from greengate.profiler.hearing import Heard, answer_of
from greengate.profiler.jobs import FootprintJob
from greengate.profile import WorkloadSpec
from greengate.budget import WorkerLimits
isolation.run('misbehaving', FootprintJob('hang:' + sys.argv[1], WorkloadSpec(), 0), WorkerLimits(40))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    pids, scratch = tmp_path / "pids", tmp_path / "scratch"
    scratch.mkdir()
    root = Path(isolation.__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(pids), str(root), str(HERE)],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    worker, grandchild = map(int, wait_for(pids).split())
    parent.send_signal(number)
    _, words = parent.communicate(timeout=10)
    assert gone(worker)
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in words
        assert gone(grandchild)
        assert list(scratch.iterdir()) == []
    else:
        os.kill(grandchild, signal.SIGKILL)  # only the worker itself is bound to the parent


def test_the_network_is_off() -> None:
    if not namespaces_allowed():
        pytest.skip("absent here: network namespaces (the system forbids unshare)")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        assert do(f"connect:{port}").notes[0].startswith("no connection")


def namespaces_allowed() -> bool:
    code = "import ctypes, sys; u = ctypes.CDLL(None).unshare; sys.exit(u(0x40000000) and u(0x50000000))"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)
    return path.read_text()


def gone(pid: int) -> bool:
    """Tell whether a process ends within 3 seconds; a zombie nobody waits for counts as ended."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


# --- a board: address space cannot be limited, so what is held is watched ----------------------------


def on_a_board(deed: str, memory: float) -> Sampled:
    spec = WorkloadSpec(device="cuda")
    return isolation.run("misbehaving", FootprintJob(deed, spec, 0), WorkerLimits(30.0, memory))


def test_what_a_worker_holds_on_a_board_is_watched_and_it_is_ended() -> None:
    with pytest.raises(WorkerFailed, match=r"ran out of memory while doing eat \(it may hold 300 MB\)") as failed:
        on_a_board("eat", 300e6)
    assert failed.value.out_of_memory
    assert "worker: {memory" in failed.value.help


def test_address_space_that_is_not_used_is_free_on_a_board_only() -> None:
    """CUDA maps the memory of all boards and more."""
    on_a_board("map:2000000000", 300e6)
    with pytest.raises(WorkerFailed, match="ran out of memory"):
        do("map:2000000000", memory=300e6)


@pytest.mark.parametrize("most", [None, 16e9])
def test_the_worker_knows_what_it_may_hold_on_the_board(most: float | None) -> None:
    job = FootprintJob("gpu_memory", WorkloadSpec(device="cuda"), 0)
    told = isolation.run("misbehaving", job, WorkerLimits(30.0, gpu_memory=most))
    assert told.notes == (str(None if most is None else 16_000_000_000),)


def test_the_memory_of_a_process_that_is_gone_is_none() -> None:
    assert isolation.resident(os.getpid()) > 1e6
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert isolation.resident(gone.pid) == 0
