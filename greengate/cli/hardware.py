"""`greengate hardware`: what machine this is."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--against", metavar="FILE", help="A profile: say what this machine differs in from the one it was made on."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def hardware(against: str | None, as_json: bool) -> int:
    """Show what this machine is: the id that decides whether stored numbers compare, and what else is known.

    \b
    greengate hardware
    greengate hardware --against old.profile.json
    """
    from pathlib import Path

    from greengate import profile_file
    from greengate.cli.output import say
    from greengate.profile import Trial
    from greengate.tasks import machine

    if as_json:
        say(machine.as_json())
        return 0
    other = None
    if against is not None:
        read = profile_file.read(Path(against))
        other = (read.candidate if isinstance(read, Trial) else read).hardware
    say(machine.described(other))
    return 0
