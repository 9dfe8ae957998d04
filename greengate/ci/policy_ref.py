"""Which commit the policy is read from: in a request the tip of its target branch, and nothing may stand in for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from greengate import git
from greengate.ci.target import Target
from greengate.errors import Diagnostic, GreengateError
from greengate.git import branch as plumbing


@dataclass(frozen=True)
class Source:
    """Where the binding policy is read; without a commit it is the work tree's own.

    `called` is the branch or ref in words. In a `request` what cannot be read stops the gate; elsewhere it is noted.
    """

    commit: str | None = None
    called: str = ""
    request: bool = False
    fix: str = ""
    notes: tuple[str, ...] = ()


def source(folder: Path, target: Target | None, asked: str, environ: Mapping[str, str]) -> Source:
    """Find the commit that `--policy-ref` (`auto`, `none` or a ref) means.

    Raises GreengateError `policy-unreadable` where it is not at hand, `usage` where a request would judge itself.
    """
    if target is not None:
        return _of_request(folder, target, asked)
    if asked == "none":
        return Source()
    if asked != "auto":
        if (commit := _named(folder, asked)) is None:
            raise unreadable(f"{asked!r} names no commit", "check the name, or `git fetch` it first")
        return Source(commit, asked)
    if environ.get("GITHUB_ACTIONS") == "true" or environ.get("GITLAB_CI") == "true":
        return Source()
    return _of_laptop(folder)


def _of_laptop(folder: Path) -> Source:
    """Return origin's default branch as it is on disk; without a remote, the work tree."""
    if git.root(folder) is None or not plumbing.has_remote(folder):
        return Source()
    ref = git.default_branch(folder)
    if ref is None or (commit := git.commit(folder, ref)) is None:
        help = "run `git remote set-head origin --auto` to be judged as CI will"
        return Source(notes=(f"origin's default branch is not known here; {help}",))
    return Source(commit, ref.removeprefix("refs/remotes/"))


def _of_request(folder: Path, target: Target, asked: str) -> Source:
    if asked == "none":
        help = "remove --policy-ref: the policy of the target branch binds"
        raise GreengateError(Diagnostic("usage", "--policy-ref none would let the change judge itself", help))
    if (head := git.head(folder)) is None:
        raise unreadable("this is not a git checkout", "check the repository out with git")
    if asked != "auto":
        commit = _named(folder, asked)
        if commit is None:
            raise unreadable(f"{asked!r} names no commit of this checkout", target.deeper)
        if commit in (head, target.head, target.merge) or _is_of_change(folder, target, head, commit):
            help = "name a ref that the change cannot move, or remove --policy-ref"
            raise GreengateError(Diagnostic("usage", f"--policy-ref {asked} is the change itself", help))
        return Source(commit, asked, request=True, fix=target.deeper)
    lacks: list[str] = []
    for found in _tips(folder, target, head, lacks):
        try:
            if git.commit(folder, found) is None:
                git.fetch(folder, found)
            return Source(found, target.branch, request=True, fix=target.deeper)
        except GreengateError as error:
            lacks.append(error.diagnostics[0].message)
    lack = lacks[0] if lacks else "it is not in this checkout"
    raise unreadable(f"the tip of {target.branch} is not at hand: {lack}", target.deeper)


def _is_of_change(folder: Path, target: Target, head: str, commit: str) -> bool:
    """Tell whether a commit is part of the history of the change, and not of its target's as far as that is at hand."""
    if not plumbing.contains(folder, head, commit):
        return False
    merged = git.parents(folder, head)[:1] if head == target.merge else ()
    known = (git.commit(folder, f"refs/remotes/origin/{target.branch}"), target.tip, *merged)
    return not any(plumbing.contains(folder, tip, commit) for tip in known if tip is not None)


def _tips(folder: Path, target: Target, head: str, lacks: list[str]) -> Iterator[str]:
    """Yield commits that are the target branch's tip, the newest word first; they need not be at hand."""
    if plumbing.has_remote(folder):
        try:
            if found := plumbing.remote_tip(folder, f"refs/heads/{target.branch}"):
                yield found
        except GreengateError as error:
            lacks.append(error.diagnostics[0].message)
    # What the forge merged the change into for testing, or wrote down when the checkout or the event was made.
    if head == target.merge and len(parents := git.parents(folder, head)) == 2:
        yield parents[0]
    if (known := git.commit(folder, f"refs/remotes/origin/{target.branch}")) not in (None, head):
        yield str(known)
    if target.tip is not None:
        yield target.tip


def _named(folder: Path, ref: str) -> str | None:
    return None if git.root(folder) is None else git.commit(folder, ref)


def unreadable(why: str, help: str) -> GreengateError:
    """Return the error for a policy that cannot be read."""
    return GreengateError(Diagnostic("policy-unreadable", f"the policy that binds cannot be read: {why}", help))
