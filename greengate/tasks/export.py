"""`greengate export`: what was measured, for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from greengate import profile_file, verdict_file
from greengate.errors import Diagnostic, GreengateError
from greengate.profile import Trial
from greengate.report import steps
from greengate.report.exports import EXPORTS
from greengate.report.exports.sheet import Sheet, of_profile, of_verdict
from greengate.tasks import record


def export(source: str | None, budget: str, form: str, models: Sequence[str] = ()) -> str:
    """Write a verdict, profile or trial (of it the candidate) in another tool's format.

    By default that is the last verdict of the budget's folder.

    Raises GreengateError `verdict-missing`, `profile-invalid`, `unknown-model`, and `usage` where a format that
    describes one model is asked for several.
    """
    sheets = sheets_of(source, budget)
    names = [sheet.model.name for sheet in sheets]
    if unknown := [name for name in models if name not in names]:
        help = f"there is {', '.join(names) or 'none'}"
        wrong = (Diagnostic("unknown-model", f"nothing measured is called {name!r}", help) for name in unknown)
        raise GreengateError(*wrong)
    chosen = [sheet for sheet in sheets if not models or sheet.model.name in models]
    if not chosen:
        message = "nothing was measured that could be exported"
        help = steps.of(budget, "run `greengate check` first, or name a profile")
        raise GreengateError(Diagnostic("verdict-missing", message, help))
    if form == "model-card" and len(chosen) > 1:
        message = f"a model card describes one model, and {len(chosen)} were measured"
        raise GreengateError(Diagnostic("usage", message, f"choose with --model: {', '.join(names)}"))
    return EXPORTS[form](chosen)


def sheets_of(source: str | None, budget: str) -> tuple[Sheet, ...]:
    """Return what a file measured, or the last verdict of the budget's folder. Raises GreengateError."""
    if source is None:
        return of_verdict(record.last(None, budget))
    path = Path(source)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise GreengateError(
            Diagnostic("unreadable-file", f"cannot read {source!r}: {error}", "check the path")
        ) from error
    if f'"{verdict_file.SCHEMA}"' in text[:200]:
        return of_verdict(verdict_file.load(text, source))
    found = profile_file.load(text, source)
    return (of_profile(found.candidate if isinstance(found, Trial) else found),)
