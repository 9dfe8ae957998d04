"""`greengate validate` and `greengate schema`: the budget file alone."""

from __future__ import annotations

import click


@click.command()
@click.argument("file", required=False, metavar="[FILE]")
@click.option(
    "-b", "--budget", default="budgets.yaml", show_default=True, metavar="FILE", help="The same, as elsewhere."
)
@click.option("--shared", is_flag=True, help="It is a policy file that budgets extend.")
def validate(file: str | None, budget: str, shared: bool) -> int:
    """Check a budget file alone; nothing is measured. Default: budgets.yaml.

    Prints every mistake with its line and what to do, and exits 2 when there is one.

    \b
    greengate validate
    greengate validate team/budgets.yaml
    greengate validate --shared policy/models.yaml
    """
    from pathlib import Path

    from greengate import budget_file
    from greengate.cli.output import say

    budget = file or budget
    if shared:
        rules, files = budget_file.validate_shared(Path(budget))
        say(f"{budget}: valid; {_many(rules, 'rule')} to share{_extending(files)}")
        return 0
    found = budget_file.read(Path(budget))
    rules, models = len(found.rules), len(found.models)
    say(f"{budget}: valid; {_many(rules, 'rule')} for {_many(models, 'model')}{_extending(len(found.shared))}")
    return 0


def _extending(files: int) -> str:
    return f", with {_many(files, 'shared file')}" if files else ""


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


@click.command()
@click.option("-o", "--output", default="-", metavar="FILE", help="Write here instead of stdout.")
@click.option("--shared", is_flag=True, help="Of the policy files that budgets extend.")
def schema(output: str, shared: bool) -> int:
    """Print the JSON schema of the budget file, for editors and CI.

    \b
    greengate schema -o budgets.schema.json
    greengate schema --shared -o policy.schema.json
    """
    import json

    from greengate import budget_file
    from greengate.cli.output import save

    save(output, json.dumps(budget_file.schema(shared), indent=2, ensure_ascii=False) + "\n")
    return 0
