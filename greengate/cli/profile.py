"""`greengate profile`: measure one model, or one beside its baseline, and keep the numbers."""

from __future__ import annotations

import click


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", metavar="FILE", help="Write JSON here; `-` is stdout.")
@click.option("--against", metavar="URI", help="Measure beside this baseline: writes a trial.")
@click.option("-b", "--budget", metavar="FILE", help="Budget that names the model. [default: budgets.yaml if there]")
@click.option("--static-only", is_flag=True, help="Exact metrics only; takes seconds.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="For a model.")
@click.option("--energy", is_flag=True, help="Meter energy too, counted or estimated; takes minutes.")
@click.option("--instructions", is_flag=True, help="Count instructions under valgrind.")
@click.option("--data-traffic", is_flag=True, help="And simulate a cache.")
@click.option("--layers", is_flag=True, help="Print the layers as a tree, largest first.")
def profile(
    model: str,
    output: str | None,
    against: str | None,
    budget: str | None,
    static_only: bool,
    max_seconds: float,
    energy: bool,
    instructions: bool,
    data_traffic: bool,
    layers: bool,
) -> int:
    """Measure MODEL, a name in the budget or a path, and show or save every metric.

    With --against both models are measured side by side. Raw samples are kept, of two
    looks, so that `greengate check --profile FILE` can judge them elsewhere.

    \b
    greengate profile model.onnx
    greengate profile model.onnx --static-only --layers
    greengate profile sentiment --against auto -o trial.json
    """
    from greengate import gate, profile_file
    from greengate.cli.output import clock, default_budget, environment, progress, save, say
    from greengate.profile import Profile
    from greengate.report import changes, outline

    request = gate.Request(
        budget=default_budget(budget),
        models=(model,),
        against=against or "none",
        static_only=static_only,
        max_seconds=max_seconds,
        energy=energy,
        simulation_seconds=max_seconds,
        simulated=("instructions",) * (instructions or data_traffic) + ("data_traffic",) * data_traffic,
        environ=environment(),
    )
    with progress() as show:
        measured = gate.profile(request, clock(), show)
    if isinstance(measured, Profile):
        text, table = profile_file.dump_profile(measured), changes.render_profile(measured)
    else:
        text, table = profile_file.dump_trial(measured), changes.render_trial(measured)
    if output is not None:
        save(output, text)
    if output != "-":
        say(table)
        if layers:
            say(f"\n{outline.render(measured if isinstance(measured, Profile) else measured.candidate)}")
    return 0
