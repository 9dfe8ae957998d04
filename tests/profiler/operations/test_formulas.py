"""Every formula against arithmetic by hand, from shapes alone; test_formulas_run does it on what really runs."""

from __future__ import annotations

import inspect
import math

import pytest
from counted import MS, Attributes, ran
from hypothesis import given, settings
from hypothesis import strategies as st

from greengate.profiler.operations.formulas import (
    BESIDE,
    FORMULAS,
    QUANTISED,
    attention,
    classic,
    convolutions,
    experts,
    product,
    recurrence,
    summation,
    transforms,
)
from greengate.profiler.operations.free import FREE
from greengate.profiler.operations.trace import Executed, NotUnderstood, Shape

ML, NCHWC, NHWC = "ai.onnx.ml", "com.microsoft.nchwc", "com.ms.internal.nhwc"
Key = tuple[str, str]
Case = tuple[Key, list[Shape | None], list[Shape], Attributes, int, int]

X, W = (1, 3, 8, 8), (8, 3, 3, 3)
CONV = 7776  # Y is 1x8x6x6: 288 elements, each of 3 channels x 3x3: 288 x 27
Q: list[Shape | None] = [(), ()]  # a scale and a zero point
#: A query of 2 sequences of 5 tokens of 12 features in 3 heads, and keys of 7 tokens.
QUERY, KEYS = (2, 5, 12), (2, 7, 12)
HEADS = {"num_heads": 3}
#: Scores of 2 sequences, 3 heads, 5 queries by 7 keys: 210; a scale and a softmax are 6 operations each.
SCORES = 210

