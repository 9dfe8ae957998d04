"""Running any command and recording what it drew: counters where there are, an estimate where not."""

from __future__ import annotations

import datetime
import platform
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from greengate import __version__
from greengate.budget import Carbon
from greengate.carbon.drawn import Watch
from greengate.carbon.record import Record
from greengate.errors import Diagnostic, GreengateError
from greengate.profiler.meters.bench import Energy, discover


def track(command: Sequence[str], carbon: Carbon | None, now: datetime.datetime) -> Record:
    """Run a command to its end and record what the whole machine drew meanwhile, or what its processes are modelled to.

    A command that is killed is recorded too; its exit code is 128 + the signal. Raises GreengateError where it cannot
    be started.
    """
    watch = Watch(*discover(Energy(estimates=True)))
    begun = time.monotonic_ns()
    try:
        code = _run(command)
    finally:
        drawn = watch.stop()
    seconds = (time.monotonic_ns() - begun) * 1e-9
    joules = drawn.joules
    emitted = None if joules is None or carbon is None else joules * carbon.intensity * carbon.pue
    return Record(
        command=tuple(command),
        exit=code,
        host=f"{platform.node()}, {platform.system()} {platform.release()}",
        started=now.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        domains=drawn.domains,
        absent=drawn.absent,
        joules=joules,
        method=drawn.method,
        kilograms=emitted,
        intensity="" if carbon is None else carbon.source,
        greengate=__version__,
    )


def _run(command: Sequence[str]) -> int:
    with _passing_on() as children:
        try:
            child = subprocess.Popen(command)  # noqa: S603 - the user's own command
        except OSError as error:
            message = f"cannot run {command[0]!r}: {error.strerror or error}"
            raise GreengateError(Diagnostic("usage", message, "write the command after `--`")) from error
        children.append(child)
        code = child.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _passing_on() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Leave an interrupt to the child, and hand a request to end on to it: the record is written in either case."""
    children: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, _: object) -> None:
        for child in children:
            child.send_signal(number)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),  # the terminal tells the child as well
        signal.SIGTERM: signal.signal(signal.SIGTERM, hand_on),
    }
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
