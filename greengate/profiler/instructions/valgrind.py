"""valgrind: is it here, how a worker is put under it, and what its log says."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping

from greengate.profile import Missing
from greengate.profiler.instructions.requests import CALLS, MACHINE_CODE

#: What a run leaves in the worker's folder beside its dumps.
LOG = "valgrind.log"

#: The cache that is simulated where data traffic is asked for; one for every host, so that hosts compare. A larger one
#: holds all that small models touch, and then counts little but chance.
CACHE = "32 KiB, 8-way, lines of 64 B"
LINE = 64

#: What one address space needs beside the model's: translations, and the tool's own tables.
OWN_MEMORY = 2 << 30

_CACHE_OPTIONS = (
    "--cache-sim=yes",
    "--I1=32768,8,64",
    "--D1=32768,8,64",
    "--LL=1048576,16,64",
)

#: The first version that was seen to leave fused multiply-add to the host: 3.19 takes 25 times as long for a call.
FAST = (3, 24)

#: How each system's package manager is asked for it, first come first served.
_INSTALL = {
    "apt-get": "apt-get install valgrind",
    "dnf": "dnf install valgrind",
    "yum": "yum install valgrind",
    "zypper": "zypper install valgrind",
    "pacman": "pacman -S valgrind",
    "apk": "apk add valgrind",
}

_VERSION = re.compile(r"Using Valgrind-(\d+(?:\.\w+)*)")
_HARDWARE = re.compile(r"Arch and hwcaps: \w+, \w+, (\S+)")
_BYTES = re.compile(r"unhandled instruction bytes: (.+)")
_PLACE = re.compile(r"==\d+==\s+at (0x[0-9A-F]+: .+)")
_UNKNOWN = re.compile(r"valgrind: Unrecognised instruction at address|unhandled instruction bytes")


def missing() -> Missing | None:
    """Return why instructions cannot be counted on this machine, and what would help; None where they can be tried."""
    if sys.platform != "linux" or platform.machine() not in MACHINE_CODE:
        here = f"{platform.system()} on {platform.machine()}"
        return Missing(f"instructions are counted on Linux on {' or '.join(MACHINE_CODE)}, not {here}", "unavailable")
    if shutil.which("valgrind") is None:
        return Missing("valgrind is not installed", "unavailable", install())
    return None


def install() -> str:
    """Return the command that installs valgrind here."""
    return next((command for tool, command in _INSTALL.items() if shutil.which(tool)), "install valgrind")


def version() -> str:
    """Return valgrind's version. Raises OSError where it may not be run, or does not say."""
    done = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=False)  # noqa: S607
    found = re.match(r"valgrind-(\S+)", done.stdout)
    if found is None:
        raise OSError(f"valgrind does not run: {(done.stderr or done.stdout).strip()[:200] or done.returncode}")
    return found[1]


def newer(version: str) -> str:
    """Return words that go on a sentence: a newer valgrind is faster; empty for one that is as fast as is known."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return "" if numbers >= FAST else f"; valgrind {'.'.join(map(str, FAST))} ran a call 25 times as fast as 3.19"


def command(cache: bool) -> tuple[str, ...]:
    """Return the words that put a Python under callgrind: nothing is counted until the worker asks for it."""
    return (
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        "--dump-line=no",
        "--fair-sched=try",  # threads take turns, not as the host's scheduler likes
        f"--callgrind-out-file={CALLS}",
        f"--log-file={LOG}",
        "--verbose",  # the log then names the instruction set
        *(_CACHE_OPTIONS if cache else ()),
    )


def counted_by(log: str) -> str:
    """Return the version of what counted, which need not be that of the command that began it; empty if not told."""
    found = _VERSION.search(log)
    return found[1] if found else ""


def instruction_set(log: str) -> str:
    """Return what the simulated processor can do, as valgrind names it; empty where the log does not say."""
    found = _HARDWARE.search(log)
    return found[1] if found else ""


def unknown_instruction(log: str) -> Missing | None:
    """Return what a log says of an instruction that valgrind does not know, with its place; None where it says none."""
    if _UNKNOWN.search(log) is None:
        return None
    code, place = _BYTES.search(log), _PLACE.search(log[_start(log) :])
    told = ", ".join(filter(None, (code and code[1].strip(), place and place[1].strip())))
    reason = f"valgrind met an instruction that it does not know: {told or 'its log does not say where'}"
    return Missing(reason, "unavailable", "a newer valgrind may know it; it knows no AVX-512 and no AMX")


def _start(log: str) -> int:
    found = _UNKNOWN.search(log)
    return found.start() if found else 0


def fatal(log: str) -> str:
    """Return the line in which valgrind gives up by itself; empty where it does not."""
    lines = (line.strip() for line in log.splitlines())
    return next((line for line in lines if line.startswith("valgrind: ")), "")


def dumps(files: Mapping[str, str]) -> list[str]:
    """Return the texts of the dumps among a worker's files, in the order in which they were asked for."""
    numbered = [name for name in files if re.fullmatch(rf"{CALLS}\.\d+", name)]
    return [files[name] for name in sorted(numbered, key=lambda name: int(name.rpartition(".")[2]))]
