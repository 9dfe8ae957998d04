"""`greengate hook run`: judge what a push would bring, as it would arrive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from greengate import budget_file, git
from greengate.errors import BudgetError, Diagnostic, Exit, GreengateError
from greengate.git import hooks
from greengate.recipe import names_code
from greengate.tasks.record import FOLDER, LAST

#: Answers of the check, worst first: a push has one.
_WORST = (Exit.BUG, Exit.INTERRUPTED, Exit.CANNOT_START, Exit.FAIL, Exit.INCONCLUSIVE, Exit.PASS)


def judge(told: str, remote: str, budget: str, options: Sequence[str], say: Callable[[str], None]) -> int:
    """Check every commit that a push brings, and return the worst answer.

    `told` is what git tells its hook: a line `LOCAL-REF LOCAL-ID REMOTE-REF REMOTE-ID` for each ref. Raises
    GreengateError where this is no repository or git does not answer.
    """
    top = git.root(Path())
    if top is None:
        raise GreengateError(Diagnostic("git-failed", "this is not a git checkout", "run it in the repository"))
    codes = [
        _checked(top, commit, budget, options, say)
        for commit, ref in _brought(top, told, remote)
        if _has_budget(top, commit, budget, ref, say)
    ]
    worst = min(codes, key=lambda code: _WORST.index(Exit(code)) if code in _WORST else 0, default=Exit.PASS)
    if worst != Exit.PASS:
        say(f"the push is refused (exit code {worst}); `git push --no-verify` goes past this hook, not past CI")
    return worst


def _brought(top: Path, told: str, remote: str) -> Iterator[tuple[str, str]]:
    """Yield each commit that the remote lacks once, with the ref it goes to."""
    seen = set()
    for line in told.splitlines():
        words = line.split(" ")
        if len(words) != 4 or not git.is_hash(words[1]):
            raise GreengateError(
                Diagnostic("bad-value", f"{line!r} is not what git tells a pre-push hook", "let git call the hook")
            )
        _, new, ref, _ = words
        commit = git.commit(top, new) if new.strip("0") else None
        if commit is not None and commit not in seen and hooks.is_new(top, commit, remote):
            seen.add(commit)
            yield commit, ref


def _has_budget(top: Path, commit: str, budget: str, ref: str, say: Callable[[str], None]) -> bool:
    # Where a budget was removed, the check itself says that it is gone.
    if git.find(top, commit, budget) is not None or hooks.was_in(top, commit, budget):
        say(f"judging {commit[:12]}, which goes to {ref}")
        return True
    say(f"{commit[:12]}, which goes to {ref}, has no {budget}: nothing to judge")
    return False


def _checked(top: Path, commit: str, budget: str, options: Sequence[str], say: Callable[[str], None]) -> int:
    with ExitStack() as stack:
        place = top
        if commit != git.head(top) or not hooks.is_clean(top):
            place = stack.enter_context(hooks.checked_out(top, commit))
            for name in _lend(top, place, budget):
                say(f"{name} is in no commit: judged as it lies here")
        command = [sys.executable, "-P", "-m", "greengate", "check", "--budget", budget, *options]
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        code = subprocess.run(command, cwd=place, env=environ, check=False).returncode  # noqa: S603 - our own command
        if place != top:
            _remember(place / Path(budget).parent, top / Path(budget).parent)
        return code


def _lend(top: Path, place: Path, budget: str) -> Iterator[str]:
    """Bring models that git does not keep into a checkout, with all that lies beside them; yield their paths."""
    try:
        found = budget_file.read(place / budget)
    except BudgetError:
        return  # the check says what is wrong with it
    for model in found.models:
        path = Path(budget).parent / model.path
        if names_code(model.path) or (place / path).exists() or not (top / path).exists():
            continue
        beside = [top / path] if (top / path).is_dir() else (top / path).parent.iterdir()
        for file in beside:
            target = place / path.parent / file.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(file, target) if file.is_dir() else shutil.copyfile(file, target)
        yield path.as_posix()


def _remember(there: Path, here: Path) -> None:
    """Keep the verdict where `greengate explain` looks for it."""
    if (there / FOLDER / LAST).is_file() and (here / FOLDER).is_dir():
        shutil.copyfile(there / FOLDER / LAST, here / FOLDER / LAST)
