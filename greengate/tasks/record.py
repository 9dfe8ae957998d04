"""What a check leaves behind: its verdict for `explain`, and a part's trials for the job that merges them."""

from __future__ import annotations

import shutil
from pathlib import Path

from greengate import profile_file, verdict_file
from greengate.errors import Diagnostic, GreengateError, ReportError
from greengate.files import cannot_write, write_atomic
from greengate.gate import Checked
from greengate.profile import Profile
from greengate.report import steps
from greengate.verdict import Verdict

#: What greengate keeps beside a budget; `last.json` and `parts/` stay out of git.
FOLDER = ".greengate"
LAST = "last.json"
_IGNORED = f"{LAST}\nparts/\n"


def remember(verdict: Verdict) -> None:
    """Keep the verdict for `greengate explain`. Raises ReportError where it cannot be written."""
    folder = _folder(verdict.case.budget.path)
    write_atomic(folder / LAST, verdict_file.dump(verdict))
    keep_out_of_git(folder)


def keep_out_of_git(folder: Path) -> None:
    """Write the folder's .gitignore once. Raises ReportError."""
    if not (folder / ".gitignore").exists():
        write_atomic(folder / ".gitignore", _IGNORED)


def last(source: str | None, budget: str) -> Verdict:
    """Read a verdict back: `source`, else the last one of the budget's folder. Raises GreengateError."""
    path = Path(source) if source is not None else _folder(budget) / LAST
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        help_ = steps.of(budget, "run `greengate check` first, or name one")
        raise GreengateError(Diagnostic("verdict-missing", f"there is no verdict in {path}", help_)) from error
    return verdict_file.load(text, str(path))


def write_part(checked: Checked, part: str) -> tuple[Path, ...]:
    """Write what a part measured, one file a model, and return the files; nothing else stays. Raises ReportError."""
    folder = _folder(checked.verdict.case.budget.path) / "parts" / part
    written = []
    with cannot_write(folder):
        _make_empty(folder)
    for name, found in checked.measured.items():
        dump = profile_file.dump_profile(found) if isinstance(found, Profile) else profile_file.dump_trial(found)
        path = folder / f"{name.replace('/', '_')}.json"
        write_atomic(path, dump)
        written.append(path)
    keep_out_of_git(folder.parent.parent)
    return tuple(written)


def _make_empty(folder: Path) -> None:
    """Make a part's folder anew: what a change commits there, however deep, would be handed on as measured.

    It is there even where all was left out as unchanged, as what hands parts on looks for it.
    """
    for above in (folder.parent.parent, folder.parent):
        if above.is_symlink():
            message = f"{above} is a symbolic link: what a part measured is not written through one"
            raise ReportError(Diagnostic("cannot-write", message, "put a folder there, or nothing"))
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    folder.unlink(missing_ok=True)
    folder.mkdir(parents=True)


def _folder(budget: str) -> Path:
    return Path(budget).parent / FOLDER
