"""MACs of PyTorch modules: by hand, in every form a network is stored in, and nothing that computes is overlooked."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import needs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greengate.profile import Measurement, Missing, WorkloadSpec
from greengate.profiler.backends import onnx_session
from greengate.profiler.jobs import CountJob
from greengate.profiler.operations import torch_check
from greengate.profiler.operations.torch_count import TorchCount, count_module
from greengate.profiler.operations.torch_formulas import TORCH_FORMULAS, is_narrow
from greengate.profiler.operations.torch_free import TORCH_FREE, is_free

needs.package("torch")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812
import torch_nets as nets  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402


class Calls(nn.Module):
    """A module out of a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def counted(module: Any, *args: Any, **kwargs: Any) -> TorchCount:
    return count_module(module, args, kwargs, cross_check=False)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def imaginary(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.complex64)


# --- one network, every form --------------------------------------------------------------------

FORMS = {"eager": nets.Net.build, "traced": nets.traced, "scripted": nets.scripted, "exported": nets.exported}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", nets.NETS)
def test_every_form_of_a_network_has_the_macs_computed_by_hand(name: str, form: str) -> None:
    net = nets.NETS[name]
    found = counted(FORMS[form](net), net.input)
    assert (found.macs, found.unknown) == (net.macs, {})
    assert sum(layer.macs or 0 for layer in found.layers) == net.macs


