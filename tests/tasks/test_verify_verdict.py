"""A verdict's file says what follows from its case, or it is no verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greengate.cli import door

HERE = Path(__file__).parent
BUDGET = """version: 1
models:
  - {name: net, path: net.fake.yaml}
rules:
  - {id: compute, metric: flops, max_increase: 5%, unless: {metric: size, min_decrease: 10%, max_increase: 15%}}
  - {metric: size, max_increase: 5%}
waivers:
  - {rule: size, model: net, ceiling: 1 GB, reason: r, approved_by: a, expires: 2037-01-31}
"""


@pytest.fixture(params=[("9 MB", "330 MMAC"), ("11 MB", "330 MMAC"), ("8 MB", "300 MMAC")])
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, size, macs in (("old", "10 MB", "300 MMAC"), ("net", *request.param)):
        Path(f"{name}.fake.yaml").write_text(f"fake: 1\nsize: {size}\nparams: 2 M\nmacs: {macs}\n")
    Path("budgets.yaml").write_text(BUDGET)
    door.run(["check", "--static-only", "--against", "file:old.fake.yaml", "--report", "json=v.json"])
    return tmp_path / "v.json"


def test_what_a_check_wrote_is_verified(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = json.loads(written.read_text())
    capsys.readouterr()
    assert door.run(["verify", "v.json"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"verified: {raw['status'].upper()} ")
    assert said.endswith(f"exit {raw['exit']}\n")


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw, indent=2, ensure_ascii=False) + "\n")


def _loosen(raw: dict[str, Any]) -> None:
    raw["case"]["budget"]["rules"][0]["limits"][0]["value"] = 9.0


def _shrink(raw: dict[str, Any]) -> None:
    raw["case"]["models"][0]["comparisons"]["flops"]["change"] |= {"value": 0.04, "low": 0.04, "high": 0.04}


def _approve(raw: dict[str, Any]) -> None:
    raw["case"]["today"] = "2040-01-01"


@pytest.mark.parametrize("change", [_loosen, _shrink, _approve])
def test_a_case_that_was_edited_is_found_out(written: Path, change: Any, capsys: pytest.CaptureFixture[str]) -> None:
    edit(written, change)
    capsys.readouterr()
    code = door.run(["verify", "v.json"])
    assert (code, "error[verdict-altered]" in (err := capsys.readouterr().err) or "profile-invalid" in err) == (2, True)


def test_outcomes_that_were_edited_are_found_out(
    written: Path, golden: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = written.read_text()
    edit(written, lambda raw: raw["notices"].append({"kind": "policy", "text": "all is well", "span": None}))
    capsys.readouterr()
    assert door.run(["verify", "v.json"]) == 2
    if "9000000.0" in before:
        golden(HERE / "golden" / "verdict-altered.txt", capsys.readouterr().err)
    written.write_text(before.replace("  ", " ", 1))
    assert door.run(["verify", "v.json"]) == 2  # not a byte differs
    written.write_text(before.rstrip("\n"))
    assert door.run(["verify", "v.json"]) == 2


@pytest.mark.parametrize(
    ("content", "code"), [(None, "unreadable-file"), (b"\xff", "bad-encoding"), (b"{}", "profile-")]
)
def test_what_is_no_verdict_says_so(
    tmp_path: Path, content: bytes | None, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "v.json"
    if content is not None:
        path.write_bytes(content)
    assert door.run(["verify", str(path)]) == 2
    assert code in capsys.readouterr().err
