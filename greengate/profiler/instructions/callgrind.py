"""callgrind's dumps: what each function of each library did by itself.

The format is in valgrind's manual, "Callgrind Format Specification": names are given numbers at their first use, a line
after `calls=` is what the called function did and is not the caller's own, and zeros at a line's end are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from greengate.profiler.instructions.valgrind import LINE
from greengate.simulation import Kernel, Simulation

#: Kernels that are told apart; the rest are summed up by library.
TOLD = 64
#: The longest name that is kept: templates can have thousands of letters.
LONGEST = 200

#: Lines that the first-level caches had to fetch, for instructions, loads and stores.
_MOVED = ("I1mr", "D1mr", "D1mw")
_NAME = re.compile(r"(?:c?)(ob|fn)=\((\d+)\)(?: (.*))?$")
_PLACELESS = re.compile(r"0x0*([0-9a-f]+)$")
_CYCLE = re.compile(r"'\d+$")


class UnreadableError(ValueError):
    """A text is no dump of callgrind."""


@dataclass(frozen=True)
class Count:
    """What a call took: instructions, bytes of traffic (None without a simulated cache), and by kernel."""

    instructions: float
    traffic: float | None
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class Simulated:
    """What one process counted: its calls, the workload's own feed first, on which processor, the seconds it took."""

    counts: tuple[Count, ...]
    simulation: Simulation
    seconds: float = 0.0


def middle(calls: Sequence[Count]) -> Count:
    """Return the call in the middle of several, by instructions."""
    return sorted(calls, key=lambda one: one.instructions)[len(calls) // 2]


def read(text: str) -> Count:
    """Return what a call took, by its dump. Raises UnreadableError."""
    events = re.search(r"^events: (.+)$", text, re.MULTILINE)
    if events is None or "Ir" not in events[1].split():
        raise UnreadableError("valgrind wrote no count of instructions")
    names = events[1].split()
    moved = [place for place, name in enumerate(names) if name in _MOVED]
    found: dict[tuple[str, str], list[int]] = {}
    for key, costs in _own(text):
        library, name = key
        # Code that belongs to no library lies somewhere else in every process.
        sums = found.setdefault((library, "" if not library and name.startswith("0x") else name), [0, 0])
        padded = costs + [0] * (len(names) - len(costs))
        sums[0] += padded[names.index("Ir")]
        sums[1] += LINE * sum(padded[place] for place in moved)
    instructions, traffic = (sum(sums[place] for sums in found.values()) for place in (0, 1))
    if not instructions:
        raise UnreadableError("valgrind counted no instruction")
    kernels = [Kernel(name, library, *sums) for (library, name), sums in found.items() if any(sums)]
    return Count(instructions, traffic if "D1mr" in names else None, _told(kernels))


def _own(text: str) -> Iterator[tuple[tuple[str, str], list[int]]]:
    """Yield (library, function) and the costs of every line that is the function's own."""
    known: dict[tuple[str, str], str] = {}
    library, function, called = "", "", False
    for line in text.splitlines():
        if line[:1] in "+-*0123456789" and line:
            if not called:
                yield (library, function), [int(cost) for cost in line.split()[1:]]
            called = False
        elif line.startswith("calls="):
            called = True
        elif (named := _NAME.match(line)) is not None:
            kind, number, name = named.groups()
            if name is not None:
                known[kind, number] = _library(name) if kind == "ob" else _function(name)
            if line.startswith("ob="):
                library = known.get((kind, number), "")
            elif line.startswith("fn="):
                function = known.get((kind, number), "")


def _library(path: str) -> str:
    return "" if path == "???" else path.rpartition("/")[2]


def _function(name: str) -> str:
    plain = _CYCLE.sub("", name)
    place = _PLACELESS.match(plain)
    return f"0x{place[1]}" if place else plain[:LONGEST]


def _told(kernels: list[Kernel]) -> tuple[Kernel, ...]:
    """Return the largest kernels, and what is left of each library, in an order that does not depend on chance."""
    ordered = sorted(kernels, key=lambda one: (-one.instructions, -one.traffic, one.library, one.name))
    rest: dict[str, list[int]] = {}
    for kernel in ordered[TOLD:]:
        sums = rest.setdefault(kernel.library, [0, 0])
        sums[0], sums[1] = sums[0] + kernel.instructions, sums[1] + kernel.traffic
    return (*ordered[:TOLD], *(Kernel("", library, *rest[library]) for library in sorted(rest)))
