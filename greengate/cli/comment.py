"""`greengate comment`: post a verdict on the pull or merge request."""

from __future__ import annotations

import click


@click.command()
@click.option("--from", "path", required=True, metavar="FILE", help="Verdict written by `--report json=FILE`.")
@click.option("--key", default="default", show_default=True, metavar="NAME", help="One comment for each key.")
@click.option(
    "--when",
    type=click.Choice(["always", "on-change", "on-failure", "never"]),
    default="on-change",
    show_default=True,
    help="When to write a new comment; one that is there is always updated.",
)
@click.option("--status", is_flag=True, help="Set the status `greengate` of the commit measured.")
@click.option(
    "--request", "number", type=click.IntRange(1), metavar="N", help="Number of the request, where CI has none."
)
@click.option("--link", default="", metavar="URL", help="Address of the full report. [default: this CI run]")
def comment(path: str, key: str, when: str, status: bool, number: int | None, link: str) -> int:
    """Post a verdict on its pull or merge request: one comment, updated in place.

    Tokens come from the environment: GITHUB_TOKEN, or GREENGATE_GITLAB_TOKEN. Without one,
    or with one that may only read, it says so and exits 0. Nothing is measured, no model is
    loaded: the measurements in FILE are judged again.

    \b
    greengate comment --from verdict.json
    greengate comment --from verdict.json --key nightly --when on-failure --status
    """
    from greengate.cli.output import environment, say
    from greengate.tasks import comment as task

    if not task.KEY.fullmatch(key):
        raise click.BadParameter("use letters, digits, `_`, `.` and `-`, at most 64", param_hint="--key")
    for line in task.comment(task.Wanted(path, key, when, status, number, link), environment()):
        say(line)
    return 0
