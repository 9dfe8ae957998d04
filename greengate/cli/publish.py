"""`greengate publish`: a verdict onto a version in a model registry."""

from __future__ import annotations

import click

from greengate.cli.usage import last_budget


@click.command()
@click.argument("model", required=False, metavar="[MODEL]")
@click.option("--to", required=True, metavar="URI", help="mlflow, mlflow:models:/NAME, …/NAME/VERSION or …/NAME@ALIAS.")
@click.option("--from", "source", metavar="FILE", help="A verdict's JSON. [default: the last one]")
@last_budget
def publish(model: str | None, to: str, source: str | None, budget: str) -> int:
    """Log MODEL's numbers, profile, verdict and report to a registry, and tag the version with them.

    Without a version the measured file is registered as a new one. The registry is the one
    that MLFLOW_TRACKING_URI names.

    \b
    greengate publish sentiment --to mlflow:models:/sentiment/7
    greengate publish --to mlflow
    """
    from greengate.cli.output import say
    from greengate.tasks.publish import publish as task

    say(task(source, budget, model, to))
    return 0
