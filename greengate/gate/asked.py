"""What a model was asked to do, by digest: so that what was measured elsewhere can be held against the budget."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from greengate import codec, files, git
from greengate.gate.request import Chosen, Setting


def asked(chosen: Chosen, setting: Setting) -> str:
    """Return the digest of the workload that a budget asks for, and of its recorded inputs where they are at hand.

    Recorded inputs are those of the branch that judges, and their content counts, not their name.
    """
    spec = chosen.entry.workload
    # What is as it would be without a word is left out, so that a key that comes later changes no digest.
    said = {
        field.name: codec.encode(value)
        for field in dataclasses.fields(spec)
        if (value := getattr(spec, field.name)) != field.default and field.name != "recorded"
    }
    text = json.dumps(said, sort_keys=True)
    found = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    if spec.recorded is None:
        return found
    judged = setting.base_files.at if setting.base_files is not None else setting.folder.joinpath
    path = judged(spec.recorded)
    if not path.is_file():
        return f"{found}+"
    pointer = git.lfs_digest(path.read_bytes()) if path.stat().st_size <= git.LFS_LARGEST else None
    return f"{found}+{pointer or files.sha256(path)}"


def differs(measured: str, wanted: str) -> bool:
    """Tell whether something else was asked for; inputs that are not at hand on one side cannot tell."""
    spec, _, inputs = measured.partition("+")
    other, _, others = wanted.partition("+")
    return spec != other or ("+" in measured) != ("+" in wanted) or bool(inputs and others and inputs != others)