@pytest.mark.parametrize("name", nets.NETS)
def test_the_network_as_onnx_has_the_same_macs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.package("onnxscript")
    net = nets.NETS[name]
    path = nets.onnx_file(net.build(), (net.input,), tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    found = onnx_session.run(CountJob(str(path), WorkloadSpec(batch_size=net.shape[0])), lambda _: None)
    macs = found.measurements["macs"]
    assert isinstance(macs, Measurement), macs
    assert macs.value * net.shape[0] == net.macs


@pytest.mark.parametrize("name", ["cnn", "separable"])
def test_where_pytorchs_own_counter_sees_everything_it_agrees(name: str) -> None:
    net = nets.NETS[name]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.build()(net.input)
    assert counter.get_total_flops() == 2 * net.macs


@pytest.mark.parametrize("name", ["lstm", "encoder", "attention", "mixed"])
def test_where_pytorchs_own_counter_is_blind_it_counts_too_little(name: str) -> None:
    """The reason for every formula of ours; a failure here is good news, and a formula to drop."""
    net = nets.NETS[name]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.build()(net.input)
    assert counter.get_total_flops() < 2 * net.macs


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("flag", [True, False])
def test_a_recurrent_layer_counts_the_same_with_and_without_onednn(flag: bool) -> None:
    net = nets.NETS["lstm"]
    with torch.backends.mkldnn.flags(enabled=flag):
        assert counted(net.build(), net.input).macs == net.macs


def test_an_encoder_traced_with_its_fused_operator_counts_the_same() -> None:
    net = nets.NETS["encoder"]
    found = counted(nets.traced(net), net.input)
    assert found.counted == {"aten::_transformer_encoder_layer_fwd": 2}
    assert found.macs == net.macs


def test_an_encoder_traced_into_plain_operators_counts_the_same() -> None:
    """TorchScript's own passes must not run while counting: they call operators in ways of their own."""
    net = nets.NETS["encoder"]
    with nets.quiet():
        module = torch.jit.trace(net.build(), net.input, check_trace=False)
    found = counted(module, net.input)
    assert "aten::addmm" in found.counted
    assert found.macs == net.macs


def test_padding_is_not_skipped_in_the_count() -> None:
    net = nets.NETS["encoder"]
    mask = torch.tensor([[False] * 5 + [True] * 2])
    assert counted(net.build(), net.input, src_key_padding_mask=mask).macs == net.macs


# --- formulas by hand ---------------------------------------------------------------------------

CASES: dict[str, tuple[Any, tuple[Tensor, ...], int]] = {
    # 2x5 outputs, K = 3
    "matrix": (torch.mm, (ones(2, 3), ones(3, 5)), 30),
    "batched": (torch.bmm, (ones(7, 2, 3), ones(7, 3, 5)), 210),
    "integers": (torch._int_mm, (ones(32, 16).to(torch.int8), ones(16, 8).to(torch.int8)), 32 * 16 * 8),
    # 2 outputs, K = 3; 5 outputs, K = 3; 1 output, K = 3
    "matrix by vector": (torch.matmul, (ones(2, 3), ones(3)), 6),
    "vector by matrix": (torch.matmul, (ones(3), ones(3, 5)), 15),
    "dot": (torch.matmul, (ones(3), ones(3)), 3),
    "vdot": (torch.vdot, (ones(3), ones(3)), 3),
    # what is added costs no MAC
    "added": (torch.addmm, (ones(5), ones(2, 3), ones(3, 5)), 30),
    "added vector": (torch.addmv, (ones(2), ones(2, 3), ones(3)), 6),
    "added batches": (torch.baddbmm, (ones(7, 2, 5), ones(7, 2, 3), ones(7, 3, 5)), 210),
    "summed batches": (torch.addbmm, (ones(2, 5), ones(7, 2, 3), ones(7, 3, 5)), 210),
    "outer": (torch.outer, (ones(3), ones(4)), 0),
    # Y 1x8x6x6 x 27; 2 groups: Y 1x6x6x6 x (2 x 9); one dimension: Y 2x5x8 x 9
    "convolution": (F.conv2d, (ones(1, 3, 8, 8), ones(8, 3, 3, 3)), 7776),
    "groups": (lambda x, w: F.conv2d(x, w, groups=2), (ones(1, 4, 8, 8), ones(6, 2, 3, 3)), 3888),
    "one dimension": (F.conv1d, (ones(2, 3, 10), ones(5, 3, 3)), 720),
    # X 48 elements, each into 5 x 2x2; 2 groups: X 36, each into 2 x 3x3
    "transposed": (F.conv_transpose2d, (ones(1, 3, 4, 4), ones(3, 5, 2, 2)), 960),
    "transposed groups": (
        lambda x, w: F.conv_transpose2d(x, w, groups=2),
        (ones(1, 4, 3, 3), ones(4, 2, 3, 3)),
        648,
    ),
    # 2 heads: 5 queries x 7 keys x (4 + 6)
    "attention": (F.scaled_dot_product_attention, (ones(1, 2, 5, 4), ones(1, 2, 7, 4), ones(1, 2, 7, 6)), 700),
    "causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        (ones(1, 2, 5, 4), ones(1, 2, 5, 4), ones(1, 2, 5, 4)),
        400,
    ),
    # 4 heads of Q share 2 of K and V: 4 x 5x5 x (8 + 8)
    "grouped queries": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        (ones(1, 4, 5, 8), ones(1, 2, 5, 8), ones(1, 2, 5, 8)),
        1600,
    ),
    # 3x2 rows of width 4 that are only summed; each with a weight: 6 x 4
    "bag": (lambda i, t: F.embedding_bag(i, t, mode="sum"), (torch.zeros(3, 2, dtype=torch.long), ones(9, 4)), 0),
    "weighted bag": (
        lambda i, t, w: F.embedding_bag(i, t, mode="sum", per_sample_weights=w),
        (torch.zeros(3, 2, dtype=torch.long), ones(9, 4), ones(3, 2)),
        24,
    ),
    # 3x5 pairs of rows of 4; with many rows by a product, which counts the same; other norms multiply nothing
    "distances": (torch.cdist, (ones(3, 4), ones(5, 4)), 60),
    "many distances": (torch.cdist, (ones(30, 4), ones(50, 4)), 6000),
    "absolute distances": (lambda a, b: torch.cdist(a, b, p=1.0), (ones(3, 4), ones(5, 4)), 0),
    # 2 matrices of 4: 0 + 1 + 4 + 9 each; 4^3 each
    "determinant": (torch.linalg.det, (torch.eye(4).repeat(2, 1, 1),), 28),
    "inverse": (torch.linalg.inv, (torch.eye(4).repeat(2, 1, 1),), 128),
    # 1x3x5 places of 2 coordinates, each of 3 products
    "grid": (lambda t: F.affine_grid(t, (1, 1, 3, 5), align_corners=False), (ones(1, 2, 3),), 90),
    # 5 frames of 16: 2 N log2(N) = 128 each
    "fourier": (lambda x: torch.fft.rfft(x).abs(), (ones(5, 16),), 640),
    "fourier back": (lambda x: torch.fft.irfft(torch.complex(x, x), 16), (ones(5, 9),), 640),
    "einsum": (lambda a, b: torch.einsum("bij,bjk->bik", a, b), (ones(2, 3, 4), ones(2, 4, 5)), 120),
    # a product of two complex numbers is four of real ones
    "complex": (torch.mm, (imaginary(2, 3), imaginary(3, 5)), 120),
    "complex batches": (torch.bmm, (imaginary(7, 2, 3), imaginary(7, 3, 5)), 840),
    "complex vector": (torch.mv, (imaginary(2, 3), imaginary(3)), 24),
    "complex dot": (torch.dot, (imaginary(3), imaginary(3)), 12),
    "complex vdot": (torch.vdot, (imaginary(3), imaginary(3)), 12),
    "complex added": (torch.addmm, (imaginary(5), imaginary(2, 3), imaginary(3, 5)), 120),
    "complex added batches": (torch.baddbmm, (imaginary(7, 2, 5), imaginary(7, 2, 3), imaginary(7, 3, 5)), 840),
    "complex summed batches": (torch.addbmm, (imaginary(2, 5), imaginary(7, 2, 3), imaginary(7, 3, 5)), 840),
    "complex einsum": (lambda a, b: torch.einsum("ij,jk->ik", a, b), (imaginary(2, 3), imaginary(3, 5)), 120),
    "complex determinant": (torch.linalg.det, (torch.eye(4).to(torch.complex64),), 56),
    "complex inverse": (torch.linalg.inv, (torch.eye(4).to(torch.complex64),), 256),
    "free": (lambda x: F.layer_norm(F.gelu(x).softmax(-1), (4,)).topk(2)[0], (ones(3, 4),), 0),
}


