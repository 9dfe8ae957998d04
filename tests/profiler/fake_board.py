"""Stands in for torch.cuda where there is no GPU: a clock for every board, a memory, a log of what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class Cuda:
    """The part of torch.cuda that greengate uses; clocks are in ms, and only work on a board moves its own.

    A stream is the number of its board. `late` is what went wrong on it and is told when it is waited for.
    """

    boards: int = 1
    current: int = 0
    clocks: dict[int, float] = field(default_factory=dict)
    held: int = 0
    most: int = 0
    log: list[str] = field(default_factory=list)
    memory: int = 80 * 1024**3
    late: Exception | None = None

    def is_available(self) -> bool:
        return self.boards > 0

    def device_count(self) -> int:
        return self.boards

    def get_device_name(self, index: int) -> str:
        return f"Fake Board {index}"

    def get_device_properties(self, index: int) -> Any:
        return SimpleNamespace(uuid=f"uuid-{index}", total_memory=self.memory)

    def synchronize(self, index: int) -> None:
        self.log.append("synchronize")
        if self.late is not None:
            raise self.late

    def Event(self, enable_timing: bool) -> Event:  # noqa: N802 - as torch calls it
        assert enable_timing
        return Event(self)

    def current_stream(self, index: int | None = None) -> int:
        return self.current if index is None else index

    @contextmanager
    def device(self, index: int) -> Iterator[None]:
        before, self.current = self.current, index
        try:
            yield
        finally:
            self.current = before

    def work(self, ms: float, name: str = "call", board: int = 0) -> None:
        self.log.append(name)
        self.clocks[board] = self.clocks.get(board, 0.0) + ms

    def hold(self, size: int) -> None:
        if self.held + size > self.memory:
            raise OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")
        self.held += size
        self.most = max(self.most, self.held)

    def set_per_process_memory_fraction(self, fraction: float, index: int) -> None:
        self.log.append(f"limit of board {index}")
        self.memory = int(fraction * self.memory)

    def memory_allocated(self, index: int) -> int:
        return self.held

    def reset_peak_memory_stats(self, index: int) -> None:
        self.most = self.held

    def max_memory_allocated(self, index: int) -> int:
        return self.most

    def max_memory_reserved(self, index: int) -> int:
        return 2 * self.most


class OutOfMemoryError(RuntimeError):
    """Named as PyTorch names its own."""


@dataclass
class Event:
    cuda: Cuda
    at: float | None = None

    def record(self, stream: int | None = None) -> None:
        self.at = self.cuda.clocks.get(self.cuda.current if stream is None else stream, 0.0)

    def elapsed_time(self, later: Event) -> float:
        assert self.at is not None
        assert later.at is not None
        assert self.cuda.log[-1] == "synchronize", "read before the work was done"
        return later.at - self.at
