"""`greengate test`: tests of the policy itself."""

from __future__ import annotations

import click


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The policy to test.")
@click.option("--report", metavar="junit=PATH", help="Write the results as JUnit XML as well.")
def test(files: tuple[str, ...], budget: str, report: str | None) -> int:
    """Test the policy: FILEs say what was measured, and what is expected of each rule.

    Nothing is measured. Reads policy_tests/*.yaml beside the budget, unless files or folders are named. Exits 1 where
    an outcome is not the expected one, 2 where a file cannot be read.

    \b
    greengate test
    greengate test policy_tests/energy.yaml --report junit=policy.xml
    """
    from pathlib import Path

    from greengate import budget_file
    from greengate.cli.output import clock, save, say
    from greengate.errors import Diagnostic, Exit, GreengateError
    from greengate.tasks.policy_tests import reading, running, telling
    from greengate.tasks.policy_tests.format import PolicyTest

    name, _, path = (report or "").partition("=")
    if report is not None and (name != "junit" or not path):
        raise GreengateError(Diagnostic("report-format", f"no report is called {report!r}", "write `junit=PATH`"))
    held = budget_file.read(Path(budget))
    today = clock().date()
    tests: list[PolicyTest] = []
    wrong: list[Diagnostic] = []
    for file in reading.find(files, Path(budget).parent):
        try:
            tests += reading.read(file, held, today)
        except GreengateError as error:
            wrong += error.diagnostics
    if wrong:
        raise GreengateError(*wrong)
    results = [running.run(one, held, today) for one in tests]
    if path:
        save(path, telling.junit(results))
    say(telling.render(results))
    return Exit.FAIL if any(result.misses for result in results) else Exit.PASS
