"""How git is called: no shell, no prompts, no user interface, no surprises from the environment."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from greengate.errors import Diagnostic, GreengateError

#: Seconds a local command, a command that copies a file, and one that asks a remote may take.
LOCAL, COPY, REMOTE = 60.0, 600.0, 120.0

#: Repository and user settings that would run programs or change what is read.
_SETTINGS = (
    *("core.fsmonitor=false", "log.showSignature=false", "protocol.ext.allow=never"),
    *("gc.auto=0", "maintenance.auto=false"),
)

#: Variables git sets for its hooks; under them `-C folder` would not decide which repository is meant.
_FOREIGN = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
)

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Answer:
    """What a command of git said: its exit code, its output, its words on stderr."""

    code: int
    out: bytes
    err: str


def is_hash(text: str) -> bool:
    """Return whether the text is a full commit or blob id."""
    return _HASH.fullmatch(text) is not None


def full(text: str) -> str:
    """Let only full ids through, so that nothing a user wrote can be an option or another revision."""
    if not is_hash(text):
        raise ValueError(f"{text!r} is not a full object id")
    return text


def git(
    folder: Path,
    *args: str,
    fine: tuple[int, ...] = (0,),
    out: IO[bytes] | None = None,
    timeout: float = LOCAL,
    given: bytes = b"",
    environ: Mapping[str, str] | None = None,
) -> Answer:
    """Run git where it must be at hand; an exit code that is not `fine` raises `git-failed` with git's words."""
    try:
        answer = run(folder, *args, out=out, timeout=timeout, given=given, environ=environ)
    except OSError as problem:
        message = f"git could not be started in {str(folder)!r}: {problem.strerror}"
        raise error(message, "install git, and check that the folder is there") from problem
    if answer.code not in fine:
        raise failed(answer)
    return answer


def run(
    folder: Path,
    *args: str,
    out: IO[bytes] | None = None,
    timeout: float = LOCAL,
    given: bytes = b"",
    environ: Mapping[str, str] | None = None,
) -> Answer:
    """Run git, `given` being its standard input; raises OSError where it is not installed, `git-failed` after time."""
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    literal = () if args[0] == "check-ignore" else ("--literal-pathspecs",)
    command = ["git", "--no-pager", *literal, "--no-replace-objects", *settings, *args]
    variables = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    variables |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": ""}
    try:
        done = subprocess.run(  # noqa: S603 - a list of words, every one an option or checked
            command,
            cwd=folder,
            env=variables | dict(environ or {}),
            input=given,
            stdout=out or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise error(f"git {args[0]} took longer than {timeout:.0f} s", "try again, or check the connection") from late
    return Answer(done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace"))


def failed(answer: Answer) -> GreengateError:
    """Return the error for a command of git that ended badly: its own words, and its own advice where it gives some."""
    lines = [line.strip() for line in answer.err.splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "")
    message = first.removeprefix("fatal: ").removeprefix("error: ") or f"git ended with code {answer.code}"
    fix = next((line for line in lines if line.startswith("git config ")), "")
    return error(message, f"run `{fix}`" if fix else "run the same git command by hand to see why")


def error(message: str, help: str) -> GreengateError:
    """Return a `git-failed` error."""
    return GreengateError(Diagnostic("git-failed", message, help))
