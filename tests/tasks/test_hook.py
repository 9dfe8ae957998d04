"""`greengate hook`: written, left alone, removed; and what a real `git push` to a bare remote meets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import QUIET, Repository

from greengate.cli import door

HEAVY = "fake: 1\nsize: 10 MB\nlatency: 10 ms\n"
LIGHT = HEAVY.replace("10 MB", "4 MB")
BUDGET = "version: 1\nmodels:\n  - {name: net, path: net.fake.yaml}\nrules:\n  - {metric: size, max: 5 MB}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Return a repository with a light model, its bare remote, no CI around it; the current folder is its top."""
    for name in [name for name in os.environ if name.startswith(("GITHUB_", "GITLAB_", "GIT_", "CI"))]:
        monkeypatch.delenv(name)
    for name, text in QUIET.items():
        monkeypatch.setenv(name, text)
    repository = Repository(tmp_path / "work")
    repository.git("init", "--quiet", "--bare", str(tmp_path / "origin"))
    repository.git("remote", "add", "origin", str(tmp_path / "origin"))
    repository.commit(
        {"net.fake.yaml": LIGHT, "budgets.yaml": BUDGET, ".gitignore": ".greengate/\n*.local.fake.yaml\n"}
    )
    monkeypatch.chdir(repository.folder)
    return repository


