"""`greengate hook`: judge what is pushed before it leaves the machine."""

from __future__ import annotations

import shlex
import sys

import click


@click.group()
def hook() -> None:
    """Judge models before `git push` sends them, by their exact metrics, in seconds.

    For repositories that use pre-commit, see docs/ci.md: greengate is a hook of it too.

    \b
    greengate hook install
    greengate hook uninstall
    """


_budget = click.option(
    "-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The budget file."
)
_options = click.option(
    "--options", default="--static-only", show_default=True, metavar="TEXT", help="Options of `greengate check`."
)


@hook.command()
@_budget
@_options
@click.option("--chain", is_flag=True, help="Keep a pre-push hook that is there, and run it first.")
def install(budget: str, options: str, chain: bool) -> int:
    """Write this repository's pre-push hook; a hook somebody else wrote is not touched.

    It judges the commits that are pushed, not what lies in the work tree. What would fail
    or cannot be decided is refused; `git push --no-verify` goes past it.

    \b
    greengate hook install
    greengate hook install --chain --options "--max-seconds 20 --allow-inconclusive"
    """
    from greengate.cli.output import say
    from greengate.tasks import hook as task

    _words(options)
    for line in task.install(budget, options, chain=chain):
        say(line)
    return 0


@hook.command()
def uninstall() -> int:
    """Remove the hook that `greengate hook install` wrote, and put back the one it kept.

    \b
    greengate hook uninstall
    """
    from greengate.cli.output import say
    from greengate.tasks import hook as task

    for line in task.uninstall():
        say(line)
    return 0


@hook.command()
@_budget
@_options
@click.argument("remote", default="origin")
@click.argument("url", default="")
def run(budget: str, options: str, remote: str, url: str) -> int:
    """Judge what git says on stdin is being pushed to REMOTE; what the hook calls.

    Needed by hand only in a pre-push hook of your own. Exits as `greengate check` does.

    \b
    greengate hook run -- "$@"
    """
    del url
    from greengate.cli.output import tell
    from greengate.tasks import push

    told = sys.stdin.read()
    return push.judge(told, remote, budget, _words(options), lambda line: tell(f"greengate: {line}"))


def _words(options: str) -> list[str]:
    """Return the words of `--options`, which must be options of `greengate check`. Raises a usage error."""
    from greengate.cli.check import check

    try:
        words = shlex.split(options)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--options") from error
    check.make_context("greengate check", list(words))
    return words
