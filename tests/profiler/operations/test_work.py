"""Element-wise operations by hand; none of them is a multiply-accumulate."""

from __future__ import annotations

import pytest
from counted import MS, Attributes, ran

from greengate.profiler.operations.free import FREE
from greengate.profiler.operations.trace import NotUnderstood, Shape

IMAGE = (1, 3, 8, 8)  # 192 elements

CASES: list[tuple[str, str, list[Shape | None], Shape, Attributes, int]] = [
    ("", "Relu", [IMAGE], IMAGE, {}, 192),
    # 2x4 from a broadcast
    ("", "Add", [(2, 1), (4,)], (2, 4), {}, 8),
    ("", "Transpose", [IMAGE], IMAGE, {}, 0),
    ("", "If", [()], IMAGE, {}, 0),
    ("", "Cast", [IMAGE], IMAGE, {}, 0),
    ("", "DequantizeLinear", [IMAGE, ()], IMAGE, {}, 192),
    ("", "DynamicQuantizeLinear", [IMAGE], IMAGE, {}, 576),
    # every input is looked at once
    ("", "ReduceMean", [IMAGE], (1, 3), {}, 192),
    ("", "TopK", [(2, 50), (1,)], (2, 5), {}, 100),
    # boxes, scores: 2 classes x 10 boxes
    ("", "NonMaxSuppression", [(1, 10, 4), (1, 2, 10)], (3, 3), {}, 20),
    # n inputs are n - 1 pairs
    ("", "Sum", [(2, 3)] * 4, (2, 3), {}, 18),
    ("", "Max", [(2, 3)], (2, 3), {}, 0),
    ("", "Softmax", [(2, 10)], (2, 10), {}, 100),
    ("", "BatchNormalization", [IMAGE, (3,), (3,), (3,), (3,)], IMAGE, {}, 384),
    ("", "LayerNormalization", [(2, 10), (10,)], (2, 10), {}, 140),
    ("", "RMSNormalization", [(2, 10), (10,)], (2, 10), {}, 80),
    (MS, "SkipSimplifiedLayerNormalization", [(2, 10), (2, 10), (10,)], (2, 10), {}, 100),
    # a window of 5 channels
    ("", "LRN", [IMAGE], IMAGE, {"size": 5}, 192 * 9),
    # 3x4x4 outputs, each of a window of 2x3
    ("", "MaxPool", [IMAGE], (1, 3, 4, 4), {"kernel_shape": (2, 3)}, 288),
    (MS, "NhwcMaxPool", [(1, 8, 8, 3)], (1, 4, 4, 3), {"kernel_shape": (2, 2)}, 192),
    ("", "GlobalAveragePool", [IMAGE], (1, 3, 1, 1), {}, 192),
    # both sides grow: 4 neighbours each; one side: 2; cubic: 16; nearest copies
    ("", "Resize", [IMAGE], (1, 3, 16, 16), {"mode": "linear"}, 4 * 768),
    ("", "Resize", [IMAGE], (1, 3, 8, 16), {"mode": "linear"}, 2 * 384),
    ("", "Resize", [IMAGE], (1, 3, 16, 16), {"mode": "cubic"}, 16 * 768),
    ("", "Resize", [IMAGE], (1, 3, 16, 16), {}, 0),
    ("", "Resize", [IMAGE], IMAGE, {"mode": "linear"}, 0),
    ("", "GridSample", [IMAGE, (1, 4, 4, 2)], (1, 3, 4, 4), {"mode": "bilinear"}, 4 * 48),
    ("", "GridSample", [IMAGE, (1, 4, 4, 2)], (1, 3, 4, 4), {"mode": "bicubic"}, 16 * 48),
    ("", "GridSample", [IMAGE, (1, 4, 4, 2)], (1, 3, 4, 4), {"mode": "nearest"}, 48),
    # 2x2 samples an output, each of 4 neighbours: 5 regions x 3 x 2x2 outputs
    ("", "RoiAlign", [IMAGE, (5, 4), (5,)], (5, 3, 2, 2), {"sampling_ratio": 2}, 16 * 60),
    (MS, "CropAndResize", [IMAGE, (5, 4), (5,), (2,)], (5, 3, 2, 2), {}, 4 * 60),
    ("", "Dropout", [(2, 10)], (2, 10), {}, 0),
    ("", "Dropout", [(2, 10), (), ()], (2, 10), {}, 20),
    ("", "SwiGLU", [(2, 10), (2, 10)], (2, 10), {}, 40),
    ("", "RotaryEmbedding", [(1, 2, 4, 8), (4, 4), (4, 4)], (1, 2, 4, 8), {}, 192),
    ("ai.onnx.ml", "Scaler", [(4, 3)], (4, 3), {}, 24),
    ("ai.onnx.ml", "Normalizer", [(4, 3)], (4, 3), {}, 36),
    ("ai.onnx.ml", "LabelEncoder", [(4,)], (4,), {}, 0),
    ("com.microsoft.nchwc", "MaxPool", [IMAGE], (1, 3, 4, 4), {"kernel_shape": (2, 2)}, 192),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1])
def test_by_hand(case: tuple[str, str, list[Shape | None], Shape, Attributes, int]) -> None:
    domain, kind, inputs, output, attributes, expected = case
    assert FREE[domain, kind](ran(kind, inputs, output), attributes) == expected


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("MaxRoiPool", {}, "regions whose sizes are values"),
        ("RoiAlign", {}, "regions whose sizes are values"),
        ("MaxPool", None, "attributes that cannot be told"),
    ],
)
def test_what_shapes_do_not_tell_is_not_guessed(kind: str, attributes: Attributes | None, words: str) -> None:
    with pytest.raises(NotUnderstood, match=words):
        FREE["", kind](ran(kind, [IMAGE], IMAGE), attributes)


def test_every_row_of_the_table_can_be_applied() -> None:
    """No row fails in another way than by saying what it lacks."""
    for (_, kind), work in FREE.items():
        try:
            assert work(ran(kind, [IMAGE, IMAGE], IMAGE), {"kernel_shape": (2, 2), "size": 3, "nodes_treeids": ()}) >= 0
        except (NotUnderstood, KeyError):
            assert "Tree" in kind or kind in ("MaxRoiPool", "RoiAlign")
