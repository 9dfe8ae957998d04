"""The directory store: what is accepted is kept, chained, found again, and never half there."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nouns
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import unprivileged

from greengate.baselines import store
from greengate.errors import BaselineError, ReportError
from greengate.profile import File, Hardware, Profile, digest_files

NOW = datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)
OTHER = Hardware("Other CPU", "aarch64", 4, (), 4_000_000_000, "Linux 6.6")
ROOT = Path(__file__).parents[2]


def profile(name: str = "m", hardware: Hardware = nouns.HARDWARE, content: str = "a") -> Profile:
    files = (File("m.onnx", hashlib.sha256(content.encode()).hexdigest(), 100),)
    base = nouns.profile({"size": nouns.exact(100.0)}, hardware=hardware)
    return dataclasses.replace(
        base, model=dataclasses.replace(base.model, name=name, digest=digest_files(files), files=files)
    )


def accept(root: Path, made: Profile | None = None, reason: str = "first", days: float = 0) -> store.Version:
    return store.accept(root, made or profile(), reason, now=NOW + datetime.timedelta(days=days), by="dev@example.org")


def test_a_version_is_read_back_as_it_was_accepted(tmp_path: Path) -> None:
    made = store.accept(tmp_path, profile(), "because", now=NOW, by="dev@example.org", commit="c" * 40, passed=True)
    assert made == store.Version(
        "m", 1, "2026-11-23T09:30:00Z", "because", "dev@example.org", "c" * 40, None, True, profile()
    )
    assert store.latest(tmp_path, "m", None) == made
    assert store.history(tmp_path, "m") == (made,)
    assert store.path_of(tmp_path, made) == tmp_path / "m" / nouns.HARDWARE.id / "0001.json"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [store.path_of(tmp_path, made)]


def test_each_version_holds_the_digest_of_the_file_before_it(tmp_path: Path) -> None:
    versions = [accept(tmp_path, days=day) for day in range(3)]
    files = [store.path_of(tmp_path, version).read_bytes() for version in versions]
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in files]
    assert [version.previous for version in versions] == [None, *digests[:2]]
    assert [json.loads(data)["previous"] for data in files] == [None, *digests[:2]]
    assert store.history(tmp_path, "m") == tuple(versions)


def test_the_time_is_written_in_utc(tmp_path: Path) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    made = store.accept(tmp_path, profile(), "x", now=datetime.datetime(2026, 1, 1, 2, 0, 0, 999_999, zone), by="x")
    assert made.accepted == "2025-12-31T20:30:00Z"


def test_numbers_are_counted_per_model_and_hardware(tmp_path: Path) -> None:
    numbers = [
        accept(tmp_path, profile(name, hardware)).version
        for name, hardware in [("m", nouns.HARDWARE), ("m", OTHER), ("n", OTHER), ("m", OTHER), ("m", nouns.HARDWARE)]
    ]
    assert numbers == [1, 1, 1, 2, 2]
    assert store.models(tmp_path) == ("m", "n")


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for root in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        assert store.latest(root, "empty", None) is None
        assert store.history(root, "x" * 300) == ()
        assert store.models(root) == ()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    made = accept(tmp_path)
    folder = store.path_of(tmp_path, made).parent
    for name in ("README", "0002.json~", ".greengate-0.tmp", "1.json", "x0002.json"):
        (folder / name).write_text("not a version")
    (folder.parent / "note").write_text("x")
    (tmp_path / ".git").mkdir()
    assert store.history(tmp_path, "m") == (made,)
    assert store.models(tmp_path) == ("m",)
    assert accept(tmp_path).version == 2


# which version is the baseline


def test_the_newest_decides_the_model_and_this_hardware_the_numbers(tmp_path: Path) -> None:
    here = accept(tmp_path, profile(content="new"), days=0)
    accept(tmp_path, profile(content="old"), days=1)
    there = accept(tmp_path, profile(hardware=OTHER, content="new"), days=2)
    assert store.latest(tmp_path, "m", OTHER.id) == there
    assert store.latest(tmp_path, "m", nouns.HARDWARE.id) == here
    assert store.latest(tmp_path, "m", "unknown") == there
    assert store.latest(tmp_path, "m", None) == there


def test_a_clock_that_went_back_does_not_undo_an_acceptance(tmp_path: Path) -> None:
    accept(tmp_path, profile(content="old"), days=9)
    newer = accept(tmp_path, profile(content="new"), days=0)
    assert store.latest(tmp_path, "m", None) == newer


@settings(max_examples=40, deadline=None)  # it writes files: how long that takes says nothing
@given(
    st.lists(
        st.tuples(st.sampled_from([nouns.HARDWARE, OTHER]), st.sampled_from("abc"), st.integers(0, 5)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([nouns.HARDWARE.id, OTHER.id, None]),
)
def test_latest_is_the_newest_acceptance(
    tmp_path_factory: pytest.TempPathFactory, accepted: list[tuple[Hardware, str, int]], here: str | None
) -> None:
    root = tmp_path_factory.mktemp("store")
    made = [
        accept(root, profile(hardware=hardware, content=content), days=index * 10 + late)
        for index, (hardware, content, late) in enumerate(accepted)
    ]
    found = store.latest(root, "m", here)
    newest = made[-1].profile.model.digest
    alike = [version for version in made if version.profile.model.digest == newest]
    assert found == next((item for item in reversed(alike) if item.profile.hardware.id == here), made[-1])
    kept = store.history(root, "m")
    assert len(kept) == len(made)
    assert all(version in kept for version in made)
    assert [item.accepted for item in kept] == sorted(item.accepted for item in made)


# names


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("sentiment-v2_1", "sentiment-v2_1"),
        ("resnet50.v1.5", "resnet50.v1.5"),
        ("a/b", "a%2fb"),
        ("..", "%2e%2e"),
        (".", "%2e"),
        (".git", "%2egit"),
        ("x.", "x%2e"),
        ("Model", "%4dodel"),
        ("é", "%c3%a9"),
        ("e\u0301", "e%cc%81"),
        ("%4d", "%254d"),
        ("a b\0\n", "a%20b%00%0a"),
        ("\ud800", "%ed%a0%80"),
    ],
)
def test_a_models_name_makes_a_safe_folder(tmp_path: Path, name: str, folder: str) -> None:
    made = accept(tmp_path, profile(name))
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    assert store.latest(tmp_path, name, None) == made
    assert store.models(tmp_path) == (name,)


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_never_share_a_folder(left: str, right: str) -> None:
    folders = store.safe_name(left).casefold(), store.safe_name(right).casefold()
    assert (folders[0] == folders[1]) == (left == right)
    assert folders[0].isascii()
    assert "/" not in folders[0]
    assert not folders[0].startswith(".")


def test_a_model_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="bad-value"):
        accept(tmp_path, profile(""))


def test_a_name_too_long_for_the_disk_is_a_clean_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cannot-write.*File name too long"):
        accept(tmp_path, profile("x" * 300))


def test_a_rootno_name_makes_is_named(tmp_path: Path) -> None:
    made = accept(tmp_path)
    for bad in ("M", "%ff", "%2E%2e"):
        (tmp_path / "m").rename(tmp_path / bad)
        with pytest.raises(BaselineError, match=r"baseline-damaged.*is not a folder this store would make"):
            store.models(tmp_path)
        (tmp_path / bad).rename(tmp_path / "m")
    assert store.models(tmp_path) == (made.model,)


# damage


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "number changed": (lambda at: edit(at / "0001.json", "100.0", "999.0"), "0002.json does not follow"),
    "reason changed": (lambda at: edit(at / "0001.json", '"first"', '"other"'), "0002.json does not follow"),
    "a space added": (lambda at: edit(at / "0001.json", "{", "{ "), "0002.json does not follow"),
    "link cut": (lambda at: edit(at / "0002.json", '"sha256:', '"sha256:0'), "0002.json does not follow"),
    "first removed": (lambda at: (at / "0001.json").unlink(), "0001.json is missing"),
    "middle removed": (lambda at: (at / "0002.json").unlink(), "0002.json is missing"),
    "renumbered": (lambda at: (at / "0003.json").rename(at / "0004.json"), "0003.json is missing"),
    "renamed": (lambda at: (at / "0003.json").rename(at / "00003.json"), "0003.json is missing"),
    "one as another": (
        lambda at: (at / "0003.json").write_text((at / "0002.json").read_text()),
        "0003.json does not follow",
    ),
    "first as second": (
        lambda at: (
            [(at / f"000{n}.json").unlink() for n in (3, 2)] and edit(at / "0001.json", '"version": 1', '"version": 2')
        ),
        "0001.json holds another model, version or hardware",
    ),
    "other model": (lambda at: edit(at / "0003.json", '"model": "m"', '"model": "n"'), "0003.json holds another model"),
    "other hardware": (lambda at: edit(at / "0003.json", "Test CPU", "Fast CPU"), "0003.json holds another model"),
    "cut short": (lambda at: os.truncate(at / "0003.json", 200), "0003.json"),
    "empty": (lambda at: os.truncate(at / "0003.json", 0), "not valid JSON"),
    "merge conflict": (lambda at: edit(at / "0003.json", "{", "<<<<<<< ours\n{"), "not valid JSON"),
    "not utf-8": (lambda at: (at / "0003.json").write_bytes(b"\xff"), "0003.json 'utf-8' codec"),
    "other schema": (
        lambda at: edit(at / "0003.json", "baseline/1", "baseline/2"),
        "the schema 'greengate.baseline/2'",
    ),
    "extra field": (lambda at: edit(at / "0003.json", '"reason"', '"x": 1, "reason"'), "$.x: is not a known field"),
    "wrong type": (
        lambda at: edit(at / "0003.json", '"cores": 2', '"cores": "2"'),
        "$.profile.hardware.cores: expected int",
    ),
    "date": (lambda at: edit(at / "0003.json", '"2026-11-23T', '"2026-11-23 '), "2026-11-23 09:30:00Z"),
    "short date": (lambda at: edit(at / "0003.json", '"2026-11-23T09', '"2026-11-23T9'), "has the date '2026-11-23T9"),
    "a folder": (
        lambda at: ((at / "0003.json").unlink(), (at / "0003.json").mkdir())[1],
        "cannot be read: Is a directory",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_named_and_has_a_next_step(tmp_path: Path, name: str) -> None:
    damage, said = DAMAGE[name]
    made = [accept(tmp_path) for _ in range(3)]
    assert len(store.history(tmp_path, "m")) == 3
    damage(store.path_of(tmp_path, made[0]).parent)
    reads: tuple[Callable[[], object], ...] = (
        lambda: store.history(tmp_path, "m"),
        lambda: store.latest(tmp_path, "m", None),
        lambda: accept(tmp_path),
    )
    for read in reads:
        with pytest.raises(BaselineError) as caught:
            read()
        (finding,) = caught.value.diagnostics
        assert finding.code == "baseline-damaged"
        assert said in str(finding)
        assert str(tmp_path) in str(finding)
        assert finding.help


def test_a_store_that_may_not_be_read_or_written() -> None:
    with unprivileged() as root:
        accept(root)
        folder = root / "m" / nouns.HARDWARE.id
        folder.chmod(0o500)
        with pytest.raises(ReportError, match=r"cannot-write.*0002\.json': Permission denied"):
            accept(root)
        assert len(store.history(root, "m")) == 1
        folder.chmod(0)
        with pytest.raises(BaselineError, match=r"baseline-damaged.*cannot be read: Permission denied"):
            store.latest(root, "m", None)
        folder.chmod(0o700)
        (folder / "0001.json").chmod(0)
        with pytest.raises(BaselineError, match=r"baseline-damaged.*cannot be read: Permission denied"):
            store.latest(root, "m", None)


# several writers, and writers that die

ACCEPT = """
import datetime, pathlib, sys
from greengate import profile_file
from greengate.baselines import store
made = profile_file.read(pathlib.Path(sys.argv[2]))
now = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
for index in range(int(sys.argv[3])):
    print(store.accept(pathlib.Path(sys.argv[1]), made, f"{sys.argv[4]} {index}", now=now, by="x").version, flush=True)
