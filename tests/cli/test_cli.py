"""The command line from outside: help, exit codes, bad input, and what is left on disk."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from greengate import __version__, gate
from greengate.cli import door, output, usage
from greengate.cli.main import greengate

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]
NET = "fake: 1\nsize: 10 MB\nparams: 2 M\nmacs: 300 MMAC\nactivation_memory: 4 MB\nlatency: 10 ms\nnoise: 2%\n"
BUDGET = """version: 1
models:
  - {name: net, path: net.fake.yaml}
rules:
  - {metric: size, max_increase: 5%}
  - {id: speed, metric: latency_p50, max_increase: 10%}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one model and a budget, as the current one; no CI around it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "environment", dict)
    (tmp_path / "net.fake.yaml").write_text(NET)
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    return tmp_path


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, command in greengate.commands.items():
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in command.commands.items())


COMMANDS = dict(commands())


def run(*arguments: str) -> int:
    return door.run(list(arguments))


# --- help -----------------------------------------------------------------------------------------------------------


def test_the_help_groups_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    said = capsys.readouterr().out
    places = [said.index(f"{section}:") for section in usage.SECTIONS]
    assert places == sorted(places)
    assert {name for names in usage.SECTIONS.values() for name in names} == set(greengate.commands)
    for name in greengate.commands:
        assert f"  {name} " in said


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_help_fits_a_screen_and_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*name.split(), "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= (36 if name else 50)
    assert max(map(len, lines)) <= 100
    assert any(f"greengate {name or 'check'}" in line for line in lines if not line.startswith("Usage"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option) and "--help" not in option.opts:
            assert option.help or option.show_default, f"{name} {option.opts} has no help"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"greengate {__version__}\n"


# --- exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "--nonsense"], 2),
        (["nonsense"], 2),
        (["check", "--max-seconds", "soon"], 2),
        (["check", "--max-seconds", "0"], 2),
        (["check", "--profile"], 2),
        (["check", "--part", "../out"], 2),
        (["check", "--part", ""], 2),
        (["profile"], 2),
        (["check", "-b", "gone.yaml"], 2),
        (["check", "--report", "pdf=x"], 2),
        (["check", "--report", "json"], 2),
        (["explain", "size"], 2),
        (["baseline", "accept"], 2),
        (["baseline", "accept", "--reason", " "], 2),
        (["baseline", "show", "net"], 2),
        (["compare", "net.fake.yaml", "gone.fake.yaml"], 2),
        (["check"], 3),
        (["check", "--allow-inconclusive"], 0),
        (["check", "--against", "file:net.fake.yaml"], 0),
        (["validate"], 0),
        (["schema"], 0),
        (["baseline", "list"], 0),
        (["profile", "net.fake.yaml"], 0),
        (["compare", "net.fake.yaml", "net.fake.yaml"], 0),
    ],
)
def test_exit_codes(here: Path, arguments: list[str], code: int) -> None:
    assert run(*arguments) == code


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("usage", ["check", "--nonsense"]),
        ("report-format", ["check", "--report", "pdf=x"]),
        ("verdict-missing", ["explain", "size"]),
        ("already-exists", ["init"]),
        ("unknown-model", ["check", "nat"]),
        ("no-models-found", ["init", "empty"]),
        ("baseline-missing", ["baseline", "show", "net"]),
        ("model-format", ["profile", "notes.txt"]),
        ("unreadable-file", ["check", "--profile", "empty"]),
    ],
)
def test_messages(
    here: Path,
    name: str,
    arguments: list[str],
    golden: Callable[[Path, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "empty").mkdir()
    (here / "notes.txt").write_text("no model")
    assert run(*arguments) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith(f"error[{name}]: ")
    assert "  = help: " in heard.err
    golden(GOLDEN / f"{name}.txt", heard.err)


def test_a_bug_is_no_verdict(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(gate, "check", broken)
    assert run("check") == 70
    heard = capsys.readouterr().err
    assert "ZeroDivisionError: surprise" in heard
    assert "a bug in greengate" in heard


@pytest.mark.parametrize("raised", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_is_no_verdict(here: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(gate, "check", interrupted)
    assert run("check", "--report", "json=said.json") == 130
    assert not (here / "said.json").exists()


def test_every_error_of_click_itself_exits_2(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise click.ClickException("click says 1 here")

    monkeypatch.setattr(gate, "check", failing)
    assert click.ClickException.exit_code == 1
    assert run("check") == 2


def python(*arguments: str, **more: object) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**{k: v for k, v in os.environ.items() if k != "CI"}, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-m", "greengate", *arguments], env=environment, **more)  # type: ignore[call-overload]


def test_a_reader_that_left_is_a_report_that_cannot_be_written(here: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = python("schema", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, heard = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"error[cannot-write]" in heard
    assert b"Traceback" not in heard


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_a_report_that_cannot_be_written(here: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = python("check", "--against", "file:net.fake.yaml", stdout=full, stderr=subprocess.PIPE)
        _, heard = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"error[cannot-write]" in heard


def test_a_report_in_a_place_that_cannot_be(here: Path) -> None:
    (here / "file").write_text("")
    assert run("check", "--against", "file:net.fake.yaml", "--report", "json=file/said.json") == 2


def _below(folder: Path, environ: Path) -> bool:
    try:
        return str(folder).encode() in environ.read_bytes()
    except OSError:
        return False


def test_ctrl_c_leaves_no_process_and_no_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = ROOT / "greengate" / "profiler" / "probe.onnx"
    monkeypatch.setenv("TMPDIR", str(here / "tmp"))
    (here / "tmp").mkdir()
    process = python("doctor", str(probe), "--max-seconds", "60", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (here / "tmp" / "greengate.lock").exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # until launches have begun
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, heard = process.communicate(timeout=30)
    assert process.returncode == 130, heard
    assert out == b""
    assert b"interrupted" in heard
    assert [path.name for path in (here / "tmp").iterdir()] == ["greengate.lock"]
    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if _below(here, path)]


# --- the way of a user ----------------------------------------------------------------------------------------------


def test_a_budget_in_another_folder_is_found_again_by_every_step(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed is what is typed next, from the folder that one is in."""
    place = here / "services" / "a b"
    place.mkdir(parents=True)
    (place / "net.fake.yaml").write_text(NET)
    assert run("init", "services/a b") == 0
    said = capsys.readouterr().out
    kept, check = said.splitlines()[-1].removeprefix("next: ").split(" && ")
    assert shlex.split(kept) == ["git", "add", "services/a b/.greengate", "services/a b/budgets.yaml"]
    assert run(*shlex.split(check)[1:]) == 0

    (place / "net.fake.yaml").write_text(NET.replace("10 MB", "12 MB"))
    assert run(*shlex.split(check)[1:]) == 1
    said = " ".join(capsys.readouterr().out.split())
    (explain,) = re.findall(r"see the arithmetic with `(greengate explain size [^`]+)`", said)
    assert run(*shlex.split(explain)[1:]) == 0
    assert "+20.0 %" in capsys.readouterr().out
    there = ["-b", "services/a b/budgets.yaml"]
    assert run("ratchet", *there) == 0
    assert run("export", "--format", "csv", *there) == 0
    assert run("approve", "size", "--reason", "x", "--expires", "2999-01-01", "--by", "lead@example.org", *there) == 0
    assert list((place / ".greengate" / "approvals").iterdir())
    capsys.readouterr()
    assert run("publish", "--to", "nowhere", *there) == 2
    assert "'nowhere' is no registry" in capsys.readouterr().err


def test_what_is_approved_lies_beside_its_budget_whoever_looks_from_where(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("baseline", "accept", "--reason", "first") == 0
    (here / "net.fake.yaml").write_text(NET.replace("10 MB", "12 MB"))
    assert run("check") == 1
    (here / "docs").mkdir()
    monkeypatch.chdir(here / "docs")
    words = ["--reason", "x", "--expires", "2999-01-01", "--by", "lead@example.org", "-b", "../budgets.yaml"]
    assert run("approve", "size", *words) == 0
    assert list((here / ".greengate" / "approvals").iterdir())
    assert not (here / "docs" / ".greengate").exists()


LOST = [
    (["explain", "size"], "run `greengate check -b there/budgets.yaml` first"),
    (["ratchet"], "run `greengate check -b there/budgets.yaml` first"),
    (["export", "--format", "csv"], "run `greengate check -b there/budgets.yaml` first"),
    (["publish", "--to", "mlflow"], "run `greengate check -b there/budgets.yaml` first"),
    (["approve", "size", "--reason", "x", "--expires", "2999-01-01"], "`greengate check -b there/budgets.yaml` first"),
    (["baseline", "accept"], "run `greengate check -b there/budgets.yaml` first"),
    (["history", "net", "--verdicts"], "with `greengate check --record -b there/budgets.yaml`"),
]


@pytest.mark.parametrize(("arguments", "words"), LOST)
def test_what_is_missing_of_a_budget_elsewhere(
    here: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "there").mkdir()
    (here / "there" / "budgets.yaml").write_text(BUDGET)
    (here / "there" / "net.fake.yaml").write_text(NET)
    assert run("check", "--against", "file:net.fake.yaml") == 0  # of the folder here, which is another's
    capsys.readouterr()
    assert run(*arguments, "-b", "there/budgets.yaml") == 2
    assert words in capsys.readouterr().err


def test_no_baseline_of_a_budget_elsewhere(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("baseline", "list", "-b", "there/budgets.yaml") == 0
    assert "run `greengate baseline accept --reason TEXT -b there/budgets.yaml`" in capsys.readouterr().out


def test_init_then_check_passes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "budgets.yaml").unlink()
    assert run("init") == 0
    assert "accepted net version 1" in capsys.readouterr().out
    assert run("validate") == 0
    assert run("check") == 0
    assert run("baseline", "list") == 0
    assert "first budget" in capsys.readouterr().out
    assert (here / ".greengate" / ".gitignore").read_text() == "last.json\nparts/\n"


def test_what_init_accepted_judges_times_when_its_file_is_gone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "budgets.yaml").unlink()
    assert run("init") == 0
    (here / "net.fake.yaml").write_text(NET.replace("latency: 10 ms", "latency: 40 ms"))
    assert run("check") == 1
    capsys.readouterr()
    assert run("explain", "latency_p50") == 0
    said = capsys.readouterr().out
    assert "(stored)" in said
    assert "FAIL" in said


def test_init_never_overwrites_without_force(here: Path) -> None:
    before = (here / "budgets.yaml").read_text()
    assert run("init") == 2
    assert (here / "budgets.yaml").read_text() == before
    assert run("init", "--force") == 0
    assert (here / "budgets.yaml").read_text() != before


def test_init_leaves_out_what_cannot_be_measured_and_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "budgets.yaml").unlink()
    (here / "open.fake.yaml").write_text(NET + "refuses: 'input-open: input x leaves dimension 2 open'\n")
    (here / "dead.fake.yaml").write_text(NET + "breaks: 'count: it was killed by SIGSEGV'\n")
    (here / ".venv").mkdir()
    (here / ".venv" / "hidden.fake.yaml").write_text(NET)
    assert run("init") == 0
    said = capsys.readouterr().out
    assert "left out open.fake.yaml: input x leaves dimension 2 open" in said
    assert "left out dead.fake.yaml" in said
    written = (here / "budgets.yaml").read_text()
    assert '# - {name: "open", path: "open.fake.yaml"}' in written
    assert "hidden" not in written
    assert run("check") == 0


def test_init_with_nothing_to_measure_writes_nothing(here: Path) -> None:
    (here / "budgets.yaml").unlink()
    (here / "net.fake.yaml").write_text(NET + "refuses: 'input-open: input x leaves dimension 2 open'\n")
    assert run("init") == 2
    assert sorted(path.name for path in here.iterdir()) == ["net.fake.yaml"]


def test_two_models_of_one_name_are_named_by_their_path(here: Path) -> None:
    (here / "budgets.yaml").unlink()
    for folder in ("a", "b", "ünï cödé/c", "ünï-cödé/c"):
        (here / folder).mkdir(parents=True)
        (here / folder / "net.fake.yaml").write_text(NET)
    (here / "net.fake.yaml").unlink()
    (here / "größe 2.fake.yaml").write_text(NET)
    assert run("init") == 0
    written = (here / "budgets.yaml").read_text()
    assert 'name: "a-net.fake", path: "a/net.fake.yaml"' in written
    assert len({line for line in written.splitlines() if "- {name:" in line}) == 5
    assert run("check") == 0


def test_a_change_is_accepted_with_a_reason(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("baseline", "accept", "--reason", "first") == 0
    assert run("check") == 0
    (here / "net.fake.yaml").write_text(NET.replace("10 MB", "12 MB"))
    assert run("check", "net") == 1
    assert run("explain", "size") == 0
    assert "+20.0 %" in capsys.readouterr().out
    assert run("baseline", "accept", "--reason", "larger head, ticket 812") == 0
    assert run("check") == 0
    assert run("baseline", "show", "net") == 0
    shown = capsys.readouterr().out
    assert "net version 2" in shown
    assert "larger head, ticket 812" in shown
    assert run("baseline", "show", "net", "1") == 0
    assert run("baseline", "show", "net", "9") == 2


def test_a_profile_is_accepted_without_measuring(here: Path) -> None:
    assert run("profile", "net", "-o", "net.json") == 0
    (here / "net.fake.yaml").write_text(NET.replace("10 MB", "12 MB"))
    assert run("baseline", "accept", "--profile", "net.json", "--reason", "measured elsewhere") == 0
    assert run("check", "--against", "auto") == 1
    assert run("baseline", "accept", "other", "--profile", "net.json", "--reason", "wrong name") == 2


def test_parts_are_written_and_merged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    against = ["--against", "file:net.fake.yaml"]
    assert run("check", "--part", "one", "--strict", *against) == 0
    assert "wrote .greengate/parts/one/net.json" in capsys.readouterr().err
    assert run("check", "--strict", "--profile", ".greengate/parts") == 0
    assert run("check", "--strict", "--profile", ".greengate/parts/one/net.json", "--report", "json=-") == 0
    merged = json.loads((here / ".greengate" / "last.json").read_text())
    assert merged["status"] == "pass"


def test_a_static_part_leaves_the_rest_to_another(here: Path) -> None:
    against = ["--against", "file:net.fake.yaml"]
    assert run("check", "--part", "static", "--static-only", "--strict", *against) == 0
    assert run("check", "--strict", "--profile", ".greengate/parts") == 3
    assert run("check", "--part", "timed", "--strict", *against) == 0
    assert run("check", "--strict", "--profile", ".greengate/parts") == 0


def test_profiles_can_follow_a_shell_pattern(here: Path) -> None:
    run("check", "--part", "a", "--against", "file:net.fake.yaml")
    run("check", "--part", "b", "--against", "file:net.fake.yaml")
    files = sorted(str(path) for path in Path(".greengate/parts").rglob("*.json"))
    assert len(files) == 2
    assert run("check", "--profile", *files, "--strict") == 0


def test_reports_to_stdout_stand_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--against", "file:net.fake.yaml", "--report", "json=-", "--report", "markdown=said.md") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "greengate.verdict/1"
    assert (here / "said.md").read_text().startswith("✅ **PASS**")


def test_a_folder_that_cannot_be_written_costs_a_warning(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / ".greengate").write_text("a file where the folder would be")
    assert run("check", "--against", "file:net.fake.yaml") == 0
    assert "warning[cannot-write]" in capsys.readouterr().err


@pytest.mark.parametrize("environ", [{"GITLAB_CI": "true", "CI_PROJECT_DIR": ".."}, {}], ids=["gitlab", "laptop"])
def test_a_forge_finds_the_budget_from_the_repositorys_root(
    here: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "environment", lambda: environ)
    (here / "big.fake.yaml").write_text(NET.replace("10 MB", "12 MB"))
    options = ["net=big.fake.yaml", "--against", "file:net.fake.yaml", "--static-only"]
    assert run("check", *options, "--report", "codequality=-", "--report", "json=verdict.json") in (1, 3)
    paths = {one["location"]["path"] for one in json.loads(capsys.readouterr().out)}
    assert paths == {f"{here.name}/budgets.yaml" if environ else "budgets.yaml"}
    assert here.name not in (here / "verdict.json").read_text(), "a verdict knows nothing of its machine's folders"


def test_compare_reads_profiles(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("profile", "net", "-o", "old.json") == 0
    (here / "net.fake.yaml").write_text(NET.replace("10 MB", "12 MB"))
    assert run("profile", "net", "-o", "new.json") == 0
    capsys.readouterr()
    assert run("compare", "old.json", "new.json") == 0
    assert "+20.0 %" in capsys.readouterr().out


def test_a_profile_goes_to_stdout_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("profile", "net", "-o", "-") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "greengate.profile/1"
    assert run("profile", "net", "--against", "file:net.fake.yaml", "-o", "-") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "greengate.trial/1"


def test_a_store_keeps_numbers_not_samples(here: Path) -> None:
    assert run("profile", "net", "-o", "old.json") == 0
    assert json.loads((here / "old.json").read_text())["launches"]
    assert run("baseline", "accept", "net", "--reason", "measured before", "--profile", "old.json") == 0
    (stored,) = (here / ".greengate" / "baselines").rglob("0001.json")
    assert json.loads(stored.read_text())["profile"]["launches"] == []


@pytest.mark.parametrize("against", [(), ("--against", "file:net.fake.yaml")])
def test_what_no_rule_bounds_yet_is_looked_at_twice(
    here: Path, capsys: pytest.CaptureFixture[str], against: tuple[str, ...]
) -> None:
    """A profile may be judged later, by rules that fail it: the second look is in the file."""
    assert run("profile", "net", *against, "-o", "-") == 0
    found = json.loads(capsys.readouterr().out)
    first, both = found["looks"]
    assert len(found["launches"]) == both == 2 * first
    (here / "found.json").write_text(json.dumps(found))
    (here / "budgets.yaml").write_text(BUDGET + "  - {id: pace, metric: latency_p50, max: 1 ms}\n")
    capsys.readouterr()
    assert run("check", "--profile", "found.json", "--against", "none") == 1
    assert "confirmed by a second look" in " ".join(capsys.readouterr().out.split())


def test_the_schema_is_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema") == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")
    assert run("schema", "-o", "schema.json") == 0
    assert json.loads((here / "schema.json").read_text())["title"]


def test_doctor_says_what_can_be_measured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--max-seconds", "3") == 0
    said = capsys.readouterr().out
    for words in ("cores", "onnxruntime", "powercap", "NVIDIA", "noise", "latency_p50"):
        assert words in said


def test_doctor_takes_a_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "net.fake.yaml", "--max-seconds", "30") == 0
    assert "smallest limit decided in 10 s, 60 s, 300 s" in capsys.readouterr().out
    assert run("doctor", "gone.onnx") == 2


def test_the_machine_is_described_and_compared_with_another(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("hardware") == 0
    said = capsys.readouterr().out
    assert run("hardware", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert said.splitlines()[0].split() == ["id", told["id"]]
    assert told["cpu"] in said
    assert told["libraries"]["onnxruntime"] in said
    assert run("profile", "net", "-o", "old.json") == 0
    capsys.readouterr()
    assert run("hardware", "--against", "old.json") == 0
    assert f"cpu was fake CPU, is {told['cpu']}" in capsys.readouterr().out


def test_what_was_measured_is_exported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--format", "csv") == 2
    assert "verdict-missing" in capsys.readouterr().err
    assert run("check", "--static-only", "--against", "file:net.fake.yaml", "--report", "json=v.json") == 0
    assert run("profile", "net", "-o", "p.json") == 0
    assert run("profile", "net", "--against", "file:net.fake.yaml", "-o", "t.json") == 0
    for source in ([], ["v.json"], ["p.json"], ["t.json"]):
        for form, word in (("openmetrics", "# EOF"), ("cyclonedx", "CycloneDX"), ("model-card", "---"), ("csv", "net")):
            assert run("export", *source, "--format", form, "-o", "out") == 0
            assert word in (here / "out").read_text()
    capsys.readouterr()
    for wrong in (["--format", "xml"], ["gone.json", "--format", "csv"], ["--format", "csv", "--model", "other"]):
        assert run("export", *wrong) == 2
        assert "  = help: " in capsys.readouterr().err


def test_a_model_card_is_of_one_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "two.fake.yaml").write_text(NET)
    (here / "budgets.yaml").write_text(BUDGET.replace("rules:", "  - {path: two.fake.yaml, name: two}\nrules:"))
    assert run("check", "--static-only", "--against", "file:net.fake.yaml") == 0
    assert run("export", "--format", "model-card") == 2
    assert "choose with --model: net, two" in capsys.readouterr().err
    assert run("export", "--format", "model-card", "--model", "two") == 0
    assert '- name: "two"' in capsys.readouterr().out
