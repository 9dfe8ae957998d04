"""The format of files of policy tests, and the nouns that they become."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from greengate.budget_file.format_model import LINES, NAMES
from greengate.budget_file.shape import AsIs, Change, Date, Flag, Items, Key, Keys, Quantity, Text, Whole
from greengate.comparison import Change as Changed
from greengate.comparison import Comparison
from greengate.errors import Span
from greengate.metrics import Metric
from greengate.profile import Method
from greengate.verdict import Approval, Status

#: Expected of a rule that binds the model not at all, or is off.
UNJUDGED = "unjudged"
_STATUSES = tuple(status.name.lower() for status in Status)
OUTCOME = Text(choices=(*_STATUSES, UNJUDGED))
METHODS = Text(choices=get_args(Method))

_TEST = Keys(
    {
        "name": Key(LINES, "What is tested, as a sentence.", "more energy without approval fails", required=True),
        "model": Key(NAMES, "The model it is about; needed where the budget has several.", "sentiment"),
        "measurements": Key(AsIs(), "What was measured, by metric.", "{size: {baseline: 10 MB, candidate: 11 MB}}"),
        "approvals": Key(Items(AsIs(), "the approval"), "Approvals that count for it.", "[{rule: energy, by: lead}]"),
        "authors": Key(Items(LINES, "an author"), "Who wrote the change.", '["dev@example.org"]'),
        "today": Key(Date(), "The day it is judged; the day of the test if absent.", "2027-01-31"),
        "where": Key(Text(choices=("ci", "laptop")), "Where it is judged; ci if absent.", "ci"),
        "hardware": Key(LINES, "The machine; the reference machine if absent.", '"AMD EPYC 7763"'),
        "runtime": Key(LINES, "A runtime with its version.", '"onnxruntime 1.32.0"'),
        "expect": Key(AsIs(), "The outcome of rules, by id.", "{energy: fail}", required=True),
        "verdict": Key(Text(choices=_STATUSES), "The worst of all outcomes of the model.", "fail"),
    }
)

#: The whole file.
TESTS = Keys(
    {
        "version": Key(Whole(1, 1, "unsupported-version"), "Version of this format: 1.", "1", required=True),
        "tests": Key(Items(_TEST, "the test", 1), "The tests.", "[{name: ..., expect: {size: pass}}]", required=True),
    }
)


def ceilings(metric: Metric) -> dict[str, Key]:
    """Return how far an approval may go: the keys of a ceiling on a metric."""
    change = Change(metric.dimension)
    worse, better = ("increase", "decrease") if metric.better == "lower" else ("decrease", "increase")
    return {
        "max" if metric.better == "lower" else "min": Key(Quantity(metric.dimension), "The most it may be.", "60 ms"),
        f"max_{worse}": Key(change, "By how much it may get worse.", "15%"),
        f"suspicious_{better}": Key(change, "How much better somebody believed it to be.", "80%"),
    }


def approval(metric: Metric) -> Keys:
    """Return the shape of an approval of a rule on a metric."""
    kinds = ceilings(metric)
    return Keys(
        {
            "rule": Key(NAMES, "The id of the rule.", "energy", required=True),
            "by": Key(LINES, "Who says yes.", "lead@example.org", required=True),
            **kinds,
            "granted": Key(Date(), "The day it was given; today if absent.", "2026-11-01"),
            "expires": Key(Date(), "Its last day; today if absent.", "2027-01-31"),
            "other_candidate": Key(Flag(), "Whether it was given for another model; false if absent.", "true"),
        },
        any_of=tuple(kinds),
        apart=tuple((one, other) for one in kinds for other in kinds if one < other),
    )


@dataclass(frozen=True)
class Expected:
    """What a test expects of a rule; None: that it is not judged."""

    rule: str
    status: Status | None
    span: Span


@dataclass(frozen=True)
class PolicyTest:
    """One test: a change as measured and what is expected of it; `drifts` are the changes since long ago."""

    name: str
    span: Span
    model: str
    comparisons: Mapping[str, Comparison]
    expected: tuple[Expected, ...]
    verdict: Status | None = None
    drifts: Mapping[str, Changed] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    authors: tuple[str, ...] = ()
    today: datetime.date | None = None
    strict: bool = True
    hardware: str | None = None
    runtime: str | None = None
