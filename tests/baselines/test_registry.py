"""The registry against a real MLflow server: published, found by alias, number and stage, measured, chosen from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import nouns
import pytest
import registry as running
from needs import package

from greengate.baselines import Found, Request, resolve
from greengate.baselines import registry as client
from greengate.cli import door, output
from greengate.errors import BaselineError
from greengate.profile import Missing
from greengate.tasks.select import Candidate, candidates, front, requirement, select
from greengate.verdict import Status

GOLDEN = Path(__file__).parent / "golden"
NET = "fake: 1\nsize: {size} MB\nparams: 2 M\nmacs: 300 MMAC\nactivation_memory: 4 MB\nlatency: 10 ms\nnoise: 1%\n"
BUDGET = """version: 1
models:
  - {name: net, path: models/net.fake.yaml}
rules:
  - {metric: size, max: 12 MB}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running.server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "environment", dict)
    for name in [*os.environ]:
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    (tmp_path / "models").mkdir()
    (tmp_path / "budgets.yaml").write_text(BUDGET)
    return tmp_path


def run(*arguments: str) -> int:
    return door.run(list(arguments))


def checked(here: Path, size: int = 10) -> None:
    (here / "models/net.fake.yaml").write_text(NET.format(size=size))
    assert run("check", "--static-only") in (0, 1)


def published(here: Path, name: str, size: int = 10) -> None:
    checked(here, size)
    assert run("publish", "--to", f"mlflow:models:/{name}") == 0


def mlflow() -> object:
    return package("mlflow").MlflowClient()


def asked(here: Path) -> Request:
    scratch = here / "scratch"
    scratch.mkdir(exist_ok=True)
    return Request("net", here / "models/net.fake.yaml", here, scratch, nouns.HARDWARE.id)


def test_a_version_is_registered_with_all_that_is_known_of_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(here, "all", 13)
    assert "registered models:/all/1: net, FAIL, 5 numbers" in capsys.readouterr().out
    made = client.entry(client.address("models:/all/1"))
    assert made.tags["greengate.verdict"] == "fail"
    assert float(made.tags["greengate.size"]) == 13e6
    assert float(made.tags["greengate.flops"]) == 600e6
    assert made.tags["greengate.hardware"]
    run_ = mlflow().get_run(made.tags["greengate.run_id"])  # type: ignore[attr-defined]
    assert run_.info.status == "FINISHED"
    assert run_.data.metrics["greengate.size"] == 13e6
    assert run_.data.params["batch_size"] == "1"
    assert json.loads(client.logged_text(made, "verdict.json", here) or "")["status"] == "fail"
    assert "net" in (client.logged_text(made, "report.md", here) or "")
    assert client.logged_text(made, "profile.json", here)


@pytest.mark.parametrize("how", ["@champion", "/1", "/latest", "", "/Production"])
def test_the_deployed_version_is_fetched_and_compared(here: Path, how: str) -> None:
    name = f"deployed{len(how)}{how[1:2]}"
    published(here, name, 10)
    if how == "@champion":
        mlflow().set_registered_model_alias(name, "champion", "1")  # type: ignore[attr-defined]
    if how == "/Production":
        with pytest.warns(FutureWarning):
            mlflow().transition_model_version_stage(name, "1", "Production")  # type: ignore[attr-defined]
    elif how != "/latest":
        pass
    answer = resolve(f"mlflow:models:/{name}{how}", asked(here))
    assert isinstance(answer, Found)
    assert answer.artifact is not None
    assert answer.artifact.read_text() == NET.format(size=10)
    assert answer.profile is not None
    assert (answer.ref.version, answer.ref.digest) == (1, answer.profile.model.digest)
    assert answer.ref.about == f"version 1 of {name} in the registry"
    (here / "models/net.fake.yaml").write_text(NET.format(size=11))
    budget = BUDGET.replace("max: 12 MB", "max_increase: 5%") + f"baseline: mlflow:models:/{name}{how}\n"
    (here / "budgets.yaml").write_text(budget)
    assert run("check", "--static-only", "--report", "json=said.json") == 1
    (rule,) = json.loads(Path("said.json").read_text())["rules"]
    assert rule["change"]["value"] == pytest.approx(0.1)