#: Operator, input shapes, output shapes, attributes, MACs, element-wise operations.
CASES: dict[str, Case] = {
    # ---- convolutions -------------------------------------------------------------------------
    "Conv": (("", "Conv"), [X, W], [(1, 8, 6, 6)], {}, CONV, 0),
    "Conv, bias": (("", "Conv"), [X, W, (8,)], [(1, 8, 6, 6)], {}, CONV, 288),
    # 4 groups of 1 channel: 144 outputs x 9
    "Conv, depthwise": (("", "Conv"), [(1, 4, 8, 8), (4, 1, 3, 3)], [(1, 4, 6, 6)], {"group": 4}, 1296, 0),
    "ConvInteger": (("", "ConvInteger"), [X, W], [(1, 8, 6, 6)], {}, CONV, 0),
    # scale of the output, and a bias
    "QLinearConv": (("", "QLinearConv"), [X, *Q, W, *Q, *Q, (8,)], [(1, 8, 6, 6)], {}, CONV, 576),
    "QLinearConv, no bias": ((MS, "QLinearConv"), [X, *Q, W, *Q, *Q], [(1, 8, 6, 6)], {}, CONV, 288),
    "QLinearConv, inner": ((NHWC, "QLinearConv"), [X, *Q, W, *Q, *Q], [(1, 6, 6, 8)], {}, CONV, 288),
    # bias, activation and a summand: 3 operations an output
    "FusedConv": ((MS, "FusedConv"), [X, W, (8,), (1, 8, 6, 6)], [(1, 8, 6, 6)], {"activation": "Relu"}, CONV, 864),
    "NhwcFusedConv": ((MS, "NhwcFusedConv"), [(1, 8, 8, 3), W], [(1, 6, 6, 8)], {"activation": "Relu"}, CONV, 288),
    "NhwcConv": ((MS, "NhwcConv"), [(1, 8, 8, 3), W, (8,)], [(1, 6, 6, 8)], {}, CONV, 288),
    "Conv, nhwc": ((NHWC, "Conv"), [(1, 8, 8, 3), W], [(1, 6, 6, 8)], {}, CONV, 0),
    # 8 channels are one block: nothing is padded
    "Conv, nchwc": ((NCHWC, "Conv"), [X, W], [(1, 8, 6, 6)], {}, CONV, 0),
    # 3 channels of length 9, kernel 4: 27 outputs x 4
    "CausalConvWithState": (("", "CausalConvWithState"), [(1, 3, 9), (3, 1, 4)], [(1, 3, 9)], {}, 108, 0),
    "CausalConvWithState, contrib": ((MS, "CausalConvWithState"), [(1, 3, 9), (3, 1, 4)], [(1, 3, 9)], {}, 108, 0),
    # MACs as Conv; 1x3x3x3 x 36 places = 972 samples of 4 neighbours and a mask: 4860, and a bias: 288
    "DeformConv": (
        ("", "DeformConv"),
        [X, W, (1, 18, 6, 6), (8,), (1, 9, 6, 6)],
        [(1, 8, 6, 6)],
        {},
        CONV,
        5148,
    ),
    # 48 inputs, each into 5 channels x 2x2: 960; the bias meets 1x5x8x8 outputs
    "ConvTranspose": (("", "ConvTranspose"), [(1, 3, 4, 4), (3, 5, 2, 2), (5,)], [(1, 5, 8, 8)], {}, 960, 320),
    "ConvTranspose, nhwc": ((NHWC, "ConvTranspose"), [(1, 4, 4, 3), (3, 5, 2, 2)], [(1, 8, 8, 5)], {}, 960, 0),
    "ConvTransposeWithDynamicPads": (
        (MS, "ConvTransposeWithDynamicPads"),
        [(1, 3, 4, 4), (3, 5, 2, 2), (4,), (5,)],
        [(1, 5, 8, 8)],
        {},
        960,
        320,
    ),
    # ---- products: 2x5 outputs, K = 3 ----------------------------------------------------------
    "MatMul": (("", "MatMul"), [(2, 3), (3, 5)], [(2, 5)], {}, 30, 0),
    "MatMul, prepacked": (("", "MatMul"), [(2, 3)], [(2, 5)], {}, 30, 0),
    "MatMulInteger": (("", "MatMulInteger"), [(2, 3), (3, 5)], [(2, 5)], {}, 30, 0),
    "MatMulInteger16": ((MS, "MatMulInteger16"), [(2, 3), (3, 5)], [(2, 5)], {}, 30, 0),
    "QLinearMatMul": (("", "QLinearMatMul"), [(2, 3), *Q, (3, 5), *Q, *Q], [(2, 5)], {}, 30, 10),
    # A is quantised, 3 x 6; the output scaled, 10; the bias added, 10
    "DynamicQuantizeMatMul": (
        (MS, "DynamicQuantizeMatMul"),
        [(2, 3), (3, 5), (), (), (5,)],
        [(2, 5)],
        {},
        30,
        38,
    ),
    "MatMulIntegerToFloat": ((MS, "MatMulIntegerToFloat"), [(2, 3), (3, 5), *Q, *Q], [(2, 5)], {}, 30, 10),
    # 64 x 16 weights are packed in bytes: only A tells K. 4x16 outputs, K = 64; 1024 weights restored, 64 biases
    "MatMulNBits": (
        (MS, "MatMulNBits"),
        [(4, 64), (16, 2, 16), (32,), None, None, (16,)],
        [(4, 16)],
        {"K": 64, "N": 16, "bits": 4},
        4096,
        1088,
    ),
    "MatMulBnb4": ((MS, "MatMulBnb4"), [(4, 64), (512,), (16,)], [(4, 16)], {}, 4096, 1024),
    "MatMulFpQ4": ((MS, "MatMulFpQ4"), [(4, 64), (640,), (2,)], [(4, 16)], {}, 4096, 1024),
    # stored [K, M]: 2x4x5 outputs, K = 3
    "FusedMatMul": ((MS, "FusedMatMul"), [(2, 3, 4), (2, 3, 5)], [(2, 4, 5)], {"transA": 1}, 120, 0),
    # stored [K=4, batch=3, M=2]: 3x2x5 outputs, K = 4
    "FusedMatMul, batch": (
        (MS, "FusedMatMul"),
        [(4, 3, 2), (3, 4, 5)],
        [(3, 2, 5)],
        {"transA": 1, "transBatchA": 1},
        120,
        0,
    ),
    # a vector has nothing to transpose: 5 outputs, K = 3
    "FusedMatMul, vector": ((MS, "FusedMatMul"), [(3,), (3, 5)], [(5,)], {"transA": 1}, 15, 0),
    "FusedMatMulActivation": ((MS, "FusedMatMulActivation"), [(2, 3), (3, 5)], [(2, 5)], {}, 30, 10),
    "TransposeMatMul": ((MS, "TransposeMatMul"), [(3, 2), (3, 5)], [(2, 5)], {"transA": 1}, 30, 0),
    "Gemm": (("", "Gemm"), [(3, 2), (5, 3), (5,)], [(2, 5)], {"transA": 1, "transB": 1}, 30, 10),
    "FusedGemm": ((MS, "FusedGemm"), [(2, 3), (3, 5), (5,)], [(2, 5)], {"activation": "Relu"}, 30, 20),
    "QGemm": ((MS, "QGemm"), [(2, 3), *Q, (3, 5), *Q, (5,), *Q], [(2, 5)], {}, 30, 20),
    "GemmFastGelu": ((MS, "GemmFastGelu"), [(2, 3), (3, 5)], [(2, 5)], {}, 30, 0),
    # 2x6x7x2 outputs, each [x, y, 1] times a column of theta: 168 x 3
    "AffineGrid": (("", "AffineGrid"), [(2, 2, 3), (4,)], [(2, 6, 7, 2)], {}, 504, 0),
    # 2 x 4 distances of 3 squared differences
    "CDist": ((MS, "CDist"), [(2, 3), (4, 3)], [(2, 4)], {"metric": "sqeuclidean"}, 24, 0),
    # 5 matrices of 4x4, eliminated in blocks of 3x3, 2x2 and 1x1: 5 x (9 + 4 + 1)
    "Det": (("", "Det"), [(5, 4, 4)], [(5,)], {}, 70, 0),
    "Inverse": ((MS, "Inverse"), [(5, 4, 4)], [(5, 4, 4)], {}, 320, 0),
    # ---- einsum --------------------------------------------------------------------------------
    # b=2 i=3 j=4 k=5: every b i k sums j
    "Einsum": (("", "Einsum"), [(2, 3, 4), (2, 4, 5)], [(2, 3, 5)], {"equation": "bij, bjk -> bik"}, 120, 0),
    "Einsum, implicit": (("", "Einsum"), [(3, 4), (4, 5)], [(3, 5)], {"equation": "ij,jk"}, 60, 0),
    # k is summed first, 20 additions; then 3x4
    "Einsum, summed first": (("", "Einsum"), [(3, 4), (4, 5)], [(3,)], {"equation": "ij,jk->i"}, 12, 20),
    "Einsum, outer": (("", "Einsum"), [(3,), (4,)], [(3, 4)], {"equation": "i,j->ij"}, 0, 12),
    "Einsum, transposed": (("", "Einsum"), [(3, 4)], [(4, 3)], {"equation": "ij->ji"}, 0, 0),
    "Einsum, summed": (("", "Einsum"), [(3, 4)], [(3,)], {"equation": "ij->i"}, 0, 12),
    # the diagonal of 3x3 is 3 numbers; times 3x4, summed over i: 12
    "Einsum, diagonal": (("", "Einsum"), [(3, 3), (3, 4)], [(4,)], {"equation": "ii,ij->j"}, 12, 0),
    # ... stands for [2, 6] and broadcasts [6]: 2x6 x 3x4x5
    "Einsum, ellipsis": (
        ("", "Einsum"),
        [(2, 6, 3, 4), (6, 4, 5)],
        [(2, 6, 3, 5)],
        {"equation": "...ij,...jk->...ik"},
        720,
        0,
    ),
    "Einsum, ellipsis implicit": (("", "Einsum"), [(2, 3, 4), (4, 5)], [(2, 3, 5)], {"equation": "...ij,jk"}, 120, 0),
    # from left to right: ij,jk is 3x4x5 = 60, then ik,kl is 3x5x2 = 30
    "Einsum, three": (("", "Einsum"), [(3, 4), (4, 5), (5, 2)], [(3, 2)], {"equation": "ij,jk,kl->il"}, 90, 0),
    # a dimension of 1 broadcasts to 4: 3x4x5
    "Einsum, broadcast": (("", "Einsum"), [(3, 1), (4, 5)], [(3, 5)], {"equation": "ij,jk->ik"}, 60, 0),
    # ---- recurrent: T=5, N=2, I=3, H=4, 10 steps -----------------------------------------------
    # 4 gates: 10 x (16x3 + 16x4); per unit 4 gates x (add, function) + 5: 10 x 4 x 13
    "LSTM": (("", "LSTM"), [(5, 2, 3), (1, 16, 3), (1, 16, 4)], [(5, 1, 2, 4)], {}, 1120, 520),
    # two directions, with a bias: 10 x 2 x 4 x (4x3 + 5)
    "LSTM, both ways": (
        ("", "LSTM"),
        [(5, 2, 3), (2, 16, 3), (2, 16, 4), (2, 32)],
        [(5, 2, 2, 4)],
        {},
        2240,
        1360,
    ),
    # peepholes multiply and add 3 times: 10 x 4 x (13 + 6)
    "LSTM, peepholes": (
        ("", "LSTM"),
        [(5, 2, 3), (1, 16, 3), (1, 16, 4), None, None, None, None, (1, 12)],
        [(5, 1, 2, 4)],
        {},
        1120,
        760,
    ),
    # W is [D, I, 4H]. Per unit also 2 scales a gate and 3 for h: 10 x 4 x (13 + 11); x is quantised: 3 x 30
    "DynamicQuantizeLSTM": (
        (MS, "DynamicQuantizeLSTM"),
        [(5, 2, 3), (1, 3, 16), (1, 4, 16)],
        [(5, 1, 2, 4)],
        {},
        1120,
        1050,
    ),
    # 3 gates: 10 x (12x3 + 12x4); 10 x 4 x (3x2 + 5)
    "GRU": (("", "GRU"), [(5, 2, 3), (1, 12, 3), (1, 12, 4)], [(5, 1, 2, 4)], {}, 840, 440),
    # 1 gate: 10 x (4x3 + 4x4); 10 x 4 x 2
    "RNN": (("", "RNN"), [(5, 2, 3), (1, 4, 3), (1, 4, 4)], [(5, 1, 2, 4)], {}, 280, 80),
    # d_k = 12/3 = 4, d_v = 16/2 = 8, B T = 10: 10 x 32 x (2 + 3); outputs scaled: 240
    "LinearAttention": (
        ("", "LinearAttention"),
        [QUERY, (2, 5, 8), (2, 5, 16)],
        [(2, 5, 24)],
        {"q_num_heads": 3, "kv_num_heads": 2, "update_rule": "linear"},
        1600,
        240,
    ),
    # the delta rule reads each state once more: 10 x 32 x (2x2 + 3); the decay: 10 x 32 x 2
    "LinearAttention, gated delta": (
        (MS, "LinearAttention"),
        [QUERY, (2, 5, 8), (2, 5, 16)],
        [(2, 5, 24)],
        {"q_num_heads": 3, "kv_num_heads": 2},
        2240,
        880,
    ),
    # ---- attention: 7 keys x (120 elements of q + 120 of y) = 1680 ------------------------------
    "Attention, flat": (
        ("", "Attention"),
        [QUERY, KEYS, KEYS],
        [QUERY],
        {"q_num_heads": 3, "kv_num_heads": 3},
        1680,
        6 * SCORES,
    ),
    # by heads, with a mask
    "Attention, heads": (
        ("", "Attention"),
        [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4), (5, 7)],
        [(2, 3, 5, 4)],
        {},
        1680,
        7 * SCORES,
    ),
    # 4 past keys and 3 new ones are 7; v has 6 features a head: 7 x (120 + 180)
    "Attention, past": (
        ("", "Attention"),
        [(2, 3, 5, 4), (2, 3, 3, 4), (2, 3, 3, 6), None, (2, 3, 4, 4), (2, 3, 4, 6)],
        [(2, 3, 5, 6)],
        {},
        2100,
        6 * SCORES,
    ),
    # one head of keys serves three of queries: as many scores
    "Attention, grouped": (
        ("", "Attention"),
        [(2, 3, 5, 4), (2, 1, 7, 4), (2, 1, 7, 4)],
        [(2, 3, 5, 4)],
        {},
        1680,
        6 * SCORES,
    ),
    # 5 tokens through 2 of 4 experts of 16x8 and 8x16 weights: 5 x 2 x 256; softmax 5x5x4, and 10 x (16 + 16 + 8 + 16)
    "MoE": (
        (MS, "MoE"),
        [(5, 8), (5, 4), (4, 16, 8), (4, 16), (4, 8, 16), (4, 8)],
        [(5, 8)],
        {"k": 2},
        2560,
        100 + 10 * 56,
    ),
    # the gate inside W1, which is twice as wide; batches of 2 x 5 through one expert: 10 x (256 + 128)
    "MoE, gate inside": (
        (MS, "MoE"),
        [(2, 5, 8), (10, 4), (4, 32, 8), None, (4, 8, 16)],
        [(2, 5, 8)],
        {},
        3840,
        200 + 10 * (32 + 16),
    ),
    # the gate as W3: the same
    "MoE, gate": (
        (MS, "MoE"),
        [(2, 5, 8), (10, 4), (4, 16, 8), None, (4, 8, 16), None, (4, 16, 8)],
        [(2, 5, 8)],
        {},
        3840,
        200 + 10 * (32 + 16),
    ),
    # the same by heads: 7 keys x (120 + 120)
    "FlexAttention": (
        ("ai.onnx.preview", "FlexAttention"),
        [(2, 3, 5, 4), (2, 1, 7, 4), (2, 1, 7, 4)],
        [(2, 3, 5, 4)],
        {},
        1680,
        6 * SCORES,
    ),
    # 10 tokens x 8x36 weights = 2880; 5 keys x (120 + 120) = 1200; 360 biases, 150 scores x 6
    "com.microsoft Attention": (
        (MS, "Attention"),
        [(2, 5, 8), (8, 36), (36,)],
        [QUERY],
        HEADS,
        4080,
        360 + 900,
    ),
    # q and k of 6, v of 12 features: 10 x 8x24 = 1920; (5 + 2) x (60 + 120) = 1260; 240 biases, 210 scores x 7
    "com.microsoft Attention, past": (
        (MS, "Attention"),
        [(2, 5, 8), (8, 24), (24,), (2, 5), (2, 2, 3, 2, 4)],
        [QUERY],
        HEADS | {"qkv_hidden_sizes": (6, 6, 12)},
        3180,
        240 + 7 * SCORES,
    ),
    "QAttention": (
        (MS, "QAttention"),
        [(2, 5, 8), (8, 36), (36,), (), (), None, (), (), (2, 2, 3, 2, 4)],
        [QUERY],
        HEADS,
        2880 + 1680,
        360 + 6 * SCORES,
    ),
    "MultiHeadAttention": ((MS, "MultiHeadAttention"), [QUERY, KEYS, KEYS], [QUERY], HEADS, 1680, 6 * SCORES),
    # q, k and v in one: 5 keys x (120 + 120); 360 biases, 150 scores x 6
    "MultiHeadAttention, packed": (
        (MS, "MultiHeadAttention"),
        [(2, 5, 3, 3, 4), None, None, (36,)],
        [QUERY],
        HEADS,
        1200,
        360 + 900,
    ),
    "MultiHeadAttention, packed keys": (
        (MS, "MultiHeadAttention"),
        [QUERY, (2, 7, 3, 2, 4)],
        [QUERY],
        HEADS,
        1680,
        6 * SCORES,
    ),
    "MultiHeadAttention, cross": (
        (MS, "MultiHeadAttention"),
        [QUERY, (2, 3, 7, 4), (2, 3, 7, 4)],
        [QUERY],
        HEADS,
        1680,
        6 * SCORES,
    ),
    # 4 past keys and 3 new ones
    "MultiHeadAttention, past": (
        (MS, "MultiHeadAttention"),
        [QUERY, (2, 3, 12), (2, 3, 12), None, None, None, (2, 3, 4, 4), (2, 3, 4, 4)],
        [QUERY],
        HEADS,
        1680,
        6 * SCORES,
    ),
    # the present cache holds 2 past and 5 new keys
    "GroupQueryAttention": (
        (MS, "GroupQueryAttention"),
        [QUERY, (2, 5, 4), (2, 5, 4), (2, 1, 2, 4), (2, 1, 2, 4), (2,), ()],
        [QUERY, (2, 1, 7, 4), (2, 1, 7, 4)],
        HEADS | {"kv_num_heads": 1},
        1680,
        6 * SCORES,
    ),
    # q, k and v in one, [12 + 2 x 4]; no cache before: 5 keys
    "GroupQueryAttention, packed": (
        (MS, "GroupQueryAttention"),
        [(2, 5, 20), None, None, (2, 1, 0, 4), (2, 1, 0, 4), (2,), ()],
        [QUERY, (2, 1, 5, 4), (2, 1, 5, 4)],
        HEADS | {"kv_num_heads": 1},
        1200,
        900,
    ),
    # 10 tokens of 2 full sequences of 5: as com.microsoft Attention
    "PackedAttention": (
        (MS, "PackedAttention"),
        [(10, 8), (8, 36), (36,), (2, 5), (3,)],
        [(10, 12)],
        HEADS,
        4080,
        360 + 900,
    ),
    "PackedMultiHeadAttention": (
        (MS, "PackedMultiHeadAttention"),
        [(10, 3, 3, 4), None, None, None, (2, 5), (3,)],
        [(10, 12)],
        HEADS,
        1200,
        900,
    ),
    # one query each, 6 keys before it: 7 x (24 + 24); 2x3x7 scores
    "DecoderMaskedMultiHeadAttention": (
        (MS, "DecoderMaskedMultiHeadAttention"),
        [(2, 1, 12), (2, 1, 12), (2, 1, 12), None, None, (2, 3, 6, 4), (2, 3, 6, 4)],
        [(2, 1, 12)],
        HEADS,
        336,
        252,
    ),
    "DecoderMaskedMultiHeadAttention, cross": (
        (MS, "DecoderMaskedMultiHeadAttention"),
        [(2, 1, 12), (2, 3, 7, 4), (2, 3, 7, 4)],
        [(2, 1, 12)],
        HEADS,
        336,
        252,
    ),
    # ---- Fourier -------------------------------------------------------------------------------
    # 3 transforms of 8: 2 x 8 x 3 each
    "DFT": (("", "DFT"), [(3, 8, 1)], [(3, 8, 2)], {"axis": 1, "opset": 17}, 144, 0),
    # the axis is input 2 and the length input 1; 3 x 5 transforms of 4, 2 x 4 x 2 each
    "DFT, axis and length": (
        ("", "DFT"),
        [(3, 9, 5, 1), (), ()],
        [(3, 3, 5, 2)],
        {"input 2": 1, "input 1": 4, "onesided": 1},
        240,
        0,
    ),
    # the last but one is the default: 3 x 9 transforms of 8
    "DFT, default": (("", "DFT"), [(3, 9, 8, 1)], [(3, 9, 8, 2)], {"opset": 20}, 27 * 48, 0),
    # 4 frames of 2 signals, windows of 16: 8 x 2 x 16 x 4; 8 x 16 window products
    "STFT": (("", "STFT"), [(2, 64, 1), (), (16,)], [(2, 4, 9, 2)], {}, 1024, 128),
    "STFT, no window": (
        ("", "STFT"),
        [(2, 64, 1), (), None, ()],
        [(2, 4, 9, 2)],
        {"input 3": 16},
        1024,
        0,
    ),
    "STFT, both sides": (("", "STFT"), [(2, 64, 2), ()], [(2, 4, 16, 2)], {"onesided": 0}, 1024, 0),
    # ---- classic models: 4 items of 3 features -------------------------------------------------
    # 2 targets: 4 x 2x3; 2 intercepts each
    "LinearRegressor": (
        (ML, "LinearRegressor"),
        [(4, 3)],
        [(4, 2)],
        {"coefficients": (1.0,) * 6, "intercepts": (0.0, 0.0)},
        24,
        8,
    ),
    # and 2 scores transformed
    "LinearClassifier": (
        (ML, "LinearClassifier"),
        [(4, 3)],
        [(4,), (4, 2)],
        {"coefficients": (1.0,) * 6, "intercepts": (0.0, 0.0), "post_transform": "SOFTMAX"},
        24,
        16,
    ),
    # 5 support vectors: 4 x 5 x (3 + 1); 5 kernels and a rho each
    "SVMRegressor": (
        (ML, "SVMRegressor"),
        [(4, 3)],
        [(4, 1)],
        {"n_supports": 5, "kernel_type": "RBF", "rho": (0.0,)},
        80,
        24,
    ),
    "SVMRegressor, linear": ((ML, "SVMRegressor"), [(4, 3)], [(4, 1)], {"rho": (0.0,)}, 12, 4),
    # 3 classes of 2, 2 and 1 vectors: 4 x 5 x (3 + 2); 3 rhos
    "SVMClassifier": (
        (ML, "SVMClassifier"),
        [(4, 3)],
        [(4,), (4, 3)],
        {"vectors_per_class": (2, 2, 1), "rho": (0.0,) * 3},
        100,
        12,
    ),
    "SVMClassifier, linear": (
        (ML, "SVMClassifier"),
        [(4, 3)],
        [(4,), (4, 2)],
        {"coefficients": (1.0,) * 6},
        24,
        0,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str) -> None:
    key, inputs, outputs, attributes, macs, beside = CASES[name]
    node = ran(key[1], inputs, *outputs)
    assert FORMULAS[key](node, attributes) == macs
    assert BESIDE[key](node, attributes) == beside


