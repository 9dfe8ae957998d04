"""`greengate verify`: hold a verdict's file to its own case, without measuring."""

from __future__ import annotations

import click


@click.command()
@click.argument("file", metavar="VERDICT.json")
def verify(file: str) -> int:
    """Judge a verdict's case again; the file must say the same, byte for byte. Nothing is measured.

    Exits 0 when it does, whatever the verdict is, and 2 when it does not.

    \b
    greengate verify verdict.json
    """
    from greengate.cli.output import say
    from greengate.report.words import headline
    from greengate.tasks.verify import verify

    verdict = verify(file)
    say(f"verified: {verdict.status.name} {headline(verdict)}; exit {int(verdict.exit)}")
    return 0
