"""What binds beside the change's own budget: the target branch's policy, its approvals, and who wrote the change."""

from __future__ import annotations

import datetime
import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from greengate import approval, budget_file, ci, git
from greengate.baselines import extract
from greengate.budget import Budget, CarbonBudget, ModelEntry
from greengate.ci.policy_ref import Source, unreadable
from greengate.errors import BudgetError, Diagnostic, GreengateError
from greengate.gate.request import Request
from greengate.git import branch as plumbing
from greengate.git import trees
from greengate.verdict import Approval, Policy


@dataclass(frozen=True)
class Trust:
    """What a verdict rests on beside measurements; `top` and `commit` None: the work tree's own policy binds."""

    policy: Policy
    base: Budget | None = None
    approvals: tuple[Approval, ...] = ()
    authors: tuple[str, ...] = ()
    top: Path | None = None
    commit: str | None = None


def read(request: Request, budget: Budget, now: datetime.datetime) -> Trust:
    """Read the policy that binds. Raises GreengateError where a request's target branch cannot be read."""
    folder = Path(budget.path).parent
    target = ci.target(request.environ)
    found = ci.policy_source(folder, target, request.policy_ref, request.environ)
    own = Policy(f"{budget.path} as it stands in the work tree", budget.digest, notes=found.notes)
    if found.commit is None or (top := git.root(folder)) is None:
        return _noted(Trust(own), *_approvals(_work_tree(folder), {}, None, now))
    if found.request and (above := git.superproject(top)) is not None:
        # A change can make a submodule of any folder, and so choose whose branch is asked for the policy.
        why = f"{budget.path} lies in a submodule of {above.name}"
        raise unreadable(why, "keep the budget in the repository that the request is for")
    path = extract.inside(top, Path(budget.path))
    if path is None:
        if found.request:
            why = f"{budget.path} lies outside of the repository"
            raise unreadable(why, "keep the budget in the repository that is checked out")
        return Trust(replace(own, notes=(*own.notes, "the budget lies outside of the repository")))
    base, policy = _base(top, found, path, budget, own)
    listed = plumbing.listing(top, found.commit)
    near = PurePosixPath(path).parent.as_posix()
    kept = {name: blob for name, blob in _below(listed, near).items() if name.startswith(".greengate/")}
    reviewed = dict(zip(kept, plumbing.read_blobs(top, list(kept.values())), strict=True))
    authors = _authors(top, found, request)
    trust = Trust(policy, base, (), authors, top, found.commit)
    return _noted(trust, *_approvals(_work_tree(folder), reviewed, found, now, authors))


def _authors(top: Path, found: Source, request: Request) -> tuple[str, ...]:
    """Return all who wrote the change; nobody where some of them may be unknown."""
    head, commit = git.head(top), str(found.commit)
    wrote = None if head is None else git.authors(top, commit, head)
    if wrote is None:
        return ()
    here = () if found.request else tuple(filter(None, (git.user(top),)))
    return tuple(dict.fromkeys((*wrote, *ci.people(request.environ), *here)))


def _noted(trust: Trust, approvals: tuple[Approval, ...], notes: tuple[str, ...]) -> Trust:
    return replace(trust, approvals=approvals, policy=replace(trust.policy, notes=(*trust.policy.notes, *notes)))


def _below(listed: dict[str, str], folder: str) -> dict[str, str]:
    lead = "" if folder == "." else f"{folder}/"
    return {name.removeprefix(lead): blob for name, blob in listed.items() if name.startswith(lead)}


def _base(top: Path, found: Source, path: str, own: Budget, policy: Policy) -> tuple[Budget | None, Policy]:
    """Return the target branch's budget and the policy to name; None where it has none yet."""
    commit = str(found.commit)
    at = f"{found.called} at {commit[:12]}"
    try:
        content = git.show(top, commit, path)
        if content is None and (why := _out_of_reach(top, commit, path, found.called)):
            if found.request:
                raise unreadable(why, f"put a file there on {found.called} first")
            return None, replace(policy, notes=(*policy.notes, why))
        was, removed = (path, "") if content is not None else _removed(top, commit)
        content = git.show(top, commit, was) if content is None and was else content
        if content is None:
            source = f"{own.path} of the change itself: {at} has no budget yet"
            return None, replace(policy, source=source, commit=commit, bootstrap=True)
        place = budget_file.InCommit(top, commit, was, found.called)
        base = budget_file.parse(content, place.shown, place)
    except BudgetError as error:
        first = error.diagnostics[0]
        line = first.span.line if first.span else 1
        file = first.span.file if first.span else f"{found.called}:{path}"
        why = f"{file} has a mistake: {first.message}"
        if found.request:
            raise unreadable(why, f"mend it on {found.called} first, in line {line}") from error
        return None, replace(policy, notes=(*policy.notes, why))
    notes = (*policy.notes, *([removed] if removed else []))
    source = f"{was} of {at}, and the change's own; the worse outcome binds"
    named = Policy(source, base.digest, commit, notes=notes)
    return _moved(base, Path(top, was).parent, own), named


def _out_of_reach(top: Path, commit: str, path: str, called: str) -> str:
    """Say why a budget that a commit does have cannot be read there; empty where it has none."""
    held = trees.leaves(top, commit)
    real = git.followed(top, commit, path)
    above = {str(each) for each in PurePosixPath(real, "x").parents}
    if real == "":
        return f"{called}:{path} is, or lies below, a symbolic link that leaves the repository or runs in circles"
    if any(leaf.mode == "160000" for name, leaf in held.items() if name in above):
        return f"{called}:{path} lies in a submodule"
    return f"{called}:{path} is a symbolic link to what is not there" if path in held else ""


