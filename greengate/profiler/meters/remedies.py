"""What to do about a counter that is there and cannot be used: what tells more, or that no command helps. Pure."""

from __future__ import annotations

from greengate.profiler.meters import Absent

#: What is left where a machine's own counter cannot be had.
_METER = "name an external meter, `energy: {power_log: meter.csv}` in the budget"
_NO_COMMAND = f"no command mends that: {_METER}"

_NO_PART = "nothing is to be done: memory whose counter never changes is no part of the sum"
_STILL = f"shows what it tells; where that is N/A or stands still under load, {_NO_COMMAND}"

#: By the beginning of what is absent, and words of the reason: the first that fit.
_REMEDIES: tuple[tuple[str, str, str], ...] = (
    ("meter", "clock", "set the meter's clock, or `clock_offset`; write a line as soon as it is measured"),
    ("meter", "frozen", "start the meter's log before, so that it holds some lines, and let it write on"),
    ("meter", "", "mend what the meter writes, and begin its log anew"),
    ("nvml:", "other process", "`nvidia-smi` lists them; measure on a device of your own"),
    ("amd:", "other process", "`amd-smi process` lists them; measure on a device of your own"),
    ("nvml:", "MIG", "`sudo nvidia-smi -mig 0` where the board is yours alone"),
    ("nvml:", "", f"`nvidia-smi -q -d POWER` {_STILL}"),
    ("GPU ", "", "`sudo dmesg | grep -i nvrm` says why; `nvidia-smi -L` must list it"),
    ("amd:", "", f"`amd-smi metric --power --energy` {_STILL}"),
    ("AMD GPU", "", f"`amd-smi metric --power --energy` {_STILL}"),
    ("powercap:", "frozen", f"`sudo grep . /sys/class/powercap/*/energy_uj`, twice, {_STILL}"),
)


def remedy(absent: Absent) -> str:
    """Return what helps where a counter is left out: its own help, a command that tells more, or another meter.

    Empty where nothing is left out of a sum.
    """
    if absent.help or absent.kind is None:
        return absent.help or _NO_PART * ("frozen" in absent.reason)
    for begin, words, what in _REMEDIES:
        if absent.what.startswith(begin) and words in absent.reason:
            return what
    return _NO_COMMAND
