"""Train the example's digit classifiers and write them as ONNX; `--check` proves the committed files instead.

The data is scikit-learn's copy of the UCI handwritten digits: 1,797 real images of 8 x 8 pixels. Every network is
a scikit-learn MLPClassifier, written node by node with onnx.helper, so that the files hold nothing but the network.

    python examples/digits/train.py           # writes models/, candidates/, heldout.npz and the table in README.md
    python examples/digits/train.py --check   # trains again and compares with what is committed
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

HERE = Path(__file__).parent
SEED = 20261123
HELD_OUT = 360
OPSET, IR_VERSION = 17, 8  # read by every onnxruntime since 1.12
WEIGHT_TOLERANCE = 1e-4  # BLAS libraries round differently, and training carries the difference on
BEGIN, END = "<!-- written by train.py -->", "<!-- end -->"

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """One file of the example: its path, the widths of its hidden layers, and its part in the story."""

    path: str
    hidden: tuple[int, ...]
    role: str


NETWORKS = (
    Network("models/digits.onnx", (224, 192), "the accepted baseline"),
    Network("candidates/slimmer.onnx", (144, 112), "half the cost: passes"),
    Network("candidates/wider.onnx", (320, 256), "over budget"),
)


@dataclass(frozen=True)
class Data:
    """Images are [n, 64] float32 in 0..1, labels [n] int64 in 0..9."""

    train_images: Array
    train_labels: NDArray[np.int64]
    images: Array
    labels: NDArray[np.int64]


def load() -> Data:
    """Split the 1,797 images once and for all: the same 360 are held out everywhere."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    return Data(images[rest], labels[rest], images[held], labels[held])


def train(network: Network, data: Data) -> list[tuple[Array, Array]]:
    """Return (weights [in, out], bias [out]) of each layer, trained with a fixed seed and a fixed number of epochs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier(network.hidden, max_iter=40, tol=0.0, n_iter_no_change=1000, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed on purpose
        classifier.fit(data.train_images.astype(np.float64), data.train_labels)
    return [
        (weights.astype(np.float32), bias.astype(np.float32))
        for weights, bias in zip(classifier.coefs_, classifier.intercepts_, strict=True)
    ]


def to_onnx(layers: list[tuple[Array, Array]]) -> bytes:
    """Write the layers as Gemm, Relu, ..., Gemm, Softmax over `images` [batch, 64]; the same layers, the same bytes."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, initialisers, value = [], [], "images"
    for index, (weights, bias) in enumerate(layers):
        last = index == len(layers) - 1
        initialisers += [
            numpy_helper.from_array(weights, f"weights{index}"),
            numpy_helper.from_array(bias, f"bias{index}"),
        ]
        names = [value, f"weights{index}", f"bias{index}"]
        nodes.append(helper.make_node("Gemm", names, [f"sum{index}"], name=f"layer{index}"))
        value = "probabilities" if last else f"hidden{index}"
        activation = "Softmax" if last else "Relu"
        nodes.append(helper.make_node(activation, [f"sum{index}"], [value], name=f"{activation.lower()}{index}"))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 64])
    out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "digits", [images], [out], initialisers)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="greengate-example")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def read_layers(content: bytes) -> list[tuple[Array, Array]]:
    """Return the layers of a file that `to_onnx` wrote."""
    from onnx import numpy_helper

    arrays = [numpy_helper.to_array(item) for item in onnx.load_from_string(content).graph.initializer]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def accuracy(content: bytes, images: Array, labels: NDArray[np.int64]) -> float:
    """Return the share of images that the network, run by onnxruntime, names rightly."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"images": images})
    return float((np.asarray(probabilities).argmax(axis=1) == labels).mean())


def table(files: dict[str, bytes], data: Data) -> str:
    """Return the README's table: what each file is, costs and achieves on the held-out images."""
    rows = ["| file | layers | parameters | MACs per image | bytes | accuracy on held-out images | part |"]
    rows.append("|---|---|---:|---:|---:|---:|---|")
    for network in NETWORKS:
        content = files[network.path]
        layers = read_layers(content)
        widths = "-".join(str(width) for width in (64, *network.hidden, 10))
        macs = sum(weights.size for weights, _ in layers)
        params = macs + sum(bias.size for _, bias in layers)
        right = round(accuracy(content, data.images, data.labels) * HELD_OUT)
        share = f"{right / HELD_OUT:.1%} ({right} of {HELD_OUT})"
        numbers = f"{params:,} | {macs:,} | {len(content):,} | {share}"
        rows.append(f"| `{network.path}` | {widths} | {numbers} | {network.role} |")
    return "\n".join([BEGIN, *rows, END])


def _readme(new: str) -> str:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + new + rest.split(END)[1]


def write(data: Data) -> None:
    """Train every network and write every file of the example."""
    files = {network.path: to_onnx(train(network, data)) for network in NETWORKS}
    for path, content in files.items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_bytes(content)
    np.savez_compressed(HERE / "heldout.npz", images=data.images, labels=data.labels)
    (HERE / "README.md").write_text(_readme(table(files, data)), encoding="utf-8")
    print(table(files, data))


def check(data: Data) -> list[str]:
    """Return what is wrong with the committed files: images, weights (trained again), accuracies, the table."""
    wrong = []
    with np.load(HERE / "heldout.npz") as stored:
        if not (np.array_equal(stored["images"], data.images) and np.array_equal(stored["labels"], data.labels)):
            wrong.append("heldout.npz does not hold the split's images and labels")
    files = {network.path: (HERE / network.path).read_bytes() for network in NETWORKS}
    for network in NETWORKS:
        committed, trained = read_layers(files[network.path]), train(network, data)
        if to_onnx(committed) != files[network.path]:
            wrong.append(f"{network.path}: not the bytes that this script writes for these weights")
        pairs = zip((a for pair in committed for a in pair), (a for pair in trained for a in pair), strict=True)
        apart = max(float(np.abs(old - new).max()) for old, new in pairs)
        print(f"{network.path}: trained again, the weights differ by {apart:.1e} at most")
        if apart > WEIGHT_TOLERANCE:
            wrong.append(f"{network.path}: weights differ by {apart:.1e}, over {WEIGHT_TOLERANCE:.0e}")
    if _readme(table(files, data)) != (HERE / "README.md").read_text(encoding="utf-8"):
        wrong.append("README.md: the table does not say what the files do")
    return wrong


def main() -> int:
    """Write the example, or check it; returns 1 when the check finds something."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    if not parser.parse_args().check:
        write(load())
        return 0
    wrong = check(load())
    print("\n".join(wrong) or "the committed files are what this script makes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
