"""The ONNX backend, in the worker: a model run over labelled data."""

from __future__ import annotations

from typing import Any

from greengate.profiler import evaluation, recorded
from greengate.profiler.backends.onnx_runtime import load
from greengate.profiler.jobs import Refused, Scored, ScoreJob
from greengate.profiler.worker import Stage

#: Names under which labels may stand in a labelled .npz.
LABELS = ("labels", "label", "y")
_SAVE = "save inputs by their names, and the labels as `labels`: `numpy.savez(path, x=images, labels=labels)`"


def score(job: ScoreJob, stage: Stage) -> Scored:
    """Run the model over every sample and keep what the score needs of each. Raises Refused."""
    import numpy as np

    arrays = recorded.read(job.data)
    name = next((one for one in LABELS if one in arrays), None)
    if name is None:
        raise Refused("recorded-data", f"{job.data} has no array `labels`", _SAVE)
    labels = arrays.pop(name)
    stage("loading the model")
    loaded = load(job.path, job.threads)
    stage("evaluating the model")
    said = []
    signatures = loaded.signatures()
    lacks = [item.name for item in signatures if item.name not in arrays]
    if lacks:
        raise Refused("recorded-data", f"{job.data} has no array {lacks[0]!r}", _SAVE)
    wanted = {item.name: arrays[item.name] for item in signatures}
    if any(len(array) != len(labels) for array in wanted.values()):
        raise Refused("recorded-data", f"{job.data}: inputs and labels differ in length", _SAVE)
    size = next((dim for item in signatures for dim in item.shape[:1] if isinstance(dim, int)), job.batch_size)
    for start in range(0, len(labels), size):
        batch = {name: _padded(array[start : start + size], size) for name, array in wanted.items()}
        out = loaded.session.run(loaded.outputs[:1], batch)[0]
        if len(out) != size:
            raise Refused("recorded-data", "the model's first output is not one row a sample", _SAVE)
        said.append(out[: len(labels) - start])
    try:
        found = evaluation.columns(job.metric, np.concatenate(said), labels)
    except (ValueError, IndexError) as error:
        help_ = f"check the labels in {job.data}, or choose another `metric`"
        raise Refused("recorded-data", f"{job.metric} cannot be taken: {error}", help_) from error
    return Scored({column: tuple(values) for column, values in found.items()})


def _padded(array: Any, size: int) -> Any:
    """Fill the last batch up with copies of its first sample: a fixed batch takes no fewer."""
    import numpy as np

    short = size - len(array)
    return np.concatenate([array, np.repeat(array[:1], short, axis=0)]) if short else array
