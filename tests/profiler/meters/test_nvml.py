"""nvidia-ml-py, the real one, talking to a library whose truth is known."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest

from greengate.power import Domain
from greengate.profiler.meters import Found, MeterError
from greengate.profiler.meters.nvml import Nvml
from greengate.profiler.meters.recorder import Recorder

pytestmark = pytest.mark.system("gcc")


@pytest.fixture
def meter(board: pytest.MonkeyPatch) -> Iterator[Nvml]:
    made = Nvml()
    yield made
    made.close()


def recorded(meter: Nvml, seconds: float) -> tuple[Recorder, Domain, float]:
    """Follow the first board for a while; return what its watts were, from tick to tick."""
    (domain,) = meter.discover().domains
    recorder = Recorder([(meter, (domain,))])
    recorder.start()
    start = time.monotonic_ns()
    time.sleep(seconds)
    end = time.monotonic_ns()
    recorder.stop()
    reading = recorder.readings(start, end)[domain.id]
    return recorder, domain, reading.counts * domain.joules / (reading.ns * 1e-9)


def test_a_board_is_named_by_its_uuid(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_DEVICES", "2")
    found = meter.discover()
    assert [one.id for one in found.domains] == ["nvml:GPU-fake-1", "nvml:GPU-fake-2"]
    assert {(one.kind, one.method, one.joules) for one in found.domains} == {("gpu", "counter", 1e-3)}


def test_from_tick_to_tick_watts_are_within_a_thousandth(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_WATTS", "321")
    tries = (recorded(meter, 2.03)[2] for _ in range(4))
    assert any(watts == pytest.approx(321, rel=0.001) for watts in tries), "a busy machine may take a second try"


def test_without_a_counter_the_instant_power_is_integrated_and_named_so(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_NO_COUNTER", "1")
    board.setenv("FAKE_NVML_WATTS", "150")
    _, domain, watts = recorded(meter, 0.4)
    assert domain.method == "integrated"
    assert "at the instant" in domain.about
    assert watts == pytest.approx(150, rel=0.001)


def test_the_average_power_is_the_last_resort(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_NO_COUNTER", "1")
    board.setenv("FAKE_NVML_NO_INSTANT", "1")
    (domain,) = meter.discover().domains
    assert "averaged over a second" in domain.about
    board.setenv("FAKE_NVML_NO_POWER", "1")
    found = meter.discover()
    assert found.domains == ()
    assert "neither an energy counter nor a power sensor" in found.absent[0].reason
    assert found.absent[0].kind == "gpu", "it draws all the same"


def test_an_average_tells_of_its_window_alone(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    """A second and a half high, as long low: what the first second of the low half says is half of the high one's."""
    board.setenv("FAKE_NVML_NO_COUNTER", "1")
    board.setenv("FAKE_NVML_NO_INSTANT", "1")
    board.setenv("FAKE_NVML_MEAN_MS", "1000")
    board.setenv("FAKE_NVML_WAVE_MS", "3000")
    (domain,) = meter.discover().domains
    assert domain.span == 1.0
    recorder = Recorder([(meter, (domain,))])
    recorder.start()
    period, half = 3 * 10**9, 15 * 10**8
    start = (time.monotonic_ns() // period + 1) * period + half
    time.sleep((start + half - time.monotonic_ns()) * 1e-9)
    recorder.stop()
    reading = recorder.readings(start, start + half)[domain.id]
    assert reading.counts * domain.joules / (reading.ns * 1e-9) == pytest.approx(50, rel=0.02)
    assert reading.ns == pytest.approx(half - 10**9, rel=0.2)


def test_a_board_in_mig_mode_is_refused(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_MIG", "1")
    found = meter.discover()
    assert found.domains == ()
    assert "split by MIG" in found.absent[0].reason
    assert "nvidia-smi -i GPU-fake-1 -mig 0" in found.absent[0].help
    assert found.absent[0].kind == "gpu"


def test_a_board_that_is_not_opened_is_there(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_SHUT", "1")
    (absent,) = meter.discover().absent
    assert "does not open it" in absent.reason
    assert absent.kind == "gpu"


def test_a_board_whose_name_cannot_be_told_is_there(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    import pynvml

    def raises(_: object) -> str:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    board.setattr(pynvml, "nvmlDeviceGetName", raises)
    (absent,) = meter.discover().absent
    assert "the driver does not open it: 'utf-8' codec" in absent.reason
    assert absent.kind == "gpu"


def test_health_tells_what_the_board_tells(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_PROCESSES", "3")
    board.setenv("FAKE_NVML_THROTTLE", str(0x20 | 0x4))
    board.setenv("FAKE_NVML_DEGREES", "77")
    board.setenv("FAKE_NVML_GAIN", "1.1")
    (domain,) = meter.discover().domains
    health = meter.health(domain)
    assert (health.temperature, health.processes, health.mig, health.limit) == (77.0, 3, False, 700.0)
    assert health.throttled == ("heat",), "a power cap is the steady state of a large board"
    assert health.watts == pytest.approx(220, rel=0.01)


def test_processes_that_are_not_told_are_not_none_of_them(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    import pynvml

    def refuses(_: object) -> list[object]:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    (domain,) = meter.discover().domains
    assert meter.health(domain).processes == 0
    board.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", refuses)
    assert meter.health(domain).processes is None


@pytest.mark.parametrize("knob", ["FAKE_NVML_NO_INSTANT", "FAKE_NVML_NO_POWER"])
def test_power_is_told_by_either_sensor(knob: str, board: pytest.MonkeyPatch, meter: Nvml) -> None:
    """An older driver knows the average alone; a board that supports neither question tells no watts."""
    board.setenv(knob, "1")
    (domain,) = meter.discover().domains
    watts = meter.health(domain).watts
    assert watts == (pytest.approx(200, rel=0.01) if knob == "FAKE_NVML_NO_INSTANT" else None)


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (0x8, ("a hardware slowdown",)),
        (0x20, ("heat",)),
        (0x40, ("heat, by hardware",)),
        (0x80, ("the power brake",)),
        (0x60, ("heat", "heat, by hardware")),
        (0x1 | 0x2 | 0x4 | 0x10 | 0x100, ()),  # idle, clocks as set, a power cap, in step with others, a display
    ],
)
def test_only_what_spoils_a_measurement_is_throttling(
    bits: int, said: tuple[str, ...], board: pytest.MonkeyPatch, meter: Nvml
) -> None:
    board.setenv("FAKE_NVML_THROTTLE", str(bits))
    (domain,) = meter.discover().domains
    assert meter.health(domain).throttled == said


@pytest.mark.parametrize(
    ("code", "says"), [(9, "driver is not loaded"), (12, "not installed"), (999, "does not start")]
)
def test_a_driver_that_does_not_start_is_absent(code: int, says: str, board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_INIT", str(code))
    found = meter.discover()
    assert found.domains == ()
    assert says in found.absent[0].reason
    assert found.absent[0].help


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("lacking", ["package", "driver", "board"])
def test_boards_that_the_kernel_lists_draw_though_nobody_may_ask_them(
    lacking: str, there: bool, board: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if there:
        (tmp_path / "0000:01:00.0").mkdir()
    if lacking == "package":
        board.setitem(sys.modules, "pynvml", None)
    board.setenv("FAKE_NVML_INIT", "12" if lacking == "driver" else "0")
    board.setenv("FAKE_NVML_DEVICES", "0")
    (absent,) = Nvml(tmp_path).discover().absent
    assert absent.what == "NVIDIA"
    assert absent.kind == ("gpu" if there else None)


def test_no_board_is_absent(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    board.setenv("FAKE_NVML_DEVICES", "0")
    assert "finds no GPU" in meter.discover().absent[0].reason


def test_a_closed_meter_cannot_be_read(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    (domain,) = meter.discover().domains
    meter.close()
    with pytest.raises(MeterError, match="closed"):
        meter.read(domain)
    meter.close()


def in_a_process(code: str, path: str) -> str:
    script = f"import sys; sys.path.insert(0, {path!r})\n" + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


_SAY = """
from greengate.profiler.meters.nvml import Nvml
print(Nvml().discover().absent[0].reason)
"""


def test_without_the_driver_the_library_is_missing(tmp_path: object) -> None:
    assert "libnvidia-ml.so.1 is not installed" in in_a_process(_SAY, str(tmp_path))


def test_another_pynvml_in_the_way_is_named(tmp_path: object) -> None:
    from pathlib import Path

    Path(str(tmp_path), "pynvml.py").write_text("nvmlInit = print\n")
    assert "stands in the way" in in_a_process(_SAY, str(tmp_path))


def test_without_nvidia_ml_py_the_extra_is_named(tmp_path: object) -> None:
    code = "sys.modules['pynvml'] = None\n" + _SAY
    assert in_a_process(code, str(tmp_path)) == "nvidia-ml-py is not installed"


def test_a_sensor_that_looks_a_quarter_of_the_time_is_blind_to_phase(board: pytest.MonkeyPatch, meter: Nvml) -> None:
    """What no window cures: a load in step with a part-time sensor. The meter reads what the counter says."""
    board.setenv("FAKE_NVML_DUTY", "0.25")
    board.setenv("FAKE_NVML_WAVE_MS", "100")
    board.setenv("FAKE_NVML_WATTS", "200")
    _, _, watts = recorded(meter, 0.7)
    truth = (200 + 50) / 2
    assert abs(watts / truth - 1) > 0.2


def test_the_stand_in_is_compiled_without_a_warning() -> None:
    assert fakes.library().exists()


def test_discover_never_raises() -> None:
    assert isinstance(Nvml().discover(), Found)
