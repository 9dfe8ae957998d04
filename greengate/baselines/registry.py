"""An MLflow model registry: versions read, numbers and verdicts logged to them. The only importer of mlflow.

Which registry is what MLflow's own variables say (MLFLOW_TRACKING_URI, tokens); none is assumed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from greengate.errors import BaselineError, Diagnostic

_URI = re.compile(r"models:/(?P<name>[^/:@\0]+)(?:@(?P<alias>[A-Za-z0-9_-]+)|/(?P<version>[A-Za-z0-9_ -]+))?")
#: Where a run keeps what greengate logged, and the tag of a model version that names the run.
FOLDER, RUN = "greengate", "greengate.run_id"
_EXPERIMENT = "greengate"
#: Unless the user says otherwise: no telemetry, no waiting for minutes, nothing printed into our output.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Address:
    """A registered model, and which version of it is meant: by number or stage, by alias, or none."""

    name: str
    version: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return f"models:/{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.version}" if self.version else "")


@dataclass(frozen=True)
class Entry:
    """One version of a registered model: its tags, and the metrics of the run that made it."""

    name: str
    version: str
    run: str | None
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Publication:
    """What is logged: numbers, words, texts by path, and the model's files by their path in its folder."""

    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    texts: Mapping[str, str]
    files: Mapping[str, Path]


def address(text: str) -> Address:
    """Read `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `models:/NAME/STAGE` or `models:/NAME`.

    Raises BaselineError `baseline-scheme`.
    """
    if (match := _URI.fullmatch(text)) is None:
        message = f"baseline 'mlflow:{text}' names no registered model"
        raise BaselineError(Diagnostic("baseline-scheme", message, "write mlflow:models:/NAME@ALIAS or /NAME/VERSION"))
    return Address(match["name"], match["version"], match["alias"])


def entry(wanted: Address) -> Entry:
    """Return the version an address names: the newest of a stage, or of all for `latest` or nothing.

    Raises BaselineError `baseline-missing`, `registry-failed`.
    """
    with _client(str(wanted)) as client:
        if wanted.alias is not None:
            return _entry(client, client.get_model_version_by_alias(wanted.name, wanted.alias))
        if wanted.version is not None and wanted.version.isdecimal():
            return _entry(client, client.get_model_version(wanted.name, wanted.version))
        found = _all(client, wanted.name)
        stage = None if wanted.version in (None, "latest") else wanted.version
        at = [one for one in found if stage is None or one.current_stage.lower() == stage.lower()]
        if not at:
            raise _missing(f"the registry has no version {wanted}")
        return _entry(client, at[-1])


def entries(name: str) -> tuple[Entry, ...]:
    """Return every version of a registered model, oldest first. Raises as entry does."""
    with _client(f"models:/{name}") as client:
        found = _all(client, name)
        if not found:
            raise _missing(f"the registry has no version of {name!r}")
        return tuple(_entry(client, one) for one in found)


def model_files(one: Entry, folder: Path) -> Path:
    """Fetch a version's files into a new folder below `folder` and return where they are.

    Raises BaselineError `registry-failed`; then nothing is left behind.
    """
    with _client(f"models:/{one.name}/{one.version}") as client:
        source = client.get_model_version_download_uri(one.name, one.version)
        return Path(_download(folder, artifact_uri=source))


def logged_text(one: Entry, path: str, folder: Path) -> str | None:
    """Return a text that greengate logged for a version; None where it logged none."""
    if (run := one.tags.get(RUN)) is None:
        return None
    with _client(f"models:/{one.name}/{one.version}"):
        return Path(_download(folder, run_id=run, artifact_path=f"{FOLDER}/{path}")).read_text("utf-8")


def publish(what: Publication, target: Address) -> Entry:
    """Log a publication to a run of its own, and tag the version; without one, register the files as a new version.

    The tags come last: a version that has them has all the rest. Raises BaselineError `baseline-missing`,
    `registry-failed`; the run of a publication that failed is deleted where the registry still answers.
    """
    known = entry(target) if target.version or target.alias else None
    with _client(str(target)) as client:
        found = client.get_experiment_by_name(_EXPERIMENT)
        experiment = client.create_experiment(_EXPERIMENT) if found is None else found.experiment_id
        run = client.create_run(experiment, run_name=f"greengate {target.name}")
        try:
            return _publish(client, run, what, target.name, known)
        except BaseException:
            _abandon(client, run.info.run_id)
            raise


