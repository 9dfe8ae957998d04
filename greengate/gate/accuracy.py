"""Accuracies of a model beside its baseline's: evaluated here on labelled data, or declared by a file or a command."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from greengate import files
from greengate.answers import Answers
from greengate.baselines import Found
from greengate.bound import paying_or_paid, policies
from greengate.budget import AccuracySource
from greengate.compare import no_source, without_n
from greengate.comparison import Basis, Change, Comparison
from greengate.errors import Diagnostic, ModelError
from greengate.gate import declared
from greengate.gate.binding import stands
from greengate.gate.declared import Side
from greengate.gate.ready import Ready, limits_of, subject_of
from greengate.gate.request import Chosen, Setting
from greengate.metrics import METRICS, name_of
from greengate.profile import Interval, Measurement, Missing, Profile
from greengate.profiler import evaluation
from greengate.profiler.backends import format_of
from greengate.profiler.jobs import Refused, ScoreJob, WorkerFailed
from greengate.verdict import ModelCase

_BATCH = 64
_NO_BASELINE = Missing("the baseline's model file is not at hand to be evaluated", "incomparable")
_NOT_EVALUATED = Missing(
    "no file that was given evaluated it", "skipped", "measure it again with this version of greengate and this budget"
)


@dataclass(frozen=True)
class Said:
    """What is known of one side's accuracies: figures and raw answers, both by metric."""

    figures: Mapping[str, Measurement | Missing]
    answers: Mapping[str, Answers]


def of(profile: Profile) -> Said:
    """Return what a profile says of accuracies."""
    figures = {name: one for name, one in profile.measurements.items() if not METRICS[name].measured}
    return Said(figures, profile.answers)


def within(profile: Profile, said: Said) -> Profile:
    """Return a profile that holds accuracies beside its other numbers."""
    return replace(profile, measurements={**profile.measurements, **said.figures}, answers=said.answers)


def take(one: Ready, setting: Setting) -> tuple[Said, Said | Missing]:
    """Take every accuracy of a candidate and of its baseline. Raises ModelError with every source that is at fault."""
    sources, path = one.chosen.entry.accuracy, one.chosen.path
    after = Side(path if stands(path) else None, one.counted.model.digest if one.counted.model.files else None)
    taken: dict[str, tuple[Measurement | Missing, Answers | None]] = {}
    wrong: list[Diagnostic] = []
    for source in sources:
        try:
            taken[source.metric] = _candidate(source, one.chosen, after, setting)
        except ModelError as error:
            wrong += error.diagnostics
    if wrong:
        raise ModelError(*wrong)
    return _gathered(taken), _baseline(one, setting)


def _baseline(one: Ready, setting: Setting) -> Said | Missing:
    if isinstance(one.baseline, Missing):
        return one.baseline
    before, stored = side_of(one.baseline, one.counted_before), one.baseline.profile
    known = Said({}, {}) if stored is None else of(stored)
    return _gathered(
        {source.metric: _earlier(source, one.chosen, before, known, setting) for source in one.chosen.entry.accuracy}
    )


def _gathered(taken: Mapping[str, tuple[Measurement | Missing, Answers | None]]) -> Said:
    answers = {metric: one for metric, (_, one) in taken.items() if one is not None}
    return Said({metric: figure for metric, (figure, _) in taken.items()}, answers)


def side_of(baseline: Found, counted: Profile | None = None) -> Side:
    """Return the baseline's side, by the digest of the very files that were counted."""
    known = counted or baseline.profile
    digest = known.model.digest if known is not None and known.model.files else baseline.ref.digest
    return Side(baseline.artifact, digest, baseline.ref.commit, baseline.weights)


def _candidate(
    source: AccuracySource, one: Chosen, after: Side, setting: Setting
) -> tuple[Measurement | Missing, Answers | None]:
    if "data" in source.options:
        found = _evaluated(source, one, after, setting)
        if isinstance(found, Refused):
            raise ModelError(Diagnostic(found.code, found.message, found.help, source.span))
        return found
    if "command" in source.options:
        figure = declared.run(source, after, setting)
        help_ = "run the command by hand to see what it says"
    else:
        figure = declared.now(source, after.digest, setting)
        there = (setting.folder / source.options["file"]).exists()
        right = "write the figure of this very model, a number, and `n` where it is known"
        help_ = right if there else "run the evaluation that writes it before the gate"
    if isinstance(figure, str):
        raise ModelError(Diagnostic("accuracy-source", figure, help_, source.span))
    return figure, None


