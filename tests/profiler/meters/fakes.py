"""Counters whose truth is known: a library in C for nvidia-ml-py, and a powercap tree that a thread writes."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml_fake.c")


@cache
def library() -> Path:
    """Compile the stand-in once a run, and return its file."""
    folder = Path(tempfile.mkdtemp(prefix="greengate-nvml-"))
    built = folder / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([*command, "-o", str(built), str(SOURCE), "-lm"], check=True)
    return built


@cache
def load() -> None:
    """Load the stand-in, so that who asks for libnvidia-ml.so.1 by name gets it."""
    ctypes.CDLL(str(library()), mode=ctypes.RTLD_GLOBAL)


class Tree:
    """A powercap tree below `root`: zones by folder name, each with a name, a counter and a range.

    With `run`, a thread advances counters at known watts; what it wrote and when is what really was.
    """

    def __init__(self, root: Path, zones: Mapping[str, tuple[str, int]], wraps: int = 262_143_328_850) -> None:
        self.root = root
        for folder, (name, count) in zones.items():
            path = root / folder
            path.mkdir(parents=True)
            (path / "name").write_text(f"{name}\n")
            (path / "energy_uj").write_text(f"{count}\n")
            (path / "max_energy_range_uj").write_text(f"{wraps}\n")
        (root / "intel-rapl").mkdir(exist_ok=True)
        self.wraps = wraps
        self._stopped = threading.Event()

    def set(self, folder: str, count: int) -> None:
        # In one step, as the kernel does: a reader never sees an empty file.
        path = self.root / folder / "energy_uj"
        fresh = path.with_name("energy_uj.new")
        fresh.write_text(f"{count}\n")
        fresh.rename(path)

    def run(self, watts: Mapping[str, float], every: float = 0.001) -> threading.Thread:
        """Advance counters as time goes by: each is its watts x seconds since this began, on top of what it was."""
        first = {folder: int((self.root / folder / "energy_uj").read_text()) for folder in watts}
        begun = time.monotonic()

        def go() -> None:
            while not self._stopped.wait(every):
                since = time.monotonic() - begun
                for folder, rate in watts.items():
                    self.set(folder, (first[folder] + round(rate * since * 1e6)) % (self.wraps + 1))

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stopped.set()


#: A server's processor: a package with memory beside it, the cores inside it, and the platform around it.
SERVER = {
    "intel-rapl:0": ("package-0", 5_000_000),
    "intel-rapl:0:0": ("core", 3_000_000),
    "intel-rapl:0:1": ("dram", 1_000_000),
    "intel-rapl:1": ("psys", 9_000_000),
}
