"""`ref:NAME`: the model file as it stands in another commit; `auto` asks for the one a pull request grew from."""

from __future__ import annotations

from pathlib import Path

from greengate import git
from greengate.baselines import Found, MergeBase, Request, extract
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.git import branch as plumbing
from greengate.profile import Missing
from greengate.verdict import BaselineRef


def find(rest: str, request: Request) -> Found | Missing:
    """Return the model at a branch, tag or commit, fetched where a checkout lacks it.

    Missing where its content is not at hand or lies in a submodule. Raises BaselineError `baseline-missing` for a ref
    or a file that is not there.
    """
    if (top := git.root(request.folder)) is None:
        raise _missing(f"ref:{rest} is a commit, and this is no git repository", "name a file: `file:PATH`")
    commit = git.commit(top, rest) or _fetched(top, rest)
    if commit is None:
        raise _missing(f"no branch, tag or commit is called {rest!r}, here or on origin", "check the name")
    if (path := extract.inside(top, request.path)) is None:
        raise _missing(f"{request.path} lies outside of the repository", "name a file: `file:PATH`")
    found = _at(top, commit, path, rest, request.scratch)
    if found is None:
        help = "compare with a commit that has it, or with `--against none` while the model is new"
        raise _missing(f"{path} is not in {rest} ({commit[:12]}), under this name or another", help)
    return found


def at_merge_base(base: MergeBase, request: Request) -> Found | Missing | None:
    """Return the model at the merge base; None when it was not there yet, Missing when it cannot be had."""
    if base.commit is None:
        return Missing(f"no baseline: {base.reason}", "incomparable", base.help)
    if (top := git.root(request.folder)) is None or (path := extract.inside(top, request.path)) is None:
        return None
    return _at(top, base.commit, path, "the merge base", request.scratch)


def _at(top: Path, commit: str, path: str, called: str, scratch: Path) -> Found | Missing | None:
    short = commit[:12]
    if (module := git.submodule_at(top, commit, path)) is not None:
        help = "greengate reads one repository: name the old model with `file:PATH`, or accept it into a store"
        return Missing(f"no baseline: {path} lies in the submodule {module}", "incomparable", help)
    was, said = path, ""
    if git.find(top, commit, path) is None:
        if (old := git.renamed_from(top, commit, path)) is None:
            return None
        was, said = old, f", renamed to {path} since"
    try:
        artifact = extract.model(top, commit, was, scratch)
    except extract.NotAtHand as lack:
        return Missing(f"no baseline: {lack}", "incomparable", lack.help)
    if artifact is None:
        return None
    at = f"{called} {short}" if called == "the merge base" else f"{called} ({short})"
    return Found(BaselineRef(f"ref:{short}", f"{was} at {at}{said}", commit=commit), artifact)


def _fetched(top: Path, name: str) -> str | None:
    """Return the commit that origin's branch, tag or commit of this name is, fetched alone; None where it has none."""
    if not plumbing.has_remote(top):
        return None
    try:
        if git.is_hash(name):
            git.fetch(top, name)
            return git.commit(top, name)
        short = name.removeprefix("refs/remotes/").removeprefix("origin/")
        for ref in (f"refs/heads/{short}", f"refs/tags/{short}", name):
            if (commit := plumbing.remote_tip(top, ref)) is not None:
                git.fetch(top, commit)
                return git.commit(top, commit)
    except GreengateError as error:
        first = error.diagnostics[0]
        raise _missing(f"ref:{name} is not in this checkout, and {first.message}", first.help) from error
    return None


def _missing(message: str, help: str) -> BaselineError:
    return BaselineError(Diagnostic("baseline-missing", message, help))