def test_every_formula_has_a_case() -> None:
    assert {case[0] for case in CASES.values()} | {(MS, "QMoE")} == set(FORMULAS) == set(BESIDE)
    assert not set(FREE) & set(FORMULAS)


def test_every_formula_is_documented() -> None:
    modules = (attention, classic, convolutions, experts, product, recurrence, summation, transforms)
    for module in modules:
        for name, item in inspect.getmembers(module, inspect.isfunction):
            assert name.startswith("_") or item.__doc__, f"{module.__name__}.{name}"


# --- what is not understood ---------------------------------------------------------------------

#: Experts of 32 x 32 and 32 x 32 weights, two of which share a byte.
QMOE: list[Shape | None] = [(5, 32), (5, 4), (4, 32, 16), (4, 32), None, (4, 32, 16), (4, 32)]


@pytest.mark.parametrize(("bits", "width"), [(4, 16), (8, 32), (2, 8)])
def test_experts_of_few_bits_multiply_what_they_hold(bits: int, width: int) -> None:
    inputs = [(*shape[:2], width) if shape and len(shape) == 3 else shape for shape in QMOE]
    node = ran("QMoE", inputs, (5, 32))
    assert FORMULAS[MS, "QMoE"](node, {"k": 2, "expert_weight_bits": bits}) == 5 * 2 * 2 * 32 * 32
    assert (MS, "QMoE") not in QUANTISED
    with pytest.raises(NotUnderstood, match="experts whose weights"):
        BESIDE[MS, "QMoE"](node, {"k": 2})


