"""`greengate verify`: judge a verdict's case again, and hold the file to what comes out, byte for byte."""

from __future__ import annotations

import difflib
from pathlib import Path

from greengate import verdict_file
from greengate.errors import Diagnostic, GreengateError
from greengate.judge import judge_again
from greengate.verdict import Verdict

_HELP = "name a verdict written by `greengate check --report json=FILE`"


def verify(path: str) -> Verdict:
    """Return the verdict of a file that says what follows from its case.

    Raises GreengateError `profile-invalid` for a file that is no verdict, `verdict-altered` for one that says something
    else than its case; `unreadable-file`.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise GreengateError(Diagnostic("unreadable-file", message, _HELP)) from error
    except UnicodeDecodeError as error:
        raise GreengateError(Diagnostic("bad-encoding", f"{path} is not UTF-8 text", _HELP)) from error
    stored = verdict_file.load(text, path)
    again = judge_again(stored)
    derived = verdict_file.dump(again)
    if derived == text:
        return again
    message = f"{path} says something else than what follows from its case: {_first(text, derived)}"
    raise GreengateError(Diagnostic("verdict-altered", message, "check again; do not rely on this file"))


def _first(written: str, derived: str) -> str:
    """Return the first thing that differs, in words."""
    lines = [line for line in difflib.ndiff(written.splitlines(), derived.splitlines()) if line[:2] in ("- ", "+ ")]
    telling = next((line for line in lines if '"' in line), None)
    if telling is None:
        return "it is spaced differently"
    return f"{'it has' if telling[0] == '-' else 'it lacks'} `{telling[2:].strip().rstrip(',')}`"
