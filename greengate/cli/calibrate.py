"""`greengate calibrate`: joules from instructions, for machines that count none."""

from __future__ import annotations

import click


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("-o", "--output", metavar="FILE", default="energy.calibration.json", show_default=True, help="Where to.")
@click.option(
    "--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="To time and to count."
)
@click.option(
    "--energy-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="To meter, a model."
)
def calibrate(models: tuple[str, ...], output: str, max_seconds: float, energy_seconds: float) -> int:
    """Fit joules to instructions, on a machine that counts energy, for machines that cannot.

    Meters 24 models of its own, or 20 MODELs or more, and counts their instructions under
    valgrind; takes most of an hour. Says how far off a model may be that took no part. Name
    the file in the budget, `energy: {calibration: FILE}`, and rules on energy_per_1k that
    say `allow_estimated: true` are judged by it where nothing counts energy.

    \b
    greengate calibrate
    greengate calibrate models/*.onnx -o runner.calibration.json
    """
    from greengate import calibration_file, gate
    from greengate.cli.output import clock, environment, progress, save, say
    from greengate.tasks import calibrate as task

    request = gate.Request(
        models=models,
        max_seconds=max_seconds,
        energy_seconds=energy_seconds,
        simulation_seconds=max_seconds,
        environ=environment(),
    )
    with progress() as show:
        done = task.calibrate(request, clock(), show)
    save(output, calibration_file.dump(done.calibration))
    if output != "-":
        say(task.render(done))
    return 0