def groups(*ends: int) -> Tensor:
    """Return where each group ends."""
    return torch.tensor(ends, dtype=torch.int32)


def halves(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.bfloat16)


#: X, W, where groups end, the shape of Y, MACs; 3 groups, K = 16 unless groups are parts of it.
GROUPED: dict[str, tuple[Tensor, Tensor, Tensor | None, tuple[int, ...], int]] = {
    # rows of X by the group's own W: each of 64 rows once
    "rows": (halves(64, 16), halves(3, 16, 32), groups(8, 40, 64), (64, 32), 64 * 16 * 32),
    "rows, one group empty": (halves(64, 16), halves(3, 16, 32), groups(0, 40, 64), (64, 32), 64 * 16 * 32),
    # the last 24 rows belong to no group
    "rows beyond the last": (halves(64, 16), halves(3, 16, 32), groups(8, 16, 40), (64, 32), 40 * 16 * 32),
    "batches": (halves(3, 8, 16), halves(3, 16, 32), None, (3, 8, 32), 3 * 8 * 16 * 32),
    # columns of W by the group's own X: each of 64 columns once
    "columns": (halves(3, 8, 16), halves(16, 64), groups(16, 48, 64), (8, 64), 8 * 16 * 64),
    "columns beyond the last": (halves(3, 8, 16), halves(16, 64), groups(16, 32, 48), (8, 64), 8 * 16 * 48),
    # every group has a part of K = 64: Y has three matrices, and K is gone through once
    "parts of K": (halves(8, 64), halves(64, 32), groups(16, 48, 64), (3, 8, 32), 8 * 64 * 32),
    "parts of K beyond the last": (halves(8, 64), halves(64, 32), groups(16, 32, 48), (3, 8, 32), 8 * 48 * 32),
}


@pytest.mark.parametrize("name", GROUPED)
def test_products_of_groups_by_hand(name: str) -> None:
    """And as the products that they are: one for each group."""
    left, right, ends, shape, macs = GROUPED[name]
    found = counted(Calls(torch.ops.aten._grouped_mm), left, right, ends)
    assert (found.macs, found.unknown, found.narrow) == (macs, {}, 0)
    assert torch.ops.aten._grouped_mm(left, right, ends).shape == shape

    def apart(left: Tensor, right: Tensor) -> list[Tensor]:
        if ends is None:
            return [torch.bmm(left, right)]
        cuts = [slice(low, high) for low, high in itertools.pairwise([0, *ends.tolist()])]
        if left.dim() == 3:
            return [x @ right[:, cut] for x, cut in zip(left, cuts, strict=True)]
        if right.dim() == 3:
            return [left[cut] @ w for w, cut in zip(right, cuts, strict=True)]
        return [left[:, cut] @ right[cut] for cut in cuts]

    assert counted(Calls(apart), left, right).macs == macs


def fallback() -> Any:
    """Return the operator that transformers registers for grouped products."""
    needs.package("transformers")
    import transformers.integrations.moe

    assert transformers.integrations.moe
    return torch.ops.transformers.grouped_mm_fallback


