"""Whatever is left out of a sum has a way out: a command to run, or the word that none helps."""

from __future__ import annotations

import pytest

from greengate.power import DomainKind
from greengate.profiler.meters import Absent
from greengate.profiler.meters.remedies import remedy

METER = "name an external meter, `energy: {power_log: meter.csv}` in the budget"
FROZEN = "it is frozen: it did not change twice in 2.2 s"


@pytest.mark.parametrize(
    ("what", "reason", "kind", "says"),
    [
        ("nvml:GPU-a", FROZEN, "gpu", "`nvidia-smi -q -d POWER` shows"),
        ("nvml:GPU-a", "it has neither an energy counter nor a power sensor", "gpu", "`nvidia-smi -q -d POWER` shows"),
        ("nvml:GPU-a", "its 9000 W cannot be", "gpu", METER),
        ("nvml:GPU-a", "the board is split by MIG", "gpu", "`sudo nvidia-smi -mig 0`"),
        ("nvml:GPU-a", "2 other process computes on it", "gpu", "`nvidia-smi` lists them"),
        ("GPU 0", "the driver does not open it: GPU is lost", "gpu", "`sudo dmesg | grep -i nvrm` says why"),
        ("amd:a", FROZEN, "gpu", "`amd-smi metric --power --energy` shows"),
        ("amd:a", "2 other process computes on it", "gpu", "`amd-smi process` lists them"),
        ("amd:a", "its energy counter has no resolution", "gpu", METER),
        ("AMD GPU", "it tells no energy: 2", "gpu", METER),
        ("powercap:package-0", FROZEN, "cpu", "`sudo grep . /sys/class/powercap/*/energy_uj`, twice"),
        ("powercap:package-0", "its 9000 W cannot be", "cpu", f"no command mends that: {METER}"),
        ("meter", FROZEN, "system", "start the meter's log before"),
        ("meter", "meter: its log has a line that is not `t,watts`", "system", "mend what the meter writes"),
        ("meter", "meter: this machine's clock was set by 4 s", "system", "`clock_offset`"),
        ("anything", "that is new", "cpu", "no command mends that"),
        ("powercap:dram-0", FROZEN, None, "nothing is to be done"),
    ],
)
def test_what_is_left_out_has_a_way_out(what: str, reason: str, kind: DomainKind | None, says: str) -> None:
    assert says in remedy(Absent(what, reason, kind=kind))


def test_what_says_so_itself_and_what_is_in_no_sum_is_left_as_it_is() -> None:
    assert remedy(Absent("dram-0", "it cannot be read", "`sudo chmod`", "dram")) == "`sudo chmod`"
    assert remedy(Absent("core", "it is part of its package")) == ""
