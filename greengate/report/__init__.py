"""REPORTS: every output a verdict can be rendered to, one module and one row each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from greengate.verdict import Verdict

Render = Callable[[Verdict], str]


def _module(name: str) -> Render:
    def render(verdict: Verdict) -> str:
        text: str = import_module(f"greengate.report.{name}").render(verdict)
        return text

    return render


REPORTS: dict[str, Render] = {
    "terminal": _module("terminal"),
    "markdown": _module("markdown"),
    "json": _module("verdict_json"),
    "junit": _module("junit"),
    "github": _module("github"),
}
