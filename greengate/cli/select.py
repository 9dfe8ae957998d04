"""`greengate select`: the most efficient model that keeps what is required."""

from __future__ import annotations

import click


@click.command()
@click.option("--from", "sources", multiple=True, required=True, metavar="SOURCE", help="See below; repeatable.")
@click.option("--require", "required", multiple=True, metavar="TEXT", help='Like "accuracy >= 0.92"; repeatable.')
@click.option("--minimize", required=True, metavar="METRIC", help="Of those that keep it, the least of this.")
@click.option("--name-only", is_flag=True, help="Print the chosen name alone, for scripts.")
def select(sources: tuple[str, ...], required: tuple[str, ...], minimize: str, name_only: bool) -> int:
    """Choose the most efficient model that keeps every requirement, and show who is beaten by nobody.

    SOURCE is a profile or a folder of them, a store (dir:PATH, git:BRANCH), or a registered
    model (mlflow:models:/NAME). A requirement is judged on the whole interval.
    Exit: 0 one was chosen, 1 none keeps it, 3 none does for sure.

    \b
    greengate select --from profiles/ --require "latency_p95 <= 45 ms" --minimize flops
    greengate select --from mlflow:models:/net --require "accuracy >= 0.92" --minimize energy_per_1k
    """
    from greengate.cli.output import say
    from greengate.errors import Exit
    from greengate.tasks import select as task
    from greengate.verdict import Status

    needs = [task.requirement(text) for text in required]
    choice = task.select(task.candidates(sources), needs, minimize)
    if not name_only:
        say(choice.table)
    if choice.name is None:
        click.echo("none keeps every requirement" + (" for sure" if choice.status is not Status.FAIL else ""), err=True)
        return Exit.FAIL if choice.status is Status.FAIL else Exit.INCONCLUSIVE
    say(choice.name if name_only else f"\n{choice.name}")
    return Exit.PASS
