"""The device a PyTorch model runs on: whether it is there, its clock, its memory.

`Board` is all that greengate asks of CUDA; `api` is torch.cuda, or what stands in for it where there is no GPU.
Runs in the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from greengate.profile import Gpu, Missing
from greengate.profiler.boards import board_of

#: Calls between two synchronisations: the board stays busy, and what it takes to begin and to wait is spread.
BLOCK = 8


@dataclass(frozen=True)
class Board:
    """One CUDA device."""

    api: Any
    index: int

    @property
    def name(self) -> str:
        """The board's name, as its driver gives it."""
        return str(self.api.get_device_name(self.index))

    @property
    def uuid(self) -> str:
        """What the driver calls this very board; empty where this PyTorch does not tell."""
        told = str(getattr(self.api.get_device_properties(self.index), "uuid", ""))
        return told if told.startswith(("GPU-", "MIG-")) or not told else f"GPU-{told}"  # as the driver writes it

    @property
    def gpu(self) -> Gpu:
        """What of the board changes measurements: as NVIDIA's management library tells it, else what PyTorch knows."""
        return board_of(self.uuid, self.name, int(self.api.get_device_properties(self.index).total_memory))

    def current(self) -> AbstractContextManager[object]:
        """Make this the board that code means which says just `cuda`, inside."""
        found: AbstractContextManager[object] = self.api.device(self.index)
        return found

    def synchronize(self) -> None:
        """Wait until all work given to the board is done."""
        self.api.synchronize(self.index)

    def timed(self, call: Callable[[int], object], feed: int) -> tuple[list[int], list[int]]:
        """Time a block of calls: ns of each by the board's own events, and CPU ns, spread evenly over the block.

        The block is synchronised at its ends only. An event's time runs from the end of the work before it, so what
        the board waits for its next order belongs to the call that it waits for.
        """
        self.synchronize()
        marks = [self.api.Event(enable_timing=True) for _ in range(BLOCK + 1)]
        cpu = time.process_time_ns()
        # On this board's own stream: an event goes to the current board's else, which need not have anything to do.
        marks[0].record(self.api.current_stream(self.index))
        for mark in marks[1:]:
            call(feed)
            mark.record(self.api.current_stream(self.index))
        self.synchronize()
        used = (time.process_time_ns() - cpu) // BLOCK
        walls = [round(before.elapsed_time(after) * 1e6) for before, after in pairwise(marks)]
        return walls, [used] * BLOCK

    def limit(self, most: int | None) -> None:
        """Let PyTorch's allocator hold no more bytes than `most`; beyond it fails as if the board were full."""
        if most is not None:
            whole = int(self.api.get_device_properties(self.index).total_memory)
            self.api.set_per_process_memory_fraction(min(1.0, most / whole), self.index)

    def reset_peak(self) -> int:
        """Begin to watch the allocator anew; return the bytes it holds now."""
        self.synchronize()
        self.api.reset_peak_memory_stats(self.index)
        return int(self.api.memory_allocated(self.index))

    def peak(self) -> tuple[int, int]:
        """Return the most bytes that tensors held, and that the allocator reserved, since the watch began."""
        self.synchronize()
        return int(self.api.max_memory_allocated(self.index)), int(self.api.max_memory_reserved(self.index))


def board(device: str, api: Any) -> Board | Missing | None:
    """Return the board that a device names; None for the CPU, Missing for one that is not there."""
    if device == "cpu":
        return None
    index = int(device.partition(":")[2] or 0)
    count = int(api.device_count()) if api.is_available() else 0
    if index < count:
        return Board(api, index)
    seen = f"PyTorch sees {count} NVIDIA GPU{'s' * (count != 1)} here" if count else "PyTorch sees no NVIDIA GPU here"
    help_ = "measure on a machine that has it, with a CUDA build of torch, or write `device: cpu`"
    return Missing(f"the device {device} is not there: {seen}", "unavailable", help_)


Timer = Callable[[Callable[[int], object], int], tuple[Sequence[int], Sequence[int]]]