@pytest.mark.parametrize("name", ["rows", "rows, one group empty", "rows beyond the last"])
def test_what_transformers_falls_back_to_for_groups_by_hand(name: str) -> None:
    """An operator of its own, where the device or the type has no grouped product; fvcore does not see it either."""
    left, right, ends, shape, macs = GROUPED[name]
    found = counted(Calls(fallback()), left.float(), right.float(), ends)
    assert (found.macs, found.unknown, sum(found.counted.values())) == (macs, {}, 1)
    assert fallback()(left, right, offs=ends).shape == shape


def test_products_of_groups_of_8_bit_floats_by_hand() -> None:
    """No processor runs these; the arguments are those of the operator's schema, scales before offsets."""
    left, right = halves(64, 16).to(_FP8), halves(3, 16, 32).to(_FP8)
    args = (left, right, ones(64), ones(3, 32), groups(8, 16, 40))
    assert TORCH_FORMULAS["aten::_scaled_grouped_mm"](args, None) == 40 * 16 * 32
    assert is_narrow("aten::_scaled_grouped_mm", args)


def flash(pad: int, between: bool = False) -> Any:
    """Return attention as PyTorch runs it on a board; on the meta device, which needs none."""

    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        width = query.shape[-1]
        padded = [F.pad(item, (0, pad)) if pad else item for item in (query, key, value)]
        if between:
            query.abs()
        out = torch.ops.aten._scaled_dot_product_flash_attention(*padded, scale=width**-0.5)
        return out[0][..., :width]

    return run


# 2 heads: 5 queries x 7 keys x (width + width)
@pytest.mark.parametrize(
    ("width", "pad", "between", "counts"),
    [
        (60, 4, False, 60),
        (57, 7, False, 57),
        (64, 0, False, 64),
        (64, 8, False, 72),  # PyTorch would not
        (60, 3, False, 63),
        (60, 4, True, 64),  # the model's own, on which other operators may run
    ],
)
def test_flash_attention_counts_the_width_that_heads_have(width: int, pad: int, between: bool, counts: int) -> None:
    """A board pads halves to a multiple of 8 columns; a processor does not, and the same model counts the same."""
    with torch.device("meta"):
        query, key, value = (torch.ones(1, 2, rows, width, dtype=torch.bfloat16) for rows in (5, 7, 7))
    found = counted(Calls(flash(pad, between)), query, key, value)
    assert found.counted == {"aten::_scaled_dot_product_flash_attention": 1}
    assert (found.macs, found.unknown) == (2 * 35 * 2 * counts, {})
    if counts == width:
        plain = [torch.ones_like(item, device="cpu") for item in (query, key, value)]
        assert found.macs == counted(Calls(F.scaled_dot_product_attention), *plain).macs


def test_weights_of_recurrent_layers_laid_out_for_cudnn_are_free() -> None:
    assert is_free(torch.ops.aten._cudnn_rnn_flatten_weight.default)


@pytest.mark.parametrize("name", CASES)
def test_formulas_by_hand(name: str) -> None:
    function, args, macs = CASES[name]
    found = counted(Calls(function), *args)
    assert (found.macs, found.unknown) == (macs, {})


def test_a_complex_number_by_a_real_one_is_two_products() -> None:
    """No operator takes both today."""
    assert TORCH_FORMULAS["aten::mm"]((imaginary(2, 3), ones(3, 5)), imaginary(2, 5)) == 60


def _scaled(left: Tensor, right: Tensor) -> Tensor:
    return torch._scaled_mm(left, right.t(), ones(), ones(), out_dtype=torch.bfloat16)


_FP8, _BF16 = torch.float8_e4m3fn, torch.bfloat16

#: Products of 16 x 32 by 32 x 16, and what part of them multiplies numbers of 8 bits.
NARROW: dict[str, tuple[Any, tuple[Tensor, ...], int]] = {
    "floats": (torch.mm, (ones(16, 32), ones(32, 16)), 0),
    "integers": (torch._int_mm, (ones(16, 32).to(torch.int8), ones(32, 16).to(torch.int8)), 8192),
    "floats of 8 bits": (_scaled, (ones(16, 32).to(_FP8), ones(16, 32).to(_FP8)), 8192),
    "weights of 8 bits alone": (
        lambda x, w: torch._weight_int8pack_mm(x, w, ones(16).to(_BF16)),
        (ones(16, 32).to(_BF16), ones(16, 32).to(torch.int8)),
        0,
    ),
    "added to": (
        torch.addmm,
        (ones(16, 16).to(torch.uint8), ones(16, 32).to(torch.uint8), ones(32, 16).to(torch.uint8)),
        8192,
    ),
}


