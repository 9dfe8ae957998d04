"""Where a command's words go: reports, progress, the clock."""

from __future__ import annotations

import datetime
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from greengate.errors import Diagnostic, ReportError
from greengate.harmless import tame

if TYPE_CHECKING:
    from greengate.profiler.trial import Progress, Step
    from greengate.verdict import Verdict

Outputs = Sequence[tuple[str, str]]


def clock() -> datetime.datetime:
    """Return the time now, UTC; the only clock that verdicts and baselines are dated by."""
    return datetime.datetime.now(datetime.UTC)


def environment() -> Mapping[str, str]:
    """Return the variables that tell where the gate runs."""
    return dict(os.environ)


def refuse_strangers() -> None:
    """Refuse to load models in a job that holds secrets. Raises GreengateError `untrusted-event`."""
    from greengate.ci import stranger

    stranger.refuse(environment())


def default_budget(written: str | None) -> str | None:
    """Return the budget to use: the one named, else budgets.yaml where there is one, else none."""
    if written is None and Path("budgets.yaml").is_file():
        return "budgets.yaml"
    return written


def tell(line: str) -> None:
    """Say one line on stderr; names in it are a stranger's, and do not break it."""
    click.echo(tame(line), err=True)


def remember(verdict: Verdict) -> None:
    """Keep the verdict for `explain`; a folder that cannot be written costs a warning, not the verdict."""
    from greengate.tasks import record

    try:
        record.remember(verdict)
    except ReportError as error:
        first = replace(error.diagnostics[0], severity="warning")
        click.echo(f"{first}\n  = note: `greengate explain` will not know this verdict", err=True)


def reporters(written: Sequence[str]) -> Outputs:
    """Read `FORMAT=PATH` options before anything is measured; none means the terminal.

    Raises ReportError for an unknown format or a missing path, all of them at once.
    """
    from greengate.report import REPORTS, load

    known = ", ".join(REPORTS)
    outputs, wrong = [], []
    for text in written:
        name, _, path = text.partition("=")
        if name not in REPORTS:
            wrong.append(Diagnostic("report-format", f"no report is called {name!r}", f"use one of {known}"))
        elif not path:
            wrong.append(
                Diagnostic("usage", f"--report {text} names no file", f"write --report {name}=PATH or {name}=-")
            )
        outputs.append((name, path))
    if wrong:
        raise ReportError(*wrong)
    outputs = outputs or [("terminal", "-")]
    # Reading the renderers takes a while; the models' workers leave this process idle meanwhile.
    threading.Thread(target=load, args=([name for name, _ in outputs],), daemon=True).start()
    return outputs


def emit(verdict: Verdict, outputs: Outputs) -> None:
    """Write every report, files before stdout. Raises ReportError where one cannot be written."""
    from greengate import ci
    from greengate.report import REPORTS
    from greengate.report.lines import Checkout

    top = ci.root(environment())
    checkout = Checkout() if top is None else Checkout(str(top), str(Path.cwd()))
    rendered = [(path, name, REPORTS[name](verdict, checkout)) for name, path in outputs if path != "-"]
    for path, _, text in rendered:
        save(path, text)
    for name, path in outputs:
        if path == "-":
            say(_terminal(verdict) if name == "terminal" else REPORTS[name](verdict, checkout))


def _terminal(verdict: Verdict) -> str:
    import shutil

    from greengate.report import terminal

    width = min(shutil.get_terminal_size((100, 24)).columns, 140)
    return terminal.render(verdict, colour=sys.stdout.isatty(), width=width)


def save(path: str, text: str) -> None:
    """Write a text file whole, `-` being stdout. Raises ReportError where it cannot be written."""
    from greengate.files import write_atomic

    if path == "-":
        say(text)
    else:
        write_atomic(Path(path), text)


def try_out(path: str) -> None:
    """Make sure that a file can be written, before what it will hold is made. Raises ReportError where it cannot."""
    from greengate import files

    if path != "-":
        files.try_out(Path(path))


def say(text: str) -> None:
    """Write to stdout, ending in one newline. Raises ReportError when nobody reads it any more or the disk is full."""
    try:
        click.echo(text.rstrip("\n"))
        sys.stdout.flush()
    except OSError as error:
        # What is still in the buffer cannot be written either: keep the interpreter from trying again at exit.
        sys.stdout = None
        raise ReportError(
            Diagnostic("cannot-write", f"cannot write to stdout: {error.strerror}", "write to a file with FORMAT=PATH")
        ) from error


@contextmanager
def progress() -> Iterator[Progress]:
    """Show what is being measured and the time left on stderr, only on a terminal."""
    from greengate.profiler.trial import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.fields[left]}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0, left="")

        def show(step: Step) -> None:
            total = step.spent + step.left
            left = f"at most {step.left:.0f} s left" if step.left else ""
            bar.update(task, description=f"{step.model}: {step.doing}", completed=step.spent, total=total, left=left)

        yield show
