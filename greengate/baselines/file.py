"""`file:PATH`: a model, measured beside the candidate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from greengate.baselines import Found, Request, ref
from greengate.profile import Missing
from greengate.recipe import names_code
from greengate.verdict import BaselineRef

#: Endings of files that hold weights alone.
_WEIGHTS = (".safetensors", ".pth", ".bin")


def find(rest: str, request: Request) -> Found | Missing:
    """Return the model as the artifact: a file, a folder with config.json, or code; raises `baseline-missing`.

    A file of weights stands for the candidate's own code with other weights; in a request, where that is the change's,
    for the code that the request grew from.
    """
    about = BaselineRef(f"file:{rest}", f"the file {rest}")
    if names_code(rest):
        if request.trusted is None:
            return Found(about, artifact=request.folder / rest, weights=request.weights)
        reason = f"no baseline: {rest} is not one file that can be taken from the target branch"
        return Missing(reason, "incomparable", "name a commit: `ref:BRANCH`")
    path = request.at(rest)
    if (path / "config.json").is_file():
        return Found(about, artifact=path, weights=request.weights)
    if not path.is_file():
        raise request.lacking(f"the baseline {rest!r} is not a file", "check the path after `file:`")
    if names_code(str(request.path)) and rest.endswith(_WEIGHTS):
        return _with_weights(path, about, request)
    return Found(about, artifact=path)


def _with_weights(weights: Path, about: BaselineRef, request: Request) -> Found | Missing:
    """Return code with weights of a file of their own."""
    if request.trusted is None or request.merge_base is None:
        return Found(about, artifact=request.path, weights=weights)
    code = ref.at_merge_base(request.merge_base, replace(request, weights=None))
    if code is None:
        reason = f"no baseline: the code of {request.path.name} is not in the merge base"
        return Missing(reason, "incomparable", "name a commit: `ref:BRANCH`")
    if isinstance(code, Missing):
        return code
    return Found(replace(about, about=f"{about.about}, with {code.ref.about}"), code.artifact, weights=weights)
