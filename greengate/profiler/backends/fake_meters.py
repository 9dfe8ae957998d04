"""Counters of energy on the fake's clock: each ticks at its period and counts what the file says a call costs."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from greengate.energy import PROCESSOR
from greengate.power import Domain, EnergyMethod, Reading, WindowRole
from greengate.profile import Role
from greengate.profiler.jobs import EnergyJob, Ran, Stretch
from greengate.profiler.meters import Absent
from greengate.profiler.meters.bench import Energy

#: Joules of one call by the key of the file, and the counter that sees them.
KEYS = ("energy", "dram_energy", "gpu_energy")
_BOARD = "GPU-fake"
_IDLE_WATTS = 10.0
_TICKS = {"cpu": 0.01, "dram": 0.01, "gpu": 0.1}


@dataclass(frozen=True)
class Draw:
    """What the file says of energy: joules of a call by key, seconds of a call, noise of a window, and the meter.

    `meter` is `counter`, `estimated`, `absent: REASON` or `faulty: REASON`.
    """

    joules: Mapping[str, float]
    latency: float
    noise: float = 0.0
    meter: str = "counter"


@dataclass
class FakeBench:
    """A machine whose counters follow the stretches that were run."""

    domains: tuple[Domain, ...]
    absent: tuple[Absent, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""
    now: int = 0  # ns since the counters were opened, so that a check says the same whatever ran before it
    drawn: list[tuple[Stretch, Mapping[str, float]]] = field(default_factory=list)

    def readings(self, start: int, end: int) -> Mapping[str, Reading]:
        """Return what every counter said from its first tick inside to its last."""
        found = {}
        for stretch, joules in self.drawn:
            if (stretch.start, stretch.end) == (start, end):
                for domain in self.domains:
                    found[domain.id] = _reading(domain, start, end, joules[domain.id])
        return found

    def faults(self, start: int, end: int) -> Mapping[str, str]:
        """Return the reason that the file gives."""
        del start, end
        return {domain.id: self.fault for domain in self.domains if self.fault}

    def remarks(self, start: int, end: int) -> tuple[str, ...]:
        """Nothing happens to a fake device."""
        del start, end
        return ()


def bench(draw: Draw, energy: Energy) -> FakeBench:
    """Return the counters of the machine that a model's file describes."""
    word, _, reason = draw.meter.partition(":")
    method: EnergyMethod = "estimated" if word == "estimated" else "counter"
    absent = Absent(
        "powercap:package-0", reason.strip() or "the fake has no counter", "this model's machine lacks it on purpose"
    )
    refused = () if energy.refused is None else (energy.refused,)
    if word == "absent" or not draw.joules or (method == "estimated" and not energy.estimates):
        return FakeBench((), (*refused, absent))
    about = "processor time x 4 W a busy thread" if method == "estimated" else "processor package"
    domains = []
    if "energy" in draw.joules:
        domains.append(Domain("powercap:package-0", "cpu", method, about, 1e-6, tick=_TICKS["cpu"]))
    if "dram_energy" in draw.joules:
        domains.append(Domain("powercap:dram-0", "dram", method, "memory", 1e-6, tick=_TICKS["dram"]))
    if "gpu_energy" in draw.joules:
        domains.append(Domain(f"nvml:{_BOARD}", "gpu", method, "fake board", 1e-3, tick=_TICKS["gpu"]))
    gone = () if "energy" in draw.joules else (absent,)
    return FakeBench(tuple(domains), (*refused, *gone), fault=reason.strip() if word == "faulty" else "")


def run(draws: Mapping[Role, Draw], job: EnergyJob, into: FakeBench) -> Ran:
    """Run the windows, and let the counters of `into` follow."""
    now = into.now
    stretches: list[Stretch] = []
    order: list[tuple[WindowRole, Draw | None]] = [("idle", None)] if job.idle else []
    order += [(role, draws[role]) for role in (*job.order, *reversed(job.order))]
    for index, (role, draw) in enumerate(order):
        seconds, calls = job.idle, 0
        if draw is not None:
            calls = max(job.min_calls, math.ceil(job.seconds / draw.latency))
            seconds = calls * draw.latency
        stretch = Stretch(role, now, now + round(seconds * 1e9), calls)
        now = stretch.end
        stretches.append(stretch)
        into.drawn.append((stretch, _joules(into, draw, seconds, calls, f"{role} energy {job.seed} {index}")))
    into.now = now
    board = any("gpu_energy" in draw.joules for draw in draws.values())
    return Ran(tuple(stretches), (PROCESSOR, _BOARD) if board else (PROCESSOR,))


def _joules(into: FakeBench, draw: Draw | None, seconds: float, calls: int, seed: str) -> dict[str, float]:
    found = {}
    for domain in into.domains:
        key = {"cpu": "energy", "dram": "dram_energy", "gpu": "gpu_energy"}[domain.kind]
        if draw is None:
            found[domain.id] = _IDLE_WATTS * seconds
            continue
        noise = math.exp(random.Random(f"{seed} {key}").gauss(0, draw.noise))  # noqa: S311 - noise, not a secret
        found[domain.id] = draw.joules.get(key, 0.0) * calls * noise
    return found


def _reading(domain: Domain, start: int, end: int, joules: float) -> Reading:
    tick = round(domain.tick * 1e9)
    first, last = -(-start // tick), end // tick
    per_ns = joules / (end - start) / domain.joules
    counts = math.floor((last * tick - start) * per_ns) - math.floor((first * tick - start) * per_ns)
    return Reading(counts, (last - first) * tick, last - first)