def push(repository: Repository, *words: str, folder: Path | None = None) -> tuple[bool, str]:
    """Push as a user would; return whether git did, and all that was said."""
    words = words or ("origin", "main")
    done = subprocess.run(
        ["git", "push", *words],
        cwd=folder or repository.folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode == 0, " ".join((done.stdout + done.stderr).split())


def arrived(repository: Repository) -> str:
    return repository.git("ls-remote", "origin", "refs/heads/main").partition("\t")[0]


def install(*words: str) -> None:
    assert door.run(["hook", "install", *words]) == 0


# --- a push -----------------------------------------------------------------------------------------------------------


def test_a_heavy_model_is_refused_and_a_light_one_goes_through(here: Repository) -> None:
    install()
    went, said = push(here)
    assert went, said
    assert "PASS" in said
    light = arrived(here)
    assert light == here.git("rev-parse", "HEAD")

    here.commit({"net.fake.yaml": HEAVY})
    went, said = push(here)
    assert not went
    assert "size of net: 10.0 MB is beyond the limit of 5.00 MB" in said
    assert "the push is refused (exit code 1)" in said
    assert arrived(here) == light
    went, said = push(here, "--no-verify", "origin", "main")
    assert went, said


def test_what_is_judged_is_what_is_pushed_not_the_work_tree(here: Repository) -> None:
    install()
    here.commit({"net.fake.yaml": HEAVY})
    here.write("net.fake.yaml", LIGHT)
    assert not push(here)[0], "the commit is heavy, whatever lies beside it"
    here.commit()
    here.write("net.fake.yaml", HEAVY)
    went, said = push(here)
    assert went, said
    assert here.folder.joinpath("net.fake.yaml").read_text() == HEAVY
    assert here.git("worktree", "list").count("\n") == 0, "the checkout is gone again"


def test_another_branch_than_the_one_that_is_checked_out_is_judged(here: Repository) -> None:
    install()
    here.git("switch", "--quiet", "-c", "heavy")
    here.commit({"net.fake.yaml": HEAVY})
    here.git("switch", "--quiet", "main")
    went, said = push(here, "origin", "main", "heavy")
    assert not went
    assert "goes to refs/heads/heavy" in said
    assert (here.folder / ".greengate/last.json").is_file(), "for `greengate explain`"


def test_what_the_remote_has_and_what_is_deleted_is_not_judged(here: Repository) -> None:
    here.commit({"net.fake.yaml": HEAVY})
    assert push(here, "origin", "main", "main:old")[0]
    install()
    for words in (("origin", "main:copy"), ("origin", ":old")):
        went, said = push(here, *words)
        assert went, said
        assert "judging" not in said
    here.git("tag", "-a", "v1", "-m", "one")
    went, said = push(here, "origin", "v1")
    assert went, said


def test_a_branch_without_a_budget_goes_and_one_that_removed_it_does_not(here: Repository) -> None:
    install()
    here.git("switch", "--quiet", "--orphan", "pages")
    here.commit({"index.html": "<p>"})
    went, said = push(here, "origin", "pages")
    assert went, said
    assert "has no budgets.yaml: nothing to judge" in said
    here.git("switch", "--quiet", "main")
    here.git("rm", "--quiet", "budgets.yaml")
    here.commit({"net.fake.yaml": HEAVY})
    went, said = push(here)
    assert not went
    assert "there is no budgets.yaml" in said


def test_a_model_that_git_does_not_keep_is_judged_as_it_lies_here(here: Repository) -> None:
    install()
    here.write("big.local.fake.yaml", HEAVY)
    here.commit({"budgets.yaml": BUDGET.replace("net.fake", "big.local.fake")})
    here.write("net.fake.yaml", HEAVY)  # so that the commit is checked out elsewhere
    went, said = push(here)
    assert not went
    assert "big.local.fake.yaml is in no commit: judged as it lies here" in said
    assert "10.0 MB is beyond the limit" in said


def test_modules_of_the_repository_are_not_run(here: Repository, tmp_path: Path) -> None:
    """`python -m` looks into the current folder first, and a stranger's branch may be checked out."""
    install()
    trap = f"open({str(tmp_path / 'pwned')!r}, 'w').close()\n"
    here.commit({"click.py": trap, "greengate/__init__.py": trap, "json.py": trap})
    went, said = push(here)
    assert went, said
    assert not (tmp_path / "pwned").exists()


def test_names_are_words_to_the_shell(here: Repository, tmp_path: Path) -> None:
    name = "bud'get $(touch pwned) `touch pwned`.yaml"
    here.commit({name: BUDGET.replace("5 MB", "1 MB")})
    install("--budget", name, "--options", "--report 'markdown=out $(touch pwned).md'")
    assert not push(here)[0]
    assert "beyond the limit of 1.00 MB" in (here.folder / "out $(touch pwned).md").read_text()
    assert not list(tmp_path.rglob("pwned"))


# --- the hook itself --------------------------------------------------------------------------------------------------


def test_installing_twice_and_removing_leaves_nothing(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    install()
    first = (here.folder / ".git/hooks/pre-push").read_text()
    install("--options", "--allow-inconclusive")
    assert (here.folder / ".git/hooks/pre-push").read_text() != first
    assert door.run(["hook", "uninstall"]) == 0
    assert not (here.folder / ".git/hooks/pre-push").exists()
    assert door.run(["hook", "uninstall"]) == 0
    assert "there is no" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["file", "link", "edited"])
def test_a_hook_that_somebody_else_wrote_is_left_alone(
    here: Repository, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = here.folder / ".git/hooks/pre-push"
    place.parent.mkdir(exist_ok=True)
    if kind == "link":
        place.symlink_to("../../gone")
    elif kind == "file":
        place.write_text("#!/bin/sh\n")
    else:
        install()
        place.write_text(f"{place.read_text()}echo mine\n")
    before = str(place.readlink()) if kind == "link" else place.read_text()
    for words in (["hook", "install"], ["hook", "uninstall"]):
        assert door.run(words) == 2
        assert "error[already-exists]" in capsys.readouterr().err
        assert before == (str(place.readlink()) if kind == "link" else place.read_text())


def test_a_chained_hook_runs_first_hears_what_git_says_and_comes_back(here: Repository) -> None:
    place = here.folder / ".git/hooks/pre-push"
    place.parent.mkdir(exist_ok=True)
    own = '#!/bin/sh\necho "own $1"\nwhile read -r line; do echo "heard $line"; done\ntest ! -e no\n'
    place.write_text(own)
    place.chmod(0o755)
    install("--chain")
    went, said = push(here)
    assert went, said
    assert f"heard refs/heads/main {here.git('rev-parse', 'HEAD')} refs/heads/main {'0' * 40}" in said
    assert said.index("own origin") < said.index("judging")
    here.write("no", "")
    here.commit()
    went, said = push(here)
    assert not went
    assert "judging" not in said
    install("--options", "--static-only")  # ours again: the chained one stays
    assert door.run(["hook", "install", "--chain"]) == 0
    assert door.run(["hook", "uninstall"]) == 0
    assert place.read_text() == own
    assert os.access(place, os.X_OK)


def test_hooks_of_all_repositories_are_left_alone(
    here: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here.git("config", "core.hooksPath", str(tmp_path / "everywhere"))
    assert door.run(["hook", "install"]) == 2
    assert "core.hooksPath is" in capsys.readouterr().err
    assert not (tmp_path / "everywhere").exists()


def test_hooks_in_the_work_tree_name_no_machine(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    here.git("config", "core.hooksPath", ".githooks")
    (here.folder / "below").mkdir()
    os.chdir("below")
    install("--budget", "../budgets.yaml")
    assert "next: commit .githooks/pre-push" in capsys.readouterr().out
    text = (here.folder / ".githooks/pre-push").read_text()
    assert str(Path(sys.prefix)) not in text
    here.commit({"net.fake.yaml": HEAVY})
    bare = "/usr/bin:/bin"
    done = subprocess.run(
        ["git", "push", "origin", "main"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": bare},
    )
    assert done.returncode != 0
    assert "greengate is not installed here, so nothing was judged" in done.stderr
    with_it = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{bare}"}
    done = subprocess.run(["git", "push", "origin", "main"], check=False, capture_output=True, text=True, env=with_it)
    assert "10.0 MB is beyond the limit" in " ".join(done.stdout.split())


def test_every_work_tree_of_the_repository_has_the_hook(here: Repository, tmp_path: Path) -> None:
    here.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    os.chdir(tmp_path / "side")
    install()
    (tmp_path / "side/net.fake.yaml").write_text(HEAVY)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qam", "x"], check=True)
    went, said = push(here, "origin", "side", folder=tmp_path / "side")
    assert not went
    assert "10.0 MB is beyond the limit" in said
    assert push(here, "origin", "main")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["install", "--options", "--nonsense"], "No such option"),
        (["install", "--options", "'"], "No closing quotation"),
        (["install", "--budget", "gone.yaml"], "there is no gone.yaml"),
        (["install", "--budget", "../outside.yaml"], "lies outside of"),
    ],
)
def test_what_cannot_be_installed_is_refused_at_once(
    here: Repository, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.folder.parent / "outside.yaml").write_text(BUDGET)
    assert door.run(["hook", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (here.folder / ".git/hooks/pre-push").exists()


def test_outside_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    for words in ("install", "uninstall"):
        assert door.run(["hook", words]) == 2
        assert "this is not a git checkout" in capsys.readouterr().err


def test_only_what_git_says_is_heard(here: Repository) -> None:
    command = [sys.executable, "-P", "-m", "greengate", "hook", "run"]
    done = subprocess.run(command, input="a b c", check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not what git tells a pre-push hook" in done.stderr
    assert subprocess.run(command, input="", check=False).returncode == 0
