"""`greengate plan`: a matrix of jobs, one part of the budget each."""

from __future__ import annotations

import click


@click.command()
@click.option("-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The budget file.")
@click.option(
    "--shards", type=click.IntRange(1, 255), default=1, show_default=True, metavar="N", help="Jobs on hosted runners."
)
@click.option(
    "--hosted", metavar="LABELS", help="Their labels.", show_default="ubuntu-latest; with --gitlab none", default=None
)
@click.option(
    "--box", default="", metavar="LABELS", help="Labels of the machine with GPU, counters, or that is the reference."
)
@click.option("--policy-ref", default="auto", metavar="REF", help="Whose policy binds, as for `check`.")
@click.option("--skip-unchanged", is_flag=True, help="Leave out what `check --skip-unchanged` would.")
@click.option("--tools", is_flag=True, help="Name what jobs need beside Python instead: valgrind, or nothing.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="For a model.")
@click.option("--gitlab", metavar="FILE", help="Print a child pipeline of GitLab; FILE says what its `.greengate` is.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Write the plan here. [default: stdout]")
def plan(
    budget: str,
    shards: int,
    hosted: str | None,
    box: str,
    policy_ref: str,
    skip_unchanged: bool,
    tools: bool,
    max_seconds: float,
    gitlab: str | None,
    output: str,
) -> int:
    """Share the budget's models among the jobs of a matrix; print it as GitHub's `matrix` takes it.

    Hosted runners share what they can decide; --box gets models on a GPU, metered energy, and
    timing where the budget names a reference. Each job runs `check --part NAME --plan FILE`,
    the last one `check --profile PARTS --plan FILE`.

    \b
    greengate plan --shards 3 -o plan.json
    greengate plan --shards 2 --box self-hosted,gpu
    """
    from greengate import gate
    from greengate.cli.output import clock, environment, save, tell
    from greengate.gate import parts
    from greengate.tasks import child
    from greengate.tasks import plan as task

    request = gate.Request(
        budget=budget,
        policy_ref=policy_ref,
        max_seconds=max_seconds,
        skip_unchanged=skip_unchanged,
        environ=environment(),
    )
    if gitlab is not None and not gitlab.endswith((".yml", ".yaml")):
        raise click.BadParameter("GitLab includes files that end in .yml or .yaml", param_hint="--gitlab")
    if tools:
        for name in task.tools(request, clock()):
            click.echo(name)
        return 0
    labels = _labels(hosted or ("" if gitlab else "ubuntu-latest"), "--hosted")
    found, lacks = task.plan(request, clock(), shards, labels, _labels(box, "--box"))
    for line in lacks:
        tell(f"note: {line}")
    save(output, parts.dump(found) if gitlab is None else child.pipeline(found, request, gitlab))
    return 0


def _labels(written: str, option: str) -> list[str]:
    found = [label.strip() for label in written.split(",")] if written else []
    if not all(found):
        raise click.BadParameter("write labels separated by commas", param_hint=option)
    return found
