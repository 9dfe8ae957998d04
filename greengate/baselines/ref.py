"""`ref:NAME`: the model file as it stands in another commit; `auto` asks for the one a pull request grew from."""

from __future__ import annotations

from pathlib import Path

from greengate import git
from greengate.baselines import Found, MergeBase, Request, extract
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.git import branch as plumbing
from greengate.profile import Missing
from greengate.recipe import names_code
from greengate.verdict import BaselineRef


def find(rest: str, request: Request) -> Found | Missing:
    """Return the model at a branch, tag or commit, fetched where a checkout lacks it.

    Missing where its content is not at hand or lies in a submodule. Raises BaselineError `baseline-missing` for a ref
    or a file that is not there, and for one that belongs to the change that a request is about.
    """
    if (top := git.root(request.folder)) is None:
        raise _missing(f"ref:{rest} is a commit, and this is no git repository", "name a file: `file:PATH`")
    commit = git.commit(top, rest) or _fetched(top, rest)
    if commit is None:
        raise _missing(f"no branch, tag or commit is called {rest!r}, here or on origin", "check the name")
    if request.merge_base is not None and _is_of_change(top, request.merge_base, commit):
        raise _missing(f"ref:{rest} is the change itself", "name a branch that the change cannot move")
    if (path := extract.inside(top, request.path)) is None:
        raise _missing(f"{request.path} lies outside of the repository", "name a file: `file:PATH`")
    found = _at(top, commit, path, rest, request)
    if found is None:
        help = "compare with a commit that has it, or with `--against none` while the model is new"
        raise _missing(f"{path} is not in {rest} ({commit[:12]}), under this name or another", help)
    return found


def _is_of_change(top: Path, base: MergeBase, commit: str) -> bool:
    """Tell whether a commit is part of what a request adds to its target, as far as both are at hand."""
    if (head := git.head(top)) is None:
        return False
    # A shallow checkout records the parents of its commit without having them.
    own = commit in (head, *git.parents(top, head)) or plumbing.contains(top, head, commit)
    return own and (base.commit is None or not plumbing.contains(top, base.commit, commit))


def at_merge_base(base: MergeBase, request: Request) -> Found | Missing | None:
    """Return the model at the merge base; None when it was not there yet, Missing when it cannot be had."""
    if base.commit is None:
        return Missing(f"no baseline: {base.reason}", "incomparable", base.help)
    if (top := git.root(request.folder)) is None or (path := extract.inside(top, request.path)) is None:
        return None
    return _at(top, base.commit, path, "the merge base", request)


def _at(top: Path, commit: str, path: str, called: str, request: Request) -> Found | Missing | None:
    short = commit[:12]
    if (module := git.submodule_at(top, commit, path)) is not None:
        help = "greengate reads one repository: name the old model with `file:PATH`, or accept it into a store"
        return Missing(f"no baseline: {path} lies in the submodule {module}", "incomparable", help)
    is_folder = (request.path / "config.json").is_file() or git.find(top, commit, f"{path}/config.json") is not None
    if names_code(path) or is_folder:
        return _whole(top, commit, path, called, request)
    was, said = path, ""
    if git.find(top, commit, path) is None:
        if (old := git.renamed_from(top, commit, path, request.named_in)) is None:
            return None
        was, said = old, f", renamed to {path} since"
    try:
        artifact = extract.model(top, commit, was, request.scratch)
    except extract.NotAtHand as lack:
        return Missing(f"no baseline: {lack}", "incomparable", lack.help)
    if artifact is None:
        return None
    at = f"{called} {short}" if called == "the merge base" else f"{called} ({short})"
    return Found(BaselineRef(f"ref:{short}", f"{was} at {at}{said}", commit=commit), artifact)


def _whole(top: Path, commit: str, path: str, called: str, request: Request) -> Found | Missing | None:
    """Return a folder, or code with its weights, as it stood in a commit; None when it was not there."""
    at = f"{called} {commit[:12]}" if called == "the merge base" else f"{called} ({commit[:12]})"
    ref = BaselineRef(f"ref:{commit[:12]}", f"{path} at {at}", commit=commit)
    folder, _, name = path.rpartition("/")
    weights: Path | None = None
    try:
        if not names_code(path):
            found = extract.tree(top, commit, path, request.scratch)
            return None if found is None else Found(ref, found)
        module = f"{folder}/{name.partition(':')[0].replace('.', '/')}".removeprefix("/")
        if not any(git.find(top, commit, f"{module}{end}") for end in (".py", "/__init__.py")):
            return None
        code = extract.tree(top, commit, folder, request.scratch, extract.BESIDE_CODE)
        if request.weights is not None:
            stored = extract.inside(top, request.weights)
            weights = None if stored is None else extract.model(top, commit, stored, request.scratch)
            if weights is None:
                reason = f"no baseline: the weights {request.weights} are not in {commit[:12]}"
                return Missing(reason, "incomparable", "commit them, or name another baseline with `--against`")
    except extract.NotAtHand as lack:
        return Missing(f"no baseline: {lack}", "incomparable", lack.help)
    return None if code is None else Found(ref, code / name, weights=weights)


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
