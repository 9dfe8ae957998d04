"""Fourier transforms, counted as the fast algorithms that run them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from greengate.profiler.operations.formulas.kinds import Attributes, told
from greengate.profiler.operations.trace import Executed, NotUnderstood


def transform(length: int) -> int:
    """Return the MACs of one fast Fourier transform of complex numbers.

    A power of two: Cooley and Tukey 1965, N/2 x log2(N) butterflies of one complex product each, a complex product
    being 4 MACs: 2 N log2(N). Other lengths: Bluestein 1970, as a convolution by three transforms of length M, the
    power of two from 2 N - 1 on, with M + 2 N complex products around them. Real input is transformed as complex.
    """
    if length < 2:
        return 0
    steps = (length - 1).bit_length()
    if length == 1 << steps:
        return 2 * length * steps
    padded = 1 << (2 * length - 2).bit_length()
    return 3 * transform(padded) + 4 * (padded + 2 * length)


def fourier(node: Executed, attributes: Attributes) -> int:
    """MACs of DFT over one axis of X [batch, d..., 1 or 2]: one transform for each of the other elements.

    The axis is input 2 from opset 20 on, an attribute before; the length is input 1, else the size of the axis.
    ONNX operator DFT.
    """
    kept = told(attributes)
    shape = node.input(0)
    if node.given(2) is not None:
        axis = _constant(kept, 2, "an axis")
    else:  # the default moved from 1 to -2 with opset 20
        axis = kept.get("axis", -2 if kept.get("opset", 20) >= 20 else 1)
    axis += len(shape) if axis < 0 else 0
    onesided, result = kept.get("onesided", 0), node.output(0)[axis]
    if node.given(1) is not None:
        length = result if not onesided else _constant(kept, 1, "a length")
    elif onesided and kept.get("inverse", 0):
        length = result
    else:
        length = shape[axis]
    others = math.prod(shape[:axis]) * math.prod(shape[axis + 1 : -1])
    return others * transform(length)


def short_fourier(node: Executed, attributes: Attributes) -> int:
    """MACs of STFT of a signal [batch, length, 1 or 2] in Y [batch, frames, bins, 2]: one transform a frame.

    The frame is as long as the window (input 2), else as the frame length (input 3). ONNX operator STFT.
    """
    return node.output(0)[0] * node.output(0)[1] * transform(_frame(node, told(attributes)))


def beside_short_fourier(node: Executed, attributes: Attributes) -> int:
    """The window is multiplied into every element of every frame."""
    batch, frames = node.output(0)[:2]
    return batch * frames * _frame(node, told(attributes)) if node.given(2) is not None else 0


def _frame(node: Executed, attributes: Mapping[str, Any]) -> int:
    window = node.given(2)
    if window is not None:
        return window[0]
    return _constant(attributes, 3, "a frame length") if attributes.get("onesided", 1) else node.output(0)[2]


def _constant(attributes: Mapping[str, Any], position: int, what: str) -> int:
    found = attributes.get(f"input {position}")
    if found is None:
        raise NotUnderstood(f"{what} that is computed")
    return int(found)
