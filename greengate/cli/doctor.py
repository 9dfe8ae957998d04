"""`greengate doctor`: what can be measured on this machine."""

from __future__ import annotations

import click


@click.command()
@click.argument("model", required=False, metavar="[MODEL]")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=20, show_default=True, help="For the A/A run.")
def doctor(model: str | None, max_seconds: float) -> int:
    """Say what can be measured here, and how small a change can be told from noise.

    Runs a model against itself (MODEL, or a small built-in network) to measure the noise floor.
    Tells of the power log that budgets.yaml names, too.

    \b
    greengate doctor
    greengate doctor model.onnx
    """
    from greengate.cli.output import default_budget, progress, refuse_strangers, say
    from greengate.tasks import doctor as task

    if model is not None:
        refuse_strangers()
    with progress() as show:
        say(task.examine(model, max_seconds, show, default_budget(None)))
    return 0
