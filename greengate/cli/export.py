"""`greengate export`: what was measured, for other tools."""

from __future__ import annotations

import click

from greengate.cli.usage import last_budget


@click.command()
@click.argument("source", required=False, metavar="[FILE]")
@click.option("-f", "--format", "form", required=True, metavar="FORMAT", help="See below.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Write here instead of stdout.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this model; repeatable.")
@last_budget
def export(source: str | None, form: str, output: str, models: tuple[str, ...], budget: str) -> int:
    """Write the last verdict, or FILE (a verdict, profile or trial), in another tool's format.

    openmetrics is a Prometheus textfile, cyclonedx an ML-BOM with its energy section,
    model-card the metadata of a Hugging Face model card.

    \b
    greengate export --format openmetrics -o greengate.prom
    greengate export profile.json --format cyclonedx -o mlbom.json
    """
    from greengate.cli.output import save
    from greengate.errors import Diagnostic, ReportError
    from greengate.report.exports import EXPORTS
    from greengate.tasks.export import export as task

    if form not in EXPORTS:
        help = f"use one of {', '.join(EXPORTS)}"
        raise ReportError(Diagnostic("report-format", f"no export is called {form!r}", help))
    save(output, task(source, budget, form, models))
    return 0