@pytest.mark.parametrize("name", NARROW)
def test_what_multiplies_numbers_of_8_bits_is_told_by_their_type(name: str) -> None:
    function, args, narrow = NARROW[name]
    found = counted(Calls(function), *args)
    assert (found.macs, found.narrow) == (8192, narrow)


# 3 gates in a GRU, 1 in a plain layer; 5x2 steps; 4 x 3 + 4 x 4 each
@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_by_hand(kind: type[nn.Module], gates: int) -> None:
    assert counted(kind(3, 4), ones(5, 2, 3)).macs == 10 * gates * (12 + 16)


def test_a_packed_sequence_counts_the_steps_it_has() -> None:
    packed = nn.utils.rnn.pack_padded_sequence(ones(2, 5, 3), torch.tensor([5, 2]), batch_first=True)
    assert counted(nn.LSTM(3, 4, batch_first=True), packed).macs == 7 * 4 * (12 + 16)


def test_cudnn_and_fused_attention_formulas_by_hand() -> None:
    """No processor runs these; the arguments are those of the operators' schemas."""
    weights = [ones(16, 3), ones(16, 4), ones(16), ones(16)]
    assert TORCH_FORMULAS["aten::_cudnn_rnn"]((ones(5, 2, 3), weights, 4, None, ones(1, 2, 4)), None) == 10 * 16 * 7
    # keys wider than values go another way on a processor: 2 heads, 5 queries x 7 keys x (4 + 6)
    apart = (ones(1, 2, 5, 4), ones(1, 2, 7, 4), ones(1, 2, 7, 6))
    assert TORCH_FORMULAS["aten::_scaled_dot_product_efficient_attention"](apart, None) == 2 * 35 * 10
    # projections: 2 x (2x5 + 2x7) x 8x8; attention: 2 x 2 x 5x7 x 8
    fused = TORCH_FORMULAS["aten::_native_multi_head_attention"]
    assert fused((ones(2, 5, 8), ones(2, 7, 8), ones(2, 7, 8)), None) == 2 * 24 * 64 + 2 * 2 * 35 * 8


@pytest.mark.filterwarnings("ignore")
def test_quantised_layers_count_as_their_float_ones() -> None:
    from torch.ao import quantization

    float_ = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    dynamic = quantization.quantize_dynamic(float_, {nn.Linear})
    found = counted(dynamic, ones(3, 8))
    assert found.macs == counted(float_, ones(3, 8)).macs == 3 * (128 + 64)
    assert "packed parameters" in found.notes[0]
    plain = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    module = quantization.QuantWrapper(plain)
    module.qconfig = quantization.get_default_qconfig("fbgemm")
    prepared = quantization.prepare(module)
    prepared(ones(1, 4, 8, 8))
    static = counted(quantization.convert(prepared), ones(1, 4, 8, 8))
    assert (static.macs, static.counted) == (36 * 8 * 18 + 36 * 4 * 8, {"quantized::conv2d": 2})


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_operator_without_a_formula_is_unknown() -> None:
    from torch.ao import quantization

    module = quantization.quantize_dynamic(nn.Sequential(nn.LSTM(3, 4)), {nn.LSTM})
    found = counted(module, ones(5, 2, 3))
    assert isinstance(found.macs, Missing)
    assert "aten::quantized_lstm" in found.macs.reason
    assert found.layers[-1].macs is None


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 4), groups=st.integers(1, 3), channels=st.integers(1, 4), kernel=st.integers(1, 3))
def test_convolutions_scale_with_batch_and_shrink_with_groups(
    batch: int, groups: int, channels: int, kernel: int
) -> None:
    wide = groups * channels
    x, one = ones(batch, wide, 6, 6), ones(1, wide, 6, 6)
    grouped = nn.Conv2d(wide, wide, kernel, groups=groups)
    macs = counted(grouped, x).macs
    assert macs == batch * counted(grouped, one).macs
    assert counted(nn.Conv2d(wide, wide, kernel), x).macs == groups * macs
    assert counted(nn.Conv2d(wide, 2 * wide, kernel, groups=groups), x).macs == 2 * macs


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 5), keys=st.integers(1, 5), width=st.integers(1, 8), heads=st.integers(1, 4))
def test_fused_attention_is_its_two_products(rows: int, keys: int, width: int, heads: int) -> None:
    q, k = torch.rand(1, heads, rows, width), torch.rand(1, heads, keys, width)
    plain = Calls(lambda q, k, v: (q @ k.transpose(-1, -2)).softmax(-1) @ v)
    assert counted(Calls(F.scaled_dot_product_attention), q, k, k).macs == counted(plain, q, k, k).macs


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(1, 4), batch=st.integers(1, 3), layers=st.integers(1, 2), both=st.booleans())
def test_recurrent_layers_scale_with_steps_and_directions(steps: int, batch: int, layers: int, both: bool) -> None:
    module = nn.LSTM(3, 4, layers, bidirectional=both)
    inner = sum(math.prod(item.shape) for item in module.parameters() if item.dim() == 2)
    assert counted(module, ones(steps, batch, 3)).macs == steps * batch * inner