REFUSED: list[tuple[Key, list[Shape | None], list[Shape], Attributes | None, str]] = [
    (("", "MatMul"), [(), (3,)], [(3,)], {}, "a scalar operand"),
    ((MS, "FusedMatMul"), [(2, 3), (3, 5)], [(2, 5)], None, "attributes that cannot be told"),
    (("", "Einsum"), [(3, 4)], [(3,)], {}, "an equation that cannot be told"),
    (("", "Einsum"), [(3, 4)], [(3,)], {"equation": "ij,jk->ik"}, "for 1 operands"),
    (("", "Einsum"), [(3, 4, 5)], [(3,)], {"equation": "ij->i"}, "the equation 'ij->i'"),
    (("", "Einsum"), [(1,) * 12], [(1,)], {"equation": "...i->i"}, "the equation"),
    ((MS, "Attention"), [(2, 5, 8), (8, 36)], [QUERY], {"past_present_share_buffer": 1}, "a shared cache"),
    ((MS, "MultiHeadAttention"), [QUERY, KEYS, KEYS, *[None] * 5, ()], [QUERY], HEADS, "a shared cache"),
    (
        (MS, "GroupQueryAttention"),
        [QUERY, (2, 5, 4), (2, 5, 4), (2, 1, 64, 4), (2, 1, 64, 4), (2,), ()],
        [QUERY, (2, 1, 64, 4)],
        HEADS,
        "a shared cache",
    ),
    ((MS, "PackedAttention"), [(9, 8), (8, 36), (36,), (2, 5)], [(9, 12)], HEADS, "padded sequences"),
    (
        (MS, "DecoderMaskedMultiHeadAttention"),
        [(2, 1, 12), (2, 1, 12), (2, 1, 12), None, None, (2, 3, 6, 4)],
        [(2, 1, 12)],
        {"past_present_share_buffer": 1},
        "a shared cache",
    ),
    (("", "LinearAttention"), [QUERY, QUERY, QUERY], [QUERY], {}, "heads that cannot be told"),
    (("", "DFT"), [(3, 8, 1), None, ()], [(3, 8, 2)], {}, "an axis that is computed"),
    (("", "DFT"), [(3, 9, 1), ()], [(3, 5, 2)], {"onesided": 1, "axis": 1}, "a length that is computed"),
    (("", "STFT"), [(2, 64, 1), (), None, ()], [(2, 4, 9, 2)], {}, "a frame length that is computed"),
    (("", "Conv"), [X], [(1, 8, 6, 6)], {}, "no shape of input 1"),
    (("", "LSTM"), [(5, 2, 3), (1, 16, 3), None], [(5, 1, 2, 4)], {}, "no shape of input 2"),
]


