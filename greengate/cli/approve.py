"""`greengate approve`: say yes to one candidate, for named rules, until a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greengate.cli.usage import last_budget

if TYPE_CHECKING:
    import datetime


@click.command()
@click.argument("rules", nargs=-1, required=True, metavar="RULE...")
@click.option("--model", metavar="NAME", help="The model; needed where the rule binds several.")
@click.option("--reason", required=True, metavar="TEXT", help="Why it is worth it.")
@click.option("--expires", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The last day it counts.")
@click.option("--ceiling", metavar="LIMIT", help="How far it goes; as far as the trade-off, if absent.")
@click.option("--by", metavar="NAME", help="Your name among the allowed signers. [default: git's user.email]")
@click.option("--key", type=click.Path(dir_okay=False), help="Sign it with this SSH key.")
@click.option("--from", "source", metavar="FILE", help="A verdict's JSON. [default: the last one]")
@last_budget
def approve(
    rules: tuple[str, ...],
    model: str | None,
    reason: str,
    expires: datetime.datetime,
    ceiling: str | None,
    by: str | None,
    key: str | None,
    source: str | None,
    budget: str,
) -> int:
    """Approve what the last verdict measured: this candidate, against this baseline, for each RULE.

    Without a key the file counts once it is on the target branch; signed, it counts at once.

    \b
    greengate approve energy --model sentiment --reason "+0.8 pp" --expires 2027-01-31 --key ~/.ssh/id
    """
    from pathlib import Path

    from greengate.cli.output import clock, say
    from greengate.tasks.approve import Yes, approve
    from greengate.tasks.record import last

    signing = None if key is None else Path(key)
    yes = Yes(rules, model, reason, expires.date(), ceiling, by, signing)
    folder = Path(budget).parent if source is None else None
    for path in approve(last(source, budget), yes, clock().date(), folder):
        say(f"wrote {path}")
    return 0
