"""The versions that drift may be counted from, and what the candidate differs from each by."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace

from greengate import compare
from greengate.baselines import opening, store
from greengate.baselines.place import Directory, Place
from greengate.bound import policies, rules_for
from greengate.budget import Budget, Limit
from greengate.comparison import Change, Comparison
from greengate.gate.request import Chosen, Setting
from greengate.profile import Profile, Trial
from greengate.verdict import ModelCase, Past


def with_past(case: ModelCase, candidates: Sequence[Profile], chosen: Chosen, setting: Setting) -> ModelCase:
    """Return a case with the accepted versions that its drift limits may ask for; unchanged where it has none.

    `candidates` are the profiles of the one candidate: several where several jobs measured a part each.
    Raises BaselineError where the store cannot be read.
    """
    budget = setting.budget
    own = (budget,) if budget is not None else ()
    limits = _limits(setting.policies or own, chosen.entry.bound_as)
    if budget is None or not limits:
        return case
    uri = opening.uri_of(chosen.entry.baseline, budget.baseline)
    versions = store.history(_place(uri, setting), chosen.entry.bound_as)
    longest = max(limit.over or 0 for _, limit in limits)
    metrics = sorted({metric for metric, _ in limits})
    kept = _since(versions, setting.today - datetime.timedelta(days=longest))
    return replace(case, past=tuple(_past(version, candidates, metrics) for version in kept))


def looked_at(found: Profile | Trial) -> Profile:
    """Return the candidate with the launches of its looks, so that each can be compared with what was accepted."""
    return replace(found.candidate, launches=found.launches, looks=found.looks) if isinstance(found, Trial) else found


def _place(uri: str, setting: Setting) -> Place:
    """Open the store as the target branch has it, where that judges the change."""
    scheme, _, rest = uri.partition(":")
    if scheme == "dir" and setting.base_files is not None:
        return Directory(setting.base_files.at(rest))
    return opening.open_(uri, setting.folder)


def _limits(budgets: Iterable[Budget], model: str) -> list[tuple[str, Limit]]:
    return [
        (rule.metric, limit)
        for budget in budgets
        for each in policies(budget)
        for rule in rules_for(each, model)
        for limit in rule.limits
        if limit.over is not None
    ]


def _since(versions: Sequence[store.Version], begin: datetime.date) -> Sequence[store.Version]:
    """Return the version in force on a day, and all after it."""
    before = [place for place, version in enumerate(versions) if _day(version) <= begin]
    return versions[before[-1] if before else 0 :]


def _day(version: store.Version) -> datetime.date:
    return datetime.datetime.strptime(version.accepted, store.STAMP).date()


def _past(version: store.Version, candidates: Sequence[Profile], metrics: Iterable[str]) -> Past:
    compared = [compare.compare_profiles(version.profile, candidate) for candidate in candidates]
    found = {metric: _best([one[metric] for one in compared]) for metric in metrics}
    return Past(
        version.version,
        _day(version),
        granted=version.passed is False,
        baselines={metric: one.baseline for metric, one in found.items()},
        changes={metric: one.change for metric, one in found.items()},
        first={metric: one.first.change for metric, one in found.items() if one.first is not None},
    )


def _best(found: Sequence[Comparison]) -> Comparison:
    return next((one for one in found if isinstance(one.change, Change)), found[0])
