"""The published figures, to the last MAC: from arithmetic, from PyTorch, and from ONNX, run and not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import needs
import pytest
from architectures import ARCHITECTURES, Architecture

from greengate.profile import InputSpec, Measurement, WorkloadSpec
from greengate.profiler import onnx_model
from greengate.profiler.backends import onnx_session
from greengate.profiler.jobs import CountJob
from greengate.profiler.operations import static
from greengate.profiler.operations.torch_count import count_module

needs.package("torch")
needs.package("transformers")
needs.package("onnxscript")

WORKLOAD = {"input_ids": WorkloadSpec(inputs=(InputSpec("input_ids", max=30000),))}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_arithmetic_gives_the_published_figure(name: str) -> None:
    entry = ARCHITECTURES[name]
    digits = len(str(entry.published).partition(".")[2])
    assert round(entry.macs / 1e9, digits) == entry.published


@pytest.fixture(scope="module", params=ARCHITECTURES)
def entry(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


@pytest.fixture(scope="module")
def module(entry: Architecture) -> Any:
    return entry.build()


@pytest.fixture(scope="module")
def stored(entry: Architecture, module: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from torch_nets import onnx_file

    folder = tmp_path_factory.mktemp("published")
    yield onnx_file(module, (entry.input(),), folder / "model.onnx")
    for file in folder.iterdir():  # hundreds of MB
        file.unlink()


def test_as_a_module(entry: Architecture, module: Any) -> None:
    found = count_module(module, (entry.input(),), cross_check=False)
    assert (found.macs, found.unknown) == (entry.macs, {})
    assert sum(layer.macs or 0 for layer in found.layers) == entry.macs
    assert sum(layer.params for layer in found.layers) == sum(item.numel() for item in module.parameters())


def test_as_onnx(entry: Architecture, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stored.parent)
    proto = onnx_model.read(str(stored)).proto
    spec = WORKLOAD.get(proto.graph.input[0].name, WorkloadSpec())
    ran = onnx_session.run(CountJob(str(stored), spec), lambda _: None).measurements["macs"]
    assert isinstance(ran, Measurement), ran
    assert ran.value == entry.macs
    feeds = static.feeds(proto, spec)
    assert static.count(proto, feeds.inputs, feeds.feeds[0]).count.macs == entry.macs
