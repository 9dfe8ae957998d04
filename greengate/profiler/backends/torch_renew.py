"""Models that change their inputs in place: told from others, and called on copies made before. Runs in the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from greengate.profile import Role
from greengate.profiler import pairing
from greengate.profiler.backends.torch_calls import Call
from greengate.profiler.backends.torch_device import BLOCK, Board
from greengate.profiler.backends.torch_run import Ready
from greengate.profiler.backends.worker_roles import naming
from greengate.profiler.jobs import WorkerFailed
from greengate.profiler.operations.torch_fresh import fingerprint, fresh

#: What a profile says of such a model.
NOTE = "the model changes its inputs in place: every call gets a copy of them, made before and in no number"

#: What a trial says where it was made on copies.
PAIRED = (
    "a model here changes its inputs in place: each call of every one is on a copy, made before, so its caches are cold"
)

_CHANGES = "it changes its inputs in place"
_COPY = "let the model work on a copy: x = x / 255, not x /= 255"

#: Models that changed nothing in their first calls, and fingerprints of what they are fed.
Watched = dict[Role, tuple[Ready, Sequence[str]]]


@dataclass
class Renewing:
    """A model that changes what it is fed. Call `renew` where no clock runs; a call without it makes its own copy."""

    ready: Ready
    _stock: list[Call] = field(default_factory=list)
    _left: Iterator[Call] = field(default_factory=lambda: iter(()))

    def renew(self, index: int, calls: int = 1) -> None:
        """Make copies of a feed for so many calls; those before are let go of here, and not inside a call."""
        self._stock = [copied(self.ready.calls[index]) for _ in range(calls)]
        self._left = iter(self._stock)

    def __call__(self, index: int) -> Any:
        """Run once on a copy of one of what is fed. Raises like Ready.call."""
        given = next(self._left, None)
        return self.ready.run(copied(self.ready.calls[index]) if given is None else given)


def copied(call: Call) -> Call:
    """Return a call on copies of all that it is given."""
    return Call(*fresh((call.args, call.kwargs)))


def fingerprints(ready: Ready) -> tuple[str, ...]:
    """Return one for each of what a model is fed, as it is now."""
    return tuple(fingerprint((call.args, call.kwargs)) for call in ready.calls)


def looking(ready: Ready) -> Callable[[], Renewing | None]:
    """Keep a copy of feed 0; return what tells after a call on it how to call the model, where it has changed it."""
    kept = copied(ready.calls[0])

    @cache
    def told() -> Renewing | None:
        given = ready.calls[0]
        if fingerprint((given.args, given.kwargs)) == fingerprint((kept.args, kept.kwargs)):
            return None
        return Renewing(replace(ready, calls=(kept, *ready.calls[1:])))

    return told


def changed(ready: Ready, before: Sequence[str], index: int) -> bool:
    """Tell whether one of what a model is fed is no longer what it was."""
    given = ready.calls[index]
    return fingerprint((given.args, given.kwargs)) != before[index]


def check_all(watched: Watched) -> None:
    """Make sure of every role, and name the one that fails; see check_kept."""
    for role, (ready, before) in watched.items():
        with naming(role):
            check_kept(ready, before)


def check_kept(ready: Ready, before: Sequence[str]) -> None:
    """Make sure that all that was fed is as it was. Raises WorkerFailed where a call changed it after the first."""
    if fingerprints(ready) != tuple(before):
        raise WorkerFailed(f"{_CHANGES}, and not in its first call: later calls got what earlier ones left", _COPY)


def check_metered(call: pairing.Call) -> None:
    """Refuse to meter a model whose inputs must be copied. Raises WorkerFailed."""
    if isinstance(call, Renewing):
        raise WorkerFailed(f"{_CHANGES}, and copying them for every call would draw energy in its windows", _COPY)


def alike(calls: dict[Role, pairing.Call], watched: Watched) -> tuple[dict[Role, pairing.Call], bool]:
    """Return calls to be compared, all on copies where one needs them, and whether they are.

    A copy in between leaves the caches other than a call does: it costs 10 us and more, whatever the model.
    """
    if not any(isinstance(call, Renewing) for call in calls.values()):
        return calls, False
    return {role: Renewing(watched[role][0]) if role in watched else call for role, call in calls.items()}, True


def on_host(call: pairing.Call, feed: int) -> tuple[Sequence[int], Sequence[int]]:
    """Time one call by the clocks of this process, on a copy made before, where there must be one."""
    if isinstance(call, Renewing):
        call.renew(feed)
    return pairing.on_host(call, feed)


def on_board(board: Board) -> pairing.Timer:
    """Return what times a block of calls by a board's events; where there must be copies, all are made before it."""

    def timed(call: pairing.Call, feed: int) -> tuple[Sequence[int], Sequence[int]]:
        if isinstance(call, Renewing):
            call.renew(feed, BLOCK)
        return board.timed(call, feed)

    return timed
