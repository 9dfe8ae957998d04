"""This project as others check it out: its own files as a committed tree."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_OURS = ("greengate", "*.md", "LICENSE", "*.toml", "*.yml", "*.yaml")


def committed(folder: Path) -> Path:
    """Commit a folder, which becomes a repository."""
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def ours(folder: Path) -> Path:
    """Copy what action, hooks and package are made of, as the work tree has it, and commit it."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *_OURS]
    found = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, found):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    return committed(folder)
