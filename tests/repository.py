"""Real places for tests: a git repository without the user's settings, and a folder whose permissions bind."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUIET = {
    **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "LC_ALL": "C"},
    **{"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"},
}


class Repository:
    """A work tree to commit into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.identify()

    def identify(self) -> None:
        self.git("config", "user.email", "dev@example.org")
        self.git("config", "user.name", "Dev")
        self.git("config", "commit.gpgsign", "false")

    def git(self, *args: str) -> str:
        # Run from a git hook, the tests would else work on the repository that is being pushed.
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        command = ["git", *args]
        done = subprocess.run(
            command, cwd=self.folder, env=environ | QUIET, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    def write(self, path: str, content: bytes | str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def commit(self, files: dict[str, bytes | str] | None = None, message: str = "change") -> str:
        for path, content in (files or {}).items():
            self.write(path, content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str) -> str:
        self.git("merge", "--quiet", "--no-ff", "-m", f"merge {branch}", branch)
        return self.git("rev-parse", "HEAD")

    def clone(self, folder: Path, *options: str) -> Repository:
        self.git("clone", "--quiet", *options, f"file://{self.folder}", str(folder))
        cloned = Repository.__new__(Repository)
        cloned.folder = folder
        cloned.identify()
        return cloned


@contextmanager
def unprivileged() -> Iterator[Path]:
    """Yield a folder of a user whom permissions stop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if root := os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)
