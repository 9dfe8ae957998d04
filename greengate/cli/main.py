"""The command line itself: the group and its commands."""

from __future__ import annotations

import click

from greengate import __version__
from greengate.cli.approve import approve
from greengate.cli.baseline import baseline
from greengate.cli.calibrate import calibrate
from greengate.cli.check import check
from greengate.cli.comment import comment
from greengate.cli.compare import compare
from greengate.cli.doctor import doctor
from greengate.cli.explain import explain
from greengate.cli.export import export
from greengate.cli.hardware import hardware
from greengate.cli.history import history
from greengate.cli.hook import hook
from greengate.cli.init import init
from greengate.cli.plan import plan
from greengate.cli.profile import profile
from greengate.cli.publish import publish
from greengate.cli.ratchet import ratchet
from greengate.cli.select import select
from greengate.cli.test import test
from greengate.cli.track import track
from greengate.cli.usage import Sectioned
from greengate.cli.validate import schema, validate
from greengate.cli.verify import verify


@click.group(cls=Sectioned, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="greengate", message="%(prog)s %(version)s")
def greengate() -> None:
    """Say no to models that are bigger, slower or hungrier than they need to be.

    Measures a model, compares it with a baseline, judges the change.

    \b
    Start:    greengate init
    Then:     greengate check
    Exit:     0 pass, 1 over budget, 2 cannot start, 3 inconclusive, 70 a bug, 130 interrupted
    """


_COMMANDS = (
    init,
    check,
    explain,
    comment,
    plan,
    hook,
    profile,
    compare,
    hardware,
    doctor,
    calibrate,
    baseline,
    history,
    export,
    publish,
    select,
    track,
    approve,
    validate,
    schema,
    verify,
    test,
    ratchet,
)
for command in _COMMANDS:
    greengate.add_command(command)
