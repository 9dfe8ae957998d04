"""Element-wise operations of what computes no multiply-accumulates, from the shapes of one execution."""

from __future__ import annotations

import math

from greengate.profiler.operations.formulas.kinds import Attributes, Formula, elements, told
from greengate.profiler.operations.trace import Executed, NotUnderstood


def per_output(each: int) -> Formula:
    """`each` operations per element of the first output."""
    return lambda node, _: each * elements(node)


def per_input(each: int, position: int = 0) -> Formula:
    """`each` operations per element of one input."""
    return lambda node, _: each * math.prod(node.input(position))


def variadic(node: Executed, _: Attributes) -> int:
    """One operation per output element and joined pair: n inputs are n - 1 pairs."""
    return elements(node) * max(len(node.inputs) - 1, 0)


def dropout(node: Executed, _: Attributes) -> int:
    """Nothing while it copies; one product per element while it trains (training_mode, input 2)."""
    return elements(node) if node.given(2) is not None else 0


def local_response(node: Executed, attributes: Attributes) -> int:
    """A square, a sum over `size` channels, then scale, offset, power and division: size + 4 per element."""
    return math.prod(node.input(0)) * (int(told(attributes)["size"]) + 4)


def pooling(node: Executed, attributes: Attributes) -> int:
    """One operation per output element and place of its window: numel(Y) x prod(kernel_shape)."""
    return elements(node) * int(math.prod(told(attributes)["kernel_shape"]))


def interpolation(node: Executed, attributes: Attributes) -> int:
    """Neighbours mixed into each output of GridSample: 1, 2 or 4 along each spatial dimension."""
    kept = told(attributes)
    along = {"nearest": 1, "cubic": 4, "bicubic": 4}.get(kept.get("mode", "linear"), 2)
    return elements(node) * int(along ** (len(node.output(0)) - 2))


def resizing(node: Executed, attributes: Attributes) -> int:
    """Neighbours mixed into each output of Resize: 2 (linear) or 4 (cubic) along each resized dimension; nearest: 0."""
    mode = told(attributes).get("mode", "nearest")
    if mode == "nearest":
        return 0
    resized = sum(old != new for old, new in zip(node.input(0), node.output(0), strict=True))
    return elements(node) * int((4 if mode == "cubic" else 2) ** resized) if resized else 0


def anchored(node: Executed, attributes: Attributes) -> int:
    """Neighbours mixed into each output of CropAndResize: 4 (bilinear), or 1."""
    return elements(node) * (1 if told(attributes).get("mode", "bilinear") == "nearest" else 4)


def regions(node: Executed, attributes: Attributes) -> int:
    """RoiAlign: sampling_ratio squared samples an output, each of 4 neighbours. Adaptive samples are values."""
    ratio = told(attributes).get("sampling_ratio", 0)
    if not ratio:
        raise NotUnderstood("regions whose sizes are values")
    return elements(node) * int(4 * ratio**2)


def unsettled(why: str) -> Formula:
    """Work that shapes do not tell; it leaves MACs as they are."""

    def formula(_: Executed, __: Attributes) -> int:
        raise NotUnderstood(why)

    return formula
