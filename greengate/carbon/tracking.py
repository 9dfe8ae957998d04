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
from greengate.carbon.record import Record, Spent, weakest
from greengate.errors import Diagnostic, GreengateError
from greengate.power import Domain
from greengate.profiler.meters.bench import Energy, discover
from greengate.profiler.meters.recorder import Recorder

#: Seconds between two reads: a training lasts, and no counter wraps twice in this.
_PAUSE = 0.25


def track(command: Sequence[str], carbon: Carbon | None, now: datetime.datetime) -> Record:
    """Run a command to its end and record what the whole machine drew meanwhile, or what its processes are modelled to.

    A command that is killed is recorded too; its exit code is 128 + the signal. Raises GreengateError where it cannot
    be started.
    """
    meters, absent = discover(Energy(estimates=True))
    recorder = Recorder(meters, pause=_PAUSE)
    recorder.start()
    begun = time.monotonic_ns()
    try:
        code = _run(command)
    finally:
        recorder.stop()
    seconds = (time.monotonic_ns() - begun) * 1e-9
    spent: list[Spent] = []
    lost = [f"{one.what}: {one.reason}" for one in absent]
    for _, domains in meters:
        for domain in domains:
            found = _spent(recorder, domain)
            if isinstance(found, Spent):
                spent.append(found)
            else:
                lost.append(found)
    domains_of = tuple(spent)
    # Without the processor a sum would leave out what was drawn.
    whole = any(one.kind in ("cpu", "system") for one in spent)
    joules = sum(one.joules for one in spent) if whole else None
    emitted = None if joules is None or carbon is None else joules * carbon.intensity * carbon.pue
    return Record(
        command=tuple(command),
        exit=code,
        host=f"{platform.node()}, {platform.system()} {platform.release()}",
        started=now.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        domains=domains_of,
        absent=tuple(lost),
        joules=joules,
        method=weakest(domains_of) if whole else None,
        kilograms=emitted,
        intensity="" if carbon is None else carbon.source,
        greengate=__version__,
    )


def _spent(recorder: Recorder, domain: Domain) -> Spent | str:
    series = recorder.series[domain.id]
    if why := series.fault(0, time.monotonic_ns()):
        return why
    if not series.total:
        return f"{domain.id}: it did not change while the command ran"
    return Spent(
        domain.id,
        domain.kind,
        domain.method,
        domain.about,
        series.total * domain.joules,
        series.peak(1.0) * domain.joules,
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
