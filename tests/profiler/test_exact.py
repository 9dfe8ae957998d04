"""Counting several models at once: order, mistakes, and an interrupt that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from greengate.budget import WorkerLimits
from greengate.errors import Diagnostic, ModelError
from greengate.profile import InputSpec, Measurement, Missing, Profile, WorkloadSpec
from greengate.profiler import exact, isolation, spawn
from greengate.profiler.exact import Subject
from greengate.profiler.hardware import this_machine
from greengate.profiler.jobs import Counted

PROBE = Path(exact.__file__).with_name("probe.onnx")
LIMITS = WorkerLimits()


def fake(folder: Path, name: str, text: str) -> Subject:
    (folder / f"{name}.fake.yaml").write_text(f"fake: 1\n{text}\n")
    return Subject(name, str(folder / f"{name}.fake.yaml"), f"{name}.fake.yaml", WorkloadSpec())


def test_answers_come_in_the_order_of_the_questions_with_mistakes_in_their_place(tmp_path: Path) -> None:
    subjects = [fake(tmp_path, f"m{index}", f"size: {index + 1} kB") for index in range(5)]
    subjects[2] = fake(tmp_path, "bad", "size: 1 parsec")
    found = exact.count_all(subjects, LIMITS, "now")
    assert [one.model.name for one in found if isinstance(one, Profile)] == ["m0", "m1", "m3", "m4"]
    assert isinstance(found[2], ModelError)


def test_the_users_own_words_stand_in_messages(tmp_path: Path) -> None:
    (found,) = exact.count_all([Subject("a", str(tmp_path / "gone.fake.yaml"), "./gone", WorkloadSpec())], LIMITS, "")
    assert isinstance(found, ModelError)
    assert found.diagnostics[0].message == "./gone does not exist"


def test_two_real_models_are_counted_side_by_side() -> None:
    one = Subject("probe", str(PROBE), "probe.onnx", WorkloadSpec())
    first, second = exact.count_all([one, one], LIMITS, "now")
    assert isinstance(first, Profile)
    assert first == second


@pytest.mark.parametrize(("device", "most"), [("cpu", 2), ("cuda:1", 1)])
def test_on_a_board_models_are_counted_one_at_a_time(
    device: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that each fit a board would run out of its memory together."""
    running: list[int] = []
    seen: list[int] = []

    def count(subject: Subject, *_: object) -> Profile:
        running.append(1)
        time.sleep(0.05)
        seen.append(len(running))
        running.pop()
        raise ModelError(Diagnostic("model-missing", "m does not exist", ""))

    monkeypatch.setattr(exact, "count", count)
    one = fake(tmp_path, "m", "size: 1 kB")
    exact.count_all([one, one, one, replace(one, workload=WorkloadSpec(device=device))], LIMITS, "now")
    assert max(seen) == most


def test_a_model_of_no_files_has_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of nothing would be any model's: an approval of one would be one of all."""
    here = SimpleNamespace(run=lambda *_: Counted((), (), "", {}, {}), hardware=this_machine)
    monkeypatch.setattr(exact, "format_of", lambda _: SimpleNamespace(load=lambda: here, name="code"))
    assert exact.count(Subject("m", "own:make", "own:make", WorkloadSpec()), LIMITS, "now").model.digest == ""


def test_an_interrupt_ends_every_worker_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    one = Subject("probe", str(PROBE), "probe.onnx", WorkloadSpec())

    def interrupt() -> None:
        while len(isolation._running) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(spawn, "_BOOT", "import time; time.sleep(120)")
        exact.count_all([one, one, one, one], LIMITS, "now")
    assert time.monotonic() - started < 20  # four sleeps of two minutes were given up
    assert not isolation._running
    assert list(tmp_path.glob("greengate-*")) == []
    (found,) = exact.count_all([one], LIMITS, "now")  # and work can go on
    assert isinstance(found, Profile)


def test_a_baseline_that_cannot_be_fed_is_read() -> None:
    other = WorkloadSpec(inputs=(InputSpec("elsewhere", (1, 3)),))
    strict, lenient = exact.count_all(
        [
            Subject("probe", str(PROBE), "probe.onnx", other),
            Subject("probe", str(PROBE), "probe.onnx", other, None, True),
        ],
        LIMITS,
        "now",
    )
    assert isinstance(strict, ModelError)
    assert strict.diagnostics[0].code == "input-mismatch"
    assert isinstance(lenient, Profile)
    assert lenient.model.files
    assert lenient.workload.feed == ""
    size, macs, latency = (lenient.measurements[name] for name in ("size", "macs", "latency_p50"))
    assert isinstance(size, Measurement)
    assert size.value == PROBE.stat().st_size
    for missing in (macs, latency):
        assert isinstance(missing, Missing)
        assert missing.kind == "incomparable"
        assert "elsewhere" in missing.reason


def test_a_damaged_baseline_is_refused_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(PROBE.read_bytes()[:200])
    (found,) = exact.count_all(
        [Subject("bad", str(tmp_path / "bad.onnx"), "bad", WorkloadSpec(), None, True)], LIMITS, ""
    )
    assert isinstance(found, ModelError)
