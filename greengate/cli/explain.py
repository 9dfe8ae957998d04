"""`greengate explain`: one rule of the last verdict, with its arithmetic."""

from __future__ import annotations

import click

from greengate.cli.usage import last_budget


@click.command()
@click.argument("rule", metavar="RULE")
@click.option("--model", metavar="NAME", help="Only this model.")
@click.option("--from", "source", metavar="FILE", help="A verdict's JSON. [default: the last one]")
@last_budget
def explain(rule: str, model: str | None, source: str | None, budget: str) -> int:
    """Print RULE, its line, its numbers and the arithmetic of its last verdict.

    \b
    greengate explain size
    greengate explain latency --model sentiment --from verdict.json
    greengate explain size -b services/ocr/budgets.yaml
    """
    from greengate.cli.output import say
    from greengate.report import explain as render
    from greengate.tasks.record import last

    verdict = last(source, budget)
    say(render.render(verdict, rule, model))
    return 0
