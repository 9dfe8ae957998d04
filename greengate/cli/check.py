"""`greengate check`: measure, compare, judge, report, exit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from greengate.cli.usage import GreedyFiles

if TYPE_CHECKING:
    from greengate.cli.output import Outputs
    from greengate.gate import Request


@click.command(cls=GreedyFiles)
@click.argument("models", nargs=-1, metavar="[MODEL | NAME=PATH]...")
@click.option("-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The budget file.")
@click.option("--against", metavar="URI", help="auto (default), none, file:, profile:, dir:, git: or ref:…")
@click.option("--static-only", is_flag=True, help="Exact metrics only; takes seconds.")
@click.option("--profile", "profiles", multiple=True, metavar="FILE...", help="Judge these, measure nothing.")
@click.option("--part", metavar="NAME", help="Measure what can be measured here; write trials for a last job.")
@click.option("--plan", metavar="FILE", help="Plan of `greengate plan`: the part's models, or what parts owe.")
@click.option("--skip-unchanged", is_flag=True, help="Leave out models that the request does not touch; say so.")
@click.option("--record", is_flag=True, help="Append the verdict to the store, for `greengate history`.")
@click.option("--strict", is_flag=True, help="As in CI: what cannot be measured here is inconclusive.")
@click.option("--policy-ref", default="auto", metavar="REF", help="Whose policy binds: auto, none, or a ref.")
@click.option("--allow-inconclusive", is_flag=True, help="Exit 0 instead of 3.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="For a model.")
@click.option(
    "--energy-seconds", type=click.FloatRange(min=1), default=240, show_default=True, help="For a model's energy."
)
@click.option("--report", "reports", multiple=True, metavar="FORMAT=PATH", help="Repeatable; `-` is stdout.")
def check(
    models: tuple[str, ...],
    budget: str,
    against: str | None,
    static_only: bool,
    profiles: tuple[str, ...],
    part: str | None,
    plan: str | None,
    skip_unchanged: bool,
    record: bool,
    strict: bool,
    policy_ref: str,
    allow_inconclusive: bool,
    max_seconds: float,
    energy_seconds: float,
    reports: tuple[str, ...],
) -> int:
    """Measure the budget's models, compare them with their baseline, judge every rule.

    MODEL selects a model of the budget by name; NAME=PATH measures another file in its place.
    Reports: terminal, markdown, summary, json, junit, github, codequality, metrics, dotenv.

    \b
    greengate check
    greengate check sentiment=new.onnx --against file:old.onnx
    greengate check --static-only --report markdown=report.md --report json=-
    """
    from greengate import gate
    from greengate.cli.output import environment, reporters, tell
    from greengate.errors import Exit
    from greengate.gate.parts import models_of

    _check_part(part, record)
    _check_plan(plan, part, models, profiles)
    if plan is not None and part is not None and not models_of(Path(plan), part):
        tell(f"part {part} has nothing to measure: {plan} does not have it")
        return Exit.PASS
    outputs = reporters(reports)
    request = gate.Request(
        budget=budget,
        models=models,
        against=against,
        static_only=static_only,
        profiles=profiles,
        part=part,
        plan=plan,
        strict=strict,
        policy_ref=policy_ref,
        max_seconds=max_seconds,
        energy_seconds=energy_seconds,
        simulation_seconds=max_seconds,
        skip_unchanged=skip_unchanged,
        environ=environment(),
    )
    return _answer(request, outputs, record=record, allow_inconclusive=allow_inconclusive)


def _answer(request: Request, outputs: Outputs, *, record: bool, allow_inconclusive: bool) -> int:
    from greengate import gate
    from greengate.cli.output import clock, emit, progress, remember, tell
    from greengate.errors import Exit
    from greengate.tasks import history
    from greengate.tasks.record import write_part

    with progress() as show:
        checked = gate.check(request, clock(), show)
    verdict = checked.verdict
    for path in write_part(checked, request.part) if request.part is not None else ():
        tell(f"wrote {path}")
    remember(verdict)
    emit(verdict, outputs)
    for line in history.record(verdict, clock()) if record else ():
        tell(line)
    if verdict.exit is Exit.INCONCLUSIVE and allow_inconclusive:
        tell("inconclusive, allowed by --allow-inconclusive: exit 0")
        return Exit.PASS
    return verdict.exit


def _check_part(part: str | None, record: bool) -> None:
    if part is not None and not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", part):
        raise click.BadParameter("use letters, digits, `_`, `.` and `-`: it names a folder", param_hint="--part")
    if part is not None and record:
        raise click.UsageError("--record belongs to the job that judges every part, not to a part")


def _check_plan(plan: str | None, part: str | None, models: tuple[str, ...], profiles: tuple[str, ...]) -> None:
    if plan is None:
        return
    if (part is None) == (not profiles):
        raise click.UsageError("--plan goes with --part, to measure one, or with --profile, to judge them all")
    if models:
        raise click.UsageError("the plan says which models a part measures: name none")
