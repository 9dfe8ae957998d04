"""Nouns of counting on a simulated processor: what makes two counts comparable, and where the instructions went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kernel:
    """What one function of a library did during one call: instructions executed, bytes fetched into the cache.

    Where a library keeps no names the name is the function's place in it, `0x191eff0`; it is empty for all that is
    too small to be told apart.
    """

    name: str
    library: str
    instructions: int
    traffic: int = 0


@dataclass(frozen=True)
class Simulation:
    """The processor that a profile's instructions were counted on; `cache` is empty where none was simulated.

    Hosts that agree in all but `kernels`, in runtime and in workload count alike. `kernels` are per call, not per item.
    """

    valgrind: str
    instruction_set: str
    libraries: Mapping[str, str] = field(default_factory=dict)
    cache: str = ""
    kernels: tuple[Kernel, ...] = ()