@pytest.mark.parametrize(("key", "inputs", "outputs", "attributes", "words"), REFUSED)
def test_what_shapes_do_not_tell_is_not_guessed(
    key: Key, inputs: list[Shape | None], outputs: list[Shape], attributes: Attributes | None, words: str
) -> None:
    with pytest.raises(NotUnderstood, match=words):
        FORMULAS[key](ran(key[1], inputs, *outputs), attributes)


# --- Fourier and trees --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "macs"),
    [
        (1, 0),
        (2, 4),  # one butterfly: 4
        (4, 16),  # 2 stages of 2 butterflies: 4 x 4
        (1024, 20480),  # 10 stages of 512 butterflies: 5120 x 4
        # 3: chirps of 2x3 - 1 = 5, padded to 8: three transforms of 48, 8 + 6 complex products of 4
        (3, 3 * 48 + 4 * 14),
        # 400: padded to 1024: three transforms of 20480, 1024 + 800 complex products
        (400, 3 * 20480 + 4 * 1824),
    ],
)
def test_transforms_by_hand(length: int, macs: int) -> None:
    assert transforms.transform(length) == macs


TREES = {
    # tree 0: a root whose false side is a second comparison: depth 2. tree 1: one leaf: depth 0.
    "nodes_treeids": (0, 0, 0, 0, 0, 1),
    "nodes_nodeids": (0, 1, 2, 3, 4, 0),
    "nodes_modes": ("BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"),
    "nodes_truenodeids": (1, 0, 3, 0, 0, 0),
    "nodes_falsenodeids": (2, 0, 4, 0, 0, 0),
}


