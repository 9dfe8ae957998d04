"""`greengate compare`: two models side by side, no budget, no verdict."""

from __future__ import annotations

import click


@click.command()
@click.argument("baseline", metavar="BASELINE")
@click.argument("candidate", metavar="CANDIDATE")
@click.option("-b", "--budget", metavar="FILE", help="Budget to take the workload from.")
@click.option("--static-only", is_flag=True, help="Exact metrics only; takes seconds.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True)
def compare(baseline: str, candidate: str, budget: str | None, static_only: bool, max_seconds: float) -> int:
    """Measure two model files (or read two profiles) and show every change with its interval.

    \b
    greengate compare old.onnx new.onnx
    greengate compare old.profile.json new.profile.json
    """
    from greengate import gate
    from greengate.cli.output import clock, progress, say

    request = gate.Request(
        budget=budget,
        models=(candidate,),
        against=baseline,
        static_only=static_only,
        max_seconds=max_seconds,
    )
    with progress() as show:
        say(gate.compare(request, clock(), show))
    return 0
