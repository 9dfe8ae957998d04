"""The training records that a carbon budget counts: of the work tree, and those of the target branch."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Literal

from greengate import git
from greengate.bound import carbon_budgets
from greengate.budget import Budget, Carbon, CarbonBudget
from greengate.carbon import record
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.gate.trust import Trust
from greengate.git import branch as plumbing
from greengate.ledger import Entry, Ledger
from greengate.profile import Measurement

_HELP = "name files of `greengate track`, or codecarbon's emissions.csv, and keep them in the repository"


def ledgers(budget: Budget, trusted: Trust, carbon: Carbon | None) -> tuple[Ledger, ...]:
    """Return the ledger of every carbon budget of every policy; emissions follow from `carbon` where it binds.

    A change can add records and take none away: those of the target branch count as they stand there, beside its own.
    Raises GreengateError `training-record` for every file that is missing or is no record.
    """
    wrong: list[Diagnostic] = []
    found: list[Ledger] = []
    policies: list[tuple[Literal["base", "head"], Budget | None]] = [("head", budget), ("base", trusted.base)]
    for under, policy in policies:
        if policy is None:
            continue
        for one in carbon_budgets(policy):
            files = _files(policy, one, Path(budget.path).parent, trusted, wrong)
            found.append(Ledger(under, _entries(files, carbon, one.span, wrong), one.span.file))
    if wrong:
        raise GreengateError(*dict.fromkeys(wrong))
    return tuple(found)


def _entries(
    files: Iterable[tuple[str, bytes]], carbon: Carbon | None, span: Span, wrong: list[Diagnostic]
) -> tuple[Entry, ...]:
    """Return every training once; of two accounts of one, the higher."""
    found: dict[str, Entry] = {}
    for name, content in files:
        try:
            for one in record.entries(name, content, carbon):
                known = found.get(one.digest)
                if known is None or _amount(one) > _amount(known):
                    found[one.digest] = one
        except (ValueError, OverflowError) as error:
            wrong.append(Diagnostic("training-record", f"{name} is no training record: {error}", _HELP, span))
    return tuple(found.values())


def _amount(entry: Entry) -> float:
    return entry.emitted.value if isinstance(entry.emitted, Measurement) else -1.0


def _files(
    policy: Budget, carbon_budget: CarbonBudget, folder: Path, trusted: Trust, wrong: list[Diagnostic]
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every record that a carbon budget names by patterns, and those of the models' own."""
    patterns = [*carbon_budget.records]
    patterns += [glob.escape(model.training) for model in policy.models if model.training is not None]
    seen: set[Path] = set()
    for pattern in patterns:
        of_base = list(_of_base(pattern, folder, trusted))
        paths = [folder / name for name in sorted(_below(folder, pattern))]
        plain = _plain(pattern)
        if plain is not None and not paths and not of_base:
            paths = [folder / plain]
        for path in paths:
            if path.resolve() in seen or path.is_dir():
                continue
            seen.add(path.resolve())
            try:
                content = path.read_bytes()
            except OSError as error:
                message = f"the training record {path} cannot be read: {error.strerror}"
                wrong.append(Diagnostic("training-record", message, _HELP, carbon_budget.span))
                continue
            yield path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path), content
        yield from of_base


def _below(folder: Path, pattern: str) -> list[str]:
    # Unlike Path.glob it takes patterns that start elsewhere.
    return glob.glob(pattern, root_dir=folder, recursive=True, include_hidden=True)  # noqa: PTH207


def _plain(pattern: str) -> str | None:
    """Return the one path that a pattern means, None where it can mean several."""
    path = re.sub(r"\[([*?[])\]", r"\1", pattern)
    return path if glob.escape(path) == pattern or not glob.has_magic(pattern) else None


def _of_base(pattern: str, folder: Path, trusted: Trust) -> Iterator[tuple[str, bytes]]:
    """Yield the records of the target branch that a pattern names, but for pointers of Git LFS."""
    if trusted.base is None or trusted.top is None or trusted.commit is None:
        return
    top = glob.escape(os.path.realpath(trusted.top))
    place = PurePath(os.path.normpath(Path(glob.escape(os.path.realpath(folder)), pattern)))
    if not place.is_relative_to(top):
        return
    wanted = place.relative_to(top).parts
    listed = plumbing.listing(trusted.top, trusted.commit)
    named = [name for name in listed if _matches(name.split("/"), wanted)]
    for name, content in zip(named, plumbing.read_blobs(trusted.top, [listed[one] for one in named]), strict=True):
        if git.lfs_digest(content) is None:
            yield f"{trusted.commit[:12]}:{name}", content


def _matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path, in its parts, is one that a pattern means; `**` stands for any folders."""
    if not pattern:
        return not name
    first, *rest = pattern
    if first == "**":
        return any(_matches(name[skipped:], rest) for skipped in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], first) and _matches(name[1:], rest)