def test_trees_compare_along_their_longest_path() -> None:
    node = ran("TreeEnsembleRegressor", [(7, 3)], (7, 1))
    assert FREE[ML, "TreeEnsembleRegressor"](node, TREES) == 7 * ((2 + 1) + (0 + 1))
    assert FREE[ML, "TreeEnsembleClassifier"](ran("", [(3,)], (1,)), TREES) == 4
    indexed = {
        "tree_roots": (0,),
        "nodes_truenodeids": (0, 1),
        "nodes_trueleafs": (1, 1),
        "nodes_falsenodeids": (1, 2),
        "nodes_falseleafs": (0, 1),
    }
    assert FREE[ML, "TreeEnsemble"](node, indexed) == 7 * (2 + 1)
    circle = indexed | {"nodes_trueleafs": (1, 0), "nodes_truenodeids": (0, 0)}
    with pytest.raises(NotUnderstood, match="circle"):
        FREE[ML, "TreeEnsemble"](node, circle)


# --- properties ---------------------------------------------------------------------------------

size = st.integers(1, 5)
lists = st.lists(size, min_size=1, max_size=4).map(tuple)


#: Cases whose items stand first in these inputs, and in every output; all else are weights.
BATCHED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv, bias", "QLinearConv", "DeformConv", "ConvTranspose", "CausalConvWithState"), (0,)),
    **dict.fromkeys(
        ("MatMul", "MatMulNBits", "DynamicQuantizeMatMul", "QGemm", "FusedGemm", "Det", "AffineGrid"), (0,)
    ),
    **dict.fromkeys(("DFT", "STFT", "LinearRegressor", "SVMClassifier", "com.microsoft Attention"), (0,)),
    "com.microsoft Attention, past": (0, 3),
    "Einsum": (0, 1),
    "LinearAttention": (0, 1, 2),
    "Attention, flat": (0, 1, 2),
    "Attention, past": (0, 1, 2, 4, 5),
    "MultiHeadAttention, past": (0, 1, 2, 6, 7),
    "GroupQueryAttention": (0, 1, 2, 3, 4, 5),
    "DecoderMaskedMultiHeadAttention": (0, 1, 2, 5, 6),
}


