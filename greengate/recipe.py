"""Models that code makes: how a path names the code, and what the code is given."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What code that makes a model is given: a file of weights, and arguments by name as JSON text."""

    weights: str | None = None
    args: str = "{}"


#: Nothing is given: a model in files, or code that needs nothing.
NO_RECIPE = Recipe()

#: The last part of a path that names code: `package.module:function`, imported from the folder before it.
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def names_code(path: str) -> bool:
    """Tell whether a path names a function that makes a model, not a file."""
    return _CODE.fullmatch(path.rpartition("/")[2]) is not None