def _earlier(
    source: AccuracySource, one: Chosen, before: Side, stored: Said, setting: Setting
) -> tuple[Measurement | Missing, Answers | None]:
    """Return a baseline's figure: taken from its model file, else the stored one, else what the file said then."""
    kept = stored.figures.get(source.metric)
    if "data" in source.options:
        found = _evaluated(source, one, before, setting)
        if isinstance(found, Refused):
            message = f"the baseline cannot be evaluated: {found.message}"
            return Missing(message, "incomparable", found.help), None
        if not isinstance(found[0], Missing):
            return found
        lack = found[0]
    elif "command" in source.options:
        figure = declared.run(source, before, setting) if before.path is not None else _NO_BASELINE
        if isinstance(figure, str):
            return Missing(figure, "incomparable"), None
        if isinstance(figure, Measurement):
            return figure, None
        lack = figure
    else:
        return kept if isinstance(kept, Measurement) else declared.before(source, before, setting), None
    return (kept, stored.answers.get(source.metric)) if isinstance(kept, Measurement) else (lack, None)


def _evaluated(
    source: AccuracySource, one: Chosen, side: Side, setting: Setting
) -> tuple[Measurement | Missing, Answers | None] | Refused:
    if side.path is None:
        return _NO_BASELINE, None
    spec, score, written = one.entry.workload, source.options["metric"], source.options["data"]
    data = labelled(source, setting)
    size = spec.batch_size if spec.batch_size > 1 else _BATCH
    subject = subject_of(one, side.path, setting, side.weights)
    run = (spec.threads, size, subject.workload, subject.recipe)
    job = ScoreJob(subject.path, str(data.absolute()), score, *run, slice=source.slice)
    which = f" {source.slice}" if str(source.slice) else ""
    try:
        columns = format_of(str(side.path)).load().score(job, limits_of(setting.budget)).columns
        value, spread = evaluation.value(score, columns), evaluation.interval(score, columns)
    except WorkerFailed as failed:
        return Missing(failed.reason, "failed", failed.help), None
    except Refused as refused:
        return Refused(refused.code, refused.message.replace(str(data.absolute()), written), refused.help)
    except ValueError as error:
        return Missing(f"{score} on {written}{which}: {error}", "unsettled", "evaluate on more samples"), None
    samples = len(next(iter(columns.values())))
    figure = Measurement(value, "evaluated", spread, samples, f"{score} on {samples:,} samples of {written}{which}")
    return figure, Answers(score, _digest(data), columns, str(source.slice))


def labelled(source: AccuracySource, setting: Setting) -> Path:
    """Return the labelled data: the target branch's, else the change's own where it alone names them."""
    own = setting.folder / source.options["data"]
    if setting.base_files is None:
        return own
    binding = setting.base_files.at(source.options["data"])
    return own if source.of_change and not binding.exists() else binding


def _digest(data: Path) -> str:
    return f"sha256:{files.sha256(data)}" if data.is_file() else ""


# --- elsewhere --------------------------------------------------------------------------------------------------------


def told(one: Chosen, profile: Profile, setting: Setting) -> Said:
    """Return the accuracies that a file holds of a candidate, and what a file of figures says now where it holds none.

    Raises ModelError where that file is at fault.
    """
    held, figures = of(profile), {}
    for source in one.entry.accuracy:
        kept = held.figures.get(source.metric)
        if kept is None and "file" in source.options:
            digest = profile.model.digest if profile.model.files else None
            kept, _ = _candidate(source, one, Side(None, digest), setting)
        figures[source.metric] = _NOT_EVALUATED if kept is None else kept
    return Said(figures, held.answers)


def told_before(one: Chosen, baseline: Found, setting: Setting) -> Said:
    """Return the accuracies of a baseline that is not measured now: the stored ones, or what a file said then."""
    held, figures = Said({}, {}) if baseline.profile is None else of(baseline.profile), {}
    for source in one.entry.accuracy:
        kept = held.figures.get(source.metric)
        if not isinstance(kept, Measurement) and "file" in source.options:
            kept = declared.before(source, side_of(baseline), setting)
        figures[source.metric] = _NO_BASELINE if kept is None else kept
    return Said(figures, held.answers)


