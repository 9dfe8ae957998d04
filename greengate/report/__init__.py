"""REPORTS: every output a verdict can be rendered to, one module and one row each."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Protocol

from greengate.report.lines import NOWHERE, Checkout
from greengate.verdict import Verdict


class Render(Protocol):
    """Writes a verdict; `checkout` is for outputs whose paths a forge reads, and for no other."""

    def __call__(self, verdict: Verdict, checkout: Checkout = ...) -> str:
        """Return the report as text."""
        ...


def _module(name: str) -> Render:
    def render(verdict: Verdict, checkout: Checkout = NOWHERE) -> str:
        module = import_module(f"greengate.report.{MODULES[name]}")
        text: str = module.render(verdict, checkout) if name in PLACED else module.render(verdict)
        return text

    return render


def load(names: Iterable[str]) -> None:
    """Import the modules of the named reports, so that rendering need not wait for them."""
    for name in names:
        import_module(f"greengate.report.{MODULES[name]}")
        for library in LIBRARIES.get(name, ()):
            import_module(library)


#: Every output and the module that renders it.
MODULES = {
    "terminal": "terminal",
    "markdown": "markdown",
    "summary": "summary",
    "json": "verdict_json",
    "junit": "junit",
    "github": "github",
    "codequality": "codequality",
    "metrics": "metrics",
    "dotenv": "dotenv",
}

#: Outputs with paths that a forge looks for from the repository's root.
PLACED = frozenset({"junit", "github", "codequality"})

#: What the modules import only when they render.
LIBRARIES = {"terminal": ("rich.console", "rich.table", "rich.text"), "markdown": ("jinja2",), "summary": ("jinja2",)}

REPORTS: dict[str, Render] = {name: _module(name) for name in MODULES}
