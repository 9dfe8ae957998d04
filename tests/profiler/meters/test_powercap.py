from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import SERVER, Tree

from greengate.power import Domain
from greengate.profiler.meters import Found, MeterError
from greengate.profiler.meters import powercap as module
from greengate.profiler.meters.powercap import Powercap
from greengate.profiler.meters.recorder import Recorder


def names(found: Found) -> set[str]:
    return {domain.id.removeprefix("powercap:") for domain in found.domains}


def reasons(found: Found) -> dict[str, str]:
    return {one.what.removeprefix("powercap:"): one.reason for one in found.absent}


def test_a_server_is_its_package_and_its_memory(tmp_path: Path) -> None:
    Tree(tmp_path, SERVER)
    found = Powercap(tmp_path).discover()
    assert names(found) == {"package-0", "dram-0"}
    assert {domain.kind for domain in found.domains} == {"cpu", "dram"}
    said = reasons(found)
    assert "contains the packages" in said["psys"]
    assert "part of its package" in said["core"]


def test_the_nested_tree_of_sys_devices_says_the_same(tmp_path: Path) -> None:
    nested = {
        "intel-rapl/intel-rapl:0": ("package-0", 5),
        "intel-rapl/intel-rapl:0/intel-rapl:0:0": ("uncore", 3),
        "intel-rapl/intel-rapl:0/intel-rapl:0:1": ("dram", 4),
        "intel-rapl/intel-rapl:1": ("package-1", 6),
        "intel-rapl/intel-rapl:1/intel-rapl:1:0": ("dram", 7),
    }
    tree = Tree(tmp_path / "devices", nested)
    assert names(Powercap(tree.root).discover()) == {"package-0", "package-1", "dram-0", "dram-1"}
    # As /sys/class/powercap shows it: links to every zone, in one folder.
    flat = tmp_path / "class"
    flat.mkdir()
    for folder in nested:
        (flat / Path(folder).name).symlink_to(tree.root / folder)
    assert names(Powercap(flat).discover()) == {"package-0", "package-1", "dram-0", "dram-1"}


def test_a_package_shown_by_msr_and_by_mmio_is_one(tmp_path: Path) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 5), "intel-rapl-mmio:0": ("package-0", 8)})
    found = Powercap(tmp_path).discover()
    assert names(found) == {"package-0"}
    assert any("second time" in one.reason for one in found.absent)


def test_dies_that_mirror_one_counter_are_one(tmp_path: Path) -> None:
    zones = {f"intel-rapl:{die}": (f"package-0-die-{die}", 777_000) for die in range(4)}
    tree = Tree(tmp_path, zones)
    for die in range(1, 4):
        shown = tmp_path / f"intel-rapl:{die}" / "energy_uj"
        shown.unlink()
        shown.symlink_to(tmp_path / "intel-rapl:0" / "energy_uj")
    tree.run({"intel-rapl:0": 50.0})
    try:
        found = Powercap(tmp_path).discover()
    finally:
        tree.stop()
    assert len(found.domains) == 1
    assert sum("it mirrors powercap:package-0-die-" in one.reason for one in found.absent) == 3


def test_dies_of_their_own_are_all_counted(tmp_path: Path) -> None:
    Tree(tmp_path, {f"intel-rapl:{die}": (f"package-0-die-{die}", 777_000 + die) for die in range(2)})
    assert len(Powercap(tmp_path).discover().domains) == 2


def test_counters_at_zero_are_no_mirrors(tmp_path: Path) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 0), "intel-rapl:1": ("package-1", 0)})
    assert len(Powercap(tmp_path).discover().domains) == 2


def refusing(code: int) -> Callable[[Path], str]:
    """A reader as an ordinary user has it: tests run as root, for whom no file is closed."""

    def content(path: Path) -> str:
        if path.name == "energy_uj":
            raise OSError(code, "Permission denied" if code == errno.EACCES else "No data available", str(path))
        return path.read_text().strip()

    return content


def test_what_only_root_may_read_says_so_and_how_to_open_it(tmp_path: Path) -> None:
    Tree(tmp_path, SERVER)
    found = Powercap(tmp_path, refusing(errno.EACCES)).discover()
    assert found.domains == ()
    (package,) = [one for one in found.absent if one.what == "package-0"]
    assert "Permission denied" in package.reason
    assert "on the host `sudo chmod a+r /sys/class/powercap/*/energy_uj`" in package.help


