"""`greengate baseline`: accept versions of a baseline, read them, bring one back, prove them."""

from __future__ import annotations

import click


@click.group()
def baseline() -> None:
    """Accept, read and verify the versions that models are compared with.

    They are kept in the store that the budget names (`baseline: dir:PATH` or `git:BRANCH`),
    else in .greengate/baselines beside it.

    \b
    greengate baseline accept --reason "ticket 812: larger head"
    greengate baseline list
    greengate baseline show sentiment
    """


_budget = click.option(
    "-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The budget file."
)
_store = click.option("-s", "--store", metavar="URI", help="Another store: dir:PATH or git:BRANCH.")


@baseline.command()
@click.argument("models", nargs=-1, metavar="[MODEL | NAME=PATH]...")
@_budget
@_store
@click.option("--profile", "profiles", multiple=True, metavar="FILE", help="Accept these numbers, measure nothing.")
@click.option("--reason", metavar="TEXT", help="Why; needed where the last `greengate check` did not pass it.")
@click.option("--anywhere", is_flag=True, help="Off the budget's reference hardware too.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="For a model.")
def accept(
    models: tuple[str, ...],
    budget: str,
    store: str | None,
    profiles: tuple[str, ...],
    reason: str | None,
    anywhere: bool,
    max_seconds: float,
) -> int:
    """Measure the budget's models and store each as the next version of its baseline.

    The last `greengate check` must have passed the same file, or --reason says why it is
    accepted all the same; the version is then marked as over budget, or not judged.

    \b
    greengate baseline accept
    greengate baseline accept --reason "first release"
    greengate baseline accept sentiment --profile trial.json --reason "measured on the GPU runner"
    """
    from greengate import gate
    from greengate.cli.output import clock, progress, refuse_strangers, say
    from greengate.errors import BaselineError, Diagnostic
    from greengate.tasks import accept as task

    if reason is not None and not reason.strip():
        raise BaselineError(Diagnostic("bad-value", "the reason is empty", "say why with --reason TEXT"))
    if not profiles:
        refuse_strangers()
    request = gate.Request(budget=budget, models=models, profiles=profiles, max_seconds=max_seconds)
    with progress() as show:
        say(task.accept(request, store, reason or "", clock(), show, anywhere=anywhere))
    return 0


@baseline.command("list")
@_budget
@_store
def list_(budget: str, store: str | None) -> int:
    """List every accepted version: model, number, date, who, verdict, hardware, reason.

    \b
    greengate baseline list
    greengate baseline list --store git:greengate-baselines
    """
    from greengate.cli.output import say
    from greengate.tasks import versions

    say(versions.listing(versions.opened(budget, store), budget))
    return 0


@baseline.command()
@click.argument("model", metavar="MODEL")
@click.argument("version", required=False, metavar="[VERSION]")
@_budget
@_store
def show(model: str, version: str | None, budget: str, store: str | None) -> int:
    """Show one version of MODEL's baseline: the newest, or VERSION (NUMBER or HARDWARE/NUMBER).

    \b
    greengate baseline show sentiment 3
    """
    from greengate.cli.output import say
    from greengate.tasks import versions

    say(versions.shown(versions.opened(budget, store, model), model, version))
    return 0


@baseline.command()
@click.argument("model", metavar="MODEL")
@click.argument("older", metavar="A")
@click.argument("newer", metavar="B")
@_budget
@_store
def diff(model: str, older: str, newer: str, budget: str, store: str | None) -> int:
    """Show what changed from version A of MODEL to version B, metric by metric.

    A and B are a NUMBER, or HARDWARE/NUMBER where several machines have it.

    \b
    greengate baseline diff sentiment 3 4
    """
    from greengate.cli.output import say
    from greengate.report import changes
    from greengate.tasks import versions

    compared, one, other = versions.differing(versions.opened(budget, store, model), model, older, newer)
    for version in (one, other):
        say(f"{model} version {version.version}, accepted {version.accepted}: {version.reason}")
    say(changes.render_changes(compared, one.profile, other.profile))
    return 0


@baseline.command()
@click.argument("model", metavar="MODEL")
@click.argument("version", required=False, metavar="[VERSION]")
@_budget
@_store
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the new version.")
def rollback(model: str, version: str | None, budget: str, store: str | None, reason: str) -> int:
    """Accept an earlier VERSION of MODEL again, as a new one; by default the one before the newest.

    \b
    greengate baseline rollback sentiment --reason "version 4 was measured under load"
    greengate baseline rollback sentiment 2
    """
    from pathlib import Path

    from greengate.cli.output import clock, say
    from greengate.tasks import versions

    place = versions.opened(budget, store, model)
    say(versions.rollback(place, model, version, folder=Path(budget).parent, reason=reason, now=clock()))
    return 0


@baseline.command()
@click.argument("model", required=False, metavar="[MODEL]")
@_budget
@_store
@click.option("--seal", metavar="DIGEST", help="A digest noted earlier, which some version must still have.")
def verify(model: str | None, budget: str, store: str | None, seal: str | None) -> int:
    """Prove every chain of versions, and that git's history shows no version edited or removed.

    Prints a seal for each chain: note it elsewhere, and --seal tells whether the store was rewritten.

    \b
    greengate baseline verify
    """
    from greengate.cli.output import say
    from greengate.tasks import versions

    say(versions.verified(versions.opened(budget, store, model), model, seal))
    return 0
