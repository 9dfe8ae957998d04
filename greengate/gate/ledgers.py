"""The training records that a carbon budget counts: of the work tree, and those of the target branch."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from greengate import files
from greengate.bound import carbon_budgets
from greengate.budget import Budget, Carbon, CarbonBudget
from greengate.carbon import record
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.gate import base_records
from greengate.gate.trust import Trust
from greengate.ledger import Entry, Ledger
from greengate.profile import Measurement, Missing

_HELP = "name files of `greengate track`, or codecarbon's emissions.csv, and keep them in the repository"
_MEND = "mend it on the target branch: as it stands there, nobody knows what it emitted"


def ledgers(budget: Budget, trusted: Trust, carbon: Carbon | None) -> tuple[Ledger, ...]:
    """Return the ledger of every carbon budget of every policy; emissions follow from `carbon` where it binds.

    A change can add records and take none away: those of the target branch count as they stand there, beside its own.
    Raises GreengateError `training-record` for every file that is missing or is no record.
    """
    wrong: list[Diagnostic] = []
    found: list[Ledger] = []
    policies: list[tuple[Literal["base", "head"], Budget | None]] = [("head", budget), ("base", trusted.base)]
    tree = _tree(trusted) if any(carbon_budgets(one) for _, one in policies if one is not None) else None
    for under, policy in policies:
        if policy is None:
            continue
        for one in carbon_budgets(policy):
            counted = _files(policy, one, Path(budget.path).parent, tree, wrong)
            found.append(Ledger(under, _entries(counted, carbon, one.span, wrong), one.span.file))
    if wrong:
        raise GreengateError(*dict.fromkeys(wrong))
    return tuple(found)


def _tree(trusted: Trust) -> base_records.Tree | None:
    if trusted.base is None or trusted.top is None or trusted.commit is None:
        return None
    return base_records.read(trusted.top, trusted.commit)


@dataclass(frozen=True)
class _Found:
    """A record's file: name, content or why that is not known, and whether it is the target branch's."""

    name: str
    content: bytes | Missing
    of_base: bool = False


def _entries(found: Iterable[_Found], carbon: Carbon | None, span: Span, wrong: list[Diagnostic]) -> tuple[Entry, ...]:
    """Return every training once; of two accounts of one, the higher."""
    kept: dict[str, Entry] = {}
    for file in found:
        try:
            read = _read(file, carbon)
        except (ValueError, OverflowError) as error:
            why = f"{file.name} is no training record: {error}"
            if not file.of_base:
                wrong.append(Diagnostic("training-record", why, _HELP, span))
                continue
            # Not the end of it: a change has to be able to mend the target branch.
            read = [_unknown(file.name, Missing(why, "failed", _MEND))]
        for one in read:
            known = kept.get(one.digest)
            if known is None or _amount(one) > _amount(known):
                kept[one.digest] = one
    return tuple(kept.values())


def _read(file: _Found, carbon: Carbon | None) -> list[Entry]:
    if isinstance(file.content, Missing):
        return [_unknown(file.name, file.content)]
    return [*record.entries(file.name, file.content, carbon)]


def _unknown(name: str, why: Missing) -> Entry:
    return Entry(name, record.digest(f"unknown {name}"), None, why)


def _amount(entry: Entry) -> float:
    return entry.emitted.value if isinstance(entry.emitted, Measurement) else -1.0


def _files(
    policy: Budget, carbon_budget: CarbonBudget, folder: Path, tree: base_records.Tree | None, wrong: list[Diagnostic]
) -> Iterator[_Found]:
    """Yield all records that a carbon budget names by patterns, and those of the models: first the work tree's."""
    patterns = [*carbon_budget.records]
    patterns += [glob.escape(model.training) for model in policy.models if model.training is not None]
    seen: set[Path] = set()
    counted: set[str] = set()
    of_base: dict[str, None] = {}
    for pattern in patterns:
        there = () if tree is None else tuple(base_records.matching(tree, folder, pattern))
        of_base |= dict.fromkeys(there)
        paths = [folder / name for name in sorted(_below(folder, pattern))]
        plain = _plain(pattern)
        if plain is not None and not paths and not there:
            paths = [folder / plain]
        for path in paths:
            if path.resolve() in seen or path.is_dir():
                continue
            seen.add(path.resolve())
            try:
                content = files.read_small(path, record.LARGEST)
            except OSError as error:
                message = f"the training record {path} cannot be read: {error.strerror}"
                wrong.append(Diagnostic("training-record", message, _HELP, carbon_budget.span))
                continue
            counted.add(hashlib.sha256(content).hexdigest())
            yield _Found(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path), content)
    if tree is not None:
        for name, told in base_records.contents(tree, tuple(of_base), counted):
            yield _Found(name, told, of_base=True)


def _below(folder: Path, pattern: str) -> list[str]:
    # Unlike Path.glob it takes patterns that start elsewhere.
    return glob.glob(pattern, root_dir=folder, recursive=True, include_hidden=True)  # noqa: PTH207


def _plain(pattern: str) -> str | None:
    """Return the one path that a pattern means, None where it can mean several."""
    path = base_records.ESCAPED.sub(r"\1", pattern)
    return path if glob.escape(path) == pattern or not glob.has_magic(pattern) else None
