"""`greengate compare`: two models side by side, no budget, no verdict."""

from __future__ import annotations

import click


@click.command()
@click.argument("baseline", metavar="BASELINE")
@click.argument("candidate", metavar="CANDIDATE")
@click.option("-b", "--budget", metavar="FILE", help="Budget to take the workload from.")
@click.option("--static-only", is_flag=True, help="Exact metrics only; takes seconds.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True)
@click.option("--energy", is_flag=True, help="Meter energy too, counted or estimated; takes minutes.")
def compare(
    baseline: str, candidate: str, budget: str | None, static_only: bool, max_seconds: float, energy: bool
) -> int:
    """Measure two model files (or read two profiles) and show every change with its interval.

    \b
    greengate compare old.onnx new.onnx
    greengate compare old.profile.json new.profile.json
    """
    from greengate import gate
    from greengate.cli.output import clock, default_budget, environment, progress, say
    from greengate.profile import Trial
    from greengate.report import changes
    from greengate.tasks import apart

    if baseline.endswith(".json") or candidate.endswith(".json"):
        say(changes.render_changes(*apart.compare(baseline, candidate)))
        return 0
    request = gate.Request(
        budget=default_budget(budget),
        models=(candidate,),
        against=baseline if ":" in baseline else f"file:{baseline}",
        static_only=static_only,
        max_seconds=max_seconds,
        energy=energy,
        environ=environment(),
    )
    with progress() as show:
        measured = gate.profile(request, clock(), show)
    if not isinstance(measured, Trial):
        raise TypeError("two models measured together give a trial")
    say(changes.render_trial(measured))
    return 0
