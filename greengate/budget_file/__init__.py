"""The budget file: YAML text to a Budget, with what it extends, every mistake with its place; and its JSON schema."""

from __future__ import annotations

from pathlib import Path

from greengate import yamlspan
from greengate.budget import Budget
from greengate.budget_file import scores
from greengate.budget_file.build import build
from greengate.budget_file.check import Findings, Value, check
from greengate.budget_file.format import BUDGET
from greengate.budget_file.json_schema import schema
from greengate.budget_file.meaning import entries, find_contradictions
from greengate.budget_file.place import InCommit, OnDisk, Place
from greengate.budget_file.shared import Read, digest, examined, follow
from greengate.errors import BudgetError, Diagnostic

__all__ = ["InCommit", "is_budget", "parse", "read", "schema", "validate_shared"]


def read(path: Path, shown: str | None = None) -> Budget:
    """Read a budget file and what it extends; messages call it `shown`.

    Raises BudgetError with every mistake found, by place.
    """
    name = str(path) if shown is None else shown
    return _parse(_bytes(path, name), str(path), name, OnDisk(path, name))


def parse(source: str | bytes, shown: str, place: Place | None = None) -> Budget:
    """Read a budget from its text, or its bytes as stored; it and messages call the file `shown`.

    What it extends is read beside its `place`: the folder of `shown` where none is named. Raises BudgetError with
    every mistake found, by place.
    """
    content = source.encode() if isinstance(source, str) else source
    return _parse(content, shown, shown, place or OnDisk(Path(shown), shown))


def is_budget(content: bytes) -> bool:
    """Tell whether bytes are a budget, by themselves: one with mistakes in it is one all the same."""
    try:
        found = Findings()
        if _root(content, "budget", found) is not None and not found:
            return True
    except BudgetError:
        pass
    return b"\nmodels:" in content and (b"\nrules:" in content or b"\nextends:" in content)


def validate_shared(path: Path) -> tuple[int, int]:
    """Check a policy file that budgets extend; return how many rules it has, and how many files it extends.

    Raises BudgetError with every mistake found.
    """
    found = Findings()
    name = str(path)
    root = examined(_bytes(path, name), name, found)
    beneath = [] if root is None else follow(root, OnDisk(path, name), found)
    if root is not None:
        _contradictions(root, beneath, found)
    if root is None or found:
        raise BudgetError(*_in_order(found, name))
    return len(entries(root, "rules")), len(beneath)


def _bytes(path: Path, name: str) -> bytes:
    try:
        return yamlspan.read_bytes(path, name)
    except yamlspan.YamlError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            advice = "run `greengate init` to write one, or name it with `-b`"
            raise BudgetError(Diagnostic("unreadable-file", f"there is no {name}", advice)) from error
        raise BudgetError(*error.diagnostics) from error


def _parse(content: bytes, path: str, name: str, place: Place) -> Budget:
    found = Findings()
    root = _root(content, name, found)
    beneath: list[Read] = [] if root is None else follow(root, place, found)
    if root is not None:
        _contradictions(root, beneath, found)
        if not found and not any(entries(one, "rules") for one in (root, *(each.root for each in beneath))):
            found.note("empty-budget", root.content["extends"].span, "no file of these has a rule", "write `rules`")
    if root is None or found:
        raise BudgetError(*_in_order(found, name))
    return build(root, path, digest(content), beneath)


def _root(content: bytes, name: str, found: Findings) -> Value | None:
    """Return the values of a budget file. Raises BudgetError where it is no text."""
    try:
        node, mistakes = yamlspan.examine(yamlspan.decode(content, name), name)
    except yamlspan.YamlError as error:
        raise BudgetError(*error.diagnostics) from error
    found.extend(mistakes)
    if node is None:
        return None
    found.scores = scores.declared(node)
    return check(BUDGET, node, "the budget", "version: 1", found)


def _contradictions(root: Value, beneath: list[Read], found: Findings) -> None:
    files = [root, *(one.root for one in beneath)]
    for place, file in enumerate(files):
        find_contradictions(file, found, files[place + 1 :])


def _in_order(found: Findings, name: str) -> list[Diagnostic]:
    """Return mistakes by place, those of the file itself first."""
    files = dict.fromkeys([name, *(one.span.file for one in found if one.span is not None)])
    rank = {file: place for place, file in enumerate(files)}

    def at(one: Diagnostic) -> tuple[int, int, int]:
        return (0, 0, 0) if one.span is None else (rank[one.span.file], one.span.line, one.span.column)

    return sorted(found, key=at)
