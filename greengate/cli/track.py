"""`greengate track`: run a command and record what it drew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from greengate.carbon.record import Spent


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("-o", "--output", default="training.json", show_default=True, metavar="FILE", help="Where to record it.")
@click.option(
    "-b",
    "--budget",
    metavar="FILE",
    help="Budget whose `carbon` gives the intensity, and `power_log` the meter. [default: if there]",
)
def track(command: tuple[str, ...], output: str, budget: str | None) -> int:
    """Run COMMAND, record energy by counter, duration, peak power and emissions.

    Counters are the whole machine's; where there are none, an estimate. Where the budget names
    a `power_log`, that meter alone counts, and nothing stands for it. What the command leaves
    running leaves no sum: let it wait for its workers. Passes on the command's exit code, and to
    the command what it is asked to end with (INT, QUIT, TERM, HUP, USR1, USR2).
    `training: FILE` of a model in the budget judges the record.

    \b
    greengate track -- python train.py --epochs 3
    greengate track -o runs/7.json -- ./train.sh
    """
    from pathlib import Path

    from greengate import budget_file
    from greengate.carbon import record, tracking
    from greengate.cli.output import clock, default_budget, environment, save, tell, try_out
    from greengate.errors import ReportError
    from greengate.gate.precision import metered_by
    from greengate.units import format_quantity

    named = default_budget(budget)
    read = None if named is None else budget_file.read(Path(named))
    meters = metered_by(read, Path(named or "").parent, estimates=True, environ=environment())
    try_out(output)
    found = tracking.track(command, None if read is None else read.carbon, clock(), meters, tell)
    text, where = record.dump(found), f", in {output}"
    try:
        save(output, text)
    except ReportError as error:  # what was trained for hours is not lost for want of a place, nor its exit code
        click.echo(f"{error}\n{text}", err=True)
        where = ", in no file: the record stands above"
    mark = "\u2248 " if found.method == "estimated" else ""
    energy = "energy not counted" if found.joules is None else f"{mark}{format_quantity(found.joules, 'energy')}"
    emitted = "" if found.kilograms is None else f", {mark}{format_quantity(found.kilograms, 'mass')} CO2e"
    made_of = "; ".join(found.absent) if found.joules is None else " + ".join(map(_named, found.domains))
    click.echo(f"{energy}{emitted} in {found.seconds:.1f} s ({made_of}){where}", err=True)
    return found.exit


def _named(spent: Spent) -> str:
    return spent.about if spent.kind == "system" else spent.id
