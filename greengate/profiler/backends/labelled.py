"""What every backend's worker does with labelled data: read it, cut it into batches, score what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greengate.profiler import evaluation, recorded
from greengate.profiler.jobs import Refused, Scored, ScoreJob, WorkerFailed

#: Names under which labels may stand in a labelled .npz.
LABELS = ("labels", "label", "y")
SAVE = "save inputs by their names, and the labels as `labels`: `numpy.savez(path, x=images, labels=labels)`"


def read(job: ScoreJob) -> tuple[dict[str, Any], Any, Any]:
    """Return the arrays of a labelled .npz by name, its labels, and the places of the job's slice. Raises Refused."""
    import numpy as np

    arrays = dict(recorded.read(job.data))
    name = next((one for one in LABELS if one in arrays), None)
    if name is None:
        raise Refused("recorded-data", f"{job.data} has no array `labels`", SAVE)
    labels = arrays.pop(name)
    if not labels.ndim:
        raise Refused("recorded-data", f"{job.data}: {name!r} is one value, not one a sample", SAVE)
    if not str(job.slice):
        return arrays, labels, np.arange(len(labels))
    (places,) = np.nonzero(_chosen(job, arrays, labels))
    if not len(places):
        raise Refused("recorded-data", f"{job.data} has no sample {job.slice}", "check the slice's `mask`")
    return arrays, labels, places


def _chosen(job: ScoreJob, arrays: Mapping[str, Any], labels: Any) -> Any:
    """Return one truth value a sample. Raises Refused where the slice does not fit the data."""
    import numpy as np

    data, part = job.data, job.slice
    if part.labels:
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            message = f"{data}: labels of shape {list(labels.shape)} and type {labels.dtype} are no classes"
            raise Refused("recorded-data", message, "name a `mask` instead of `labels`")
        known = set(labels.tolist())
        if lacks := [str(one) for one in part.labels if one not in known]:
            raise Refused("recorded-data", f"{data} has no sample labelled {', '.join(lacks)}", "check `labels`")
        return np.isin(labels, part.labels)
    mask = arrays.get(part.mask)
    if mask is None:
        help_ = f"it has {', '.join(arrays)}; save a mask beside the inputs, one truth value a sample"
        raise Refused("recorded-data", f"{data} has no array {part.mask!r}", help_)
    if mask.dtype.kind != "b":
        help_ = "save it with `.astype(bool)`"
        raise Refused("recorded-data", f"{data}: the mask {part.mask!r} is {mask.dtype}, not boolean", help_)
    if mask.shape != labels.shape[:1]:
        message = f"{data}: the mask {part.mask!r} has shape {list(mask.shape)} for {len(labels)} labels"
        raise Refused("recorded-data", message, "save one truth value a sample")
    return mask


def lacking(data: str, name: str) -> Refused:
    """Return the refusal of data without an input that the model needs."""
    return Refused("recorded-data", f"{data} has no array {name!r}", SAVE)


def whole(data: str, arrays: Mapping[str, Any], labels: Any, places: Any, size: int) -> dict[str, Any]:
    """Return what arrays have at `places`, filled up to whole batches of `size` with copies of the first item.

    A model of a fixed batch takes no fewer; what it says of the copies is left out. Raises Refused.
    """
    import numpy as np

    if any(np.ndim(array) == 0 or len(array) != len(labels) for array in arrays.values()):
        raise Refused("recorded-data", f"{data}: inputs and labels differ in length", SAVE)
    filled = np.concatenate([places, np.repeat(places[:1], -len(places) % size)])
    return {name: array[filled] for name, array in arrays.items()}


def scored(job: ScoreJob, said: Sequence[Any], labels: Any, size: int) -> Scored:
    """Return what the score needs of each sample, from the model's first output for every batch.

    Raises Refused where output and labels do not fit, WorkerFailed where the output is no answer.
    """
    import numpy as np

    if any(np.ndim(out) == 0 or len(out) != size for out in said):
        raise Refused("recorded-data", "the model's first output is not one row a sample", SAVE)
    try:
        answers = np.concatenate(said)[: len(labels)]
        if lack := evaluation.unanswered(job.metric, answers):
            raise WorkerFailed(f"{job.metric} cannot be taken: {lack}", "mend the model, or the numbers it is given")
        found = evaluation.columns(job.metric, answers, labels)
    except (ValueError, IndexError) as error:
        help_ = f"check the labels in {job.data}, or choose another `metric`"
        raise Refused("recorded-data", f"{job.metric} cannot be taken: {error}", help_) from error
    return Scored({column: tuple(values) for column, values in found.items()})