def test_at_home_the_command_is_for_this_machine() -> None:
    said = module._readable(Path(module.ROOT), PermissionError(errno.EACCES, "Permission denied"))
    assert "only root may read it: `sudo chmod a+r /sys/class/powercap/*/energy_uj` until" in said


def test_a_zone_without_data_is_not_blamed_on_permissions(tmp_path: Path) -> None:
    Tree(tmp_path, SERVER)
    found = Powercap(tmp_path, refusing(errno.ENODATA)).discover()
    (package,) = [one for one in found.absent if one.what == "package-0"]
    assert "No data available" in package.reason
    assert package.help == ""


def test_a_counter_that_is_no_number_is_absent(tmp_path: Path) -> None:
    tree = Tree(tmp_path, SERVER)
    (tree.root / "intel-rapl:0" / "energy_uj").write_text("many\n")
    found = Powercap(tmp_path).discover()
    assert names(found) == {"dram-0"}
    assert "package-0" in reasons(found)


@pytest.mark.parametrize(("shut", "kind"), [("intel-rapl:1", "cpu"), ("intel-rapl:1:0", "dram")])
def test_a_zone_that_cannot_be_read_draws_all_the_same(shut: str, kind: str, tmp_path: Path) -> None:
    zones = {"intel-rapl:0": ("package-0", 5), "intel-rapl:1": ("package-1", 6), "intel-rapl:1:0": ("dram", 7)}
    tree = Tree(tmp_path, zones)
    (tree.root / shut / "energy_uj").write_text("many\n")
    (absent,) = Powercap(tmp_path).discover().absent
    assert absent.kind == kind


@pytest.mark.parametrize("shut", ["intel-rapl:0", "intel-rapl-mmio:0"])
def test_a_package_that_is_counted_lacks_nothing_where_its_twin_cannot_be_read(shut: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path, {"intel-rapl:0": ("package-0", 5), "intel-rapl-mmio:0": ("package-0", 8)})
    (tree.root / shut / "energy_uj").write_text("many\n")
    found = Powercap(tmp_path).discover()
    assert names(found) == {"package-0"}
    assert [one.kind for one in found.absent] == [None]


@pytest.mark.parametrize("lacks", ["energy_uj", "name"])
@pytest.mark.parametrize(("zone", "kind"), [("intel-rapl:1", "cpu"), ("intel-rapl:1:0", "dram")])
def test_a_zone_that_does_not_show_all_of_itself_draws_all_the_same(
    lacks: str, zone: str, kind: str, tmp_path: Path
) -> None:
    zones = {"intel-rapl:0": ("package-0", 5), "intel-rapl:1": ("package-1", 6), "intel-rapl:1:0": ("dram", 7)}
    Tree(tmp_path, zones)
    (tmp_path / zone / lacks).unlink()
    found = Powercap(tmp_path).discover()
    (absent,) = found.absent
    assert absent.kind == kind
    assert absent.what == (zone if lacks == "name" else f"{'package' if kind == 'cpu' else 'dram'}-1")
    assert "cannot be read" in absent.reason
    assert names(found) == {"package-0", "package-1", "dram-1"} - {"package-1" if kind == "cpu" else "dram-1"}


def test_a_zone_of_another_kind_that_shows_no_energy_is_none(tmp_path: Path) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 5), "dtpm:0": ("soc", 1), "dtpm:0:0": ("cpu0-cpufreq", 2)})
    (tmp_path / "dtpm:0:0" / "energy_uj").unlink()
    (tmp_path / "dtpm:1").mkdir()
    assert [(one.what, one.kind) for one in Powercap(tmp_path).discover().absent] == [("soc", None)]


