"""`greengate hook install` and `uninstall`: the pre-push hook of a plain git repository."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from greengate import budget_file, git
from greengate.errors import Diagnostic, GreengateError
from greengate.files import cannot_write, write_atomic
from greengate.git import hooks

NAME = "pre-push"
#: Where a hook that was there before is kept; ours runs it first.
OWN = f"{NAME}.before-greengate"

_MARK = re.compile(r"^# greengate hook sha256:([0-9a-f]{64})\n", re.MULTILINE)
_SCRIPT = r"""#!/bin/sh
# Written by `greengate hook install`; `greengate hook uninstall` removes it. Judges what is pushed before it leaves.
# `git push --no-verify` goes past it, not past CI.
pushed=$(cat)
say() { [ -z "$pushed" ] || printf '%s\n' "$pushed"; }
own=$(dirname "$0")/@OWN@
if [ -x "$own" ]; then
  say | "$own" "$@" || exit
fi
python=@PYTHON@
if [ -x "$python" ]; then
  gate() { "$python" -P -m greengate "$@"; }
elif command -v greengate >/dev/null; then
  gate() { greengate "$@"; }
else
  echo "greengate is not installed here, so nothing was judged: install it, or push with --no-verify" >&2
  exit 2
fi
say | gate hook run --budget @BUDGET@ --options @OPTIONS@ -- "$@"
"""


def install(budget: str, options: str, *, chain: bool) -> Iterator[str]:
    """Write the hook; yield what was done. With `chain` a hook that is there is kept, and run first.

    Raises GreengateError for a budget with mistakes, a hook somebody else wrote, or hooks other repositories share.
    """
    budget_file.read(Path(budget))
    top = _top()
    place = _folder(top) / NAME
    kept = place.with_name(OWN)
    foreign = _lexists(place) and not _is_ours(place)
    if foreign and (not chain or _lexists(kept)):
        again = f"{kept} is there already" if chain else "use --chain to keep it and run it first"
        message = f"{place} exists, and is not as `greengate hook install` wrote it"
        help_ = f'{again}; or call `greengate hook run -- "$@"` from it'
        raise GreengateError(Diagnostic("already-exists", message, help_))
    with cannot_write(place):
        if foreign:
            place.rename(kept)
            yield f"kept {kept}, which runs first"
        write_atomic(place, _script(top, place, _from_top(top, budget), options))
        place.chmod(0o755)
    yield f"wrote {place}"
    if _is_shared(top, place):
        yield f"next: commit {place.relative_to(top)}, so that everyone has it"


def uninstall() -> Iterator[str]:
    """Remove the hook, and put back what was there before; yield what was done. Raises GreengateError."""
    place = _folder(_top()) / NAME
    if not _lexists(place):
        yield f"there is no {place}"
        return
    if not _is_ours(place):
        message = f"{place} is not as `greengate hook install` wrote it"
        raise GreengateError(Diagnostic("already-exists", message, "remove the call of greengate from it by hand"))
    kept = place.with_name(OWN)
    with cannot_write(place):
        place.unlink()
        yield f"removed {place}"
        if _lexists(kept):
            kept.rename(place)
            yield f"put back {place} as it was before"


def _top() -> Path:
    top = git.root(Path())
    if top is None:
        raise GreengateError(Diagnostic("git-failed", "this is not a git checkout", "run it in the repository"))
    return top


def _folder(top: Path) -> Path:
    found = hooks.folder_of(top)
    if not hooks.is_of_repository(top, found):
        message = f"core.hooksPath is {found}, whose hooks run for other repositories too"
        help_ = f'call `greengate hook run -- "$@"` from {found / NAME}, or unset it with `git config`'
        raise GreengateError(Diagnostic("cannot-write", message, help_))
    return found


def _from_top(top: Path, budget: str) -> str:
    path = Path(budget).resolve()
    if not path.is_relative_to(top.resolve()):
        message = f"{budget} lies outside of {top}"
        raise GreengateError(Diagnostic("usage", message, "keep the budget in the repository"))
    return path.relative_to(top.resolve()).as_posix()


def _script(top: Path, place: Path, budget: str, options: str) -> str:
    # Other people's Python lies elsewhere.
    python = "" if _is_shared(top, place) else sys.executable
    words = {"OWN": OWN, "PYTHON": python, "BUDGET": budget, "OPTIONS": options}
    text = re.sub("@([A-Z]+)@", lambda found: shlex.quote(words[found[1]]), _SCRIPT)
    return text.replace("\n", f"\n# greengate hook sha256:{_digest(text)}\n", 1)


def _is_shared(top: Path, place: Path) -> bool:
    """Tell whether a hook is part of the work tree (`core.hooksPath`), so that others have it too."""
    return place.is_relative_to(top) and ".git" not in place.relative_to(top).parts


def _is_ours(place: Path) -> bool:
    """Tell whether a hook is as it was written here: what was edited since is its editor's."""
    if place.is_symlink() or not place.is_file():
        return False
    text = place.read_bytes().decode("utf-8", "replace")
    marked = _MARK.search(text)
    return marked is not None and _digest(_MARK.sub("", text, count=1)) == marked[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _lexists(path: Path) -> bool:
    return path.is_symlink() or path.exists()