# --- what is known, free, or not ----------------------------------------------------------------


def operators() -> dict[str, list[Any]]:
    """Return every operator this PyTorch has, by name, with its overloads."""
    found: dict[str, list[Any]] = {}
    for full in torch._C._dispatch_get_all_op_names():
        name, _, overload = full.partition(".")
        space, _, short = name.partition("::")
        if space in ("aten", "quantized"):
            packet = getattr(getattr(torch.ops, space), short)
            found.setdefault(name, []).append(getattr(packet, overload or "default"))
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, list[Any]]:
    return operators()


def test_tables_name_only_operators_that_exist(known: dict[str, list[Any]]) -> None:
    """A misspelt name would make an honest module unknown."""
    named = {name for name in TORCH_FREE | set(TORCH_FORMULAS) if name.split("::")[0] in ("aten", "quantized")}
    assert named - set(known) == set()


def test_no_operator_is_both_counted_and_free(known: dict[str, list[Any]]) -> None:
    assert [name for name in TORCH_FORMULAS if any(is_free(func) for func in known.get(name, ()))] == []


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_product_of_nested_tensors_is_unknown(layout: torch.layout) -> None:
    nested = torch.nested.nested_tensor([ones(2, 8), ones(3, 8)], layout=layout)
    found = counted(nn.Linear(8, 4), nested)
    assert isinstance(found.macs, Missing)
    assert "aten::linear (on a nested tensor)" in found.macs.reason


#: What contracts in PyTorch, by the words in its name; what only looks like it.
CONTRACTS = re.compile(r"mm(?!a)|conv(?!ert)|attention|rnn|lstm|gru|linear|dot|mv(?!l)|_fft_|cdist|det$|einsum")
LOOKS = re.compile(r"cummin|hamming|(lstm|gru)_cell$|rnn_flatten_weight$|upsample_(bi|tri)?linear")


def test_nothing_that_contracts_is_free(known: dict[str, list[Any]]) -> None:
    free = {name for name, overloads in known.items() if any(is_free(func) for func in overloads)}
    assert len(free) > 500
    assert {name for name in free if CONTRACTS.search(name) and not LOOKS.search(name)} == set()


def test_every_core_operator_of_inference_is_counted_or_free(known: dict[str, list[Any]]) -> None:
    unsorted = {
        name
        for name, overloads in known.items()
        for func in overloads
        if torch.Tag.core in func.tags and "backward" not in name and not is_free(func) and name not in TORCH_FORMULAS
        if not torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    }
    assert unsorted == {"aten::_pdist_forward"}


