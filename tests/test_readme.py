"""The README says nothing that is not so: its budget is read, its commands and exit codes exist."""

import re
from pathlib import Path

from greengate import budget_file
from greengate.cli.main import greengate
from greengate.errors import Exit

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_its_one_budget_is_valid_and_wholly_judged(tmp_path):
    (text,) = (block for block in blocks("yaml") if "rules:" in block)
    (tmp_path / "budgets.yaml").write_text(text)
    budget = budget_file.read(tmp_path / "budgets.yaml")
    assert len(budget.rules) == 4


def test_its_commands_exist():
    named = set(
        re.findall(r"greengate ([a-z]+)\b", "\n".join([*blocks(""), *re.findall(r"`greengate [a-z][^`]*`", README)]))
    )
    assert named >= {"init", "check", "explain", "doctor"}
    assert named <= set(greengate.commands)


def test_its_options_exist():
    options = {option for command in greengate.commands.values() for one in command.params for option in one.opts}
    options |= {option for one in greengate.commands["baseline"].commands["accept"].params for option in one.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README)) <= options | {"--help"}


def test_its_exit_codes_are_all_there_are():
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == {int(code) for code in Exit}


def test_both_set_up_commands_stand_in_the_first_screen():
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", "\n".join(README.splitlines()[:20])))
