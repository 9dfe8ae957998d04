"""Stands in for torch.cuda where there is no GPU: a clock that calls move, a memory, a log of what was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class Cuda:
    """The part of torch.cuda that greengate uses; `now` is in ms, and only work on the board moves it."""

    boards: int = 1
    now: float = 0.0
    held: int = 0
    most: int = 0
    log: list[str] = field(default_factory=list)
    memory: int = 80 * 1024**3

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

    def Event(self, enable_timing: bool) -> Event:  # noqa: N802 - as torch calls it
        assert enable_timing
        return Event(self)

    def work(self, ms: float, name: str = "call") -> None:
        self.log.append(name)
        self.now += ms

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

    def record(self) -> None:
        self.at = self.cuda.now

    def elapsed_time(self, later: Event) -> float:
        assert self.at is not None
        assert later.at is not None
        assert self.cuda.log[-1] == "synchronize", "read before the work was done"
        return later.at - self.at
