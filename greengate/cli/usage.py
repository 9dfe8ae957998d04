"""What the commands share: grouped help, examples in it, and usage errors as diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from greengate.errors import Diagnostic

#: The groups of `greengate --help`, in order, with the commands of each.
SECTIONS: Mapping[str, Sequence[str]] = {
    "Gate": ("init", "check", "explain", "comment", "plan", "hook"),
    "Measure": ("profile", "compare", "hardware", "doctor", "calibrate"),
    "Baseline": ("baseline", "history"),
    "Share": ("export", "publish", "select"),
    "Training": ("track",),
    "Policy": ("approve", "validate", "schema", "verify", "test", "ratchet"),
}


#: For commands that read a verdict, where it is not named: which folder's last one.
last_budget = click.option(
    "-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="Whose last verdict is read."
)


class Sectioned(click.Group):
    """A group whose help lists its commands by section, in the order of SECTIONS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which the help shows them."""
        del ctx
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of commands a section."""
        for section, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(section):
                formatter.write_dl([(name, command.get_short_help_str(64)) for name, command in commands if command])


class GreedyFiles(click.Command):
    """A command whose `--profile` takes every file up to the next option, so that a shell pattern can follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write `--profile a b` as `--profile a --profile b` before click reads it."""
        spread: list[str] = []
        taking = False
        for argument in args:
            if argument.startswith("-"):
                taking = argument == "--profile"
                spread += [] if taking else [argument]
            else:
                spread += ["--profile", argument] if taking else [argument]
        if args and args[-1] == "--profile":
            spread.append("--profile")  # with nothing after it: let click say so
        return super().parse_args(ctx, spread)


def usage_error(error: click.ClickException) -> Diagnostic:
    """Turn click's own errors into a diagnostic; click's exit code of 1 would read as a verdict."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "greengate"
    return Diagnostic("usage", error.format_message(), f"`{command} --help` shows how it is called")
