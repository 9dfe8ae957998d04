"""TORCH_FREE: dispatched operators known to compute no multiply-accumulates.

PyTorch tags most of its operators itself: `pointwise` and `reduction` ones and views are free by tag, in its own
namespaces only. The names below are the rest; what is in no table is unknown.
"""

from __future__ import annotations

from typing import Any

#: Element-wise operators that carry no tag.
_ELEMENTWISE = """
_add_relu _add_relu_ abs_ addr addr_ copysign_ eq_ ne_ ge_ gt_ le_ lt_ floor_divide floor_divide_ gcd_ lcm_ gelu_ mish_
heaviside_ threshold_ binary_cross_entropy
"""

_CREATION = """
arange empty empty_strided empty_like new_empty new_empty_strided full full_like new_full zeros zeros_like new_zeros
ones ones_like new_ones eye scalar_tensor linspace logspace tril_indices triu_indices lift_fresh zero randperm
empty_permuted range lift complex polar fft_fftfreq fft_rfftfreq _efficientzerotensor kaiser_window hann_window
hamming_window bartlett_window blackman_window
"""

_MOVEMENT = """
_to_copy copy copy_ cat stack repeat repeat_interleave roll flip rot90 constant_pad_nd reflection_pad1d reflection_pad2d
reflection_pad3d replication_pad1d replication_pad2d replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle
im2col col2im gather index index_select index_put index_put_ _unsafe_index _unsafe_index_put _index_put_impl_ index_copy
index_copy_ index_add index_add_ index_fill index_fill_ take masked_select masked_scatter masked_scatter_ masked_fill_
scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ select_scatter slice_scatter diagonal_scatter
as_strided_scatter embedding tril tril_ triu triu_ fill fill_ zero_ resize_ set_ _unsafe_view _reshape_alias
unsafe_split unsafe_split_with_sizes _local_scalar_dense _linalg_check_errors allclose sort topk kthvalue nonzero
nonzero_static unique_dim _unique2 unique_consecutive bucketize searchsorted bincount histc isin diag_embed block_diag
_unique _unsafe_masked_index _unsafe_masked_index_put_accumulate index_reduce index_reduce_ put put_ resize resize_as
to_padded_tensor _pad_packed_sequence _pack_padded_sequence _pin_memory is_pinned record_stream
_nested_tensor_from_mask_left_aligned _assert_async _assert_scalar _functional_assert_async _functional_assert_scalar
_is_all_true _is_any_true sym_constrain_range sym_constrain_range_for_size _assert_tensor_metadata size stride numel dim
is_contiguous sym_size sym_numel sym_stride sym_storage_offset is_same_size _fused_sdp_choice _cudnn_init_dropout_state
_nested_tensor_from_mask _cudnn_rnn_flatten_weight
"""

_REDUCTION = """
cumsum cumsum_ cumprod cumprod_ cummax cummin _cummax_helper _cummin_helper logcumsumexp _logcumsumexp median nanmedian
mode trace renorm
"""

#: Softmax, gates and norms: a fixed number of operations for each element.
_NORMALISATION = """
_softmax _log_softmax _safe_softmax softmax log_softmax log_sigmoid_forward glu native_layer_norm native_group_norm
native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training
_batch_norm_no_update _batch_norm_with_update cudnn_batch_norm miopen_batch_norm batch_norm_elemt _fused_rms_norm
_weight_norm_interface _prelu_kernel rrelu_with_noise _thnn_fused_lstm_cell _thnn_fused_gru_cell native_dropout
_masked_softmax hardswish hardswish_
"""

#: Weighted means of neighbours whose weights are positions, not parameters, stand with the pools, as for ONNX.
_POOLING = """
avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices mkldnn_max_pool2d _adaptive_avg_pool2d
_adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool2d
max_unpool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d
upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d grid_sampler_3d cudnn_grid_sampler
"""

_RANDOM = (
    "bernoulli bernoulli_ exponential_ normal normal_ uniform_ multinomial rand randn randint rand_like randn_like"
)

_QUANTISATION = """
quantize_per_tensor quantize_per_channel quantize_per_tensor_dynamic dequantize int_repr q_scale q_zero_point
q_per_channel_scales q_per_channel_zero_points _empty_affine_quantized _empty_per_channel_affine_quantized
_make_per_tensor_quantized_tensor fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
"""

_QUANTISED = "add add_relu add_scalar mul mul_relu mul_scalar cat cat_relu relu6 leaky_relu hardswish sigmoid softmax"

_FREE_TAGS = ("pointwise", "reduction", "view_copy", "inplace_view")

_OWN = ("aten", "prim", "prims")

TORCH_FREE: frozenset[str] = frozenset(
    f"{namespace}::{name}"
    for namespace, names in (
        (
            "aten",
            _ELEMENTWISE + _CREATION + _MOVEMENT + _REDUCTION + _NORMALISATION + _POOLING + _RANDOM + _QUANTISATION,
        ),
        ("prim", "device layout"),
        ("quantized", _QUANTISED),
        (
            "quantized_decomposed",
            "quantize_per_tensor quantize_per_channel dequantize_per_tensor dequantize_per_channel",
        ),
    )
    for name in names.split()
)


def is_free(func: Any) -> bool:
    """Tell whether an operator (torch._ops.OpOverload) is known to compute no MACs."""
    name = func._schema.name
    if name in TORCH_FREE:
        return True
    import torch

    if name.partition("::")[0] not in _OWN:
        return False
    tags = {getattr(torch.Tag, tag) for tag in _FREE_TAGS if hasattr(torch.Tag, tag)}
    return bool(func.is_view or tags & set(func.tags))
