"""What a machine drew: never a sum that leaves out what was there and could not be counted."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from greengate.carbon import drawn as module
from greengate.carbon.drawn import Drawn, Watch
from greengate.power import Domain, DomainKind
from greengate.profiler.meters import Absent, Found, Health, Meter, Tick
from greengate.profiler.meters.bench import Energy, discover

sys.path.insert(0, str(Path(__file__).parents[1] / "profiler" / "meters"))
from fakes import Tree

PACKAGE = Domain("package", "cpu", "counter", "", 1e-3)
DRAM = Domain("dram", "dram", "counter", "", 1e-3)
BOARD = Domain("board", "gpu", "counter", "", 1e-3)
MIRROR = Domain("mirror", "cpu", "counter", "", 1e-3)
WALL = Domain("meter", "system", "metered", "", 1e-3)


class Steady:
    """A meter of one domain that draws 100 W by its counter, and tells `watts` as its power."""

    every = 0.01

    def __init__(self, domain: Domain, watts: float | None = None, strict: bool = False, counts: float = 100.0) -> None:
        self.domain, self.strict = domain, strict
        self._watts, self._counts, self._begun = watts, counts, time.monotonic()

    def discover(self) -> Found:
        return Found((self.domain,))

    def read(self, domain: Domain) -> Sequence[Tick]:
        assert domain == self.domain
        return (Tick(time.monotonic_ns(), round(self._counts * 1e3 * (time.monotonic() - self._begun))),)

    def health(self, domain: Domain) -> Health:
        assert domain == self.domain
        return Health(watts=self._watts)

    def close(self) -> None:
        pass


def drawn(*meters: Steady, absent: Sequence[Absent] = (), seconds: float = 0.2) -> Drawn:
    found: list[tuple[Meter, Sequence[Domain]]] = [(meter, (meter.domain,)) for meter in meters]
    watch = Watch(found, absent)
    time.sleep(seconds)
    return watch.stop()


@pytest.mark.parametrize("domain", [PACKAGE, WALL], ids=["counter", "external meter"])
def test_nothing_stands_for_what_runs_on(domain: Domain) -> None:
    watch = Watch([(Steady(domain), (domain,))], [])
    time.sleep(0.2)
    found = watch.stop(["sleep (process 7) still ran"])
    assert (found.parts, found.joules, found.method) == ((), None, None)
    assert found.absent == ("sleep (process 7) still ran",)
    assert [one.id for one in found.domains] == [domain.id], "what was counted is kept"


@pytest.mark.parametrize("kind", [None, "cpu", "dram", "gpu", "system"])
def test_what_is_there_and_absent_leaves_no_sum_and_is_named_first(kind: DomainKind | None) -> None:
    absent = (Absent("AMD", "amdsmi is not installed"), Absent("that", "it cannot be read", kind=kind))
    found = drawn(Steady(PACKAGE), Steady(BOARD), absent=absent)
    if kind is None:
        assert found.joules == pytest.approx(2 * 100 * 0.2, rel=0.5)
        assert found.method == "counter"
        assert found.lost == ()
    else:
        assert found.joules is None
        assert found.method is None
        assert found.lost == ("that: it cannot be read",)
        assert found.absent[0] == "that: it cannot be read"
    assert "AMD: amdsmi is not installed" in found.absent


def test_an_external_meter_has_everything_in_it() -> None:
    found = drawn(Steady(WALL), Steady(PACKAGE), absent=[Absent("GPU 0", "split by MIG", kind="gpu")])
    assert [one.id for one in found.parts] == ["meter"]


@pytest.mark.parametrize(
    ("watts", "strict", "seconds", "why"),
    [
        (100.0, True, 1.2, ""),
        (180.0, True, 1.2, "its power sensor says 180 W"),
        (None, True, 0.3, "cannot be held beside its own power, which was told 0 times"),
        (180.0, False, 0.3, ""),  # of others it is told where they are calibrated
    ],
)
def test_a_strict_counter_is_held_beside_its_power(watts: float | None, strict: bool, seconds: float, why: str) -> None:
    """AMD's: some are too small, and nothing is calibrated before a training."""
    found = drawn(Steady(PACKAGE), Steady(BOARD, watts, strict), seconds=seconds)
    assert (found.joules is None) == bool(why)
    assert all(why in one for one in found.lost)
    assert any(one.id == "board" for one in found.domains) != bool(why)
    assert bool(found.lost) == bool(why)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    zones = {"intel-rapl:0": ("package-0", 5), "intel-rapl:1": ("package-1", 6), "intel-rapl:1:0": ("dram", 7)}
    made = Tree(tmp_path, zones)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path))
    return made