def _publish(client: Any, run: Any, what: Publication, name: str, known: Entry | None) -> Entry:
    identity = run.info.run_id
    for metric, value in what.metrics.items():
        client.log_metric(identity, metric, value)
    for param, text in what.params.items():
        client.log_param(identity, param, text)
    for path, text in what.texts.items():
        client.log_text(identity, text, f"{FOLDER}/{path}")
    tags = {**what.tags, RUN: identity}
    if known is not None:
        client.set_terminated(identity)
        for key, text in tags.items():
            client.set_model_version_tag(known.name, known.version, key, text)
        return Entry(known.name, known.version, known.run, {**known.tags, **tags}, known.metrics)
    for path, local in what.files.items():
        folder = "/".join(["model", *path.split("/")[:-1]])
        client.log_artifact(identity, str(local), folder)
    client.set_terminated(identity)
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/model"
    made = client.create_model_version(name, source, identity, tags=tags, await_creation_for=0)
    return Entry(name, str(made.version), identity, tags, what.metrics)


def _abandon(client: Any, run: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.set_terminated(run, "FAILED")
        client.delete_run(run)
    except (MlflowException, OSError):  # the registry is gone: it will show a run that never ended
        return


def _entry(client: Any, one: Any) -> Entry:
    run = client.get_run(one.run_id).data.metrics if one.run_id else {}
    return Entry(one.name, str(one.version), one.run_id or None, dict(one.tags), dict(run))


def _all(client: Any, name: str) -> list[Any]:
    found = client.search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda one: int(one.version))


def _download(folder: Path, **what: str) -> str:
    from mlflow.artifacts import download_artifacts

    target = tempfile.mkdtemp(dir=folder, prefix="registry-")
    try:
        return str(download_artifacts(dst_path=target, **what))
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def local() -> tuple[Path, ...]:
    """Return what MLflow's variables name that is a file or folder of this machine, and no server."""
    named = (os.environ.get(name, "") for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"))
    return tuple(Path(path) for path in map(_path, named) if path)


def _path(uri: str) -> str:
    """Return the path that a URI names: `sqlite:///mlflow.db`, `file:mlruns`, `mlruns`; empty where it names none."""
    if uri.startswith("sqlite:"):
        return uri.partition("?")[0].partition("///")[2]
    if uri.startswith("file:"):
        return url2pathname(urlsplit(uri).path)
    return "" if "://" in uri or uri.partition(":")[0] in ("databricks", "databricks-uc", "uc") else uri


@contextmanager
def _client(asked: str) -> Iterator[Any]:
    """Yield MLflow's client; turn what it raises into diagnostics about what was `asked`."""
    if not (os.environ.get("MLFLOW_TRACKING_URI") or os.environ.get("MLFLOW_REGISTRY_URI")):
        message = f"no registry is named for {asked}"
        raise _failed(message, "set MLFLOW_TRACKING_URI, for example to http://mlflow.example.org:5000")
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        message = f"{asked} is in an MLflow registry, and mlflow is not installed"
        raise _failed(message, "pip install 'greengate-ci[mlflow]'") from error
    try:
        yield mlflow.MlflowClient()
    except MlflowException as error:
        said = " ".join(str(error).split())
        if "not found" in said or "RESOURCE_DOES_NOT_EXIST" in said:
            raise _missing(f"the registry has no {asked}: {said[:200]}") from error
        raise _failed(f"the registry does not answer for {asked}: {said[:300]}") from error
    except OSError as error:
        raise _failed(f"the registry does not answer for {asked}: {error}") from error


_CHECK = "check MLFLOW_TRACKING_URI, the connection and the rights of its token"


def _failed(message: str, help: str = _CHECK) -> BaselineError:
    return BaselineError(Diagnostic("registry-failed", message, help))


def _missing(message: str) -> BaselineError:
    return BaselineError(Diagnostic("baseline-missing", message, "check the name, the version and the alias"))