def _removed(top: Path, commit: str) -> tuple[str, str]:
    """Return the one budget of a commit that the work tree no longer has, and what to say of it; empty for none.

    Raises GreengateError `policy-removed` where there are several: which one was meant is not known.
    """
    listed = plumbing.listing(top, commit)
    gone = [name for name in listed if name.endswith((".yaml", ".yml")) and not (top / name).exists()]
    contents = zip(gone, plumbing.read_blobs(top, [listed[name] for name in gone]), strict=True)
    budgets = [name for name, content in contents if budget_file.is_budget(content)]
    if len(budgets) > 1:
        message = f"the change deletes or renames several budgets: {', '.join(budgets)}"
        raise GreengateError(Diagnostic("policy-removed", message, "delete or rename them one at a time"))
    return (budgets[0], f"the change deletes or renames {budgets[0]}, which still binds") if budgets else ("", "")


#: What of an accuracy's source is a path.
_FILES = frozenset({"file", "data"})


def _moved(base: Budget, folder: Path, own: Budget) -> Budget:
    """Let paths of a budget that stood in another folder lead on to where they led, from the change's own."""
    here = Path(own.path).parent
    if folder.resolve() == here.resolve():
        return replace(base, path=own.path)
    way = Path(os.path.relpath(folder.resolve(), here.resolve()))
    log, calibration = base.power_log, base.calibration
    return replace(
        base,
        path=own.path,
        models=tuple(_model_from(way, folder, model) for model in base.models),
        baseline=_baseline_from(way, base.baseline),
        power_log=log and replace(log, file=str(way / log.file)),
        calibration=calibration and replace(calibration, file=str(way / calibration.file)),
        carbon_budget=_records_below(folder, base.carbon_budget),
        shared=tuple(replace(one, carbon_budget=_records_below(folder, one.carbon_budget)) for one in base.shared),
    )


def _model_from(way: Path, folder: Path, model: ModelEntry) -> ModelEntry:
    spec, recipe = model.workload, model.recipe
    return replace(
        model,
        path=str((folder / model.path).resolve()),
        training=model.training and str(folder / model.training),
        recipe=replace(recipe, weights=recipe.weights and str(folder / recipe.weights)),
        workload=replace(
            spec,
            recorded=spec.recorded and str(way / spec.recorded),
            inputs_from=spec.inputs_from and str(way / spec.inputs_from),
        ),
        accuracy=tuple(
            replace(one, options={key: str(way / to) if key in _FILES else to for key, to in one.options.items()})
            for one in model.accuracy
        ),
        baseline=_baseline_from(way, model.baseline),
    )


def _baseline_from(way: Path, uri: str | None) -> str | None:
    scheme, _, rest = (uri or "").partition(":")
    return f"{scheme}:{way / rest}" if scheme in ("file", "profile", "dir") else uri


def _records_below(folder: Path, carbon: CarbonBudget | None) -> CarbonBudget | None:
    return carbon and replace(carbon, records=tuple(str(Path(glob.escape(str(folder)), one)) for one in carbon.records))


# --- approvals --------------------------------------------------------------------------------------------------------


def _work_tree(folder: Path) -> dict[str, bytes]:
    """Return the approvals of the work tree with their signatures, by path from the budget's folder."""
    place = folder / approval.FOLDER
    if not place.is_dir():
        return {}
    files = sorted(path for path in place.iterdir() if path.suffix in (".json", ".sig") and path.is_file())
    return {f"{approval.FOLDER}/{path.name}": path.read_bytes() for path in files}


def _approvals(
    own: dict[str, bytes],
    reviewed: dict[str, bytes],
    found: Source | None,
    now: datetime.datetime,
    authors: tuple[str, ...] = (),
) -> tuple[tuple[Approval, ...], tuple[str, ...]]:
    """Return every approval with what is wrong with its proof, and what to say of files that are none."""
    told: list[str] = []
    approvals: list[Approval] = []
    binding = own if found is None else reviewed
    for name, content in _approval_files(binding):
        approvals += _read(content, name, "reviewed", told)
    if found is None:
        return tuple(approvals), tuple(told)
    known = set(reviewed.values())
    signers = approval.Signers(reviewed.get(approval.SIGNERS), reviewed.get(approval.REVOKED))
    for name, content in _approval_files(own):
        if content in known:
            continue
        for one in _read(content, name, "signed", told):
            signature = own.get(f"{name}.sig")
            if signature is None:
                approvals.append(replace(one, flaw="it is part of the change, and nobody signed it"))
                continue
            proof = approval.verify(content, signature, one.by, signers, now)
            proven = () if proof.flaw else authors
            also = tuple(each for each in proven if not approval.verify(content, signature, each, signers, now).flaw)
            approvals.append(replace(one, flaw=proof.flaw, key=proof.key, also=also))
    return tuple(approvals), tuple(told)


def _approval_files(found: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, content in found.items():
        if name.startswith(f"{approval.FOLDER}/") and name.endswith(".json"):
            yield name, content


def _read(content: bytes, name: str, proof: str, told: list[str]) -> Iterable[Approval]:
    try:
        return [replace(approval.load(content, name), proof=proof)]  # type: ignore[arg-type]
    except approval.ApprovalError as error:
        told.append(f"{name} is no approval: {error}")
        return []
