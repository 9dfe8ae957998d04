"""The graphs that counters are compared on: how each is made, and its MACs by arithmetic written out here.

Nothing in this file counts with greengate. The arithmetic of the five published architectures is that of
tests/profiler/architectures.py; that of the others follows, one product for each layer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "profiler")]

from architectures import ARCHITECTURES  # noqa: E402


@dataclass(frozen=True)
class Graph:
    """A graph: "torch" or "onnx", its MACs, and what `make(folder)` gives: a module with inputs, or a file."""

    name: str
    kind: str
    macs: int
    make: Callable[[Path], Any]


# --- networks in PyTorch ------------------------------------------------------------------------


def lstm() -> tuple[Any, tuple[Any, ...]]:
    import torch

    torch.manual_seed(0)
    return torch.nn.LSTM(128, 256, 2).eval(), (torch.rand(50, 1, 128),)


#: 50 steps; each layer has 4 gates of 256 over its input (128, then 256) and over its state.
LSTM = 50 * (4 * 256 * (128 + 256) + 4 * 256 * (256 + 256))


def encoder() -> tuple[Any, tuple[Any, ...]]:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True)
    return torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False).eval(), (torch.rand(1, 128, 256),)


#: 4 layers of 128 tokens: projections, feed-forward part, scores and values.
ENCODER = 4 * (128 * (4 * 256**2 + 2 * 256 * 1024) + 2 * 128**2 * 256)


def architecture(name: str) -> tuple[Any, tuple[Any, ...]]:
    entry = ARCHITECTURES[name]
    return entry.build(), (entry.input(),)


def exported(make: Callable[[], tuple[Any, tuple[Any, ...]]], name: str) -> Callable[[Path], Path]:
    """Return how to export a network as PyTorch does by default."""

    def export(folder: Path) -> Path:
        path = folder / f"{name}.onnx"
        if not path.exists():
            from torch_nets import onnx_file

            onnx_file(*make(), path)
        return path

    return export


# --- ONNX ---------------------------------------------------------------------------------------


def quantised_resnet(folder: Path) -> Path:
    """Quantise ResNet-50 to 8 bits with onnxruntime, per channel, as QuantizeLinear and DequantizeLinear pairs."""
    path = folder / "resnet50-int8.onnx"
    if path.exists():
        return path
    import numpy as np
    from onnxruntime import quantization

    source = exported(lambda: architecture("resnet50"), "resnet50")(folder)
    random = np.random.default_rng(0)

    class Images(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"pixel_values": random.random((1, 3, 224, 224), np.float32)} for _ in range(2)]

        def get_next(self) -> dict[str, Any] | None:
            return self.left.pop() if self.left else None

    quantization.quantize_static(str(source), str(path), Images(), per_channel=True)
    return path


def quantised_bert(folder: Path) -> Path:
    """Quantise BERT's weights to 8 bits, and its activations while it runs."""
    path = folder / "bert-base-dynamic-int8.onnx"
    if path.exists():
        return path
    from onnxruntime import quantization

    source = exported(lambda: architecture("bert-base"), "bert-base")(folder)
    quantization.quantize_dynamic(str(source), str(path))
    return path


def loop(folder: Path) -> Path:
    """A product of 16 x 16 by 16 x 16, seven times, the number in the graph."""
    import numpy as np
    from graphs import BOOL, INT64, model, save, value, weight
    from onnx import TensorProto, helper, numpy_helper

    body = helper.make_graph(
        [helper.make_node("MatMul", ["s", "w"], ["s2"]), helper.make_node("Identity", ["c"], ["c2"])],
        "body",
        [value("i", (), INT64), value("c", (), BOOL), value("s", (16, 16))],
        [value("c2", (), BOOL), value("s2", (16, 16))],
    )
    start = [numpy_helper.from_array(np.array(7), "n"), numpy_helper.from_array(np.array(True), "go")]
    node = helper.make_node("Loop", ["n", "go", "x"], ["y"], body=body)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, (16, 16))
    proto = model([node], [value("x", (16, 16))], [*start, weight("w", (16, 16))], [output])
    return Path(save(proto, folder / "loop.onnx"))


def real(name: str) -> Callable[[Path], Path]:
    def find(_: Path) -> Path:
        from realmodels import fetch

        return fetch(name)

    return find


#: silero-vad 6: the transform as a convolution (258 filters of 256, 3 frames), four convolutions of 3 taps over
#: 3, 2, 1 and 1 frames, an LSTM of 128, one output.
SILERO = 3 * 258 * 256 + 3 * 128 * 129 * 3 + 2 * 64 * 128 * 3 + 64 * 64 * 3 + 128 * 64 * 3 + 4 * 128 * 256 + 128

