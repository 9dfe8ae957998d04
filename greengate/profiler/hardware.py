"""What machine this is, as far as it changes measurements."""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import cache
from pathlib import Path

from greengate.profile import Hardware

#: Instruction sets that change which kernels a runtime picks, in the spelling of Linux.
_KERNEL_EXTENSIONS = re.compile(
    r"sse4_2|avx|avx2|fma|f16c|avx_vnni|avx512\w+|amx_\w+"  # x86
    r"|asimd|asimddp|asimdhp|i8mm|svei8mm|bf16|svebf16|sve|sve2|sme"  # arm
)

_NO_LIMIT = 1 << 60  # cgroup v1 writes "no limit" as a number near 2**63


@cache
def this_machine(root: str = "/") -> Hardware:
    """Describe this machine; what the system does not tell is said in the notes. `root` is where /proc and /sys are."""
    cpuinfo = _read(f"{root}proc/cpuinfo")
    notes = [] if cpuinfo or sys.platform != "linux" else ["/proc/cpuinfo cannot be read"]
    share = _cpu_share(root)
    cores = _cores()
    if share is not None and share < cores:
        notes.append(f"CPU time is limited to {share:g} cores")
    return Hardware(
        cpu=_cpu(cpuinfo),
        architecture=platform.machine() or "unknown",
        cores=cores,
        extensions=_extensions(cpuinfo),
        memory=memory_limit(root),
        system=f"{platform.system()} {platform.release()}".strip() or "unknown",
        notes=tuple(notes),
        cpu_share=share if share is not None and share < cores else None,
        facts=_facts(root, cpuinfo),
    )


def _facts(root: str, cpuinfo: str) -> dict[str, str]:
    """Return what a reader of a surprising number would ask for; only what the system tells."""
    cpu = f"{root}sys/devices/system/cpu"
    turbo = {"0": "on", "1": "off"}.get(_read(f"{cpu}/intel_pstate/no_turbo").strip(), "")
    boost = {"1": "on", "0": "off"}.get(_read(f"{cpu}/cpufreq/boost").strip(), "")
    khz = _read(f"{cpu}/cpu0/cpufreq/cpuinfo_max_freq").strip()
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE)
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read(f"{root}etc/os-release"), re.MULTILINE)
    libc = " ".join(platform.libc_ver()).strip()
    told = {
        "governor": _read(f"{cpu}/cpu0/cpufreq/scaling_governor").strip(),
        "turbo": turbo or boost,
        "highest clock": f"{int(khz) // 1000} MHz" if khz.isdigit() else "",
        "hyper-threading": {"1": "on", "0": "off"}.get(_read(f"{cpu}/smt/active").strip(), ""),
        "virtual machine": "yes" if flags else "no" if cpuinfo.startswith("processor") and "flags" in cpuinfo else "",
        "container": "yes" if Path(f"{root}.dockerenv").exists() or Path(f"{root}run/.containerenv").exists() else "",
        "distribution": release[1] if release else "",
        "C library": libc,
    }
    return {name: text for name, text in told.items() if text}


def memory_limit(root: str = "/") -> int:
    """Return bytes of memory this process may use: the smaller of the machine's and its control group's; 0 unknown."""
    found = [limit for limit in (_physical(), *_group_memory(root)) if 0 < limit < _NO_LIMIT]
    return min(found, default=0)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu(cpuinfo: str) -> str:
    named = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    if named:
        return " ".join(named[1].split())
    # Arm kernels give numbers only: the maker and the part tell two cores apart
    parts = [re.search(rf"^{key}\s*:\s*(\S+)", cpuinfo, re.MULTILINE) for key in ("CPU implementer", "CPU part")]
    if all(parts):
        return " ".join(f"{word} {part[1]}" for word, part in zip(("implementer", "part"), parts, strict=True) if part)
    return platform.processor() or platform.machine() or "unknown"


def _extensions(cpuinfo: str) -> tuple[str, ...]:
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return tuple(sorted(flag for flag in set(flags[1].split()) if _KERNEL_EXTENSIONS.fullmatch(flag))) if flags else ()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _groups(root: str, controller: str) -> list[str]:
    """Return the folders of this process's control group and of its parents, innermost first."""
    folders: list[str] = []
    for line in _read(f"{root}proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        base = f"{root}sys/fs/cgroup" if number == "0" else f"{root}sys/fs/cgroup/{controller}"
        if number == "0" or controller in controllers.split(","):
            parts = [part for part in path.split("/") if part]
            folders += ["/".join([base, *parts[:depth]]) for depth in range(len(parts), -1, -1)]
    return folders


def _group_memory(root: str) -> list[int]:
    texts = [
        _read(f"{folder}/{name}")
        for folder in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return [int(text) for text in texts if text.strip().isdigit()]


def _cpu_share(root: str) -> float | None:
    """Return the cores' worth of time this process's control group may use; None where there is no limit."""
    shares = []
    for folder in _groups(root, "cpu"):
        quota, _, period = _read(f"{folder}/cpu.max").strip().partition(" ")
        if not quota:
            quota = _read(f"{folder}/cpu.cfs_quota_us").strip()
            period = _read(f"{folder}/cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            shares.append(int(quota) / int(period))
    return min(shares, default=None)
