"""A real MLflow server on loopback, with SQLite, for the time of a test module."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from needs import package


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Yield the address of a server that keeps everything below `folder`; it is gone afterwards."""
    package("mlflow")
    folder.mkdir(parents=True, exist_ok=True)
    uri, log = f"http://127.0.0.1:{free_port()}", folder / "log"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rpartition(":")[2]),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("w") as words:
        running = subprocess.Popen(
            command, env=environ, cwd=folder, stdout=words, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(uri, running, log)
        yield uri
    finally:
        # It keeps nothing that anybody needs, and takes seconds to say goodbye.
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _wait(uri: str, running: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and running.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the MLflow server did not start:\n{log.read_text()}")
