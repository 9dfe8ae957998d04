"""The ONNX backend, in the worker: a model run over labelled data."""

from __future__ import annotations

from greengate.profiler.backends import labelled, onnx_device
from greengate.profiler.backends.onnx_runtime import load
from greengate.profiler.jobs import Scored, ScoreJob
from greengate.profiler.worker import Stage


def score(job: ScoreJob, stage: Stage) -> Scored:
    """Run the model over every sample and keep what the score needs of each. Raises Refused and WorkerFailed."""
    arrays, labels, places = labelled.read(job)
    stage("loading the model")
    loaded = load(job.path, job.threads, place=onnx_device.placed(job.workload))
    stage("evaluating the model")
    signatures = loaded.signatures()
    lacks = [item.name for item in signatures if item.name not in arrays]
    if lacks:
        raise labelled.lacking(job.data, lacks[0])
    size = next((dim for item in signatures for dim in item.shape[:1] if isinstance(dim, int)), job.batch_size)
    wanted = labelled.whole(job.data, {item.name: arrays[item.name] for item in signatures}, labels, places, size)
    said = []
    for start in range(0, len(places), size):
        batch = {name: array[start : start + size] for name, array in wanted.items()}
        said.append(loaded.session.run(loaded.outputs[:1], batch)[0])
    return labelled.scored(job, said, labels[places], size)
