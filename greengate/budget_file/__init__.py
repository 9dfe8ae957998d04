"""The budget file: YAML text to a Budget, every mistake with its place; and the format's JSON schema."""

from __future__ import annotations

import hashlib
from pathlib import Path

from greengate import yamlspan
from greengate.budget import Budget
from greengate.budget_file.build import build
from greengate.budget_file.check import Findings, check
from greengate.budget_file.format import BUDGET
from greengate.budget_file.json_schema import schema
from greengate.budget_file.meaning import find_contradictions
from greengate.errors import BudgetError, Diagnostic

__all__ = ["parse", "read", "schema"]


def read(path: Path, shown: str | None = None) -> Budget:
    """Read a budget file; messages call it `shown`.

    Raises BudgetError with every mistake found, by place.
    """
    name = str(path) if shown is None else shown
    try:
        content = yamlspan.read_bytes(path, name)
    except yamlspan.YamlError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            advice = "run `greengate init` to write one, or name it with `-b`"
            raise BudgetError(Diagnostic("unreadable-file", f"there is no {name}", advice)) from error
        raise BudgetError(*error.diagnostics) from error
    return _parse(content, str(path), name)


def parse(source: str | bytes, shown: str) -> Budget:
    """Read a budget from its text, or its bytes as stored; it and messages call the file `shown`.

    Raises BudgetError with every mistake found, by place.
    """
    return _parse(source.encode() if isinstance(source, str) else source, shown, shown)


def _parse(content: bytes, path: str, name: str) -> Budget:
    try:
        node, mistakes = yamlspan.examine(yamlspan.decode(content, name), name)
    except yamlspan.YamlError as error:
        raise BudgetError(*error.diagnostics) from error
    found = Findings(mistakes)
    root = None if node is None else check(BUDGET, node, "the budget", "version: 1", found)
    if root is not None:
        find_contradictions(root, found)
    if root is None or found:
        raise BudgetError(*sorted(found, key=_place))
    return build(root, path, f"sha256:{hashlib.sha256(content).hexdigest()}")


def _place(mistake: Diagnostic) -> tuple[int, int]:
    return (mistake.span.line, mistake.span.column) if mistake.span else (0, 0)