def other_data(sources: Iterable[AccuracySource], profile: Profile, setting: Setting) -> str:
    """Say which accuracy a file took in another way than the budget asks for now; empty for none."""
    for source in sources:
        answers = profile.answers.get(source.metric)
        if answers is None or "data" not in source.options:
            continue
        data = labelled(source, setting)
        if answers.score != source.options["metric"]:
            return f"{name_of(source.metric)} by {answers.score}, the budget asks for {source.options['metric']}"
        if answers.slice != str(source.slice):
            then, asked = (f"samples {one}" if one else "all samples" for one in (answers.slice, str(source.slice)))
            return f"{name_of(source.metric)} on {then}, the budget asks for {asked}"
        if data.is_file() and answers.data != _digest(data):
            return f"{name_of(source.metric)} on other labelled data than {source.options['data']} holds now"
    return ""


# --- side by side -----------------------------------------------------------------------------------------------------


def with_accuracy(case: ModelCase, one: Chosen, before: Said | Missing, after: Said, setting: Setting) -> ModelCase:
    """Return a case with the comparisons of its accuracies: those that the budget names a source of, and no others."""
    found = {source.metric: _compared(source.metric, before, after) for source in one.entry.accuracy}
    given = setting.policies or (() if setting.budget is None else (setting.budget,))
    judging = chain(*map(policies, given))
    asked = [name for policy in judging for rule in policy.rules for name in paying_or_paid(rule)]
    lacking = {name: _unknown(name) for name in (*case.comparisons, *asked) if not METRICS[name].measured}
    own = [
        f"{name_of(source.metric)} is evaluated on {source.options['data']}, which only the change has"
        for source in one.entry.accuracy
        if source.of_change and "data" in source.options
    ]
    return replace(
        case,
        comparisons={**case.comparisons, **lacking, **found},
        notes=(*case.notes, *(own if setting.base_files else [])),
    )


def _unknown(metric: str) -> Comparison:
    missing = no_source(metric)
    return Comparison(metric, missing, missing, missing)


def _compared(metric: str, before: Said | Missing, after: Said) -> Comparison:
    new = after.figures.get(metric, _NOT_EVALUATED)
    old = before if isinstance(before, Missing) else before.figures.get(metric, _NO_BASELINE)
    if isinstance(new, Missing) or isinstance(old, Missing):
        return Comparison(metric, old, new, new if isinstance(new, Missing) else old)  # type: ignore[arg-type]
    then, now = None if isinstance(before, Missing) else before.answers.get(metric), after.answers.get(metric)
    return Comparison(metric, old, new, _change(metric, old, new, then, now))


def _change(
    metric: str, old: Measurement, new: Measurement, then: Answers | None, now: Answers | None
) -> Change | Missing:
    relative = METRICS[metric].dimension != "ratio"
    if then is None or now is None:
        return _apart(old, new, relative)
    if (then.score, then.data, then.slice) != (now.score, now.data, now.slice):
        what = "score" if then.score != now.score else "labelled data" if then.data != now.data else "slice of the data"
        help_ = "accept the baseline again, or let its model file be evaluated"
        return Missing(f"the baseline was evaluated by another {what}", "incomparable", help_)
    if not then.columns or not now.columns:
        return _apart(old, new, relative)
    try:
        return Change(*evaluation.paired(now.score, then.columns, now.columns), "paired", relative)
    except ValueError as error:
        return Missing(str(error), "incomparable", "evaluate both on the same samples")


def _apart(before: Measurement, after: Measurement, relative: bool) -> Change | Missing:
    """Compare two figures that were not taken sample by sample: the interval is that of their difference."""
    if (lack := without_n(before, after)) is not None:
        return lack
    one, two = (side.interval or Interval(side.value, side.value) for side in (before, after))
    basis: Basis = "exact" if before.interval is None and after.interval is None else "stored"
    if not relative:
        value = after.value - before.value
        # Newcombe's square-and-add interval of a difference of two shares.
        down = math.hypot(after.value - two.low, one.high - before.value)
        up = math.hypot(two.high - after.value, before.value - one.low)
        return Change(value, value - down, value + up, basis, relative=False)
    if before.value == after.value == 0:
        return Change(0.0, 0.0, 0.0, "exact")
    if one.low <= 0:
        return Missing("the baseline is not above 0: a relative change is not defined", "incomparable")
    return Change(after.value / before.value - 1, two.low / one.high - 1, two.high / one.low - 1, basis)