#: magika 0.5: one-hot bytes by 257 x 128, two layers on 384 groups of 512, 113 labels.
MAGIKA_1 = 1536 * 257 * 128 + 384 * 512 * 256 + 384 * 256 * 256 + 256 * 113

#: magika 1.0: one-hot bytes by 257 x 64, a convolution of 5 taps from 256 to 512 over 508 places, 214 labels.
MAGIKA_3 = 2048 * 257 * 64 + 508 * 512 * 256 * 5 + 512 * 214


def lcnet(blocks: Sequence[tuple[int, int, int, int, bool]]) -> int:
    """PP-LCNetV3 blocks: entering, leaving, kernel, places, and whether a squeeze-and-excitation stands between.

    A depthwise convolution, the squeeze to a quarter and back, a pointwise convolution.
    """
    total = 0
    for entering, leaving, kernel, places, squeezed in blocks:
        total += places * entering * kernel**2 + places * entering * leaving
        total += 2 * entering * (entering // 4) if squeezed else 0
    return total


def pp_ocr_det() -> int:
    """PP-OCRv4 detection, 640 x 640: backbone, a pyramid of 96 channels, a head of two transposed convolutions."""
    places = [(640 >> shift) ** 2 for shift in range(6)]
    total = places[1] * 16 * 27 + lcnet(
        [(16, 32, 3, places[1], False), (32, 48, 3, places[2], False), (48, 48, 3, places[2], False)]
        + [(48, 96, 3, places[3], False), (96, 96, 3, places[3], False), (96, 192, 3, places[4], False)]
        + [(192, 192, 5, places[4], False)] * 4
        + [(192, 384, 5, places[5], True), (384, 384, 5, places[5], True)]
        + [(384, 384, 5, places[5], False)] * 2
    )
    for entering, narrow, level in ((48, 12, 2), (96, 18, 3), (192, 42, 4), (384, 360, 5)):
        total += places[level] * (entering * narrow + narrow * 96 + 96 * 24 * 9) + 2 * 96 * 24 + 2 * 24 * 6
    return total + places[2] * 96 * 24 * 9 + places[2] * 24 * 24 * 4 + places[1] * 24 * 4


def pp_ocr_rec() -> int:
    """PP-OCRv4 recognition, 48 x 320: backbone, two attention blocks over 40 places of 120, 6,625 characters."""
    total = 24 * 160 * 16 * 27 + lcnet(
        [(16, 32, 3, 24 * 160, False), (32, 64, 3, 24 * 160, False), (64, 64, 3, 24 * 160, False)]
        + [(64, 128, 3, 12 * 160, False), (128, 128, 3, 12 * 160, False), (128, 240, 3, 12 * 80, False)]
        + [(240, 240, 5, 12 * 80, False)] * 4
        + [(240, 480, 5, 6 * 80, True), (480, 480, 5, 6 * 80, True)]
        + [(480, 480, 5, 3 * 80, False)] * 2
    )
    total += 40 * (480 * 60 * 3 + 60 * 120)
    total += 2 * (40 * (120 * 360 + 120 * 120 + 2 * 120 * 240) + 2 * 8 * 40 * 40 * 15)
    return total + 40 * (120 * 480 + 960 * 60 * 3 + 60 * 120) + 40 * 120 * 6625


def _both(name: str, macs: int, make: Callable[[], tuple[Any, tuple[Any, ...]]]) -> list[Graph]:
    return [Graph(f"{name} (torch)", "torch", macs, lambda _: make()), Graph(name, "onnx", macs, exported(make, name))]


def _published() -> list[Graph]:
    return [
        graph
        for name, entry in ARCHITECTURES.items()
        for graph in _both(name, entry.macs, lambda name=name: architecture(name))
    ]


GRAPHS: dict[str, Graph] = {
    graph.name: graph
    for graph in (
        *_published(),
        *_both("lstm", LSTM, lstm),
        *_both("encoder", ENCODER, encoder),
        Graph("resnet50-int8", "onnx", ARCHITECTURES["resnet50"].macs, quantised_resnet),
        Graph("bert-base-dynamic-int8", "onnx", ARCHITECTURES["bert-base"].macs, quantised_bert),
        Graph("loop", "onnx", 7 * 16**3, loop),
        Graph("silero", "onnx", SILERO, real("silero")),
        Graph("magika-v1", "onnx", MAGIKA_1, real("magika-v1")),
        Graph("magika-v3", "onnx", MAGIKA_3, real("magika-v3")),
        Graph("ocr-det", "onnx", pp_ocr_det(), real("ocr-det")),
        Graph("ocr-rec", "onnx", pp_ocr_rec(), real("ocr-rec")),
    )
}
