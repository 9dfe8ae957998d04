"""Before anything is timed: find every baseline, read every model, take every exact metric, tell all mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greengate import baselines
from greengate.baselines import Found
from greengate.budget import Budget, ModelEntry, WorkerLimits
from greengate.carbon import record as training_record
from greengate.errors import BaselineError, Diagnostic, GreengateError, ModelError
from greengate.gate.asked import asked
from greengate.gate.binding import BaseFiles
from greengate.gate.request import Chosen, Setting
from greengate.metrics import TRAINING
from greengate.profile import Measurement, Missing, Profile
from greengate.profiler import exact
from greengate.profiler.backends import format_of
from greengate.profiler.exact import Subject, refused
from greengate.profiler.jobs import Refused
from greengate.profiler.trial import Step
from greengate.recipe import NO_RECIPE, names_code


@dataclass(frozen=True)
class Ready:
    """A model whose files were read and whose exact metrics were taken."""

    chosen: Chosen
    candidate: Subject
    counted: Profile
    baseline: Found | Missing
    before: Subject | None = None
    counted_before: Profile | None = None

    @property
    def unfed(self) -> Missing | None:
        """Why the baseline can only be read, not run, under this workload; None where it runs."""
        if self.counted_before is None or self.counted_before.workload.feed or not self.counted_before.model.files:
            return None
        macs = self.counted_before.measurements["macs"]
        return macs if isinstance(macs, Missing) else None


def prepare(chosen: Sequence[Chosen], setting: Setting) -> tuple[Ready, ...]:
    """Find the baselines and count all models, two at a time. Raises GreengateError with every mistake found."""
    wrong: list[Diagnostic] = []
    found: list[tuple[Chosen, Subject, Found | Missing, Subject | None]] = []
    for one in chosen:
        try:
            found.append(_sides(one, setting))
        except GreengateError as error:
            wrong += error.diagnostics
    subjects = [side for _, candidate, _, before in found for side in (candidate, before) if side is not None]
    setting.progress(Step(", ".join(one.entry.name for one in chosen), "counting operations", 0.0, 0.0))
    counted = iter(exact.count_all(subjects, limits_of(setting.budget), setting.created))
    ready: list[Ready] = []
    for one, candidate, baseline, before in found:
        try:
            ready.append(_ready(one, candidate, baseline, before, counted, setting=setting))
        except GreengateError as error:
            wrong += error.diagnostics
    if wrong:
        raise GreengateError(*wrong)
    return tuple(ready)


def _sides(chosen: Chosen, setting: Setting) -> tuple[Chosen, Subject, Found | Missing, Subject | None]:
    lenient = chosen.entry.name in setting.reworked
    candidate = replace(subject_of(chosen, chosen.path, setting), lenient=lenient)
    try:
        hardware = format_of(candidate.path).load().hardware().id
    except Refused as refusal:
        raise refused(refusal, candidate) from refusal
    baseline = find_baseline(chosen, setting, hardware)
    if isinstance(baseline, Missing) or baseline.artifact is None:
        return chosen, candidate, baseline, None
    before = subject_of(replace(chosen, shown=baseline.ref.uri), baseline.artifact, setting, baseline.weights)
    return chosen, candidate, baseline, replace(before, lenient=True)


def _origin(chosen: Chosen, setting: Setting) -> ModelEntry:
    """Return the model as its baseline is looked for: as the target branch has it, wherever the change points it.

    What somebody at a laptop names is looked for where the work tree has the model.
    """
    if setting.merge_base is None and setting.request.named is not None:
        return chosen.entry
    return setting.known(chosen.entry)


def _ready(
    chosen: Chosen,
    candidate: Subject,
    baseline: Found | Missing,
    before: Subject | None,
    counted: Iterator[Profile | ModelError],
    *,
    setting: Setting,
) -> Ready:
    after, then = next(counted), next(counted) if before is not None else None
    if isinstance(after, ModelError):
        raise after
    if isinstance(baseline, Found) and _is_another(then, baseline):
        baseline, before, then = _by_numbers(baseline), None, None
    if isinstance(then, ModelError):
        raise then
    if before is None and after.hardware.gpus and isinstance(baseline, Found):
        # Which stored version was made on this machine is known only now that its board is.
        baseline = _by_numbers(find_baseline(chosen, setting, after.hardware.id))
    wanted = asked(chosen, setting)
    after, then = _asked(after, wanted), None if then is None else _asked(then, wanted)
    stored = None if isinstance(baseline, Missing) else baseline.profile
    return Ready(chosen, candidate, _trained(after, chosen, setting), baseline, before, _as_accepted(then, stored))


def _asked(counted: Profile, wanted: str) -> Profile:
    return replace(counted, workload=replace(counted.workload, asked=wanted))


def _is_another(counted: Profile | ModelError | None, baseline: Found) -> bool:
    """Tell whether what was at hand for a stored version is not its model: code takes arguments and reads files."""
    if counted is None or baseline.profile is None or baseline.artifact is None:
        return False
    if isinstance(counted, ModelError):
        return names_code(str(baseline.artifact))
    digests = {counted.model.digest, baseline.profile.model.digest}
    return (len(digests) == 2 and "" not in digests) or _counts_otherwise(counted, baseline.profile)


def _counts_otherwise(counted: Profile, stored: Profile) -> bool:
    """Tell whether a model of the same files has other exact numbers: code reads files that no digest knows."""
    if counted.greengate != stored.greengate:
        return False
    ran = [(one.runtime, replace(one.workload, asked="")) for one in (counted, stored)]
    exact = ("params", "macs") if ran[0] == ran[1] else ("params",)
    found = ((one.measurements.get(metric) for one in (counted, stored)) for metric in exact)
    return any(
        isinstance(now, Measurement) and isinstance(then, Measurement) and now.value != then.value
        for now, then in found
    )


def _by_numbers(baseline: Found | Missing) -> Found | Missing:
    """Return a stored baseline by its numbers alone."""
    return baseline if isinstance(baseline, Missing) else replace(baseline, artifact=None, weights=None)


def _trained(counted: Profile, chosen: Chosen, setting: Setting) -> Profile:
    """Add what training the model cost, where the budget names a record of it."""
    if chosen.entry.training is None:
        return counted
    carbon = None if setting.budget is None else setting.budget.carbon
    cost = training_record.costs(setting.folder / chosen.entry.training, carbon)
    return replace(counted, measurements={**counted.measurements, **cost.measurements}, trained=cost.trained)


def _as_accepted(counted: Profile | None, stored: Profile | None) -> Profile | None:
    """Add what training a stored version cost, where it is the model that is measured in its place."""
    if counted is None or stored is None or counted.model.digest != stored.model.digest:
        return counted
    cost = {metric: stored.measurements[metric] for metric in TRAINING if metric in stored.measurements}
    return replace(counted, measurements={**counted.measurements, **cost}, trained=stored.trained)


def limits_of(budget: Budget | None) -> WorkerLimits:
    """Return what a worker may use; without a budget, the defaults."""
    return WorkerLimits() if budget is None else budget.worker


def subject_of(chosen: Chosen, path: Path, setting: Setting, weights: Path | None = None) -> Subject:
    """Return what the profiler measures: absolute paths, and the place in the budget that named them.

    `weights` stand in for those of the budget; a baseline is made as the target branch says. Recorded inputs are those
    of the branch that judges; code that makes inputs is run as it stands in the work tree, like the model's own.
    """
    entry, judged = chosen.entry, setting.base_files.at if setting.base_files is not None else setting.folder.joinpath
    spec = replace(
        entry.workload,
        recorded=_absolute(entry.workload.recorded, judged),
        inputs_from=_absolute(entry.workload.inputs_from, setting.folder.joinpath),
    )
    recipe = (entry if path == chosen.path else _origin(chosen, setting)).recipe if names_code(str(path)) else NO_RECIPE
    own = _absolute(recipe.weights, setting.folder.joinpath)
    recipe = replace(recipe, weights=own if weights is None else str(weights.absolute()))
    return Subject(entry.name, str(path.absolute()), chosen.shown, spec, entry.span, recipe=recipe)


def _absolute(written: str | None, at: Callable[[str], Path]) -> str | None:
    return None if written is None else str(at(written).absolute())


def find_baseline(chosen: Chosen, setting: Setting, hardware: str | None) -> Found | Missing:
    """Find the baseline of one model: the flag, else the model's, else the file's, else auto. Raises BaselineError."""
    flag, budget = setting.request.named, setting.budget
    uri = baselines.choose(flag, chosen.entry.baseline, budget.baseline if budget is not None else None)
    # A path on the command line starts where the user stands; one in the budget starts at the budget.
    folder = setting.folder if flag is None else Path()
    origin, judging = _origin(chosen, setting), _judging(folder, setting)
    wanted = baselines.Request(
        model=chosen.entry.bound_as,
        path=setting.folder / origin.path,
        folder=folder,
        scratch=setting.scratch,
        hardware=hardware,
        merge_base=setting.merge_base,
        trusted=None if judging is None else judging.at,
        base=None if judging is None else judging.commit,
        weights=None if origin.recipe.weights is None else setting.folder / origin.recipe.weights,
        named_in=None if judging is None or origin is chosen.entry else judging.commit,
    )
    try:
        return baselines.resolve(uri, wanted)
    except BaselineError as error:
        # What the budget names is a mistake in the budget: point at the model's line.
        span = chosen.entry.span if flag is None and uri != "auto" else None
        raise BaselineError(*(replace(one, span=one.span or span) for one in error.diagnostics)) from error


def _judging(folder: Path, setting: Setting) -> BaseFiles | None:
    """Return the target branch's files by paths from a folder; None where no target branch judges the baseline.

    At a laptop whoever names a path vouches for it; in a request the change may have put something else there.
    """
    if setting.base_files is None or (setting.merge_base is None and setting.request.named is not None):
        return None
    return replace(setting.base_files, folder=folder)
