"""The peak of PyTorch's allocator during one call, from what the allocator itself reports. Runs in the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greengate.profile import Measurement, Missing
from greengate.profiler.backends.torch_device import Board

#: Calls before memory is looked at: TorchScript optimises during its first ones.
_WARM_UP = 3


def _nothing() -> None:
    """Make nothing ready."""


def activation_memory(call: Callable[[], Any], renew: Callable[[], object] = _nothing) -> Measurement | Missing:
    """Return the most bytes held at once during one call, beyond what was held before it.

    Two calls must agree to the byte, else it is Missing. `renew` makes ready what a call needs, and is in no peak.
    """
    for _ in range(_WARM_UP):
        call()
    peaks = set()
    for _ in range(2):
        renew()
        peaks.add(_peak(call))
    if None in peaks:
        return Missing("this build of PyTorch does not report its allocations", "unavailable")
    if len(peaks) > 1:
        low, high = sorted(peak for peak in peaks if peak is not None)
        return Missing(f"it differs from call to call: {low:,} and {high:,} bytes", "unsettled")
    detail = "peak of PyTorch's CPU allocator during one call, weights and inputs not in it"
    return Measurement(float(peaks.pop() or 0), "executed", detail=detail)


def _peak(call: Callable[[], Any]) -> int | None:
    """Return the highest sum of allocations minus releases, in the order in which they were made."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    results = getattr(recorded.profiler, "kineto_results", None)
    events = [] if results is None else [event for event in results.events() if event.name() == "[memory]"]
    if not events:
        return None
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def board_memory(board: Board, call: Callable[[], Any], renew: Callable[[], object] = _nothing) -> Measurement:
    """Return the most bytes that tensors held on the board during one call, beyond what they held before it.

    `renew` is as in `activation_memory`.
    """
    for _ in range(_WARM_UP):
        call()
    renew()
    before = board.reset_peak()
    call()
    peak, reserved = board.peak()
    detail = f"peak of PyTorch's CUDA allocator during one call, weights and inputs not in it; {reserved:,} B reserved"
    return Measurement(float(peak - before), "executed", detail=detail)