def test_a_version_that_others_registered_is_tagged(here: Path) -> None:
    there = mlflow()
    there.create_registered_model("others")  # type: ignore[attr-defined]
    run_ = there.create_run("0")  # type: ignore[attr-defined]
    there.log_metric(run_.info.run_id, "accuracy", 0.93)  # type: ignore[attr-defined]
    (here / "net.fake.yaml").write_text(NET.format(size=10))
    there.log_artifact(run_.info.run_id, str(here / "net.fake.yaml"), "model")  # type: ignore[attr-defined]
    there.create_model_version("others", f"{run_.info.artifact_uri}/model", run_.info.run_id)  # type: ignore[attr-defined]
    unpublished = resolve("mlflow:models:/others/1", asked(here))
    assert isinstance(unpublished, Found)
    assert unpublished.artifact is not None
    assert unpublished.profile is None
    checked(here)
    assert run("publish", "--to", "mlflow:models:/others/1") == 0
    made = client.entry(client.address("models:/others/1"))
    assert made.run == run_.info.run_id
    assert made.tags["greengate.verdict"] == "pass"
    assert len(client.entries("others")) == 1
    (one,) = candidates(["mlflow:models:/others"])
    assert one.measurements["accuracy"].method == "declared"  # type: ignore[union-attr]
    assert one.measurements["size"].value == 10e6  # type: ignore[union-attr]


def test_the_most_efficient_version_is_chosen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for size in (12, 9, 10):
        published(here, "chosen", size)
    capsys.readouterr()
    source = "mlflow:models:/chosen"
    assert run("select", "--from", source, "--require", "size >= 9.5 MB", "--minimize", "size") == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "models:/chosen/3"
    assert run("select", "--from", source, "--minimize", "size", "--name-only") == 0
    assert capsys.readouterr().out == "models:/chosen/2\n"
    assert run("select", "--from", source, "--require", "size <= 1 MB", "--minimize", "size") == 1
    assert run("select", "--from", source, "--require", "accuracy >= 0.92", "--minimize", "size") == 3


