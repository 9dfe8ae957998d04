"""`greengate ratchet`: tighter limits, from what the models achieve now."""

from __future__ import annotations

import click

from greengate.cli.usage import last_budget


@click.command()
@click.option("--write", is_flag=True, help="Apply the patch to the budget.")
@click.option("--headroom", metavar="SHARE", default="0%", show_default=True, help="Room to leave, such as 5%.")
@click.option("--from", "source", metavar="FILE", help="A verdict's JSON. [default: the last one]")
@last_budget
def ratchet(write: bool, headroom: str, source: str | None, budget: str) -> int:
    """Propose tighter limits from what the last verdict measured, as a patch of the budget. Never a looser one.

    Absolute limits are tightened to what every model they bind needs: an exact number as it is, a noisy one with half
    its interval's width as head-room. Limits on changes move with the baseline. Comments and layout stay.

    \b
    greengate ratchet
    greengate ratchet --headroom 5% --write
    """
    from pathlib import Path

    from greengate.cli.output import say
    from greengate.errors import Diagnostic, GreengateError
    from greengate.files import write_atomic
    from greengate.tasks import ratchet as task
    from greengate.tasks.record import last
    from greengate.units import QuantityError, parse_delta

    try:
        share = parse_delta(headroom, "count").value
    except QuantityError as error:
        raise GreengateError(Diagnostic(error.code, error.message, error.help)) from error
    if not 0 <= share < 1:
        raise GreengateError(Diagnostic("bad-value", f"{headroom} is no room to leave", "write for example `5%`"))
    found = task.ratchet(last(source, budget), share)
    if write and found.proposals:
        write_atomic(Path(found.path), found.after)
    say(task.render(found))
    return 0
