"""Processor packages and memory through Linux powercap: cumulative microjoules of RAPL, Intel and AMD alike.

`psys` contains the packages and `core` and `uncore` are inside them: none of these is added. `dram` is not inside.
Two dies that mirror one counter, and a package shown twice (by MSR and by MMIO), are one domain.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greengate.power import Domain, DomainKind
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick

#: Where the zones are, unless GREENGATE_POWERCAP says otherwise: containers can have the host's mounted elsewhere.
ROOT = "/sys/class/powercap"

_ZONE = re.compile(r"[a-z][a-z0-9-]*(:[0-9]+)+")
_SHARED = re.compile(r"-die-[0-9]+$")
_LOOKS, _MIRRORED, _PAUSE = 5, 3, 0.004
_DEPTH = 4


@dataclass(frozen=True)
class _Zone:
    """A folder and what it calls itself; empty where that cannot be read."""

    folder: Path
    name: str

    @property
    def counter(self) -> Path:
        return self.folder / "energy_uj"


def make() -> Powercap:
    """Return the meter of this machine."""
    return Powercap(Path(os.environ.get("GREENGATE_POWERCAP") or ROOT))


def _content(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


class Powercap:
    """Reads `energy_uj` of zones below `root`; `content` reads a file, so that a test can refuse it."""

    every = 0.002
    strict = False

    def __init__(self, root: Path, content: Callable[[Path], str] = _content) -> None:
        self._root, self._content = root, content
        self._files: dict[str, Path] = {}

    def discover(self) -> Found:
        """Return packages and memory; psys, core, uncore, mirrors and unreadable zones with their reasons."""
        if not self._root.is_dir():
            return Found(absent=(Absent("powercap", f"there is no {self._root}", _no_powercap()),))
        zones = list(self._zones())
        if not zones:
            return Found(absent=(Absent("powercap", f"{self._root} shows no energy zone", _no_powercap()),))
        domains: list[Domain] = []
        absent: list[Absent] = []
        self._files = {}
        for zone in zones:
            found = self._domain(zone)
            if isinstance(found, Absent):
                absent.append(found)
            else:
                self._files[found.id] = zone.counter
                domains.append(found)
        # The same package, shown where it can be read, is counted.
        counted = {one.id for one in domains}
        absent = [replace(one, kind=None) if f"powercap:{one.what}" in counted else one for one in absent]
        mirrors = self._mirrors(domains)
        absent += [Absent(one.id, f"it mirrors {of}: the same counter, shown twice") for one, of in mirrors]
        gone = {one.id for one, _ in mirrors}
        return Found(tuple(one for one in domains if one.id not in gone), tuple(absent))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return the counter now, stamped with the middle of the read. Raises MeterError."""
        before = time.monotonic_ns()
        try:
            count = int(self._content(self._files[domain.id]))
        except (OSError, ValueError, KeyError) as error:
            raise MeterError(f"{domain.id} cannot be read any more: {_why(error)}") from error
        return (Tick((before + time.monotonic_ns()) // 2, count),)

    def health(self, domain: Domain) -> Health:
        """Return nothing known: powercap tells no temperature and no throttling."""
        del domain
        return Health()

    def close(self) -> None:
        """Nothing is held."""

    def _zones(self) -> Iterator[_Zone]:
        """Yield every zone once, by the name of its folder, parents before children."""
        seen: set[str] = set()
        waiting = [(self._root, 0)]
        while waiting:
            folder, depth = waiting.pop(0)
            with contextlib.suppress(OSError):
                for below in sorted(folder.iterdir(), key=lambda path: path.name):
                    is_zone = bool(_ZONE.fullmatch(below.name))
                    if below.name in seen or depth >= _DEPTH or not _is(below, Path.is_dir):
                        continue
                    if not (is_zone or re.fullmatch(r"[a-z][a-z0-9-]*", below.name)):
                        continue
                    if below.name in ("subsystem", "device", "power", "firmware-node"):
                        continue
                    seen.add(below.name)
                    waiting.append((below, depth + 1))
                    if is_zone and self._draws(zone := _Zone(below, self._name(below))):
                        yield zone

    def _draws(self, zone: _Zone) -> bool:
        """Tell whether a zone is of energy, or would be if it could be read: a package is one whatever it shows."""
        if zone.name.startswith(("package", "dram")) or (not zone.name and "rapl" in zone.folder.name):
            return True
        return _is(zone.counter, Path.exists)

    def _name(self, folder: Path) -> str:
        try:
            return self._content(folder / "name")
        except (OSError, ValueError):
            return ""

    def _domain(self, zone: _Zone) -> Domain | Absent:
        if not zone.name:
            below = zone.folder.name.count(":") > 1
            what = "memory" if below else "a package"
            reason = f"{zone.folder / 'name'} cannot be read: it can be {what}"
            return Absent(zone.folder.name, reason, kind="dram" if below else "cpu")
        plain = _SHARED.sub("", zone.name)
        if plain.startswith("psys"):
            return Absent(zone.name, "it contains the packages, which are counted by themselves")
        if plain in ("core", "uncore"):
            return Absent(zone.name, "it is part of its package, which is counted whole")
        if not plain.startswith(("package", "dram")):
            return Absent(zone.name, "it is no package and no memory")
        name = f"{zone.name}-{zone.folder.name.split(':')[1]}" if zone.name == "dram" else zone.name
        kind: DomainKind = "dram" if plain.startswith("dram") else "cpu"
        if twin := self._files.get(f"powercap:{name}"):
            where = f"{name} at {zone.folder.name}"
            if twin.parent.name.partition(":")[0] == zone.folder.name.partition(":")[0]:
                return Absent(where, f"{twin.parent.name} has the same name: which is which is not known", kind=kind)
            return Absent(where, "the same package is shown a second time")
        try:
            int(self._content(zone.counter))
        except (OSError, ValueError) as error:
            return Absent(name, f"{zone.counter} cannot be read: {_why(error)}", _readable(self._root, error), kind)
        about = "memory" if kind == "dram" else "processor package, cores and caches"
        return Domain(f"powercap:{name}", kind, "counter", about, 1e-6, self._range(zone))

    def _range(self, zone: _Zone) -> int:
        try:
            return max(0, int(self._content(zone.folder / "max_energy_range_uj")))
        except (OSError, ValueError):
            return 0

    def _mirrors(self, domains: Sequence[Domain]) -> list[tuple[Domain, str]]:
        """Return domains whose counter is another's: equal, and not zero, in most of several looks."""
        if len(domains) < 2:
            return []
        looks: list[dict[str, int]] = []
        for _ in range(_LOOKS):
            with contextlib.suppress(MeterError):
                looks.append({one.id: self.read(one)[0].count for one in domains})
            time.sleep(_PAUSE)
        found: list[tuple[Domain, str]] = []
        for index, one in enumerate(domains):
            for other in domains[:index]:
                equal = sum(look[one.id] == look[other.id] != 0 for look in looks)
                if equal >= _MIRRORED and one.kind == other.kind:
                    found.append((one, other.id))
                    break
        return found


def _is(path: Path, what: Callable[[Path], bool]) -> bool:
    """Tell what a path is; one that may not be looked at is there, and is told when it is read."""
    try:
        return what(path)
    except OSError:
        return True


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _no_powercap() -> str:
    if _in_container():
        return (
            "this is a container, and container engines hide powercap: on the host run it with "
            "`-v /sys/devices/virtual/powercap:/powercap:ro -e GREENGATE_POWERCAP=/powercap`"
        )
    if any(flag in _cpuinfo() for flag in (" hypervisor ", " hypervisor\n")):
        return "this is a virtual machine, and virtual machines have none: run on the host, or on a self-hosted runner"
    return "run `sudo modprobe intel_rapl_msr` (AMD processors too), and look again"


def _readable(root: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno not in (errno.EACCES, errno.EPERM):
        return ""
    # Elsewhere the host's zones are mounted, to be read only.
    place = "" if str(root) == ROOT else "on the host "
    return (
        f"only root may read it: {place}`sudo chmod a+r {ROOT}/*/energy_uj` until the next boot, or run as root; "
        "the counters tell other users' secrets, so think before you do this on a shared machine"
    )


def _in_container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
