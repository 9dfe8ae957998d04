"""One model written as ONNX, in a worker of its own: its twin, which is measured like any other file."""

from __future__ import annotations

from pathlib import Path

from greengate.budget import WorkerLimits
from greengate.profile import Missing
from greengate.profiler.backends import format_of
from greengate.profiler.exact import Subject, refused
from greengate.profiler.jobs import Agreement, Exported, ExportJob, Refused, WorkerFailed

_NATIVE = "profile it without --export; code that makes a model, folders and .pt2 files can be exported"


def export(subject: Subject, onnx: Path, feed: Path, limits: WorkerLimits) -> Exported | Missing:
    """Write a model to `onnx`, and what its workload feeds it to `feed`; Missing where the worker broke.

    Raises ModelError where the model, its inputs or the exporter are at fault.
    """
    job = ExportJob(subject.path, subject.workload, str(onnx), str(feed), subject.recipe)
    try:
        row = format_of(subject.path)
        if row.unexported:
            raise Refused("export-failed", f"{subject.path} cannot be exported: {row.unexported}", _NATIVE)
        from greengate.profiler.backends import torch

        return torch.export(job, limits)
    except Refused as refusal:
        raise refused(refusal, subject) from refusal
    except WorkerFailed as failure:
        return Missing(failure.reason, "failed", failure.help)


def notes(exported: Exported, shown: str) -> tuple[str, ...]:
    """Say in words where a twin comes from, and how far its outputs are from the model's."""
    by = ", ".join(f"{name} {version}" for name, version in exported.by.items())
    return (f"exported from {shown} for these inputs, by {by}", agreed(exported.agreement), *exported.notes)


def agreed(found: Agreement | Missing) -> str:
    """Say how far the outputs of both are apart."""
    if isinstance(found, Missing):
        return found.reason
    outputs = f"its {found.outputs} outputs are" if found.outputs > 1 else "its output is"
    near = f"within {found.apart:.2g} of" if found.apart else "equal to"
    words = f"{outputs} {near} PyTorch's on the workload's inputs"
    if found.unequal:  # whole numbers, or not finite on one side: how far these are apart says nothing
        words += f", but for {found.unequal:,} of {found.elements:,} elements"
    return words + (f"; the largest value is {found.largest:.3g}" if found.largest else "")