@pytest.mark.parametrize(("shut", "lost"), [("", []), ("intel-rapl:1", ["package-1"]), ("intel-rapl:1:0", ["dram-1"])])
def test_a_second_package_that_cannot_be_read_leaves_no_sum(shut: str, lost: list[str], tree: Tree) -> None:
    moving = {"intel-rapl:0": 60.0, "intel-rapl:1": 50.0, "intel-rapl:1:0": 5.0}
    if shut:
        del moving[shut]
        (tree.root / shut / "energy_uj").write_text("many\n")
    thread = tree.run(moving)
    try:
        watch = Watch(*discover(Energy()))
        time.sleep(0.5)
        found = watch.stop()
    finally:
        tree.stop()
        thread.join()
    assert (found.joules is None) == bool(lost)
    assert [one.split(":")[0] for one in found.lost] == lost


class Halting(Steady):
    """A counter that says what it said at another moment, and one that nobody can read for a while."""

    def __init__(self, at: Callable[[float], float], domain: Domain = PACKAGE) -> None:
        super().__init__(domain)
        self._at = at

    def read(self, domain: Domain) -> Sequence[Tick]:
        assert domain == self.domain
        seconds = time.monotonic() - self._begun
        if self._at(seconds) < 0:
            time.sleep(-self._at(seconds))
        return (Tick(time.monotonic_ns(), round(1e5 * abs(self._at(time.monotonic() - self._begun)))),)


@pytest.mark.parametrize(
    ("at", "stands"),
    [
        (lambda t: min(t, 0.2), "1"),  # frozen to the end
        (lambda t: t if t < 0.2 else max(0.2, t - 0.8), "1"),  # and in the middle
        (lambda t: t, ""),
        (lambda t: t // 0.3 * 0.3 + 0.1, ""),  # one that ticks seldom
        (lambda t: -0.7 if 0.2 < t < 0.3 else t, ""),  # a reader that was held up
    ],
)
def test_a_counter_that_stands_still_for_long_is_lost(
    at: Callable[[float], float], stands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in a tenth of the time that it really takes."""
    monkeypatch.setattr(module, "_PAUSE", 0.02)
    monkeypatch.setattr(module, "_LEAST", 0.2)
    monkeypatch.setattr(module, "_STILL", 0.5)
    monkeypatch.setattr(module, "_TIMES", 5)
    found = drawn(Halting(at), seconds=1.2)
    assert (found.joules is None) == bool(stands)
    assert [re.sub(r"[\d.]+ s", "? s", one) for one in found.lost] == (
        ["package: it stood still for ? s, what was drawn in them is not counted"] if stands else []
    )


def test_of_a_short_run_half_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.02)
    monkeypatch.setattr(module, "_LEAST", 0.2)
    assert drawn(Halting(lambda t: min(t, 0.2)), seconds=0.9).joules is None
    assert drawn(Halting(lambda t: min(t, 0.8)), seconds=0.9).joules is not None


def test_how_long_a_counter_may_stand_still() -> None:
    """10 s, which no counter does that is well; 50 times its own tick; half of a short run, from 2 s on."""
    assert (module._STILL, module._TIMES, module._LEAST) == (10.0, 50, 2.0)


NOT_THERE = "it was not there, or not to be read, when this began"


@pytest.mark.parametrize(
    ("meters", "absent", "lost"),
    [
        ((PACKAGE,), (), []),
        ((), (), []),  # what is gone is told by its own last read
        ((PACKAGE, BOARD), (), [f"board: {NOT_THERE}"]),
        (
            (PACKAGE,),
            (Absent("GPU 1", "it is split", kind="gpu"),),
            ["GPU 1: it is split, which it was not when this began"],
        ),
        (
            (),
            (Absent("package", "it is split", kind="gpu"),),
            ["package: it is split, which it was not when this began"],
        ),
        (
            (PACKAGE,),
            (Absent("mirror", "it is shut", kind="cpu"),),
            ["mirror: it is shut, which it was not when this began"],
        ),
        ((PACKAGE,), (Absent("AMD", "not installed"),), []),
        ((PACKAGE, DRAM), (), [f"dram: {NOT_THERE}"]),
        ((PACKAGE, MIRROR), (), []),  # two looks can take a mirror for one, and not
    ],
)
def test_what_comes_meanwhile_is_lost(meters: tuple[Domain, ...], absent: tuple[Absent, ...], lost: list[str]) -> None:
    closed: list[Domain] = []

    class Seen(Steady):
        def close(self) -> None:
            closed.append(self.domain)

    def again() -> module.Discovered:
        return [(Seen(domain), (domain,)) for domain in meters], absent

    watch = Watch([(Steady(PACKAGE), (PACKAGE,))], [Absent("mirror", "it mirrors package")], again)
    time.sleep(0.3)
    found = watch.stop()
    assert list(found.lost) == lost
    assert (found.joules is None) == bool(lost)
    assert closed == list(meters), "drivers are let go of"


def test_where_a_model_stands_for_the_processor_a_package_that_comes_is_part_of_it() -> None:
    model = Domain("cpu-time", "cpu", "estimated", "", 1e-3)
    shut = Absent("package-1", "it cannot be read", kind="cpu")
    watch = Watch([(Steady(model), (model,))], [], lambda: ([(Steady(PACKAGE), (PACKAGE, BOARD))], [shut]))
    time.sleep(0.3)
    assert watch.stop().lost == (f"board: {NOT_THERE}",)
