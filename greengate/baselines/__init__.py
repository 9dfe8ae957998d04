"""Baselines: where the model to compare with comes from; one interface, one table, one file a scheme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from greengate.errors import BaselineError, Diagnostic
from greengate.profile import Missing, Profile
from greengate.verdict import BaselineRef

#: Where accepted versions live unless a URI says otherwise, below the budget file's folder.
STORE = Path(".greengate", "baselines")


@dataclass(frozen=True)
class Found:
    """A baseline: `artifact`, a model file to measure beside the candidate, else `profile`, numbers measured before.

    `weights` are the artifact's where it is code that makes a model, and they are not those of the work tree.
    """

    ref: BaselineRef
    artifact: Path | None = None
    profile: Profile | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class MergeBase:
    """The commit a pull request grew from; where it is not at hand, why, and what to do about it."""

    commit: str | None
    reason: str = ""
    help: str = ""


@dataclass(frozen=True)
class Request:
    """What a baseline is wanted for.

    `path` is the model's file in the work tree as the budget names it, there or not; `weights` are for one that code
    makes. Relative URIs and the store start at `folder`, the budget file's. `hardware` is this machine's id.
    `merge_base` is None outside of a pull request. Files are extracted below `scratch`, an existing folder that the
    caller removes when it is done. Where the target branch judges, `trusted` finds its copies, in its commit `base`.
    `named_in` is the commit whose budget says `path`; None: the work tree's does.
    """

    model: str
    path: Path
    folder: Path
    scratch: Path
    hardware: str | None = None
    merge_base: MergeBase | None = None
    weights: Path | None = None
    trusted: Callable[[str], Path] | None = None
    named_in: str | None = None
    base: str | None = None

    def at(self, rest: str) -> Path:
        """Return where a relative path lies: where the change is judged by its target branch, that branch's copy."""
        return self.folder / rest if self.trusted is None else self.trusted(rest)

    def lacking(self, message: str, help: str) -> BaselineError:
        """Return the error for a path that is not there, or not where the target branch's copies are looked for."""
        if self.trusted is not None:
            message += " on the target branch"
            help += "; what only the change has, or a submodule that it adds or moves, is no baseline"
        return BaselineError(Diagnostic("baseline-missing", message, help))


class Scheme(Protocol):
    """A module that finds baselines of one scheme."""

    def find(self, rest: str, request: Request) -> Found | Missing:
        """Return the baseline named by what stands after `scheme:`; Missing, with the next step, where there is none.

        Raises BaselineError or another GreengateError where a baseline that was named does not exist or is damaged.
        """
        ...


#: Every scheme, the module below this package that finds its baselines, and what is written after the colon.
SCHEMES: dict[str, tuple[str, str]] = {
    "auto": ("auto", ""),
    "none": ("none", ""),
    "file": ("file", "PATH"),
    "profile": ("profile", "FILE"),
    "dir": ("dir", "PATH"),
    "git": ("branch", "BRANCH"),
    "ref": ("ref", "REF"),
    "mlflow": ("mlflow", "models:/NAME@ALIAS"),
}


def choose(flag: str | None, model: str | None, file: str | None) -> str:
    """Return the URI that decides: the flag, else the model's `baseline:`, else the file's, else `auto`."""
    flag = None if flag == "auto" else flag
    return flag or model or file or "auto"


def resolve(uri: str, request: Request) -> Found | Missing:
    """Find the baseline a URI names.

    Raises BaselineError `baseline-scheme` for a URI that cannot be read, and what Scheme.find raises.
    """
    scheme, colon, rest = uri.partition(":")
    if scheme not in SCHEMES or bool(rest) != bool(SCHEMES[scheme][1]) or (colon and not rest):
        raise BaselineError(_unreadable(uri, scheme))
    module = cast("Scheme", import_module(f"greengate.baselines.{SCHEMES[scheme][0]}"))
    return module.find(rest, request)


def _unreadable(uri: str, scheme: str) -> Diagnostic:
    known = ", ".join(f"{name}:{rest}" if rest else name for name, (_, rest) in SCHEMES.items())
    if scheme in SCHEMES:
        rest = SCHEMES[scheme][1]
        message = f"baseline {uri!r}: {scheme!r} is written {f'{scheme}:{rest}' if rest else 'alone'}"
    elif ":" in uri:
        message = f"baseline {uri!r}: {scheme!r} is not a scheme"
    else:
        message = f"baseline {uri!r} has no scheme"
    return Diagnostic("baseline-scheme", message, f"write one of {known}")