@settings(max_examples=60, deadline=None)
@given(scale=st.integers(2, 9), name=st.sampled_from(sorted(BATCHED)))
def test_macs_scale_with_the_batch(scale: int, name: str) -> None:
    key, inputs, outputs, attributes, macs, _ = CASES[name]

    def grown(shape: Shape) -> Shape:
        return (shape[0] * scale, *shape[1:])

    many = [grown(shape) if shape and at in BATCHED[name] else shape for at, shape in enumerate(inputs)]
    assert FORMULAS[key](ran(key[1], many, *map(grown, outputs)), attributes) == scale * macs


@settings(max_examples=40, deadline=None)
@given(groups=size, channels=size, filters=size, kernel=lists, batch=size)
def test_convolutions_scale(groups: int, channels: int, filters: int, kernel: Shape, batch: int) -> None:
    def conv(groups: int, channels: int, filters: int, batch: int) -> int:
        image = tuple(7 for _ in kernel)
        inputs: list[Shape | None] = [(batch, groups * channels, *image), (groups * filters, channels, *kernel)]
        return FORMULAS["", "Conv"](ran("Conv", inputs, (batch, groups * filters, *image)), {})

    whole = conv(groups, channels, filters, batch)
    assert whole == conv(1, channels, filters, 1) * batch * groups
    assert conv(1, groups * channels, groups * filters, batch) == groups * whole  # groups save their number
    assert conv(groups, 2 * channels, filters, batch) == 2 * whole
    assert conv(groups, channels, 3 * filters, batch) == 3 * whole


