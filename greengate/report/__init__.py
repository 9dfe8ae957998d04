"""REPORTS: every output a verdict can be rendered to, one module and one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

from greengate.verdict import Verdict

Render = Callable[[Verdict], str]


def _module(name: str) -> Render:
    def render(verdict: Verdict) -> str:
        text: str = import_module(f"greengate.report.{name}").render(verdict)
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

#: What the modules import only when they render.
LIBRARIES = {"terminal": ("rich.console", "rich.table", "rich.text"), "markdown": ("jinja2",), "summary": ("jinja2",)}

REPORTS: dict[str, Render] = {name: _module(module) for name, module in MODULES.items()}
