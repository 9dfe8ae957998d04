"""EXPORTS: what was measured, in the words of other tools; one module and one row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from greengate.report.exports.sheet import Sheet

Render = Callable[[Sequence[Sheet]], str]

#: Every format and the module that writes it.
MODULES = {
    "openmetrics": "openmetrics",
    "cyclonedx": "cyclonedx",
    "model-card": "model_card",
    "csv": "table",
}


def _module(name: str) -> Render:
    def render(sheets: Sequence[Sheet]) -> str:
        text: str = import_module(f"greengate.report.exports.{name}").render(sheets)
        return text

    return render


EXPORTS: dict[str, Render] = {name: _module(module) for name, module in MODULES.items()}
