"""Convolutions. Padding, and products that fall on cropped borders, are counted as the zeros they multiply."""

from __future__ import annotations

import math

from greengate.profiler.operations.formulas.kinds import Attributes, Formula, elements
from greengate.profiler.operations.trace import Executed


def convolution(weight: int) -> Formula:
    """MACs of a convolution whose weight [M, C/groups, k...] stands at `weight` among the inputs.

    Each output element sums C/groups x prod(k) products: numel(Y) x C/groups x prod(k). ONNX operators Conv,
    ConvInteger, QLinearConv, CausalConvWithState (W [C, 1, k]); com.microsoft FusedConv, NhwcFusedConv, NhwcConv,
    whose weights keep this order. In com.microsoft.nchwc channels are padded to blocks, and counted as they run.
    """

    def formula(node: Executed, _: Attributes) -> int:
        return elements(node) * math.prod(node.input(weight)[1:])

    return formula


def transposed_convolution(node: Executed, _: Attributes) -> int:
    """MACs of ConvTranspose with X [N, C, d...] and W [C, M/groups, k...].

    Each input element is multiplied into M/groups x prod(k) outputs: numel(X) x M/groups x prod(k); products that
    fall on cropped padding are counted. ONNX operator ConvTranspose.
    """
    return math.prod(node.input(0)) * math.prod(node.input(1)[1:])


def beside_convolution(bias: int, requantised: bool = False) -> Formula:
    """One addition per output element for a bias, one for a summand, one operation for a fused activation.

    A `requantised` output takes one more: its scale. ONNX Conv; com.microsoft FusedConv, NhwcFusedConv (summand Z).
    """

    def formula(node: Executed, attributes: Attributes) -> int:
        fused = attributes is not None and bool(attributes.get("activation"))
        summand = not requantised and node.given(3) is not None
        return elements(node) * ((node.given(bias) is not None) + requantised + fused + summand)

    return formula


def beside_deformed(node: Executed, _: Attributes) -> int:
    """Element-wise work of DeformConv: sampling, mask and bias.

    Each of N x C x prod(k) x prod(output size) samples mixes 4 neighbours, and is multiplied by the mask (input 4)
    where there is one; the bias (input 3) is added once per output element.
    """
    batch, channels = node.input(0)[:2]
    kernel, places = math.prod(node.input(1)[2:]), math.prod(node.output(0)[2:])
    samples = batch * channels * kernel * places
    masked = node.given(4) is not None
    return samples * (4 + masked) + (elements(node) if node.given(3) is not None else 0)
