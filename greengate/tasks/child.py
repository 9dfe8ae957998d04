"""A plan as jobs of GitLab: the child pipeline that measures each part and judges them all."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from greengate import gate
from greengate.gate import parts
from greengate.gate.parts import Part

#: Within the child nobody knows of the parent's rules; the last job runs whatever became of the others.
_ALWAYS = [{"when": "always"}]
_WRITE = "printf '%s\\n' \"$GREENGATE_PLAN\" > greengate-plan.json"
#: What loads a model does not have the token of the note.
_CHECK = "env -u GREENGATE_GITLAB_TOKEN greengate check"
_VERDICT = "greengate-verdict.json"
_NOTE = f"greengate comment --from {_VERDICT} || echo 'the note was not written; the verdict stands'"


def pipeline(found: Sequence[Part], request: gate.Request, job: str) -> str:
    """Return the child pipeline as GitLab's YAML; what it is written in is JSON, which nothing in a name can leave.

    `job` is the file of the repository that says how `.greengate` gets an image and installs greengate. Its jobs make
    parts of `found` with the request's budget and options.
    """
    options = ["--budget", str(request.budget), "--max-seconds", f"{request.max_seconds:g}"]
    options += ["--policy-ref", request.policy_ref] if request.policy_ref != "auto" else []
    options += ["--skip-unchanged"] if request.skip_unchanged else []
    check = f"{_CHECK} {shlex.join([*options, '--plan', 'greengate-plan.json'])}"
    folder = f"{PurePosixPath(str(request.budget)).parent / '.greengate' / 'parts'}"
    jobs: dict[str, Any] = {one.name: _measuring(one, f"{check} --part {one.name}", folder) for one in found}
    judged = f"{check} --profile {shlex.quote(folder)} --report terminal=- --report json={_VERDICT}"
    jobs["judge"] = {
        "extends": ".greengate",
        "stage": "judge",
        "rules": _ALWAYS,
        "script": [
            _WRITE,
            f"code=0; {judged} || code=$?; test ! -f {_VERDICT} || {_NOTE}; exit $code",
        ],
        "artifacts": {"when": "always", "paths": [_VERDICT]},
    }
    whole = {
        "include": [{"local": job}],
        "stages": ["measure", "judge"],
        "variables": {"GREENGATE_PLAN": parts.dump(found).strip()},
        **jobs,
    }
    return json.dumps(whole, indent=2) + "\n"


def _measuring(one: Part, check: str, folder: str) -> dict[str, Any]:
    return {
        "extends": ".greengate",
        "stage": "measure",
        "rules": _ALWAYS,
        **({"tags": list(one.runs_on)} if one.runs_on else {}),
        "script": [_WRITE, check],
        # What was measured is the last job's to judge.
        "allow_failure": {"exit_codes": [1, 3]},
        "artifacts": {"when": "always", "paths": [f"{folder}/"]},
    }