UNKNOWN: dict[str, tuple[Any, tuple[Tensor, ...], str]] = {
    "distances": (F.pdist, (ones(3, 4),), "aten::_pdist_forward"),
    "eigenvalues": (torch.linalg.eigvalsh, (torch.eye(3),), "aten::_linalg_eigh"),
    "bilinear": (F.bilinear, (ones(2, 3), ones(2, 4), ones(5, 3, 4)), "aten::_trilinear"),
    "sparse": (torch.mm, (ones(2, 3).to_sparse(), ones(3, 4)), "aten::mm (on a sparse_coo tensor)"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_understood_makes_the_count_missing(name: str) -> None:
    function, args, expected = UNKNOWN[name]
    found = counted(Calls(function), *args)
    assert isinstance(found.macs, Missing)
    assert expected in found.macs.reason
    assert "too small" in found.macs.help
    assert expected in found.unknown


def test_an_operator_of_another_library_is_unknown_until_it_is_taken_apart() -> None:
    library = torch.library.Library("greengate_test", "FRAGMENT")
    try:
        library.define("fused(Tensor x) -> Tensor")
        library.impl("fused", lambda x: x @ x, "CPU")
        library.define("tagged(Tensor x) -> Tensor", tags=(torch.Tag.pointwise,))
        library.impl("tagged", lambda x: x @ x, "CPU")
        library.define("composed(Tensor x) -> Tensor")
        library.impl("composed", lambda x: x @ x, "CompositeImplicitAutograd")
        fused = counted(Calls(lambda x: torch.ops.greengate_test.fused(torch.ops.greengate_test.fused(x))), ones(3, 3))
        assert isinstance(fused.macs, Missing)
        assert "greengate_test::fused x2" in fused.macs.reason
        tagged = counted(Calls(torch.ops.greengate_test.tagged), ones(3, 3))
        assert tagged.unknown == {"greengate_test::tagged": 1}  # anyone can claim to be pointwise
        assert counted(Calls(torch.ops.greengate_test.composed), ones(3, 3)).macs == 27
    finally:
        library._destroy()


def test_a_module_in_inference_mode_is_taken_apart_as_any_other() -> None:
    net = nets.NETS["lstm"]
    module = net.build()
    module.forward = torch.inference_mode()(module.forward)  # type: ignore[method-assign]
    assert counted(module, net.input).macs == net.macs


@pytest.mark.parametrize(("sign", "macs"), [(1, 2 * 27), (-1, 27)])
def test_only_the_branch_that_runs_counts(sign: int, macs: int) -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, lambda x: x @ x @ x, lambda x: x @ x, (x,))

    with nets.quiet():
        stored = torch.export.export(Branches(), (ones(3, 3),))
    assert counted(Branches(), sign * ones(3, 3)).macs == macs
    assert counted(stored, sign * ones(3, 3)).macs == macs


def test_a_loop_counts_as_often_as_it_runs() -> None:
    from torch._higher_order_ops.while_loop import while_loop

    class Loop(nn.Module):
        def forward(self, times: Tensor, x: Tensor) -> Tensor:
            return while_loop(lambda i, _: i > 0, lambda i, x: (i - 1, x @ x), (times, x))[1]

    for times in (0, 1, 5):
        assert counted(Loop(), torch.tensor(times), ones(3, 3)).macs == 27 * times


def test_what_another_thread_of_torchscript_does_is_counted() -> None:
    class Forks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            other = torch.jit.fork(torch.mm, x, x)
            return torch.jit.wait(other) + x @ x

    with nets.quiet():
        module = torch.jit.script(Forks())
    assert counted(module, ones(3, 3)).macs == 54


def test_a_compiled_module_counts_as_it_was_written() -> None:
    net = nets.NETS["cnn"]
    assert counted(torch.compile(net.build(), backend="eager"), net.input).macs == net.macs


# --- layers, settings, notes --------------------------------------------------------------------


def test_layers_are_modules_by_path_with_what_they_hold_and_put_out() -> None:
    net = nets.NETS["cnn"]
    layers = {layer.name: layer for layer in counted(net.build(), net.input).layers}
    stem = layers["stem.0"]
    # 8x3x3x3 weights of 4 bytes; 8x16x16 outputs of 4 bytes
    assert (stem.op, stem.macs, stem.params, stem.weight_bytes) == ("Conv2d", 2048 * 27, 216, 864)
    assert stem.activation_bytes == 2048 * 4
    assert (layers["stem.1"].macs, layers["stem.1"].params) == (0, 16)
    # the sum, its pool with places (8 bytes each), and the mean are the root's own
    assert layers["Block"].activation_bytes == 4 * 2048 + 12 * 8 * 64 + 4 * 8
    assert layers["head"].activation_bytes == 4 * 10  # the transposed view of its weight is not new
    assert sum(layer.params for layer in layers.values()) == sum(item.numel() for item in net.build().parameters())
    assert list(layers)[:3] == ["Block", "stem.0", "stem.1"]


def test_an_exported_program_keeps_the_layers_of_its_module() -> None:
    net = nets.NETS["encoder"]
    eager = {layer.name: layer.macs for layer in counted(net.build(), net.input).layers if layer.macs}
    stored = {layer.name: layer.macs for layer in counted(nets.exported(net), net.input).layers if layer.macs}
    assert stored == eager
    assert set(eager) == {f"layers.{i}.{name}" for i in (0, 1) for name in ("self_attn", "linear1", "linear2")}


def test_a_shared_module_is_one_layer_that_ran_twice() -> None:
    shared = nn.Linear(4, 4)
    module = nn.Sequential(shared, nn.ReLU(), shared)
    (layer,) = (item for item in counted(module, ones(3, 4)).layers if item.op == "Linear")
    assert (layer.name, layer.macs, layer.params) == ("0", 2 * 48, 20)


def test_a_parameter_under_two_names_is_counted_once() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    assert [layer.params for layer in counted(module, ones(3, 4)).layers if layer.op == "Linear"] == [16, 0]


def test_everything_is_put_back_also_after_a_failure() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
    module[1].eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    seen: list[tuple[bool, bool, bool]] = []
    hook = module[0].register_forward_hook(
        lambda item, *_: seen.append(
            (item.training, torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled())
        )
    )
    counted(module, ones(3, 4))
    hook.remove()
    assert seen == [(False, False, False)]
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        counted(module, ones(3, 5))
    assert (module.training, module[0].training, module[1].training) == (True, True, False)
    assert torch.is_grad_enabled()
    assert not any(item._forward_hooks or item._forward_pre_hooks for item in module.modules())
    assert torch.backends.mha.get_fastpath_enabled() is fast
    with FlopCounterMode(display=False) as counter:  # no mode of ours is left on the stack
        module(ones(3, 4))
    assert counter.get_total_flops() == 96


def test_counting_changes_no_result() -> None:
    net = nets.NETS["cnn"]
    module, seen = net.build(), []
    before = module(net.input)
    module.register_forward_hook(lambda _, __, out: seen.append(out))
    counted(module, net.input)
    assert torch.equal(seen[0], before)


def test_torchscript_says_that_it_has_one_layer() -> None:
    net = nets.NETS["cnn"]
    found = counted(nets.traced(net), net.input)
    assert [layer.name for layer in found.layers if layer.macs] == ["Block"]
    assert "under the root" in found.notes[0]


# --- the cross-check ----------------------------------------------------------------------------


def check(module: Any, *args: Any, **kwargs: Any) -> str:
    (line,) = (note for note in count_module(module, args, kwargs).notes if note.startswith("cross-check: fvcore"))
    return line


@pytest.mark.parametrize("name", sorted(set(nets.NETS) - {"mixed"}))
def test_fvcore_agrees_but_for_its_known_differences(name: str) -> None:
    needs.package("fvcore")
    net = nets.NETS[name]
    line = check(net.build(), net.input)
    assert "warning" not in line
    assert "greengate counts the same" in line


def test_fvcore_does_not_see_products_of_groups() -> None:
    needs.package("fvcore")
    left, right, ends, _, macs = GROUPED["rows"]
    line = check(Calls(torch._grouped_mm), left, right, ends)
    assert "warning" not in line
    assert f"and {macs:,} MACs in operators that it does not see" in line


def test_fvcore_does_not_see_what_transformers_falls_back_to_for_groups() -> None:
    needs.package("fvcore")
    left, right, ends, _, macs = GROUPED["rows"]
    line = check(Calls(fallback()), left, right, ends)
    assert "warning" not in line
    assert f"and {macs:,} MACs in operators that it does not see" in line


def test_fvcores_figure_stands_apart_from_what_it_adds() -> None:
    needs.package("fvcore")
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    # 4x2x2 outputs x 27; the norm: 2 for each of the 16 outputs
    assert "432 MACs in contractions and adds 32 element-wise" in check(module, ones(1, 3, 4, 4))


def test_a_disagreement_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.package("fvcore")
    monkeypatch.setitem(TORCH_FORMULAS, "aten::addmm", lambda *_: 1)
    line = check(nn.Linear(4, 5), ones(3, 4))
    assert "60 MACs in contractions" in line
    assert "warning: greengate counts 1 MACs in the contractions that it knows" in line


def test_fvcore_says_what_it_does_not_take() -> None:
    needs.package("fvcore")
    net = nets.NETS["cnn"]
    assert "does not take TorchScript" in check(nets.traced(net), net.input)
    assert "does not take keyword arguments" in check(net.build(), x=net.input)
    mixed = nets.NETS["mixed"]
    assert "fails: IndexError" in check(mixed.build(), mixed.input)  # its own einsum


def test_fvcores_deprecations_are_not_news() -> None:
    needs.package("fvcore")
    code = """
import torch
from greengate.profiler.operations.torch_count import count_module
print(*count_module(torch.nn.Linear(4, 5), (torch.ones(3, 4),)).notes)
"""
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "60 MACs in contractions" in ran.stdout
    assert ran.stderr == ""


def test_without_fvcore_there_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_check.util, "find_spec", lambda _: None)
    net = nets.NETS["cnn"]
    assert count_module(net.build(), (net.input,)).notes == ()


def test_the_tables_need_no_torch() -> None:
    code = (
        "import sys, greengate.profiler.operations.torch_count; "
        "print([name for name in ('torch', 'fvcore', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