@settings(max_examples=40, deadline=None)
@given(batch=lists, rows=size, inner=size, columns=size)
def test_products_agree_with_each_other(batch: Shape, rows: int, inner: int, columns: int) -> None:
    left, right, out = (*batch, rows, inner), (*batch, inner, columns), (*batch, rows, columns)
    expected = math.prod(batch) * rows * inner * columns
    assert FORMULAS["", "MatMul"](ran("MatMul", [left, right], out), {}) == expected
    fused = FORMULAS[MS, "FusedMatMul"](ran("FusedMatMul", [(*batch, inner, rows), right], out), {"transA": 1})
    assert fused == expected
    assert FORMULAS["", "Einsum"](ran("Einsum", [left, right], out), {"equation": "...ij,...jk->...ik"}) == expected


@settings(max_examples=40, deadline=None)
@given(time=size, batch=size, width=size, hidden=size, directions=st.integers(1, 2), gates=st.sampled_from([1, 3, 4]))
def test_recurrent_networks_scale(
    *, time: int, batch: int, width: int, hidden: int, directions: int, gates: int
) -> None:
    kind = {1: "RNN", 3: "GRU", 4: "LSTM"}[gates]
    inputs: list[Shape | None] = [
        (time, batch, width),
        (directions, gates * hidden, width),
        (directions, gates * hidden, hidden),
    ]
    steps = time * batch * directions
    found = FORMULAS["", kind](ran(kind, inputs, (time, directions, batch, hidden)), {})
    assert found == steps * gates * hidden * (width + hidden)


@settings(max_examples=40, deadline=None)
@given(batch=size, heads=size, rows=size, keys=size, past=st.integers(0, 3), deep=size, wide=size)
def test_attention_is_two_products(
    *, batch: int, heads: int, rows: int, keys: int, past: int, deep: int, wide: int
) -> None:
    inputs: list[Shape | None] = [(batch, heads, rows, deep), (batch, heads, keys, deep), (batch, heads, keys, wide)]
    inputs += [None, (batch, heads, past, deep), (batch, heads, past, wide)] if past else []
    node = ran("Attention", inputs, (batch, heads, rows, wide))
    total = keys + past
    scores = ran("MatMul", [(batch, heads, rows, deep), None], (batch, heads, rows, total))
    mixed = ran("MatMul", [(batch, heads, rows, total), None], (batch, heads, rows, wide))
    product_of = FORMULAS["", "MatMul"]
    assert FORMULAS["", "Attention"](node, {}) == product_of(scores, {}) + product_of(mixed, {})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_two_operands_of_einsum_by_their_definition(data: st.DataObject) -> None:
    """Without an index of one operand alone that is summed first, MACs are the product of all index sizes."""
    letters = data.draw(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=5, unique=True))
    sizes = {letter: data.draw(size) for letter in letters}
    summed = data.draw(st.sampled_from(letters))
    owner = {letter: data.draw(st.sampled_from("lrb")) for letter in letters} | {summed: "b"}
    left = "".join(letter for letter in letters if owner[letter] in "lb")
    right = "".join(letter for letter in letters if owner[letter] in "rb")
    result = "".join(letter for letter in letters if letter != summed)
    shapes = [tuple(sizes[letter] for letter in term) for term in (left, right)]
    node = Executed("Einsum", "n", tuple(shapes), (tuple(sizes[letter] for letter in result),))
    assert FORMULAS["", "Einsum"](node, {"equation": f"{left},{right}->{result}"}) == math.prod(sizes.values())


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5000))
def test_a_fast_transform_is_never_slower_than_three_padded_ones(length: int) -> None:
    padded = 1 << (2 * length - 2).bit_length()
    most = 3 * 2 * padded * math.log2(padded) + 12 * padded
    assert 2 * length * math.log2(length) - 1e-6 <= transforms.transform(length) <= most
