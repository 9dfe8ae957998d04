"""`greengate history`: every metric of a model over its versions or verdicts."""

from __future__ import annotations

import click


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The budget file.")
@click.option("-s", "--store", metavar="URI", help="Another store: dir:PATH or git:BRANCH.")
@click.option("--verdicts", is_flag=True, help="Draw what `check --record` recorded, not accepted versions.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--format", "form", type=click.Choice(("text", "markdown")), default="text", show_default=True)
def history(model: str, budget: str, store: str | None, verdicts: bool, metrics: tuple[str, ...], form: str) -> int:
    """Draw every metric of MODEL over its accepted versions, with the places where its level changed.

    \b
    greengate history sentiment
    greengate history sentiment --verdicts --metric flops --format markdown
    """
    from greengate.cli.output import say
    from greengate.tasks import history as task
    from greengate.tasks import versions

    place = versions.opened(budget, store, model)
    say(task.drawn(place, model, budget, verdicts=verdicts, form=form, metrics=metrics))
    return 0
