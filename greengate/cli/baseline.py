"""`greengate baseline`: accept, list and show versions of a baseline."""

from __future__ import annotations

import click


@click.group()
def baseline() -> None:
    """Accept, list and show the versions that models are compared with.

    \b
    greengate baseline accept --reason "ticket 812: larger head"
    greengate baseline list
    greengate baseline show sentiment
    """


_budget = click.option(
    "-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The budget file."
)


@baseline.command()
@click.argument("models", nargs=-1, metavar="[MODEL | NAME=PATH]...")
@_budget
@click.option("--profile", "profiles", multiple=True, metavar="FILE", help="Accept these numbers, measure nothing.")
@click.option("--reason", required=True, metavar="TEXT", help="Why this version; kept with it.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="For a model.")
def accept(models: tuple[str, ...], budget: str, profiles: tuple[str, ...], reason: str, max_seconds: float) -> int:
    """Measure the budget's models and store each as the next version of its baseline.

    \b
    greengate baseline accept --reason "first release"
    greengate baseline accept sentiment --profile trial.json --reason "measured on the GPU runner"
    """
    from greengate import gate
    from greengate.cli.output import clock, progress, say
    from greengate.tasks import accept as task

    request = gate.Request(budget=budget, models=models, profiles=profiles, max_seconds=max_seconds)
    with progress() as show:
        say(task.accept(request, reason, clock(), show))
    return 0


@baseline.command("list")
@_budget
def list_(budget: str) -> int:
    """List every accepted version: model, number, date, hardware, reason.

    \b
    greengate baseline list
    """
    from greengate.cli.output import say
    from greengate.tasks import accept as task

    say(task.listing(budget))
    return 0


@baseline.command()
@click.argument("model", metavar="MODEL")
@click.argument("version", type=int, required=False, metavar="[VERSION]")
@_budget
def show(model: str, version: int | None, budget: str) -> int:
    """Show one version of MODEL's baseline: the newest, or VERSION.

    \b
    greengate baseline show sentiment 3
    """
    from greengate.cli.output import say
    from greengate.tasks import accept as task

    say(task.shown(budget, model, version))
    return 0
