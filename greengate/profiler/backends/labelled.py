"""What every backend's worker does with labelled data: read it, cut it into batches, score what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greengate.profiler import evaluation, recorded
from greengate.profiler.jobs import Refused, Scored, ScoreJob

#: Names under which labels may stand in a labelled .npz.
LABELS = ("labels", "label", "y")
SAVE = "save inputs by their names, and the labels as `labels`: `numpy.savez(path, x=images, labels=labels)`"


def read(data: str) -> tuple[dict[str, Any], Any]:
    """Return the arrays of a labelled .npz by name, and its labels. Raises Refused."""
    arrays = dict(recorded.read(data))
    name = next((one for one in LABELS if one in arrays), None)
    if name is None:
        raise Refused("recorded-data", f"{data} has no array `labels`", SAVE)
    return arrays, arrays.pop(name)


def lacking(data: str, name: str) -> Refused:
    """Return the refusal of data without an input that the model needs."""
    return Refused("recorded-data", f"{data} has no array {name!r}", SAVE)


def whole(data: str, arrays: Mapping[str, Any], labels: Any, size: int) -> dict[str, Any]:
    """Return the arrays filled up to whole batches of `size` with copies of their first item. Raises Refused.

    A model of a fixed batch takes no fewer; what it says of the copies is left out.
    """
    import numpy as np

    if any(np.ndim(array) == 0 or len(array) != len(labels) for array in arrays.values()):
        raise Refused("recorded-data", f"{data}: inputs and labels differ in length", SAVE)
    short = -len(labels) % size
    return {name: np.concatenate([array, np.repeat(array[:1], short, axis=0)]) for name, array in arrays.items()}


def scored(job: ScoreJob, said: Sequence[Any], labels: Any, size: int) -> Scored:
    """Return what the score needs of each sample, from the model's first output for every batch. Raises Refused."""
    import numpy as np

    if any(np.ndim(out) == 0 or len(out) != size for out in said):
        raise Refused("recorded-data", "the model's first output is not one row a sample", SAVE)
    try:
        found = evaluation.columns(job.metric, np.concatenate(said)[: len(labels)], labels)
    except (ValueError, IndexError) as error:
        help_ = f"check the labels in {job.data}, or choose another `metric`"
        raise Refused("recorded-data", f"{job.metric} cannot be taken: {error}", help_) from error
    return Scored({column: tuple(values) for column, values in found.items()})
