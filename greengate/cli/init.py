"""`greengate init`: the first budget, written from what was measured."""

from __future__ import annotations

import click


@click.command()
@click.argument("folder", default=".", metavar="[FOLDER]")
@click.option("--force", is_flag=True, help="Overwrite an existing budgets.yaml.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="For a model.")
def init(folder: str, force: bool, max_seconds: float) -> int:
    """Find models below FOLDER, measure them, write budgets.yaml and accept version 1 as the baseline.

    Rules are set from what was measured: exact metrics, and changes of noisy ones above the noise.

    \b
    greengate init
    greengate init services/ocr --force
    """
    from pathlib import Path

    from greengate.cli.output import clock, progress, refuse_strangers, say
    from greengate.tasks import init as task

    refuse_strangers()
    with progress() as show:
        say(task.start(Path(folder), force, max_seconds, clock(), show))
    return 0
