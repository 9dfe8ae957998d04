"""From raw windows to joules: what the counters of a launch say of each metric. Pure; anyone can recompute it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from greengate.power import METER, WEAKEST, Domain, DomainKind, EnergyMethod, WindowRole
from greengate.profile import Launch

#: The metrics of energy, and the kinds of domain each sums.
METRICS: Mapping[str, tuple[DomainKind, ...]] = {
    "energy_per_1k": ("cpu", "dram", "gpu"),
    "cpu_energy_per_1k": ("cpu", "dram"),
    "gpu_energy_per_1k": ("gpu",),
    "energy_per_1k_tokens": ("cpu", "dram", "gpu"),
}

#: Those that an external meter tells, which stands for everything.
WHOLE = frozenset({"energy_per_1k", "energy_per_1k_tokens"})

#: Those of 1,000 generated tokens, not of 1,000 items.
OF_TOKENS = frozenset({"energy_per_1k_tokens"})

#: amdsmi's UUID of a board: digits 1-2, a partition, the model, what is fixed, digits 3-4, and the other twelve.
_AMDSMI = re.compile(r"([0-9a-f]{2})[0-9a-f]{6}-0000-1000-80([0-9a-f]{2})-([0-9a-f]{12})")

#: Where a model ran that needs no board: the processor itself.
PROCESSOR = "cpu"


def parts(launch: Launch, metric: str) -> tuple[Domain, ...]:
    """Return the domains that make up a metric in one launch; none where one is lacking that the metric needs.

    A whole-system meter stands for everything, and nothing for it: where it is named and fails there is no number.
    Else the processor is needed, and every device the models ran on.
    """
    kinds = METRICS[metric]
    lost = {_kind(launch, name) for name in launch.faults}
    whole = tuple(domain for domain in launch.domains if domain.kind == "system")
    if metric in WHOLE and (whole or "system" in lost):
        return () if "system" in lost else whole
    usable = [domain for domain in launch.domains if domain.id not in launch.faults]
    boards = [device for device in launch.devices if device != PROCESSOR]
    taken = tuple(
        domain
        for domain in usable
        if domain.kind in kinds and (domain.kind != "gpu" or any(_counts(domain, board) for board in boards))
    )
    covered = all(any(_counts(domain, board) for domain in taken) for board in boards)
    if "cpu" in kinds and not any(domain.kind == "cpu" for domain in taken):
        return ()
    if "gpu" in kinds and not covered:
        return ()
    # A second package that cannot be read is energy that was drawn and not counted.
    return () if lost & {kind for kind in kinds if kind != "gpu"} else taken


def _counts(domain: Domain, board: str) -> bool:
    """Tell whether a domain is this very board's; a board without a name is nobody's."""
    meter, _, name = domain.id.partition(":")
    return bool(board) and (name == board or (meter == "amd" and digits(name) == digits(board)))


def digits(name: str) -> str:
    """Return what is the same in all names that AMD's libraries have for a board: its 16 hexadecimal digits.

    `rocminfo` shows them; PyTorch shows their ASCII in hexadecimal; amdsmi puts the model and a partition between them.
    """
    plain = name.removeprefix("GPU-")
    if spread := _AMDSMI.fullmatch(plain):
        return "".join(spread.groups())
    try:
        spelled = bytes.fromhex(plain.replace("-", "")).decode("ascii")
    except ValueError:
        return plain
    return spelled if re.fullmatch(r"[0-9a-f]{16}", spelled) else plain


def _kind(launch: Launch, name: str) -> DomainKind:
    """Return the kind of what a fault names; what was never read is the external meter, or a part of the processor."""
    known: dict[str, DomainKind] = {domain.id: domain.kind for domain in launch.domains}
    return known.get(name, "system" if name == METER else "cpu")


def per_thousand(launch: Launch, role: WindowRole, metric: str) -> tuple[float, ...]:
    """Return joules of 1,000 items, or tokens, one number a window of the role; none where it cannot be had."""
    domains = parts(launch, metric)
    if not domains:
        return ()
    found = []
    for window in launch.windows:
        if window.role != role or bool(window.tokens) != (metric in OF_TOKENS):
            continue
        readings = [(domain, window.readings.get(domain.id)) for domain in domains]
        if any(reading is None or reading.ns <= 0 for _, reading in readings) or not window.items:
            return ()
        # Power from tick to tick, over the whole window.
        joules = sum(
            domain.joules * reading.counts / reading.ns * window.ns
            for domain, reading in readings
            if reading is not None
        )
        found.append(1000 * joules / (window.tokens or window.items))
    return tuple(found)


def idle_watts(launches: Sequence[Launch]) -> dict[str, float]:
    """Return the watts of each domain while the loaded models were idle, the mean over launches."""
    found: dict[str, list[float]] = {}
    for launch in launches:
        for window in launch.windows:
            for domain in launch.domains:
                reading = window.readings.get(domain.id)
                if window.role == "idle" and reading is not None and reading.ns > 0:
                    found.setdefault(domain.id, []).append(domain.joules * reading.counts / (reading.ns * 1e-9))
    return {name: sum(watts) / len(watts) for name, watts in found.items()}


def method(launches: Sequence[Launch], metric: str) -> EnergyMethod:
    """Return how the metric's numbers came about: the weakest of its parts. Raises ValueError where it has none."""
    methods = {domain.method for launch in launches for domain in parts(launch, metric)}
    return min(methods, key=WEAKEST.index)


def made_of(launches: Sequence[Launch], metric: str) -> str:
    """Say what a metric is made of: its domains, and for a model what it models."""
    domains = {domain.id: domain for launch in launches for domain in parts(launch, metric)}
    return " + ".join(one.about if one.method == "estimated" else one.id for one in domains.values())


def why_not(launches: Sequence[Launch], metric: str) -> str:
    """Say why a metric cannot be had from launches that metered; empty where it can."""
    kinds = {*METRICS[metric], *(("system",) if metric in WHOLE else ())}
    for launch in launches:
        for name, reason in launch.faults.items():
            if _kind(launch, name) in kinds and not parts(launch, metric):
                return reason
    if any(parts(launch, metric) for launch in launches):
        return ""
    if metric == "gpu_energy_per_1k" and all(set(launch.devices) <= {PROCESSOR} for launch in launches):
        return "the models ran on the processor: no GPU took part"
    if any("" in launch.devices for launch in launches):
        return "the board that the models ran on does not tell its UUID: which counter is its own is not known"
    return "no counter covers every device the models ran on"
