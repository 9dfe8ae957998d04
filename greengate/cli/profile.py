"""`greengate profile`: measure one model, or one beside its baseline, and keep the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from greengate.gate import Request
    from greengate.profile import Profile, Trial


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
@click.option("--export", type=click.Choice(["onnx"]), help="Export a PyTorch model, measure that too.")
@click.option("--keep", metavar="FILE", help="Keep what --export writes here.")
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
    export: str | None,
    keep: str | None,
    layers: bool,
) -> int:
    """Measure MODEL, a name in the budget or a path, and show or save every metric.

    With --against both models are measured side by side. Raw samples are kept, of two
    looks, so that `greengate check --profile FILE` can judge them elsewhere.

    \b
    greengate profile model.onnx
    greengate profile model.onnx --static-only --layers
    greengate profile sentiment --against auto -o trial.json
    greengate profile src/nets:make --export onnx --keep nets.onnx
    """
    from greengate import gate
    from greengate.cli.output import clock, default_budget, environment, progress

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
    if export is not None:
        return _twins(request, output, keep, layers)
    if keep is not None:
        raise click.UsageError("--keep says where --export writes: name both")
    with progress() as show:
        measured = gate.profile(request, clock(), show)
    _tell(measured, output, layers)
    return 0


def _tell(measured: Profile | Trial, output: str | None, layers: bool) -> None:
    from greengate import profile_file
    from greengate.cli.output import save, say
    from greengate.profile import Profile
    from greengate.report import changes, outline

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


def _twins(request: Request, output: str | None, keep: str | None, layers: bool) -> int:
    """Measure a model and its ONNX twin; exit 3 where there is none for want of time or memory."""
    from greengate import gate, profile_file
    from greengate.cli.output import clock, progress, save, say
    from greengate.errors import Exit
    from greengate.profile import Missing
    from greengate.report import outline, twins

    if request.against != "none":
        raise click.UsageError("--export measures a model by itself: leave out --against")
    if output == "-":
        raise click.UsageError("--export writes two profiles, and stdout holds one: name a file")
    if keep is not None and not keep.endswith(".onnx"):
        raise click.UsageError(f"--keep {keep}: let the name end in .onnx")
    with progress() as show:
        model, twin = gate.profile_twins(request, clock(), None if keep is None else Path(keep), show)
    found = {"": model} if isinstance(twin, Missing) else {"": model, "-onnx": twin}
    for suffix, one in found.items():
        if output is not None:
            path = Path(output)
            save(str(path.with_name(f"{path.stem}{suffix}{path.suffix}")), profile_file.dump_profile(one))
    say(twins.render_twins(model, twin))
    for one in found.values() if layers else ():
        say(f"\n{one.model.path}\n{outline.render(one)}")
    return int(Exit.INCONCLUSIVE if isinstance(twin, Missing) else Exit.PASS)
