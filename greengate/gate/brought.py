"""What stands in the very commit that a request is judged by: numbers that a change brings itself prove nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from greengate import ci, git
from greengate.baselines import extract
from greengate.git import trees


def brought(folder: Path, environ: Mapping[str, str]) -> Callable[[Path], bool]:
    """Return what tells of a file whether the judged commit has it, or what leads to it; outside of a request, none."""
    if ci.target(environ) is None or (top := git.root(folder)) is None:
        return lambda _: False
    head = git.head(top)
    # A submodule or a link in the commit stands for all below it. Some file systems do not tell capital letters.
    held = {name.casefold() for name in (trees.leaves(top, head) if head is not None else ())}

    def told(path: Path) -> bool:
        names = filter(None, (extract.inside(top, path), extract.inside(top, Path(os.path.realpath(path)))))
        above = {str(each).casefold() for name in names for each in PurePosixPath(name, "x").parents}
        return not above.isdisjoint(held)

    return told
