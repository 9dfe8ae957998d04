"""Numbers without a budget, for a terminal: two models compared, and one model profiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from greengate.compare import compare_trial
from greengate.comparison import Comparison
from greengate.layers import attribute
from greengate.metrics import METRICS, ordered
from greengate.profile import Ended, Measurement, Missing, Profile, Trial
from greengate.report.facts import (
    Gap,
    gaps,
    hardware_text,
    in_table_order,
    is_measured,
    is_missed,
    runtime_text,
    titled,
    workload_text,
)
from greengate.report.numbers import how, write, write_alone
from greengate.report.terminal.paper import (
    NARROWEST,
    Cell,
    Column,
    gap_lines,
    hanging,
    render_page,
    safe,
    table,
    text,
    where_lines,
)
from greengate.report.words import clip, plural, short_digest

if TYPE_CHECKING:
    from greengate.report.terminal.paper import Part

_CHANGES = (
    Column("metric", folds=True),
    Column("baseline", number=True),
    Column("candidate", number=True),
    Column("change", number=True),
    Column("compared"),
)
_ENDED: Mapping[Ended, str] = {
    "precision": "ended when the intervals were narrow enough",
    "time": "ended when the time given was spent",
    "failure": "ended by a failure",
    "none": "nothing was timed",
}
_PROFILE = (Column("metric", folds=True), Column("value", number=True), Column("measured", folds=True))


def render_trial(trial: Trial, *, colour: bool = False, width: int = 100, encoding: str = "utf-8") -> str:
    """Write every change a trial found, and how long and why it ran."""
    comparisons = attribute(trial.baseline, trial.candidate, compare_trial(trial))
    width = max(width, NARROWEST)
    told = f"{plural(len(trial.launches), 'launch')}, {trial.seconds:,.1f} s, {_ENDED[trial.ended_by]}"
    more = [("trial", "dim", told), *(("note", "dim", safe(note)) for note in trial.notes)]
    return render_page(_changes(comparisons, trial.baseline, trial.candidate, width, more), colour, width, encoding)


def render_changes(
    comparisons: Mapping[str, Comparison],
    baseline: Profile,
    candidate: Profile,
    *,
    colour: bool = False,
    width: int = 100,
    encoding: str = "utf-8",
) -> str:
    """Write every change between two profiles with its interval; what cannot be compared says why."""
    width = max(width, NARROWEST)
    return render_page(_changes(comparisons, baseline, candidate, width), colour, width, encoding)


def render_profile(profile: Profile, *, colour: bool = False, width: int = 100, encoding: str = "utf-8") -> str:
    """Write every measurement of a profile with its interval and method; what is missing says why."""
    width = max(width, NARROWEST)
    return render_page(_profile(profile, width), colour, width, encoding)


def _changes(
    comparisons: Mapping[str, Comparison],
    baseline: Profile,
    candidate: Profile,
    width: int,
    more: Sequence[tuple[str, str, str]] = (),
) -> Iterator[Part]:
    compared = in_table_order(comparisons)
    yield text(f"{_name(candidate)} compared with {_name(baseline)}", "bold")
    yield ""
    yield table(_CHANGES, [_row(one) for one in compared if is_measured(one)], width)
    if lines := list(gap_lines(gaps([(one.metric, one) for one in compared]))):
        yield hanging(lines)
    if found := list(where_lines(compared)):
        yield ""
        yield hanging(found)
    yield ""
    yield hanging([*_between(baseline, candidate), *more])


def _row(compared: Comparison) -> list[Cell]:
    written = write(compared)
    return [
        Cell(titled(compared.metric)),
        Cell(written.baseline),
        Cell(written.candidate),
        Cell(written.change, written.change_interval),
        Cell("" if isinstance(compared.change, Missing) else compared.change.basis),
    ]


def _profile(profile: Profile, width: int) -> Iterator[Part]:
    yield text(_name(profile), "bold")
    yield ""
    found = {name: profile.measurements[name] for name in ordered(profile.measurements)}
    yield table(_PROFILE, [_measured(name, one) for name, one in found.items() if isinstance(one, Measurement)], width)
    missing: dict[tuple[str, str], list[str]] = {}
    for name, one in found.items():
        if isinstance(one, Missing) and is_missed(name, one):
            missing.setdefault((one.reason, one.help), []).append(name)
    if lines := list(gap_lines(Gap(reason, help_, tuple(rows)) for (reason, help_), rows in missing.items())):
        yield hanging(lines)
    yield ""
    yield hanging(facts_of(profile))


def _measured(metric: str, found: Measurement) -> list[Cell]:
    value, interval = write_alone(found, METRICS[metric].dimension)
    return [Cell(titled(metric)), Cell(value, interval), Cell(safe(how(found)))]


def _name(profile: Profile) -> str:
    path = "" if profile.model.path == profile.model.name else f" {safe(clip(profile.model.path, 60))}"
    return f"model {safe(clip(profile.model.name))}{path}"


def facts_of(profile: Profile) -> Iterator[tuple[str, str, str]]:
    """Say what a profile's numbers rest on, as rows for `hanging`."""
    yield "model", "dim", safe(f"{profile.model.path} ({short_digest(profile.model.digest)})")
    yield "hardware", "dim", safe(hardware_text(profile.hardware))
    yield "workload", "dim", safe(workload_text(profile.workload))
    yield "runtime", "dim", safe(runtime_text(profile.runtime))
    yield "created", "dim", safe(f"{profile.created} by greengate {profile.greengate}")
    for note in (*profile.notes, *profile.hardware.notes):
        yield "note", "dim", safe(note)


def _between(baseline: Profile, candidate: Profile) -> Iterator[tuple[str, str, str]]:
    """Tell what holds for both profiles once, and what differs for each."""
    before, after = list(facts_of(baseline)), list(facts_of(candidate))
    for label in dict.fromkeys(line[0] for line in (*before, *after)):
        for line in before:
            if line[0] == label:
                yield line if line in after else (*line[:2], f"{line[2]}  (baseline)")
        for line in after:
            if line[0] == label and line not in before:
                yield *line[:2], f"{line[2]}  (candidate)"