"""


def accepting(root: Path, count: int, who: str, before: str = "") -> subprocess.Popen[str]:
    from greengate import profile_file

    source = root.parent / "profile.json"
    if not source.exists():
        source.write_text(profile_file.dump_profile(profile()))
    command = [
        sys.executable,
        "-c",
        ACCEPT.replace("for index", f"{before}for index"),
        str(root),
        str(source),
        str(count),
        who,
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)


def test_two_writers_at_once_make_one_whole_chain(tmp_path: Path) -> None:
    root = tmp_path / "store"
    go = tmp_path / "go"
    wait = f"import os\nwhile not os.path.exists({str(go)!r}): pass\n"
    writers = [accepting(root, 50, who, wait) for who in "ab"]
    time.sleep(0.5)
    go.touch()
    numbers = [[int(line) for line in writer.communicate(timeout=120)[0].split()] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(numbers[0] + numbers[1]) == list(range(1, 101))
    assert [version.version for version in store.history(root, "m")] == list(range(1, 101))
    for who, mine in zip("ab", numbers, strict=True):
        reasons = {version.version: version.reason for version in store.history(root, "m")}
        assert [reasons[number] for number in mine] == [f"{who} {index}" for index in range(50)]


KILL = {
    "before the draft": "import os, secrets\nsecrets.token_hex = lambda n: os.kill(os.getpid(), 9)\n",
    "before the draft is synced": "import os\nos.fsync = lambda fd: os.kill(os.getpid(), 9)\n",
    "before the link": "import os\nos.link = lambda *a: os.kill(os.getpid(), 9)\n",
    "after the link": ("import os\nlink = os.link\nos.link = lambda *a: (link(*a), os.kill(os.getpid(), 9))\n"),
    "before the draft is removed": (
        "import os, pathlib\npathlib.Path.unlink = lambda *a, **k: os.kill(os.getpid(), 9)\n"
    ),
}


@pytest.mark.parametrize("when", KILL)
def test_a_writer_killed_midway_leaves_a_store_that_works(tmp_path: Path, when: str) -> None:
    root = tmp_path / "store"
    accept(root)
    writer = accepting(root, 1, "killed", KILL[when])
    writer.communicate(timeout=60)
    assert writer.returncode == -9
    linked = when in ("after the link", "before the draft is removed")
    assert len(store.history(root, "m")) == 1 + linked
    assert accept(root, reason="after").version == 2 + linked
    assert store.history(root, "m")[-1].reason == "after"


def test_a_writer_killed_at_any_moment_leaves_a_store_that_works(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for wait in (0.0, 0.003, 0.01):
        writer = accepting(root, 100_000, "killed")
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        writer.kill()
        writer.communicate(timeout=60)
        assert len(store.history(root, "m")) >= 1
    accept(root, reason="after")
    assert store.history(root, "m")[-1].reason == "after"


# the errors as printed


def test_the_damage_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[Path, str], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path(".greengate/baselines")
    accept(root)
    edit(store.path_of(root, accept(root)).with_name("0001.json"), "100.0", "99.0")
    with pytest.raises(BaselineError) as caught:
        store.latest(root, "m", None)
    golden(Path(__file__).parent / "golden" / "baseline-damaged.txt", str(caught.value))


def test_the_refusal_to_write_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[Path, str], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("store").write_text("a file where the folder should be")
    with pytest.raises(ReportError) as caught:
        accept(Path("store"))
    golden(Path(__file__).parent / "golden" / "cannot-write.txt", str(caught.value))