@pytest.mark.parametrize("uri", ["models:/gone/1", "models:/gone@champion", "models:/gone", "models:/gone/Production"])
def test_what_the_registry_does_not_have(here: Path, uri: str) -> None:
    with pytest.raises(BaselineError, match="baseline-missing"):
        resolve(f"mlflow:{uri}", asked(here))
    checked(here)
    if uri != "models:/gone":
        assert run("publish", "--to", f"mlflow:{uri}") == 2
        assert "gone" not in [one.name for one in mlflow().search_registered_models()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("uri", ["models/net", "models:/", "models:/a:b", "models:/net@", "runs:/x/y"])
def test_a_uri_that_names_no_model(here: Path, uri: str) -> None:
    with pytest.raises(BaselineError, match="baseline-scheme"):
        resolve(f"mlflow:{uri}", asked(here))


def test_a_registry_that_does_not_answer_is_said_in_seconds(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checked(here)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{running.free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for arguments in (("publish", "--to", "mlflow"), ("check", "--against", "mlflow:models:/net/1")):
        assert run(*arguments) == 2
        assert "error[registry-failed]: the registry does not answer for models:/net" in capsys.readouterr().err
    assert list((here / "models").iterdir()) == [here / "models/net.fake.yaml"]


def test_without_an_address_none_is_assumed(
    here: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[Path, str], None]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(BaselineError) as caught:
        resolve("mlflow:models:/sentiment@champion", asked(here))
    golden(GOLDEN / "registry-failed.txt", str(caught.value))
    assert not (here / "mlruns").exists()
    assert not (here / "mlflow.db").exists()


def test_a_publication_that_breaks_midway_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def broken(*_: object, **__: object) -> None:
        raise MlflowException("the connection was reset")

    checked(here)
    monkeypatch.setattr(MlflowClient, "log_artifact", broken)
    assert run("publish", "--to", "mlflow:models:/half") == 2
    there = mlflow()
    assert "half" not in [one.name for one in there.search_registered_models()]  # type: ignore[attr-defined]
    experiment = there.get_experiment_by_name("greengate")  # type: ignore[attr-defined]
    names = [one.info.run_name for one in there.search_runs([experiment.experiment_id])]  # type: ignore[attr-defined]
    assert "greengate half" not in names


def test_a_file_that_is_not_the_one_published_is_found_out(here: Path, server: str) -> None:
    published(here, "tampered")
    made = client.entry(client.address("models:/tampered/1"))
    (here / "net.fake.yaml").write_text(NET.format(size=1))
    mlflow().log_artifact(made.run, str(here / "net.fake.yaml"), "model")  # type: ignore[attr-defined]
    with pytest.raises(BaselineError, match=r"baseline-damaged.*is not the file whose numbers were published"):
        resolve("mlflow:models:/tampered/1", asked(here))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "s3://x"), "is no registry"),
        (("other", "--to", "mlflow"), "nothing measured is called 'other'"),
        (("--to", "mlflow", "--from", "gone.json"), "there is no verdict"),
    ],
)
def test_what_cannot_be_published(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    checked(here)
    assert run("publish", *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_model_that_changed_since_is_not_registered(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked(here)
    (here / "models/net.fake.yaml").write_text(NET.format(size=9))
    assert run("publish", "--to", "mlflow:models:/changed") == 2
    assert "is not at hand as it was measured" in capsys.readouterr().err


# choosing, without a registry


def one(name: str, **values: float | tuple[float, float, float]) -> Candidate:
    return Candidate(
        name,
        {
            metric: nouns.noisy(*value) if isinstance(value, tuple) else nouns.exact(value)
            for metric, value in values.items()
        },
    )


def test_a_requirement_is_judged_on_the_whole_interval() -> None:
    need = requirement("latency_p50 <= 45 ms")
    assert need.bound == pytest.approx(0.045)
    assert need.judge(nouns.noisy(0.04, 0.039, 0.041)) is Status.PASS
    assert need.judge(nouns.noisy(0.044, 0.043, 0.046)) is Status.INCONCLUSIVE
    assert need.judge(nouns.noisy(0.05, 0.049, 0.051)) is Status.FAIL
    assert need.judge(Missing("no")) is Status.INCONCLUSIVE
    assert need.judge(None) is Status.INCONCLUSIVE
    for text, kept in (("size < 10 B", False), ("size <= 10 B", True), ("size > 10 B", False), ("size >= 10 B", True)):
        assert (requirement(text).judge(nouns.exact(10.0)) is Status.PASS) == kept


@pytest.mark.parametrize("text", ["accuracy", "speed >= 1", "size >= fast", "accuracy >= 92%", "size = 1 MB", ""])
def test_what_is_no_requirement(text: str) -> None:
    from greengate.errors import GreengateError

    with pytest.raises(GreengateError) as caught:
        requirement(text)
    assert caught.value.diagnostics[0].help


def test_who_is_beaten_by_nobody() -> None:
    found = [
        one("small", size=1.0, throughput=1.0),
        one("fast", size=3.0, throughput=9.0),
        one("worse", size=3.0, throughput=8.0),
        one("twin", size=1.0, throughput=1.0),
        one("gap", size=0.5),
    ]
    assert front(found, ["size", "throughput"]) == {"small", "fast", "twin"}
    assert front(found, ["size"]) == {"gap"}


def test_an_unsure_candidate_is_not_chosen_and_the_answer_says_so() -> None:
    need = [requirement("accuracy >= 0.92")]
    unsure, sure = one("unsure", accuracy=(0.92, 0.91, 0.93), size=1.0), one("sure", accuracy=0.95, size=2.0)
    assert select([unsure, sure], need, "size").name == "sure"
    assert select([unsure], need, "size").status is Status.INCONCLUSIVE
    assert select([one("bad", accuracy=0.5, size=1.0)], need, "size").status is Status.FAIL
    table = select([unsure, sure], need, "size").table.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["unsure", "*"]


def test_profiles_folders_and_stores_are_sources(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "profiles").mkdir()
    for size in (10, 11):
        (here / "models/net.fake.yaml").write_text(NET.format(size=size))
        assert run("profile", "net", "--static-only", "-o", f"profiles/{size}.json") == 0
        why = ["--reason", f"size {size}", "--max-seconds", "3"]
        assert run("baseline", "accept", *why) == 0
    capsys.readouterr()
    sources = ["--from", "profiles", "--from", "dir:.greengate/baselines"]
    assert run("select", *sources, "--require", "size > 10.5 MB", "--minimize", "size", "--name-only") == 0
    assert capsys.readouterr().out.startswith(("profiles/11.json", "net version"))
    assert run("select", "--from", "profiles", "--from", "profiles/10.json", "--minimize", "size") == 2
    assert run("select", "--from", "profiles", "--minimize", "speed") == 2
    assert run("select", "--from", "gone", "--minimize", "size") == 2
