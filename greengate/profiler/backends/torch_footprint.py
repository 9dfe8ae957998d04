"""The load of one PyTorch model, timed, and the memory it takes while it loads and runs. Runs in the worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from greengate.profiler.backends.torch_device import Board
from greengate.profiler.backends.torch_renew import changed
from greengate.profiler.backends.torch_run import Ready, wait
from greengate.profiler.backends.worker_roles import FOOTPRINT_CALLS, above, peak, reset_peak

T = TypeVar("T")

#: The most that was held, None where nobody tells, and that PyTorch's allocator had reserved on a board.
Peak = tuple[int | None, int]


def clocked(work: Callable[[], T], board: Board | None, path: str) -> tuple[T, int]:
    """Return what some work makes and the ns that it takes, until the board, where there is one, is done with it."""
    start = time.perf_counter_ns()
    made = work()
    wait(board, path)
    return made, time.perf_counter_ns() - start


def several(
    model: Ready, kept: Sequence[str], begun: int | None, again: Callable[[], Ready], board: Board | None
) -> tuple[float, list[Peak]]:
    """Call a model a few times since a peak is watched; return the seconds in calls, and the peaks.

    `kept` are fingerprints of what it is fed. Where a call would get other inputs, because one before it has changed
    them, they are made `again`, and what that takes is in no peak: copies kept for it would be in all of them.
    """
    spent, peaks = 0, []
    for index in range(FOOTPRINT_CALLS):
        feed = index % len(model.calls)
        if changed(model, kept, feed):
            peaks.append(peak_of(board, begun))
            model = again()
            begun = marked(board)
        start = time.perf_counter_ns()
        model.call(feed)
        spent += time.perf_counter_ns() - start
    start = time.perf_counter_ns()
    wait(board, model.opened.path)
    spent += time.perf_counter_ns() - start
    return spent / 1e9, [*peaks, peak_of(board, begun)]


def marked(board: Board | None) -> int | None:
    """Begin to look for a peak anew; return what is held now, None where nobody tells."""
    return reset_peak() if board is None else board.reset_peak()


def peak_of(board: Board | None, since: int | None) -> Peak:
    """Return the most that was held since then, and that PyTorch's allocator had reserved on a board."""
    return (peak(since), 0) if board is None else board.peak()


def weighed(board: Board | None, before: int | None, *peaks: Peak) -> tuple[int | None, tuple[str, ...]]:
    """Return the highest peak above what was held before, and how it came about where that is not the usual way."""
    weight, notes = above(before, *(held for held, _ in peaks))
    if board is None:
        return weight, notes
    reserved = max(most for _, most in peaks)
    note = f"peak_memory is what PyTorch's allocator held on the {board.name}; it had reserved {reserved:,} B"
    return weight, (note,)
