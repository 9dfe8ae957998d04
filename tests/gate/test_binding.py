"""A model that a change takes out of the budget is judged while it is still there, whatever kind it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from greengate import budget_file
from greengate.gate.binding import OLD, bind

RULES = "rules: [{metric: params, max_increase: 5%}]\n"
FILES = ("net.onnx", "src/own/net.py", "src/pack/__init__.py", "folder/config.json")


@pytest.mark.parametrize(
    ("path", "stands"),
    [
        ("net.onnx", True),
        ("gone.onnx", False),
        ("src/own.net:make", True),
        ("src/pack:make", True),
        ("src/own.gone:make", False),
        ("folder", True),
        ("src", False),
    ],
)
@pytest.mark.parametrize("moved", [False, True])
def test_what_still_stands_is_still_judged(tmp_path: Path, path: str, stands: bool, moved: bool) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    other = "{name: a, path: other.onnx}" if moved else "{name: b, path: other.onnx}"
    written = {"base": f"{{name: a, path: {path}}}", "head": other}
    read = {
        side: budget_file.parse(f"version: 1\nmodels: [{entry}]\n{RULES}", str(tmp_path / "budgets.yaml"))
        for side, entry in written.items()
    }
    names = [model.name for model in bind(read["head"], read["base"]).models]
    own = "a" if moved else "b"
    assert names == ([own, f"a{OLD}" if moved else "a"] if stands else [own])
