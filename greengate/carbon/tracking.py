"""Running any command and recording what it drew: counters where there are, an estimate where not."""

from __future__ import annotations

import datetime
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from greengate import __version__
from greengate.budget import Carbon
from greengate.carbon import family
from greengate.carbon.drawn import Drawn, Watch
from greengate.carbon.record import Record
from greengate.errors import Diagnostic, GreengateError
from greengate.profiler.meters import said
from greengate.profiler.meters.bench import Energy, discover

#: What a command can be asked: to end, now or in good order, or whatever it takes a signal of the user's for.
_ASKED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
#: What is typed at a terminal, which tells every process of its foreground group, the command as well.
_TYPED = ("SIGINT", "SIGQUIT")

#: What meters a command where no budget names an external meter: this machine's counters, or else a model.
_OWN = Energy(estimates=True)
#: Seconds that what a command leaves running may take to end: loaders of data, a tracker of shared memory.
GRACE = 5.0
#: Seconds between two looks at processes that left the command and ended.
_BURY = 1.0

Adopt = Callable[["subprocess.Popen[bytes]"], None]


def track(
    command: Sequence[str],
    carbon: Carbon | None,
    now: datetime.datetime,
    energy: Energy = _OWN,
    tell: Callable[[str], None] = lambda _: None,
) -> Record:
    """Run a command to its end and record what the whole machine drew meanwhile, or what its processes are modelled to.

    The external log that `energy` names stands for all; where it cannot be used, `tell` hears so before the command
    runs, and no joules are recorded. A command that is killed is recorded too; its exit code is 128 + the signal.
    Raises GreengateError where it cannot be started.
    """
    meters, absent = discover(energy)
    for one in absent:
        if one.kind == "system":
            tell(f"no joules will be recorded: {one.what}: {one.reason}" + f"; {one.help}" * bool(one.help))
    watch = Watch(meters, absent, again=lambda: discover(Energy()))
    begun = time.monotonic_ns()
    left: tuple[str, ...] = ()
    with family.adopting() as unfollowed, _passing_on() as (adopt, kept):
        before = family.running()
        try:
            code = _run(command, adopt, before)
            left = family.stay(before, GRACE, kept)
        finally:
            seconds = (time.monotonic_ns() - begun) * 1e-9
            drawn = _stopped(watch, left)
    joules = drawn.joules
    emitted = None if joules is None or carbon is None else joules * carbon.intensity * carbon.pue
    return Record(
        command=tuple(command),
        exit=code,
        host=f"{platform.node()}, {platform.system()} {platform.release()}",
        started=now.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        domains=drawn.parts or drawn.domains,
        absent=(*drawn.absent, unfollowed) if unfollowed else drawn.absent,
        joules=joules,
        method=drawn.method,
        kilograms=emitted,
        intensity="" if carbon is None else carbon.source,
        greengate=__version__,
    )


def _stopped(watch: Watch, left: Sequence[str]) -> Drawn:
    """Return what was counted; where that breaks, the command's exit code is passed on and recorded all the same."""
    try:
        return watch.stop([f"{one} still ran when the command had ended: what it drew then is unknown" for one in left])
    except Exception as error:  # noqa: BLE001 - hours of training are not lost for a meter
        why = f"the counters could not be read to the end: {said(error)}"
        return Drawn(absent=(why,), lost=(why,))


def _run(command: Sequence[str], adopt: Adopt, before: frozenset[int]) -> int:
    try:
        child = subprocess.Popen(command)  # noqa: S603 - the user's own command
    except OSError as error:
        message = f"cannot run {command[0]!r}: {error.strerror or error}"
        raise GreengateError(Diagnostic("usage", message, "write the command after `--`")) from error
    adopt(child)
    while True:
        try:
            code = child.wait(timeout=_BURY)
            break
        except subprocess.TimeoutExpired:
            family.bury(before | {child.pid})
    return 128 - code if code < 0 else code


@contextmanager
def _passing_on() -> Iterator[tuple[Adopt, Sequence[int]]]:
    """Hand on what this process is asked to the child, each request once: the record is written in any case.

    Yields what takes the child, and requests that reached nobody: one that came before the child is kept until then,
    one that comes when it has ended is there to be seen. What is ignored stays ignored, for the child as well: `nohup`
    means that.
    """
    children: list[subprocess.Popen[bytes]] = []
    kept: list[int] = []

    def hand_on(number: int, _: object) -> None:
        if not children or children[0].returncode is not None:
            kept.append(number)
        elif signal.Signals(number).name not in _TYPED or not _told_by_terminal(children[0].pid):
            children[0].send_signal(number)

    def adopt(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in kept:
            child.send_signal(number)
        kept.clear()

    before = {
        number: handler for number in _ASKED if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }
    for number in before:
        signal.signal(number, hand_on)
    try:
        yield adopt, kept
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told_by_terminal(child: int) -> bool:
    """Tell whether this process and the child are in the foreground of their terminal: what is typed reaches both."""
    if not hasattr(os, "tcgetpgrp"):  # Windows: a console tells both
        return True
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp() == os.getpgid(child)
    except OSError:
        return False
    finally:
        os.close(terminal)
