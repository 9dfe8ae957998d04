"""What holds for all models of a verdict alike: how metrics were measured, what is missing, what is worth noting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from greengate.profile import Measurement
from greengate.report.facts import Gap, gaps, in_table_order, is_measured, titled
from greengate.report.numbers import how
from greengate.verdict import ModelCase


@dataclass(frozen=True)
class Alike:
    """Methods by metric, gaps and notes that every measured model has; nothing of fewer than two."""

    methods: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()


def alike(models: Sequence[ModelCase]) -> Alike:
    """Return what the models that were measured have in common."""
    measured = [model for model in models if model.hardware is not None]
    if len(measured) < 2:
        return Alike()
    first, *others = measured
    methods = [methods_of(model) for model in measured]
    return Alike(
        {metric: said for metric, said in methods[0].items() if all(one.get(metric) == said for one in methods)},
        tuple(gap for gap in gaps_of(first) if all(gap in gaps_of(other) for other in others)),
        tuple(note for note in notes_of(first) if all(note in notes_of(other) for other in others)),
    )


def methods_of(model: ModelCase) -> dict[str, str]:
    """Return how each metric with a number was measured, both sides, in words."""
    found = {}
    for one in in_table_order(model.comparisons):
        if is_measured(one):
            sides = (side for side in (one.baseline, one.candidate) if isinstance(side, Measurement))
            found[one.metric] = "; ".join(dict.fromkeys(how(side) for side in sides))
    return found


def gaps_of(model: ModelCase) -> list[Gap]:
    """Return why numbers of a model are missing."""
    return gaps([(titled(one.metric), one) for one in in_table_order(model.comparisons)])


def notes_of(model: ModelCase) -> tuple[str, ...]:
    """Return what is worth knowing of a model and of the machine it was measured on."""
    return (*model.notes, *(model.hardware.notes if model.hardware else ()))
