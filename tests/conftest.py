"""What every test may use: golden files, and one policy for needs that a machine may lack."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest
from needs import ABSENT, absent

#: A machine that is busy is no failure.
hypothesis.settings.register_profile("greengate", deadline=None)
hypothesis.settings.load_profile("greengate")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite golden files with what the code says now")


def pytest_configure() -> None:
    """Hear Ctrl-C even where the tests run in the background: a shell without job control has it ignored there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Return golden(path, text): compare the text with the file, or rewrite the file under --bless."""

    def compare(path: Path, text: str) -> None:
        text = text if text.endswith("\n") else f"{text}\n"
        if request.config.getoption("--bless"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        if not path.exists():
            pytest.fail(f"{path} does not exist; read what it would hold, then run pytest --bless:\n{text}")
        assert text == path.read_text(encoding="utf-8"), f"{path} is out of date; pytest --bless rewrites it"

    return compare


def _network_or_absent(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except ConnectionError as error:  # what fetching raises when the index cannot be reached
        if item.get_closest_marker("network") is None:
            raise
        absent(f"network ({error})")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    for mark in item.iter_markers("system"):
        if shutil.which(mark.args[0]) is None:
            absent(f"system tool {mark.args[0]}")
    return (yield from _network_or_absent(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _network_or_absent(item))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count and name the tests that did not run because this machine lacks something."""
    lacking: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if ABSENT in reason:
            lacking.setdefault(reason.split(ABSENT, 1)[1], []).append(report.nodeid)
    if lacking:
        count = sum(map(len, lacking.values()))
        terminalreporter.section(f"{count} skipped for what this machine lacks; CI runs them")
        for need, tests in sorted(lacking.items()):
            terminalreporter.line(f"{need}: {len(tests)}")
            for test in tests:
                terminalreporter.line(f"  {test}")
