"""A PyTorch model and its ONNX twin, measured one after the other under one workload."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from greengate.errors import Diagnostic, ReportError
from greengate.gate.here import start
from greengate.gate.ready import limits_of, subject_of
from greengate.gate.request import Chosen, Setting
from greengate.profile import Missing, Profile
from greengate.profiler import exporting
from greengate.profiler.trial import Step
from greengate.recipe import NO_RECIPE

#: What the twin is called beside the model it was exported from.
SUFFIX = "-onnx"


def twins(chosen: Chosen, setting: Setting, keep: Path | None) -> tuple[Profile, Profile | Missing]:
    """Export a model, then measure it and its twin; Missing where the worker that exports broke.

    The twin is fed the very tensors that the model is. `keep` is where its file stays. Raises GreengateError.
    """
    name = chosen.entry.name
    setting.progress(Step(name, "exporting the model", 0.0, 0.0))
    made = setting.scratch / (keep.name if keep is not None else f"{Path(name).name}.onnx")
    feed = setting.scratch / "twin-feed.npz"
    exported = exporting.export(subject_of(chosen, chosen.path, setting), made, feed, limits_of(setting.budget))
    if keep is not None and not isinstance(exported, Missing):
        made = _kept(made, keep)
    model = _alone(chosen, setting)
    if isinstance(exported, Missing):
        return model, exported
    spec = replace(
        chosen.entry.workload,
        inputs=(),
        recorded=str(feed),
        inputs_from=None,
        precision=None,
        compile=False,
        channels_last=False,
        generate=None,
    )
    labelled = tuple(source for source in chosen.entry.accuracy if "data" in source.options)
    entry = replace(
        chosen.entry, name=name + SUFFIX, path=str(made), workload=spec, recipe=NO_RECIPE, accuracy=labelled
    )
    shown = str(keep) if keep is not None else made.name
    found = _alone(Chosen(replace(entry, training=None), made, shown), setting)
    return model, replace(found, notes=(*exporting.notes(exported, chosen.shown), *found.notes))


def _alone(chosen: Chosen, setting: Setting) -> Profile:
    found = start(chosen, setting, twice=True)
    if not isinstance(found, Profile):
        raise TypeError("a model without a baseline has a profile")
    return found


def _kept(made: Path, keep: Path) -> Path:
    """Move a file to where it stays, with the weights beside it. Raises ReportError."""
    try:
        for one in (made.with_name(f"{made.name}.data"), made):
            if one.exists() and one.stat().st_size:  # small weights lie in the file itself, beside an empty one
                shutil.move(one, keep.with_name(one.name))
    except OSError as error:
        message = f"{keep} cannot be written: {error.strerror or error}"
        raise ReportError(Diagnostic("cannot-write", message, "name a file in a folder that can be written")) from None
    return keep