@pytest.mark.parametrize("method", ["exists", "is_dir"])
def test_what_may_not_be_looked_at_hides_nothing_beside_it(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tree(tmp_path, {f"intel-rapl:{k}": (f"package-{k}", k + 1) for k in range(3)})
    shut, asked = tmp_path / "intel-rapl:1", getattr(Path, method)

    def refused(path: Path) -> bool:
        if shut in (path, path.parent):
            raise PermissionError(errno.EACCES, "Permission denied")
        return bool(asked(path))

    def content(path: Path) -> str:
        if shut == path.parent:
            raise PermissionError(errno.EACCES, "Permission denied")
        return path.read_text().strip()

    monkeypatch.setattr(Path, method, refused)
    found = Powercap(tmp_path, content).discover()
    assert names(found) == {"package-0", "package-2"}
    assert [(one.what, one.kind) for one in found.absent] == [("intel-rapl:1", "cpu")]


def test_two_zones_of_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    """By MSR and by MMIO one package is shown twice; twice by MSR there are two, and which is which nobody knows."""
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 5), "intel-rapl:1": ("package-0", 600)})
    (absent,) = Powercap(tmp_path).discover().absent
    assert absent.kind == "cpu"
    assert "has the same name" in absent.reason


def test_what_is_inside_of_a_package_or_around_it_leaves_nothing_out(tmp_path: Path) -> None:
    Tree(tmp_path, SERVER)
    assert {one.what: one.kind for one in Powercap(tmp_path).discover().absent} == {"psys": None, "core": None}


def test_a_missing_range_means_that_no_wrap_can_be_undone(tmp_path: Path) -> None:
    tree = Tree(tmp_path, SERVER)
    (tree.root / "intel-rapl:0" / "max_energy_range_uj").unlink()
    assert {domain.range for domain in Powercap(tmp_path).discover().domains} == {0, tree.wraps}


@pytest.mark.parametrize(
    ("container", "cpuinfo", "says"),
    [
        (True, "", "GREENGATE_POWERCAP=/powercap"),
        (False, "flags : fpu hypervisor sse\n", "virtual machine"),
        (False, "flags : fpu sse\n", "modprobe intel_rapl_msr"),
    ],
)
def test_no_powercap_is_explained(
    container: bool, cpuinfo: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_in_container", lambda: container)
    monkeypatch.setattr(module, "_cpuinfo", lambda: cpuinfo)
    for root in (tmp_path, tmp_path / "nowhere"):
        found = Powercap(root).discover()
        assert found.domains == ()
        assert says in found.absent[0].help


def test_another_root_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Tree(tmp_path, SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path))
    assert names(module.make().discover()) == {"package-0", "dram-0"}


def test_a_counter_that_vanishes_is_a_meter_error(tmp_path: Path) -> None:
    tree = Tree(tmp_path, SERVER)
    meter = Powercap(tmp_path)
    domain = meter.discover().domains[0]
    (tree.root / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(MeterError, match="powercap:package-0 cannot be read any more"):
        meter.read(domain)


def test_joules_are_within_a_thousandth_while_a_thread_writes_them(tmp_path: Path) -> None:
    """Over a wrap of the package's counter, with the memory's beside it; a busy machine may take a second try."""
    assert any(followed(tmp_path / str(attempt)) < 0.001 for attempt in range(4))


def followed(tmp_path: Path) -> float:
    """Follow a tree for two seconds and return the largest relative error of its joules."""
    zones = {"intel-rapl:0": ("package-0", 262_143_328_850 - 40_000_000), "intel-rapl:0:1": ("dram", 17)}
    tree = Tree(tmp_path, zones)
    watts = {"intel-rapl:0": 80.0, "intel-rapl:0:1": 12.5}
    thread = tree.run(watts)
    meter = Powercap(tmp_path)
    recorder = Recorder([(meter, meter.discover().domains)])
    recorder.start()
    start = time.monotonic_ns()
    time.sleep(2.0)
    end = time.monotonic_ns()
    recorder.stop()
    tree.stop()
    thread.join()
    found = recorder.readings(start, end)
    errors = []
    for name, truth in (("powercap:package-0", 80.0), ("powercap:dram-0", 12.5)):
        reading = found[name]
        assert recorder.series[name].fault(start, end) == ""
        assert reading.ns > 0.85 * (end - start)
        errors.append(abs(reading.counts * 1e-6 / (reading.ns * 1e-9) / truth - 1))
    return max(errors)


def test_domains_say_what_they_are(tmp_path: Path) -> None:
    Tree(tmp_path, SERVER)
    package = Powercap(tmp_path).discover().domains[0]
    assert package == Domain(
        "powercap:package-0", "cpu", "counter", "processor package, cores and caches", 1e-6, 262_143_328_850
    )
