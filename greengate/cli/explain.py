"""`greengate explain`: one rule of the last verdict, with its arithmetic."""

from __future__ import annotations

import click


@click.command()
@click.argument("rule", metavar="RULE")
@click.option("--model", metavar="NAME", help="Only this model.")
@click.option("--from", "source", metavar="FILE", help="A verdict's JSON. [default: .greengate/last.json]")
def explain(rule: str, model: str | None, source: str | None) -> int:
    """Print RULE, its line, its numbers and the arithmetic of its last verdict.

    \b
    greengate explain size
    greengate explain latency --model sentiment --from verdict.json
    """
    from greengate.cli.output import say
    from greengate.report import explain as render
    from greengate.tasks.record import last

    verdict = last(source)
    say(render.render(verdict, rule, model))
    return 0
