"""The outermost door: one call, one exit code. An uncaught exception never exits 1."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from greengate.cli.usage import usage_error
from greengate.errors import Exit, GreengateError


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from greengate.cli.main import greengate

    try:
        return int(greengate.main(arguments, prog_name="greengate", standalone_mode=False) or 0)
    except GreengateError as error:
        print(error, file=sys.stderr)
        return error.exit
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as help_:
        print(help_.format_message())
        return Exit.CANNOT_START
    except click.ClickException as error:
        print(usage_error(error), file=sys.stderr)
        return Exit.CANNOT_START
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: nothing was judged", file=sys.stderr)
        return Exit.INTERRUPTED
    except Exception:  # noqa: BLE001 - the outermost door: a bug must not look like a verdict
        return _bug()


def _bug() -> int:
    import platform
    import traceback

    from greengate import __version__

    traceback.print_exc()
    print(
        f"\nThis is a bug in greengate {__version__} (Python {platform.python_version()}, {platform.system()}); "
        "it says nothing about your model.\nPlease report it with the text above.",
        file=sys.stderr,
    )
    return Exit.BUG
