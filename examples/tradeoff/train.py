"""Train the networks of the trade-off example: a small one, a better one that costs more, and that one trained again.

    python examples/tradeoff/train.py

Networks, data and file format are those of examples/digits. The small one is trained for few epochs, as a first version
often is; the better one is wider and trained to the end. `retrained` differs from `better` by its seed alone.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
#: File, widths of the hidden layers, epochs, seed.
NETWORKS = (
    ("models/digits.onnx", (96, 64), 7, 1),
    ("candidates/better.onnx", (144, 96), 40, 1),
    ("candidates/retrained.onnx", (144, 96), 40, 2),
)


def main() -> None:
    """Write the models and the held-out images with their labels."""
    spec = importlib.util.spec_from_file_location("digits_train", HERE.parent / "digits" / "train.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("examples/digits/train.py")
    digits = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = digits
    spec.loader.exec_module(digits)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    data = digits.load()
    for path, hidden, epochs, seed in NETWORKS:
        classifier = MLPClassifier(hidden, max_iter=epochs, tol=0.0, n_iter_no_change=1000, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed on purpose
            classifier.fit(data.train_images.astype(np.float64), data.train_labels)
        layers = [
            (weights.astype(np.float32), bias.astype(np.float32))
            for weights, bias in zip(classifier.coefs_, classifier.intercepts_, strict=True)
        ]
        content = digits.to_onnx(layers)
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_bytes(content)
        macs = sum(weights.size for weights, _ in layers)
        print(f"{path}: {macs:,} MACs, {digits.accuracy(content, data.images, data.labels):.1%} of the held-out images")
    np.savez_compressed(HERE / "heldout.npz", images=data.images, labels=data.labels)


if __name__ == "__main__":
    main()
