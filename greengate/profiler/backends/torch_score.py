"""The PyTorch backend, in the worker: a model run over labelled data, in its precision and on its device.

It is not compiled for it: every batch runs once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from greengate.profile import InputSpec, WorkloadSpec
from greengate.profiler.backends import labelled, torch_settings
from greengate.profiler.backends.torch_inputs import prepare, reaches
from greengate.profiler.backends.torch_open import open_model
from greengate.profiler.backends.torch_run import late, on_board, put
from greengate.profiler.backends.torch_slots import Slot, slots_of
from greengate.profiler.jobs import Refused, Scored, ScoreJob
from greengate.profiler.worker import Stage


def score(job: ScoreJob, stage: Stage) -> Scored:
    """Run the model over every sample and keep what the score needs of each. Raises Refused and WorkerFailed."""
    arrays, labels, places = labelled.read(job)
    with torch_settings.settings(job.workload):
        stage("loading the model")
        on_board(job.workload)
        with torch_settings.loose(job.workload):
            opened = open_model(job.path, job.recipe, seed=job.workload.seed)
        torch_settings.check(opened, job.workload)
        stage("evaluating the model")
        slots = slots_of(opened)
        size = next((dim for slot in slots for dim in (slot.shape or ())[:1] if isinstance(dim, int)), job.batch_size)
        constants = _constants(job.workload, slots, arrays, size)
        wanted = _wanted(job.data, slots, arrays, {item.name for item in constants})
        # Recorded data in whole batches: what a model is fed elsewhere, it is fed here.
        spec = replace(
            job.workload, batch_size=size, inputs=constants, recorded=job.data, inputs_from=None, compile=False
        )
        fed = prepare(opened, spec, labelled.whole(job.data, wanted, labels, places, size))
        ready = put(opened, fed, spec, spec.device)
        try:
            said = [_first_output(ready.call(index)) for index in range(len(ready.calls))]
        except RuntimeError as error:  # what a board tells only where its answer is fetched
            raise late(job.path, error) from None
    return labelled.scored(job, said, labels[places], size)


def _constants(
    spec: WorkloadSpec, slots: Sequence[Slot], arrays: Mapping[str, Any], size: int
) -> tuple[InputSpec, ...]:
    """Return the inputs that the budget gives one value and the data does not hold, for batches of another size."""
    named = [item for item in spec.inputs if item.value is not None and item.name not in arrays]
    known = [item for item in named if any(reaches(slot.name, item.name) for slot in slots)]
    return tuple(item if not item.shape else replace(item, shape=(size, *item.shape[1:])) for item in known)


def _wanted(data: str, slots: Sequence[Slot], arrays: Mapping[str, Any], constants: set[str]) -> dict[str, Any]:
    """Return the arrays that the model takes. Raises Refused where it needs one that is not there."""
    taken = {name: array for name, array in arrays.items() if any(reaches(slot.name, name) for slot in slots)}
    for slot in slots:
        if slot.needed and not any(reaches(slot.name, name) for name in (*taken, *constants)):
            raise labelled.lacking(data, slot.name)
    if not taken:
        names = ", ".join(slot.name for slot in slots) or "none"
        raise Refused("recorded-data", f"{data} has no array for an input of the model ({names})", labelled.SAVE)
    return taken


def _first_output(out: Any) -> Any:
    """Return the first tensor of what a model returns, `logits` where it names them, as numbers that numpy knows."""
    import torch

    while not isinstance(out, torch.Tensor):
        if isinstance(out, Mapping) and out:
            out = out["logits"] if "logits" in out else next(iter(out.values()))
        elif isinstance(out, tuple | list) and out:
            out = out[0]
        else:
            raise Refused("recorded-data", f"the model's first output is a {type(out).__name__}, no tensor", _RETURN)
    found = out.detach().cpu()
    return (found.float() if found.is_floating_point() else found).numpy()


_RETURN = "let it return a tensor, or a tuple or dict that begins with one"
