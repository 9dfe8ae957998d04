"""What the gate is asked, and which models that means."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from greengate.baselines import MergeBase
from greengate.budget import Budget, ModelEntry
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.gate.binding import BaseFiles
from greengate.profile import Profile, Trial, WorkloadSpec
from greengate.profiler.trial import Progress, silent
from greengate.recipe import names_code
from greengate.verdict import Verdict


@dataclass(frozen=True)
class Request:
    """What the gate is asked to do.

    `models` are names of the budget, paths of its models, or NAME=PATH. `profiles` are files measured elsewhere;
    with them nothing is measured here. `plan` is the file that says what each part of a matrix measures. `environ`
    tells where the gate runs. `max_seconds` are for one model, `energy_seconds` for metering its energy,
    `simulation_seconds` for counting its instructions (0: not at all); `energy` meters it although no rule asks, and
    `simulated` are such metrics of a simulated processor. `skip_unchanged` leaves out what a request does not touch.
    """

    budget: str | None = "budgets.yaml"
    models: tuple[str, ...] = ()
    against: str | None = None
    static_only: bool = False
    profiles: tuple[str, ...] = ()
    part: str | None = None
    plan: str | None = None
    strict: bool = False
    policy_ref: str = "auto"
    max_seconds: float = 60.0
    energy_seconds: float = 240.0
    energy: bool = False
    simulation_seconds: float = 60.0
    simulated: tuple[str, ...] = ()
    skip_unchanged: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> str | None:
        """The baseline that is named beside the budget; `auto` names none."""
        return None if self.against in ("", "auto") else self.against


@dataclass(frozen=True)
class Checked:
    """A verdict, and what was measured for it by model name: a trial where there was a baseline to hold beside."""

    verdict: Verdict
    measured: Mapping[str, Profile | Trial]


@dataclass(frozen=True)
class Chosen:
    """A model to be judged: its entry, the file that stands for it, and that file as the user wrote it."""

    entry: ModelEntry
    path: Path
    shown: str


@dataclass(frozen=True)
class Setting:
    """What every step needs to know.

    `created` dates profiles, `scratch` is removed by whoever made it, `merge_base` is None outside a pull request.
    `base_files` finds what the policy names on the target branch; `reworked` models must not be run as the change says.
    `policies` are all that judge what is measured, where that is more than the budget; `base` is the target branch's.
    """

    budget: Budget | None
    request: Request
    scratch: Path
    created: str = ""
    progress: Progress = silent
    merge_base: MergeBase | None = None
    base_files: BaseFiles | None = None
    reworked: frozenset[str] = frozenset()
    policies: tuple[Budget, ...] = ()
    base: Budget | None = None

    def known(self, entry: ModelEntry) -> ModelEntry:
        """Return a model as the target branch has it, by the name whose rules bind it; itself where that has none."""
        models = () if self.base is None else self.base.models
        return next((model for model in models if model.name == entry.bound_as), entry)

    @property
    def today(self) -> datetime.date:
        """The day that `created` names, UTC."""
        return datetime.date.fromisoformat(self.created[:10])

    @property
    def folder(self) -> Path:
        """The folder that paths of the budget start at."""
        return Path(self.budget.path).parent if self.budget is not None else Path()


def choose(budget: Budget, written: tuple[str, ...], *, exactly: bool = False) -> tuple[Chosen, ...]:
    """Return the models of the budget that the command line selects; all of them when it names none.

    A name selects what is bound as it too, unless `exactly` it is meant: a plan's parts name every one.
    Raises GreengateError `unknown-model` for every name that is not in the budget.
    """
    folder = Path(budget.path).parent
    by_name = {entry.name: Chosen(entry, folder / entry.path, entry.path) for entry in budget.models}
    if not written:
        return tuple(by_name.values())
    found: dict[str, Chosen] = {}
    wrong = []
    for text in written:
        name, replaced, path = text.partition("=")
        names = {name} & by_name.keys() if replaced or exactly else _meant(text, by_name)
        if not names:
            wrong.append(_unknown(name, by_name))
        elif replaced:
            found[name] = replace(by_name[name], path=Path(path), shown=path)
        else:
            found |= {each: chosen for each, chosen in by_name.items() if each in names and each not in found}
    if wrong:
        raise GreengateError(*wrong)
    return tuple(found.values())


def _meant(text: str, known: Mapping[str, Chosen]) -> set[str]:
    """Return the models that a name or a file's path selects: hooks pass the names of changed files.

    What is judged in the place of one, or as the one that it may be by another name, no name leaves out.
    """
    if text in known and known[text].entry.rules_of:
        return {text}
    bound = {name: chosen.entry.bound_as for name, chosen in known.items()}
    by_name = text in known or text in bound.values()
    place = None if by_name else Path(text).resolve()
    meant = {text} if by_name else {bound[name] for name, one in known.items() if one.path.resolve() == place}
    places = {place, *(known[name].path.resolve() for name in meant & known.keys())}
    return {
        name
        for name, one in known.items()
        if bound[name] in meant or (one.entry.rules_of and one.path.resolve() in places)
    }


def _unknown(name: str, known: Mapping[str, Chosen]) -> Diagnostic:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return Diagnostic("unknown-model", f"no model is called {name!r}", f"{hint}the budget has {', '.join(known)}")


def single(budget: Budget | None, written: str) -> Chosen:
    """Return the one model that is to be profiled: a name of the budget, else a file of its own."""
    if budget is not None and (any(entry.name == written for entry in budget.models) or "=" in written):
        return choose(budget, (written,))[0]
    if budget is not None and not Path(written).exists() and not names_code(written):
        message = f"{written!r} is neither a model of {budget.path} nor a file"
        raise GreengateError(Diagnostic("unknown-model", message, f"the budget has {', '.join(_names(budget))}"))
    workload = WorkloadSpec()
    if budget is not None:
        shared = budget.models[0].workload
        workload = WorkloadSpec(shared.batch_size, shared.threads, shared.seed)
    name = written.rpartition(":")[2] if names_code(written) else Path(written).name.split(".")[0] or written
    return Chosen(ModelEntry(name, written, Span(written, 1), workload), Path(written), written)


def _names(budget: Budget) -> tuple[str, ...]:
    return tuple(entry.name for entry in budget.models)
