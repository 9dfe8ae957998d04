"""What a pull or merge request goes into, and the commit it grew from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from greengate import git
from greengate.baselines import MergeBase
from greengate.errors import Diagnostic, GreengateError


@dataclass(frozen=True)
class Target:
    """The branch a request goes into, and the commits its forge names; None where it does not say.

    `tip` is the branch when the event was made, `head` the request's own last commit, `merge` the commit that
    merges the two for testing, `base` the forge's merge base. `deeper` says how to check out more history.
    """

    branch: str
    deeper: str
    tip: str | None = None
    head: str | None = None
    merge: str | None = None
    base: str | None = None


def merge_base(folder: Path, target: Target) -> MergeBase:
    """Find the commit a request grew from, fetching that one commit where the checkout stops short of it.

    HEAD^1 when HEAD is the forge's merge commit; else git's merge base, or the forge's where history is cut off.
    Raises GreengateError `git-failed` where git refuses the repository.
    """
    if (head := git.head(folder)) is None:
        return MergeBase(None, "this is not a git checkout", "check the repository out with git")
    lacks: list[str] = []
    for commit in _candidates(folder, target, head):
        try:
            if git.commit(folder, commit) is None:
                git.fetch(folder, commit)
            return MergeBase(commit)
        except GreengateError as error:
            lacks.append(f"{commit[:12]} cannot be fetched: {error.diagnostics[0].message}")
    lack = lacks[0] if lacks else "it is not in this checkout"
    return MergeBase(None, f"the merge base with {target.branch} is not at hand: {lack}", target.deeper)


def _candidates(folder: Path, target: Target, head: str) -> Iterator[str]:
    """Yield commits that may be the merge base, best first; they need not be at hand."""
    if head == target.merge and len(parents := git.parents(folder, head)) == 2:
        yield parents[0]
        return
    tips = [f"refs/remotes/origin/{target.branch}", *([target.tip] if target.tip else [])]
    computed = [found for tip in tips if (found := git.merge_base(folder, tip, head))][:1]
    stated = [target.base] if target.base else []
    # A forge's word can be stale after a request was retargeted; git's is wrong only where history is cut off.
    yield from stated + computed if git.is_shallow(folder) else computed + stated


def commit(text: object, where: str) -> str | None:
    """Return a full commit id, or None for nothing. Raises GreengateError `bad-value` for anything else."""
    if text is None or text == "":
        return None
    if isinstance(text, str) and git.is_hash(text):
        return text
    raise bad_value(f"{where} is not a commit id")


def branch(text: object, where: str) -> str | None:
    """Return a branch name git would allow, or None for nothing. Raises GreengateError `bad-value`."""
    if text is None or text == "":
        return None
    if isinstance(text, str) and git.is_branch(text):
        return text
    raise bad_value(f"{where} is not a branch name")


def bad_value(message: str) -> GreengateError:
    """Return the error for an environment that no forge makes."""
    help = "if this is no pull request, unset the variable; else report which CI runner sets it"
    return GreengateError(Diagnostic("bad-value", message, help))
