"""What machine this is, read from the files of machines that are not this one."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from greengate.profiler import hardware
from greengate.profiler.hardware import memory_limit, this_machine

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R)   Platinum 8370C CPU @ 2.80GHz
flags\t\t: fpu sse sse2 ssse3 sse4_1 sse4_2 avx avx2 fma avx512f avx512_vnni amx_int8 aes rdtscp

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
NEOVERSE = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes crc32 atomics asimdhp asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


def machine(root: Path, **files: str) -> str:
    """Write files of /proc and /sys below `root`, `__` standing for a slash, and return it as a root."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"{root}/"


@pytest.mark.parametrize(
    ("cpuinfo", "cpu", "extensions"),
    [
        (XEON, "Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz", "amx_int8 avx avx2 avx512_vnni avx512f fma sse4_2"),
        (NEOVERSE, "implementer 0x41 part 0xd40", "asimd asimddp asimdhp bf16 i8mm sve"),
        ("", platform.processor() or platform.machine(), ""),
    ],
)
def test_cpu_and_the_extensions_that_change_kernels(tmp_path: Path, cpuinfo: str, cpu: str, extensions: str) -> None:
    found = this_machine(machine(tmp_path, proc__cpuinfo=cpuinfo))
    assert (found.cpu, " ".join(found.extensions)) == (cpu, extensions)
    assert found.cpu


def test_a_machine_that_tells_nothing_is_still_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "")
    monkeypatch.setattr(platform, "processor", lambda: "")
    found = this_machine(f"{tmp_path}/nowhere/")
    assert (found.cpu, found.architecture, found.extensions, found.memory) == ("unknown", "unknown", (), 0)
    assert found.cores == os.cpu_count()
    assert len(found.id) == 12


PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
V1 = "4:memory:/job/inner\n3:cpu,cpuacct:/job\n0::/\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, PHYSICAL),
        ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__memory_dot_max": "4096000\n"}, 4096000),
        ({"proc__self__cgroup": "0::/a\n", "sys__fs__cgroup__a__memory_dot_max": "max\n"}, PHYSICAL),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__memory_dot_max": "5000\n"}, 5000),
        (
            {
                "proc__self__cgroup": "0::/a/b\n",
                "sys__fs__cgroup__a__b__memory_dot_max": "9000\n",
                "sys__fs__cgroup__a__memory_dot_max": "8000\n",
            },
            8000,
        ),
        ({"proc__self__cgroup": V1, "sys__fs__cgroup__memory__job__memory_dot_limit_in_bytes": "7000\n"}, 7000),
        (
            {"proc__self__cgroup": V1, "sys__fs__cgroup__memory__memory_dot_limit_in_bytes": "9223372036854771712\n"},
            PHYSICAL,
        ),
    ],
)
def test_memory_is_what_the_control_group_leaves(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert memory_limit(machine(tmp_path, **files)) == expected


@pytest.mark.parametrize(
    ("files", "notes"),
    [
        ({"proc__self__cgroup": "0::/a\n", "sys__fs__cgroup__a__cpu_dot_max": "50000 100000\n"}, "0.5 cores"),
        ({"proc__self__cgroup": "0::/a\n", "sys__fs__cgroup__a__cpu_dot_max": "max 100000\n"}, ""),
        (
            {
                "proc__self__cgroup": V1,
                "sys__fs__cgroup__cpu__job__cpu_dot_cfs_quota_us": "25000",
                "sys__fs__cgroup__cpu__job__cpu_dot_cfs_period_us": "100000",
            },
            "0.25 cores",
        ),
        (
            {
                "proc__self__cgroup": V1,
                "sys__fs__cgroup__cpu__job__cpu_dot_cfs_quota_us": "-1",
                "sys__fs__cgroup__cpu__job__cpu_dot_cfs_period_us": "100000",
            },
            "",
        ),
    ],
)
def test_a_share_of_the_cpu_is_noted(tmp_path: Path, files: dict[str, str], notes: str) -> None:
    found = this_machine(machine(tmp_path, proc__cpuinfo=XEON, **files))
    assert "; ".join(found.notes).removeprefix("CPU time is limited to ") == notes


def test_this_machine_is_described_once() -> None:
    found = this_machine()
    assert found is this_machine()
    assert found.cores >= 1
    assert found.memory > 0
    assert found.system.startswith(platform.system())
    assert hardware.memory_limit() == found.memory


def test_a_share_of_the_cpu_is_part_of_the_identity(tmp_path: Path) -> None:
    whole = this_machine(machine(tmp_path / "a", proc__cpuinfo=XEON))
    limited = machine(
        tmp_path / "b",
        proc__cpuinfo=XEON,
        proc__self__cgroup="0::/a\n",
        sys__fs__cgroup__a__cpu_dot_max="50000 100000\n",
    )
    assert whole.cpu_share is None
    assert this_machine(limited).cpu_share == 0.5
    assert this_machine(limited).id != whole.id


def test_what_a_reader_would_ask_for_is_told_and_changes_no_identity(tmp_path: Path) -> None:
    told = machine(
        tmp_path / "a",
        proc__cpuinfo=XEON.replace("flags\t\t: fpu sse", "flags\t\t: fpu hypervisor sse", 1),
        sys__devices__system__cpu__cpu0__cpufreq__scaling_governor="powersave\n",
        sys__devices__system__cpu__cpu0__cpufreq__cpuinfo_max_freq="3500000\n",
        sys__devices__system__cpu__intel_pstate__no_turbo="1\n",
        sys__devices__system__cpu__smt__active="1\n",
        **{"etc__os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "_dot_dockerenv": ""},
    )
    plain = this_machine(machine(tmp_path / "b", proc__cpuinfo=XEON))
    found = this_machine(told)
    assert found.id == plain.id
    assert {name: text for name, text in found.facts.items() if name != "C library"} == {
        "governor": "powersave",
        "turbo": "off",
        "highest clock": "3500 MHz",
        "hyper-threading": "on",
        "virtual machine": "yes",
        "container": "yes",
        "distribution": "Debian GNU/Linux 12 (bookworm)",
    }
    assert plain.facts["virtual machine"] == "no"
    assert "governor" not in plain.facts
